"""Runs of small numbers as Parquet packs them (RLE and bit-packed hybrid): levels, and indices into dictionaries.

Source of the format: Encodings.md of apache/parquet-format, "Run Length Encoding / Bit-Packing Hybrid".
"""

from __future__ import annotations

from typing import Any

import numpy as np


class Unfit(ValueError):
    """A page is of a form that is not spliced, or contradicts itself: pyarrow is to read it."""


def read(data: memoryview, width: int, count: int) -> np.ndarray[Any, Any]:
    """The first `count` numbers of `width` bits.

    Raises:
        Unfit: they end before, or a number of theirs cannot be.
    """
    if width > 32:
        raise Unfit(f"numbers of {width} bits")
    found = np.zeros(count, np.int64)
    at = done = 0
    try:
        while done < count:
            head, at = _varint(data, at)
            if head & 1:
                size = (head >> 1) * width
                here = min(count - done, (head >> 1) * 8)
                found[done : done + here] = _unpacked(data[at : at + size], width, here)
            else:
                size = -(-width // 8)
                here = min(count - done, head >> 1)
                if at + size > len(data):
                    raise Unfit("a run without its value")
                found[done : done + here] = int.from_bytes(data[at : at + size], "little")
            if not here:
                raise Unfit("an empty run")
            at, done = at + size, done + here
    except IndexError:
        raise Unfit("runs that end before their time") from None
    return found


def write(numbers: np.ndarray[Any, Any]) -> bytes:
    """The numbers, at most 255, as runs of equal ones."""
    if not len(numbers):
        return b""
    starts = np.concatenate(([0], np.flatnonzero(np.diff(numbers)) + 1))
    lengths = np.diff(np.concatenate((starts, [len(numbers)])))
    out = bytearray()
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        out += varint(length << 1)
        out.append(int(numbers[start]))
    return bytes(out)


def varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
        if shift > 35:
            raise Unfit("a run of more than 32 bits")


def _unpacked(data: memoryview, width: int, count: int) -> np.ndarray[Any, Any]:
    if not width:
        return np.zeros(count, np.int64)
    if len(data) * 8 < count * width:
        raise Unfit("packed numbers that end before their time")
    bits = np.unpackbits(np.frombuffer(data, np.uint8), count=count * width, bitorder="little")
    packed: np.ndarray[Any, Any] = bits.reshape(count, width) @ (1 << np.arange(width, dtype=np.int64))
    return packed
