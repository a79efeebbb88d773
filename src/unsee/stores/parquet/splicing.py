"""Columns of pictures without some rows, not decoded into columns: the bytes of the values that stay go from page to page.

A page of which all rows stay is copied as bytes, its header too. Of others the stretches of values that stay are taken as they
are. Pages of indices into a dictionary of pictures (pyarrow begins every column so) become plain ones, which hold the same bytes,
and the dictionary goes. Statistics of such columns are left out, but for the count of nulls.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from unsee.stores.parquet import footer as ft
from unsee.stores.parquet import levels, thrift
from unsee.stores.parquet.footer import Leaf, get
from unsee.stores.parquet.levels import Unfit
from unsee.stores.parquet.thrift import FALSE, I32, I64, LIST, STRUCT, Struct

Piece: TypeAlias = "memoryview | tuple[int, int]"
"""Bytes, or where in the old file they begin and how many they are."""

BLOB_BYTES = 1024
"""Columns whose values are larger on average are spliced."""
_BYTES = 6
_REPEATED = 2
_PLAIN, _PLAIN_DICTIONARY, _RLE, _RLE_DICTIONARY = 0, 2, 3, 8
_DATA, _DICTIONARY, _DATA_2 = 0, 2, 3
_HEADER_BYTES = 1 << 14
_LONGEST_HEADER = 1 << 20
_PAGE_BYTES = 1 << 20
_CODECS = {0: None, 1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd", 7: "lz4_raw"}
_SNAPPY = 1
_INCOMPRESSIBLE = 0.97
_BASE = len(ft.MAGIC)


@dataclass(frozen=True, slots=True)
class Spliced:
    """A column chunk of a row group, placed as if it were the first of a file."""

    chunk: Struct
    pieces: Sequence[Piece]
    index: bytes
    """Its offset index, which the chunk says lies behind it; empty where the old chunk had none."""


def can(chunk: Struct, leaf: Leaf) -> bool:
    """Whether a chunk is a column of pictures that can be spliced, as far as the footer tells."""
    meta: Struct = get(chunk, ft.META)
    count = get(meta, ft.NUM_VALUES)
    return bool(
        leaf.kind == _BYTES
        and _REPEATED not in leaf.levels
        and get(meta, ft.CODEC) in _CODECS
        and set(get(meta, ft.ENCODINGS)[1]) <= {_PLAIN, _PLAIN_DICTIONARY, _RLE, _RLE_DICTIONARY}
        and count
        and get(meta, ft.PLAIN_SIZE) / count > BLOB_BYTES
    )


def splice(old: int, chunk: Struct, leaf: Leaf, keep: np.ndarray[Any, Any]) -> Spliced:
    """The chunk with the rows that are True in `keep`, at least one.

    Raises:
        Unfit, ThriftError, KeyError, TypeError, pa.ArrowException: it is not of the form that is spliced, or damaged.
        OSError: it cannot be read.
    Cost: reads the pages that lose rows, decompresses them, and compresses what stays; what snappy could not make smaller is
    stored in its format without trying again. Memory: the pages that lose rows.
    """
    out = _Chunk(get(get(chunk, ft.META), ft.CODEC), len(leaf.levels))
    row = 0
    words: _Values | None = None
    for page in _pages(old, *ft.span(chunk)):
        if page.kind == _DICTIONARY:
            words = _dictionary(page, out.codec)
            continue
        if not 0 < page.count <= len(keep) - row:
            raise Unfit("a page of other rows than its group has")
        staying = keep[row : row + page.count]
        row += page.count
        if page.encoding == _PLAIN and staying.all():
            out.copy(page)
        elif staying.any():
            out.take(page, staying, words)
    if row != len(keep):
        raise Unfit("pages of other rows than their group has")
    return out.finish(chunk)


@dataclass(frozen=True, slots=True)
class _Page:
    file: int
    start: int
    head: int
    """Bytes of its header."""
    header: Struct

    @property
    def kind(self) -> int:
        kind = get(self.header, 1)
        if kind not in {_DATA, _DICTIONARY, _DATA_2}:
            raise Unfit(f"a page of kind {kind}")
        return int(kind)

    @property
    def told(self) -> Struct:
        """What the header says of this kind of page."""
        told: Struct = get(self.header, {_DATA: 5, _DICTIONARY: 7, _DATA_2: 8}[self.kind])
        if self.kind == _DATA and get(told, 3) != _RLE:
            raise Unfit("levels in an encoding of old")
        return told

    @property
    def count(self) -> int:
        return int(get(self.told, 1))

    @property
    def encoding(self) -> int:
        return int(get(self.told, 4 if self.kind == _DATA_2 else 2))

    @property
    def plain_size(self) -> int:
        return int(get(self.header, 2))

    @property
    def size(self) -> int:
        return int(get(self.header, 3))

    @property
    def checked(self) -> bool:
        return 4 in self.header

    def body(self) -> bytes:
        """Its bytes behind the header; their checksum, where it has one, holds."""
        data = os.pread(self.file, self.size, self.start + self.head)
        if len(data) != self.size:
            raise Unfit("a page that ends before its time")
        if self.checked and zlib.crc32(data) != get(self.header, 4) & 0xFFFFFFFF:
            raise Unfit("a page with another checksum")
        return data


def _pages(file: int, start: int, end: int) -> Iterator[_Page]:
    while start < end:
        size = _HEADER_BYTES
        while True:
            try:
                header, head = thrift.read(os.pread(file, min(size, end - start), start))
                break
            except thrift.ThriftError:
                if size >= min(_LONGEST_HEADER, end - start):
                    raise
                size *= 8  # statistics of large values are in it
        page = _Page(file, start, head, header)
        if min(page.size, page.plain_size) < 0 or start + head + page.size > end:
            raise Unfit("a page that ends behind its column")
        yield page
        start += head + page.size


@dataclass(frozen=True, slots=True)
class _Values:
    """Values as they lie in a page, each behind its length."""

    data: memoryview
    ends: np.ndarray[Any, Any]
    """Where the values begin, and where the last one ends."""
    packs: bool
    """Whether their page became smaller when it was compressed."""

    def runs(self, which: np.ndarray[Any, Any]) -> list[memoryview]:
        """Their bytes, in as few stretches as they lie in."""
        breaks = np.flatnonzero(np.diff(which) != 1)
        firsts = self.ends[which[np.concatenate(([0], breaks + 1))]].tolist() if len(which) else []
        lasts = self.ends[which[np.concatenate((breaks, [len(which) - 1]))] + 1].tolist() if len(which) else []
        return [self.data[first:last] for first, last in zip(firsts, lasts, strict=True)]

    def sizes(self, which: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        sizes: np.ndarray[Any, Any] = self.ends[which + 1] - self.ends[which]
        return sizes


def _values(page: _Page, data: memoryview, count: int) -> _Values:
    ends, at = [0], 0
    length_at = struct.Struct("<I").unpack_from
    try:
        for _ in range(count):
            at += 4 + length_at(data, at)[0]
            ends.append(at)
    except struct.error:
        raise Unfit("values that end before their time") from None
    if at != len(data):
        raise Unfit("values of another length than their page")
    return _Values(data, np.array(ends, np.int64), page.size < page.plain_size * _INCOMPRESSIBLE)


def _dictionary(page: _Page, codec: int) -> _Values:
    if page.encoding not in {_PLAIN, _PLAIN_DICTIONARY} or not 0 <= page.count <= page.plain_size // 4:
        raise Unfit("a dictionary in another encoding")
    return _values(page, _plain(memoryview(page.body()), page.plain_size, codec), page.count)


def _plain(data: memoryview, size: int, codec: int) -> memoryview:
    """Decompressed."""
    name = _CODECS[codec]
    if name is None:
        if len(data) != size:
            raise Unfit("a page of two sizes")
        return data
    return memoryview(pa.decompress(data, size, codec=name)).cast("B")


def _contents(page: _Page, codec: int, depth: int) -> tuple[np.ndarray[Any, Any], memoryview]:
    """The definition level of each row, and the values."""
    data = memoryview(page.body())
    width = depth.bit_length()
    if page.kind == _DATA:
        data = _plain(data, page.plain_size, codec)
        length = int.from_bytes(data[:4], "little") if depth else 0
        found, data = data[4 : 4 + length], data[4 + length :] if depth else data
    else:
        length, repeated = get(page.told, 5), get(page.told, 6)
        if repeated or not 0 <= length <= min(len(data), page.plain_size):
            raise Unfit("levels that are longer than their page")
        found, data = data[:length], data[length:]
        packed = codec if get(page.told, 7, True) and len(data) else 0
        data = _plain(data, page.plain_size - length, packed)
    if len(found) != length:
        raise Unfit("levels that are longer than their page")
    return levels.read(found, width, page.count) if depth else np.zeros(page.count, np.int64), data


@dataclass(slots=True)
class _Chunk:
    """The new chunk as it grows."""

    codec: int
    depth: int
    pieces: list[Piece] = field(default_factory=list)
    size: int = 0
    plain_size: int = 0
    rows: int = 0
    nulls: int | None = 0
    """None where a page that was copied does not tell."""
    kinds: dict[int, int] = field(default_factory=dict)
    places: list[Struct] = field(default_factory=list)

    def copy(self, page: _Page) -> None:
        """A page as it is."""
        nulls = get(page.told, 2) if page.kind == _DATA_2 else get(get(page.told, 5, {}), 3)
        if not self.depth:
            nulls = 0
        self.nulls = None if nulls is None or self.nulls is None else self.nulls + nulls
        self._add(page.kind, page.count, page.head + page.plain_size, [(page.start, page.head + page.size)])

    def take(self, page: _Page, staying: np.ndarray[Any, Any], words: _Values | None) -> None:
        """The rows of a page that stay, as pages of about a megabyte."""
        found, data = _contents(page, self.codec, self.depth)
        if len(found) and found.max() > self.depth:
            raise Unfit("levels that cannot be")
        there = found == self.depth
        if page.encoding == _PLAIN:
            values, which = _values(page, data, int(there.sum())), np.arange(int(there.sum()))
        else:
            values, which = _looked_up(page, data, words, int(there.sum()))
        which, found, there = which[staying[there]], found[staying], there[staying]
        sizes = np.zeros(len(found), np.int64)
        sizes[there] = values.sizes(which)
        if values is words and sizes.sum() > 2 * len(words.data):
            raise Unfit("pictures that its dictionary holds once")
        cuts = np.flatnonzero(np.diff(np.cumsum(sizes) // _PAGE_BYTES)) + 1
        seen = np.concatenate(([0], np.cumsum(there)))
        edges = [0, *cuts.tolist(), len(found)]
        for first, last in pairwise(edges):
            runs = values.runs(which[seen[first] : seen[last]])
            nulls = last - first - int(seen[last] - seen[first])
            self._write(page, found[first:last], nulls, runs, tried=values.packs)

    def _write(
        self, like: _Page, found: np.ndarray[Any, Any], nulls: int, values: list[memoryview], *, tried: bool
    ) -> None:
        packed = levels.write(found) if self.depth else b""
        if like.kind == _DATA:
            before = [memoryview(len(packed).to_bytes(4, "little") + packed)] if self.depth else []
            body = [*before, *values]
            plain_size = sum(map(len, body))
            pieces = _compressed(body, plain_size, self.codec, tried=tried)
        else:
            plain_size = sum(map(len, values)) + len(packed)
            pieces = _compressed(values, plain_size - len(packed), self.codec, tried=tried)
            pieces = [memoryview(packed), *pieces] if packed else pieces
        size = sum(map(len, pieces))
        if max(size, plain_size) > 1 << 30:
            raise Unfit("a page that would be too large")
        header: Struct = {1: (I32, like.kind), 2: (I32, plain_size), 3: (I32, size)}
        if like.checked:
            crc = 0
            for piece in pieces:
                crc = zlib.crc32(piece, crc)
            header[4] = (I32, crc - (1 << 32) if crc >> 31 else crc)
        count: Struct = {1: (I32, len(found))}
        if like.kind == _DATA:
            header[5] = (STRUCT, {**count, 2: (I32, _PLAIN), 3: (I32, _RLE), 4: (I32, _RLE)})
        else:
            told = {**count, 2: (I32, nulls), 3: (I32, len(found)), 4: (I32, _PLAIN)}
            told |= {5: (I32, len(packed)), 6: (I32, 0)} | ({7: (FALSE, False)} if not self.codec else {})
            header[8] = (STRUCT, told)
        head = thrift.write(header)
        self.nulls = None if self.nulls is None else self.nulls + nulls
        self._add(like.kind, len(found), len(head) + plain_size, [memoryview(head), *pieces])

    def _add(self, kind: int, rows: int, plain_size: int, pieces: Sequence[Piece]) -> None:
        size = sum(len(piece) if isinstance(piece, memoryview) else piece[1] for piece in pieces)
        self.places.append({1: (I64, _BASE + self.size), 2: (I32, size), 3: (I64, self.rows)})
        self.pieces.extend(pieces)
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        self.rows, self.size, self.plain_size = self.rows + rows, self.size + size, self.plain_size + plain_size

    def finish(self, was: Struct) -> Spliced:
        """What the footer says of the chunk."""
        told: Struct = get(was, ft.META)
        stats = [{1: (I32, kind), 2: (I32, _PLAIN), 3: (I32, count)} for kind, count in sorted(self.kinds.items())]
        meta: Struct = {
            ft.TYPE: told[ft.TYPE],
            ft.ENCODINGS: (LIST, (I32, [_PLAIN, _RLE])),
            ft.PATH: told[ft.PATH],
            ft.CODEC: told[ft.CODEC],
            ft.NUM_VALUES: (I64, self.rows),
            ft.PLAIN_SIZE: (I64, self.plain_size),
            ft.SIZE: (I64, self.size),
            ft.DATA_PAGE: (I64, _BASE),
            ft.ENCODING_STATS: (LIST, (STRUCT, stats)),
        }
        if ft.STATISTICS in told and self.nulls is not None:
            meta[ft.STATISTICS] = (STRUCT, {3: (I64, self.nulls)})
        chunk: Struct = {ft.CHUNK_OFFSET: (I64, 0), ft.META: (STRUCT, meta)}
        index = b""
        if ft.OFFSET_INDEX in was:
            index = thrift.write({1: (LIST, (STRUCT, self.places))})
            chunk[ft.OFFSET_INDEX] = (I64, _BASE + self.size)
            chunk[ft.OFFSET_INDEX_LENGTH] = (I32, len(index))
        return Spliced(chunk, self.pieces, index)


def _looked_up(
    page: _Page, data: memoryview, words: _Values | None, count: int
) -> tuple[_Values, np.ndarray[Any, Any]]:
    """The dictionary, and which of its entries the rows have."""
    if words is None or page.encoding not in {_PLAIN_DICTIONARY, _RLE_DICTIONARY}:
        raise Unfit("a page in another encoding")
    which = levels.read(data[1:], data[0], count) if count else np.zeros(0, np.int64)
    if count and which.max() >= len(words.ends) - 1:
        raise Unfit("an entry that the dictionary has not")
    return words, which


def _compressed(pieces: list[memoryview], size: int, codec: int, *, tried: bool) -> list[memoryview]:
    name = _CODECS[codec]
    if name is None:
        return pieces
    if codec == _SNAPPY and not tried:
        return [memoryview(levels.varint(size)), *(part for piece in pieces for part in _literal(piece))]
    return [memoryview(pa.compress(b"".join(pieces), codec=name)).cast("B")]


def _literal(piece: memoryview) -> Iterator[memoryview]:
    """Snappy's element for bytes that are stored as they are (format_description.txt of google/snappy, 2.1)."""
    if not piece:
        return
    length = len(piece) - 1
    width = max(1, (length.bit_length() + 7) // 8)
    yield memoryview(bytes([(59 + width) << 2]) + length.to_bytes(width, "little"))
    yield piece
