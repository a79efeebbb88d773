"""R33: a supplier is assessed within 30 days and yearly; what is overdue stops intake, what was never assessed is barred."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsee.core.assessments import a_year_after, bar, intake_bar, next_due
from unsee.core.ids import SourceId
from unsee.core.parties import Assessment, AssessmentResult, Source, SourceKind

PASSED, FAILED = AssessmentResult.PASSED, AssessmentResult.FAILED
REGISTERED = date(2026, 1, 1)


def a_source(kind=SourceKind.PARTNER, *, legacy=False, registered=REGISTERED):
    return Source(SourceId("s"), "s", kind, "giver", date(2025, 12, 1), legacy=legacy, registered_on=registered)


def assessed(on, result=PASSED):
    return Assessment(SourceId("s"), on, "0" * 64, result, a_year_after(on))


def test_r33_the_first_assessment_is_due_after_thirty_days():
    source, last_day = a_source(), date(2026, 1, 31)
    assert next_due(source, [], REGISTERED) == last_day
    assert intake_bar(source, [], last_day) is bar(source, [], last_day) is None
    words = "the first assessment of its supplier was due on 2026-01-31"
    late = last_day + timedelta(1)
    assert intake_bar(source, [], late) == bar(source, [], late) == words


def test_r33_then_yearly_and_what_is_overdue_stops_intake_not_use():
    known = [assessed(date(2026, 1, 20))]
    assert next_due(a_source(), known, date(2026, 6, 1)) == date(2027, 1, 20)
    assert intake_bar(a_source(), known, date(2027, 1, 20)) is None
    late = date(2027, 1, 21)
    assert intake_bar(a_source(), known, late) == "the assessment of its supplier was due on 2027-01-20"
    assert bar(a_source(), known, late) is None
    assert intake_bar(a_source(), [*known, assessed(late)], late) is None


def test_r33_a_failed_assessment_bars_until_one_passes():
    known = [assessed(date(2026, 1, 20)), assessed(date(2026, 3, 1), FAILED)]
    assert bar(a_source(), known, date(2026, 2, 28)) is None, "what comes later is not known yet"
    for rule in (bar, intake_bar):
        assert rule(a_source(), known, date(2026, 3, 1)) == "the assessment of its supplier on 2026-03-01 failed"
        assert rule(a_source(), [*known, assessed(date(2026, 3, 2))], date(2026, 3, 2)) is None
        assert rule(a_source(), [*known, assessed(date(2026, 3, 1))], date(2026, 3, 2)), (
            "of one day the failed one counts"
        )


@pytest.mark.parametrize("kind", [SourceKind.UPLOAD, SourceKind.SYNTHETIC, SourceKind.PUBLIC_DOMAIN])
def test_who_collects_the_photos_itself_has_no_supplier(kind):
    assert next_due(a_source(kind), [], date(2030, 1, 1)) is None
    assert intake_bar(a_source(kind), [], date(2030, 1, 1)) is bar(a_source(kind), [], date(2030, 1, 1)) is None


def test_a_legacy_source_has_no_supplier_duty():
    assert bar(a_source(legacy=True), [], date(2030, 1, 1)) is None


def test_a_source_of_unknown_registration_counts_from_its_collection():
    assert next_due(a_source(registered=None), [], REGISTERED) == date(2025, 12, 31)


def test_a_year_after_a_leap_day():
    assert a_year_after(date(2024, 2, 29)) == date(2025, 2, 28)


days = st.dates(date(2026, 1, 1), date(2029, 1, 1))
records = st.lists(st.builds(assessed, days, st.sampled_from([PASSED, FAILED])), max_size=4)


@given(st.sampled_from(list(SourceKind)), records, days, days)
def test_r33_waiting_never_permits_more(kind, known, one, other):
    """With nothing new assessed, what is barred stays barred."""
    early, late = sorted([one, other])
    known = [a for a in known if a.assessed_on <= early]
    for rule in (bar, intake_bar):
        assert (rule(a_source(kind), known, late) is not None) >= (rule(a_source(kind), known, early) is not None)


@given(st.sampled_from(list(SourceKind)), records, days)
def test_r33_what_bars_use_bars_intake(kind, known, today):
    assert (intake_bar(a_source(kind), known, today) is not None) >= (bar(a_source(kind), known, today) is not None)


@given(records, days, st.randoms(use_true_random=False))
def test_the_order_of_recording_does_not_matter(known, today, random):
    said = bar(a_source(), known, today), intake_bar(a_source(), known, today)
    random.shuffle(known)
    assert (bar(a_source(), known, today), intake_bar(a_source(), known, today)) == said
