"""Registered channels of sources."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePath
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books import facts, parties
from unsee.books.database import Tx
from unsee.books.schema import batches, channels, sources
from unsee.core.channels import Admission, Channel, admission
from unsee.core.errors import AlreadyExists, NotFound, WrongState
from unsee.core.ids import PersonId, SourceId


def add(tx: Tx, channel: Channel) -> None:
    """Register a channel; its `at` is the transaction's.

    Raises:
        AlreadyExists: the id is taken, by a closed channel too.
        NotFound: there is no such source.
    """
    if tx.conn.execute(sa.select(channels.c.id).where(channels.c.id == channel.id)).first():
        raise AlreadyExists("channel", channel.id)
    tx.conn.execute(
        channels.insert().values(
            id=channel.id,
            source_no=parties.source_no(tx.conn, channel.source),
            kind=channel.kind,
            location=channel.location,
            person_id=channel.person,
            at=tx.at,
        )
    )
    facts.record(
        tx, "ChannelRegistered", channel=channel.id, source=channel.source, kind=channel.kind, by=channel.person
    )


def close(tx: Tx, channel_id: str, *, person: PersonId) -> Channel:
    """Close a channel: nothing comes in through it from now on.

    Raises:
        NotFound: there is none.
        WrongState: it is closed already.
    """
    found = channel(tx.conn, channel_id)
    if found.closed_at is not None:
        raise WrongState(f"Channel {channel_id} was closed on {found.closed_at[:10]}.")
    tx.conn.execute(sa.update(channels).where(channels.c.id == channel_id).values(closed_at=tx.at))
    facts.record(tx, "ChannelClosed", channel=channel_id, source=found.source, by=person)
    return channel(tx.conn, channel_id)


def channel(conn: Connection, channel_id: str) -> Channel:
    """The channel of that id.

    Raises:
        NotFound: there is none.
    """
    found = [c for c in all_channels(conn) if c.id == channel_id]
    if not found:
        raise NotFound("channel", channel_id)
    return found[0]


def all_channels(conn: Connection) -> list[Channel]:
    """Every channel, closed ones too, in the order of registration."""
    rows = conn.execute(
        sa.select(channels, sources.c.id.label("source_id"))
        .join(sources, sources.c.no == channels.c.source_no)
        .order_by(channels.c.at, channels.c.id)
    )
    return [_channel(row) for row in rows]


def taken_in_through(conn: Connection) -> dict[str, int]:
    """How many items came through each channel that anything came through."""
    rows = conn.execute(
        sa.select(batches.c.channel_id, sa.func.sum(batches.c.item_count))
        .where(batches.c.channel_id.is_not(None))
        .group_by(batches.c.channel_id)
    )
    return {str(name): int(count) for name, count in rows}


def admission_of(conn: Connection, source_id: SourceId, folder: PurePath) -> Admission:
    """How photos of a source that lie in `folder`, an absolute path without links, may come in now.

    Raises:
        NotFound: there is no such source.
    """
    return admission(parties.source(conn, source_id), folder, all_channels(conn))


def used(conn: Connection) -> Collection[str]:
    """The channels through which anything came."""
    return taken_in_through(conn).keys()


def _channel(row: sa.Row[Any]) -> Channel:
    return Channel(row.id, row.source_id, row.kind, row.location, row.person_id, row.at, row.closed_at)
