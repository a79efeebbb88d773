"""Rows by the million: both databases hold what was handed in, or refuse it in the same words."""

from __future__ import annotations

from datetime import date

import pytest
import sqlalchemy as sa
from book_writing import PANEL, a_source, photo, undone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unsee.books import bulk, interests, items, parties, schema
from unsee.core.errors import InvalidValue
from unsee.core.parties import Interest

HOSTILE = st.text(
    st.sampled_from("\t\n\r\\\x01\x08\x0b\x1a\x7f\x85\u2028,;|\"'NnbrtvxX.")
    | st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    max_size=40,
)
RELAXED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@RELAXED
@given(texts=st.lists(st.tuples(HOSTILE, HOSTILE), max_size=30, unique_by=lambda pair: pair[0]))
def test_text_of_any_kind_comes_back_as_it_was(books, texts):
    table = schema.copies
    rows = [(n, 2**40 + n, selector, stamp, -n) for n, (selector, stamp) in enumerate(texts)]
    with undone(books) as tx:
        assert bulk.insert(tx, table, [c.name for c in table.columns], iter(rows)) == len(rows)
        assert [tuple(r) for r in tx.conn.execute(sa.select(table).order_by(table.c.item_id))] == rows


@RELAXED
@given(blobs=st.lists(st.tuples(*[st.binary(max_size=70)] * 3), max_size=30))
def test_bytes_of_any_kind_come_back_as_they_were(books, blobs):
    table = schema.digests
    rows = [(n, *blob, 100) for n, blob in enumerate(blobs)]
    with undone(books) as tx:
        bulk.insert(tx, table, [c.name for c in table.columns], rows)
        found = [tuple(r) for r in tx.conn.execute(sa.select(table).order_by(table.c.item_id))]
    assert [(n, bytes(a), bytes(b), bytes(c), q) for n, a, b, c, q in found] == rows


@RELAXED
@given(
    rows=st.lists(
        st.tuples(HOSTILE, st.booleans(), st.none() | st.integers(0, 2**31 - 1), st.binary(max_size=9)), max_size=12
    )
)
def test_nothing_yes_no_and_the_defaults_of_columns_left_out(books, rows):
    table = schema.sources
    names = ["id", "title", "kind", "issuer", "collected_on", "data_classes", "geography", "legacy", "retention_days"]
    full = [
        (f"s{n}", title, "panel", "", "2025-01-01", "[]", "", legacy, days, blob, b"")
        for n, (title, legacy, days, blob) in enumerate(rows)
    ]
    with undone(books) as tx:
        bulk.insert(tx, table, [*names, "item_set", "document_set"], full)
        chosen = [table.c[n] for n in (*names, "item_set", "document_set", "scraped", "size_bytes")]
        found = tx.conn.execute(sa.select(*chosen).where(table.c.id != PANEL).order_by(table.c.no)).all()
    assert [tuple(row) for row in found] == [(*row, "no", 0) for row in full]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a\0b", "Row 3 for item_attributes: the value holds a NUL character."),
        ("half \ud800", "Row 3 for item_attributes: the value is no valid Unicode text."),
    ],
)
def test_a_text_that_one_of_the_databases_cannot_hold_is_refused_by_both(books, value, words):
    rows = [(n, "name", "label", "fine") for n in range(2)] + [(2, "name", "label", value)]
    columns = ["item_id", "name", "data_class", "value"]
    with undone(books) as tx:
        with pytest.raises(InvalidValue) as refused:
            bulk.insert(tx, schema.item_attributes, columns, rows)
        assert refused.value.message == words
        assert tx.conn.execute(sa.select(schema.item_attributes)).all() == []
        assert bulk.insert(tx, schema.item_attributes, columns, rows[:2]) == 2  # the transaction goes on


def test_a_text_longer_than_its_column_is_refused_by_both(books):
    with undone(books) as tx, pytest.raises(InvalidValue, match="the name is 65 characters long, and 64 is the most"):
        bulk.insert(
            tx, schema.item_attributes, ["item_id", "name", "data_class", "value"], [(1, "n" * 65, "label", "v")]
        )


def test_a_number_too_large_is_refused_by_both(books):
    with undone(books) as tx, pytest.raises(InvalidValue, match="A value cannot be kept in item_attributes"):
        bulk.insert(
            tx, schema.item_attributes, ["item_id", "name", "data_class", "value"], [(2**70, "n", "label", "v")]
        )


def test_when_the_rows_run_dry_in_the_middle_nothing_of_them_is_left(books):
    def rows():
        for n in range(20_000):
            yield n, "name", "label", "x" * 20
        raise ZeroDivisionError

    with undone(books) as tx:
        with pytest.raises(ZeroDivisionError):
            bulk.insert(tx, schema.item_attributes, ["item_id", "name", "data_class", "value"], rows())
        assert tx.conn.execute(sa.select(sa.func.count()).select_from(schema.item_attributes)).scalar() == 0


def test_no_more_rows_are_held_than_one_chunk(books):
    alive, most = 0, 0

    class Row(tuple):
        def __del__(self):
            nonlocal alive
            alive -= 1

    def rows():
        nonlocal alive, most
        for n in range(30_000):
            alive += 1
            most = max(most, alive)
            yield Row((n, "name", "label", "v"))

    with undone(books) as tx:
        assert bulk.insert(tx, schema.item_attributes, ["item_id", "name", "data_class", "value"], rows()) == 30_000
    assert most <= 8_200


def test_numbers_go_on_from_those_that_were_given(books):
    with undone(books) as tx:
        bulk.insert(tx, schema.subjects, ["no", "source_no", "pseudonym"], [(n, 1, b"%032d" % n) for n in (7, 41)])
        assert items.subject_numbers(tx, PANEL, [b"x" * 32]) == {b"x" * 32: 42}
        assert bulk.insert(tx, schema.subjects, ["no", "source_no", "pseudonym"], []) == 0
        assert items.subject_numbers(tx, PANEL, [b"y" * 32]) == {b"y" * 32: 43}


def test_a_row_that_is_there_already_is_the_same_defect_as_elsewhere(books):
    with undone(books) as tx:
        with pytest.raises(sa.exc.IntegrityError):
            bulk.insert(
                tx, schema.item_attributes, ["item_id", "name", "data_class", "value"], [(1, "n", "c", "v")] * 2
            )
        parties.register_source(tx, a_source("after"))


def test_what_was_written_by_hand_and_in_bulk_is_read_alike(books):
    one = photo("bulk")
    with books.write() as tx:
        bulk.insert(
            tx,
            schema.digests,
            ["item_id", "sha256", "pixels", "pdq", "pdq_quality"],
            [(5, one.sha256, one.pixels, one.pdq, one.pdq_quality)],
        )
    with books.read() as conn:
        assert bytes(items.digests_of(conn, items.ItemSet([5])).sha256[0].tobytes()) == one.sha256


def test_a_single_row_is_held_to_what_both_databases_can_keep(books):
    for text, fault in (("k" * 65, "is 65 characters long, and 64 is the most"), ("a\0b", "holds a NUL character")):
        stake = Interest("Cleo", "Acme", text, date(2024, 1, 1))
        with pytest.raises(InvalidValue, match=f"Row 1 for interests: the kind {fault}"), books.write() as tx:
            interests.declare(tx, stake)
    with books.read() as conn:
        assert interests.all_interests(conn) == []
