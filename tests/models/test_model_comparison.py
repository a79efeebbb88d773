import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_people import embeddings

from unsee.core.canonical import canonical_json
from unsee.core.errors import InvalidValue, NotFound
from unsee.models.comparison import compare, quantity, signed, table
from unsee.models.evaluation import KINDS, Evaluation, Measure, number, rounded
from unsee.models.verification import evaluate


def _evaluate(noise: float, pull: float = 0.0, *, seed: int = 1, people: int = 90, resamples: int = 200) -> Evaluation:
    return evaluate(
        *embeddings(seed, people=people, noise=noise, pull=(pull, 0.0, 0.0)),
        rng=np.random.default_rng(5),
        resamples=resamples,
    )


@pytest.fixture(scope="module")
def before() -> Evaluation:
    return _evaluate(0.8)


@pytest.fixture(scope="module")
def after() -> Evaluation:
    return _evaluate(0.95, 0.5, seed=2)


@pytest.fixture(scope="module")
def control() -> Evaluation:
    return _evaluate(0.95, seed=2)


# --- an evaluation as a file -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(lambda: _evaluate(0.8), id="usual"),
        pytest.param(lambda: _evaluate(0.05), id="no errors"),
        pytest.param(lambda: _evaluate(0.8, people=6), id="too few people"),
        pytest.param(lambda: _evaluate(0.8, resamples=0), id="no resamples"),
        pytest.param(lambda: _evaluate(0.55, people=60), id="resamples without an error in a group"),
    ],
)
def test_json_is_lossless_and_can_be_signed(found) -> None:
    evaluation = found()
    written = canonical_json(evaluation.as_json())
    assert Evaluation.from_json(json.loads(written)) == evaluation


def test_an_unbounded_interval_and_an_unusable_replicate_survive(before: Evaluation) -> None:
    odd = Measure("fmr_max_min", "", 2.5, 1.0, math.inf, "", (None, 1.5, math.inf, 0.0))
    evaluation = dataclasses.replace(before, measures=(odd,), photos_failed=3)
    assert Evaluation.from_json(json.loads(canonical_json(evaluation.as_json()))) == evaluation


@given(st.floats(0, 1e6))
def test_numbers_read_back_as_the_same_float(value: float) -> None:
    text = number(rounded(value))
    assert text is not None
    assert float(text) == rounded(value)
    assert "e" not in text


def test_no_embedding_and_no_person_is_in_the_file(before: Evaluation) -> None:
    value = before.as_json()
    assert set(value) == {
        "schema", "people", "photos", "photos_failed", "people_without_group", "genuine_pairs", "impostor_pairs",
        "min_group_people", "resamples", "threshold", "groups", "measures", "det", "notes", "people_digest",
        "draws_digest",
    }  # fmt: skip
    assert {k for m in value["measures"] for k in m} == {
        "key", "group", "estimate", "low", "high", "reason", "replicates",
    }  # fmt: skip


def _without(field: str):
    return lambda v: {k: x for k, x in v.items() if k != field}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda v: {**v, "schema": "unsee/evaluation/9"}, "schema"),
        (_without("det"), "det"),
        (_without("people_digest"), "people_digest"),
        (lambda v: {**v, "people": "many"}, "people"),
        (lambda v: {**v, "people": True}, "people"),
        (lambda v: {**v, "threshold": 0.5}, "threshold"),
        (lambda v: {**v, "threshold": "nan"}, "threshold"),
        (lambda v: {**v, "det": [["0.1"]]}, "det"),
        (lambda v: {**v, "groups": {}}, "groups"),
        (lambda v: {**v, "measures": [{**v["measures"][0], "key": "luck"}]}, "luck"),
        (lambda v: {**v, "measures": [{**v["measures"][0], "replicates": "0.1 x"}]}, "replicates of eer"),
        (lambda v: {**v, "measures": [7]}, "key"),
    ],
)
def test_a_spoilt_file_is_refused_and_the_field_named(before: Evaluation, spoil, said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        Evaluation.from_json(spoil(before.as_json()))


def test_the_short_form_is_for_reports_only(before: Evaluation) -> None:
    with pytest.raises(InvalidValue, match="short form"):
        Evaluation.from_json(before.as_json(replicates=False))


def test_a_measure_that_is_not_there_is_named(before: Evaluation) -> None:
    with pytest.raises(NotFound, match="fmr of group green"):
        before.measure("fmr", "green")


# --- before, after, control ------------------------------------------------------------------------------------------


def test_r14_before_and_after_are_compared(before: Evaluation, after: Evaluation, control: Evaluation) -> None:
    found = compare(before, after, control)
    assert [(r.before.key, r.before.group) for r in found.rows] == [(m.key, m.group) for m in before.measures]
    row = found.row("fmr", "dark")
    assert row.change.direction == 1
    assert row.after_against_control is not None
    assert row.after_against_control.direction == 1
    assert row.change.difference == pytest.approx(row.after.estimate - row.before.estimate)
    said = [s for s in found.summary if "FMR" in s and "dark" in s]
    assert said[0].startswith("False match rate (FMR), group “dark” rose from ")


def test_a_model_against_itself_shows_nothing(before: Evaluation) -> None:
    for row in compare(before, before, before).rows:
        if row.before.estimate is not None:
            assert (row.change.difference, row.change.direction) == (0.0, 0)
            assert (row.change.low, row.change.high) in {(0.0, 0.0), (None, None)}
    assert all("rose" not in s and "fell" not in s for s in compare(before, before).summary)


def test_pairing_makes_the_interval_of_the_difference_narrow(before: Evaluation) -> None:
    """A model that is the same but for a little noise differs from it by far less than either is uncertain."""
    near = _evaluate(0.805)
    row = compare(before, near).row("eer")
    own_width = row.before.high - row.before.low
    assert row.change.high - row.change.low < own_width / 2


@given(data=st.data())
def test_no_sentence_claims_more_than_its_interval(data: st.DataObject, before: Evaluation) -> None:
    """Whatever the replicates are: rose and fell are said where the interval excludes zero, and nowhere else."""
    rate = st.floats(0.0, 1.0).map(rounded)
    some = st.lists(rate, min_size=5, max_size=5).map(tuple)

    def evaluation(label: str) -> Evaluation:
        estimate, draws, shaky = data.draw(rate), data.draw(some), data.draw(st.booleans())
        bounds = (None, None, f"{label} is shaky") if shaky else (0.0, 1.0, "")
        return dataclasses.replace(before, measures=(Measure("eer", "", estimate, *bounds, draws),))

    found = compare(evaluation("old"), evaluation("new"), evaluation("third"))
    (row,), said = found.rows, found.summary[0]
    change = row.change
    excludes_zero = change.low is not None and (change.low > 0 or change.high < 0)
    assert excludes_zero == (" rose from " in said or " fell from " in said)
    assert ("no difference can be shown" in said) == (not excludes_zero)
    if excludes_zero:
        assert (" rose from " in said) == (change.difference > 0)
    if change.low is not None and (row.before.low is None or row.after.low is None):
        assert "uncertainty is understated" in said
    beyond = row.after_against_control
    sure = beyond.low is not None and beyond.direction == change.direction != 0
    assert ("greater than after" in " ".join(found.summary)) == sure


def test_different_people_are_refused(before: Evaluation) -> None:
    with pytest.raises(InvalidValue, match=r"before \(90 people\) and after \(60 people\) are not of the same people"):
        compare(before, _evaluate(0.8, people=60))
    rows, who, groups = embeddings(1, people=90, noise=0.8)
    moved = evaluate(rows, who, {**groups, 0: "light"}, rng=np.random.default_rng(5), resamples=200)
    with pytest.raises(InvalidValue, match="not of the same people"):
        compare(before, moved)
    renamed = {p + 1000: g for p, g in groups.items()}
    other_people = evaluate(rows, who + 1000, renamed, rng=np.random.default_rng(5), resamples=200)
    with pytest.raises(InvalidValue, match="and control"):
        compare(before, before, other_people)


def test_different_draws_are_refused(before: Evaluation) -> None:
    rows, who, groups = embeddings(1, people=90, noise=0.8)
    for rng, resamples in ((np.random.default_rng(6), 200), (np.random.default_rng(5), 100)):
        with pytest.raises(InvalidValue, match="different draws"):
            compare(before, evaluate(rows, who, groups, rng=rng, resamples=resamples))


def test_different_rules_are_refused(before: Evaluation) -> None:
    rows, who, groups = embeddings(1, people=90, noise=0.8)
    stricter = evaluate(rows, who, groups, rng=np.random.default_rng(5), resamples=200, min_group_people=40)
    with pytest.raises(InvalidValue, match="different rules"):
        compare(before, stricter)


def test_what_is_not_claimed_is_not_compared(before: Evaluation) -> None:
    few = [_evaluate(noise, people=30) for noise in (0.8, 1.0)]
    found = compare(*few)
    row = found.row("fmr", "dark")
    assert row.change.difference is None
    assert row.change.reason == "10 people in this group; at least 20 are needed to claim anything"
    assert any(s.startswith("False match rate (FMR), group “dark”: not compared (10 people") for s in found.summary)


def test_errors_of_a_handful_on_one_side_carry_a_caveat() -> None:
    found = compare(_evaluate(0.05), _evaluate(0.95))
    change = found.row("eer").change
    assert change.direction == 1
    assert change.caveat.startswith("before, no errors were seen")
    neither = compare(_evaluate(0.05), _evaluate(0.06)).row("eer").change
    assert (neither.low, neither.high, neither.direction) == (None, None, 0)


def test_the_json_is_small_and_can_be_signed(before: Evaluation, after: Evaluation, control: Evaluation) -> None:
    written = canonical_json(compare(before, after, control).as_json())
    assert len(written) < 40_000
    assert b"replicates" not in written
    assert json.loads(written)["rows"][0]["change"]["shown"] in {"rise", "fall", "nothing"}


def test_the_table_is_rectangular_and_says_every_reason(
    before: Evaluation, after: Evaluation, control: Evaluation
) -> None:
    for third, columns in ((None, 4), (control, 6)):
        lines = table(compare(before, after, third))
        assert {len(line) for line in lines} == {columns}
        assert len(lines) == 1 + len(before.measures)
        assert all(text for line in lines for text in line)
    assert lines[1][0] == KINDS["eer"].label


def test_the_notes_say_what_the_intervals_leave_out(before: Evaluation, after: Evaluation) -> None:
    notes = " ".join(compare(before, after).notes)
    assert "trained once" in notes
    assert "not widened for the number of measures" in notes


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.0412, "rate", "4.1 %"),
        (0.0041, "rate", "0.41 %"),
        (0.9962, "rate", "99.62 %"),
        (0.0, "rate", "0.0 %"),
        (1.0, "rate", "100.0 %"),
        (3.4871, "ratio", "3.49×"),
        (0.4, "index", "0.400"),
        (math.inf, "ratio", "unbounded"),
    ],
)
def test_quantities_are_written_with_their_unit(value: float, unit: str, said: str) -> None:
    assert quantity(value, unit) == said


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.023, "rate", "+2.3"),
        (-0.023, "rate", "−2.3"),
        (0.0003, "rate", "+0.03"),
        (0.0, "rate", "0"),
        (-0.004, "ratio", "−0.004"),
        (0.2376, "index", "+0.238"),
    ],
)
def test_a_difference_never_rounds_to_a_bare_zero(value: float, unit: str, said: str) -> None:
    assert signed(value, unit) == said
