"""Looking for byte strings in streams of bytes at any alignment: what a format's own reader would not show."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

NEEDLE_BYTES = 32
_WORD_BYTES = 8
_MARKS_A_WORD = 64
"""One word in so many is looked up in vain, as long as the marks fit a processor's cache."""
_MARKS_IN_CACHE = 1 << 22
_LEAST_MARKS_A_WORD = 16


def scan(streams: Iterable[Iterable[bytes]], needles: Sequence[bytes]) -> dict[bytes, int]:
    """How often each 32-byte needle stands in the streams, at any alignment; needles that are absent are left out.

    Method: wherever a needle stands, exactly one of the stream's words of 8 bytes (those at multiples of 8) begins in the needle's
    first 8 bytes. So each of these words is looked up among the words that begin at the first 8 places of all needles, first in a
    table of marks, then among themselves; only windows that hit are compared in full.

    Cost: for random bytes as needles, such as digests, above 1 GB/s for ten thousand of them and 260 MB/s for three million.
    Memory: 400 bytes a needle besides their own, and 2 times a stream's largest piece.
    """
    known = set(needles)
    if any(len(n) != NEEDLE_BYTES for n in known):
        raise ValueError(f"a needle is {NEEDLE_BYTES} bytes")
    words = _words_of(known)
    size = max(min(len(words) * _MARKS_A_WORD, _MARKS_IN_CACHE), len(words) * _LEAST_MARKS_A_WORD, 1 << 10)
    shift = np.uint64(64 - (size - 1).bit_length())
    marks = np.zeros(1 << (64 - int(shift)), np.bool_)
    marks[words >> shift] = True
    found: dict[bytes, int] = {}
    for stream in streams if known else ():
        tail = b""
        for chunk in stream:
            data = tail + chunk
            seen = np.frombuffer(data, "<u8", len(data) // _WORD_BYTES)
            at = np.flatnonzero(marks.take((seen >> shift).view(np.int64)))
            at = at[words[np.minimum(np.searchsorted(words, seen[at]), len(words) - 1)] == seen[at]]
            for hit in _windows(data, at, known):
                found[hit] = found.get(hit, 0) + 1
            tail = data[-(NEEDLE_BYTES - 1) :]  # what it holds of a needle is counted once the rest is there
    return found


def _words_of(needles: Collection[bytes]) -> Words:
    """The words that begin at the first 8 places of the needles, ascending."""
    every = np.frombuffer(b"".join(needles), np.uint8).reshape(-1, NEEDLE_BYTES)
    at_each = [
        np.ascontiguousarray(every[:, place : place + _WORD_BYTES]).view("<u8").ravel() for place in range(_WORD_BYTES)
    ]
    return np.sort(np.concatenate(at_each))


def _windows(data: bytes, at: npt.NDArray[np.intp], known: Collection[bytes]) -> Iterator[bytes]:
    """The needles into whose first 8 bytes these words of the data fall."""
    for position in (at * _WORD_BYTES).tolist():
        for start in range(max(0, position - _WORD_BYTES + 1), position + 1):
            if (window := data[start : start + NEEDLE_BYTES]) in known:
                yield window
