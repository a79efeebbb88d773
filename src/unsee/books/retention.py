"""The retention schedule: how long each class of data is kept. An entry is never edited; the last one of a class counts."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books import facts
from unsee.books.database import Tx
from unsee.books.schema import retention_schedule
from unsee.core.ids import PersonId
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
