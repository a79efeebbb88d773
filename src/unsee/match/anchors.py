"""Anchors: a few places in a photo's bytes by which it is found again in any stretch of raw bytes, at any alignment.

Before a photo is erased, up to four windows of 32 bytes are chosen in it by their content and kept as 64-bit codes under a key. A
search slides over raw bytes, chooses windows by the same rule and looks their codes up; so it costs one pass, however many photos
are sought, and needs none of their bytes. A window is a candidate where a keyed product of its first 8 bytes falls into one
sixty-fourth of its range; of the candidates in a quarter of the photo, the one with the smallest code is its anchor. The headers of
pictures are passed over: their tables and colour profiles stand in millions of other files.

The rule is that of content-defined chunking (Muthitacharoen, Chen and Mazières, "A low-bandwidth network file system", SOSP 2001)
and of min-wise sampling (Broder 1997). The codes are keyed so that the list means nothing without the key; multiplication and
shifts are no message authentication code, so the list is destroyed with the plan's other parts all the same.

What it cannot see: bytes that are stored compressed or encrypted, windows cut apart (a photo split over blocks at the very place of
an anchor has three others), and data of less than a few hundred bytes, which may have no candidate.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

WINDOW_BYTES: Final = 32
CODE_BYTES: Final = 8
A_PHOTO: Final = 4
"""Anchors of one photo at most."""
CANDIDATES: Final = 64
"""One window in so many is a candidate."""
_FAR: Final = 1 << 20
"""A header is sought in so many bytes."""
_BLOCK_BYTES: Final = 1 << 20
_MARKS_AN_ANCHOR: Final = 4


class AnchorKey:
    """The secret under which windows are chosen and coded: 32 bytes, from which six odd multipliers follow."""

    __slots__ = ("_material", "_multipliers")

    def __init__(self, material: bytes) -> None:
        if len(material) != 32:
            raise ValueError(f"an anchor key is 32 bytes, not {len(material)}")
        stream = hashlib.blake2b(material, digest_size=48, person=b"unsee anchors 1").digest()
        self._material = material
        self._multipliers = np.frombuffer(stream, "<u8").copy() | np.uint64(1)

    def anchors(self, data: bytes | memoryview) -> Words:
        """The codes of the photo's anchors, ascending; fewer than four, or none, where it is short or has little content.

        Cost: about 3 ns a byte.
        """
        places, codes = self.windows(data[content(data)])
        if not len(codes):
            return codes
        quarter = (places - places[0]) * A_PHOTO // max(1, int(places[-1] - places[0]) + 1)
        return np.unique(np.array([codes[quarter == q].min() for q in np.unique(quarter)], np.uint64))

    def windows(self, data: bytes | memoryview) -> tuple[npt.NDArray[np.int64], Words]:
        """The candidates in these bytes: their places, ascending, and their codes, equally long."""
        places: list[npt.NDArray[np.int64]] = []
        codes: list[Words] = []
        first, *mixers = (np.uint64(m) for m in self._multipliers)
        limit = np.uint64(1 << 58)  # 2**64 / CANDIDATES
        for start in range(0, max(0, len(data) - WINDOW_BYTES + 1), _BLOCK_BYTES):
            block = data[start : start + _BLOCK_BYTES + WINDOW_BYTES - 1]
            for offset in range(8):
                count = (len(block) - offset) // 8
                if count < 4:
                    continue
                words = np.frombuffer(block, "<u8", count, offset)
                at = np.flatnonzero((words[:-3] * first) < limit)
                at = at[(words[at] != words[at + 1]) | (words[at] != words[at + 2])]  # padding has no content
                if not len(at):
                    continue
                places.append(at * 8 + (start + offset))
                codes.append(_code([words[at + k] for k in range(4)], mixers))
        if not places:
            return np.empty(0, np.int64), np.empty(0, np.uint64)
        where, what = np.concatenate(places), np.concatenate(codes)
        order = np.argsort(where, kind="stable")
        return where[order], what[order]


def content(data: bytes | memoryview) -> slice:
    """Where a file's own content lies, beside what encoders write into every file.

    A JPEG's from its first scan on (ITU-T T.81 B.1.1), a PNG's from its first data chunk on, a WebP's image chunk; all of anything
    else, and where the header leads nowhere.
    """
    head = bytes(data[:12])
    if head[:3] == b"\xff\xd8\xff":
        return slice(_first_scan(data), None)
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return slice(max(0, bytes(data[:_FAR]).find(b"IDAT")), None)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _image_chunk(data)
    return slice(0, None)


def _image_chunk(data: bytes | memoryview) -> slice:
    """The first chunk of kind `VP8 ` or `VP8L` (RFC 9649, 2.3)."""
    at = 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if bytes(data[at : at + 4]) in {b"VP8 ", b"VP8L"}:
            return slice(at, at + 8 + length)
        at += 8 + length + length % 2
    return slice(0, None)


def _first_scan(data: bytes | memoryview) -> int:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDA:
            return at + 2 + length
        at += 2 + max(2, length)
    return 0


def _code(words: Sequence[Words], mixers: Sequence[np.uint64]) -> Words:
    code = np.zeros(len(words[0]), np.uint64)
    for word, mixer in zip(words, mixers, strict=False):
        code = (code ^ word) * mixer
        code ^= code >> np.uint64(29)
    return code * mixers[-1] ^ (code >> np.uint64(32))


class AnchorSearch:
    """Looks for a set of anchors. Memory: 12 to 16 bytes an anchor."""

    def __init__(self, key: AnchorKey, anchors: Words) -> None:
        self._key = key
        self._anchors = np.unique(anchors)
        self._shift = np.uint64(64 - max(10, int(len(self._anchors) * _MARKS_AN_ANCHOR).bit_length()))
        self._marks = np.zeros(1 << (64 - int(self._shift)), np.bool_)
        self._marks[self._anchors >> self._shift] = True

    def __len__(self) -> int:
        return len(self._anchors)

    def search(self, pieces: Iterable[bytes]) -> Counter[int]:
        """How often each anchor stands in one stream of bytes, across the borders of its pieces too.

        Cost: some 200 MB/s a core, whatever is sought. Memory: a few times the largest piece.
        """
        found: Counter[int] = Counter()
        tail = b""
        for piece in pieces:
            data = tail + piece
            _places, codes = self._key.windows(data)
            # A window that ends in the tail was counted with the piece before: the tail is shorter than one.
            codes = codes[self._marks[codes >> self._shift]]
            if len(codes) and len(self._anchors):
                at = np.minimum(np.searchsorted(self._anchors, codes), len(self._anchors) - 1)
                found.update(codes[self._anchors[at] == codes].tolist())
            tail = data[-(WINDOW_BYTES - 1) :]
        return found


def read_anchors(path: Path) -> Words:
    """The anchors in a file of codes, one after the other, least significant byte first; each once. None where there is no file."""
    if not path.exists():
        return np.empty(0, np.uint64)
    data = path.read_bytes()
    whole = len(data) // CODE_BYTES * CODE_BYTES  # what a kill cut short is no anchor
    return np.unique(np.frombuffer(data[:whole], "<u8").astype(np.uint64))
