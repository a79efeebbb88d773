"""The search equals brute force wherever it claims to be exact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsee.match import search
from unsee.match.search import HashShapeError, distances, nearest, neighbours


def brute(queries: np.ndarray, corpus: np.ndarray, radius: int) -> list[tuple[int, int, int]]:
    table = np.bitwise_count(queries[:, None] ^ corpus[None]).sum(axis=2, dtype=np.int64)
    return sorted((int(q), int(table[q, c]), int(c)) for q, c in zip(*np.nonzero(table <= radius), strict=True))


def as_rows(hits: search.Hits) -> list[tuple[int, int, int]]:
    return list(zip(hits.query.tolist(), hits.distance.tolist(), hits.corpus.tolist(), strict=True))


def hashes(rng: np.random.Generator, n: int, *, clusters: int = 0, spread: int = 40) -> np.ndarray:
    """Random hashes, or hashes scattered at up to `spread` bits around a few centres, some of them equal."""
    if not clusters:
        return rng.integers(0, 256, (n, 32), dtype=np.uint8)
    centres = rng.integers(0, 256, (clusters, 32), dtype=np.uint8)
    bits = np.unpackbits(centres[rng.integers(0, clusters, n)], axis=1)
    for row, count in zip(bits, rng.integers(0, spread + 1, n), strict=True):
        row[rng.choice(256, count, replace=False)] ^= 1
    return np.packbits(bits, axis=1)


@pytest.fixture
def always_bands(monkeypatch):
    """Small inputs would be compared pair by pair; this sends them through the bands, in tiny chunks."""
    monkeypatch.setattr(search, "_BRUTE_PAIRS", 0)
    monkeypatch.setattr(search, "_CHUNK", 997)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(0, 60),
    m=st.integers(0, 90),
    radius=st.integers(0, 256),
    clusters=st.integers(0, 4),
)
def test_equals_brute_force(seed, n, m, radius, clusters):
    rng = np.random.default_rng(seed)
    both = hashes(rng, n + m, clusters=clusters)
    assert as_rows(neighbours(both[:n], both[n:], radius=radius)) == brute(both[:n], both[n:], radius)


@pytest.mark.parametrize("radius", range(48))
def test_the_bands_equal_brute_force_at_every_radius(always_bands, radius):
    rng = np.random.default_rng(radius)
    for clusters in (0, 1, 5):
        both = hashes(rng, 130, clusters=clusters, spread=radius)
        found = neighbours(both[:60], both[60:], radius=radius)
        assert as_rows(found) == brute(both[:60], both[60:], radius)
        turned = neighbours(both[60:], both[:60], radius=radius)
        assert as_rows(turned) == brute(both[60:], both[:60], radius)


@pytest.mark.parametrize("radius", [15, 16, 31, 32, 47])
def test_hard_pairs_at_the_very_edge_are_found(always_bands, radius):
    """The worst a pair can do is spread its differing bits evenly over the bands: the pigeonhole argument, put to the test."""
    rng = np.random.default_rng(7)
    base = hashes(rng, 1)
    spread = [16 * row + (row + band) % 16 for band in range(16) for row in range(16)]  # the bits of each band in turn
    by_round = [spread[16 * band + turn] for turn in range(16) for band in range(16)]
    bits = np.unpackbits(base, axis=1)
    bits[0, by_round[:radius]] ^= 1
    near = np.packbits(bits, axis=1)
    assert as_rows(neighbours(base, near, radius=radius)) == [(0, radius, 0)]
    assert len(neighbours(base, near, radius=radius - 1)) == 0


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_chunks_may_end_anywhere(always_bands, monkeypatch, chunk):
    monkeypatch.setattr(search, "_CHUNK", chunk)
    both = hashes(np.random.default_rng(chunk), 40, clusters=2, spread=20)
    assert as_rows(neighbours(both[:15], both[15:], radius=31)) == brute(both[:15], both[15:], 31)


def test_bands_part_the_bits():
    ones = np.packbits(np.eye(256, dtype=np.uint8), axis=1).view(np.uint64)
    keys = np.stack([search._band_keys(ones, band) for band in range(16)])
    assert (np.bitwise_count(keys).sum(axis=0) == 1).all()  # each bit is in exactly one band
    assert (np.bitwise_or.reduce(keys, axis=1) == 0xFFFF).all()  # each band has 16


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(0, 40), m=st.integers(0, 60), radius=st.integers(0, 64))
def test_nearest_is_the_first_of_the_nearest(seed, n, m, radius):
    rng = np.random.default_rng(seed)
    both = hashes(rng, n + m, clusters=3)
    found = nearest(both[:n], both[n:], radius=radius)
    best: dict[int, tuple[int, int]] = {}
    for query, distance, corpus in brute(both[:n], both[n:], radius):
        best.setdefault(query, (corpus, distance))
    assert list(zip(found.corpus.tolist(), found.distance.tolist(), strict=True)) == [
        best.get(q, (-1, -1)) for q in range(n)
    ]


def test_template_pictures_cost_no_square(always_bands, monkeypatch):
    looked_at = 0
    expand = search._expand

    def counting(low, count):
        nonlocal looked_at
        looked_at += int(count.sum())
        yield from expand(low, count)

    monkeypatch.setattr(search, "_expand", counting)
    same = np.repeat(hashes(np.random.default_rng(1), 1), 3000, axis=0)
    found = nearest(same, same, radius=31)
    assert (found.corpus == 0).all()
    assert (found.distance == 0).all()
    assert looked_at <= 16


def test_distances_are_those_of_the_rows():
    rng = np.random.default_rng(2)
    left, right = hashes(rng, 50), hashes(rng, 50)
    left[0], right[0] = 0, 255
    assert distances(left, right).tolist() == np.bitwise_count(left ^ right).sum(axis=1, dtype=int).tolist()
    assert distances(left, right)[0] == 256


@pytest.mark.parametrize("bad", [np.zeros((3, 31), np.uint8), np.zeros(32, np.uint8), np.zeros((3, 32), np.int64)])
def test_a_wrong_shape_is_named(bad):
    with pytest.raises(HashShapeError, match="corpus"):
        neighbours(np.zeros((1, 32), np.uint8), bad, radius=3)


@pytest.mark.parametrize("radius", [-1, 257])
def test_a_radius_out_of_range_is_named(radius):
    with pytest.raises(ValueError, match="radius"):
        neighbours(np.zeros((1, 32), np.uint8), np.zeros((1, 32), np.uint8), radius=radius)
    with pytest.raises(ValueError, match="radius"):
        nearest(np.zeros((0, 32), np.uint8), np.zeros((0, 32), np.uint8), radius=radius)


@pytest.mark.slow
def test_planted_neighbours_in_a_million_are_all_found():
    rng = np.random.default_rng(5)
    corpus, queries = hashes(rng, 1_000_000), hashes(rng, 2_000)
    source = rng.integers(0, len(corpus), 1_000)
    bits = np.unpackbits(corpus[source], axis=1)
    for row, count in zip(bits, rng.integers(0, 32, 1_000), strict=True):
        row[rng.choice(256, count, replace=False)] ^= 1
    queries[:1_000] = np.packbits(bits, axis=1)
    found = neighbours(queries, corpus, radius=31)
    assert set(enumerate(source.tolist())) <= set(zip(found.query.tolist(), found.corpus.tolist(), strict=True))
    assert (distances(queries[found.query], corpus[found.corpus]) == found.distance).all()
