"""A Parquet file without some of its rows: row groups that hold none of them are copied as bytes, the others encoded anew."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np

from unsee.stores import shards
from unsee.stores.parquet import dictionaries, thrift
from unsee.stores.parquet import footer as ft
from unsee.stores.parquet.encoding import Encoded, without
from unsee.stores.parquet.footer import Footer, get
from unsee.stores.parquet.splicing import Piece
from unsee.stores.parquet.thrift import I32, I64, Struct, ThriftError

AT_ONCE = 2
"""Row groups that are encoded at a time; each takes about three times its size in memory."""
_FILTER_HEADER_BYTES = 256
_VIEWS_AT_ONCE = 1024
"""IOV_MAX of Linux."""


def rewrite(old: int, new: int, footer: Footer, going: Mapping[int, np.ndarray[Any, Any]]) -> list[int]:
    """Write to `new` the file `old` without the rows that are True in `going[row group]`.

    Retained rows keep their order and every value its bytes. A group that loses all its rows is left out. Old statistics,
    dictionaries, bloom filters and page indexes of groups that lose rows are not taken along; their new ones know nothing of
    what went. Schema, key-value metadata and whatever else the footer says stay.

    Returns:
        The groups of the new file that were encoded anew.

    Raises:
        StoreError: a group cannot be decoded, or its codec cannot be written.
        OSError: the disk is full, or the file ended before its time.
    """
    if footer.untold_sizes:
        none = {n: np.zeros(get(group, ft.GROUP_ROWS), bool) for n, group in enumerate(footer.groups)}
        going = {**none, **going}
    out, anew = _Out(new), list[int]()
    out.write(ft.MAGIC)
    staying = [n for n in range(len(footer.groups)) if n not in going or not going[n].all()]
    work = [
        partial(without, old, footer, n, ~going[n]) if n in going else partial(dictionaries.clean, old, footer, n)
        for n in staying
    ]
    for n, made in zip(staying, _in_turn(work), strict=True):
        if n in going:
            anew.append(len(out.groups))
        out.take(footer.groups[n], old, made)
    out.finish(footer)
    return anew


def _in_turn(work: Sequence[Callable[[], Encoded]]) -> Iterator[Encoded]:
    """Results in order, `AT_ONCE` under way."""
    if len(work) < AT_ONCE:
        yield from (one() for one in work)
        return
    waiting: deque[Future[Encoded]] = deque()
    left = iter(work)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for one in left:
            waiting.append(pool.submit(one))
            if len(waiting) == AT_ONCE:
                break
        while waiting:
            done = waiting.popleft().result()
            if (following := next(left, None)) is not None:
                waiting.append(pool.submit(following))
            yield done


@dataclass(frozen=True, slots=True)
class _Beside:
    """A bloom filter or index, which comes after all pages."""

    place: int
    length: int
    chunk: Struct
    """What tells of it, once it is written."""
    by: int
    """How far the pages moved."""
    read: Callable[[], bytes]


@dataclass(slots=True)
class _Out:
    """The new file as it grows."""

    file: int
    at: int = 0
    groups: list[Struct] = field(default_factory=list)
    beside: list[_Beside] = field(default_factory=list)

    def write(self, data: bytes) -> None:
        self.append([memoryview(data)], -1)

    def append(self, pieces: Iterable[Piece], old: int) -> None:
        """Append pieces, those in memory many at a time."""
        for in_memory, some in groupby(pieces, key=_is_in_memory):
            if in_memory:
                self.at += _write(self.file, [piece for piece in some if isinstance(piece, memoryview) and piece])
            else:
                for start, end in ft.stretches([(start, start + length) for start, length in some]):
                    shards.copy_range(old, self.file, start, end - start)
                    self.at += end - start

    def take(self, like: Struct, old: int, made: Encoded) -> None:
        """Append a row group: what was encoded anew of it, and the rest from the old file, in the order in which it lay there."""
        moves: dict[int, int] = {}
        at = self.at
        pieces: list[Piece] = []
        before = [made.columns[n].chunk if n in made.columns else chunk for n, chunk in enumerate(ft.chunks(like))]
        for n in sorted(range(len(before)), key=lambda n: ft.span(ft.chunks(like)[n])):
            start, end = ft.span(before[n])
            pieces.extend(made.columns[n].pieces if n in made.columns else [(start, end - start)])
            moves[n] = at - start
            at += end - start
        self.append(pieces, old)
        after = [ft.moved(chunk, moves[n]) for n, chunk in enumerate(before)]
        for n, (was, now) in enumerate(zip(before, after, strict=True)):
            reader = made.columns[n].beside if n in made.columns else partial(_piece, old)
            self._note(was, now, moves[n], reader, lasting=n not in made.columns)
        self.groups.append(ft.group_of({**like, **made.group}, after, len(self.groups)))

    def _note(self, was: Struct, now: Struct, by: int, reader: Callable[[int, int], bytes], *, lasting: bool) -> None:
        """Remember where a chunk's filters and indexes are. Those in a buffer are taken out of it, so that it can go."""
        for place, length in (
            (ft.BLOOM_FILTER, ft.BLOOM_FILTER_LENGTH),
            (ft.COLUMN_INDEX, ft.COLUMN_INDEX_LENGTH),
            (ft.OFFSET_INDEX, ft.OFFSET_INDEX_LENGTH),
        ):
            filtered = place == ft.BLOOM_FILTER
            told, tells = (get(was, ft.META), get(now, ft.META)) if filtered else (was, now)
            start, size = get(told, place, 0), get(told, length, 0)
            if filtered and start > 0 and not size:
                size = _bloom_filter_length(reader(start, _FILTER_HEADER_BYTES))
            if start > 0 and 0 < size <= ft.LONGEST:
                read = partial(reader, start, size) if lasting else partial(bytes, reader(start, size))
                self.beside.append(_Beside(place, length, tells, by, read))

    def finish(self, footer: Footer) -> None:
        """Append filters, indexes and the footer. An index that cannot be read is left out: readers do without."""
        for one in sorted(self.beside, key=lambda one: -one.place):  # bloom filters, column indexes, offset indexes
            data = one.read()
            if one.place == ft.OFFSET_INDEX:
                try:
                    data = ft.moved_offset_index(data, one.by)
                except ThriftError:
                    continue
            one.chunk[one.place], one.chunk[one.length] = (I64, self.at), (I32, len(data))
            self.write(data)
        self.write(ft.ending(footer.tree, self.groups))


def _piece(file: int, start: int, length: int) -> bytes:
    return os.pread(file, length, start)


def _is_in_memory(piece: Piece) -> bool:
    return isinstance(piece, memoryview)


def _write(file: int, views: list[memoryview]) -> int:
    """Append all of the views; how many bytes they are."""
    total = sum(map(len, views))
    first = 0
    while first < len(views):
        written = os.writev(file, views[first : first + _VIEWS_AT_ONCE])
        while first < len(views) and written >= len(views[first]):
            written -= len(views[first])
            first += 1
        if written:
            views[first] = views[first][written:]
    return total


def _bloom_filter_length(data: bytes) -> int:
    """Of the filter that begins so, with its header; 0 where none does."""
    try:
        header, end = thrift.read(data)
    except ThriftError:
        return 0
    size = get(header, 1, 0)
    return end + size if isinstance(size, int) and size > 0 else 0
