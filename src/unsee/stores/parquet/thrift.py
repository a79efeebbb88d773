"""Thrift's compact protocol, read into plain trees and written again, unknown fields included.

A struct is a dict from field id to (type, value); numbers are ints, `double` and `uuid` stay their raw bytes. Whatever the bytes
are, reading ends, within bounded depth and memory, in a tree or in `ThriftError`. Source of the format: "Thrift compact protocol
encoding", thrift-compact-protocol.md of Apache Thrift.
"""

from __future__ import annotations

from typing import Any, TypeAlias

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT, UUID = range(1, 14)

Struct: TypeAlias = "dict[int, tuple[int, Any]]"
"""Field id to (type, value). A list is (element type, [values]); a map is (key type, value type, [(key, value), …])."""

DEEPEST = 24
"""Parquet's metadata nests about eight levels."""
MOST_VALUES = 8_000_000
"""In one tree; about a gigabyte of memory. A footer of 10,000 row groups of 20 columns has 6 million."""


class ThriftError(ValueError):
    """The bytes are no struct of the compact protocol, or one beyond the limits."""


def read(data: bytes | memoryview, at: int = 0) -> tuple[Struct, int]:
    """The struct that begins at `at`, and where it ends.

    Raises:
        ThriftError: it does not end within the data, nests deeper than `DEEPEST`, or has more than `MOST_VALUES` values.
    """
    reader = _Reader(data, at)
    try:
        struct = reader.struct(0)
    except IndexError:
        raise ThriftError("the metadata ends in the middle of a value") from None
    return struct, reader.at


def write(struct: Struct) -> bytes:
    """The struct in the compact protocol, fields in the order of their ids."""
    out = bytearray()
    _write_struct(out, struct)
    return bytes(out)


class _Reader:
    __slots__ = ("at", "data", "values")

    def __init__(self, data: bytes | memoryview, at: int) -> None:
        self.data, self.at, self.values = data, at, 0

    def varint(self) -> int:
        byte = self.data[self.at]
        self.at += 1
        if byte < 0x80:
            return byte
        value, shift = byte & 0x7F, 7
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 63:
                raise ThriftError("a number is longer than 64 bits")
        return value & 0xFFFFFFFFFFFFFFFF

    def zigzag(self) -> int:
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def take(self, length: int) -> bytes:
        if length > len(self.data) - self.at:
            raise ThriftError(f"a value of {length:,} bytes is longer than the metadata")
        self.at += length
        return bytes(self.data[self.at - length : self.at])

    def struct(self, depth: int) -> Struct:
        if depth > DEEPEST:
            raise ThriftError(f"more than {DEEPEST} structs in each other")
        fields: Struct = {}
        last = 0
        while True:
            head = self.data[self.at]
            self.at += 1
            kind = head & 0x0F
            if kind == 0:
                return fields
            last = last + (head >> 4) if head >> 4 else self.zigzag()
            if not -0x8000 <= last <= 0x7FFF:
                raise ThriftError("a field id is out of range")
            fields[last] = (kind, kind == TRUE) if kind <= FALSE else (kind, self.value(kind, depth))

    def value(self, kind: int, depth: int) -> Any:
        self.values += 1
        if self.values > MOST_VALUES:
            raise ThriftError(f"more than {MOST_VALUES:,} values")
        if I16 <= kind <= I64:
            return self.zigzag()
        if kind == BINARY:
            return self.take(self.varint())
        if kind == STRUCT:
            return self.struct(depth + 1)
        if kind in {LIST, SET}:
            return self.sequence(depth + 1)
        if kind == MAP:
            return self.mapping(depth + 1)
        if kind in _FIXED:
            return self.take(_FIXED[kind])
        raise ThriftError(f"there is no type {kind}")

    def sequence(self, depth: int) -> tuple[int, list[Any]]:
        head = self.data[self.at]
        self.at += 1
        kind, size = head & 0x0F, head >> 4
        if size == 15:
            size = self.varint()
        return kind, [self.element(kind, depth) for _ in range(self.sized(size, depth))]

    def mapping(self, depth: int) -> tuple[int, int, list[tuple[Any, Any]]]:
        size = self.sized(self.varint(), depth)
        if not size:
            return 0, 0, []
        kinds = self.data[self.at]
        self.at += 1
        key, value = kinds >> 4, kinds & 0x0F
        return key, value, [(self.element(key, depth), self.element(value, depth)) for _ in range(size)]

    def element(self, kind: int, depth: int) -> Any:
        if kind <= FALSE:  # in lists, a byte each
            self.values += 1
            return self.take(1) == b"\x01"
        return self.value(kind, depth)

    def sized(self, size: int, depth: int) -> int:
        """Every element takes a byte at least, so no list is longer than what is left."""
        if size > len(self.data) - self.at or depth > DEEPEST:
            raise ThriftError(f"a list of {size:,} values is longer than the metadata, or too deep")
        return size


_FIXED = {BYTE: 1, DOUBLE: 8, UUID: 16}


def _varint(out: bytearray, value: int) -> None:
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _write_struct(out: bytearray, fields: Struct) -> None:
    last = 0
    for number in sorted(fields):
        kind, value = fields[number]
        if kind <= FALSE:
            kind = TRUE if value else FALSE
        step = number - last
        if 0 < step < 16:
            out.append(step << 4 | kind)
        else:
            out.append(kind)
            _varint(out, _zigzag(number))
        last = number
        if kind > FALSE:
            _write_value(out, kind, value)
    out.append(0)


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1


def _write_value(out: bytearray, kind: int, value: Any) -> None:
    if kind <= FALSE:
        out.append(TRUE if value else FALSE)
    elif I16 <= kind <= I64:
        _varint(out, _zigzag(value))
    elif kind == BINARY:
        _varint(out, len(value))
        out += value
    elif kind == STRUCT:
        _write_struct(out, value)
    elif kind in {LIST, SET}:
        element, values = value
        if len(values) < 15:
            out.append(len(values) << 4 | element)
        else:
            out.append(0xF0 | element)
            _varint(out, len(values))
        for one in values:
            _write_value(out, element, one)
    elif kind == MAP:
        key, inner, pairs = value
        _varint(out, len(pairs))
        if pairs:
            out.append(key << 4 | inner)
        for left, right in pairs:
            _write_value(out, key, left)
            _write_value(out, inner, right)
    else:
        out += value
