"""What is in a record: a `tf.train.Example` (tensorflow/core/example/example.proto), or MXNet's head before a picture.

Read from the wire format itself (protobuf, "Encoding"), bounded by the record: nothing is built that the record does not hold.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from unsee.core.errors import StoreError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_HEAD = struct.Struct("<IfQQ")
"""IRHeader (mxnet/recordio.py): how many labels follow, the label, two ids."""


def feature(record: bytes, name: bytes) -> bytes | None:
    """The first value of a feature: its bytes, or a number as text; None where the record has none of the name.

    Raises:
        ValueError: the record is no Example.
    """
    for number, _, features in _fields(memoryview(record)):
        if number != 1 or not isinstance(features, memoryview):
            continue
        for inner, _, entry in _fields(features):
            if inner != 1 or not isinstance(entry, memoryview):
                continue
            pair = {n: value for n, _, value in _fields(entry)}
            called, held = pair.get(1, memoryview(b"")), pair.get(2)
            if isinstance(called, memoryview) and isinstance(held, memoryview) and called.tobytes() == name:
                return _first(held)
    return None


def _first(held: memoryview) -> bytes | None:
    for number, _, values in _fields(held):
        if not isinstance(values, memoryview):
            break
        if number == 1:
            for inner, _, value in _fields(values):
                if inner == 1 and isinstance(value, memoryview):
                    return bytes(value)
        if number == 3:
            for inner, wire, value in _fields(values):
                if inner == 1:
                    found = value if isinstance(value, int) else _varint(value, 0)[0]
                    return str(found - (1 << 64) if wire in {_VARINT, _BYTES} and found >> 63 else found).encode()
    return None


def _fields(data: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """Number, wire type and value of each field."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, wire, value
            continue
        if wire == _BYTES:
            length, at = _varint(data, at)
        elif wire in {_FIXED64, _FIXED32}:
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError("it is no tf.train.Example")
        if length > len(data) - at:
            raise ValueError("it is no tf.train.Example: a field is longer than what holds it")
        yield key >> 3, wire, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    raise ValueError("it is no tf.train.Example: a number has no end")


def unpacked(record: bytes, start: int) -> tuple[bytes, bytes]:
    """Id (as text) and picture of a record that `mxnet.recordio.pack` made.

    Raises:
        StoreError: it is none.
    """
    if len(record) >= _HEAD.size:
        labels, _, number, _ = _HEAD.unpack_from(record)
        if _HEAD.size + 4 * labels <= len(record):
            return str(number).encode(), record[_HEAD.size + 4 * labels :]
    raise StoreError(
        f"the record at byte {start:,} has no head as MXNet packs it; data=record takes records as they are"
    )
