"""How an object is written anew without some of its bytes, by parts that the service copies itself. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LEAST_BYTES = 5 << 20
"""S3 takes no part that is smaller, but the last."""
MOST_BYTES = 1 << 30
"""Of one copied part. S3 takes up to 5 GiB; smaller ones are copied side by side."""

Range = tuple[int, int]
"""From, and up to but not with."""


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of the old object. One range is copied by the service; where `through` is set, they pass through this machine."""

    ranges: tuple[Range, ...]
    through: bool

    @property
    def size_bytes(self) -> int:
        """How long the part is."""
        return sum(end - start for start, end in self.ranges)


def staying(size_bytes: int, going: Iterable[Range]) -> list[Range]:
    """What is left of an object when these ranges go."""
    at = 0
    left: list[Range] = []
    for start, end in sorted(going):
        if start > at:
            left.append((at, start))
        at = max(at, end)
    return [*left, (at, size_bytes)] if at < size_bytes else left


def parts(ranges: Sequence[Range]) -> list[Part]:
    """Parts that hold these ranges in order, each but the last at least `LEAST_BYTES`.

    A range that is too short is joined with what follows, as much as a part needs, and passes through this machine.
    """
    made: list[Part] = []
    waiting: list[Range] = []
    held = 0
    for start, end in ranges:
        at = start
        if waiting:
            at = min(end, start + LEAST_BYTES - held)
            waiting.append((start, at))
            held += at - start
            if held >= LEAST_BYTES:
                made.append(Part(tuple(waiting), True))
                waiting, held = [], 0
        while end - at >= LEAST_BYTES:
            to = end if end - at <= MOST_BYTES else min(at + MOST_BYTES, end - LEAST_BYTES)
            made.append(Part(((at, to),), False))
            at = to
        if at < end and not waiting:
            waiting, held = [(at, end)], end - at
    if waiting:
        made.append(Part(tuple(waiting), True))
    return made
