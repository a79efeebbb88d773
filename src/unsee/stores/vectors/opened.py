"""An index file as it was read: blocks of rows, each row with its id and the code that stands for its vector.

Formats differ in how they lay rows out (one array, inverted lists, a graph's storage, a second, finer array); what the store asks
of them is the same: which rows carry an id, their codes, their vectors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[Any]
"""Ids of rows: int64 (FAISS) or uint64 (usearch)."""
Codes = NDArray[np.uint8]
Rows = NDArray[np.intp]
DIGEST_BYTES = 16
_PIECE_BYTES = 1 << 18


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
    own: bool = False
    """Whether the codes are a copy, which stays when the index is changed."""


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
        labels = self._sorted[0]
        first = np.ones(len(labels), np.bool_)
        first[1:] = labels[1:] != labels[:-1]
        once: Labels = labels[first]
        return once

    @cached_property
    def _sorted(self) -> tuple[Labels, Rows]:
        """The ids of all rows, ascending; the number of each row, counted through all blocks."""
        labels = self._labels_of_rows
        order = np.argsort(labels, kind="stable")
        return labels[order], order

    @property
    def _labels_of_rows(self) -> Labels:
        return np.concatenate([block.labels for block in self.blocks]) if self.blocks else np.empty(0, np.int64)

    @cached_property
    def _starts(self) -> Rows:
        """The number of the first row of each block, and at last how many rows there are."""
        return np.cumsum([0, *(len(block.labels) for block in self.blocks)])

    def _places(self, labels: Labels) -> tuple[Rows, Rows]:
        """Where the rows of each id begin and end among those of `_sorted`. Cost: a look-up an id, two searches where ids are
        far apart."""
        held, _ = self._sorted
        if self._table is None:
            return held.searchsorted(labels), held.searchsorted(labels, side="right")
        inside = (labels >= held[0]) & (labels <= held[-1])
        at = (np.where(inside, labels, held[0]) - held[0]).astype(np.intp)
        first = self._table[at]
        return first, np.where(inside, self._table[at + 1], first)

    @cached_property
    def _table(self) -> Rows | None:
        """How many rows have an id below each number from the lowest id on; None where ids are too far apart for that."""
        held, _ = self._sorted
        if not len(held) or int(held[-1]) - int(held[0]) > 4 * len(held):
            return None
        ids = (held - held[0]).astype(np.intp)
        table: Rows = ids.searchsorted(np.arange(int(ids[-1]) + 2))
        return table

    def rows_of(self, labels: Labels) -> Rows:
        """The numbers of all rows of these ids, ascending."""
        first, after = self._places(labels)
        many = after - first
        places = np.repeat(first + many - np.cumsum(many), many) + np.arange(int(many.sum()))
        return np.sort(self._sorted[1][places])

    def by_block(self, rows: Rows) -> Iterator[tuple[Block, Rows]]:
        """The blocks in which rows (ascending numbers) lie, each with its own."""
        cuts = rows.searchsorted(self._starts)
        for number in np.flatnonzero(np.diff(cuts)).tolist():
            yield self.blocks[number], rows[cuts[number] : cuts[number + 1]] - self._starts[number]

    def _rows(self, label: int) -> Iterator[tuple[Block, int]]:
        """Where one id lies, in the order of its rows."""
        for block, rows in self.by_block(self.rows_of(np.asarray([label], self._sorted[0].dtype))):
            for row in rows.tolist():
                yield block, row

    def holds(self, labels: Labels) -> NDArray[np.bool_]:
        """Which of these ids the index holds."""
        first, after = self._places(labels)
        return after > first

    def stamps(self, labels: Labels) -> list[str]:
        """For each of these ids, which are held, a digest of the codes that stand for its vectors; it stays when other rows go.

        Cost: one pass over the codes in the order in which they lie, and a digest an id.
        """
        first, after = self._places(labels)
        found = np.empty(len(labels), object)
        single = np.flatnonzero(after - first == 1)
        rows = self._sorted[1][first[single]]
        ascending = np.argsort(rows)
        found[single[ascending]] = list(self._digests(rows[ascending]))
        for place in np.flatnonzero(after - first != 1).tolist():
            codes = sorted(block.codes[row].tobytes() for block, row in self._rows(int(labels[place])))
            found[place] = hashlib.blake2b(b"".join(codes), digest_size=DIGEST_BYTES).hexdigest()
        stamps: list[str] = found.tolist()
        return stamps

    def _digests(self, rows: Rows) -> Iterator[str]:
        digest = hashlib.blake2b
        for block, inner in self.by_block(rows):
            width = block.codes.shape[1]
            data = np.ascontiguousarray(block.codes).reshape(-1).data
            for at in (inner * width).tolist():
                yield digest(data[at : at + width], digest_size=DIGEST_BYTES).hexdigest()

    def sizes(self, labels: Labels) -> list[int]:
        """How long `vectors` of each of these ids is."""
        lengths = [len(block.decode(0)) if block.told and len(block.labels) else 0 for block in self.blocks]
        each = np.repeat(np.asarray(lengths, np.int64), np.diff(self._starts))
        until = np.append(0, np.cumsum(each[self._sorted[1]]))
        first, after = self._places(labels)
        sizes: list[int] = (until[after] - until[first]).tolist()
        return sizes

    def vectors(self, label: int) -> bytes:
        """The vectors of this id, one after the other."""
        return b"".join(block.decode(row) for block, row in self._rows(label) if block.told)

    def staying(self, gone: Labels) -> list[Rows]:
        """For each block, its rows that are none of these ids'."""
        stay = ~np.isin(self._labels_of_rows, gone)
        return [np.flatnonzero(part) for part in np.split(stay, self._starts[1:-1])] if self.blocks else []


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


@dataclass(frozen=True)
class Rest:
    """What stays of one block: `rows` of its codes (all of them where None), under the ids that they will have."""

    labels: Labels
    codes: Codes
    rows: Rows | None = None


def kept_aside(opened: Opened, gone: Labels) -> list[Rest]:
    """The rows that stay, for `same_rest` after the index itself was changed. Codes that lie in the index are copied."""
    aside = []
    going = np.sort(gone)
    for block, rows in zip(opened.blocks, opened.staying(gone), strict=True):
        labels = block.labels[rows]
        if opened.positional:
            labels = labels - np.searchsorted(going, labels)
        aside.append(Rest(labels, block.codes, rows) if block.own else Rest(labels, block.codes[rows]))
    return aside


def same_rest(rest: Sequence[Rest], found: Sequence[Block], *, dealt_anew: bool = False) -> bool:
    """Whether `found` holds just the rows of `rest`, with their codes bit by bit; with `dealt_anew`, in whichever block."""
    if dealt_anew and not len(rest) == len(found) == 1:
        codes = [old.codes if old.rows is None else old.codes[old.rows] for old in rest]
        rest = [Rest(np.concatenate([old.labels for old in rest]), np.concatenate(codes))]
        labels, rows = [new.labels for new in found], [new.codes for new in found]
        found = [Block(np.concatenate(labels), np.concatenate(rows), found[0].decode)]
    return len(rest) == len(found) and all(_same(old, new) for old, new in zip(rest, found, strict=True))


def _same(old: Rest, new: Block) -> bool:
    if old.labels.shape != new.labels.shape or old.codes.shape[1] != new.codes.shape[1]:
        return False
    if np.array_equal(old.labels, new.labels):
        return _same_codes(old.codes, old.rows, new.codes)
    first, second = np.argsort(old.labels, kind="stable"), np.argsort(new.labels, kind="stable")
    labels = old.labels[first]
    if not np.array_equal(labels, new.labels[second]):
        return False
    rows = np.empty(len(first), np.intp)
    rows[second] = first if old.rows is None else old.rows[first]
    if _same_codes(old.codes, rows, new.codes):
        return True
    # Several rows of one id may have changed places among themselves.
    codes = old.codes if old.rows is None else old.codes[old.rows]
    return bool((labels[1:] == labels[:-1]).any()) and np.array_equal(
        _ordered(old.labels, codes), _ordered(new.labels, new.codes)
    )


def _same_codes(old: Codes, rows: Rows | None, new: Codes) -> bool:
    """Bit by bit, a piece at a time: the whole would need as much memory again, and would not stay near the processor."""
    step = max(1, _PIECE_BYTES // max(1, old.shape[1]))
    for at in range(0, len(new), step):
        piece = slice(at, at + step)
        if (old[piece if rows is None else rows[piece]] != new[piece]).any():
            return False
    return True


def _ordered(labels: Labels, codes: Codes) -> NDArray[np.void]:
    ids = labels.astype(">u8").view(np.uint8).reshape(-1, 8)
    rows = np.ascontiguousarray(np.hstack([ids, codes]))
    return np.sort(rows.view(f"V{rows.shape[1]}").ravel())
