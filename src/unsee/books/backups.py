"""Backups and snapshots that the tool cannot reach into: what they hold, until when, and what became of them (R7)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books import facts, orders, places
from unsee.books.database import Tx, stamp
from unsee.books.schema import backup_events, backups, batches
from unsee.books.sets import pack, unpack
from unsee.core.errors import AlreadyExists, NotFound
from unsee.core.ids import ItemSet, PersonId, StoreId

DESTROYED = "destroyed"
RESTORED = "restored"
ERASED_AGAIN = "erased-again"


@dataclass(frozen=True, slots=True)
class Event:
    """What became of a backup: `destroyed`, `restored`, or, after a restoration, `erased-again`."""

    event: str
    person: PersonId
    body: Mapping[str, Any]
    at: str


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup or snapshot: where it lies, of which stores, made when, and the day by which it is destroyed."""

    id: str
    location: str
    stores: tuple[StoreId, ...]
    made_on: date
    expires_on: date
    items: ItemSet
    """What it may hold: see `may_hold`."""
    person: PersonId
    at: str
    events: tuple[Event, ...] = ()

    def state(self, today: date) -> str:
        """`kept`, `overdue` from the day of expiry on, or `destroyed` once somebody said so."""
        if any(e.event == DESTROYED for e in self.events):
            return DESTROYED
        return "kept" if today < self.expires_on else "overdue"

    @property
    def waits(self) -> bool:
        """Whether it was restored and what came back was not erased again yet."""
        restored = [e.event for e in self.events if e.event in {RESTORED, ERASED_AGAIN}]
        return bool(restored) and restored[-1] == RESTORED


def may_hold(conn: Connection, stores: Sequence[StoreId], made_on: date) -> ItemSet:
    """The items that a backup of these stores, made on that day, may hold.

    Items taken in by the end of that day of which a copy is on record in the stores; and those erased since its beginning, for of
    them no record tells any more where they lay.
    """
    end = datetime.combine(made_on, time.max, UTC)
    taken_in = ItemSet()
    for row in conn.execute(sa.select(batches.c.first_item, batches.c.item_count).where(batches.c.at <= stamp(end))):
        taken_in |= ItemSet(range(row.first_item, row.first_item + row.item_count))
    gone = orders.erased(conn) - orders.erased(conn, until=datetime.combine(made_on, time.min, UTC))
    numbers = [row.no for row in places.all_stores(conn) if row.id in set(stores)]
    return taken_in & (places.items_in_stores(conn, numbers) | gone)


def add(tx: Tx, backup: Backup) -> None:
    """Register a backup.

    Raises:
        AlreadyExists: the id is taken.
    """
    if tx.conn.execute(sa.select(backups.c.id).where(backups.c.id == backup.id)).first():
        raise AlreadyExists("backup", backup.id)
    tx.conn.execute(
        backups.insert().values(
            id=backup.id,
            location=backup.location,
            stores=json.dumps(list(backup.stores)),
            made_on=backup.made_on.isoformat(),
            expires_on=backup.expires_on.isoformat(),
            item_set=pack(backup.items),
            person_id=backup.person,
            at=tx.at,
        )
    )
    facts.record(
        tx,
        "BackupRegistered",
        backup=backup.id,
        stores=list(backup.stores),
        made_on=backup.made_on.isoformat(),
        expires_on=backup.expires_on.isoformat(),
        items=len(backup.items),
        by=backup.person,
    )


def tell(tx: Tx, backup_id: str, event: str, *, person: PersonId, body: Mapping[str, Any]) -> None:
    """Record what became of a backup; `body` holds nothing personal about data subjects.

    Raises:
        NotFound: there is no such backup.
    """
    backup(tx.conn, backup_id)
    tx.conn.execute(
        backup_events.insert().values(
            backup_id=backup_id, event=event, person_id=person, body=json.dumps(dict(body), sort_keys=True), at=tx.at
        )
    )
    names = {DESTROYED: "BackupDestroyed", RESTORED: "BackupRestored", ERASED_AGAIN: "ErasedAgain"}
    facts.record(tx, names[event], backup=backup_id, by=person, **dict(body))


def all_backups(conn: Connection) -> list[Backup]:
    """Every backup, oldest first."""
    events: dict[str, list[Event]] = {}
    for row in conn.execute(sa.select(backup_events).order_by(backup_events.c.no)):
        told = Event(row.event, PersonId(row.person_id), json.loads(row.body), row.at)
        events.setdefault(row.backup_id, []).append(told)
    rows = conn.execute(sa.select(backups).order_by(backups.c.made_on, backups.c.id))
    return [
        Backup(
            row.id,
            row.location,
            tuple(StoreId(name) for name in json.loads(row.stores)),
            date.fromisoformat(row.made_on),
            date.fromisoformat(row.expires_on),
            unpack(row.item_set),
            PersonId(row.person_id),
            row.at,
            tuple(events.get(row.id, ())),
        )
        for row in rows
    ]


def backup(conn: Connection, backup_id: str) -> Backup:
    """The backup of that id.

    Raises:
        NotFound: there is none.
    """
    for one in all_backups(conn):
        if one.id == backup_id:
            return one
    raise NotFound("backup", backup_id)


def holding(conn: Connection, scope: ItemSet, today: date) -> list[tuple[Backup, ItemSet]]:
    """The backups that are not destroyed and may hold items of `scope`, and which of them."""
    return [
        (one, one.items & scope)
        for one in all_backups(conn)
        if one.state(today) != DESTROYED and one.items.intersect(scope)
    ]
