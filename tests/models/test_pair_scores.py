"""Error rates against a slow reference that knows nothing of sorting, prefixes or running weights."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_people import embeddings

from unsee.core.errors import InvalidValue
from unsee.models.scores import PairScores, Weighted, eer, group_rates, operate, score_pairs

Case = tuple[PairScores, list[tuple[float, int]], list[tuple[float, int, int]], np.ndarray]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A few people, coarse scores so that ties are common, and how often each person is drawn."""
    photos = draw(st.lists(st.integers(1, 3), min_size=2, max_size=5).filter(lambda p: max(p) > 1))
    score = st.integers(-4, 6).map(lambda k: k / 8)
    owner = [p for p, k in enumerate(photos) for _ in range(k)]
    genuine, impostor = [], []
    for i in range(len(owner)):
        for j in range(i):
            if owner[i] == owner[j]:
                genuine.append((draw(score), owner[i]))
            else:
                impostor.append((draw(score), owner[i], owner[j]))
    weights = np.array(draw(st.lists(st.integers(0, 3), min_size=len(photos), max_size=len(photos))))
    return _pairs(photos, genuine, impostor), genuine, impostor, weights


def _pairs(photos: list[int], genuine: list[tuple[float, int]], impostor: list[tuple[float, int, int]]) -> PairScores:
    counts = np.array(photos, dtype=np.int64)
    return PairScores.sort(
        people=np.arange(len(photos), dtype=np.int64),
        photos=counts,
        genuine=(np.array([s for s, _ in genuine], np.float32), np.array([p for _, p in genuine], np.int32)),
        impostor=(
            np.array([s for s, _, _ in impostor], np.float32),
            np.array([a for _, a, _ in impostor], np.int32),
            np.array([b for _, _, b in impostor], np.int32),
        ),
        hits=np.zeros(len(photos), np.int64),
        probes=counts,
    )


def _points(genuine, impostor, weights) -> list[tuple[float, Fraction, Fraction]]:
    """(threshold, FMR, FNMR) at each distinct score and above all, strictest first."""
    w = [int(x) for x in weights]
    of_genuine = [(s, w[p]) for s, p in genuine]
    of_impostor = [(s, w[a] * w[b]) for s, a, b in impostor]
    all_genuine, all_impostor = sum(x for _, x in of_genuine), sum(x for _, x in of_impostor)
    thresholds = [math.inf, *sorted({s for s, _ in of_genuine + of_impostor}, reverse=True)]
    return [
        (
            t,
            Fraction(sum(x for s, x in of_impostor if s >= t), all_impostor),
            Fraction(sum(x for s, x in of_genuine if s < t), all_genuine),
        )
        for t in thresholds
    ]


def _slow_eer(points: list[tuple[float, Fraction, Fraction]]) -> Fraction:
    for (_, f0, n0), (_, f1, n1) in itertools.pairwise(points):
        if f1 >= n1:
            share = (n0 - f0) / ((n0 - f0) + (f1 - n1)) if n0 - f0 + f1 - n1 else Fraction(0)
            return f0 + share * (f1 - f0)
    raise AssertionError("the curve must cross")


@settings(max_examples=300)
@given(cases(), st.integers(1, 30))
def test_eer_is_that_of_the_slow_reference(case: Case, reach: int) -> None:
    pairs, genuine, impostor, weights = case
    weighted = Weighted.of(pairs, weights, reach=reach)
    if not weighted.usable:
        assert math.isnan(eer(weighted))
        return
    assert eer(weighted) == pytest.approx(float(_slow_eer(_points(genuine, impostor, weights))), abs=1e-12)


@settings(max_examples=300)
@given(cases(), st.sampled_from([0.0, 0.01, 0.1, 0.25, 1 / 3, 0.5, 0.75]), st.integers(1, 30))
def test_operating_point_is_that_of_the_slow_reference(case: Case, far: float, reach: int) -> None:
    pairs, genuine, impostor, weights = case
    weighted = Weighted.of(pairs, weights, reach=reach)
    if not weighted.usable:
        assert math.isnan(operate(weighted, far).tar)
        return
    allowed = [p for p in _points(genuine, impostor, weights) if float(p[1]) <= far + 1e-9]
    got = operate(weighted, far)
    assert got.fmr == pytest.approx(float(allowed[-1][1]))
    # Between two scores the threshold may lie anywhere: the lowest that refuses the next impostor also decides TAR.
    refused = max(s for s, a, b in impostor if weights[a] * weights[b] and s < allowed[-1][0])
    w_all = sum(int(weights[p]) for _, p in genuine)
    assert got.tar == pytest.approx(sum(int(weights[p]) for s, p in genuine if s > refused) / w_all)
    assert refused < got.threshold <= refused + 1e-6


@given(cases(), st.data())
def test_group_rates_are_those_of_the_slow_reference(case: Case, data: st.DataObject) -> None:
    pairs, genuine, impostor, weights = case
    group = np.array([data.draw(st.integers(-1, 1)) for _ in pairs.people], dtype=np.int64)
    weighted = Weighted.of(pairs, weights, reach=5)
    if not weighted.usable:
        return
    at = operate(weighted, 0.25)
    fmr, fnmr = group_rates(weighted, at, group, 2)
    for g in range(2):
        inside = [(s, weights[a] * weights[b]) for s, a, b in impostor if group[a] == group[b] == g]
        own = [(s, weights[p]) for s, p in genuine if group[p] == g]
        for got, scored, wrong in (
            (fmr[g], inside, lambda s: s >= at.threshold),
            (fnmr[g], own, lambda s: s < at.threshold),
        ):
            total = sum(w for _, w in scored)
            if total == 0:
                assert math.isnan(got)
            else:
                assert got == pytest.approx(sum(w for s, w in scored if wrong(s)) / total)


@given(cases())
def test_rates_depend_on_the_order_of_scores_only(case: Case) -> None:
    _, genuine, impostor, weights = case
    photos = list(case[0].photos)
    moved = _pairs(photos, [(s**3 - 2, p) for s, p in genuine], [(s**3 - 2, a, b) for s, a, b in impostor])
    here, there = Weighted.of(case[0], weights, reach=9), Weighted.of(moved, weights, reach=9)
    if here.usable:
        assert eer(here) == eer(there)
        assert operate(here, 0.25).tar == operate(there, 0.25).tar


@given(cases())
def test_tar_never_falls_when_far_rises(case: Case) -> None:
    weighted = Weighted.of(case[0], case[3], reach=4)
    if weighted.usable:
        tars = [operate(weighted, far).tar for far in np.linspace(0, 0.99, 25)]
        assert all(a <= b for a, b in itertools.pairwise(tars))


def test_a_weight_of_two_is_the_person_entered_twice_without_the_pairs_of_the_clones() -> None:
    """Weights against real copies: duplicate a person's rows under a new id and drop the clone-to-clone pairs by hand."""
    rows, who, _ = embeddings(3, people=6, photos=3)
    weights = np.array([2, 1, 0, 1, 1, 1])
    weighted = Weighted.of(score_pairs(rows, who), weights, reach=10)
    genuine, impostor = [], []
    drawn = [(p, copy) for p in range(6) for copy in range(weights[p])]
    for k, (p, _copy) in enumerate(drawn):
        mine = rows[who == p].astype(np.float64)
        genuine += [float(np.float32(mine[i] @ mine[j])) for i in range(3) for j in range(i)]
        for q, _other in drawn[:k]:
            if q != p:
                impostor += np.float32(mine @ rows[who == q].astype(np.float64).T).ravel().tolist()
    t = operate(weighted, 0.1).threshold
    assert operate(weighted, 0.1).fmr == pytest.approx(np.mean([s >= t for s in impostor]))
    assert operate(weighted, 0.1).tar == pytest.approx(np.mean([s >= t for s in genuine]))


@given(st.integers(0, 50))
@settings(max_examples=15)
def test_the_order_of_the_photos_does_not_matter(seed: int) -> None:
    rows, who, _ = embeddings(seed, people=12, photos=4)
    order = np.random.default_rng(seed).permutation(len(rows))
    one, other = score_pairs(rows, who), score_pairs(rows[order], who[order])
    for field in ("genuine", "impostor", "hits", "probes", "photos"):
        assert np.array_equal(getattr(one, field), getattr(other, field)), field


def test_rank_1_counts_the_nearest_other_photo() -> None:
    """Four photos on a circle at 0°, 10°, 12°, −100°; people a, a, b, b: only the first photo has its own person nearest."""
    angle = np.radians([0, 10, 12, -100])
    pairs = score_pairs(np.stack([np.cos(angle), np.sin(angle)], axis=1), np.array([7, 7, 9, 9]))
    assert pairs.people.tolist() == [7, 9]
    assert (pairs.hits.tolist(), pairs.probes.tolist()) == ([1, 0], [2, 2])


def test_equal_scores_are_no_hit_and_half_an_error() -> None:
    pairs = score_pairs(np.tile([1.0, 0.0], (6, 1)), np.array([0, 0, 1, 1, 2, 2]))
    assert pairs.hits.sum() == 0
    assert eer(Weighted.of(pairs, np.ones(3, dtype=np.int64), reach=100)) == pytest.approx(0.5)


def test_more_rows_than_a_block_make_the_same_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, who, _ = embeddings(1, people=10, photos=4)
    whole = score_pairs(rows, who)
    monkeypatch.setattr("unsee.models.scores._ROWS", 7)
    parts = score_pairs(rows, who)
    assert np.array_equal(whole.impostor, parts.impostor)
    assert np.array_equal(whole.hits, parts.hits)
    assert len(whole.impostor) + len(whole.genuine) == 40 * 39 // 2


@pytest.mark.parametrize(
    ("rows", "who", "said"),
    [
        (np.ones((3, 2)), np.array([0, 0, 1]), "unit norm"),
        (np.array([[1.0, 0], [np.nan, 0], [0, 1]]), np.array([0, 0, 1]), "row 1"),
        (np.eye(3), np.array([0, 1]), "belong together"),
        (np.eye(3), np.array([0, 1, 2]), "allow no verification"),
        (np.eye(3), np.array([4, 4, 4]), "allow no verification"),
        (np.empty((0, 3)), np.empty(0, dtype=int), "no embeddings"),
    ],
)
def test_what_cannot_be_evaluated_is_named(rows: np.ndarray, who: np.ndarray, said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        score_pairs(rows, who)


def test_too_many_photos_are_refused_before_memory_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unsee.models.scores.MAX_PHOTOS", 10)
    rows, who, _ = embeddings(0, people=3, photos=4)
    with pytest.raises(InvalidValue, match="sample of the held-out people"):
        score_pairs(rows, who)
