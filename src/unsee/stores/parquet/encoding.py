"""Encodes one row group of a Parquet file anew, without some rows, or only some of its columns: as its writer did."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from unsee.core.errors import StoreError
from unsee.stores.parquet import footer as ft
from unsee.stores.parquet import splicing, thrift
from unsee.stores.parquet.footer import Footer, get
from unsee.stores.parquet.splicing import BLOB_BYTES, Piece
from unsee.stores.parquet.thrift import STRUCT, Struct, ThriftError

_CODECS = {0: "none", 1: "snappy", 2: "gzip", 4: "brotli", 5: "lz4", 6: "zstd", 7: "lz4"}
_ENCODINGS = {5: "DELTA_BINARY_PACKED", 6: "DELTA_LENGTH_BYTE_ARRAY", 7: "DELTA_BYTE_ARRAY", 9: "BYTE_STREAM_SPLIT"}
_DICTIONARY_ENCODINGS = {2, 8}
_PAGE_HEADER_BYTES = 1 << 16
_FEW_RUNS = 8
_CRC = 4
"""Field of a page header."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a row group, made anew."""

    chunk: Struct
    """As the footer of a file would tell of it."""
    pieces: Sequence[Piece]
    """Its pages."""
    beside: Callable[[int, int], bytes]
    """Reads what else the chunk tells of: the bytes from a place on, so many."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Columns of a row group, made anew."""

    columns: Mapping[int, Column] = field(default_factory=dict)
    """By their number."""
    group: Struct = field(default_factory=dict)
    """What is new of the row group: rows and sizes; empty where only some columns are here."""


def without(old: int, footer: Footer, n: int, keep: np.ndarray[Any, Any]) -> Encoded:
    """Row group `n` with the rows that are True in `keep`: columns of pictures spliced where they can be, the others encoded.

    Raises:
        As `encode`.
    """
    made: dict[int, Column] = {}
    for number, (chunk, leaf) in enumerate(zip(ft.chunks(footer.groups[n]), ft.leaves(footer.schema), strict=True)):
        if not footer.untold_sizes and splicing.can(chunk, leaf):
            with suppress(
                ValueError, KeyError, TypeError, pa.ArrowException
            ):  # pyarrow may yet read it, or says why not
                spliced = splicing.splice(old, chunk, leaf, keep)
                made[number] = Column(spliced.chunk, spliced.pieces, partial(_all_of, spliced.index))
    others = [number for number in range(len(ft.chunks(footer.groups[n]))) if number not in made]
    if others:
        made.update(encode(old, footer, n, keep, others))
    told = [get(column.chunk, ft.META) for column in made.values()]
    sizes = {ft.GROUP_PLAIN_SIZE: sum(get(meta, ft.PLAIN_SIZE) for meta in told)}
    sizes[ft.GROUP_ROWS] = int(keep.sum())
    if ft.GROUP_SIZE in footer.groups[n]:
        sizes[ft.GROUP_SIZE] = sum(get(meta, ft.SIZE) for meta in told)
    return Encoded(made, {number: (thrift.I64, size) for number, size in sizes.items()})


def _all_of(index: bytes, start: int, length: int) -> bytes:
    del start, length  # there is one thing beside a spliced chunk
    return index


def encode(old: int, footer: Footer, n: int, keep: np.ndarray[Any, Any], numbers: Sequence[int]) -> dict[int, Column]:
    """These columns of row group `n` with the rows that are True in `keep`.

    They are read and written as the physical values that they are, so nothing depends on what Arrow makes of their types.

    Raises:
        StoreError: a column cannot be decoded, its codec cannot be written, or what was written does not fit the file.
    """
    group = footer.groups[n]
    with reading(old, footer, n) as (source, names):
        rows = _read(source, {names[number]: ft.chunks(group)[number] for number in numbers})
    if len(rows) != len(keep):
        raise StoreError(f"row group {n} holds {len(rows):,} rows, and its footer says {len(keep):,}")
    leaves = ft.leaves(footer.schema)
    chunks = [ft.chunks(group)[number] for number in numbers]
    settings = _settings(old, chunks, [leaves[number] for number in numbers], _written_paths(rows.schema))
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, rows.schema, **settings) as writing:
        rows = _kept(rows, keep)
        writing.write_table(rows, row_group_size=max(1, len(rows)))
    data = memoryview(sink.getvalue()).cast("B")
    made = _fitted(data, [leaves[number] for number in numbers], chunks, len(rows))
    return {
        number: Column(chunk, [data[slice(*ft.span(chunk))]], partial(_slice, data))
        for number, chunk in zip(numbers, made, strict=True)
    }


def _read(source: pq.ParquetFile, columns: Mapping[str, Struct]) -> pa.Table:
    """These columns, by the reader's names for them; one that pyarrow cannot decode is named as the file names it."""
    try:
        return source.read_row_group(0, columns=list(columns), use_threads=False)
    except (pa.ArrowException, OSError) as error:  # OSError is Arrow's word for damaged data
        if len(columns) > 1:
            for name, chunk in columns.items():
                _read(source, {name: chunk})
        paths = [b".".join(get(get(chunk, ft.META), ft.PATH)[1]).decode(errors="replace") for chunk in columns.values()]
        raise StoreError(
            f"pyarrow cannot decode {', '.join(map(repr, paths))}: {error}; "
            "write the file anew with a program that reads it, then erase"
        ) from error


def _slice(data: memoryview, start: int, length: int) -> bytes:
    return bytes(data[start : start + length])


@contextmanager
def reading(old: int, footer: Footer, n: int) -> Iterator[tuple[pq.ParquetFile, list[str]]]:
    """A reader of one row group by its physical values, and the names by which it knows the columns."""
    metadata = ft.physical(footer, [n])
    names = [metadata.schema.column(number).path for number in range(metadata.num_columns)]
    checked = any(_CRC in first_page(old, chunk) for chunk in ft.chunks(footer.groups[n]))
    with (
        pa.OSFile(f"/proc/self/fd/{old}") as source,
        pq.ParquetFile(source, metadata=metadata, pre_buffer=False, page_checksum_verification=checked) as file,
    ):
        yield file, names


def _kept(rows: pa.Table, keep: np.ndarray[Any, Any]) -> pa.Table:
    """Slices where the rows that go are few, so that the pictures between are not copied."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], keep, [False])).astype(np.int8)))
    starts, ends = edges[::2].tolist(), edges[1::2].tolist()
    if len(starts) * _FEW_RUNS > len(keep):
        return rows.filter(pa.array(keep))
    return pa.concat_tables([rows.slice(start, end - start) for start, end in zip(starts, ends, strict=True)])


def first_page(file: int, chunk: Struct) -> Struct:
    """The header of a chunk's first data page; empty where there is none."""
    start = get(get(chunk, ft.META), ft.DATA_PAGE)
    try:
        return thrift.read(os.pread(file, _PAGE_HEADER_BYTES, start))[0]
    except ThriftError:
        return {}


def _settings(old: int, chunks: Sequence[Struct], leaves: Sequence[ft.Leaf], paths: Sequence[str]) -> dict[str, Any]:
    """How to write the columns as their writer did, as far as the file tells."""
    heads = [first_page(old, chunk) for chunk in chunks]
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
        if used & _DICTIONARY_ENCODINGS and not is_blob(meta):
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
        "write_page_checksum": any(_CRC in head for head in heads),
        "use_compliant_nested_type": False,
    }


def is_blob(meta: Struct) -> bool:
    """Whether the values of a chunk are large on average: pictures."""
    count = get(meta, ft.NUM_VALUES)
    return bool(count and get(meta, ft.PLAIN_SIZE) / count > BLOB_BYTES)


def _written_paths(schema: pa.Schema) -> list[str]:
    """The paths of the columns as pyarrow will call them."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, store_schema=False, use_compliant_nested_type=False):
        pass
    written = pq.read_metadata(pa.BufferReader(sink.getvalue())).schema
    return [written.column(n).path for n in range(len(written))]


def _fitted(data: memoryview, leaves: Sequence[ft.Leaf], old: Sequence[Struct], rows: int) -> list[Struct]:
    """The chunks of the encoded file's one row group, told in the old file's terms.

    Raises:
        StoreError: it does not fit the old file's schema.
    """
    length = int.from_bytes(data[-8:-4], "little")
    tree, _ = thrift.read(data[-8 - length : -8])
    made: Struct = get(tree, ft.GROUPS)[1][0]
    wanted = [replace(leaf, kind=ft.FIXED, width=12) if leaf.kind == ft.INT96 else leaf for leaf in leaves]
    if list(map(_form, ft.leaves(get(tree, ft.SCHEMA)[1]))) != list(map(_form, wanted)):
        raise StoreError("its columns are nested in a way that cannot be written again")
    if get(made, ft.GROUP_ROWS) != rows:
        raise StoreError(f"{get(made, ft.GROUP_ROWS):,} rows were written instead of {rows:,}")
    columns: list[Struct] = []
    for new, was in zip(ft.chunks(made), old, strict=True):
        told: Struct = get(was, ft.META)
        meta: Struct = {**get(new, ft.META), ft.TYPE: told[ft.TYPE], ft.PATH: told[ft.PATH]}
        columns.append({**new, ft.META: (STRUCT, meta)})
    return columns


def _form(leaf: ft.Leaf) -> tuple[int, int, tuple[int, ...]]:
    return leaf.kind, leaf.width, leaf.levels
