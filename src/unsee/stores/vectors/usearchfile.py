"""usearch index files, read by their layout and written by the library.

A file is: rows and bytes a row (two uint32, or two uint64), the vectors, a head of 64 bytes that begins with `usearch`, and the
graph: five uint64 (nodes, connectivity, connectivity of the base level, highest level, entry), a level (int16) for each node, then
the nodes: key (uint64), level (int16), neighbours. Source: `index_dense.hpp` and `index.hpp` of usearch 2; what does not fit these
sizes to the byte is refused. The library's `remove` gives a node a free key and leaves its vector in the file.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from unsee.stores.vectors.opened import Block, Codes, Labels, Opened, Unfit, kept_aside, same_rest

_HEAD = struct.Struct("<7s3H4s3Q?")
_GRAPH = struct.Struct("<5Q")
_NODE_BYTES = 10
_FREE = np.uint64(2**64 - 1)
_HALF, _BRAIN, _SINGLE, _DOUBLE = "f16", "bf16", "f32", "f64"
_BITS, _BYTES = "b1", "i8"


@dataclass(frozen=True)
class _Layout:
    rows: int
    width: int
    head_at: int
    metric: int
    scalar: str
    dimensions: int
    connectivity: int
    multi: bool


@dataclass(frozen=True)
class Usearch:
    """usearch files. `expansion_add` is the search width while a graph is built; the file does not say it."""

    expansion_add: int = 128

    def load(self, file: int) -> Opened:
        """Read the file by its layout; nothing of the library runs on bytes that are not trusted. Memory: its vectors."""
        size = os.fstat(file).st_size
        layout = _layout(file, size)
        keys = _keys(file, layout, size)
        first = 16 if layout.head_at - layout.rows * layout.width == 16 else 8
        codes = np.frombuffer(_read(file, layout.rows * layout.width, first), np.uint8).reshape(
            layout.rows, layout.width
        )
        alive = keys != _FREE
        labels, codes = keys[alive], codes[alive]
        removed = int((~alive).sum())
        if len(np.unique(labels)) != len(labels) and not layout.multi:
            raise Unfit("it holds a key twice, and says that it does not")
        return Opened([Block(labels, codes, _decoder(codes, layout))], positional=False, removed=removed, place=layout)

    def bound(self, opened: Opened, gone: Labels) -> dict[int, str]:
        """None: a usearch file holds a vector once."""
        del opened, gone
        return {}

    def write_without(self, opened: Opened, gone: Labels, file: int) -> None:
        """Build the index anew of the vectors that stay, and compare what was written. Memory: twice the vectors, and the graph."""
        from usearch.compiled import MetricKind, ScalarKind
        from usearch.index import Index

        layout: _Layout = opened.place
        (rest,) = kept_aside(opened, gone)
        try:
            index = Index(
                ndim=layout.dimensions,
                metric=MetricKind(layout.metric),
                dtype=getattr(ScalarKind, layout.scalar.upper()),
                connectivity=layout.connectivity,
                expansion_add=self.expansion_add,
                multi=layout.multi,
            )
            if len(rest.labels):
                index.add(rest.labels, _as_added(rest.codes, layout))
            index.save(f"/proc/self/fd/{file}")
        except (RuntimeError, ValueError, TypeError) as error:
            raise Unfit(f"usearch cannot build it anew: {' '.join(str(error).split())[:200]}") from error
        again = self.load(file)
        if again.removed or not same_rest([rest], again.blocks, dealt_anew=True):
            raise Unfit("the file that usearch wrote does not hold the other vectors unchanged; it was not used")


def _read(file: int, length: int, at: int) -> bytes:
    """Reads of more than 2 GB come in pieces."""
    data = bytearray()
    while len(data) < length:
        piece = os.pread(file, min(length - len(data), 1 << 30), at + len(data))
        if not piece:
            raise Unfit("it ends before its vectors do: it is truncated")
        data += piece
    return bytes(data)


def _layout(file: int, size: int) -> _Layout:
    for shape in (struct.Struct("<2I"), struct.Struct("<2Q")):
        raw = os.pread(file, shape.size, 0)
        if len(raw) < shape.size:
            break
        rows, width = shape.unpack(raw)
        at = shape.size + rows * width
        if at + 64 > size:
            continue
        magic, major, _, _, kinds, present, deleted, dimensions, multi = _HEAD.unpack(os.pread(file, _HEAD.size, at))
        if magic != b"usearch":
            continue
        if major != 2:
            raise Unfit(f"it was written by usearch {major}, and only version 2 is known here")
        if present + deleted != rows:
            raise Unfit("its count of vectors does not fit its head")
        metric, scalar = kinds[0], _scalar(kinds[1])
        if width * 8 != _bits(scalar) * dimensions and not (scalar == _BITS and width == -(-dimensions // 8)):
            raise Unfit("the size of its vectors does not fit their dimensions")
        graph = os.pread(file, _GRAPH.size, at + 64)
        connectivity = _GRAPH.unpack(graph)[1] if len(graph) == _GRAPH.size else 0
        return _Layout(rows, width, at, metric, scalar, dimensions, connectivity, multi)
    raise Unfit("it is no usearch index with its vectors, or it is truncated")


def _keys(file: int, layout: _Layout, size: int) -> Labels:
    at = layout.head_at + 64
    graph = os.pread(file, _GRAPH.size, at)
    nodes, connectivity, base, _, _ = _GRAPH.unpack(graph) if len(graph) == _GRAPH.size else (-1, 0, 0, 0, 0)
    if nodes != layout.rows or at + _GRAPH.size + nodes * 2 > size or max(connectivity, base) > 1 << 16:
        raise Unfit("its graph does not fit its vectors, or it is truncated")
    levels = np.frombuffer(_read(file, nodes * 2, at + _GRAPH.size), "<i2").astype(np.int64)
    if nodes and levels.min() < 0:
        raise Unfit("its graph has a level below zero")
    lengths = _NODE_BYTES + 4 + 4 * base + levels * (4 + 4 * connectivity)
    ends = np.cumsum(lengths) + at + _GRAPH.size + nodes * 2
    if (int(ends[-1]) if nodes else at + _GRAPH.size) != size:
        raise Unfit("its graph is not as long as it says")
    keys = np.empty(nodes, np.uint64)
    starts = ends - lengths
    step = max(1, (64 << 20) // max(1, int(lengths.max(initial=1))))
    for first in range(0, nodes, step):
        last = min(nodes, first + step)
        piece = np.frombuffer(_read(file, int(ends[last - 1] - starts[first]), int(starts[first])), np.uint8)
        offsets = starts[first:last] - starts[first]
        keys[first:last] = piece[offsets[:, None] + np.arange(8)].view("<u8").ravel()
    return keys


def _scalar(code: int) -> str:
    from usearch.compiled import ScalarKind

    for name in (_SINGLE, _HALF, _BRAIN, _DOUBLE, _BYTES, _BITS):
        if int(getattr(ScalarKind, name.upper()).value) == code:
            return name
    raise Unfit(f"its vectors are of a type that is not known here ({code})")


def _bits(scalar: str) -> int:
    return {_SINGLE: 32, _HALF: 16, _BRAIN: 16, _DOUBLE: 64, _BYTES: 8, _BITS: 1}[scalar]


def _as_added(codes: Codes, layout: _Layout) -> Any:
    """The rows in a type that numpy has and from which usearch makes the same bytes."""
    if layout.scalar == _BRAIN:
        return _from_brain(codes)
    types = {_SINGLE: "<f4", _HALF: "<f2", _DOUBLE: "<f8", _BYTES: "i1", _BITS: "u1"}
    return np.ascontiguousarray(codes).view(types[layout.scalar])


def _from_brain(codes: Codes) -> Any:
    """bfloat16 is the upper half of float32."""
    return (np.ascontiguousarray(codes).view("<u2").astype("<u4") << 16).view("<f4")


def _decoder(codes: Codes, layout: _Layout) -> Any:
    def decode(row: int) -> bytes:
        code = codes[row : row + 1]
        if layout.scalar in {_BITS, _BYTES}:
            return bytes(code.tobytes())
        return bytes(_as_added(code, layout).astype("<f4").tobytes())

    return decode
