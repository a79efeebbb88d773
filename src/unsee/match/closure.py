"""Which candidate pictures are copies of the pictures in a scope, and by what they were told (R3, R4). Pure numpy.

Used before an erasure, to add the copies that nobody recorded, and after it, to look for what is left.
What this does not find reliably: crops below about 98 % of the area, rotations by other than quarter turns, heavy overlays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from unsee.match.exact import DigestTable, Rows
from unsee.match.pdq import MIN_QUALITY, ORIENTATIONS, RADIUS, orientations_of_hashes
from unsee.match.pictures import Picture
from unsee.match.search import nearest

SEARCHED: Final = (
    f"Copies are told by equal bytes, by equal pixels after decoding, and by PDQ-A hashes within {RADIUS} of 256 bits in any of "
    f"eight orientations where both hashes have quality {MIN_QUALITY} or more. Crops, rotations by other than quarter turns "
    "and heavy overlays are not guaranteed to be found."
)
"""What was searched and how, for the certificate (R4)."""


class Likeness(StrEnum):
    """By what a copy was told, strongest first."""

    IDENTICAL_BYTES = "identical bytes"
    SAME_PIXELS = "same pixels"
    NEAR_DUPLICATE = "near-duplicate"


LIKENESSES: Final = tuple(Likeness)
"""`Copies.kind` indexes this."""


@dataclass(frozen=True, slots=True, eq=False)
class Digests:
    """The digests of n pictures as columns: 97 bytes each."""

    sha256: Rows
    pixels: Rows
    pdq: Rows
    quality: npt.NDArray[np.uint8]

    def __post_init__(self) -> None:
        n = len(self.quality)
        if not self.sha256.shape == self.pixels.shape == self.pdq.shape == (n, 32):
            raise ValueError("digest columns are (n, 32) uint8, and quality is (n,)")

    @classmethod
    def of(cls, pictures: Iterable[Picture]) -> Digests:
        """The columns of pictures, in their order."""
        pictures = tuple(pictures)
        return cls(
            rows(p.sha256 for p in pictures),
            rows(p.pixel_digest for p in pictures),
            rows(p.pdq for p in pictures),
            np.array([p.pdq_quality for p in pictures], np.uint8),
        )

    def __len__(self) -> int:
        return len(self.quality)


def rows(digests: Iterable[bytes]) -> Rows:
    """(n, 32) uint8 of 32-byte digests."""
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)


@dataclass(frozen=True, slots=True)
class Copy:
    """One candidate that is a copy: `candidate` and `original` are positions in the two inputs."""

    candidate: int
    original: int
    likeness: Likeness
    distance: int
    """Bits between the hashes; 0 where bytes or pixels are equal."""
    orientation: int = 0
    """Index into `pdq.ORIENTATIONS`: what turns the original into the candidate."""

    @property
    def reason(self) -> str:
        """In the words that CLI and certificate print."""
        if self.likeness is not Likeness.NEAR_DUPLICATE:
            return str(self.likeness)
        turned = f", {ORIENTATIONS[self.orientation]}" if self.orientation else ""
        return f"{self.likeness} at distance {self.distance}{turned}"


@dataclass(frozen=True, slots=True, eq=False)
class Copies:
    """The candidates that are copies, as columns, sorted by candidate; each at most once, by its strongest likeness."""

    candidate: npt.NDArray[np.int64]
    original: npt.NDArray[np.int64]
    kind: npt.NDArray[np.uint8]
    distance: npt.NDArray[np.int16]
    orientation: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.candidate)

    def __getitem__(self, at: int) -> Copy:
        return Copy(
            int(self.candidate[at]),
            int(self.original[at]),
            LIKENESSES[int(self.kind[at])],
            int(self.distance[at]),
            int(self.orientation[at]),
        )

    def __iter__(self) -> Iterator[Copy]:
        return (self[at] for at in range(len(self)))

    def counts(self) -> dict[str, int]:
        """How many by each likeness, in words, strongest first."""
        return {str(name): int((self.kind == at).sum()) for at, name in enumerate(LIKENESSES)}


def find_copies(scope: Digests, candidates: Digests, *, radius: int = RADIUS) -> Copies:
    """The candidates that show a picture of the scope.

    Args:
        scope: the pictures that must go.
        candidates: what a scan or the books hold; candidates that are themselves in the scope come out as identical bytes, so
            leave them out beforehand.
        radius: inclusive Hamming distance in bits up to which hashes show the same picture.
    Cost: sorting, and eight `nearest` searches' work for those left over. Memory: about 1.2 kB for each picture of the scope and
        0.3 kB for each candidate.
    """
    n = len(candidates)
    original = DigestTable(scope.sha256).find(candidates.sha256)
    kind = np.zeros(n, np.uint8)
    distance = np.zeros(n, np.int16)
    orientation = np.zeros(n, np.uint8)

    left = np.flatnonzero(original < 0)
    original[left] = DigestTable(scope.pixels).find(candidates.pixels[left])
    kind[left] = LIKENESSES.index(Likeness.SAME_PIXELS)

    left = np.flatnonzero((original < 0) & (candidates.quality >= MIN_QUALITY))
    telling = np.flatnonzero(scope.quality >= MIN_QUALITY)
    turned = orientations_of_hashes(scope.pdq[telling]).reshape(-1, 32)
    near = nearest(candidates.pdq[left], turned, radius=radius)
    hit = np.flatnonzero(near.corpus >= 0)
    found = left[hit]
    original[found] = telling[near.corpus[hit] // len(ORIENTATIONS)]
    kind[found] = LIKENESSES.index(Likeness.NEAR_DUPLICATE)
    distance[found] = near.distance[hit]
    orientation[found] = near.corpus[hit] % len(ORIENTATIONS)

    copies = np.flatnonzero(original >= 0)
    return Copies(copies, original[copies], kind[copies], distance[copies], orientation[copies])
