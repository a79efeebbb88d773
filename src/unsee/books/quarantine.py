"""What came in through no channel of its source: recorded, so that orders and searches reach it; barred from use until released."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books import facts, parties
from unsee.books.database import Tx
from unsee.books.schema import quarantine_events, quarantines, sources
from unsee.books.sets import pack, unpack
from unsee.core.errors import NotFound
from unsee.core.ids import ItemSet, OrderId, PersonId, SourceId

RELEASED = "released"
ORDERED = "erasure-ordered"


@dataclass(frozen=True, slots=True)
class Event:
    """What was decided of a quarantine: `released`, or `erasure-ordered` by an order."""

    event: str
    person: PersonId
    order: OrderId | None
    note: str
    at: str


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Items that came in together by a way that is no channel, and what was decided of them."""

    id: str
    source: SourceId
    folder: str
    reason: str
    items: ItemSet
    person: PersonId
    """Who brought them in; who may therefore not release them."""
    at: str
    expires_on: date
    events: tuple[Event, ...] = ()

    @property
    def released(self) -> bool:
        """Whether a reviewer let the items go."""
        return any(e.event == RELEASED for e in self.events)

    @property
    def order(self) -> OrderId | None:
        """The order that takes the items away, where one was opened."""
        return next((e.order for e in self.events if e.event == ORDERED), None)

    def state(self, today: date) -> str:
        """`held`, `expired`, `released` or `erasure-ordered`. The day of expiry itself counts as expired."""
        if self.events:
            return self.events[-1].event
        return "held" if today < self.expires_on else "expired"


def hold(
    tx: Tx, source_id: SourceId, folder: str, reason: str, items: ItemSet, *, person: PersonId, expires_on: date
) -> str:
    """Put new items of a source into quarantine, in the transaction that records them; the quarantine's id.

    They join the quarantine of an intake that was cut short: same source, folder, reason and person, nothing decided yet, and not
    expired. Otherwise they get one of their own.
    """
    same = [
        q
        for q in all_quarantines(tx.conn)
        if (q.source, q.folder, q.reason, q.person) == (source_id, folder, reason, person)
        and q.state(tx.now.date()) == "held"
    ]
    if same:
        name, expires_on = same[-1].id, same[-1].expires_on
        tx.conn.execute(
            sa.update(quarantines).where(quarantines.c.id == name).values(item_set=pack(same[-1].items | items))
        )
    else:
        count = tx.conn.execute(sa.select(sa.func.count()).select_from(quarantines)).scalar_one()
        name = f"quarantine-{int(count) + 1:04d}"
        tx.conn.execute(
            quarantines.insert().values(
                id=name,
                source_no=parties.source_no(tx.conn, source_id),
                folder=folder,
                reason=reason,
                item_set=pack(items),
                person_id=person,
                at=tx.at,
                expires_on=expires_on.isoformat(),
            )
        )
    facts.record(
        tx,
        "ItemsQuarantined",
        quarantine=name,
        source=source_id,
        reason=reason,
        items=len(items),
        expires_on=expires_on.isoformat(),
        by=person,
    )
    return name


def release(tx: Tx, quarantine_id: str, *, person: PersonId, note: str) -> None:
    """Record that a reviewer let the items go. Who may is the caller's question.

    Raises:
        NotFound: there is no such quarantine.
    """
    _decide(tx, quarantine_id, RELEASED, "QuarantineReleased", person=person, note=note, order=None)


def order_erasure(tx: Tx, quarantine_id: str, order: OrderId, *, person: PersonId) -> None:
    """Record that an order takes the items away.

    Raises:
        NotFound: there is no such quarantine.
    """
    _decide(tx, quarantine_id, ORDERED, "QuarantineExpired", person=person, note="", order=order)


def quarantined(conn: Connection) -> ItemSet:
    """Items of every quarantine that was not released: no use of them is permitted. Cost: one bitmap a quarantine."""
    released = sa.select(quarantine_events.c.quarantine_id).where(quarantine_events.c.event == RELEASED)
    blobs = conn.execute(sa.select(quarantines.c.item_set).where(quarantines.c.id.not_in(released))).scalars()
    return ItemSet.union(ItemSet(), *(unpack(b) for b in blobs))


def released(conn: Connection) -> ItemSet:
    """Items of every quarantine that was released."""
    let_go = sa.select(quarantine_events.c.quarantine_id).where(quarantine_events.c.event == RELEASED)
    blobs = conn.execute(sa.select(quarantines.c.item_set).where(quarantines.c.id.in_(let_go))).scalars()
    return ItemSet.union(ItemSet(), *(unpack(b) for b in blobs))


def quarantine(conn: Connection, quarantine_id: str) -> Quarantine:
    """The quarantine of that id.

    Raises:
        NotFound: there is none.
    """
    found = _read(conn, quarantines.c.id == quarantine_id)
    if not found:
        raise NotFound("quarantine", quarantine_id)
    return found[0]


def all_quarantines(conn: Connection) -> list[Quarantine]:
    """Every quarantine, oldest first, the decided ones too."""
    return _read(conn, sa.true())


def _decide(
    tx: Tx, quarantine_id: str, event: str, fact: str, *, person: PersonId, note: str, order: OrderId | None
) -> None:
    held = quarantine(tx.conn, quarantine_id)
    tx.conn.execute(
        quarantine_events.insert().values(
            quarantine_id=held.id, event=event, person_id=person, order_id=order, note=note, at=tx.at
        )
    )
    facts.record(
        tx, fact, quarantine=held.id, source=held.source, items=len(held.items), order=order, note=note, by=person
    )


def _read(conn: Connection, where: sa.ColumnElement[bool]) -> list[Quarantine]:
    events: dict[str, list[Event]] = {}
    for row in conn.execute(sa.select(quarantine_events).order_by(quarantine_events.c.no)):
        events.setdefault(row.quarantine_id, []).append(Event(row.event, row.person_id, row.order_id, row.note, row.at))
    rows: Sequence[sa.Row[Any]] = conn.execute(
        sa.select(quarantines, sources.c.id.label("source_id"))
        .join(sources, sources.c.no == quarantines.c.source_no)
        .where(where)
        .order_by(quarantines.c.at, quarantines.c.id)
    ).all()
    return [
        Quarantine(
            row.id,
            row.source_id,
            row.folder,
            row.reason,
            unpack(row.item_set),
            row.person_id,
            row.at,
            date.fromisoformat(row.expires_on),
            tuple(events.get(row.id, ())),
        )
        for row in rows
    ]
