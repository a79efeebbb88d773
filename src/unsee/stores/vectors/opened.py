"""An index file as it was read: blocks of rows, each row with its id and the code that stands for its vector.

Formats differ in how they lay rows out (one array, inverted lists, a graph's storage, a second, finer array); what the store asks
of them is the same: which rows carry an id, their codes, their vectors.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[Any]
"""Ids of rows: int64 (FAISS) or uint64 (usearch)."""
Codes = NDArray[np.uint8]


class Unfit(Exception):
    """This file cannot be read or changed safely; the message says why, without a full stop."""


@dataclass(frozen=True)
class Block:
    """Rows that lie together: `labels` (n,), `codes` (n, bytes a row)."""

    labels: Labels
    codes: Codes
    decode: Callable[[int], bytes]
    """The vector of a row: little-endian float32, or the bits of a binary vector."""
    told: bool = True
    """Whether `read` gives these vectors. Not for a coarse code beside a finer one of the same vector."""


@dataclass(frozen=True)
class Opened:
    """One index, in memory."""

    blocks: Sequence[Block]
    positional: bool
    """Ids are places in the file: taking a row out would give those after it other ids."""
    removed: int
    """Vectors that the index calls removed and the file still holds."""
    place: Any = field(repr=False, default=None)
    """What the format's module needs to write the file anew."""

    @cached_property
    def labels(self) -> Labels:
        """Each id that the index holds, once, ascending."""
        return np.unique(self._sorted[0])

    @cached_property
    def _sorted(self) -> tuple[Labels, NDArray[np.intp], list[int]]:
        """The ids of all rows, ascending; the number of each row, counted through all blocks; where each block ends."""
        if not self.blocks:
            return np.empty(0, np.int64), np.empty(0, np.intp), []
        labels = np.concatenate([block.labels for block in self.blocks])
        order = np.argsort(labels, kind="stable")
        return labels[order], order, list(accumulate(len(block.labels) for block in self.blocks))

    def rows(self, label: int) -> Iterator[tuple[Block, int]]:
        """Where the id lies. Cost: a binary search, after one sorting of all ids."""
        labels, order, ends = self._sorted
        wanted = labels.dtype.type(label)
        at = int(labels.searchsorted(wanted))
        while at < len(labels) and labels[at] == wanted:
            row = int(order[at])
            number = bisect_right(ends, row)
            yield self.blocks[number], row - (ends[number - 1] if number else 0)
            at += 1

    def holds(self, label: int) -> bool:
        """Whether the index holds this id."""
        return next(self.rows(label), None) is not None

    def stamp(self, label: int) -> str:
        """A digest of the codes that stand for this id's vectors; it stays when other rows go."""
        codes = sorted(block.codes[row].tobytes() for block, row in self.rows(label))
        return hashlib.blake2b(b"".join(codes), digest_size=16).hexdigest()

    def size_bytes(self, label: int) -> int:
        """How long `vectors` is."""
        return len(self.vectors(label))

    def vectors(self, label: int) -> bytes:
        """The vectors of this id, one after the other."""
        return b"".join(block.decode(row) for block, row in self.rows(label) if block.told)


class Format(Protocol):
    """Reads and writes the files of one library."""

    def load(self, file: int) -> Opened:
        """Read the index behind a descriptor.

        Raises:
            Unfit: it is damaged, or of a type that this format does not know how to change.
        """

    def bound(self, opened: Opened, gone: Labels) -> dict[int, str]:
        """Those of the ids whose bytes something else in the file holds too, so that taking them out is not enough, and why."""

    def write_without(self, opened: Opened, gone: Labels, file: int) -> None:
        """Write the index without these ids to a descriptor. `opened` is spent: it may have been changed.

        Raises:
            Unfit: it cannot be done without harm to the others.
        """


def same_rest(rest: Sequence[Block], found: Sequence[Block], *, dealt_anew: bool = False) -> bool:
    """Whether `found` holds just the rows of `rest`, with their codes bit by bit; with `dealt_anew`, in whichever block."""
    if dealt_anew:
        rest, found = [_joined(rest)], [_joined(found)]
    return len(rest) == len(found) and all(_same(old, new) for old, new in zip(rest, found, strict=True))


def kept_aside(opened: Opened, gone: Labels) -> list[Block]:
    """A copy of the rows that stay, under the ids that they will have, for `same_rest` after the index itself was changed."""
    aside = []
    for block in opened.blocks:
        keep = ~np.isin(block.labels, gone)
        labels = block.labels[keep]
        if opened.positional:
            labels = labels - np.searchsorted(np.sort(gone), labels)
        aside.append(Block(labels, block.codes[keep], block.decode, block.told))
    return aside


def _same(old: Block, new: Block) -> bool:
    if old.labels.shape != new.labels.shape or old.codes.shape != new.codes.shape:
        return False
    if np.array_equal(old.labels, new.labels):
        return np.array_equal(old.codes, new.codes)
    return np.array_equal(_sorted(old), _sorted(new))


def _sorted(block: Block) -> NDArray[np.void]:
    labels = block.labels.astype(">u8").view(np.uint8).reshape(-1, 8)
    rows = np.ascontiguousarray(np.hstack([labels, block.codes]))
    return np.sort(rows.view(f"V{rows.shape[1]}").ravel())


def _joined(blocks: Sequence[Block]) -> Block:
    return Block(
        np.concatenate([block.labels for block in blocks]),
        np.concatenate([block.codes for block in blocks]),
        blocks[0].decode,
    )
