"""Declared interests of people, and holdings among organisations."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from unsee.app.workspace import Workspace
from unsee.books import interests, parties
from unsee.core.errors import InvalidValue
from unsee.core.ids import PersonId, SourceId
from unsee.core.interests import Path, ring, same_name
from unsee.core.parties import Holding, Interest


def declare(ws: Workspace, interest: Interest) -> None:
    """Record a declared interest. Where it names a person or source of the workspace, they must exist.

    Raises:
        NotFound: they do not.
        InvalidValue: the holder, the organisation or the kind is empty.
    """
    for what, text in (("holder", interest.holder), ("organisation", interest.organisation), ("kind", interest.kind)):
        if not text.strip():
            raise InvalidValue(f"An interest needs its {what}.", next_step="Say who holds what in which organisation.")
    with ws.act() as tx:
        if interest.person is not None:
            parties.person(tx.conn, interest.person)
        if interest.source is not None:
            parties.source(tx.conn, interest.source)
        interests.declare(tx, interest)


def all_interests(ws: Workspace) -> list[Interest]:
    """Every declared interest, in the order of declaration."""
    with ws.books.read() as conn:
        return interests.all_interests(conn)


def declare_holding(ws: Workspace, holding: Holding, *, person: PersonId) -> None:
    """Record that one organisation holds a stake in another.

    Raises:
        NotFound: no such person.
        InvalidValue: a name is empty, the share is no percentage, or the holding closes a ring; the message names the ring.
    """
    if not holding.holder.strip() or not holding.held.strip():
        raise InvalidValue("A holding needs the names of both organisations.")
    if holding.share and not _is_percentage(holding.share):
        raise InvalidValue(
            f"{holding.share[:80]!r} is no share in percent.", next_step="Write a number above 0, up to 100."
        )
    with ws.act() as tx:
        parties.person(tx.conn, person)
        closed = ring(interests.all_holdings(tx.conn), holding)
        if closed:
            raise InvalidValue(
                f"{holding.holder} cannot hold {holding.held}: that closes the ring {' → '.join(closed)}.",
                next_step="See which holding is wrong: unsee organisation list.",
            )
        interests.add_holding(tx, holding, person=person)


def _is_percentage(text: str) -> bool:
    try:
        return 0 < Decimal(text) <= 100
    except InvalidOperation:
        return False


@dataclass(frozen=True, slots=True)
class Organisation:
    """One organisation as the books know it: what it holds, who holds it, who has an interest in it."""

    name: str
    holds: tuple[Holding, ...]
    held_by: tuple[Holding, ...]
    interests: tuple[Interest, ...]
    sources: tuple[SourceId, ...]
    """The sources that it gave."""

    def as_json(self) -> dict[str, Any]:
        """As printed."""
        return {
            "name": self.name,
            "holds": [{"organisation": h.held, "kind": h.kind, "share": h.share} for h in self.holds],
            "held_by": [{"organisation": h.holder, "kind": h.kind, "share": h.share} for h in self.held_by],
            "interests": [{"holder": i.holder, "person": i.person, "kind": i.kind} for i in self.interests],
            "sources": list(self.sources),
        }


def organisations(ws: Workspace) -> list[Organisation]:
    """Every organisation that a holding, an interest or a source names, by name; spellings that are the same come together."""
    with ws.books.read() as conn:
        held, declared, given = interests.all_holdings(conn), interests.all_interests(conn), parties.all_sources(conn)
    names: dict[str, str] = {}
    for name in (
        *(s.issuer for s in given),
        *(n for h in held for n in (h.holder, h.held)),
        *(i.organisation for i in declared),
    ):
        names.setdefault(same_name(name), name)
    return [
        Organisation(
            name,
            tuple(h for h in held if same_name(h.holder) == key),
            tuple(h for h in held if same_name(h.held) == key),
            tuple(i for i in declared if same_name(i.organisation) == key),
            tuple(s.id for s in given if same_name(s.issuer) == key),
        )
        for key, name in sorted(names.items())
    ]


def paths_of(ws: Workspace, person: str, *, source: str) -> tuple[Path, ...]:
    """Every path from a person's interests to either party of a source's hand-over.

    Raises:
        NotFound: no such person or source.
    """
    with ws.books.read() as conn:
        who = parties.person(conn, PersonId(person)).id
        return interests.sides(conn, SourceId(source), ws.organisation).conflicts(who)


def conflicts(ws: Workspace, source: SourceId) -> tuple[Path, ...]:
    """Every declared path between anybody and either party of a source's hand-over.

    Raises:
        NotFound: no such source.
    """
    with ws.books.read() as conn:
        return interests.conflicts(conn, source, ws.organisation)
