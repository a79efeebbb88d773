import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_people import embeddings

from unsee.core.errors import InvalidValue
from unsee.models.evaluation import KINDS, Evaluation
from unsee.models.intervals import interval, resample_people
from unsee.models.verification import evaluate


def _evaluate(seed: int = 1, *, resamples: int = 60, draws: int = 5, **world: object) -> Evaluation:
    return evaluate(*embeddings(seed, **world), rng=np.random.default_rng(draws), resamples=resamples)  # type: ignore[arg-type]


def test_people_far_apart_are_told_apart_without_error() -> None:
    found = _evaluate(noise=0.05)
    assert found.measure("eer").estimate == 0.0
    assert found.measure("tar@1e-2").estimate == 1.0
    assert found.measure("rank1").estimate == 1.0
    assert found.measure("fnmr", "dark").estimate == 0.0


def test_no_errors_seen_is_no_interval_of_zero_width() -> None:
    found = _evaluate(noise=0.05)
    for key in ("eer", "tar@1e-2", "rank1"):
        measure = found.measure(key)
        assert (measure.low, measure.high) == (None, None)
        assert "no errors were seen" in measure.reason
    for key in ("fnmr_max_min", "fnmr_max_geomean"):
        assert found.measure(key).estimate is None
        assert found.measure(key).reason.startswith("unbounded: no errors seen in group “dark”")


def test_noise_alone_is_a_coin() -> None:
    found = _evaluate(noise=1000.0, people=80)
    assert found.measure("eer").estimate == pytest.approx(0.5, abs=0.02)
    assert found.measure("tar@1e-2").estimate == pytest.approx(0.01, abs=0.01)
    assert found.measure("rank1").estimate == pytest.approx(4 / 399, abs=0.02)


def test_a_group_drawn_together_shows_in_its_false_matches() -> None:
    found = _evaluate(people=90, pull=(0.5, 0.0, 0.0))
    dark, light = found.measure("fmr", "dark"), found.measure("fmr", "light")
    assert dark.low is not None
    assert light.high is not None
    assert dark.low > light.high
    assert found.measure("fmr_max_min").estimate == pytest.approx(
        dark.estimate / min(light.estimate, found.measure("fmr", "mid").estimate), rel=1e-6
    )


def test_every_measure_is_there_with_an_interval_around_it() -> None:
    found = _evaluate(noise=1.2, people=90)
    assert {m.key for m in found.measures} == set(KINDS)
    for measure in found.measures:
        if measure.estimate is None:
            assert measure.reason
        else:
            assert measure.low is not None, measure.reason
            assert measure.high is not None
            assert measure.low <= measure.estimate <= measure.high
            assert len(measure.replicates) == 60


def test_counts_add_up() -> None:
    found = _evaluate(people=60, photos=5)
    assert (found.people, found.photos) == (60, 300)
    assert found.genuine_pairs == 60 * 10
    assert found.impostor_pairs == 300 * 299 // 2 - 600
    assert [(g.name, g.people, g.photos, g.genuine_pairs, g.impostor_pairs) for g in found.groups] == [
        (name, 20, 100, 200, 100 * 99 // 2 - 200) for name in ("dark", "light", "mid")
    ]


def test_the_threshold_gives_what_it_promises() -> None:
    rows, who, groups = embeddings(1, noise=1.2)
    found = evaluate(rows, who, groups, rng=np.random.default_rng(0), resamples=0)
    scores = (rows.astype(np.float64) @ rows.T.astype(np.float64)).astype(np.float32)
    other = (who[:, None] != who[None, :]) & (np.arange(300)[:, None] < np.arange(300)[None, :])
    assert found.threshold is not None
    assert np.mean(scores[other] >= found.threshold) <= 0.01
    assert np.mean(scores[other] >= found.threshold - 1e-3) > 0.0099


def test_r14_a_small_group_is_not_claimed() -> None:
    rows, who, groups = embeddings(1, people=60)
    groups |= dict.fromkeys(range(8), "few")
    found = evaluate(rows, who, groups, rng=np.random.default_rng(0), resamples=20, min_group_people=15)
    few = next(g for g in found.groups if g.name == "few")
    assert few.people == 8
    assert "8 people in this group; at least 15" in few.suppressed
    assert found.measure("fmr", "few").estimate is None
    assert found.measure("fmr", "few").reason == few.suppressed
    assert any("“few”" in note for note in found.notes)
    assert found.measure("garbe").estimate is not None, "the other groups are still compared"


def test_far_1e_4_needs_enough_impostors() -> None:
    found = _evaluate(people=30, photos=4)
    assert found.measure("tar@1e-4").estimate is None
    assert "300,000 are needed" in found.measure("tar@1e-4").reason
    assert found.measure("tar@1e-2").estimate is not None


def test_too_few_pairs_for_any_threshold() -> None:
    found = _evaluate(people=6, photos=3)
    assert found.threshold is None
    assert found.measure("eer").estimate is not None
    assert "too few for an interval" in found.measure("eer").reason
    assert all(found.measure("fmr", g.name).estimate is None for g in found.groups)
    assert found.det == () or found.det[0][0] > 0


def test_people_without_a_group_or_a_second_photo_are_reported() -> None:
    rows, who, groups = embeddings(1, people=60)
    del groups[0]
    keep = ~((who == 1) & (np.arange(len(who)) % 5 > 0))
    found = evaluate(rows[keep], who[keep], groups, rng=np.random.default_rng(0), resamples=0)
    assert found.people_without_group == 1
    assert any("1 person without a group" in note for note in found.notes)
    assert any("1 person with one photo" in note for note in found.notes)


def test_photos_without_a_face_are_counted_by_group() -> None:
    rows, who, groups = embeddings(1)
    found = evaluate(rows, who, groups, rng=np.random.default_rng(0), resamples=0, failed=[0, 3, 3, 1])
    assert found.photos_failed == 4
    assert {g.name: g.photos_failed for g in found.groups} == {"dark": 3, "light": 1, "mid": 0}


def test_labels_for_each_photo_are_the_same_as_a_group_for_each_person() -> None:
    rows, who, groups = embeddings(1)
    each = evaluate(rows, who, [groups[p] for p in who.tolist()], rng=np.random.default_rng(0), resamples=10)
    assert each == evaluate(rows, who, groups, rng=np.random.default_rng(0), resamples=10)


def test_one_person_in_two_groups_is_refused() -> None:
    rows, who, _ = embeddings(1)
    labels = ["dark"] * len(who)
    labels[1] = "light"
    with pytest.raises(InvalidValue, match="Person 0 is in two groups"):
        evaluate(rows, who, labels, rng=np.random.default_rng(0), resamples=0)
    with pytest.raises(InvalidValue, match="3 group labels"):
        evaluate(rows, who, ["dark"] * 3, rng=np.random.default_rng(0), resamples=0)
    with pytest.raises(InvalidValue):
        evaluate(rows, who, {}, rng=np.random.default_rng(0), resamples=-1)


@given(st.integers(0, 1000))
@settings(max_examples=8, deadline=None)
def test_the_order_of_the_rows_changes_nothing_at_all(seed: int) -> None:
    rows, who, groups = embeddings(2, people=40)
    order = np.random.default_rng(seed).permutation(len(rows))
    here = evaluate(rows, who, groups, rng=np.random.default_rng(1), resamples=10)
    assert evaluate(rows[order], who[order], groups, rng=np.random.default_rng(1), resamples=10) == here


def test_replicates_are_what_evaluating_the_resampled_people_gives() -> None:
    """Draws in which nobody is drawn twice have no clones: there a replicate is a plain evaluation of the people drawn."""
    rows, who, groups = embeddings(4, people=40, noise=1.2)

    class OnceOrNever:
        def multinomial(self, n: int, p: object, size: int) -> np.ndarray:
            return (np.random.default_rng(9).random((size, n)) < 0.8).astype(np.int64)

    found = evaluate(rows, who, groups, rng=OnceOrNever(), resamples=4, min_group_people=10)  # type: ignore[arg-type]
    for k, drawn in enumerate(OnceOrNever().multinomial(40, None, 4)):
        keep = drawn[who] == 1
        alone = evaluate(rows[keep], who[keep], groups, rng=np.random.default_rng(0), resamples=0, min_group_people=2)
        for measure in found.measures:
            if measure.key != "rank1" and measure.estimate is not None:  # rank-1 keeps the gallery of all people
                said = alone.measure(measure.key, measure.group).estimate
                assert measure.replicates[k] == pytest.approx(said, abs=1e-7), measure.label


def test_det_points_run_from_strict_to_lenient() -> None:
    det = _evaluate(noise=1.2).det
    assert len(det) > 10
    for (fmr, fnmr), (next_fmr, next_fnmr) in itertools.pairwise(det):
        assert fmr < next_fmr
        assert fnmr >= next_fnmr


def test_draws_are_people_with_replacement() -> None:
    draws = resample_people(30, 500, np.random.default_rng(0))
    assert draws.shape == (500, 30)
    assert (draws.sum(axis=1) == 30).all()
    assert draws.mean() == 1.0
    assert draws.std() == pytest.approx(np.sqrt(29 / 30), abs=0.05)


def test_intervals_of_a_mean_are_those_of_theory() -> None:
    replicates = np.random.default_rng(0).normal(0.3, 0.05, size=20_000)
    low, high = interval(0.3, replicates) or (0, 0)
    assert (low, high) == (pytest.approx(0.3 - 1.96 * 0.05, abs=0.004), pytest.approx(0.3 + 1.96 * 0.05, abs=0.004))
    # Replicates that lie half a deviation too high are moved back by twice as much, Efron's correction.
    low, high = interval(0.275, replicates) or (0, 0)
    assert (low, high) == (pytest.approx(0.3 - 2.96 * 0.05, abs=0.006), pytest.approx(0.3 + 0.96 * 0.05, abs=0.004))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.floats(0, 1))
def test_an_interval_holds_its_estimate(replicates: list[float], estimate: float) -> None:
    low, high = interval(estimate, replicates) or (9, 9)
    assert low <= estimate <= high
    assert min(low, estimate) >= min([*replicates, estimate])


def test_unusable_and_unbounded_replicates() -> None:
    assert interval(0.5, []) is None
    assert interval(0.5, [np.nan] * 6 + [0.5] * 94) is None
    assert interval(0.5, [np.nan] * 4 + [0.5] * 96) == (0.5, 0.5)
    _, high = interval(2.0, [1.0, 2.0, 3.0] * 30 + [np.inf] * 10) or (0, 0)
    assert np.isinf(high)


@pytest.mark.slow
def test_intervals_cover_the_truth_about_95_times_in_100() -> None:
    """Truth: the same simulated population, fifteen times as many people. The pigeonhole bootstrap errs on the wide side."""
    world = {"photos": 5, "noise": 0.85, "pull": (0.3, 0.0, 0.0)}
    large = [_evaluate(9000 + k, resamples=0, people=900, **world) for k in range(4)]
    keys = [("eer", ""), ("tar@1e-2", ""), ("fmr", "dark"), ("fnmr", "dark"), ("fmr", "light"), ("garbe", "")]
    truth = {k: np.mean([e.measure(*k).estimate for e in large]) for k in keys}
    inside: dict[tuple[str, str], list[bool]] = {k: [] for k in keys}
    for seed in range(150):
        found = _evaluate(seed, resamples=300, draws=seed, people=90, **world)
        for k in keys:
            measure = found.measure(*k)
            if measure.low is not None and measure.high is not None:
                inside[k].append(measure.low <= truth[k] <= measure.high)
    for k, hits in inside.items():
        assert len(hits) > 140, k
        assert np.mean(hits) >= 0.90, (k, np.mean(hits))
    assert np.mean(inside["eer", ""]) < 1.0, "an interval that always covers says nothing"
