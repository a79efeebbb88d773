"""The register on both databases: what is written is read back, readings name their dataset, coverage begins with the register."""

from __future__ import annotations

import json
from datetime import date

import pytest
import sqlalchemy as sa
from book_writing import DANA, add, open_books, photo, url_of

from unsee.books import disclosures, facts, items, migrations, orders, recipients, training
from unsee.books.schema import disclosures as rows
from unsee.books.schema import facts as fact_rows
from unsee.core.errors import AlreadyExists, NotFound
from unsee.core.ids import DatasetId, InstructionId, ItemSet, ModelId, OrderId, RecipientId, SourceId
from unsee.core.orders import Order
from unsee.core.sharing import Disclosure, DisclosureKind, Instruction, Recipient

CLOUDY = Recipient(RecipientId("cloudy"), "Cloudy GmbH", "1 Long Road", "+32 9 000", "DPO", "processor", "EU")


def out(kind=DisclosureKind.SHARE, **changes):
    fields = {
        "recipient": CLOUDY.id,
        "disclosed_on": date(2014, 9, 25),
        "items": ItemSet([1, 2, 70_000]),
        "models": (ModelId("rec"),),
        "data_classes": ("photo", "location"),
        "purpose": "share",
        "basis": "an e-mail",
        "agreement": None,
        "channel": "a disk",
        "dataset": None,
        "person": DANA,
        "note": "recorded afterwards",
        **changes,
    }
    return Disclosure(kind, **fields)


def frozen(tx, name, members):
    training.freeze_dataset(tx, training.Dataset(DatasetId(name), "share", members, "0" * 64, None, {}, DANA, tx.at))


def reading(name, members):
    return out(DisclosureKind.READER, recipient=None, models=(), dataset=DatasetId(name), items=members)


def test_a_recipient_is_read_back_as_it_was_added(books):
    with books.write() as tx:
        recipients.add(tx, CLOUDY, person=DANA)
    with books.read() as conn:
        assert recipients.recipient(conn, CLOUDY.id) == CLOUDY
        assert recipients.all_recipients(conn) == [CLOUDY]
        with pytest.raises(NotFound):
            recipients.recipient(conn, RecipientId("nobody"))
    with pytest.raises(AlreadyExists), books.write() as tx:
        recipients.add(tx, CLOUDY, person=DANA)


def test_a_disclosure_is_read_back_as_it_was_recorded(books):
    with books.write() as tx:
        number = disclosures.record(tx, out())
        disclosures.record(tx, out(recipient=RecipientId("lab"), channel="mail"))
    with books.read() as conn:
        (found,) = disclosures.outward(conn, recipient=CLOUDY.id)
        assert found.no == number
        assert found.as_json() == {**out().as_json(), "no": number, "recorded_at": found.at}
        assert found.items == ItemSet([1, 2, 70_000])
        assert disclosures.by_channel(conn, "mail").recipient == "lab"
        assert disclosures.by_channel(conn, "pigeon") is None


def test_no_item_of_a_disclosure_is_in_its_fact(books):
    with books.write() as tx:
        disclosures.record(tx, out())
    with books.read() as conn:
        (fact,) = facts.find(conn, ["DisclosureRecorded"])
    body = json.loads(fact.body)
    assert body["items"] == 3
    assert "70000" not in fact.body


def test_readings_name_their_dataset_and_count_where_it_holds_what_is_asked(books):
    with books.write() as tx:
        frozen(tx, "a", ItemSet([1, 2]))
        frozen(tx, "b", ItemSet([3]))
        for name in ("a", "a", "b"):
            disclosures.record(tx, reading(name, ItemSet([1, 2])))
        assert disclosures.outward(tx.conn) == []
        assert [(d.dataset, set(d.items)) for d in disclosures.openings(tx.conn)] == [
            ("a", {1, 2}), ("a", {1, 2}), ("b", {3})
        ]  # fmt: skip
        assert disclosures.openings_of(tx.conn, ItemSet([2, 9])) == {"a": 2}
        assert {bytes(b) for b in tx.conn.execute(sa.select(rows.c.item_set)).scalars()} == {ItemSet().serialize()}
        assert facts.find(tx.conn, ["DisclosureRecorded"]) == []


def test_r18_coverage_counts_what_there_is_and_begins_with_the_register(books):
    with books.write() as tx:
        disclosures.record(tx, out())
        before = disclosures.coverage(tx.conn, "2030-01-01T00:00:00Z")
        first = min(json.loads(f.body)["at"] for f in facts.recent(tx.conn, 1000))
        assert (before.since, before.until) == (first, "2030-01-01T00:00:00Z")
        assert before.counts == {"export": 0, "share": 1, "model-delivery": 0, "reader": 0}
        facts.record(tx, disclosures.REGISTER_BEGUN)
        assert disclosures.coverage(tx.conn, "2030-01-01T00:00:00Z").since == tx.at


def test_what_a_recipient_was_told_and_answered(books):
    with books.write() as tx:
        recipients.add(tx, CLOUDY, person=DANA)
        order = Order(OrderId("order-0001"), SourceId("panel"), "gdpr-17", "a", "i", "0" * 64, date(2026, 5, 1), DANA)
        orders.open_order(tx, order, ItemSet([1]))
        name = recipients.next_instruction(tx.conn)
        assert name == "instruction-0001"
        told = Instruction(
            name, order.id, CLOUDY.id, ItemSet([1]), (ModelId("rec"),), "0" * 64, date(2026, 6, 1), DANA, tx.at
        )
        recipients.instruct(tx, told)
        assert recipients.instruction(tx.conn, name) == told
        for news in (True, False):
            assert recipients.note_event(tx, name, "confirmed", document_sha256="1" * 64, note="", person=DANA) is news
        found = recipients.instruction(tx.conn, name)
        assert found.confirmed
        assert recipients.all_instructions(tx.conn, OrderId("order-0002")) == []
        with pytest.raises(NotFound):
            recipients.instruction(tx.conn, InstructionId("instruction-0009"))


def test_the_classes_that_files_carry_in_themselves(books):
    with books.write() as tx:
        members = add(
            tx,
            photo("a", attributes=(("exif_camera", "exif", "x"), ("exif_latitude", "location", "1"))),
            photo("b", attributes=(("exifzcamera", "other", "x"), ("sex", "demographics", "f"))),
            photo("c", attributes=(("exif_camera", "exif", "x"),)),
        )
        first, second, third = members
        assert disclosures.classes_in_files(tx.conn, members) == ("exif", "location")
        assert disclosures.classes_in_files(tx.conn, ItemSet([second])) == ()
        assert disclosures.classes_in_files(tx.conn, ItemSet([second, third])) == ("exif",)
        assert items.next_item_id(tx.conn) > first


def test_r18_books_older_than_the_register_say_when_they_got_it(tmp_path):
    path = tmp_path / "old.sqlite"
    engine = sa.create_engine(url_of(path))
    with engine.begin() as conn:
        migrations.upgrade(conn, "0001")
        conn.execute(
            fact_rows.insert().values(kind="SourceRegistered", body='{"source":"panel","at":"2020-01-01T00:00:00Z"}',
                                      salt=b"0" * 32, at="2020-01-01T00:00:00Z")
        )  # fmt: skip
    engine.dispose()
    books = open_books(path)
    with books.read() as conn:
        (begun,) = facts.find(conn, [disclosures.REGISTER_BEGUN])
        since = disclosures.coverage(conn, "2030-01-01T00:00:00Z").since
    books.close()
    assert since == json.loads(begun.body)["at"] > "2020-01-01T00:00:00Z"
    assert begun.log_index is None, "it goes into the log with the next act"
