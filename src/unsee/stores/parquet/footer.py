"""The footer of a Parquet file as a tree: where its column chunks lie, and how a new file's footer is made of old parts.

Field numbers are those of `parquet.thrift` (apache/parquet-format); fields that are not named here are carried along.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from unsee.core.errors import StoreError
from unsee.stores.parquet import thrift
from unsee.stores.parquet.thrift import BINARY, I16, I32, I64, LIST, STRUCT, Struct, ThriftError

MAGIC = b"PAR1"
ENCRYPTED = b"PARE"
LONGEST = 128 << 20
"""Bytes of a footer; one of 10,000 row groups of 20 columns has about 30 MB."""
_OLD_WRITER = re.compile(rb"parquet-mr version 1\.(?:[01]\.|2\.[0-8](?:\D|$))")
"""They count a chunk's size without the header of its dictionary page (PARQUET-816)."""

# FileMetaData
SCHEMA, NUM_ROWS, GROUPS, KEY_VALUES, CREATED_BY, ENCRYPTION = 2, 3, 4, 5, 6, 8
# RowGroup
COLUMNS, GROUP_PLAIN_SIZE, GROUP_ROWS, SORTING, GROUP_OFFSET, GROUP_SIZE, ORDINAL = range(1, 8)
# ColumnChunk
FILE_PATH, CHUNK_OFFSET, META, OFFSET_INDEX, OFFSET_INDEX_LENGTH, COLUMN_INDEX, COLUMN_INDEX_LENGTH, CRYPTO = range(
    1, 9
)
ENCRYPTED_META = 9
# ColumnMetaData
TYPE, ENCODINGS, PATH, CODEC, NUM_VALUES, PLAIN_SIZE, SIZE, _, DATA_PAGE, INDEX_PAGE, DICTIONARY_PAGE = range(1, 12)
STATISTICS, ENCODING_STATS, BLOOM_FILTER, BLOOM_FILTER_LENGTH = 12, 13, 14, 15
# SchemaElement
E_TYPE, E_LENGTH, E_REPETITION, E_NAME, E_CHILDREN, E_CONVERTED, E_LOGICAL = 1, 2, 3, 4, 5, 6, 10


def get(struct: Struct, field: int, default: Any = None) -> Any:
    """The value of a field."""
    return struct[field][1] if field in struct else default


@dataclass(frozen=True, slots=True)
class Footer:
    """A file's metadata, looked through: every column chunk lies in the file and none upon another."""

    tree: Struct
    end: int
    """Where the footer begins: data lie before."""

    @property
    def groups(self) -> list[Struct]:
        """The row groups."""
        groups: list[Struct] = get(self.tree, GROUPS, (STRUCT, []))[1]
        return groups

    @property
    def schema(self) -> list[Struct]:
        """The schema's elements, depth first, the root first."""
        elements: list[Struct] = get(self.tree, SCHEMA)[1]
        return elements

    @property
    def untold_sizes(self) -> bool:
        """Whether the sizes of chunks cannot be relied on, so that none is copied as bytes."""
        return bool(_OLD_WRITER.match(get(self.tree, CREATED_BY, b"")))


def read(file: int) -> Footer:
    """The footer of an open file.

    Raises:
        StoreError: it is no Parquet file, is encrypted, is truncated, or its footer contradicts itself. The message completes
            "FILE: …".
        OSError: it cannot be read.
    """
    size = os.fstat(file).st_size
    tail = os.pread(file, 8, max(0, size - 8))
    if size < 12 or os.pread(file, 4, 0) not in {MAGIC, ENCRYPTED}:
        raise StoreError("it is no Parquet file")
    if tail[4:] == ENCRYPTED:
        raise StoreError("it is encrypted; unsee has no key to it")
    if tail[4:] != MAGIC:
        raise StoreError("it has no footer: it is truncated, or still being written")
    length = int.from_bytes(tail[:4], "little")
    if length > min(size - 12, LONGEST):
        raise StoreError(f"its footer says that it is {length:,} bytes long, which cannot be")
    try:
        tree, _ = thrift.read(os.pread(file, length, size - 8 - length))
        footer = Footer(tree, size - 8 - length)
        _look_through(footer)
    except ThriftError as error:
        raise StoreError(f"its footer cannot be read: {error}") from error
    except (KeyError, TypeError, AttributeError, IndexError) as error:  # a field of another type than the format says
        raise StoreError("its footer is not that of a Parquet file") from error
    return footer


def _look_through(footer: Footer) -> None:
    tree = footer.tree
    if ENCRYPTION in tree:
        raise StoreError("its columns are encrypted; unsee has no key to them")
    leaves = sum(E_TYPE in element for element in footer.schema)
    taken: list[tuple[int, int]] = []
    for group in footer.groups:
        if len(chunks(group)) != leaves or int(get(group, GROUP_ROWS)) < 0:
            raise StoreError("its footer lists a row group that does not fit its schema")
        for chunk in chunks(group):
            if {CRYPTO, ENCRYPTED_META} & chunk.keys():
                raise StoreError("a column is encrypted; unsee has no key to it")
            if FILE_PATH in chunk:
                raise StoreError("its rows lie in other files: it is a summary file")
            taken.append(span(chunk))
    taken = sorted((start, end) for start, end in taken if end > start)
    last = len(MAGIC)
    for start, end in taken:
        if start < last or end > footer.end:
            raise StoreError("its footer says that columns lie upon each other or beyond the file")
        last = end
    if get(tree, NUM_ROWS) != sum(get(group, GROUP_ROWS) for group in footer.groups):
        raise StoreError("its footer counts other rows than its row groups have")


def chunks(group: Struct) -> list[Struct]:
    """The column chunks of a row group."""
    columns: list[Struct] = get(group, COLUMNS)[1]
    return columns


def span(chunk: Struct) -> tuple[int, int]:
    """Where the pages of a chunk begin and end."""
    meta: Struct = get(chunk, META)
    start: int = get(meta, DATA_PAGE)
    dictionary: int = get(meta, DICTIONARY_PAGE, 0)
    if 0 < dictionary < start:
        start = dictionary
    size: int = get(meta, SIZE)
    if size < 0 or start < 0:
        raise StoreError("its footer holds a negative size")
    return start, start + size


def moved(chunk: Struct, by: int) -> Struct:
    """The chunk with its pages `by` bytes further on; its indexes and filter, which lie elsewhere, are left out."""
    start, end = span(chunk)
    meta: Struct = dict(get(chunk, META))
    for field in (DATA_PAGE, INDEX_PAGE, DICTIONARY_PAGE):
        if field in meta:
            inside = start <= meta[field][1] < end
            if inside or field == DATA_PAGE:
                meta[field] = (I64, meta[field][1] + by)
            else:
                del meta[field]  # a zero, or a place outside the chunk
    meta.pop(BLOOM_FILTER, None)
    meta.pop(BLOOM_FILTER_LENGTH, None)
    new: Struct = dict(chunk)
    for field in (OFFSET_INDEX, OFFSET_INDEX_LENGTH, COLUMN_INDEX, COLUMN_INDEX_LENGTH):
        new.pop(field, None)
    before = get(chunk, CHUNK_OFFSET, 0)
    new[CHUNK_OFFSET] = (I64, before + by if start <= before < end else 0)
    new[META] = (STRUCT, meta)
    return new


def moved_offset_index(data: bytes, by: int) -> bytes:
    """An OffsetIndex whose pages lie `by` bytes further on.

    Raises:
        ThriftError: it is none.
    """
    tree, _ = thrift.read(data)
    try:
        kind, pages = get(tree, 1)
        places = [{**page, 1: (I64, page[1][1] + by)} for page in pages]
    except (KeyError, TypeError) as error:
        raise ThriftError("an offset index is not one") from error
    return thrift.write({**tree, 1: (LIST, (kind, places))})


def group_of(old: Struct, columns: Sequence[Struct], ordinal: int) -> Struct:
    """A row group of these chunks, with what the old one says of its order and whatever else."""
    group: Struct = {**old, COLUMNS: (LIST, (STRUCT, list(columns)))}
    if GROUP_OFFSET in group:
        group[GROUP_OFFSET] = (I64, span(columns[0])[0] if columns else 0)
    group.pop(ORDINAL, None)
    if ORDINAL in old and ordinal < 1 << 15:
        group[ORDINAL] = (I16, ordinal)
    return group


def ending(tree: Struct, groups: Sequence[Struct]) -> bytes:
    """The end of a file: the footer for these groups, its length, the magic."""
    rows = sum(get(group, GROUP_ROWS) for group in groups)
    data = thrift.write({**tree, NUM_ROWS: (I64, rows), GROUPS: (LIST, (STRUCT, list(groups)))})
    return data + len(data).to_bytes(4, "little") + MAGIC


# The physical view: columns as the levels and bytes that they are, whatever they mean. Arrow carries these through unchanged;
# it does not do so with every logical type (INT96, decimals, times, dictionaries, extensions).

INT96, FIXED = 3, 7
REQUIRED = 0


@dataclass(frozen=True, slots=True)
class Leaf:
    """A column. Two files whose leaves are equal can hold each other's chunks: `levels` are the optional and repeated steps."""

    kind: int
    width: int
    levels: tuple[int, ...]
    orderly: bool
    """Whether its logical order is the order of the physical values, so that statistics of these serve."""


def leaves(schema: Sequence[Struct]) -> list[Leaf]:
    """The columns of a schema, in order.

    Raises:
        StoreError: the elements are no tree.
    """
    found: list[Leaf] = []
    at = 1
    open_groups: list[tuple[int, tuple[int, ...]]] = [(get(schema[0], E_CHILDREN, 0), ())]
    while open_groups:
        left, above = open_groups.pop()
        if not left:
            continue
        open_groups.append((left - 1, above))
        if at >= len(schema) or len(open_groups) > 100:
            raise StoreError("its schema is no tree")
        element = schema[at]
        repetition = get(element, E_REPETITION, REQUIRED)
        levels = above if repetition == REQUIRED else (*above, repetition)
        if E_TYPE in element:
            kind = get(element, E_TYPE)
            found.append(Leaf(kind, get(element, E_LENGTH, 0) if kind == FIXED else 0, levels, _orderly(element)))
        else:
            open_groups.append((get(element, E_CHILDREN, 0), levels))
        at += 1
    if at != len(schema):
        raise StoreError("its schema is no tree")
    return found


_UNSIGNED = {11, 12, 13, 14}
_DECIMAL, _INTERVAL = 5, 21
_L_STRING, _L_ENUM, _L_DECIMAL, _L_DATE, _L_TIME, _L_TIMESTAMP, _L_INTEGER, _L_JSON, _L_BSON, _L_UUID = (
    1,
    4,
    5,
    6,
    7,
    8,
    10,
    12,
    13,
    14,
)


def _orderly(element: Struct) -> bool:
    kind, converted = get(element, E_TYPE), get(element, E_CONVERTED)
    if kind == INT96 or converted in _UNSIGNED or converted == _INTERVAL:
        return False
    numeric = kind in {1, 2}
    for logical, (_, value) in get(element, E_LOGICAL, {}).items():
        if logical == _L_INTEGER:
            return bool(get(value, 2, True))
        if logical == _L_DECIMAL:
            return numeric
        if logical not in {_L_STRING, _L_ENUM, _L_DATE, _L_TIME, _L_TIMESTAMP, _L_JSON, _L_BSON, _L_UUID}:
            return False
    return numeric if converted == _DECIMAL else True


def physical(footer: Footer, groups: Sequence[int]) -> pq.FileMetaData:
    """Metadata by which pyarrow reads these groups of the file as bare physical values, INT96 as its 12 bytes.

    Elements are named by their number, so that names that pyarrow cannot tell apart do no harm.
    """
    schema = [_bare(element, n) for n, element in enumerate(footer.schema)]
    names = [str(get(element, E_NAME), "ascii") for element in schema if E_TYPE in element]
    tree: Struct = {1: (I32, 2), SCHEMA: (LIST, (STRUCT, schema))}
    bare = [_bare_group(footer.groups[n], names) for n in groups]
    return pq.read_metadata(io.BytesIO(MAGIC + ending(tree, bare)))


def _bare(element: Struct, n: int) -> Struct:
    bare: Struct = {field: element[field] for field in (E_LENGTH, E_REPETITION, E_CHILDREN) if field in element}
    bare[E_NAME] = (BINARY, b"n%d" % n)
    if E_TYPE in element:
        bare[E_TYPE] = (I32, FIXED if get(element, E_TYPE) == INT96 else get(element, E_TYPE))
        if get(element, E_TYPE) == INT96:
            bare[E_LENGTH] = (I32, 12)
    return bare


def _bare_group(group: Struct, names: Sequence[str]) -> Struct:
    columns: list[Struct] = []
    for chunk, name in zip(chunks(group), names, strict=True):
        meta: Struct = {
            field: value for field, value in get(chunk, META).items() if field not in {STATISTICS, BLOOM_FILTER, 16, 17}
        }
        if get(meta, TYPE) == INT96:
            meta[TYPE] = (I32, FIXED)
        meta[PATH] = (LIST, (BINARY, [name.encode()]))
        columns.append({CHUNK_OFFSET: (I64, 0), META: (STRUCT, meta)})
    return {field: value for field, value in group.items() if field not in {COLUMNS, SORTING}} | {
        COLUMNS: (LIST, (STRUCT, columns))
    }


def stretches(spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Spans that touch, as one."""
    current: tuple[int, int] | None = None
    for start, end in spans:
        if current and current[1] == start:
            current = (current[0], end)
        else:
            if current:
                yield current
            current = (start, end)
    if current:
        yield current
