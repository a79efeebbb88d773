"""Registering the ways by which photos may come in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unsee.app.workspace import Workspace
from unsee.books import channels, parties
from unsee.core.channels import KINDS, Channel, conflict, refused_kind
from unsee.core.errors import InvalidValue, NotFound, Refused
from unsee.core.ids import PersonId, SourceId, slug


@dataclass(frozen=True, slots=True)
class ChannelUse:
    """A channel, and how many items came through it."""

    channel: Channel
    items: int


def add_channel(ws: Workspace, name: str, *, source: str, kind: str, location: Path, person: PersonId) -> Channel:
    """Register the folder below which a source's deliveries lie.

    Raises:
        InvalidValue: no such kind, or the location overlaps a channel of another source: one file has one giver.
        Refused: the kind is a personal channel (R35).
        NotFound: no such source, person or folder.
        AlreadyExists: the id is taken.
    """
    why = refused_kind(kind)
    allowed = "Kinds: " + ", ".join(k for k, refused in KINDS.items() if not refused) + "."
    if kind not in KINDS:
        raise InvalidValue(f"{why}.", next_step=allowed)
    if why is not None:
        raise Refused(f"No photos come in through {why}.", next_step=f"Agree on another way with the giver. {allowed}")
    if not location.is_dir():
        raise NotFound("folder", str(location), where="", next_step="Name the folder in which deliveries arrive.")
    place = location.resolve()
    with ws.act() as tx:
        parties.person(tx.conn, person)
        made = Channel(
            slug(name, what="channel"),
            parties.source(tx.conn, SourceId(source)).id,
            kind,
            str(place),
            person,
            tx.at,
        )
        other = conflict(made.source, place, channels.all_channels(tx.conn), used=channels.used(tx.conn))
        if other is not None:
            raise InvalidValue(
                f"{place} overlaps channel {other.id} of {other.source} at {other.location}; one file has one giver.",
                next_step="Give each source a folder of its own.",
            )
        channels.add(tx, made)
    return made


def close_channel(ws: Workspace, name: str, *, person: PersonId) -> Channel:
    """Close a channel: what comes from now on by this way is quarantined.

    Raises:
        NotFound: no such channel or person.
        WrongState: it is closed already.
    """
    with ws.act() as tx:
        parties.person(tx.conn, person)
        return channels.close(tx, name, person=person)


def all_channels(ws: Workspace) -> list[ChannelUse]:
    """Every channel and what came through it, in the order of registration."""
    with ws.books.read() as conn:
        counts = channels.taken_in_through(conn)
        return [ChannelUse(c, counts.get(c.id, 0)) for c in channels.all_channels(conn)]
