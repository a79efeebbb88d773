"""Retention: the schedule, what is past its time, orders on a part of a source up to the certificate, forgotten attributes."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from small_corpus import ADA, DANA, OKCUPID, PANEL, Corpus
from unsee.app import orders, registry, retention
from unsee.app.certification import Request, certify
from unsee.books import items, quarantine, residents
from unsee.books.shown import items_of_subjects
from unsee.core.errors import InvalidValue, NotFound, PolicyRefusal, WrongState
from unsee.core.ids import ItemSet, PersonId, SourceId
from unsee.core.rules import DEFAULT_SCHEDULE
from unsee_verify.cli import main as stranger

FAR = 36_000


@pytest.fixture
def kept(small: Corpus) -> Corpus:
    """Nothing is past its time but what a test makes so."""
    for data_class in DEFAULT_SCHEDULE:
        retention.set_entry(small.ws, data_class, days=FAR, basis="of this test", person=ADA)
    return small


def one_texan(small: Corpus) -> ItemSet:
    """One of the two people of the panel lives where photos are kept a year; the photos of that person."""
    with small.ws.books.write() as tx:
        sql = "SELECT min(s.no) FROM subjects s JOIN sources o ON o.no = s.source_no WHERE o.id = 'consented-panel'"
        texan = ItemSet([int(tx.conn.exec_driver_sql(sql).scalar() or 0)])
        residents.add(tx, "US-TX", texan)
        return items_of_subjects(tx.conn, texan)


def dues(small: Corpus, day: date | None = None) -> dict[str, list[tuple[str, int]]]:
    return {
        one.source: [(d.rule, len(d.items)) for d in one.due] for one in retention.overdue(small.ws, day=day).sources
    }


def test_r36_the_schedule_is_published_with_its_bases(small: Corpus) -> None:
    rows = {r.data_class: r for r in retention.schedule(small.ws)}
    assert {name: r.entry for name, r in rows.items()} == dict(DEFAULT_SCHEDULE)
    retention.set_entry(small.ws, "photo", days=400, basis=" contract 7 ", person=ADA)
    photo = next(r for r in retention.schedule(small.ws) if r.data_class == "photo")
    assert (photo.entry.days, photo.entry.basis, photo.person) == (400, "contract 7", ADA)
    assert small.facts().count("RetentionSet") == len(DEFAULT_SCHEDULE) + 1
    for days, basis in ((0, "x"), (99_999, "x"), (5, " ")):
        with pytest.raises(InvalidValue):
            retention.set_entry(small.ws, "photo", days=days, basis=basis, person=ADA)
    with pytest.raises(NotFound):
        retention.set_entry(small.ws, "photo", days=5, basis="x", person=PersonId("nobody"))


def test_r32_a_class_without_an_entry_is_refused(small: Corpus) -> None:
    fields = {
        "title": "x",
        "kind": "panel",
        "issuer": "X",
        "collected_on": date(2024, 1, 1),
        "geography": "US",
        "legacy": False,
    }
    with pytest.raises(PolicyRefusal, match="no entry for gait, voice") as caught:
        registry.add_source(small.ws, "walkers", data_classes=["photo", "voice", "gait"], **fields)
    assert "unsee retention set gait" in caught.value.next_step
    for name in ("voice", "gait"):
        retention.set_entry(small.ws, name, days=30, basis="trial", person=ADA)
    registry.add_source(small.ws, "walkers", data_classes=["photo", "voice", "gait"], **fields)


def test_r31_each_rule_has_its_day(kept: Corpus) -> None:
    assert dues(kept) == {}
    texan = one_texan(kept)
    assert len(texan) == 2
    assert dues(kept) == {PANEL: [("US-TX", 2)]}
    retention.set_entry(kept.ws, "photo", days=1825, basis="five years", person=ADA)
    assert dues(kept) == {OKCUPID: [("schedule", 13)], PANEL: [("US-TX", 2)]}
    collected = date(2024, 2, 1)
    last = collected + timedelta(days=1825)
    assert ("schedule", 5) not in dues(kept, last)[PANEL]
    assert ("schedule", 5) in dues(kept, last + timedelta(days=1))[PANEL]
    (panel,) = (one for one in retention.overdue(kept.ws).sources if one.source == PANEL)
    assert panel.due[0].since == collected + timedelta(days=366)
    assert "503.001" in panel.due[0].citation


def test_an_agreement_that_ended_takes_its_photos_along_where_it_says_so(kept: Corpus) -> None:
    kept.sql(
        "UPDATE agreements SET terms = json_set(terms, '$.deletion_on_termination', json('true')) WHERE id = ?",
        f"agreement-{PANEL}",
    )
    assert dues(kept) == {}
    kept.sql(
        "INSERT INTO agreement_events (agreement_id, status, person_id, note, at) "
        "VALUES ('agreement-consented-panel', 'terminated', 'ada', '', '2026-02-03T00:00:00Z')"
    )
    (panel,) = retention.overdue(kept.ws).sources
    assert [(d.rule, str(d.since), len(d.items)) for d in panel.due] == [("agreement", "2026-02-03", 5)]
    assert len(panel.scope) == 5


def test_an_expired_quarantine_is_due_and_is_told_of_its_order(kept: Corpus) -> None:
    held = one_item(kept)
    with kept.ws.books.write() as tx:
        name = quarantine.hold(tx, SourceId(PANEL), "/in", "by mail", held, person=DANA, expires_on=date(2026, 1, 1))
    assert dues(kept) == {PANEL: [("quarantine", 1)]}
    (opened,) = retention.open_orders(kept.ws, instrument=kept.document, person=ADA)
    assert opened.order.instrument_name == kept.document.name
    with kept.ws.books.read() as conn:
        assert quarantine.quarantine(conn, name).order == opened.order.id
    assert dues(kept) == {}


def one_item(small: Corpus) -> ItemSet:
    with small.ws.books.read() as conn:
        sql = "SELECT min(i.id) FROM items i JOIN sources s ON s.no = i.source_no WHERE s.id = 'consented-panel'"
        return ItemSet([int(conn.exec_driver_sql(sql).scalar() or 0)])


@pytest.fixture
def opened(kept: Corpus) -> Iterator[tuple[Corpus, ItemSet, orders.Opened]]:
    texan = one_texan(kept)
    (made,) = retention.open_orders(kept.ws, instrument=None, person=DANA)
    yield kept, texan, made


def test_r5_an_order_reaches_exactly_what_is_due_and_blocks_it(opened: tuple[Corpus, ItemSet, orders.Opened]) -> None:
    small, _texan, made = opened
    law = made.order.as_json()
    assert law["selector"]["source"] == PANEL
    assert (law["selector"]["kind"], law["selector"]["items"], law["selector"]["documents_kept"]) == ("retention", 2, 1)
    assert law["selector"]["rules"][0]["rule"] == "US-TX"
    assert law["deadlines"].keys() == {"data", "embeddings", "models", "third-parties"}
    assert small.rows("orders", "kind") == [("retention",)]
    assert len(small.freeze("rest", PANEL, permitted_only=True).items) == 2
    assert dues(small) == {}
    with pytest.raises(WrongState, match="Nothing is past its time"):
        retention.open_orders(small.ws, instrument=None, person=DANA)
    paper = next((small.root / "ws" / "instruments").glob(f"{made.order.instrument_sha256}*"))
    assert json.loads(paper.read_bytes())["rules"] == law["selector"]["rules"]


def test_r31_a_part_of_a_source_goes_and_the_rest_stays_as_it_was(
    opened: tuple[Corpus, ItemSet, orders.Opened], capsys: pytest.CaptureFixture[str]
) -> None:
    small, texan, made = opened
    before = {p: p.read_bytes() for p in (small.corpus / "panel").rglob("*") if p.is_file()}
    planned = small.plan()
    summary = planned.directory.summary
    assert summary["scope"]["photo"] == 2
    assert summary["scope"].get("document", 0) == 0
    assert {m["id"] for m in summary["models"]} == {"rec-2014", "rec-panel"}, "both learned from the panel"
    small.approve()
    small.apply()
    after = {p: p.read_bytes() for p in (small.corpus / "panel").rglob("*") if p.is_file()}
    assert len(before) - len(after) == 2
    assert all(after[p] == before[p] for p in after)
    assert small.verify().passed
    out = small.root / "out"
    done = certify(small.ws, Request(made.order.id, ADA, out, None, None, write_receipts=True, basis="own knowledge"))
    assert done.receipts == 1
    assert stranger([str(done.certificate), "--key", small.ws.operator_key.public.hex]) == 0
    capsys.readouterr()
    payload = base64.b64decode(json.loads((out / "certificate.json").read_text())["dsseEnvelope"]["payload"])
    assert f"was opened against source {PANEL}, for 2 items past their time." in payload.decode()
    with small.ws.books.read() as conn:
        assert len(items.digests_of(conn, texan).ids) == 0
    assert dues(small) == {}
    retention.set_entry(small.ws, "photo", days=1825, basis="five years", person=ADA)
    assert set(dues(small, date(2030, 1, 1))) >= {PANEL}, "the rest of the source is due in its own time"


def test_a_plan_for_a_part_goes_stale_only_by_what_joins_the_part(
    opened: tuple[Corpus, ItemSet, orders.Opened],
) -> None:
    small, _texan, _made = opened
    small.plan()
    small.approve()
    with small.ws.books.write() as tx:
        residents.add(tx, "US-TX", ItemSet([999]))
    assert small.apply().erased >= 2


def test_attributes_past_their_time_leave_the_books_and_nothing_else_does(kept: Corpus) -> None:
    def rows(table: str, data_class: str) -> int:
        return len(kept.sql(f"SELECT 1 FROM {table} WHERE data_class = ?", data_class))  # noqa: S608  # a table's name

    with pytest.raises(WrongState):
        retention.forget(kept.ws, "location", person=ADA)
    retention.set_entry(kept.ws, "location", days=365, basis="one year", person=ADA)
    before = rows("item_attributes", "location")
    assert before
    due = retention.overdue(kept.ws).attributes
    assert {(one.source, one.data_class) for one in due} >= {(OKCUPID, "location")}
    assert sum(one.rows for one in due) == before
    others = kept.sql("SELECT count(*) FROM item_attributes WHERE data_class <> 'location'")
    assert retention.forget(kept.ws, "location", person=ADA) == {"item_attributes": before, "subject_attributes": 0}
    assert rows("item_attributes", "location") == 0
    assert kept.sql("SELECT count(*) FROM item_attributes WHERE data_class <> 'location'") == others
    assert retention.overdue(kept.ws).attributes == ()
    retention.set_entry(kept.ws, "demographics", days=365, basis="one year", person=ADA)
    people = rows("subject_attributes", "demographics")
    assert people
    assert retention.forget(kept.ws, "demographics", person=ADA)["subject_attributes"] == people
    assert kept.facts()[-1] == "AttributesForgotten"
    for data_class, error in (("photo", InvalidValue), ("gait", NotFound)):
        with pytest.raises(error):
            retention.forget(kept.ws, data_class, person=ADA)
