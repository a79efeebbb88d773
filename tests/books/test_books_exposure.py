"""Exposure from sets and sums, against a slow reading of every row; on both databases."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from decimal import Decimal
from random import Random

import sqlalchemy as sa
from book_writing import DANA, PANEL, a_source, add, photo, undone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unsee.app import exposed
from unsee.app.exposure import measure, seen_by_models
from unsee.books import items, orders, parties, residents, training
from unsee.books.schema import items as item_rows
from unsee.books.schema import runs, subject_attributes
from unsee.core.ids import DatasetId, ItemSet, ModelId, OrderId, RunId, SourceId
from unsee.core.lineage import Node
from unsee.core.orders import Order, OrderState

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
TODAY = date(2026, 5, 1)
TONES = ("dark", "light", None)


def an_order(number: int, source: SourceId) -> Order:
    return Order(OrderId(f"order-{number:04d}"), source, "ftc-avast", "a", "i", "0" * 64, TODAY, DANA)


def random_books(tx, draw: Random) -> None:
    """Sources with photos and a document, people with a tone, datasets, models of datasets and of models, an order carried out."""
    names = [PANEL, *(SourceId(f"s{n}") for n in range(draw.randrange(3)))]
    places = ["DE", "US-IL", "unknown"]
    for name in names[1:]:
        parties.register_source(tx, a_source(name, legacy=draw.random() < 0.3, geography=draw.choice(places)))
    for n in range(draw.randrange(1, 6)):
        source = draw.choice(names)
        people = items.subject_numbers(tx, source, [bytes([k]) * 32 for k in range(draw.randrange(1, 4))])
        who = [*people.values(), None]
        photos = [
            photo(f"{n}-{k}", draw.choice(who), size_bytes=draw.randrange(1, 999)) for k in range(draw.randrange(6))
        ]
        add(tx, *photos, photo(f"paper {n}", kind=items.DOCUMENT), source=source)
        toned = [(no, "tone", "demographics", t) for no in people.values() if (t := draw.choice(TONES))]
        items.set_subject_attributes(tx, toned)
        residents.add(tx, "US-IL", ItemSet([no for no in people.values() if draw.random() < 0.4]))
    everything = sorted(i for s in names for i in parties.items_of_source(tx.conn, s) - parties.documents(tx.conn))
    for n in range(draw.randrange(4)):
        members = ItemSet(draw.sample(everything, draw.randrange(len(everything) + 1)))
        training.freeze_dataset(
            tx, training.Dataset(DatasetId(f"d{n}"), "train", members, "0" * 64, None, {}, DANA, tx.at)
        )
    made: list[Node] = [Node("dataset", d.id) for d in training.all_datasets(tx.conn)]
    for n in range(draw.randrange(4)):
        run = RunId(f"run-{n}")
        inputs = draw.sample(made, draw.randrange(min(3, len(made)) + 1))
        training.start_run(tx, training.Run(run, "train", {}, {}, DANA, tx.at, None, None), inputs)
        cost = {"cpu_s": f"{n}.5", "wall_s": "1"}
        training.end_run(tx, run, cost, training.Model(ModelId(f"m{n}"), run, "k", f"m{n}", "0" * 64, {}, tx.at, None))
        if draw.random() < 0.3:
            tx.conn.execute(sa.update(runs).where(runs.c.id == run).values(cost=None))
        made.append(Node("model", f"m{n}"))
    for n, source in enumerate(names):
        if draw.random() < 0.3:
            scope = parties.items_of_source(tx.conn, source) - orders.erased(tx.conn)
            orders.open_order(tx, an_order(n, source), scope)
            if draw.random() < 0.7:
                items.forget_content(tx, scope)
                orders.move_order(tx, an_order(n, source).id, OrderState.APPLIED, {})


def by_reading_rows(conn, key) -> dict[str, dict]:
    """What `measure` says, from every row of items: `key` is the name of the row that a photo belongs to."""
    erased, papers = orders.erased(conn), parties.documents(conn)
    found: dict[str, dict] = defaultdict(lambda: {"items": set(), "people": set(), "size_bytes": 0})
    for row in conn.execute(sa.select(item_rows)):
        if row.id in erased or row.id in papers:
            continue
        mine = found[key(row)]
        mine["items"].add(row.id)
        mine["people"] |= {row.subject_no} - {None}
        mine["size_bytes"] += row.size_bytes
    edges = [(e.above, e.below) for e in training.all_edges(conn)]
    for mine in found.values():
        seeds = {Node("dataset", d.id) for d in training.all_datasets(conn) if mine["items"] & set(d.items)}
        reached = set(seeds)
        while more := {below for above, below in edges if above in reached} - reached:
            reached |= more
        mine["datasets"] = {n.name for n in seeds}
        mine["models"] = {n.name for n in reached if n.kind == "model"}
        cost = [training.run(conn, RunId(f"run-{m[1:]}")).cost for m in mine["models"]]
        mine["cpu_s"] = sum((Decimal(c["cpu_s"]) for c in cost if c), Decimal(0))
        mine["unknown"] = sum(c is None for c in cost)
    return found


def same(rows, slow) -> None:
    for row in rows:
        if not row.items:
            assert row.name not in slow
            continue
        mine = slow.pop(row.name)
        assert (row.items, row.people) == (len(mine["items"]), len(mine["people"]))
        assert row.size_bytes == mine["size_bytes"]
        assert (set(row.datasets), set(row.models)) == (mine["datasets"], mine["models"])
        assert row.retraining.cpu_s == mine["cpu_s"]
        assert (row.retraining.runs, len(row.retraining.unknown)) == (len(mine["models"]), mine["unknown"])
    assert not slow


@SHARED
@given(st.integers())
def test_by_source_it_is_what_reading_every_row_says(books, seed: int) -> None:
    with undone(books) as tx:
        random_books(tx, Random(seed))
        names = {parties.source_no(tx.conn, s.id): s.id for s in parties.all_sources(tx.conn)}
        rows = measure(tx.conn, "source", operator="o", today=TODAY)
        assert [r.name for r in sorted(rows, key=lambda r: r.name)] == sorted(names.values())
        same(rows, by_reading_rows(tx.conn, lambda row: names[row.source_no]))


@SHARED
@given(st.integers())
def test_by_group_it_is_what_reading_every_row_says(books, seed: int) -> None:
    with undone(books) as tx:
        random_books(tx, Random(seed))
        if not tx.conn.execute(sa.select(subject_attributes)).first():
            return
        tones = items.subject_attribute(tx.conn, "tone")

        def key(row) -> str:
            if row.subject_no is None:
                return exposed.NOBODY_KNOWN
            return tones.get(row.subject_no, exposed.NOT_SAID)

        same(measure(tx.conn, "group:tone", operator="o", today=TODAY), by_reading_rows(tx.conn, key))


@SHARED
@given(st.integers())
def test_by_jurisdiction_people_count_where_they_live_and_the_rest_where_the_source_is(books, seed: int) -> None:
    with undone(books) as tx:
        random_books(tx, Random(seed))
        home = residents.residents(tx.conn).get("US-IL", ItemSet())
        places = {parties.source_no(tx.conn, s.id): s.geography for s in parties.all_sources(tx.conn)}
        names = {"DE": "EU", "US-IL": "US-IL", "unknown": "unknown"}

        def key(row) -> str:
            return "US-IL" if row.subject_no is not None and row.subject_no in home else names[places[row.source_no]]

        same(measure(tx.conn, "jurisdiction", operator="o", today=TODAY), by_reading_rows(tx.conn, key))


@SHARED
@given(st.integers())
def test_parts_add_up_to_the_whole(books, seed: int) -> None:
    with undone(books) as tx:
        random_books(tx, Random(seed))
        whole = measure(tx.conn, "source", operator="o", today=TODAY)
        by = ["jurisdiction"]
        if tx.conn.execute(sa.select(subject_attributes)).first():
            by.append("group:tone")
        for one in by:
            rows = measure(tx.conn, one, operator="o", today=TODAY)
            for name in ("items", "size_bytes"):
                assert sum(getattr(r, name) for r in rows) == sum(getattr(r, name) for r in whole), (one, name)


@SHARED
@given(st.integers())
def test_what_a_model_saw_is_counted_once_and_holds_what_its_inputs_saw(books, seed: int) -> None:
    with undone(books) as tx:
        random_books(tx, Random(seed))
        seen = {s.model: s for s in seen_by_models(tx.conn, exposed.all_sources(tx.conn))}
        above = defaultdict(set)
        for edge in training.all_edges(tx.conn):
            above[edge.below].add(edge.above)
        sets = {d.id: d.items for d in training.all_datasets(tx.conn)}

        def learned(node: Node) -> ItemSet:
            return ItemSet.union(sets.get(node.name, ItemSet()), *(learned(n) for n in above[node]))

        for model, column in seen.items():
            whole = learned(Node("model", model))
            assert column.items == len(whole) == sum(column.by_source.values())
            for node in above[Node("run", f"run-{model[1:]}")]:
                below = seen[node.name].by_source if node.kind == "model" else {}
                assert all(column.by_source[s] >= n for s, n in below.items())
            for source, count in column.by_source.items():
                assert count == len(whole & parties.items_of_source(tx.conn, SourceId(source)))
