"""Samples for the benchmarks of stores: real JPEGs of about 78 KB, each its own, made fast.

A few hundred pictures (soft shapes under the grain of a sensor) are encoded once; each sample is one of them with comment segments
of its own behind SOI and before EOI, where the format has room for them: it decodes everywhere, no two are equal, and both its ends
carry `marker_of(index)`, so that a search of raw bytes finds what a store leaves of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache

import cv2
import numpy as np

SAMPLES = 25_600
"""2 GB: what the benchmarks of stores take at scale 1."""
PICTURES = 400
SIDE = 512
QUALITY = 85
SALT_BYTES = 4_000
"""Random bytes in each sample's first comment, so that no two share a long beginning."""


def samples(count: int) -> Iterator[tuple[str, bytes]]:
    """`(name, JPEG)` for 0, 1, …, count - 1; the same ones in each run. Cost: some seconds for the pictures, then memory speed."""
    for index in range(count):
        yield name_of(index), sample(index)


def name_of(index: int) -> str:
    """`00000123.jpg`."""
    return f"{index:08d}.jpg"


def marker_of(index: int) -> bytes:
    """32 bytes that lie in sample `index`, at both ends, and in no other."""
    return hashlib.sha256(b"marker of a bench sample %d" % index).digest()


def sample(index: int) -> bytes:
    """One sample."""
    picture, marker = _picture(index % PICTURES), marker_of(index)
    salt = hashlib.shake_256(marker).digest(SALT_BYTES)
    return b"".join((picture[:2], _comment(marker + salt), picture[2:-2], _comment(marker), picture[-2:]))


def _comment(text: bytes) -> bytes:
    """A COM segment (ITU-T T.81, B.2.4.5)."""
    return b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text


@cache
def _picture(number: int) -> bytes:
    rng = np.random.default_rng(number)
    colours = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)
    picture = cv2.resize(colours, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    for _ in range(12):
        centre, axes = rng.integers(0, SIDE, 2).tolist(), rng.integers(10, SIDE // 3, 2).tolist()
        cv2.ellipse(picture, centre, axes, int(rng.integers(0, 180)), 0, 360, rng.integers(0, 256, 3).tolist(), -1)
    grain = rng.normal(0, 8, (SIDE, SIDE, 1)).astype(np.float32)
    seen = np.clip(picture.astype(np.float32) + grain, 0, 255).astype(np.uint8)
    done, encoded = cv2.imencode(".jpg", seen, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert done
    return encoded.tobytes()
