"""By which way one item came in."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books.items import DOCUMENT
from unsee.books.schema import batches, items, sources
from unsee.core.errors import NotFound
from unsee.core.ids import ItemId, PersonId, SourceId


@dataclass(frozen=True, slots=True)
class Way:
    """How an item came in: of which source, in which batch, by whom, through which channel (None: through none)."""

    item: ItemId
    source: SourceId
    batch: int
    person: PersonId
    at: str
    channel: str | None
    parent: ItemId | None
    document: bool


def way_of(conn: Connection, item: int) -> Way:
    """The way of one item, the erased ones too.

    Raises:
        NotFound: no item has that number.
    """
    row = conn.execute(
        sa.select(items, sources.c.id.label("source_id"), batches.c.person_id, batches.c.at, batches.c.channel_id)
        .join(sources, sources.c.no == items.c.source_no)
        .join(batches, batches.c.no == items.c.batch_no)
        .where(items.c.id == item)
    ).first()
    if row is None:
        raise NotFound("item", str(item), next_step="Items are numbered from 0 in the order of intake.")
    return Way(
        row.id,
        row.source_id,
        row.batch_no,
        row.person_id,
        row.at,
        row.channel_id,
        row.parent_id,
        row.kind == DOCUMENT,
    )
