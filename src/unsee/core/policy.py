"""Which items may be used for a purpose, and why the others may not. Deny by default; set-at-a-time over bitmaps.

An item is permitted when all of this holds; the rules are asked in this order, and the first that it fails is its refusal:

1. it was not erased, blocked by an open order, put into quarantine or suppressed (R5, R38): no override lifts these;
2. its source is not `legacy`;
3. nothing bars its source: no `Bar` of its standing (an overdue assessment, a contradicting privacy policy; R33, R34);
4. an agreement of its source that covers the purpose, and prohibits no part of it, is in force today *and* was at collection (R29);
5. unless that agreement says that nobody is shown:
   a. it was not kept longer than the retention schedule, its source, or the jurisdiction of the person allows for photos (R31);
   b. that jurisdiction does not prohibit the purpose, or a part of it;
   c. where every such agreement's basis is consent: the person in it has a consent in force that covers the purpose (R29, R30);
   d. where the jurisdiction asks for one: that consent came with a written release (R30), whatever the agreement's basis;
   e. where the jurisdiction asks for it and the basis is consent: that consent was asked apart from the terms of service (R29);
6. the file carries no machine-readable opt-out, when the purpose is training or includes it.

A person's jurisdiction is where they live, when that is known (each of several counts); else the source's geography, when it is a
known code; else there is none. Every refused item is in exactly one refusal. Adding a withdrawal, a block, a bar, a quarantine, an
opt-out, an expiry or a stricter rule never permits more. What is permitted for a purpose is permitted for every purpose below it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from unsee.core.ids import ItemSet, OrderId
from unsee.core.parties import Agreement, Source
from unsee.core.purposes import any_covers, covers, known, overlaps
from unsee.core.rules import PHOTO, Jurisdiction, RuleBook, past

NO_DATA_SUBJECT = "no-data-subject"
"""The basis of an agreement about photos that show nobody who exists."""


@dataclass(frozen=True, slots=True)
class Bar:
    """Something that keeps all items of a source from use until it is mended. `reason` is for people."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Standing:
    """One source as policy sees it: its items, its agreements, and what bars it."""

    source: Source
    items: ItemSet
    agreements: tuple[Agreement, ...] = ()
    bars: tuple[Bar, ...] = ()


@dataclass(frozen=True, slots=True)
class World:
    """All that policy looks at, as of one day.

    `consented` maps a purpose to the items whose person consents to it today; `released` and `separate` do so for the consents
    that came with a written release, and for those that were asked apart from other terms. `residents` maps the code of a
    jurisdiction to the items whose person lives there.
    """

    standings: tuple[Standing, ...]
    consented: Mapping[str, ItemSet] = field(default_factory=dict)
    blocked: Mapping[OrderId, ItemSet] = field(default_factory=dict)
    suppressed: ItemSet = field(default_factory=ItemSet)
    opted_out: ItemSet = field(default_factory=ItemSet)
    erased: ItemSet = field(default_factory=ItemSet)
    quarantined: ItemSet = field(default_factory=ItemSet)
    released: Mapping[str, ItemSet] = field(default_factory=dict)
    separate: Mapping[str, ItemSet] = field(default_factory=dict)
    residents: Mapping[str, ItemSet] = field(default_factory=dict)
    rules: RuleBook = field(default_factory=RuleBook)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Items that may not be used, and the one reason. An `overridable` one gives way to an explicit, logged override."""

    code: str
    reason: str
    items: ItemSet
    overridable: bool

    def as_json(self) -> dict[str, object]:
        """As printed by the CLI; counts only."""
        return {"code": self.code, "reason": self.reason, "items": len(self.items), "overridable": self.overridable}

    def __str__(self) -> str:
        return f"{self.code}: {len(self.items):,} items: {self.reason}"


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer for one purpose: `permitted` and the refusals part the candidates, no item in two of them."""

    purpose: str
    permitted: ItemSet
    refusals: tuple[Refusal, ...]

    @property
    def refused(self) -> ItemSet:
        """All candidates that are not permitted."""
        return ItemSet.union(ItemSet(), *(r.items for r in self.refusals))


def decide(purpose: str, candidates: ItemSet, world: World, *, today: date) -> Decision:
    """Part `candidates` into permitted and refused for `purpose`.

    Args:
        purpose: a name in the purpose tree.
        candidates: the items asked for; ids that no source knows are refused as unknown.
        world: the facts.
        today: the day on which agreements have to be in force, UTC.
    Raises:
        UnknownPurpose: `purpose` is not in the tree.
    Cost: a handful of bitmap operations for each source; milliseconds for millions of items.
    """
    known(purpose)
    open_question = candidates.copy()
    refusals: list[Refusal] = []

    def refuse(code: str, reason: str, items: ItemSet, *, overridable: bool) -> None:
        nonlocal open_question
        hit = open_question & items
        if hit:
            refusals.append(Refusal(code, reason, hit, overridable))
            open_question = open_question - hit

    refuse("erased", "already erased", world.erased, overridable=False)
    for order, items in sorted(world.blocked.items()):
        refuse("blocked", f"order {order} blocks any use", items, overridable=False)
    refuse("quarantined", "in quarantine until a reviewer releases it", world.quarantined, overridable=False)
    refuse("suppressed", "on the suppression list", world.suppressed, overridable=False)

    permitted = ItemSet()
    for standing in world.standings:
        mine = open_question & standing.items
        if not mine:
            continue
        verdict = _judge_source(purpose, standing, today)
        if isinstance(verdict, _No):
            refuse(verdict.code, verdict.reason, mine, overridable=True)
            continue
        if verdict.basis != NO_DATA_SUBJECT:
            for no, items in _protect_people(purpose, standing, verdict.basis, world, today):
                refuse(no.code, no.reason, items, overridable=True)
        permitted |= open_question & standing.items
    refuse("unknown-source", "no source is recorded for these items", open_question - permitted, overridable=False)
    if overlaps("train", purpose):
        refuse("opted-out", "the file itself reserves the right against training", world.opted_out, overridable=True)
    return Decision(purpose, permitted & open_question, tuple(refusals))


@dataclass(frozen=True, slots=True)
class _No:
    code: str
    reason: str


def _judge_source(purpose: str, standing: Standing, today: date) -> Agreement | _No:
    """The agreement that permits `purpose`, or why none does: the reason of the agreement that came nearest."""
    source = standing.source
    if source.legacy:
        return _No("legacy", f"{source.id}: taken in as legacy, without an approved agreement")
    if standing.bars:
        first = min(standing.bars, key=lambda bar: (bar.code, bar.reason))
        return _No(first.code, f"{source.id}: {first.reason}")
    if not standing.agreements:
        return _No("no-agreement", f"{source.id}: there is no agreement")
    approved = [a for a in standing.agreements if a.status == "approved"]
    if not approved:
        states = ", ".join(f"{a.id} is {a.status}" for a in standing.agreements)
        return _No("not-approved", f"{source.id}: no approved agreement ({states})")
    fitting = [
        a
        for a in approved
        if any_covers(a.purposes, purpose) and not any(overlaps(barred, purpose) for barred in a.prohibitions)
    ]
    if not fitting:
        allowed = ", ".join(sorted({p for a in approved for p in a.purposes})) or "nothing"
        return _No("purpose-not-agreed", f"{source.id}: agreed for {allowed}, not for {purpose}")
    current = [a for a in fitting if a.in_force(today)]
    if not current:
        return _No("not-in-force", f"{source.id}: no agreement for {purpose} is in force on {today}")
    lasting = [a for a in current if a.in_force(source.collected_on)]
    if not lasting:
        return _No(
            "not-in-force-at-collection",
            f"{source.id}: collected on {source.collected_on}, when no agreement for {purpose} was in force",
        )
    # One agreement is enough, so the one that asks least of the people counts, whichever is listed first.
    return min(lasting, key=lambda a: (a.basis != NO_DATA_SUBJECT, a.basis == "consent", a.id))


def _protect_people(
    purpose: str, standing: Standing, basis: str, world: World, today: date
) -> Iterator[tuple[_No, ItemSet]]:
    """What refuses items in which people are shown, rule by rule; a later rule may name items that an earlier one refused."""
    source, mine, places = standing.source, standing.items, places_of(standing, world)
    for limit in limits(standing, world, PHOTO):
        if past(source.collected_on, limit.days, today):
            yield _No("kept-too-long", f"{source.id}: collected on {source.collected_on}; {limit}"), limit.items
    for place, items in places:
        if any(overlaps(barred, purpose) for barred in place.prohibited):
            words = f"{source.id}: {place.id} prohibits {purpose} or a part of it ({place.citations['prohibited']})"
            yield _No("prohibited-here", words), items
    if basis == "consent":
        words = f"{source.id}: no consent in force that covers {purpose}"
        yield _No("no-consent", words), mine - _consenting(purpose, world.consented)
    for place, items in places:
        if place.written_release:
            words = f"{source.id}: no written release in force that covers {purpose}"
            words += f"; {place.id} asks for one ({place.citations['written_release']})"
            yield _No("no-written-release", words), items - _consenting(purpose, world.released)
    for place, items in places:
        if place.separate_from_terms and basis == "consent":
            words = f"{source.id}: no consent to {purpose} that was asked apart from other terms"
            words += f"; {place.id} asks for it ({place.citations['separate_from_terms']})"
            yield _No("consent-not-separate", words), items - _consenting(purpose, world.separate)


@dataclass(frozen=True, slots=True)
class Limit:
    """The longest time that some items of a source may be kept, in days from their collection, and what says so."""

    rule: str
    """`schedule`, `source`, or the id of a jurisdiction."""
    data_class: str
    days: int
    citation: str
    items: ItemSet

    def __str__(self) -> str:
        who = {"schedule": "the schedule", "source": "the source"}.get(self.rule, self.rule)
        return f"{who} keeps {self.data_class} {self.days:,} days ({self.citation})"


def limits(standing: Standing, world: World, data_class: str) -> Iterator[Limit]:
    """Every limit on how long one class of a source's data may be kept: the schedule's, the source's own, each jurisdiction's."""
    source = standing.source
    entry = world.rules.schedule.get(data_class)
    if entry is not None:
        yield Limit("schedule", data_class, entry.days, entry.basis, standing.items)
    if source.retention_days is not None:
        yield Limit("source", data_class, source.retention_days, "set when it was registered", standing.items)
    for place, items in places_of(standing, world):
        days = place.retention_days.get(data_class)
        if days is not None:
            yield Limit(place.id, data_class, days, place.citations["retention_days"], items)


def places_of(standing: Standing, world: World) -> list[tuple[Jurisdiction, ItemSet]]:
    """Which of a source's items each jurisdiction protects, by its id."""
    found: dict[str, tuple[Jurisdiction, ItemSet]] = {}
    mine = homeless = standing.items
    for code, residents in world.residents.items():
        place = world.rules.jurisdiction(code)
        if place is not None:
            found[place.id] = (place, found.get(place.id, (place, ItemSet()))[1] | (mine & residents))
            homeless = homeless - residents
    place = world.rules.jurisdiction(standing.source.geography)
    if place is not None:
        found[place.id] = (place, found.get(place.id, (place, ItemSet()))[1] | homeless)
    return [found[name] for name in sorted(found) if found[name][1]]


def _consenting(purpose: str, consented: Mapping[str, ItemSet]) -> ItemSet:
    return ItemSet.union(ItemSet(), *(items for given, items in consented.items() if covers(given, purpose)))


def summary(refusals: Sequence[Refusal]) -> str:
    """One line for an error message: the counts by reason, largest first."""
    return "; ".join(str(r) for r in sorted(refusals, key=lambda r: -len(r.items)))
