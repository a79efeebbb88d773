"""Every pair of hashes within a radius, with exact recall. Pure numpy.

Method: multi-index hashing (Norouzi, Punjani, Fleet, "Fast search in Hamming space with multi-index hashing", CVPR 2012,
section 3). 256 bits fall into 16 bands of 16. Two hashes within r bits agree in some band but for at most ⌊r/16⌋ bits, so it is
enough to compare each hash with those whose band lies that near: 17 values a band for radius 31, 0.4 % of all pairs on random
hashes.

A band takes one bit from each row of the PDQ frequency matrix, along a diagonal: neighbouring bits of real hashes are correlated,
and bands of correlated bits have crowded buckets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Final

import numpy as np
import numpy.typing as npt

from unsee.core.errors import InputError

Hashes = npt.NDArray[np.uint8]
"""(n, 32) uint8, most significant byte first."""
_Words = npt.NDArray[np.uint64]
_Indices = npt.NDArray[np.int64]
_Distances = npt.NDArray[np.int16]
_Pairs = tuple[_Indices, _Indices, _Distances]

_BANDS: Final = 16
_CHUNK: Final = 1 << 19
"""Pairs looked at in one go: about 40 bytes of memory each."""
_BRUTE_PAIRS: Final = 1 << 20
"""Up to so many pairs, comparing all is quicker than sorting bands."""
_BRUTE_ADVANTAGE: Final = 8.0
"""Looking a pair up costs so much more than comparing it in a dense block: 4 on random hashes, more where buckets are uneven."""


class HashShapeError(InputError):
    """An array of hashes is not (n, 32) uint8."""

    code = "INP-011"

    def __init__(self, name: str, array: npt.NDArray[np.generic]) -> None:
        super().__init__(
            f"{name} is {array.shape} {array.dtype}, not (n, 32) uint8.",
            next_step="Stack 32-byte hashes, one a row: np.frombuffer(b''.join(hashes), np.uint8).reshape(-1, 32).",
        )


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """Pairs within the radius, sorted by query, then distance, then corpus; each pair once."""

    query: _Indices
    corpus: _Indices
    distance: _Distances

    def __len__(self) -> int:
        return len(self.query)


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """For each query its nearest corpus hash within the radius: `corpus` is −1 and `distance` −1 where there is none."""

    corpus: _Indices
    distance: _Distances


def neighbours(queries: Hashes, corpus: Hashes, *, radius: int) -> Hits:
    """Every corpus hash within `radius` bits of each query hash.

    Args:
        queries: (n, 32) uint8, most significant byte first.
        corpus: (m, 32) uint8, same layout.
        radius: inclusive Hamming distance in bits, 0..256.
    Returns:
        Rows (query, corpus, distance), sorted by query then distance; empty when there are none. The output names every pair,
        so it is quadratic where many hashes are equal; `nearest` never is.
    Raises:
        HashShapeError: an input is not (k, 32) uint8.
        ValueError: the radius is out of range.
    Cost: expected O(n · candidates), candidates ≈ 0.4 % of m for radius 16–31, 0.02 % below 16, 3.3 % for 32–47; all pairs
        above and for small inputs. Never more than 16 looks at a pair. Memory: 120 bytes for each hash, 20 MB, and the output.
    """
    asked, there = _group(_words("queries", queries)), _group(_words("corpus", corpus))
    parts = [_spread(pairs, asked, there) for pairs in _pairs(asked.words, there.words, _checked(radius))]
    if not parts:
        none = np.empty(0, np.int64)
        return Hits(none, none.copy(), np.empty(0, np.int16))
    query, found, distance = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((found, distance, query))
    return Hits(query[order], found[order], distance[order])


def nearest(queries: Hashes, corpus: Hashes, *, radius: int) -> Nearest:
    """The nearest corpus hash within `radius` bits of each query hash; of several, the one that comes first in the corpus.

    Args, errors and cost as `neighbours`, but memory is 120 bytes for each hash and 20 MB, whatever is found.
    """
    asked, there = _group(_words("queries", queries)), _group(_words("corpus", corpus))
    nothing = np.iinfo(np.int64).max
    best = np.full(len(asked.words), nothing, np.int64)
    first = there.order[there.starts]  # the sort is stable: the first of a group is its lowest index
    for query, found, distance in _pairs(asked.words, there.words, _checked(radius)):
        np.minimum.at(best, query, (distance.astype(np.int64) << 48) | first[found])
    hit = best != nothing
    per_group_corpus = np.where(hit, best & ((1 << 48) - 1), -1)
    per_group_distance = np.where(hit, best >> 48, -1).astype(np.int16)
    corpus_of = np.empty(len(queries), np.int64)
    distance_of = np.empty(len(queries), np.int16)
    corpus_of[asked.order] = np.repeat(per_group_corpus, asked.sizes)
    distance_of[asked.order] = np.repeat(per_group_distance, asked.sizes)
    return Nearest(corpus_of, distance_of)


def distances(left: Hashes, right: Hashes) -> _Distances:
    """(n,) int16: the Hamming distance of each row of `left` from the same row of `right`."""
    a, b = _words("left", left), _words("right", right)
    return np.asarray(np.bitwise_count(a ^ b).sum(axis=1, dtype=np.int16))


@dataclass(frozen=True, slots=True, eq=False)
class _Groups:
    """Equal hashes put together: `words` (g, 4); `order[starts[i] : starts[i] + sizes[i]]` are the rows of group i."""

    words: _Words
    order: _Indices
    starts: _Indices
    sizes: _Indices


def _checked(radius: int) -> int:
    if not 0 <= radius <= 256:
        raise ValueError(f"a radius lies between 0 and 256 bits, not at {radius}")
    return radius


def _words(name: str, hashes: Hashes) -> _Words:
    if hashes.ndim != 2 or hashes.shape[1] != 32 or hashes.dtype != np.uint8:
        raise HashShapeError(name, hashes)
    return np.ascontiguousarray(hashes).view(np.uint64)


def _group(words: _Words) -> _Groups:
    """Group equal rows by sorting one mixed word.

    Rows that differ but mix to the same word may split a group in two, which costs time; they are never joined, because all
    four words are compared.
    """
    multipliers = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], np.uint64)
    mixed = np.bitwise_xor.reduce(words * multipliers, axis=1)
    order = np.argsort(mixed, kind="stable").astype(np.int64)
    ordered = words[order]
    new = np.ones(len(words), bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    starts = np.flatnonzero(new).astype(np.int64)
    return _Groups(ordered[starts], order, starts, np.diff(starts, append=len(words)))


def _spread(pairs: _Pairs, asked: _Groups, there: _Groups) -> _Pairs:
    """Pairs of groups as pairs of rows."""
    query, corpus, distance = pairs
    asked_sizes, there_sizes = asked.sizes[query], there.sizes[corpus]
    sizes = asked_sizes * there_sizes
    pair = np.repeat(np.arange(len(query)), sizes)
    within = np.arange(len(pair)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    row, column = np.divmod(within, there_sizes[pair])
    return (
        asked.order[asked.starts[query[pair]] + row],
        there.order[there.starts[corpus[pair]] + column],
        distance[pair],
    )


def _pairs(queries: _Words, corpus: _Words, radius: int) -> Iterator[_Pairs]:
    """Chunks of pairs within the radius, each pair in exactly one chunk."""
    if len(queries) == 0 or len(corpus) == 0:
        return
    if len(queries) > len(corpus):  # the larger side is the one that is sorted
        for there, asked, distance in _pairs(corpus, queries, radius):
            yield asked, there, distance
        return
    bits = radius // _BANDS
    probes = sum(comb(16, n) for n in range(bits + 1))
    looked_up = _BANDS * probes / 65536
    if len(queries) * len(corpus) <= _BRUTE_PAIRS or looked_up * _BRUTE_ADVANTAGE >= 1:
        yield from _brute(queries, corpus, radius)
        return
    masks = np.array([sum(1 << i for i in c) for n in range(bits + 1) for c in combinations(range(16), n)], np.uint16)
    for band in range(_BANDS):
        yield from _band(queries, corpus, radius, band, masks)


def _brute(queries: _Words, corpus: _Words, radius: int) -> Iterator[_Pairs]:
    step = max(1, _CHUNK // len(queries))
    for at in range(0, len(corpus), step):
        block = corpus[at : at + step]
        distance = np.zeros((len(queries), len(block)), np.int16)
        for word in range(4):
            distance += np.bitwise_count(queries[:, word, None] ^ block[None, :, word])
        query, found = np.nonzero(distance <= radius)
        yield query, found + at, distance[query, found]


def _band_keys(words: _Words, band: int) -> npt.NDArray[np.uint16]:
    """16 bits of each hash: bit (row + band) mod 16 of each of its sixteen 16-bit rows, which never fall on one another."""
    key = np.zeros(len(words), np.uint64)
    for word in range(4):
        mask = sum(1 << (16 * row + (4 * word + row + band) % 16) for row in range(4))
        key |= words[:, word] & np.uint64(mask)
    key |= key >> np.uint64(32)
    key |= key >> np.uint64(16)
    return key.astype(np.uint16)  # the low 16 bits


def _band(queries: _Words, corpus: _Words, radius: int, band: int, masks: npt.NDArray[np.uint16]) -> Iterator[_Pairs]:
    """The pairs that this band finds and no earlier one."""
    keys = _band_keys(corpus, band)
    order = np.argsort(keys, kind="stable")  # radix sort for 16-bit keys
    starts = np.concatenate(([0], np.cumsum(np.bincount(keys, minlength=65536))))
    ordered = np.take(corpus, order, axis=0)
    asked = _band_keys(queries, band)
    asked_order = np.argsort(asked, kind="stable")  # neighbouring queries look into neighbouring buckets
    asked_keys = asked[asked_order]
    asked_words = np.take(queries, asked_order, axis=0)
    for mask in masks:
        bucket = (asked_keys ^ mask).astype(np.int64)
        low = starts[bucket]
        for row, position in _expand(low, starts[bucket + 1] - low):
            difference = np.take(ordered, position, axis=0) ^ np.take(asked_words, row, axis=0)
            ones = np.bitwise_count(difference)
            likely = np.flatnonzero(ones[:, 0] + ones[:, 1] <= radius)  # half the words dismiss nearly all candidates
            distance = ones[likely].sum(axis=1, dtype=np.int16)
            hit = likely[distance <= radius]
            hit = hit[_first_found_in(difference[hit], band, radius // _BANDS)]
            yield asked_order[row[hit]], order[position[hit]], ones[hit].sum(axis=1, dtype=np.int16)


def _expand(low: _Indices, count: _Indices) -> Iterator[tuple[_Indices, _Indices]]:
    """Pairs (row, low[row] … low[row] + count[row]) in chunks; a chunk may begin and end inside a row."""
    ends = np.cumsum(count)
    offset = low - (ends - count)
    total = int(ends[-1])
    for start in range(0, total, _CHUNK):
        stop = min(start + _CHUNK, total)
        first, last = np.searchsorted(ends, (start, stop - 1), side="right")
        rows = np.arange(first, last + 1)
        begin = np.maximum(ends[first : last + 1] - count[first : last + 1], start)
        row = np.repeat(rows, np.minimum(ends[first : last + 1], stop) - begin)
        yield row, np.arange(start, stop) + offset[row]


def _first_found_in(difference: _Words, band: int, bits: int) -> _Indices:
    """The rows that no band before `band` finds: so that a pair found in many bands is told once."""
    fresh = np.ones(len(difference), bool)
    for earlier in range(band):
        fresh &= np.bitwise_count(_band_keys(difference, earlier)) > bits
    return np.flatnonzero(fresh)
