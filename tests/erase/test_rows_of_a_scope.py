"""What a plan adds up over a set of items in SQL is what counting row by row gives, however the set lies in the books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from small_corpus import Corpus
from unsee.books import items, places
from unsee.core.ids import ItemSet

SUBSETS = st.one_of(
    st.sets(st.integers(0, 22)),
    st.tuples(st.integers(0, 22), st.integers(0, 22)).map(lambda ends: set(range(min(ends), max(ends) + 1))),
)


@pytest.fixture(scope="module")
def conn(built_corpus: Corpus) -> Iterator[Connection]:
    with built_corpus.ws.books.read() as conn:
        yield conn


@given(wanted=SUBSETS, span=st.integers(1, 30))
def test_copies_come_as_columns_in_the_same_order(conn: Connection, wanted: set[int], span: int) -> None:
    expected = [tuple(row) for rows in places.copies_of(conn, ItemSet(wanted)) for row in rows]
    parts = list(places.copy_columns(conn, ItemSet(wanted), span=span))
    found = [row for c in parts for row in zip(c.item, c.object, c.selector, c.stamp, c.size_bytes, strict=True)]
    assert found == expected
    assert {row[0] for row in found} == wanted


@given(wanted=SUBSETS)
def test_sums_over_a_set_are_sums_over_its_rows(conn: Connection, built_corpus: Corpus, wanted: set[int]) -> None:
    rows = conn.exec_driver_sql("SELECT id, subject_no, size_bytes FROM items").fetchall()
    mine = [row for row in rows if row[0] in wanted]
    people = {row[1] for row in mine if row[1] is not None}
    chosen = ItemSet(wanted)
    assert items.size_of(conn, chosen) == sum(row[2] for row in mine)
    assert set(items.people_in(conn, chosen)) == people == set(items.subjects_of_items(conn, chosen).values())
    values = conn.exec_driver_sql("SELECT item_id, data_class FROM item_attributes").fetchall()
    counts = Counter(data_class for item, data_class in values if item in wanted)
    values = conn.exec_driver_sql("SELECT subject_no, data_class FROM subject_attributes").fetchall()
    counts.update(data_class for person, data_class in values if person in people)
    assert items.attribute_counts(conn, chosen) == dict(counts)
    assert items.attribute_counts(conn, chosen, people) == dict(counts)
