"""The retention schedule: how long each class of data is kept. An entry is never edited; the last one of a class counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books import facts
from unsee.books.database import Tx
from unsee.books.ranges import within
from unsee.books.schema import item_attributes, retention_schedule, subject_attributes
from unsee.core.errors import PolicyRefusal
from unsee.core.ids import ItemSet, PersonId
from unsee.core.rules import DEFAULT_SCHEDULE, Entry


def schedule(conn: Connection) -> dict[str, Entry]:
    """How long each class is kept, by data class."""
    rows = conn.execute(sa.select(retention_schedule).order_by(retention_schedule.c.no))
    found = {r.data_class: Entry(r.days, r.basis) for r in rows}
    return {name: found[name] for name in sorted(found)}


def set_entry(tx: Tx, data_class: str, entry: Entry, *, person: PersonId) -> None:
    """Write how long a class is kept from now on; what was set before stays on record. `person` is empty for the default."""
    tx.conn.execute(
        retention_schedule.insert().values(
            data_class=data_class, days=entry.days, basis=entry.basis, person_id=person, at=tx.at
        )
    )
    facts.record(tx, "RetentionSet", data_class=data_class, days=entry.days, basis=entry.basis, by=person)


def start(tx: Tx) -> None:
    """Give books that have no schedule the default one."""
    if not schedule(tx.conn):
        for data_class, entry in DEFAULT_SCHEDULE.items():
            set_entry(tx, data_class, entry, person=PersonId(""))


@dataclass(frozen=True, slots=True)
class Set:
    """One entry of the schedule, and who set it when; nobody for the default."""

    data_class: str
    entry: Entry
    person: PersonId
    at: str


def entries(conn: Connection) -> list[Set]:
    """The schedule as it is published: the last entry of each class, by class (R36)."""
    last = sa.select(sa.func.max(retention_schedule.c.no)).group_by(retention_schedule.c.data_class)
    rows = conn.execute(
        sa.select(retention_schedule).where(retention_schedule.c.no.in_(last)).order_by(retention_schedule.c.data_class)
    )
    return [Set(r.data_class, Entry(r.days, r.basis), r.person_id, r.at) for r in rows]


def require_class(conn: Connection, classes: Iterable[str]) -> None:
    """Pass where the schedule has an entry for each of these classes of data (R32).

    Raises:
        PolicyRefusal: one has none.
    """
    known = schedule(conn)
    missing = sorted({c for c in classes if c not in known})
    if missing:
        raise PolicyRefusal(
            f"The retention schedule has no entry for {', '.join(missing)}; nothing is kept without a limit.",
            next_step=f"Say how long it is kept: unsee retention set {missing[0]} --days N --basis TEXT --as P.",
        )


def forget(tx: Tx, data_class: str, items: ItemSet, people: ItemSet) -> dict[str, int]:
    """Delete the attributes of one class of these items and people; rows deleted, by table.

    Cost: one statement for each long run of ids, and one for each 900 that are scattered.
    """
    gone = {}
    for table, key, members in (
        (item_attributes, item_attributes.c.item_id, items),
        (subject_attributes, subject_attributes.c.subject_no, people),
    ):
        gone[table.name] = sum(
            tx.conn.execute(sa.delete(table).where(these, table.c.data_class == data_class)).rowcount
            for these in within(key, members)
        )
    facts.record(tx, "AttributesForgotten", data_class=data_class, rows=sum(gone.values()))
    return gone
