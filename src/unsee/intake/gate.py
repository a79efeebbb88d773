"""The gate: which examined photos may be recorded. A pure rule; what it decides is said in words."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from unsee.intake.examine import Photo
from unsee.match.suppression import Match


class Verdict(StrEnum):
    """What becomes of a photo at the gate."""

    ADMITTED = "admitted"
    ALREADY_HERE = "already here"
    SUPPRESSED = "suppressed"


@dataclass(frozen=True, slots=True)
class Judged:
    """One photo and what the gate says of it."""

    photo: Photo
    verdict: Verdict
    reason: str = ""
    match: Match | None = None


def judge(
    photos: Sequence[Photo], *, suppressed: Sequence[Match | None], here: Collection[tuple[str, bytes]]
) -> list[Judged]:
    """Judge photos in their order.

    Suppression comes first: a photo that must not come back is refused even where a copy of it is still recorded (R38).

    Args:
        photos: examined photos of one source.
        suppressed: the suppression list's answer for each, in the same order.
        here: (file, sha256) of what this source has recorded already; intake run twice adds nothing. The same bytes under another
            name are another copy, and are admitted.
    Raises:
        ValueError: the two sequences differ in length.
    """
    judged = []
    for photo, match in zip(photos, suppressed, strict=True):
        if match is not None:
            judged.append(Judged(photo, Verdict.SUPPRESSED, match.reason, match))
        elif (photo.file, photo.picture.sha256) in here:
            judged.append(Judged(photo, Verdict.ALREADY_HERE, "recorded from this source already"))
        else:
            judged.append(Judged(photo, Verdict.ADMITTED))
    return judged
