"""The tree of purposes, and what a person's yes and no add up to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsee.core.consent import consented, standing, widest
from unsee.core.errors import UnknownPurpose
from unsee.core.ids import SubjectNo
from unsee.core.parties import Consent, ConsentState
from unsee.core.purposes import PARENT, ancestors, any_covers, covers, known, overlaps

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ALL = sorted(PARENT)
purposes = st.sampled_from(ALL)


def test_every_purpose_leads_up_to_any_and_none_runs_in_a_circle():
    for purpose in PARENT:
        line = ancestors(purpose)
        assert len(set(line)) == len(line)
        assert (line[0], line[-1]) == (purpose, "any")
    assert [p for p, above in PARENT.items() if above is None] == ["any"]


def test_covering_is_a_partial_order():
    for one, two in product(ALL, ALL):
        assert covers(one, one)
        assert not (covers(one, two) and covers(two, one)) or one == two
        assert covers(one, two) == (one in ancestors(two))
        assert overlaps(one, two) == overlaps(two, one) == (one in ancestors(two) or two in ancestors(one))
    for one, two, three in product(ALL, ALL, ALL):
        assert not (covers(one, two) and covers(two, three)) or covers(one, three)


def test_identifying_never_permits_mass_surveillance():
    assert not covers("identify-1-to-n", "mass-surveillance")
    assert not covers("train", "evaluate")
    assert covers("train", "train-face-recognition")
    assert not covers("train-face-recognition", "train")


@given(st.lists(purposes), purposes)
def test_a_list_of_permissions_covers_what_one_of_them_covers(several, wanted):
    assert any_covers(several, wanted) == any(covers(p, wanted) for p in several)


@pytest.mark.parametrize("call", [known, ancestors, lambda p: covers("any", p), lambda p: covers(p, "any")])
def test_an_unknown_purpose_is_named_and_the_known_ones_are_listed(call):
    with pytest.raises(UnknownPurpose, match=r"There is no purpose 'spy'\. Known purposes: any, estimate-attributes, "):
        call("spy")


def says(state, purpose, since=0, until=None):
    return Consent(
        SubjectNo(1),
        purpose,
        state,
        "notice 1",
        NOW + timedelta(days=since),
        None if until is None else NOW + timedelta(days=until),
    )


def yes(purpose, since=-10, until=None):
    return says(ConsentState.GIVEN, purpose, since, until)


def no(purpose, since=-1):
    return says(ConsentState.WITHDRAWN, purpose, since)


words = st.lists(
    st.builds(
        says,
        st.sampled_from(ConsentState),
        purposes,
        st.integers(-3, 3),
        st.none() | st.integers(-3, 3),
    ),
    max_size=8,
)


@pytest.mark.parametrize(
    ("history", "agreed"),
    [
        ([], set()),
        ([yes("train")], {"train", "train-face-recognition", "train-face-attributes"}),
        ([yes("train"), no("train")], set()),
        ([yes("train"), no("any")], set()),
        ([yes("train"), no("train-face-recognition")], {"train-face-attributes"}),
        ([yes("train-face-recognition"), no("train")], set()),
        ([yes("train-face-recognition"), no("evaluate")], {"train-face-recognition"}),
        ([no("train"), yes("train-face-recognition")], {"train-face-recognition"}),
        ([yes("evaluate"), no("evaluate"), yes("evaluate", since=0)], {"evaluate", "test-fairness"}),
        ([yes("evaluate", until=-1)], set()),
        ([yes("evaluate", until=0)], {"evaluate", "test-fairness"}),
        ([yes("evaluate", since=1)], set()),
        ([yes("evaluate"), yes("evaluate", until=-1)], set()),
    ],
)
def test_a_yes_holds_below_and_a_no_takes_back_below_and_above(history, agreed):
    assert consented(history, NOW) == agreed


@given(words)
def test_whoever_consents_to_a_purpose_consents_to_those_below_it(history):
    agreed = consented(history, NOW)
    assert all(child in agreed for child, parent in PARENT.items() if parent in agreed)


@given(words, words, purposes)
def test_a_withdrawal_anywhere_never_permits_more(before, after, purpose):
    assert consented([*before, no(purpose), *after], NOW) <= consented([*before, *after], NOW)


@given(words, purposes)
def test_after_a_withdrawal_no_use_for_it_or_including_it_is_left(history, purpose):
    assert not any(overlaps(purpose, p) for p in consented([*history, no(purpose)], NOW))


@given(words)
def test_what_is_in_force_stands(history):
    assert consented(history, NOW) <= set(standing(history))


@given(st.sets(purposes))
def test_the_widest_purposes_say_the_same_as_all(several):
    few = widest(several)
    assert few <= several
    assert {p for p in ALL if any_covers(few, p)} == {p for p in ALL if any_covers(several, p)}
    assert not any(covers(one, two) for one, two in product(few, few) if one != two)
