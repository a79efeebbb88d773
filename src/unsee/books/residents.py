"""Where people live, as far as it is known: the jurisdiction whose rules protect them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books import facts
from unsee.books.database import Tx
from unsee.books.schema import residents as table
from unsee.books.sets import pack, unpack
from unsee.core.ids import ItemSet


def add(tx: Tx, jurisdiction: str, subjects: ItemSet) -> int:
    """Record that these people (subject numbers) live in a jurisdiction; how many of them were not known to.

    Nobody is taken out again: whoever is recorded in two places is protected by the rules of both.
    """
    known = tx.conn.execute(sa.select(table.c.subject_set).where(table.c.jurisdiction == jurisdiction)).scalar()
    before = unpack(known)
    fresh = subjects - before
    if not fresh:
        return 0
    packed = pack(before | fresh)
    if known is None:
        tx.conn.execute(table.insert().values(jurisdiction=jurisdiction, subject_set=packed))
    else:
        tx.conn.execute(sa.update(table).where(table.c.jurisdiction == jurisdiction).values(subject_set=packed))
    facts.record(tx, "ResidentsRecorded", jurisdiction=jurisdiction, people=len(fresh))
    return len(fresh)


def residents(conn: Connection) -> dict[str, ItemSet]:
    """The people (subject numbers) of each jurisdiction that anybody is recorded in."""
    rows = conn.execute(sa.select(table).order_by(table.c.jurisdiction))
    return {r.jurisdiction: unpack(r.subject_set) for r in rows}
