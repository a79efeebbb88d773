"""Searching streams of bytes for digests: every place, every alignment, across the borders of pieces (R5)."""

import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsee.erase.rawscan import scan

DIGESTS = [hashlib.sha256(b"%d" % n).digest() for n in range(40)]
# near misses: equal in the first, the last, or the middle words, and of one byte only
ALIKE = [DIGESTS[0][:31] + b"\0", b"\0" + DIGESTS[0][1:], DIGESTS[0][:8] + DIGESTS[1][8:], bytes(32), b"\xff" * 32]


def by_hand(streams, needles):
    whole = [b"".join(pieces) for pieces in streams]
    counts = {n: sum(data[at : at + 32] == n for data in whole for at in range(len(data))) for n in needles}
    return {needle: count for needle, count in counts.items() if count}


@given(
    st.lists(st.lists(st.one_of(st.binary(max_size=70), st.sampled_from(DIGESTS + ALIKE)), max_size=12), max_size=3),
    st.lists(st.sampled_from(DIGESTS + ALIKE), max_size=12),
    st.data(),
)
def test_it_finds_what_a_look_at_every_place_finds(streams, needles, data):
    cut = []
    for pieces in streams:
        whole = b"".join(pieces)
        places = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
        cut.append([whole[a:b] for a, b in itertools.pairwise([0, *places, len(whole)])])
    assert scan(cut, needles) == by_hand(streams, set(needles))


@pytest.mark.parametrize("at", range(17))
def test_alignment_does_not_matter(at):
    assert scan([[b"x" * at + DIGESTS[3]]], DIGESTS) == {DIGESTS[3]: 1}


def test_a_needle_is_cut_by_pieces_of_one_byte():
    whole = b"?" * 13 + DIGESTS[5] + DIGESTS[5][:31] + DIGESTS[6] + b"?"
    assert scan([[bytes([byte]) for byte in whole]], DIGESTS) == {DIGESTS[5]: 1, DIGESTS[6]: 1}


def test_streams_do_not_run_into_each_other():
    assert scan([[DIGESTS[0][:16]], [DIGESTS[0][16:]]], DIGESTS) == {}


def test_other_lengths_are_refused():
    with pytest.raises(ValueError, match="32 bytes"):
        scan([], [b"short"])
