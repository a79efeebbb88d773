"""Hostile files are hashed or refused by name; nothing else happens (never another exception, never a decode beyond the limits)."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from unsee.match.decode import Limits, decode
from unsee.match.pictures import Picture, Unreadable, examine

SMALL = Limits(max_bytes=1 << 20, max_pixels=1 << 16)


def _encoded(kind: str, mode: str = "RGB", size: tuple[int, int] = (24, 18), **options: object) -> bytes:
    rng = np.random.default_rng(3)
    image = Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


SEEDS = {
    "jpeg": _encoded(
        "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0", xmp=b"<a/>"
    ),
    "progressive": _encoded("JPEG", progressive=True),
    "cmyk": _encoded("JPEG", "CMYK"),
    "png": _encoded("PNG"),
    "palette": _encoded("PNG", "P"),
    "webp": _encoded("WEBP"),
    "gif": _encoded("GIF", "P"),
    "tiff": _encoded("TIFF"),
    "bmp": _encoded("BMP"),
    "avif": _encoded("AVIF"),
}


def outcome(data: bytes, limits: Limits = SMALL) -> Picture | str:
    try:
        return examine(data, limits)
    except Unreadable as error:
        assert error.reason
        return error.reason


@pytest.mark.parametrize("name", SEEDS)
def test_the_seeds_are_good_files(name):
    assert isinstance(outcome(SEEDS[name]), Picture)


@settings(max_examples=150, deadline=None)
@given(
    data=st.binary(max_size=400),
    head=st.sampled_from([b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0", b"MM\0*", b"BM"]),
)
def test_random_bytes(data, head):
    outcome(head + data)


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(SEEDS)), share=st.floats(0, 1))
def test_truncations(name, share):
    data = SEEDS[name]
    outcome(data[: int(len(data) * share)])


@settings(max_examples=400, deadline=None)
@given(
    name=st.sampled_from(sorted(SEEDS)),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=8),
)
def test_bit_flips(name, flips):
    data = bytearray(SEEDS[name])
    for where, change in flips:
        data[int(where * len(data))] ^= change
    outcome(bytes(data))


def test_a_jpeg_that_is_cut_off_is_refused_by_name():
    data = SEEDS["jpeg"]
    assert "cut off" in outcome(data[:-2])
    assert "cut off" in outcome(data[:100])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_png_modes_are_hashed(mode):
    image = (
        Image.new(mode, (20, 10)) if mode == "I;16" else Image.fromarray(np.zeros((10, 20, 3), np.uint8)).convert(mode)
    )
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    picture = outcome(buffer.getvalue())
    assert isinstance(picture, Picture)
    assert (picture.width, picture.height) == (20, 10)


def test_sixteen_bits_keep_their_high_byte():
    samples = (np.arange(600, dtype=np.uint16) * 100).reshape(20, 30)
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, "PNG")
    assert np.array_equal(decode(buffer.getvalue(), SMALL).pixels[..., 1], samples >> 8)


def test_a_float_tiff_is_refused_by_its_mode():
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.float32)).save(buffer, "TIFF")
    assert "mode F" in outcome(buffer.getvalue())


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
def test_of_an_animation_the_first_picture_is_hashed_and_the_rest_is_told(kind):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "green", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], lossless=True, quality=100)
    picture = outcome(buffer.getvalue())
    assert isinstance(picture, Picture)
    assert picture.more_pictures
    red, green, blue = decode(buffer.getvalue(), SMALL).pixels[8, 8].astype(int)
    assert red > 200
    assert max(green, blue) < 60


def test_further_pictures_of_a_tiff_and_an_mpo_are_told():
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "green")]
    for kind in ("TIFF", "MPO"):
        buffer = io.BytesIO()
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
        picture = outcome(buffer.getvalue())
        assert isinstance(picture, Picture)
        assert picture.more_pictures, kind


def test_one_pixel_and_black_are_hashed_with_no_quality():
    for pixels in (np.zeros((1, 1, 3), np.uint8), np.zeros((200, 100, 3), np.uint8)):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG")
        picture = outcome(buffer.getvalue())
        assert isinstance(picture, Picture)
        assert picture.pdq_quality == 0


def test_a_polyglot_is_the_picture_that_its_beginning_is():
    zipped = SEEDS["jpeg"] + b"PK\x03\x04" + bytes(100) + b"%PDF-1.7"
    plain, both = outcome(SEEDS["jpeg"]), outcome(zipped)
    assert isinstance(plain, Picture)
    assert isinstance(both, Picture)
    assert both.pixel_digest == plain.pixel_digest
    assert both.sha256 != plain.sha256


# --- bombs: refused from the header, before memory is spent -----------------------------------------------------------


def _png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    body = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", body)
        + chunk(b"IDAT", zlib.compress(bytes(1 << 16)))
        + chunk(b"IEND", b"")
    )


def _jpeg_with_size(width: int, height: int) -> bytes:
    data = bytearray(SEEDS["jpeg"])
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def _gif_with_size(width: int, height: int) -> bytes:
    data = bytearray(SEEDS["gif"])
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def _bmp_with_size(width: int, height: int) -> bytes:
    data = bytearray(SEEDS["bmp"])
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def _tiff_with_size(width: int, height: int) -> bytes:
    data = bytearray(SEEDS["tiff"])
    (at,) = struct.unpack_from("<L", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from("<H", data, entry)
        if tag in (256, 257):
            struct.pack_into("<HLL", data, entry + 2, 4, 1, width if tag == 256 else height)
    return bytes(data)


def _webp_with_size(width: int, height: int) -> bytes:
    head = (
        b"VP8X"
        + struct.pack("<I", 10)
        + bytes(4)
        + (width - 1).to_bytes(3, "little")
        + (height - 1).to_bytes(3, "little")
    )
    body = b"WEBP" + head + SEEDS["webp"][12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


BOMBS = {
    "png": _png_header(60_000, 60_000),
    "png just above": _png_header(257, 256),
    "jpeg": _jpeg_with_size(65_000, 65_000),
    "gif": _gif_with_size(65_000, 65_000),
    "bmp": _bmp_with_size(60_000, 60_000),
    "tiff": _tiff_with_size(60_000, 60_000),
    "webp": _webp_with_size(16_000, 16_000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_decompression_bomb_is_refused_before_it_is_decoded(name, monkeypatch):
    decoded = []
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: decoded.append("Pillow"))
    monkeypatch.setattr(cv2, "imdecode", lambda *_: decoded.append("OpenCV"))
    assert "pixels" in outcome(BOMBS[name])
    assert not decoded


def test_a_file_above_the_byte_limit_is_refused():
    assert "bytes large" in outcome(SEEDS["png"] + bytes(SMALL.max_bytes))


def test_an_empty_file_is_refused():
    assert outcome(b"") == "it is empty"


@pytest.mark.parametrize("disguised", [False, True])
def test_a_jpeg_with_endless_scans_is_refused(disguised):
    """Each empty progressive scan goes over the whole picture; a false end-of-image inside a comment must not hide them."""
    data = SEEDS["progressive"]
    at = data.index(b"\xff\xda")
    scan = data[at : data.index(b"\xff", at + 2)]
    comment = b"\xff\xfe\0\x04\xff\xd9" if disguised else b""
    bomb = data[:-2] + comment + scan * 500 + b"\xff\xd9"
    assert "scans" in outcome(bomb)
    assert isinstance(outcome(data), Picture)


def test_scan_marks_behind_the_picture_do_not_count():
    assert isinstance(outcome(SEEDS["progressive"] + b"\xff\xda" * 500), Picture)


def _overlapping(entries: int, payload: int) -> bytes:
    """A directory whose values all cover the same bytes: small in the file, vast when each is copied."""
    start = 8 + 2 + 12 * entries + 4
    rows = b"".join(struct.pack("<HHLL", 0x9000 + n, 7, payload, start) for n in range(entries))
    return b"II*\0" + struct.pack("<LH", 8, entries) + rows + bytes(4) + bytes(payload)


def test_overlapping_directories_are_not_unfolded():
    block = _overlapping(2000, 30_000)
    assert "overlap" in outcome(block)  # as a TIFF file
    exif = b"Exif\0\0" + block
    data = SEEDS["jpeg"]
    picture = outcome(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
    assert isinstance(picture, Picture)  # as EXIF it costs the EXIF, not the photo


def test_limits_above_what_the_decoder_can_hold_are_refused():
    with pytest.raises(ValueError, match="max_pixels"):
        Limits(max_pixels=10**9)
