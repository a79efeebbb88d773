"""Consent in the books: the last word counts, an old list undoes no withdrawal, and terms end."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from book_writing import NOW, PANEL, add, photo, undone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unsee.books import consents, items
from unsee.core import consent
from unsee.core.ids import ItemSet, SubjectNo
from unsee.core.parties import Consent, ConsentState
from unsee.core.purposes import PARENT, covers

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
DAY = timedelta(days=1)


def yes(person, purpose="train", since=-10, until=None, notice="notice 1"):
    ends = None if until is None else NOW + until * DAY
    return Consent(SubjectNo(person), purpose, ConsentState.GIVEN, notice, NOW + since * DAY, ends)


def no(person, purpose="train", since=-1):
    return Consent(SubjectNo(person), purpose, ConsentState.WITHDRAWN, "by letter", NOW + since * DAY)


@pytest.fixture
def tx(books):
    """Two people: item 0 and 1 show the first, item 2 the second, item 3 nobody known."""
    with undone(books) as tx:
        one, two = sorted(items.subject_numbers(tx, PANEL, [b"1" * 32, b"2" * 32]).values())
        assert (one, two) == (1, 2)
        add(tx, photo(0, 1), photo(1, 1), photo(2, 2), photo(3))
        yield tx


def agreed(tx, purpose, moment: datetime = NOW):
    """Items whose person consents, as policy reads the answer."""
    answer = consents.consented_items(tx.conn, moment)
    return ItemSet.union(ItemSet(), *(found for given, found in answer.items() if covers(given, purpose)))


def test_without_a_word_nobody_consents(tx):
    assert consents.consented_items(tx.conn, NOW) == {}
    assert consents.counts(tx.conn, {1, 2}) == {"consented": 0, "withdrawn": 0, "silent": 2}


def test_the_last_word_counts(tx):
    assert consents.record(tx, [yes(1), yes(2)]) == 2
    assert agreed(tx, "train-face-recognition") == ItemSet([0, 1, 2])
    assert consents.record(tx, [no(1)]) == 1
    assert agreed(tx, "train-face-recognition") == ItemSet([2])
    assert consents.record(tx, [yes(1, since=0, notice="notice 2")]) == 1
    assert agreed(tx, "train-face-recognition") == ItemSet([0, 1, 2])


def test_what_was_said_before_is_not_repeated(tx):
    assert consents.record(tx, [yes(1), yes(1)]) == 1
    assert consents.record(tx, [yes(1)]) == 0
    assert consents.record(tx, [yes(1, "evaluate"), yes(2)]) == 2
    assert consents.record(tx, [no(1), no(1)]) == 1
    assert consents.record(tx, [no(1)]) == 0


def test_handing_the_old_list_in_again_undoes_no_withdrawal(tx):
    old_list = [yes(1), yes(2)]
    consents.record(tx, old_list)
    consents.record(tx, [no(1)])
    assert consents.record(tx, old_list) == 0
    assert agreed(tx, "train") == ItemSet([2])
    consents.record(tx, [no(2, "any")])
    assert consents.record(tx, old_list) == 0
    assert agreed(tx, "train") == ItemSet()


def test_an_old_list_does_not_bring_an_old_term_back(tx):
    consents.record(tx, [yes(1, until=100)])
    consents.record(tx, [yes(1, until=5)])
    assert consents.record(tx, [yes(1, until=100)]) == 0
    assert agreed(tx, "train", NOW + 6 * DAY) == ItemSet()


def test_a_withdrawal_of_a_part_leaves_the_other_part(tx):
    consents.record(tx, [yes(1), no(1, "train-face-recognition")])
    assert agreed(tx, "train-face-recognition") == agreed(tx, "train") == ItemSet()
    assert agreed(tx, "train-face-attributes") == ItemSet([0, 1])


@pytest.mark.parametrize(
    ("after", "in_force"),
    [(-3 * DAY, False), (-2 * DAY, True), (2 * DAY, True), (2 * DAY + timedelta(seconds=1), False)],
)
def test_r29_a_consent_holds_within_its_term_both_ends_included(tx, after, in_force):
    consents.record(tx, [yes(1, since=-2, until=2)])
    assert bool(agreed(tx, "train", NOW + after)) == in_force


def test_the_last_second_of_a_term_counts_whole(tx):
    consents.record(tx, [yes(1, since=-2, until=2)])
    assert agreed(tx, "train", NOW + 2 * DAY + timedelta(microseconds=999_999)) == ItemSet([0, 1])


def test_r24_people_are_counted_once_by_what_still_stands(tx):
    consents.record(tx, [yes(1), yes(1, "evaluate"), no(1), yes(2), no(2)])
    assert consents.counts(tx.conn, {1, 2, 3}) == {"consented": 1, "withdrawn": 1, "silent": 1}
    assert consents.counts(tx.conn, {1}) == {"consented": 1, "withdrawn": 0, "silent": 0}
    assert consents.counts(tx.conn, set()) == {"consented": 0, "withdrawn": 0, "silent": 0}


facts = st.builds(
    lambda given, person, purpose, since, until: (
        yes(person, purpose, since, until) if given else no(person, purpose, since)
    ),
    st.booleans(),
    st.sampled_from([1, 2]),
    st.sampled_from(sorted(PARENT)),
    st.integers(-2, 1),
    st.none() | st.integers(-1, 1),
)


@SHARED
@given(st.lists(facts, max_size=6, unique_by=repr))
def test_the_books_answer_what_the_rule_answers(books, history):
    with undone(books) as tx:
        items.subject_numbers(tx, PANEL, [b"1" * 32, b"2" * 32])
        mine = {1: add(tx, photo(0, 1), photo(1, 1)), 2: add(tx, photo(2, 2))}
        # One by one, as life hands them in; the facts are distinct, so each but a repeated withdrawal is kept.
        for fact in history:
            consents.record(tx, [fact])
        for purpose in PARENT:
            willing = [p for p in mine if purpose in consent.consented([f for f in history if f.subject == p], NOW)]
            assert agreed(tx, purpose) == ItemSet.union(ItemSet(), *(mine[p] for p in willing))
