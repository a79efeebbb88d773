"""What each source adds up to, less what was forgotten: kept at intake and at erasure, so that exposure reads no rows."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books import shown
from unsee.books.database import Tx
from unsee.books.schema import sources
from unsee.books.sets import pack, union, unpack
from unsee.core.errors import NotFound
from unsee.core.ids import ItemSet, SourceId


@dataclass(frozen=True, slots=True)
class Sums:
    """One source: who is in its items, which of them opted out by a signal of their own, the bytes of their originals."""

    people: ItemSet
    opted_out: ItemSet
    size_bytes: int


def of_source(conn: Connection, source_id: SourceId) -> Sums:
    """What the items of a source that were not forgotten add up to.

    Raises:
        NotFound: there is no such source.
    """
    row = conn.execute(
        sa.select(sources.c.subject_set, sources.c.opted_out_set, sources.c.size_bytes).where(sources.c.id == source_id)
    ).first()
    if row is None:
        raise NotFound("source", source_id)
    return Sums(unpack(row.subject_set), unpack(row.opted_out_set), int(row.size_bytes))


def people_of_source(conn: Connection, source_id: SourceId) -> ItemSet:
    """The numbers of the people in the items of a source that were not forgotten.

    Raises:
        NotFound: there is no such source.
    """
    return of_source(conn, source_id).people


def size_of_source(conn: Connection, source_id: SourceId) -> int:
    """Bytes of the originals of a source that were not forgotten, as recorded at intake.

    Raises:
        NotFound: there is no such source.
    """
    return of_source(conn, source_id).size_bytes


def opted_out(conn: Connection) -> ItemSet:
    """Items whose own file reserves the right against training, less the forgotten ones."""
    return union(unpack(blob) for blob in conn.execute(sa.select(sources.c.opted_out_set)).scalars())


def add(tx: Tx, source_no: int, new: Sums) -> None:
    """Count what came in. Cost: the sets that `new` changes are read and written once."""
    row = tx.conn.execute(
        sa.select(sources.c.subject_set, sources.c.opted_out_set).where(sources.c.no == source_no)
    ).one()
    values: dict[str, object] = {"size_bytes": sources.c.size_bytes + new.size_bytes}
    for name, blob, more in (
        ("subject_set", row.subject_set, new.people),
        ("opted_out_set", row.opted_out_set, new.opted_out),
    ):
        before = unpack(blob)
        if not more.issubset(before):
            values[name] = pack(before | more)
    tx.conn.execute(sa.update(sources).where(sources.c.no == source_no).values(values))


def subtract(tx: Tx, leaving: ItemSet, size_by_source: dict[int, int]) -> None:
    """Count out items whose content is about to be forgotten, and was not before.

    Args:
        leaving: those items.
        size_by_source: bytes of their originals, by number of the source.
    """
    rows = tx.conn.execute(
        sa.select(sources.c.no, sources.c.item_set, sources.c.subject_set, sources.c.opted_out_set).where(
            sources.c.no.in_(sorted(size_by_source))
        )
    ).all()
    for row in rows:
        mine = unpack(row.item_set)
        gone = shown.only_in(tx.conn, leaving & mine, among=mine)
        tx.conn.execute(
            sa.update(sources)
            .where(sources.c.no == row.no)
            .values(
                subject_set=pack(unpack(row.subject_set) - gone),
                opted_out_set=pack(unpack(row.opted_out_set) - leaving),
                size_bytes=sources.c.size_bytes - size_by_source[row.no],
            )
        )
