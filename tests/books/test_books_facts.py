"""The outbox: every fact is written with its act, goes into the log once, and says nothing without its salt."""

from __future__ import annotations

import hashlib
import json
import secrets

import pytest
from book_writing import Undone, open_books, undone, url_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from unsee.books import facts
from unsee.books.database import Books
from unsee.core.canonical import canonical_json

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def record(tx, *numbers):
    for n in numbers:
        facts.record(tx, "SomethingHappened", n=n)


def numbers(found):
    return [json.loads(f.body)["n"] for f in found if f.kind == "SomethingHappened"]


@pytest.fixture
def empty(books):
    """Books whose own first facts have been drained already."""
    with books.write() as tx:
        facts.mark_drained(tx, facts.undrained(tx.conn), 0)
    return books


def test_facts_wait_are_drained_in_order_and_once(empty):
    with empty.write() as tx:
        start = facts.drained_count(tx.conn)
        assert start == 2
        record(tx, 1, 2, 3)
        assert facts.drained_count(tx.conn) == start
        first = facts.undrained(tx.conn, limit=2)
        assert numbers(first) == [1, 2]
        assert [f.log_index for f in first] == [None, None]
        facts.mark_drained(tx, first, start)
        assert facts.drained_count(tx.conn) == start + 2
        rest = facts.undrained(tx.conn)
        assert numbers(rest) == [3]
        record(tx, 4)
        facts.mark_drained(tx, rest, start + 2)
        assert numbers(facts.undrained(tx.conn)) == [4]
        assert [f.log_index for f in facts.recent(tx.conn, 4)] == [2, 3, 4, None]


def test_nothing_to_drain_is_nothing_done(empty):
    with empty.write() as tx:
        facts.mark_drained(tx, [], 7)
        assert facts.drained_count(tx.conn) == 2


def test_the_log_of_empty_books_is_empty(tmp_path):
    books = open_books(tmp_path / "new.sqlite", create=True)
    with books.read() as conn:
        assert facts.drained_count(conn) == 0
        assert facts.undrained(conn) == []
    books.close()


def test_one_place_in_the_log_holds_one_fact(empty):
    with pytest.raises(IntegrityError, match="log_index"), empty.write() as tx:
        record(tx, 1)
        facts.mark_drained(tx, facts.undrained(tx.conn), 0)


def test_a_fact_is_only_there_when_its_act_is(empty):
    with undone(empty) as tx:
        record(tx, 1)
    with pytest.raises(Undone), empty.write() as tx:
        record(tx, 2)
        raise Undone
    with empty.write() as tx:
        record(tx, 3)
    with empty.read() as conn:
        assert numbers(facts.undrained(conn)) == [3]


@SHARED
@given(
    st.dictionaries(
        st.text(min_size=1).filter(lambda k: k not in {"tx", "kind", "fact", "at"}),
        st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text(), max_size=3),
        max_size=4,
    )
)
def test_a_body_is_canonical_and_names_its_kind_and_time(books, body):
    with undone(books) as tx:
        facts.record(tx, "SomethingHappened", **body)
        fact = facts.recent(tx.conn, 1)[0]
        expected = {"fact": "SomethingHappened", "at": tx.at, **body}
        assert fact.body.encode() == canonical_json(expected)
        assert fact.entry == hashlib.sha256(fact.salt + canonical_json(expected)).digest()


def test_a_measurement_as_a_float_is_refused(books):
    with pytest.raises(TypeError, match="decimal string"), books.write() as tx:
        facts.record(tx, "SomethingHappened", share=0.5)


def test_equal_facts_have_salts_and_so_entries_of_their_own(books):
    with books.write() as tx:
        record(tx, *[1] * 50)
        found = facts.recent(tx.conn, 50)
    assert len({f.body for f in found}) == 1
    assert len({f.salt for f in found}) == len({f.entry for f in found}) == 50
    assert {len(f.salt) for f in found} == {facts.SALT_BYTES}


def test_salts_come_from_the_entropy_that_was_given(path):
    drawn = []

    def entropy(size):
        drawn.append(secrets.token_bytes(size))
        return drawn[-1]

    books = Books.open(url_of(path), entropy=entropy)
    with books.write() as tx:
        record(tx, 1, 2)
        assert [f.salt for f in facts.recent(tx.conn, 2)] == drawn
    books.close()


def test_facts_are_found_by_kind_and_by_what_they_hold(books):
    with books.write() as tx:
        facts.record(tx, "PlanMade", plan="a", order="1")
        facts.record(tx, "PlanMade", plan="b", order="1")
        facts.record(tx, "PlanApproved", plan="a", by="ada")

        def found(*kinds, **fields):
            return [json.loads(f.body)["plan"] for f in facts.find(tx.conn, kinds, **fields)]

        assert found("PlanMade") == ["a", "b"]
        assert found("PlanMade", "PlanApproved", plan="a") == ["a", "a"]
        assert found("PlanMade", plan="a", order="2") == []
        assert found("PlanMade", by="ada") == []
