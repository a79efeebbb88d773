"""One photo, from its file to all that intake wants to know of it.

Made to be mapped over processes: arguments and answers pickle.
"""

from __future__ import annotations

from dataclasses import dataclass

from unsee.intake.signals import Exif, Signals, read_exif, read_signals
from unsee.intake.walk import NotReadable, printable, read_file
from unsee.match.pictures import DEFAULT_LIMITS, Limits, Picture, Unreadable, examine_with_embedded


@dataclass(frozen=True, slots=True)
class Photo:
    """One file that is a picture."""

    file: str
    """Relative to the folder."""
    size_bytes: int
    picture: Picture
    exif: Exif
    signals: Signals


@dataclass(frozen=True, slots=True)
class Refused:
    """One file that is not taken in, and why."""

    file: str
    reason: str


def examine_photo(folder: str, file: str, limits: Limits = DEFAULT_LIMITS) -> Photo | Refused:
    """Read and examine one file of a folder. Never raises for what is wrong with the file.

    Args:
        folder: root of the listing.
        file: a name from it, relative, with `/`.
        limits: what the file may cost.
    Cost: one read, one decode, two SHA-256; see `bench/intake.py`.
    """
    try:
        data = read_file(folder, file, limit_bytes=limits.max_bytes)
    except NotReadable as error:
        return Refused(printable(file), str(error))
    return examine_bytes(file, data, limits)


def examine_bytes(file: str, data: bytes, limits: Limits = DEFAULT_LIMITS) -> Photo | Refused:
    """As `examine_photo`, for bytes that were read already."""
    try:
        picture, embedded = examine_with_embedded(data, limits)
    except Unreadable as error:
        return Refused(printable(file), error.reason)
    return Photo(file, len(data), picture, read_exif(embedded), read_signals(data, embedded))
