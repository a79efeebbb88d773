"""EXIF blocks, opened with bounds. Pillow reads them; what is checked here is what it does not check.

A directory may name thousands of values that all cover the same bytes, and Pillow copies each: 64 kB become 300 MB, and a TIFF
of 60 MB becomes terabytes. Honest values do not overlap, so together they are never larger than the block that holds them.
"""

from __future__ import annotations

import struct
import warnings
from typing import Final

from PIL import Image

EXIF_DIRECTORY: Final = 0x8769
GPS_DIRECTORY: Final = 0x8825
ORIENTATION: Final = 0x0112
_TYPE_SIZES: Final = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4)
_PREFIX: Final = b"Exif\0\0"


class BrokenDirectory(ValueError):
    """A TIFF directory cannot be read, or would take more memory than the file that holds it."""


def check_directories(block: bytes) -> bool:
    """Check the first directory of a TIFF structure, and the EXIF and GPS directories below it.

    Args:
        block: a TIFF file, or an EXIF block without its `Exif` prefix.
    Returns:
        Whether a further directory follows the first: a thumbnail in EXIF, another picture in a TIFF file.
    Raises:
        BrokenDirectory: it is damaged, a BigTIFF, or its values overlap.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        raise BrokenDirectory("it is not a TIFF structure with 32-bit offsets")
    if len(block) < 8:
        raise BrokenDirectory("its header is cut off")
    (first,) = struct.unpack_from(order + "L", block, 4)
    pointers, more = _check(block, order, first)
    for pointer in pointers:
        _check(block, order, pointer)
    return more


def _check(block: bytes, order: str, at: int) -> tuple[list[int], bool]:
    """Check one directory; return its pointers to EXIF and GPS, and whether another follows."""
    if at + 2 > len(block):
        raise BrokenDirectory("a directory lies outside the block")
    (count,) = struct.unpack_from(order + "H", block, at)
    end = at + 2 + 12 * count
    if end > len(block):
        raise BrokenDirectory("a directory is cut off")
    total = 0
    pointers = []
    for tag, kind, number, value in struct.iter_unpack(order + "HHLL", block[at + 2 : end]):
        total += number * (_TYPE_SIZES[kind] if kind < len(_TYPE_SIZES) else 1)
        if tag in (EXIF_DIRECTORY, GPS_DIRECTORY):
            pointers.append(value)
    if total > len(block):
        raise BrokenDirectory("its values overlap")
    return pointers, any(block[end : end + 4])


def open_exif(block: bytes) -> Image.Exif:
    """The EXIF of a block, with or without its `Exif` prefix.

    Raises:
        BrokenDirectory: it cannot be read within bounds.
    """
    body = block[len(_PREFIX) :] if block.startswith(_PREFIX) else block
    check_directories(body)
    exif = Image.Exif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about single damaged values; they read as absent
            exif.load(body)
    except Exception as error:
        # Whatever a parser raises on hostile bytes means one thing: this block cannot be read.
        raise BrokenDirectory(f"{type(error).__name__}: {error}") from error
    return exif


def orientation_of(exif: Image.Exif | None) -> int:
    """EXIF orientation 1–8; 1 where there is none or it is out of range."""
    if exif is None:
        return 1
    try:
        value = exif.get(ORIENTATION, 1)
    except Exception:  # a damaged value raises whatever the parser trips over; it says nothing about orientation
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
