"""What a person's words add up to: by when they were said, never by when they were recorded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsee.core.consent import Consent, ConsentState, consented, standing, widest
from unsee.core.ids import SubjectNo
from unsee.core.purposes import PARENT, any_covers, covers, overlaps

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ALL = sorted(PARENT)
purposes = st.sampled_from(ALL)


def day(number):
    return NOW + timedelta(days=number)


def says(state, purpose, said=-10, *, since=None, until=None, notice="notice 1", released=False):
    begins = day(said if since is None else since)
    ends = None if until is None else day(until)
    return Consent(SubjectNo(1), purpose, state, notice, day(said), begins, ends, released=released)


def yes(purpose, said=-10, **changes):
    return says(ConsentState.GIVEN, purpose, said, **changes)


def no(purpose, said=-1):
    return says(ConsentState.WITHDRAWN, purpose, said)


words = st.lists(
    st.builds(
        says,
        st.sampled_from(ConsentState),
        purposes,
        st.integers(-3, 3),
        since=st.none() | st.integers(-3, 3),
        until=st.none() | st.integers(-3, 3),
        notice=st.sampled_from(["notice 1", "notice 2"]),
        released=st.booleans(),
    ),
    max_size=8,
)


@pytest.mark.parametrize(
    ("history", "agreed"),
    [
        ([], set()),
        ([yes("train")], {"train", "train-face-recognition", "train-face-attributes"}),
        ([yes("train"), no("train")], set()),
        ([no("train"), yes("train")], set()),
        ([yes("train"), no("any")], set()),
        ([yes("train"), no("train-face-recognition")], {"train-face-attributes"}),
        ([yes("train-face-recognition"), no("train")], set()),
        ([yes("train-face-recognition"), no("evaluate")], {"train-face-recognition"}),
        ([yes("train-face-recognition", 0), no("train")], {"train-face-recognition"}),
        ([yes("evaluate"), no("evaluate"), yes("evaluate", 0)], {"evaluate", "test-fairness"}),
        ([yes("evaluate", 0), no("evaluate", 0)], set()),
        ([yes("evaluate"), no("evaluate", 1)], {"evaluate", "test-fairness"}),
        ([yes("evaluate", 1, since=-5)], set()),
        ([yes("evaluate", until=-1)], set()),
        ([yes("evaluate", until=0)], {"evaluate", "test-fairness"}),
        ([yes("evaluate", since=1)], set()),
        ([yes("evaluate"), yes("evaluate", until=-1)], set()),
        ([yes("evaluate", until=-1), yes("evaluate", -9)], {"evaluate", "test-fairness"}),
    ],
)
def test_a_yes_holds_below_and_a_no_takes_back_what_was_said_before(history, agreed):
    assert consented(history, NOW) == agreed


@given(words.flatmap(lambda history: st.tuples(st.just(history), st.permutations(history))))
def test_the_order_of_recording_changes_nothing(both):
    history, shuffled = both
    assert consented(history, NOW) == consented(shuffled, NOW)
    assert {p: set(y) for p, y in standing(history).items()} == {p: set(y) for p, y in standing(shuffled).items()}


@given(words)
def test_whoever_consents_to_a_purpose_consents_to_those_below_it(history):
    agreed = consented(history, NOW)
    assert all(child in agreed for child, parent in PARENT.items() if parent in agreed)


@given(words, purposes, st.integers(-3, 3))
def test_a_withdrawal_never_permits_more(history, purpose, said):
    assert consented([*history, no(purpose, said)], NOW) <= consented(history, NOW)


@given(words, purposes)
def test_after_a_withdrawal_no_use_for_it_or_including_it_is_left(history, purpose):
    assert not any(overlaps(purpose, p) for p in consented([*history, no(purpose, 0)], NOW))


@given(words, purposes, st.integers(-3, 3))
def test_a_withdrawal_works_for_the_future_only(history, purpose, said):
    before = day(said) - timedelta(seconds=1)
    assert consented([*history, no(purpose, said)], before) == consented(history, before)


@given(words)
def test_words_said_later_do_not_count(history):
    assert consented(history, NOW) == consented([w for w in history if w.said_at <= NOW], NOW)


@given(words)
def test_what_is_in_force_stands(history):
    assert consented(history, NOW) <= set(standing(history, NOW))


def test_of_two_yeses_in_one_second_the_one_that_gives_less_counts():
    short, long, signed = yes("train", until=5), yes("train"), yes("train", until=5, released=True)
    assert standing([short, long])["train"] == standing([long, short])["train"] == (short,)
    assert standing([signed, short])["train"] == (short,)


@given(st.sets(purposes))
def test_the_widest_purposes_say_the_same_as_all(several):
    few = widest(several)
    assert few <= several
    assert {p for p in ALL if any_covers(few, p)} == {p for p in ALL if any_covers(several, p)}
    assert not any(covers(one, two) for one, two in product(few, few) if one != two)
