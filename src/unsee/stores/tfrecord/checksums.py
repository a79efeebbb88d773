"""CRC-32C (Castagnoli; RFC 3720, appendix B.4), as TFRecord masks it. By the package `crc32c` where it is installed, else by numpy.

The checksum is linear: that of a block is the exclusive or of one table entry for each byte and its place, so numpy looks up a
whole block at once; blocks are joined by tables that say what a block of zeros makes of a state.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

_POLYNOMIAL = 0x82F63B78
_BLOCK = 512
_ONES = 0xFFFFFFFF


def masked(data: bytes | memoryview) -> int:
    """The masked checksum (tensorflow/core/lib/hash/crc32c.h): rotated right by 15 bits, plus a constant."""
    seen = _function()(data)
    return ((seen >> 15 | seen << 17) + 0xA282EAD8) & _ONES


@cache
def _function() -> Callable[[bytes | memoryview], int]:
    try:
        found: Callable[[bytes | memoryview], int] = import_module("crc32c").crc32c
    except ImportError:
        return by_numpy
    return found


def by_numpy(data: bytes | memoryview) -> int:
    """The checksum without the package, at some hundred megabytes a second."""
    size = len(data)
    if size < 64:
        state, table = _ONES, _single()
        for byte in bytes(data):
            state = table[(state ^ byte) & 0xFF] ^ state >> 8
        return state ^ _ONES
    # zeros in front change nothing once the initial state stands in the first four bytes
    padded = np.zeros(-(-size // _BLOCK) * _BLOCK, dtype=np.uint8)
    padded[-size:] = np.frombuffer(data, dtype=np.uint8)
    start = len(padded) - size
    padded[start : start + 4] ^= 0xFF
    by_place, shift = _tables()
    flat = padded.reshape(-1, _BLOCK) + np.arange(0, _BLOCK * 256, 256)
    state = 0
    for seen in np.bitwise_xor.reduce(by_place.take(flat), axis=1).tolist():
        state = (
            seen
            ^ shift[0][state & 255]
            ^ shift[1][state >> 8 & 255]
            ^ shift[2][state >> 16 & 255]
            ^ shift[3][state >> 24]
        )
    return state ^ _ONES


@cache
def _single() -> list[int]:
    table = []
    for byte in range(256):
        state = byte
        for _ in range(8):
            state = state >> 1 ^ (_POLYNOMIAL if state & 1 else 0)
        table.append(state)
    return table


@cache
def _tables() -> tuple[np.ndarray[Any, Any], list[list[int]]]:
    """What a byte at each place of a block adds, and what a block of zeros makes of each byte of a state."""
    single = np.array(_single(), dtype=np.uint32)
    by_place = np.empty((_BLOCK, 256), dtype=np.uint32)
    state = single
    for place in reversed(range(_BLOCK)):
        by_place[place] = state
        state = state >> 8 ^ single[state & 0xFF]
    # a state is the exclusive or of the first four bytes of the block that follows
    return by_place.ravel(), [by_place[place].tolist() for place in range(4)]
