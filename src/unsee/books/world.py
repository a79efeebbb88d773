"""The books as policy sees them at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy import Connection

from unsee.books import (
    agreements,
    assessments,
    consents,
    items,
    orders,
    parties,
    privacy_policies,
    quarantine,
    residents,
    retention,
    sums,
)
from unsee.core.assessments import bar
from unsee.core.parties import Agreement, Assessment, PrivacyPolicy, Source
from unsee.core.policy import Bar, Standing, World
from unsee.core.privacy import contradictions
from unsee.core.rules import JURISDICTIONS, RuleBook


def standings(conn: Connection, today: date) -> tuple[Standing, ...]:
    """Every source with its items, its agreements, and what bars it on a day. Cost: a bitmap a source."""
    agreed = agreements.all_agreements(conn)
    assessed, policies = assessments.by_source(conn), privacy_policies.by_source(conn)
    found = []
    for source in parties.all_sources(conn):
        mine = tuple(a for a in agreed if a.source == source.id)
        held = bars(source, mine, assessed.get(source.id, ()), policies.get(source.id, ()), today)
        found.append(Standing(source, parties.items_of_source(conn, source.id), mine, held))
    return tuple(found)


def as_of(conn: Connection, moment: datetime) -> World:
    """All facts that decide who may use what, at `moment`. Cost: a few bitmaps a source, and the consents in force."""
    living = residents.residents(conn)
    return World(
        standings=standings(conn, moment.date()),
        consented=consents.consented_items(conn, moment),
        blocked=orders.blocked(conn),
        opted_out=sums.opted_out(conn),
        erased=orders.erased(conn),
        quarantined=quarantine.quarantined(conn),
        residents=dict(zip(living, items.items_showing(conn, list(living.values())), strict=True)),
        rules=RuleBook(JURISDICTIONS, retention.schedule(conn)),
    )


def bars(
    source: Source,
    agreed: Sequence[Agreement],
    assessed: Sequence[Assessment],
    policies: Sequence[PrivacyPolicy],
    today: date,
) -> tuple[Bar, ...]:
    """What keeps a source from use on a day: its supplier's assessment (R33), and an agreement in force that the giver's privacy
    policy contradicts (R34). All arguments are of this source."""
    found = []
    unassessed = bar(source, assessed, today)
    if unassessed is not None:
        found.append(Bar("not-assessed", unassessed))
    for agreement in agreed:
        reasons = contradictions(agreement, source, policies) if agreement.in_force(today) else ()
        if reasons:
            found.append(Bar("privacy-policy", f"{agreement.id}: {'; '.join(reasons)}"))
    return tuple(found)
