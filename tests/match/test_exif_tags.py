"""The bounded EXIF reader reads what Pillow writes, and nothing hostile unfolds."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from unsee.match import exif as fields
from unsee.match.exif import BrokenDirectory, Tags, read_tags

_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)


@given(
    order=st.sampled_from("<>"),
    texts=st.tuples(_TEXT, _TEXT),
    orientation=st.integers(1, 8),
    latitude=st.tuples(*[st.integers(0, 90)] * 3),
    thumbnail=st.booleans(),
)
def test_reads_what_pillow_writes(order, texts, orientation, latitude, thumbnail):
    make, taken = texts
    written = Image.Exif()
    written.endian = order
    written[fields.MAKE], written[fields.ORIENTATION] = make, orientation
    written.get_ifd(0x8769)[fields.DATE_ORIGINAL] = taken
    written.get_ifd(0x8825).update({fields.LATITUDE_REF: "S", fields.LATITUDE: tuple(map(float, latitude))})
    if thumbnail:
        written.get_ifd(1)[0x0103] = 6
    block = written.tobytes()
    again = Image.Exif()
    again.load(block)
    tags = read_tags(block)
    assert tags == read_tags(b"Exif\0\0" + block.removeprefix(b"Exif\0\0"))
    assert tags.main[fields.MAKE] == again[fields.MAKE] == make
    assert tags.orientation == again[fields.ORIENTATION] == orientation
    assert tags.detail[fields.DATE_ORIGINAL] == again.get_ifd(0x8769)[fields.DATE_ORIGINAL] == taken
    assert tags.position[fields.LATITUDE] == tuple(map(float, again.get_ifd(0x8825)[fields.LATITUDE])) == latitude
    assert tags.position[fields.LATITUDE_REF] == "S"


def directory(*entries: tuple[int, int, int, int], after: bytes = b"", more: int = 0) -> bytes:
    rows = b"".join(struct.pack("<HHLL", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<LH", 8, len(entries)) + rows + struct.pack("<L", more) + after


@pytest.mark.parametrize("value", [0, 9, 77])
def test_an_orientation_out_of_range_is_none(value):
    assert read_tags(directory((fields.ORIENTATION, 3, 1, value))).orientation == 1


def test_an_orientation_that_is_text_is_none():
    assert read_tags(directory((fields.ORIENTATION, 2, 2, 0x36))).orientation == 1
    assert Tags().orientation == 1


def test_a_rational_over_nothing_is_not_a_number():
    block = directory((0x8825, 4, 1, 26), after=struct.pack("<HHHLLL6L", 1, 2, 5, 3, 44, 0, 1, 0, 4, 2, 5, 1))
    first, *rest = read_tags(block).position[fields.LATITUDE]
    assert math.isnan(first)
    assert rest == [2.0, 5.0]


@pytest.mark.parametrize(
    "entry", [(fields.LATITUDE, 5, 3, 4_000_000_000), (fields.LATITUDE, 99, 3, 0), (fields.LATITUDE, 5, 0, 0)]
)
def test_a_damaged_value_is_present_and_empty(entry):
    gps = struct.pack("<HHHLLL", 1, *entry, 0)
    tags = read_tags(directory((0x8825, 4, 1, 26), after=gps + bytes(40)))
    assert tags.position == {fields.LATITUDE: ()}


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (b"", "not a TIFF"),
        (b"II+\0" + bytes(12), "not a TIFF"),
        (b"II*\0\x08\0", "cut off"),
        (b"II*\0" + struct.pack("<L", 900), "outside"),
        (directory((fields.MAKE, 2, 4, 0))[:20], "cut off"),
        (directory((0x8769, 4, 1, 900)), "outside"),
        (directory((0x927C, 7, 1000, 0)), "overlap"),
        (directory(*[(0x9000 + n, 7, 60, 8) for n in range(20)], after=bytes(100)), "overlap"),
    ],
)
def test_broken_directories_say_how(block, words):
    with pytest.raises(BrokenDirectory, match=words):
        read_tags(block)


def test_a_directory_that_points_at_itself_ends():
    assert read_tags(directory((0x8769, 4, 1, 8), (0x8825, 4, 1, 8), more=8)).more_directories


@given(block=st.binary(max_size=200), head=st.sampled_from([b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b""]))
def test_random_blocks_are_read_or_refused(block, head):
    try:
        tags = read_tags(head + block)
    except BrokenDirectory:
        return
    assert 1 <= tags.orientation <= 8
