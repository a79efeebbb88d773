"""Consent in the books: what the rule says of one person, the books say of millions, in whatever order the words arrived."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

import pytest
from book_writing import NOW, PANEL, add, photo, undone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unsee.books import consents, items, shown
from unsee.books.schema import consents as table
from unsee.books.schema import notices
from unsee.core import consent
from unsee.core.consent import Consent, ConsentState
from unsee.core.ids import ItemSet, SubjectNo
from unsee.core.purposes import PARENT

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
DAY = timedelta(days=1)
PEOPLE = (1, 2, 3)


def yes(person, purpose="train", *, said=-10, until=None, notice="notice 1", since=None, **changes):
    ends = None if until is None else NOW + until * DAY
    begins = NOW + (said if since is None else since) * DAY
    return Consent(SubjectNo(person), purpose, ConsentState.GIVEN, notice, NOW + said * DAY, begins, ends, **changes)


def no(person, purpose="train", said=-1):
    return Consent(SubjectNo(person), purpose, ConsentState.WITHDRAWN, "by letter", NOW + said * DAY, NOW + said * DAY)


@pytest.fixture
def tx(books):
    """Two people: item 0 and 1 show the first, item 2 the second, item 3 nobody known."""
    with undone(books) as tx:
        one, two = sorted(items.subject_numbers(tx, PANEL, [b"1" * 32, b"2" * 32]).values())
        assert (one, two) == (1, 2)
        add(tx, photo(0, 1), photo(1, 1), photo(2, 2), photo(3))
        yield tx


def agreed(tx, purpose, moment: datetime = NOW):
    """Items whose person consents."""
    who = consents.consenting(tx.conn, moment).get(purpose)
    return ItemSet() if who is None else shown.items_of_subjects(tx.conn, who.people)


def rows(tx):
    return tx.conn.execute(table.select()).all()


def test_without_a_word_nobody_consents(tx):
    assert consents.consenting(tx.conn, NOW) == {}
    assert consents.counts(tx.conn, {1, 2}) == {"consented": 0, "withdrawn": 0, "silent": 2}


def test_the_last_word_counts(tx):
    assert consents.record(tx, [yes(1), yes(2)]) == 2
    assert agreed(tx, "train-face-recognition") == ItemSet([0, 1, 2])
    assert consents.record(tx, [no(1)]) == 1
    assert agreed(tx, "train-face-recognition") == ItemSet([2])
    assert consents.record(tx, [yes(1, said=0, notice="notice 2")]) == 1
    assert agreed(tx, "train-face-recognition") == ItemSet([0, 1, 2])


def test_an_audit_of_a_past_day_hears_what_had_been_said_by_then(tx):
    consents.record(tx, [yes(1), no(1)])
    assert agreed(tx, "train", NOW - 2 * DAY) == ItemSet([0, 1])
    assert agreed(tx, "train", NOW - 11 * DAY) == agreed(tx, "train") == ItemSet()


def test_people_who_said_the_same_at_the_same_second_share_a_row(tx):
    assert consents.record(tx, [yes(3), yes(1), yes(2), yes(1, "evaluate"), no(2)]) == 5
    assert [(r.subject_no, r.subject_set is None) for r in rows(tx)] == [(None, False), (1, True), (2, True)]


def test_what_was_said_before_is_not_repeated(tx):
    assert consents.record(tx, [yes(1), yes(1)]) == 1
    assert consents.record(tx, [yes(1)]) == 0
    assert consents.record(tx, [yes(1), yes(1, "evaluate"), yes(2), yes(3)]) == 3
    assert consents.record(tx, [yes(1), yes(2), yes(3), yes(1, "evaluate")]) == 0
    assert consents.record(tx, [no(1), no(1)]) == 1
    assert consents.record(tx, [no(1)]) == 0


def test_handing_the_old_list_in_again_undoes_no_withdrawal(tx):
    old_list = [yes(1), yes(2)]
    consents.record(tx, [no(1)])
    assert consents.record(tx, old_list) == 2, "also when the list comes after the letter"
    assert agreed(tx, "train") == ItemSet([2])
    consents.record(tx, [no(2, "any")])
    assert consents.record(tx, old_list) == 0
    assert agreed(tx, "train") == ItemSet()


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
    assert consents.counts(tx.conn, {1, 2, 3}, NOW - 2 * DAY) == {"consented": 2, "withdrawn": 0, "silent": 1}


def test_r30_a_release_and_r29_a_separate_notice_are_known_of_the_consent_that_stands(tx):
    register(tx, "apart", separate=True)
    register(tx, "within terms", separate=False)
    consents.record(
        tx,
        [yes(1, notice="apart", release_sha256="a" * 64), yes(2, notice="within terms"), yes(3, notice="apart")],
    )
    assert consents.consenting(tx.conn, NOW)["train"] == consents.Consenting(
        ItemSet([1, 2, 3]), released=ItemSet([1]), separate=ItemSet([1, 3])
    )
    consents.record(tx, [yes(1, notice="within terms", said=-5)])
    assert consents.consenting(tx.conn, NOW)["train-face-recognition"] == consents.Consenting(
        ItemSet([1, 2, 3]), released=ItemSet(), separate=ItemSet([3])
    )


def test_one_persons_history_says_which_record_it_came_from(tx):
    consents.record(tx, [yes(2), yes(1, record_id="r-1", release_sha256="b" * 64), no(1), yes(3)])
    assert [(r.word.state, r.word.record_id, r.word.released) for r in consents.history(tx.conn, SubjectNo(1))] == [
        ("given", "r-1", True),
        ("withdrawn", "", False),
    ]
    assert [r.word for r in consents.history(tx.conn, SubjectNo(3))] == [yes(3)]


def register(tx, name, *, separate):
    texts = dict.fromkeys(
        ("controllers", "purposes", "data_types", "recipients", "storage", "retention", "withdrawal_method"), "[]"
    )
    tx.conn.execute(
        notices.insert().values(
            id=name,
            language="en",
            text_sha256="0" * 64,
            published_on="2020-01-01",
            separate_from_terms=separate,
            sharing_disclosed=True,
            person_id="dana",
            at=tx.at,
            **texts,
        )
    )


facts = st.builds(
    lambda given, person, purpose, said, since, until, notice, released: (
        yes(person, purpose, said=said, until=until, notice=notice, since=since, released=released)
        if given
        else no(person, purpose, said)
    ),
    st.booleans(),
    st.sampled_from(PEOPLE),
    st.sampled_from(sorted(PARENT)),
    st.integers(-2, 2),
    st.none() | st.integers(-2, 1),
    st.none() | st.integers(-1, 1),
    st.sampled_from(["apart", "within terms", "unknown"]),
    st.booleans(),
)
histories = st.lists(facts, max_size=8, unique_by=repr)


def slowly(history, purpose, moment, wanted=lambda _yes: True):
    """The people who consent, one person at a time, by the rule itself."""
    found = []
    for person in PEOPLE:
        mine = [w for w in history if w.subject == person]
        if any(y.in_force(moment) and wanted(y) for y in consent.standing(mine, moment).get(purpose, ())):
            found.append(person)
    return ItemSet(found)


@SHARED
@given(histories, st.integers(-3, 3), st.data())
def test_the_books_answer_for_all_what_the_rule_answers_for_one(books, history, day, data):
    moment = NOW + day * DAY
    with undone(books) as tx:
        register(tx, "apart", separate=True)
        register(tx, "within terms", separate=False)
        left = data.draw(st.permutations(history))
        while left:  # any order of recording, split into any batches
            size = data.draw(st.integers(1, len(left)))
            assert consents.record(tx, left[:size]) == size
            left = left[size:]
        assert consents.record(tx, history) == 0
        answer = consents.consenting(tx.conn, moment)
        for purpose in PARENT:
            expected = consents.Consenting(
                slowly(history, purpose, moment),
                slowly(history, purpose, moment, lambda y: y.released),
                slowly(history, purpose, moment, lambda y: y.notice == "apart"),
            )
            assert answer.get(purpose, consents.Consenting(ItemSet(), ItemSet(), ItemSet())) == expected
        for person in PEOPLE:
            mine = [w for w in history if w.subject == person]
            assert Counter(r.word for r in consents.history(tx.conn, SubjectNo(person))) == Counter(mine)
            heard = [w for w in mine if w.said_at <= moment]
            state = "silent" if not heard else "consented" if consent.standing(heard) else "withdrawn"
            assert consents.counts(tx.conn, {person}, moment)[state] == 1


@SHARED
@given(histories, st.sampled_from(PEOPLE), st.sampled_from(sorted(PARENT)), st.integers(-3, 3))
def test_a_withdrawal_never_allows_more(books, history, person, purpose, said):
    with undone(books) as tx:
        consents.record(tx, history)
        before = consents.consenting(tx.conn, NOW)
        consents.record(tx, [no(person, purpose, said)])
        after = consents.consenting(tx.conn, NOW)
    assert set(after) <= set(before)
    for wanted, who in after.items():
        assert who.people <= before[wanted].people
