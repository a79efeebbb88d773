"""Anchors: what was put aside is found again at any alignment, and nothing else is."""

import io
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from unsee.match.anchors import WINDOW_BYTES, AnchorKey, AnchorSearch
from unsee.match.anchors import content as own_bytes

KEY = AnchorKey(bytes(range(32)))


def content(seed: int, length: int) -> bytes:
    return np.random.default_rng(seed).bytes(length)


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@settings(deadline=None, max_examples=60)
@given(
    seeds=st.lists(st.integers(0, 10_000), min_size=1, max_size=5, unique=True),
    before=st.integers(0, 70),
    piece=st.integers(1, 9_000),
)
def test_every_anchor_is_found_once_at_any_alignment_and_across_pieces(
    seeds: list[int], before: int, piece: int
) -> None:
    photos = [content(seed, 3_000 + seed % 4_000) for seed in seeds]
    anchors = np.concatenate([KEY.anchors(photo) for photo in photos])
    assert len(anchors) >= len(photos)
    stream = b"\x01" * before + b"-".join(photos)
    found = AnchorSearch(KEY, anchors).search(cut(stream, piece))
    assert dict(found) == dict.fromkeys(anchors.tolist(), 1)


def test_nothing_is_found_in_other_bytes_or_under_another_key() -> None:
    photo = content(1, 20_000)
    search = AnchorSearch(KEY, KEY.anchors(photo))
    assert not search.search(cut(content(2, 400_000), 65_536))
    other = AnchorKey(os.urandom(32))
    assert not AnchorSearch(other, KEY.anchors(photo)).search([photo])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1_000), st.integers(0, 3_000))
def test_windows_are_those_that_the_rule_chooses_one_by_one(seed: int, length: int) -> None:
    data = content(seed, length)
    places, codes = KEY.windows(data)
    alone = [at for at in range(length - WINDOW_BYTES + 1) if len(KEY.windows(data[at : at + WINDOW_BYTES])[0])]
    assert places.tolist() == alone
    assert codes.tolist() == [int(KEY.windows(data[at : at + WINDOW_BYTES])[1][0]) for at in alone]


def test_windows_across_the_border_of_two_blocks_are_seen() -> None:
    border = 1 << 20
    places, codes = KEY.windows(data := content(17, border + 4_000))
    near = KEY.windows(data[border - 4_000 :])
    late = places >= border - 4_000
    assert (places[late] - (border - 4_000)).tolist() == near[0].tolist()
    assert codes[late].tolist() == near[1].tolist()
    assert ((near[0] > 4_000 - WINDOW_BYTES) & (near[0] < 4_000)).any(), "the harness: one lies across it"


def test_a_window_has_content_where_its_first_three_words_are_not_all_alike() -> None:
    data = content(10, 2_000)
    at = int(KEY.windows(data)[0][0])
    word, other = data[at : at + 8], data[at + 8 : at + 16]
    assert len(KEY.windows(word + word + other + other)[0])
    assert not len(KEY.windows(word * 3 + other)[0])


@pytest.mark.parametrize("kind", [b"VP8 ", b"VP8L"])
def test_the_image_chunk_of_a_webp_is_found_behind_chunks_of_any_length(kind: bytes) -> None:
    def chunk(name: bytes, held: bytes) -> bytes:
        return name + len(held).to_bytes(4, "little") + held + bytes(len(held) % 2)

    picture = chunk(kind, content(11, 501))[:-1]
    data = b"RIFF1234WEBP" + chunk(b"ICCP", content(12, 333)) + picture + chunk(b"EXIF", content(13, 90))
    assert data[own_bytes(data)] == picture


def test_a_photo_has_up_to_four_anchors_spread_over_it() -> None:
    photo = content(8, 30_000)
    assert len(KEY.anchors(photo)) == 4
    for kept in (photo[:9_000], photo[9_000:17_000], photo[17_000:]):
        assert AnchorSearch(KEY, KEY.anchors(photo)).search([kept])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_what_encoders_write_into_every_file_is_no_anchor(kind: str) -> None:
    """Tables, profiles and EXIF stand in millions of other files."""
    profile = content(5, 40_000)

    def encoded(seed: int) -> bytes:
        held = io.BytesIO()
        pixels = np.random.default_rng(seed).integers(0, 256, (90, 90, 3), np.uint8)
        Image.fromarray(pixels).save(held, kind, icc_profile=profile, exif=b"Exif\0\0" + content(6, 9_000))
        return held.getvalue()

    first, second = encoded(1), encoded(2)
    assert len(KEY.anchors(first)) == 4
    assert AnchorSearch(KEY, KEY.anchors(first)).search([first])
    assert not AnchorSearch(KEY, KEY.anchors(first)).search([second, profile])


def test_a_header_that_leads_nowhere_hides_nothing() -> None:
    for head in (b"\xff\xd8\xff\xe0\xff\xff", b"\xff\xd8\xff\xe0\x00\x00", b"\x89PNG\r\n\x1a\n", b"RIFF1234WEBP"):
        assert len(KEY.anchors(head + content(4, 20_000))) == 4


def test_what_is_small_or_empty_has_no_anchor_and_is_not_found_everywhere() -> None:
    assert not len(KEY.anchors(b""))
    assert not len(KEY.anchors(b"short"))
    for filling in (b"\x00", b"\xff", b"ab"):
        assert not len(KEY.anchors(filling * 40_000))


def test_a_search_for_nothing_finds_nothing() -> None:
    assert not AnchorSearch(KEY, np.empty(0, np.uint64)).search([content(3, 100_000)])


def test_a_key_is_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        AnchorKey(b"short")
