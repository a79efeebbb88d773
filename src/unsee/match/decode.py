"""From hostile bytes to canonical pixels, once, within bounds.

**Canonical pixels** are what the house compares: the first picture of the file, EXIF orientation applied, RGB with 8 bits a
sample. Which decoder makes them depends only on the bytes, so equal bytes give equal pixels on one build:

- Ordinary JPEG (Huffman, 8 bits, grey or three components): OpenCV, that is libjpeg-turbo with the accurate integer DCT and smooth
  chroma upsampling. Tests hold it equal to Pillow's decode of the same file.
- Everything else (CMYK and rare JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF): Pillow. 16-bit samples keep their high byte, CMYK goes
  through Pillow's plain conversion, an alpha channel is dropped and not blended (what lies under it is still a picture of
  somebody), colour profiles are not applied.

The bounds are checked before any pixel is decoded.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from unsee.core.errors import InputError
from unsee.match import jpeg
from unsee.match.exif import BrokenDirectory, Tags, read_tags

Pixels = npt.NDArray[np.uint8]
"""(height, width, 3) uint8, RGB, C-contiguous."""

_PLUGINS: Final = (  # named, so that what Pillow can open does not depend on what it opened before
    JpegImagePlugin.JpegImageFile,
    PngImagePlugin.PngImageFile,
    WebPImagePlugin.WebPImageFile,
    GifImagePlugin.GifImageFile,
    TiffImagePlugin.TiffImageFile,
    BmpImagePlugin.BmpImageFile,
    AvifImagePlugin.AvifImageFile,
)
FORMATS: Final = tuple(plugin.format for plugin in _PLUGINS if plugin.format)
PIXEL_CEILING: Final = 178_956_970
"""Pillow refuses to open more than this, whatever our own limit is."""
_PLAIN_MODES: Final = frozenset({"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr"})
_SIXTEEN_BIT: Final = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
_FLAGS: Final = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION


class Unreadable(InputError):
    """A file is no picture that can be examined; `reason` says why in words, without naming the file."""

    code = "INP-010"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The file cannot be examined: {reason}.",
            next_step="Leave it out, or hand it over as a JPEG, PNG, WebP, GIF, TIFF, BMP or AVIF within the limits.",
        )
        self.reason = reason

    def __reduce__(self) -> tuple[type[Unreadable], tuple[str]]:
        return (type(self), (self.reason,))  # errors cross process boundaries


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file may cost. Decoding takes up to 12 bytes of memory a pixel.

    `max_scans` bounds progressive JPEG, whose every scan goes over all pixels again; encoders write about ten.
    """

    max_bytes: int = 64 * 1024 * 1024
    max_pixels: int = 100_000_000
    max_scans: int = 100

    def __post_init__(self) -> None:
        if not 0 < self.max_pixels <= PIXEL_CEILING:
            raise ValueError(f"max_pixels lies between 1 and {PIXEL_CEILING}")


@dataclass(frozen=True, slots=True)
class Embedded:
    """What lies in the file beside its pixels, read in the same pass."""

    exif: Tags
    xmp: bytes | None
    unread: tuple[str, ...]
    """Blocks that are there and could not be read, each with its reason."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """Canonical pixels and what came with them. `more_pictures`: the file holds further frames, which were not decoded."""

    pixels: Pixels
    format: str
    more_pictures: bool
    embedded: Embedded


def decode(data: bytes, limits: Limits) -> Decoded:
    """The canonical pixels of one file.

    Raises:
        Unreadable: it is no picture of a known format, is damaged, or breaks a limit.
    Cost: one decode. Memory: see `Limits`. Thread-safe but for Pillow's warnings; spread it over processes.
    """
    if not data:
        raise Unreadable("it is empty")
    if len(data) > limits.max_bytes:
        raise Unreadable(f"it is {len(data):,} bytes large, more than {limits.max_bytes:,}")
    if data.startswith(jpeg.SOI):
        return _decode_jpeg(data, limits)
    return _decode_with_pillow(data, limits, FORMATS)


def _decode_jpeg(data: bytes, limits: Limits) -> Decoded:
    outline = jpeg.outline(data, max_scans=limits.max_scans)
    if isinstance(outline, str):
        raise Unreadable(f"damaged JPEG: {outline}")
    _check_size(outline.width, outline.height, limits)
    if outline.scans > limits.max_scans:
        raise Unreadable(f"its JPEG has more than {limits.max_scans} scans")
    if not outline.complete:
        raise Unreadable("damaged JPEG: it is cut off, the end-of-image marker is missing")
    if outline.process > 2 or outline.precision != 8 or outline.components not in (1, 3):
        return _decode_with_pillow(data, limits, ("JPEG",))
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS)
    except cv2.error as error:
        raise Unreadable(f"damaged JPEG: {error.err}") from error
    if pixels is None or pixels.shape != (outline.height, outline.width, 3):
        raise Unreadable("damaged JPEG: the decoder gave up")
    embedded = _embedded(outline.exif, outline.xmp, ("extended XMP was not read",) if outline.extended_xmp else ())
    pixels = upright(np.asarray(pixels, np.uint8), embedded.exif.orientation)
    return Decoded(pixels, "JPEG", outline.more_pictures, embedded)


def _decode_with_pillow(data: bytes, limits: Limits, formats: tuple[str, ...]) -> Decoded:
    tags: Tags | None = None
    if data[:2] in (b"II", b"MM"):
        try:
            tags = read_tags(data)
        except BrokenDirectory as error:
            raise Unreadable(f"damaged TIFF: {error}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # sizes are judged by our own limits; damage shows as an error or not at all
            with Image.open(io.BytesIO(data), formats=formats) as image:
                _check_size(*image.size, limits)
                image.load()
                embedded = _embedded_of(image, tags)
                more = tags.more_directories if tags else bool(getattr(image, "is_animated", False))
                name = "JPEG" if image.format == "MPO" else str(image.format)
                pixels = _rgb(image)
    except Unreadable:
        raise
    except UnidentifiedImageError as error:
        raise Unreadable("it is no picture of a known format (" + ", ".join(FORMATS) + ")") from error
    except Image.DecompressionBombError as error:
        raise Unreadable(f"it would decode to more than {limits.max_pixels:,} pixels") from error
    except Exception as error:
        # Decoders raise nearly anything on hostile bytes; each of it means that this one file cannot be examined.
        raise Unreadable(f"the decoder gave up ({type(error).__name__}: {str(error)[:200]})") from error
    # Pillow turns TIFF files as it loads them, and no others.
    return Decoded(pixels if tags else upright(pixels, embedded.exif.orientation), name, more, embedded)


def _check_size(width: int, height: int, limits: Limits) -> None:
    if width < 1 or height < 1:
        raise Unreadable(f"it says that it is {width} × {height} pixels large")
    if width * height > limits.max_pixels:
        raise Unreadable(f"it would decode to {width:,} × {height:,} pixels, more than {limits.max_pixels:,}")


def _embedded_of(image: Image.Image, tags: Tags | None) -> Embedded:
    """What Pillow found beside the pixels, after `load`: PNG may carry it behind them."""
    xmp = image.info.get("xmp")
    if isinstance(xmp, str):
        xmp = xmp.encode("utf-8", "surrogateescape")
    if tags is not None:
        return Embedded(tags, xmp, ())
    return _embedded(image.info.get("exif"), xmp, ())


def _embedded(block: bytes | None, xmp: bytes | None, unread: tuple[str, ...]) -> Embedded:
    if not block:
        return Embedded(Tags(), xmp, unread)
    try:
        return Embedded(read_tags(block), xmp, unread)
    except BrokenDirectory as error:
        return Embedded(Tags(), xmp, (*unread, f"EXIF cannot be read: {error}"))


def _rgb(image: Image.Image) -> Pixels:
    if image.mode in _SIXTEEN_BIT:
        samples: npt.NDArray[Any] = np.asarray(image)
        return np.ascontiguousarray(np.repeat((samples >> 8).astype(np.uint8)[..., None], 3, axis=2))
    if image.mode not in _PLAIN_MODES:
        raise Unreadable(f"samples of mode {image.mode} have no agreed reading in 8 bits")
    if image.mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    return np.array(image if image.mode == "RGB" else image.convert("RGB"), dtype=np.uint8, order="C")


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """The pixels as they are meant to be seen. Orientation as in EXIF 2.32, tag 0112."""
    if orientation == 1:
        return pixels
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
