"""Stores, the objects in them, and the copies of items that lie there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books import facts
from unsee.books.database import Tx, driver_rows
from unsee.books.ranges import id_ranges, whole_and_parts
from unsee.books.schema import copies, objects, stores
from unsee.core.errors import AlreadyExists, NotFound
from unsee.core.ids import ItemId, ItemSet, ObjectNo, StoreId


@dataclass(frozen=True, slots=True)
class StoreRow:
    """A store as the books know it; `app` opens it."""

    no: int
    id: StoreId
    kind: str
    location: str
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Copy:
    """One place where an item's bytes lie."""

    item: ItemId
    object: ObjectNo
    selector: str
    stamp: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class CopyColumns:
    """Many copies, column by column, all of one length."""

    item: Sequence[int]
    object: Sequence[int]
    selector: Sequence[str]
    stamp: Sequence[str]
    size_bytes: Sequence[int]


def register_store(tx: Tx, store_id: StoreId, kind: str, location: str, options: Mapping[str, str]) -> None:
    """Make a place known.

    Raises:
        AlreadyExists: the id is taken.
    """
    if tx.conn.execute(sa.select(stores.c.no).where(stores.c.id == store_id)).first():
        raise AlreadyExists("store", store_id)
    tx.conn.execute(
        stores.insert().values(id=store_id, kind=kind, location=location, options=json.dumps(dict(options)))
    )
    facts.record(tx, "StoreRegistered", store=store_id, kind=kind)


def all_stores(conn: Connection) -> list[StoreRow]:
    """Every store, in the order of registration."""
    rows = conn.execute(sa.select(stores).order_by(stores.c.no))
    return [StoreRow(r.no, r.id, r.kind, r.location, json.loads(r.options)) for r in rows]


def store(conn: Connection, store_id: StoreId) -> StoreRow:
    """The store of that id.

    Raises:
        NotFound: there is none.
    """
    for row in all_stores(conn):
        if row.id == store_id:
            return row
    raise NotFound("store", store_id)


def object_numbers(tx: Tx, store_no: int, names: Iterable[str]) -> dict[str, ObjectNo]:
    """The numbers of these objects, given out where they are new."""
    wanted = sorted(set(names))
    known = {name: no for no, name in objects_of(tx.conn, store_no).items()}
    fresh = [name for name in wanted if name not in known]
    if fresh:
        tx.conn.execute(objects.insert(), [{"store_no": store_no, "name": name} for name in fresh])
        known = {name: no for no, name in objects_of(tx.conn, store_no).items()}
    return {name: known[name] for name in wanted}


def objects_of(conn: Connection, store_no: int) -> dict[ObjectNo, str]:
    """Every object of a store that holds a recorded copy, by number; numbers of forgotten objects are given out again."""
    rows = conn.execute(sa.select(objects.c.no, objects.c.name).where(objects.c.store_no == store_no))
    return {row.no: row.name for row in rows}


def all_objects(conn: Connection) -> dict[ObjectNo, tuple[int, str]]:
    """Every object: number to (store number, name)."""
    return {r.no: (r.store_no, r.name) for r in conn.execute(sa.select(objects))}


def replace_copies(tx: Tx, rows: Sequence[Copy]) -> None:
    """Record what lies where; what was on record for the same place before is replaced, for its bytes are no longer there."""
    if not rows:
        return
    by_object: dict[ObjectNo, set[str]] = {}
    for copy in rows:
        by_object.setdefault(copy.object, set()).add(copy.selector)
    for number, selectors in by_object.items():
        stale = [s for s in copies_in_object(tx.conn, number) if s in selectors]
        if stale:
            tx.conn.execute(
                sa.delete(copies).where(copies.c.object_no == number, copies.c.selector == sa.bindparam("old")),
                [{"old": s} for s in stale],
            )
    tx.conn.execute(
        copies.insert(),
        [
            {
                "item_id": c.item,
                "object_no": c.object,
                "selector": c.selector,
                "stamp": c.stamp,
                "size_bytes": c.size_bytes,
            }
            for c in rows
        ],
    )


def add_copies(tx: Tx, rows: Sequence[Copy]) -> None:
    """Record copies in places where nothing was on record. Cost: one row each, however much the object holds already."""
    if rows:
        columns = ("item_id", "object_no", "selector", "stamp", "size_bytes")
        values = ((c.item, c.object, c.selector, c.stamp, c.size_bytes) for c in rows)
        tx.conn.execute(copies.insert(), [dict(zip(columns, row, strict=True)) for row in values])


def drop_copies(tx: Tx, object_no: ObjectNo, selectors: Iterable[str]) -> int:
    """Delete the rows of these members of an object, whose bytes are not there any more; how many."""
    gone = 0
    for selector in selectors:
        here = (copies.c.object_no == object_no, copies.c.selector == selector)
        gone += tx.conn.execute(sa.delete(copies).where(*here)).rowcount
    return gone


def change_options(tx: Tx, store_id: StoreId, options: Mapping[str, str]) -> None:
    """Open a store with other options from now on."""
    tx.conn.execute(sa.update(stores).where(stores.c.id == store_id).values(options=json.dumps(dict(options))))
    facts.record(tx, "StoreOptionsChanged", store=store_id)


def copies_in_object(conn: Connection, object_no: ObjectNo) -> dict[str, Copy]:
    """The recorded copies in one object, by selector."""
    rows = conn.execute(sa.select(copies).where(copies.c.object_no == object_no))
    return {row.selector: _copy(row) for row in rows}


def copies_of(conn: Connection, items: ItemSet, *, batch: int = 65_536) -> Iterator[list[Any]]:
    """Rows (item_id, object_no, selector, stamp, size_bytes) of every copy of `items`, in lists of at most `batch`.

    Reads along the primary key, range by range of consecutive ids. Cost: about 1 µs a row; memory: one list.
    """
    for low, high in id_ranges(items):
        result = conn.execute(
            sa.select(copies)
            .where(copies.c.item_id.between(low, high))
            .order_by(copies.c.item_id, copies.c.object_no, copies.c.selector),
            execution_options={"stream_results": True},
        )
        while rows := result.fetchmany(batch):
            kept = [r for r in rows if r.item_id in items]
            if kept:
                yield kept


def copy_columns(conn: Connection, items: ItemSet, *, span: int = 4_096) -> Iterator[CopyColumns]:
    """Every copy of `items`, in the order of `copies_of`, column by column, for at most `span` items at a time.

    Cost: about 1 µs a row, which is what the database driver itself takes; memory: one span.
    """
    columns = (copies.c.item_id, copies.c.object_no, copies.c.selector, copies.c.stamp, copies.c.size_bytes)
    for first, last, whole in whole_and_parts(items):
        for low in range(first, last + 1, span):
            query = (
                sa.select(*columns)
                .where(copies.c.item_id.between(low, min(low + span - 1, last)))
                .order_by(copies.c.item_id, copies.c.object_no, copies.c.selector)
            )
            rows = driver_rows(conn, query)
            kept = rows if whole else [row for row in rows if row[0] in items]
            if kept:
                yield CopyColumns(*zip(*kept, strict=True))


def items_in_stores(conn: Connection, store_numbers: Sequence[int]) -> ItemSet:
    """Items of which a copy is on record in one of these stores. Cost: one pass over their copies, some 1 µs each."""
    query = (
        sa.select(copies.c.item_id)
        .join(objects, objects.c.no == copies.c.object_no)
        .where(objects.c.store_no.in_(list(store_numbers)))
    )
    found = ItemSet()
    result = conn.execute(query, execution_options={"stream_results": True})
    while rows := result.fetchmany(65_536):
        found.update([row.item_id for row in rows])
    return found


def forget_copies(tx: Tx, items: ItemSet) -> int:
    """Delete the rows of every copy of `items`; the number of rows."""
    gone = 0
    for low, high in id_ranges(items, exact=True):
        gone += tx.conn.execute(sa.delete(copies).where(copies.c.item_id.between(low, high))).rowcount
    # Names of directories may name people: an object that holds nothing recorded any more is forgotten.
    tx.conn.execute(sa.delete(objects).where(~sa.exists().where(copies.c.object_no == objects.c.no)))
    return gone


def _copy(row: sa.Row[Any]) -> Copy:
    return Copy(row.item_id, row.object_no, row.selector, row.stamp, row.size_bytes)
