"""A Parquet file without some of its rows: row groups that hold none of them are copied as bytes, the others encoded anew."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from unsee.core.errors import StoreError
from unsee.stores import shards
from unsee.stores.parquet import footer as ft
from unsee.stores.parquet import thrift
from unsee.stores.parquet.footer import Footer, get
from unsee.stores.parquet.thrift import I32, I64, LIST, STRUCT, Struct, ThriftError

AT_ONCE = 2
"""Row groups that are encoded at a time; each takes about three times its size in memory."""
_CODECS = {0: "none", 1: "snappy", 2: "gzip", 4: "brotli", 5: "lz4", 6: "zstd", 7: "lz4"}
_ENCODINGS = {
    5: "DELTA_BINARY_PACKED",
    6: "DELTA_LENGTH_BYTE_ARRAY",
    7: "DELTA_BYTE_ARRAY",
    9: "BYTE_STREAM_SPLIT",
}
_DICTIONARY_ENCODINGS = {2, 8}
_BLOB_BYTES = 1024
"""Columns of larger values gain nothing by a dictionary, and pyarrow would collect a megabyte of it first."""
_PAGE_HEADER_BYTES = 1 << 16
_FEW_RUNS = 8


def rewrite(old: int, new: int, footer: Footer, going: Mapping[int, np.ndarray[Any, Any]]) -> None:
    """Write to `new` the file `old` without the rows that are True in `going[row group]`.

    Retained rows keep their order and every value its bytes. A group that loses all its rows is left out. Old statistics,
    dictionaries, bloom filters and page indexes of groups that lose rows are not taken along; their new ones know nothing of
    what went. Schema, key-value metadata and whatever else the footer says stay.

    Raises:
        StoreError: a group cannot be decoded, or its codec cannot be written.
        OSError: the disk is full, or the file ended before its time.
    """
    if footer.untold_sizes:
        none = {n: np.zeros(get(group, ft.GROUP_ROWS), bool) for n, group in enumerate(footer.groups)}
        going = {**none, **going}
    out = _Out(new)
    out.write(ft.MAGIC)
    work = [n for n in sorted(going) if not going[n].all()]
    encoded = _in_turn([partial(_encode, old, footer, n, ~going[n]) for n in work])
    for n, group in enumerate(footer.groups):
        if n not in going:
            out.copy(old, group)
        elif not going[n].all():
            out.put(next(encoded), group)
    out.finish(footer)


def _in_turn(work: Sequence[Callable[[], _Encoded]]) -> Iterator[_Encoded]:
    """Results in order, `AT_ONCE` under way."""
    if len(work) < AT_ONCE:
        yield from (one() for one in work)
        return
    waiting: deque[Future[_Encoded]] = deque()
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
class _Encoded:
    """A file of one row group, in memory."""

    data: memoryview
    group: Struct


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

    def write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            written = os.write(self.file, view)
            view, self.at = view[written:], self.at + written

    def copy(self, old: int, group: Struct) -> None:
        """Append a row group of the old file, its pages in the order in which they lie."""
        columns = self._place(group)
        for start, end in ft.stretches(sorted(map(ft.span, ft.chunks(group)))):
            shards.copy_range(old, self.file, start, end - start)
            self.at += end - start
        self._note(group, columns, lambda start, length: partial(_piece, old, start, length))
        self.groups.append(ft.group_of(group, columns, len(self.groups)))

    def put(self, made: _Encoded, like: Struct) -> None:
        """Append a row group that was encoded anew."""
        columns = self._place(made.group)
        for start, end in ft.stretches(sorted(map(ft.span, ft.chunks(made.group)))):
            self.write(made.data[start:end])
        self._note(made.group, columns, lambda start, length: partial(bytes, bytes(made.data[start : start + length])))
        told = {number: value for number, value in made.group.items() if number != ft.ORDINAL}
        self.groups.append(ft.group_of({**like, **told}, columns, len(self.groups)))

    def _place(self, group: Struct) -> list[Struct]:
        """The group's chunks as they will lie from here on."""
        moves: dict[tuple[int, int], int] = {}
        at = self.at
        for start, end in sorted(map(ft.span, ft.chunks(group))):
            moves[start, end] = at - start
            at += end - start
        return [ft.moved(chunk, moves[ft.span(chunk)]) for chunk in ft.chunks(group)]

    def _note(
        self, group: Struct, columns: Sequence[Struct], reader: Callable[[int, int], Callable[[], bytes]]
    ) -> None:
        for before, after in zip(ft.chunks(group), columns, strict=True):
            by = ft.span(after)[0] - ft.span(before)[0]
            for place, length in (
                (ft.BLOOM_FILTER, ft.BLOOM_FILTER_LENGTH),
                (ft.COLUMN_INDEX, ft.COLUMN_INDEX_LENGTH),
                (ft.OFFSET_INDEX, ft.OFFSET_INDEX_LENGTH),
            ):
                filtered = place == ft.BLOOM_FILTER
                told, tells = (get(before, ft.META), get(after, ft.META)) if filtered else (before, after)
                start, size = get(told, place, 0), get(told, length, 0)
                if filtered and start > 0 and not size:
                    size = _bloom_filter_length(reader(start, _PAGE_HEADER_BYTES)())
                if start > 0 and 0 < size <= ft.LONGEST:
                    self.beside.append(_Beside(place, length, tells, by, reader(start, size)))

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


def _bloom_filter_length(data: bytes) -> int:
    """Of the filter that begins so, with its header; 0 where none does."""
    try:
        header, end = thrift.read(data)
    except ThriftError:
        return 0
    size = get(header, 1, 0)
    return end + size if isinstance(size, int) and size > 0 else 0


# Encoding one row group anew.


def _encode(old: int, footer: Footer, n: int, keep: np.ndarray[Any, Any]) -> _Encoded:
    group = footer.groups[n]
    old_leaves = ft.leaves(footer.schema)
    sink = pa.BufferOutputStream()
    metadata = ft.physical(footer, [n])
    heads = [_first_page(old, chunk) for chunk in ft.chunks(group)]
    with (
        pa.OSFile(f"/proc/self/fd/{old}") as source,
        pq.ParquetFile(source, metadata=metadata, page_checksum_verification=any(4 in h for h in heads)) as reading,
    ):
        schema = reading.schema_arrow
        rows = reading.read_row_group(0, use_threads=False)
    if len(rows) != len(keep):
        raise StoreError(f"row group {n} holds {len(rows):,} rows, and its footer says {len(keep):,}")
    settings = _settings(group, old_leaves, heads, _written_paths(schema))
    with pq.ParquetWriter(sink, schema, **settings) as writing:
        rows = _kept(rows, keep)
        writing.write_table(rows, row_group_size=max(1, len(rows)))
    data = memoryview(sink.getvalue()).cast("B")
    return _Encoded(data, _fitted(data, footer, n, len(rows)))


def _kept(rows: pa.Table, keep: np.ndarray[Any, Any]) -> pa.Table:
    """Slices where the rows that go are few, so that the pictures between are not copied."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], keep, [False])).astype(np.int8)))
    starts, ends = edges[::2].tolist(), edges[1::2].tolist()
    if len(starts) * _FEW_RUNS > len(keep):
        return rows.filter(pa.array(keep))
    return pa.concat_tables([rows.slice(start, end - start) for start, end in zip(starts, ends, strict=True)])


def _first_page(file: int, chunk: Struct) -> Struct:
    """The header of a chunk's first data page; empty where there is none."""
    start = get(get(chunk, ft.META), ft.DATA_PAGE)
    try:
        return thrift.read(os.pread(file, _PAGE_HEADER_BYTES, start))[0]
    except ThriftError:
        return {}


def _settings(
    group: Struct, leaves: Sequence[ft.Leaf], heads: Sequence[Struct], paths: Sequence[str]
) -> dict[str, Any]:
    """How to write the group as its writer did, as far as the file tells."""
    chunks = ft.chunks(group)
    compression: dict[str, str] = {}
    dictionary: list[str] = []
    encodings: dict[str, str] = {}
    statistics: list[str] = []
    plain_dictionary = False
    for chunk, leaf, path in zip(chunks, leaves, paths, strict=True):
        meta = get(chunk, ft.META)
        codec = get(meta, ft.CODEC)
        if codec not in _CODECS:
            raise StoreError(f"a column is compressed with codec {codec}, which cannot be written")
        compression[path] = _CODECS[codec]
        used = set(get(meta, ft.ENCODINGS)[1])
        plain_dictionary |= 2 in used
        own = [name for number, name in _ENCODINGS.items() if number in used]
        if used & _DICTIONARY_ENCODINGS and not _is_blob(meta):
            dictionary.append(path)
        elif own:
            encodings[path] = own[0]
        if ft.STATISTICS in meta and leaf.orderly:
            statistics.append(path)
    return {
        "store_schema": False,
        "version": "1.0" if plain_dictionary else "2.6",
        "compression": compression,
        "use_dictionary": dictionary or False,
        "column_encoding": encodings or None,
        "write_statistics": statistics or False,
        "write_page_index": any(ft.OFFSET_INDEX in chunk for chunk in chunks),
        "data_page_version": "2.0" if any(get(head, 1) == 3 for head in heads) else "1.0",
        "write_page_checksum": any(4 in head for head in heads),
        "use_compliant_nested_type": False,
    }


def _is_blob(meta: Struct) -> bool:
    count = get(meta, ft.NUM_VALUES)
    return bool(count and get(meta, ft.PLAIN_SIZE) / count > _BLOB_BYTES)


def _written_paths(schema: pa.Schema) -> list[str]:
    """The paths of the columns as pyarrow will call them."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, store_schema=False, use_compliant_nested_type=False):
        pass
    written = pq.read_metadata(pa.BufferReader(sink.getvalue())).schema
    return [written.column(n).path for n in range(len(written))]


def _fitted(data: memoryview, footer: Footer, n: int, rows: int) -> Struct:
    """The one row group of the encoded file, told in the old file's terms.

    Raises:
        StoreError: it does not fit the old file's schema.
    """
    length = int.from_bytes(data[-8:-4], "little")
    tree, _ = thrift.read(data[-8 - length : -8])
    made: Struct = get(tree, ft.GROUPS)[1][0]
    physical = [
        replace(leaf, kind=ft.FIXED, width=12) if leaf.kind == ft.INT96 else leaf for leaf in ft.leaves(footer.schema)
    ]
    there = ft.leaves(get(tree, ft.SCHEMA)[1])
    if list(map(_form, there)) != list(map(_form, physical)):
        raise StoreError("its columns are nested in a way that cannot be written again")
    if get(made, ft.GROUP_ROWS) != rows:
        raise StoreError(f"row group {n} was written with another number of rows")
    columns: list[Struct] = []
    for chunk, old in zip(ft.chunks(made), ft.chunks(footer.groups[n]), strict=True):
        meta: Struct = {**get(chunk, ft.META), **{f: _meta_field(old, f) for f in (ft.TYPE, ft.PATH)}}
        columns.append({**chunk, ft.META: (STRUCT, meta)})
    return {**made, ft.COLUMNS: (LIST, (STRUCT, columns))}


def _meta_field(chunk: Struct, number: int) -> tuple[int, Any]:
    """A field of a chunk's metadata, with its type."""
    meta: Struct = get(chunk, ft.META)
    return meta[number]


def _form(leaf: ft.Leaf) -> tuple[int, int, tuple[int, ...]]:
    return leaf.kind, leaf.width, leaf.levels
