"""What a picture is known by: equal pictures get equal digests, and each file has one canonical decode."""

from __future__ import annotations

import hashlib
import io
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
from PIL import Image, ImageOps

from unsee.match import pdq
from unsee.match.decode import Limits, decode
from unsee.match.pictures import Unreadable, examine, examine_with_embedded, orientations, pixel_digest

LOSSLESS = [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {"lossless": True})]


def test_a_picture_says_what_it_is(scene, encode):
    data = encode(scene(1, 120, 80))
    picture = examine(data)
    assert picture.sha256 == hashlib.sha256(data).digest()
    assert (picture.width, picture.height, picture.format, picture.more_pictures) == (120, 80, "JPEG", False)
    assert len(picture.pixel_digest) == len(picture.pdq) == 32
    assert picture.pdq_quality >= 50
    assert ForkingPickler.loads(ForkingPickler.dumps(picture)) == picture
    assert examine(data) == picture


@pytest.mark.parametrize(("kind", "options"), LOSSLESS)
def test_a_lossless_rewrap_keeps_the_pixel_digest(scene, encode, kind, options):
    first = examine(encode(scene(2), "PNG"))
    other = examine(encode(scene(2), kind, **options))
    assert other.pixel_digest == first.pixel_digest == pixel_digest(scene(2))
    assert other.pdq == first.pdq


def test_a_jpeg_and_its_decoded_png_show_the_same_pixels(scene, encode):
    data = encode(scene(3), quality=70)
    png = io.BytesIO()
    Image.open(io.BytesIO(data)).save(png, "PNG")
    assert examine(png.getvalue()).pixel_digest == examine(data).pixel_digest


def test_the_shape_is_part_of_the_pixel_digest():
    row = np.arange(48, dtype=np.uint8)
    assert pixel_digest(row.reshape(4, 4, 3)) != pixel_digest(row.reshape(2, 8, 3))


@pytest.mark.parametrize("size", [(112, 112), (113, 97), (1, 1), (300, 40)])
@pytest.mark.parametrize("quality", [10, 75, 95])
@pytest.mark.parametrize("coding", [(s, p) for s in (0, 1, 2) for p in (False, True)])
def test_the_fast_jpeg_path_decodes_as_pillow_does(scene, encode, size, quality, coding):
    subsampling, progressive = coding
    data = encode(scene(4, *size), quality=quality, subsampling=subsampling, progressive=progressive)
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(decode(data, Limits()).pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied(scene, encode, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(scene(5, 90, 60), kind, exif=exif)
    with Image.open(io.BytesIO(data)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert examine(data).pixel_digest == pixel_digest(np.ascontiguousarray(upright))
    assert (examine(data).width, examine(data).height) == upright.shape[1::-1]


def test_orientations_are_those_of_the_turned_pictures(scene):
    pixels = scene(6, 128, 128)
    found = pdq.orientations(pdq.frequencies(pdq.luma(pixels)))
    turned = {
        "as it is": pixels,
        "mirrored": pixels[:, ::-1],
        "turned by 180°": np.rot90(pixels, 2),
        "mirrored and turned by 180°": np.rot90(pixels[:, ::-1], 2),
        "turned by 90° clockwise": np.rot90(pixels, -1),
        "turned by 90° anticlockwise": np.rot90(pixels),
        "mirrored and turned by 90° clockwise": np.rot90(pixels[:, ::-1], -1),
        "mirrored and turned by 90° anticlockwise": np.rot90(pixels[:, ::-1]),
    }
    assert set(turned) == set(pdq.ORIENTATIONS)
    from_bits = pdq.orientations_of_hashes(found[:1])[0]
    for at, name in enumerate(pdq.ORIENTATIONS):
        small = pdq.luma(np.ascontiguousarray(turned[name]))
        true = np.frombuffer(pdq.hash_of(pdq.frequencies(small)), np.uint8)
        assert np.bitwise_count(true ^ found[at]).sum() <= 4, name  # float rounding near the median
        assert np.bitwise_count(true ^ from_bits[at]).sum() <= 24, name
    for at, back in enumerate(pdq.UNDONE_BY):
        assert np.array_equal(pdq.orientations_of_hashes(from_bits[at][None])[0][back], found[0])


def test_orientations_of_a_file_begin_with_its_own_hash(scene, encode):
    data = encode(scene(7))
    assert orientations(data)[0] == examine(data).pdq
    assert len(set(orientations(data))) == 8


def test_half_the_bits_are_set(scene, encode):
    assert int.from_bytes(examine(encode(scene(8))).pdq, "big").bit_count() == 128


def test_the_hash_is_pdq_written_most_significant_first(scene):
    """Against the formula spelled out slowly: bit 16·i + j is frequency (i + 1, j + 1), and bit 255 comes first."""
    small = pdq.luma(scene(9))
    x = np.arange(64)
    coefficients = np.array(
        [
            [
                (small * np.outer(np.cos(np.pi * i * (2 * x + 1) / 128), np.cos(np.pi * j * (2 * x + 1) / 128))).sum()
                / 32
                for j in range(1, 17)
            ]
            for i in range(1, 17)
        ]
    )
    ranked = sorted(coefficients.ravel())
    value = sum(1 << k for k, c in enumerate(coefficients.ravel()) if c > ranked[127])
    assert abs(ranked[127] - ranked[128]) > 1e-2  # no tie, so float32 decides alike
    assert pdq.hash_of(pdq.frequencies(small)) == value.to_bytes(32, "big")


def test_quality_tells_flat_from_structured(scene, encode):
    flat = examine(encode(np.full((100, 100, 3), 128, np.uint8), "PNG"))
    assert flat.pdq_quality == 0
    assert flat.pdq == bytes(32)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert examine(encode(noise, "PNG")).pdq_quality == 100


@pytest.mark.parametrize(
    ("change", "options"),
    [
        ("as it is", {"quality": 50}),
        ("as it is", {"quality": 30}),
        ("half", {"quality": 85}),
        ("64 px", {"quality": 50}),
        ("twice", {"quality": 85}),
    ],
)
def test_recompressed_and_resized_copies_stay_near(scene, encode, change, options):
    size = {"as it is": None, "half": (80, 80), "64 px": (64, 64), "twice": (320, 320)}[change]
    for seed in range(12):
        image = Image.fromarray(scene(seed))
        copy = image.resize(size, Image.Resampling.BICUBIC) if size else image
        left, right = examine(encode(scene(seed), "PNG")), examine(encode(np.asarray(copy), **options))
        distance = (int.from_bytes(left.pdq, "big") ^ int.from_bytes(right.pdq, "big")).bit_count()
        assert distance <= pdq.RADIUS


def test_embedded_blocks_come_with_the_same_pass(scene, encode):
    exif = Image.Exif()
    exif[0x0110] = "Model 1"
    _, embedded = examine_with_embedded(encode(scene(10), exif=exif, xmp=b"<x/>"))
    assert embedded.exif.main[0x0110] == "Model 1"
    assert embedded.xmp == b"<x/>"
    assert embedded.unread == ()


def test_an_unreadable_file_says_why_and_crosses_processes():
    with pytest.raises(Unreadable) as caught:
        examine(b"hello, I am a text file")
    assert "known format" in caught.value.reason
    again = ForkingPickler.loads(ForkingPickler.dumps(caught.value))
    assert (type(again), again.reason, again.code) == (Unreadable, caught.value.reason, "INP-010")
