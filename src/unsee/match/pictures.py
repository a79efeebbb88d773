"""What is known of one picture: its digests and its perceptual hash. Made once, at intake, from one decode."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Final

from unsee.match import pdq
from unsee.match.decode import Decoded, Embedded, Limits, Pixels, Unreadable, decode

__all__ = [
    "DEFAULT_LIMITS",
    "Embedded",
    "Limits",
    "Picture",
    "Unreadable",
    "document",
    "examine",
    "examine_with_embedded",
    "orientations",
    "pixel_digest",
]

DEFAULT_LIMITS: Final = Limits()
_PIXEL_DOMAIN: Final = b"unsee/pixels/1\0"
_DOCUMENT_DOMAIN: Final = b"unsee/document/1\0"


@dataclass(frozen=True, slots=True)
class Picture:
    """The digests of one picture. `width` and `height` are those of the upright picture."""

    sha256: bytes
    """32 bytes: SHA-256 of the file."""
    pixel_digest: bytes
    """32 bytes: see `pixel_digest`. Equal for a lossless re-wrap of the same picture."""
    pdq: bytes
    """32 bytes: PDQ-A, most significant byte first."""
    pdq_quality: int
    """0–100; below 50 the hash is not used to claim a near-duplicate."""
    width: int
    height: int
    format: str
    more_pictures: bool = False
    """The file holds further frames or pictures, which were not hashed."""


def examine(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Picture:
    """Digests, perceptual hash and size of one picture, from its file's bytes.

    Pure: equal bytes give an equal picture on one build.

    Raises:
        Unreadable: it is no picture of a known format, is damaged, or breaks a limit. Nothing else is raised, whatever the bytes.
    Cost: one decode, one SHA-256 of the file and one of the pixels, about 0.1 ms besides for 1 megapixel.
    """
    return _picture(data, decode(data, limits))


def examine_with_embedded(data: bytes, limits: Limits = DEFAULT_LIMITS) -> tuple[Picture, Embedded]:
    """As `examine`, with the EXIF and XMP that the same pass came by."""
    decoded = decode(data, limits)
    return _picture(data, decoded), decoded.embedded


def document(sha256: bytes) -> Picture:
    """A file that is no picture, such as a metadata file, as the matcher takes it: told by its bytes alone."""
    return Picture(
        sha256=sha256,
        pixel_digest=hashlib.sha256(_DOCUMENT_DOMAIN + sha256).digest(),
        pdq=bytes(32),
        pdq_quality=0,
        width=0,
        height=0,
        format="document",
    )


def orientations(data: bytes, limits: Limits = DEFAULT_LIMITS) -> list[bytes]:
    """The exact PDQ-A hashes of the eight orientations of a picture, its own first. For the asking side of a search.

    Raises:
        Unreadable: as `examine`.
    """
    return [row.tobytes() for row in pdq.orientations(pdq.frequencies(pdq.luma(decode(data, limits).pixels)))]


def pixel_digest(pixels: Pixels) -> bytes:
    """SHA-256 over a domain mark, width and height (4 bytes each, big-endian) and the canonical RGB8 samples row by row."""
    height, width, _ = pixels.shape
    digest = hashlib.sha256(_PIXEL_DOMAIN + struct.pack(">II", width, height))
    digest.update(pixels.data)
    return digest.digest()


def _picture(data: bytes, decoded: Decoded) -> Picture:
    small = pdq.luma(decoded.pixels)
    height, width, _ = decoded.pixels.shape
    return Picture(
        sha256=hashlib.sha256(data).digest(),
        pixel_digest=pixel_digest(decoded.pixels),
        pdq=pdq.hash_of(pdq.frequencies(small)),
        pdq_quality=pdq.quality(small),
        width=width,
        height=height,
        format=decoded.format,
        more_pictures=decoded.more_pictures,
    )
