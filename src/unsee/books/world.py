"""The books as policy sees them at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time

from sqlalchemy import Connection

from unsee.books import (
    agreements,
    assessments,
    consents,
    orders,
    parties,
    privacy_policies,
    quarantine,
    residents,
    retention,
    shown,
    sums,
)
from unsee.books.sets import pack
from unsee.core.assessments import bar
from unsee.core.ids import ItemSet
from unsee.core.parties import Agreement, Assessment, PrivacyPolicy, Source
from unsee.core.policy import Bar, Standing, World, places_of
from unsee.core.privacy import contradictions
from unsee.core.rules import JURISDICTIONS, RuleBook


def standings(conn: Connection, today: date, *, until: datetime | None = None) -> tuple[Standing, ...]:
    """Every source with its items, its agreements, and what bars it on a day; with `until`, agreements as they stood then.

    Cost: a bitmap a source.
    """
    agreed = agreements.all_agreements(conn, until=until)
    assessed, policies = assessments.by_source(conn), privacy_policies.by_source(conn)
    found = []
    for source in parties.all_sources(conn):
        mine = tuple(a for a in agreed if a.source == source.id)
        held = bars(source, mine, assessed.get(source.id, ()), policies.get(source.id, ()), today)
        found.append(Standing(source, parties.items_of_source(conn, source.id), mine, held))
    return tuple(found)


def as_of(conn: Connection, moment: datetime, *, rules: RuleBook | None = None, as_it_was: bool = False) -> World:
    """All facts that decide who may use what, at `moment`.

    Args:
        rules: other rules than those in force.
        as_it_was: leave out what was agreed, ordered and erased after `moment`. Where people live, what is in quarantine and which
            files carry an opt-out is taken as it is known today.
    Cost: a few bitmaps a source, one pass over the consents, and one over the columns that say who is in which item.
    """
    until = moment if as_it_was else None
    said = consents.consenting(conn, moment)
    homes = residents.residents(conn)
    showing = _showing(
        conn, [*(group for who in said.values() for group in (who.people, who.released, who.separate)), *homes.values()]
    )
    world = World(
        standings=standings(conn, moment.date(), until=until),
        consented={purpose: showing[id(who.people)] for purpose, who in said.items()},
        released={purpose: showing[id(who.released)] for purpose, who in said.items()},
        separate={purpose: showing[id(who.separate)] for purpose, who in said.items()},
        residents={code: showing[id(people)] for code, people in homes.items()},
        blocked=orders.blocked(conn, until=until),
        opted_out=sums.opted_out(conn),
        erased=orders.erased(conn, until=until),
        quarantined=quarantine.quarantined(conn),
        rules=rules or RuleBook(JURISDICTIONS, retention.schedule(conn)),
    )
    return replace(world, released=_released_in_time(conn, world))


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


def _showing(conn: Connection, groups: Sequence[ItemSet]) -> dict[int, ItemSet]:
    """The items of each group of people, by the identity of its set; groups of the same people are looked up once."""
    packed = [pack(group) for group in groups]
    distinct = dict(zip(packed, groups, strict=True))
    items = dict(zip(distinct, shown.items_showing(conn, list(distinct.values())), strict=True))
    return {id(group): items[key] for group, key in zip(groups, packed, strict=True)}


def _released_in_time(conn: Connection, world: World) -> dict[str, ItemSet]:
    """The released consents, less those that came after the photos were collected where a release has to come first (R30).

    Cost: one pass over the consents for each day on which a source was collected that such a law protects.
    """
    late: dict[date, ItemSet] = {}
    for standing in world.standings:
        for place, items in places_of(standing, world):
            if place.written_release:
                day = standing.source.collected_on
                late[day] = late.get(day, ItemSet()) | items
    released = dict(world.released)
    for day, items in late.items():
        if not any(items.intersect(given) for given in released.values()):
            continue
        then = consents.consenting(conn, datetime.combine(day, time.max, UTC))
        groups = [who.released for who in then.values()]
        in_time = dict(zip(then, shown.items_showing(conn, groups), strict=True))
        released = {purpose: given - (items - in_time.get(purpose, ItemSet())) for purpose, given in released.items()}
    return released
