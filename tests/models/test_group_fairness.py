import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from unsee.core.errors import InvalidValue
from unsee.models import fairness

rates = arrays(np.float64, st.integers(2, 6), elements=st.floats(0.001, 1.0))
pairs_of_rates = st.integers(2, 6).flatmap(
    lambda g: st.tuples(*[arrays(np.float64, g, elements=st.floats(0.0, 1.0))] * 2)
)


def test_the_figures_of_a_published_run_come_out() -> None:
    """FMR per group before and after a group's photos were removed; the ratios and Gini are computed by hand."""
    before, after = [0.024, 0.016, 0.019], [0.008, 0.009, 0.054]
    assert fairness.max_over_min(after) == pytest.approx(6.75)
    assert fairness.max_over_geometric_mean(after) == pytest.approx(0.054 / (0.008 * 0.009 * 0.054) ** (1 / 3))
    # Σ|xᵢ−xⱼ| = 2·(1 + 46 + 45)·10⁻³, n = 3, Σx = .071: 3/2 · .184 / (2·9·.071/3)
    assert fairness.gini(after) == pytest.approx(1.5 * 0.184 / (18 * 0.071 / 3))
    assert fairness.gini(before) == pytest.approx(1.5 * 0.032 / (18 * 0.059 / 3))
    assert fairness.garbe(after, before, alpha=0.25) == pytest.approx(
        0.25 * float(fairness.gini(after)) + 0.75 * float(fairness.gini(before))
    )
    assert fairness.fdr(after, before, alpha=0.25) == pytest.approx(1 - (0.25 * 0.046 + 0.75 * 0.008))


def test_one_group_with_all_errors_is_the_worst_gini() -> None:
    assert fairness.gini([0.0, 0.0, 0.0, 0.3]) == pytest.approx(1.0)


@given(st.floats(0.0, 1.0), st.integers(2, 6))
def test_equal_groups_are_equal_by_every_measure(rate: float, groups: int) -> None:
    same = np.full(groups, rate)
    assert fairness.garbe(same, same) == pytest.approx(0.0, abs=1e-12)
    assert fairness.fdr(same, same) == 1.0
    if rate > 0:
        assert fairness.max_over_min(same) == 1.0
        assert fairness.max_over_geometric_mean(same) == pytest.approx(1.0)


@given(rates, st.randoms())
def test_the_order_of_the_groups_does_not_matter(values: np.ndarray, random) -> None:
    order = list(range(len(values)))
    random.shuffle(order)
    for measure in (fairness.max_over_min, fairness.max_over_geometric_mean, fairness.gini):
        assert measure(values[order]) == pytest.approx(float(measure(values)), rel=1e-9, abs=1e-12)


@given(rates, st.floats(0.01, 1.0))
def test_ratios_and_gini_ignore_the_scale(values: np.ndarray, scale: float) -> None:
    for measure in (fairness.max_over_min, fairness.max_over_geometric_mean, fairness.gini):
        assert measure(values * scale) == pytest.approx(float(measure(values)), rel=1e-9, abs=1e-12)


@given(pairs_of_rates, st.floats(0.0, 1.0))
def test_indices_stay_in_their_range(both: tuple[np.ndarray, np.ndarray], alpha: float) -> None:
    assert -1e-12 <= float(fairness.garbe(*both, alpha=alpha)) <= 1 + 1e-12
    assert 0.0 <= float(fairness.fdr(*both, alpha=alpha)) <= 1.0


@given(rates)
def test_ratios_are_ordered(values: np.ndarray) -> None:
    ratio, milder = float(fairness.max_over_min(values)), float(fairness.max_over_geometric_mean(values))
    assert 1 - 1e-12 <= milder <= ratio * (1 + 1e-12)


def test_zero_errors_are_infinite_and_none_at_all_is_undefined() -> None:
    for ratio in (fairness.max_over_min, fairness.max_over_geometric_mean):
        assert math.isinf(float(ratio([0.0, 0.1])))
        assert math.isnan(float(ratio([0.0, 0.0])))
    assert fairness.gini([0.0, 0.0]) == 0.0


def test_replicates_go_through_the_same_lines() -> None:
    many = np.random.default_rng(0).uniform(0.001, 0.2, size=(50, 4))
    many[3, 1] = np.nan
    for measure in (fairness.max_over_min, fairness.max_over_geometric_mean, fairness.gini):
        assert np.allclose(measure(many), [float(measure(row)) for row in many], equal_nan=True)
        assert np.isnan(measure(many)[3])


@pytest.mark.parametrize("wrong", [[0.1], [0.1, 1.2], [-0.1, 0.2], 0.3])
def test_what_is_no_set_of_rates_is_refused(wrong: object) -> None:
    with pytest.raises(InvalidValue):
        fairness.gini(wrong)  # type: ignore[arg-type]


def test_alpha_is_a_weight() -> None:
    with pytest.raises(InvalidValue, match="alpha"):
        fairness.fdr([0.1, 0.2], [0.1, 0.2], alpha=1.5)
