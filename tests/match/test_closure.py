"""Which candidates are copies, and by what they were told."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from unsee.match.closure import Copies, Digests, Likeness, find_copies
from unsee.match.exact import DigestTable
from unsee.match.pictures import examine


def told(copies: Copies) -> dict[int, tuple[int, str]]:
    return {copy.candidate: (copy.original, copy.reason) for copy in copies}


def test_each_copy_is_told_by_its_strongest_likeness(scene, encode):
    photos = [scene(n) for n in range(6)]
    files = [encode(p, "PNG") for p in photos]
    smaller = np.asarray(Image.fromarray(photos[3]).resize((64, 64), Image.Resampling.BOX))
    scope = Digests.of(map(examine, files[:5]))
    candidates = [
        files[5],  # not in the scope
        files[2],  # renamed
        encode(photos[1], "BMP"),  # re-wrapped
        encode(smaller, quality=60),  # thumbnail
        encode(np.ascontiguousarray(photos[4][:, ::-1]), quality=60),  # mirrored and re-encoded
        encode(np.ascontiguousarray(np.rot90(photos[0], -1)), quality=60),  # turned
    ]
    copies = find_copies(scope, Digests.of(map(examine, candidates)))
    reasons = told(copies)
    assert sorted(reasons) == [1, 2, 3, 4, 5]
    assert reasons[1] == (2, "identical bytes")
    assert reasons[2] == (1, "same pixels")
    assert reasons[3][0] == 3
    assert reasons[3][1].startswith("near-duplicate at distance ")
    assert reasons[4][0] == 4
    assert reasons[4][1].endswith(", mirrored")
    assert reasons[5][0] == 0
    assert reasons[5][1].endswith(", turned by 90° clockwise")
    assert copies.counts() == {"identical bytes": 1, "same pixels": 1, "near-duplicate": 3}
    assert copies[0].likeness is Likeness.IDENTICAL_BYTES


def _digests(rng: np.random.Generator, n: int) -> Digests:
    columns = (rng.integers(0, 256, (n, 32), dtype=np.uint8) for _ in range(3))
    return Digests(*columns, np.full(n, 90, np.uint8))


def test_a_flat_picture_is_never_a_near_duplicate():
    scope = _digests(np.random.default_rng(1), 2)
    for own, other, expected in ((90, 90, 2), (50, 50, 2), (49, 90, 0), (90, 49, 0)):
        left = Digests(scope.sha256, scope.pixels, scope.pdq, np.full(2, own, np.uint8))
        right = Digests(scope.sha256 ^ 1, scope.pixels ^ 1, scope.pdq, np.full(2, other, np.uint8))
        assert len(find_copies(left, right)) == expected


def test_positions_are_those_of_the_whole_scope_when_some_hashes_are_left_out():
    scope = _digests(np.random.default_rng(2), 5)
    scope.quality[[0, 2]] = 10
    candidates = Digests(scope.sha256 ^ 1, scope.pixels ^ 1, scope.pdq, np.full(5, 90, np.uint8))
    assert {c: o for c, (o, _) in told(find_copies(scope, candidates)).items()} == {1: 1, 3: 3, 4: 4}


def test_the_radius_is_inclusive():
    scope = _digests(np.random.default_rng(3), 1)
    bits = np.unpackbits(scope.pdq, axis=1)
    bits[0, :31] ^= 1
    edge = Digests(scope.sha256 ^ 1, scope.pixels ^ 1, np.packbits(bits, axis=1), scope.quality)
    assert [c.distance for c in find_copies(scope, edge)] == [31]
    assert len(find_copies(scope, edge, radius=30)) == 0


def test_empty_sides_have_no_copies():
    some, none = _digests(np.random.default_rng(4), 3), _digests(np.random.default_rng(4), 0)
    assert len(Digests.of([])) == 0
    for scope, candidates in ((none, some), (some, none), (none, none)):
        assert list(find_copies(scope, candidates)) == []


@settings(max_examples=80, deadline=None)
@given(
    table=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=12),
    asked=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=12),
)
def test_the_digest_table_equals_a_dictionary_even_where_beginnings_collide(table, asked):
    """Digests are made here of few beginnings and few endings, as only an attacker could."""

    def rows(pairs):
        return np.array([[head] * 8 + [tail] * 24 for head, tail in pairs], np.uint8).reshape(-1, 32)

    first = {pair: at for at, pair in reversed(list(enumerate(table)))}
    assert DigestTable(rows(table)).find(rows(asked)).tolist() == [first.get(pair, -1) for pair in asked]
