"""Looking for byte strings in streams of bytes at any alignment: what a format's own reader would not show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

NEEDLE_BYTES = 32


def scan(streams: Iterable[Iterable[bytes]], needles: Sequence[bytes]) -> dict[bytes, int]:
    """How often each 32-byte needle stands in the streams, at any alignment; needles that are absent are left out.

    Method: the first 8 bytes of every window are looked up among the sorted prefixes of the needles; only windows that hit are
    compared in full. Cost: about 30 MB/s for a few thousand needles. Memory: 12 times a stream's largest piece.
    """
    wanted = sorted(set(needles))
    if any(len(n) != NEEDLE_BYTES for n in wanted):
        raise ValueError(f"a needle is {NEEDLE_BYTES} bytes")
    prefixes = np.unique(np.frombuffer(b"".join(n[:8] for n in wanted), dtype="<u8"))
    known = set(wanted)
    found: dict[bytes, int] = {}
    for stream in streams:
        tail = b""
        for chunk in stream:
            data = tail + chunk
            for hit in _windows(data, prefixes, known):
                found[hit] = found.get(hit, 0) + 1
            tail = data[-(NEEDLE_BYTES - 1) :]
    return found


def _windows(
    data: bytes, prefixes: np.ndarray[tuple[int, ...], np.dtype[np.uint64]], known: set[bytes]
) -> Iterable[bytes]:
    last = len(data) - NEEDLE_BYTES
    if last < 0 or not len(prefixes):
        return
    for offset in range(8):
        usable = (len(data) - offset) // 8 * 8
        words = np.frombuffer(data, dtype="<u8", count=usable // 8, offset=offset)
        at = np.searchsorted(prefixes, words)
        hits = np.flatnonzero(prefixes[np.minimum(at, len(prefixes) - 1)] == words)
        for position in (hits * 8 + offset).tolist():
            window = data[position : position + NEEDLE_BYTES]
            if position <= last and window in known:
                yield window
