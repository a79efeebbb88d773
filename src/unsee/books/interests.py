"""Declared interests of people, and holdings among organisations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books import agreements, facts, parties
from unsee.books.database import Tx
from unsee.books.schema import holdings, interests
from unsee.core.ids import PersonId, SourceId
from unsee.core.interests import Path, attributed, paths
from unsee.core.parties import Holding, Interest


@dataclass(frozen=True, slots=True)
class Sides:
    """What conflicts are judged by: a source, the organisations on both sides of its hand-over, every declared stake."""

    source: SourceId
    parties: tuple[str, ...]
    interests: tuple[Interest, ...]
    holdings: tuple[Holding, ...]

    def conflicts(self, person: PersonId | None = None) -> tuple[Path, ...]:
        """Every path from a person, or from anybody, to one of the parties."""
        return paths(person, self.interests, self.holdings, self.parties, source=self.source)


def sides(conn: Connection, source_id: SourceId, operator: str) -> Sides:
    """Who gave and who took a source: its issuer, the operator of the workspace, the parties of its agreements.

    An interest whose holder has the name of a person who acts here is that person's.

    Raises:
        NotFound: there is no such source.
    """
    giver = parties.source(conn, source_id).issuer
    named = [p for a in agreements.of_source(conn, source_id) for p in a.parties]
    return Sides(
        source_id,
        tuple(dict.fromkeys([giver, operator, *named])),
        tuple(attributed(all_interests(conn), parties.all_people(conn))),
        tuple(all_holdings(conn)),
    )


def conflicts(conn: Connection, source_id: SourceId, operator: str) -> tuple[Path, ...]:
    """Every declared path between anybody and either party of a source's hand-over: what each report on it repeats.

    Args:
        operator: the organisation of the workspace, which took the photos.
    Raises:
        NotFound: there is no such source.
    """
    return sides(conn, source_id, operator).conflicts()


def declare(tx: Tx, interest: Interest) -> None:
    """Record a declared interest."""
    tx.conn.execute(
        interests.insert().values(
            holder=interest.holder,
            organisation=interest.organisation,
            kind=interest.kind,
            declared_on=interest.declared_on.isoformat(),
            person_id=interest.person,
            source_id=interest.source,
        )
    )
    facts.record(
        tx,
        "InterestDeclared",
        holder=interest.holder,
        organisation=interest.organisation,
        kind=interest.kind,
        person=interest.person,
        source=interest.source,
    )


def all_interests(conn: Connection) -> list[Interest]:
    """Every declared interest, in the order of declaration."""
    return [
        Interest(r.holder, r.organisation, r.kind, date.fromisoformat(r.declared_on), r.person_id, r.source_id)
        for r in conn.execute(sa.select(interests).order_by(interests.c.no))
    ]


def add_holding(tx: Tx, holding: Holding, *, person: PersonId) -> None:
    """Record that one organisation holds a stake in another. Whether it closes a cycle is for the caller to see."""
    tx.conn.execute(
        holdings.insert().values(
            holder=holding.holder,
            held=holding.held,
            kind=holding.kind,
            share=holding.share,
            declared_on=holding.declared_on.isoformat(),
            person_id=person,
        )
    )
    facts.record(
        tx,
        "HoldingDeclared",
        holder=holding.holder,
        held=holding.held,
        kind=holding.kind,
        share=holding.share,
        by=person,
    )


def all_holdings(conn: Connection) -> list[Holding]:
    """Every declared holding, in the order of declaration."""
    return [
        Holding(r.holder, r.held, r.kind, date.fromisoformat(r.declared_on), r.share)
        for r in conn.execute(sa.select(holdings).order_by(holdings.c.no))
    ]
