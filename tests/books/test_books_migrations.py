"""Books of the first release, migrated forward on both databases: they say what they said."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from book_writing import DANA, PANEL, open_url, photo, url_of, whole

import postgres
from unsee.books import agreements, consents, facts, items, parties, retention, sums
from unsee.books.database import stamp
from unsee.books.migrations import upgrade
from unsee.core.commitment import items_root
from unsee.core.ids import ItemId, ItemSet
from unsee.core.purposes import PARENT, covers, overlaps

AT = "2025-03-01T09:00:00Z"
AFTERWARDS = [datetime(year, 1, 1, tzinfo=UTC) for year in (2028, 2031, 2041)]
"""Moments after any run of these tests, when nothing that was said in the old books lies ahead but terms."""


@pytest.fixture(params=["sqlite", "postgres"])
def place(request, tmp_path):
    """The URL of an empty place, and an engine that writes to it as the first release did."""
    if request.param == "sqlite":
        url = url_of(tmp_path / "old.sqlite")
        engine = sa.create_engine(url)
        yield url, engine
        engine.dispose()
        return
    server: postgres.Server = request.getfixturevalue("server")
    name = server.make()
    engine = sa.create_engine(server.url(name).replace("postgresql:", "postgresql+psycopg:"))
    yield server.url(name), engine
    engine.dispose()
    server.drop(name)


def write(engine, rows):
    """Make books of revision 0001 and write rows into its tables: {table: [values]}."""
    with engine.begin() as conn:
        upgrade(conn, "0001")
        old = sa.MetaData()
        old.reflect(conn)
        assert "recipients" not in old.tables
        for table, values in rows.items():
            if values:
                own = {"no", "seq"}  # given out by the database, as the first release had it
                conn.execute(
                    old.tables[table].insert(), [{k: v for k, v in row.items() if k not in own} for row in values]
                )


def a_source(no, name, item_set, documents=()):
    return {
        "no": no,
        "id": name,
        "title": name,
        "kind": "panel",
        "issuer": "giver",
        "collected_on": "2025-01-01",
        "data_classes": '["photo"]',
        "geography": "IE",
        "legacy": False,
        "item_set": ItemSet(item_set).serialize(),
        "document_set": ItemSet(documents).serialize(),
    }


def a_person(no):
    return {"no": no, "source_no": 1, "pseudonym": b"%032d" % no}


def a_fact(seq, kind, **body):
    text = json.dumps({"at": AT, "fact": kind, **body}, separators=(",", ":"), sort_keys=True)
    return {"seq": seq, "kind": kind, "body": text, "salt": b"s" * 32, "at": AT, "log_index": seq - 1}


def old_books():
    """Two sources; six items in two batches, of which item 1 is erased and 5 is a document; three people."""
    shown = {0: 1, 1: 1, 2: 2, 3: None, 4: 3, 5: None}
    batches = {1: (1, 0, 4), 2: (2, 4, 2)}
    taken = {n: photo(n) for n in shown}
    return {
        "sources": [a_source(1, PANEL, range(4)), a_source(2, "second", [4, 5], [5])],
        "subjects": [a_person(n) for n in (1, 2, 3)],
        "items": [
            {
                "id": n,
                "source_no": 1 if n < 4 else 2,
                "subject_no": who,
                "parent_id": 0 if n == 2 else None,
                "batch_no": 1 if n < 4 else 2,
                "kind": int(n == 5),
                "signals": int(n in {0, 1}),
                "width": 1,
                "height": 1,
                "size_bytes": 10**n,
            }
            for n, who in shown.items()
        ],
        "digests": [
            {"item_id": n, "sha256": p.sha256, "pixels": p.pixels, "pdq": p.pdq, "pdq_quality": 9}
            for n, p in taken.items()
            if n != 1
        ],
        "batches": [
            {
                "no": no,
                "source_no": source,
                "counts": "{}",
                "first_item": first,
                "item_count": count,
                "root": items_root((ItemId(n), taken[n].sha256) for n in range(first, first + count)),
                "person_id": DANA,
                "at": AT,
            }
            for no, (source, first, count) in batches.items()
        ],
        "agreements": [
            {
                "id": "contract",
                "source_no": 1,
                "parties": '["giver"]',
                "purposes": '["train"]',
                "prohibitions": "[]",
                "basis": "consent",
                "valid_from": "2024-01-01",
                "valid_until": None,
                "document_sha256": "0" * 64,
            }
        ],
        "agreement_events": [
            {"agreement_id": "contract", "status": status, "person_id": DANA, "note": "", "at": AT}
            for status in ("draft", "approved")
        ],
        "facts": [
            a_fact(1, "SourceRegistered", source=PANEL),
            a_fact(2, "BatchTakenIn", batch=1),
            a_fact(3, "SourceRegistered", source="second"),
            a_fact(4, "BatchTakenIn", batch=2),
        ],
    }


def test_old_books_are_summed_up_and_go_on(place):
    url, engine = place
    write(engine, old_books())
    books = open_url(url)
    with books.read() as conn:
        first, second = (sums.of_source(conn, s.id) for s in parties.all_sources(conn))
        assert (first.people, first.opted_out, first.size_bytes) == (ItemSet([1, 2]), ItemSet([0]), 1 + 100 + 1000)
        assert (second.people, second.opted_out, second.size_bytes) == (ItemSet([3]), ItemSet(), 10_000 + 100_000)
        found = items.items_showing(conn, [ItemSet([n]) for n in (1, 2, 3)])
        assert found == [ItemSet([0, 1]), ItemSet([2]), ItemSet([4])]
        assert items.children_of(conn, ItemSet([0])) == ItemSet([2])
        assert [(a.id, a.status.value, a.purposes) for a in agreements.all_agreements(conn)] == [
            ("contract", "approved", ("train",))
        ]
        assert {"photo", "document"} <= retention.schedule(conn).keys()
        assert facts.drained_count(conn) == 4
    with books.write() as tx:  # numbers go on where the old ones ended
        batch, ids = items.add_batch(tx, PANEL, [photo("new", 2)], counts={}, person=DANA)
        assert (batch.no, ids) == (3, [6])
        assert items.subject_numbers(tx, PANEL, [b"n" * 32]) == {b"n" * 32: 4}
        facts.record(tx, "SomethingHappened")
    with books.read() as conn:
        assert items.items_showing(conn, [ItemSet([2])]) == [ItemSet([2, 6])]
    books.close()
    open_url(url).close()


def old_rule(words, moment):
    """What the first release made of a person's words: in the order in which they were recorded, the last counts."""
    holding = {purpose: {} for purpose in PARENT}
    for said, state, begins, ends in words:
        for purpose, yeses in holding.items():
            if state == "withdrawn":
                if overlaps(said, purpose):
                    yeses.clear()
            elif covers(said, purpose):
                yeses[said] = (begins, ends)
    now = stamp(moment)
    return {p for p, yeses in holding.items() if any(b <= now and (e is None or now <= e) for b, e in yeses.values())}


def test_r29_what_people_said_in_old_books_means_what_it_meant(place):
    """Old words have no time of their own: they counted in the order of recording, whatever dates were written on them."""
    url, engine = place
    rng = random.Random(29)
    dates = [f"{year}-06-01T00:00:00Z" for year in (2023, 2024, 2025, 2030, 2040)]
    purposes = ["any", "train", "train-face-recognition", "train-face-attributes", "evaluate"]
    words = {}
    for who in range(1, 301):
        words[who] = []
        for _ in range(rng.randint(0, 6)):
            begins, ends = rng.choice(dates), rng.choice([None, None, *dates])
            words[who].append((rng.choice(purposes), rng.choice(["given", "given", "withdrawn"]), begins, ends))
    order = [who for who, said in words.items() for _ in said]
    rng.shuffle(order)
    heard = {who: iter(said) for who, said in words.items()}
    names = ("purpose", "state", "valid_from", "valid_until")
    rows = [{"subject_no": who, "notice": "n", **dict(zip(names, next(heard[who]), strict=True))} for who in order]
    write(engine, {"sources": [a_source(1, PANEL, [])], "subjects": [a_person(n) for n in words], "consents": rows})
    books = open_url(url)
    with books.read() as conn:
        for moment in AFTERWARDS:
            found = consents.consenting(conn, moment)
            for purpose in PARENT:
                says = set().union(*(found[q].people for q in found if covers(q, purpose)))
                assert says == {who for who, said in words.items() if purpose in old_rule(said, moment)}, (
                    purpose,
                    moment,
                )
    books.close()


def test_the_same_words_of_many_people_take_one_row(place):
    url, engine = place
    row = {"purpose": "train", "state": "given", "notice": "n", "valid_from": AT, "valid_until": None}
    people = range(1, 501)
    write(
        engine,
        {
            "sources": [a_source(1, PANEL, [])],
            "subjects": [a_person(n) for n in people],
            "consents": [{"subject_no": n, **row} for n in people],
        },
    )
    books = open_url(url)
    with books.read() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM consents").scalar() == 1
        assert consents.history(conn, 7)[0].word.said_at == datetime(2025, 3, 1, 9, tzinfo=UTC)
    books.close()


def test_old_books_stay_as_they_were_when_migrating_them_fails(place, monkeypatch):
    url, engine = place
    write(engine, old_books())
    with monkeypatch.context() as failing:
        failing.setattr("numpy.zeros", lambda *_a, **_k: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            open_url(url)
    with engine.connect() as conn:
        assert conn.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == "0001"
        assert "recipients" not in sa.inspect(conn).get_table_names()
    engine.dispose()
    books = open_url(url)
    with books.write() as tx:
        tx.conn.exec_driver_sql("INSERT INTO digests SELECT 1, sha256, pixels, pdq, 9 FROM digests WHERE item_id = 0")
        assert whole(tx.conn) == 6
    books.close()
