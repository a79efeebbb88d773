"""The books as policy sees them at one moment."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from unsee.books import agreements, consents, items, orders, parties, quarantine, residents, retention, sums
from unsee.core.policy import Standing, World
from unsee.core.rules import JURISDICTIONS, RuleBook


def standings(conn: Connection) -> tuple[Standing, ...]:
    """Every source with its items and agreements. Cost: a bitmap a source."""
    agreed = agreements.all_agreements(conn)
    return tuple(
        Standing(
            source,
            parties.items_of_source(conn, source.id),
            tuple(a for a in agreed if a.source == source.id),
        )
        for source in parties.all_sources(conn)
    )


def as_of(conn: Connection, moment: datetime) -> World:
    """All facts that decide who may use what, at `moment`. Cost: a few bitmaps a source, and the consents in force."""
    living = residents.residents(conn)
    return World(
        standings=standings(conn),
        consented=consents.consented_items(conn, moment),
        blocked=orders.blocked(conn),
        opted_out=sums.opted_out(conn),
        erased=orders.erased(conn),
        quarantined=quarantine.quarantined(conn),
        residents=dict(zip(living, items.items_showing(conn, list(living.values())), strict=True)),
        rules=RuleBook(JURISDICTIONS, retention.schedule(conn)),
    )
