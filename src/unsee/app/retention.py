"""The retention schedule at work: what is past its time, orders that take it away, attributes that the books forget."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from unsee.app.orders import Opened, open_retention_order, opening_note, under_way
from unsee.app.registry import keep_document
from unsee.app.workspace import Workspace
from unsee.books import agreements, items, orders, parties, quarantine, retention, world
from unsee.books.retention import Set
from unsee.core.canonical import canonical_json
from unsee.core.errors import InvalidValue, NotFound, WrongState
from unsee.core.ids import ItemSet, OrderId, PersonId, SourceId, slug
from unsee.core.parties import AgreementStatus
from unsee.core.policy import Standing, World
from unsee.core.retention import Due, agreement_over, kept_too_long, scope_of
from unsee.core.rulefile import MAX_DAYS
from unsee.core.rules import PHOTO, Entry

NO_ROWS = frozenset({PHOTO, "document", "embedding"})
"""Classes that are items, not attributes: an order takes them away, file and all."""


def schedule(ws: Workspace) -> list[Set]:
    """The retention schedule, as it is published."""
    with ws.books.read() as conn:
        return retention.entries(conn)


def set_entry(ws: Workspace, data_class: str, *, days: int, basis: str, person: PersonId) -> Entry:
    """Say how long a class of data is kept from now on.

    Raises:
        InvalidValue: it is kept for no day, for ever, or nothing says why.
        InvalidName, NotFound: the class cannot be a name; no such person.
    """
    if not 0 < days <= MAX_DAYS:
        raise InvalidValue(
            f"{data_class} cannot be kept for {days:,} days.",
            next_step=f"Give 1 to {MAX_DAYS:,}; nothing is kept for ever.",
        )
    if not basis.strip():
        raise InvalidValue(
            "An entry says what it rests on.", next_step="Name the law, contract or reason with --basis."
        )
    entry = Entry(days, basis.strip())
    with ws.act() as tx:
        parties.person(tx.conn, person)
        retention.set_entry(tx, slug(data_class, what="data class"), entry, person=person)
    return entry


@dataclass(frozen=True, slots=True)
class SourceDue:
    """What is past its time of one source. `scope` is what an order on it would reach."""

    source: SourceId
    due: tuple[Due, ...]
    scope: ItemSet
    people: int
    documents_kept: int
    """Documents that stay, though they also name people whose photos go: they name others too."""
    under: OrderId | None
    """The order that the source is under already; until it is certified no other one is opened."""
    quarantines: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As printed; counts only."""
        return {
            "source": self.source,
            "items": len(self.scope),
            "people": self.people,
            "documents_kept": self.documents_kept,
            "under_order": self.under,
            "rules": [d.as_json() for d in self.due],
        }


@dataclass(frozen=True, slots=True)
class AttributesDue:
    """Attributes of one class and source that are past their time, and stand in the books still."""

    source: SourceId
    data_class: str
    due: tuple[Due, ...]
    rows: int

    def as_json(self) -> dict[str, Any]:
        """As printed; counts only."""
        return {
            "source": self.source,
            "class": self.data_class,
            "rows": self.rows,
            "rules": [d.as_json() for d in self.due],
        }


@dataclass(frozen=True, slots=True)
class Overdue:
    """All that is past its time on one day."""

    on: date
    sources: tuple[SourceDue, ...]
    attributes: tuple[AttributesDue, ...]

    def as_json(self) -> dict[str, Any]:
        """As printed."""
        return {
            "on": self.on.isoformat(),
            "sources": [s.as_json() for s in self.sources],
            "attributes": [a.as_json() for a in self.attributes],
        }


def overdue(ws: Workspace, *, day: date | None = None) -> Overdue:
    """What is past its time, today or on a day to come.

    Cost: a few bitmaps for each source and limit, and a count of the attribute rows of what is due.
    """
    now = ws.now()
    moment = now if day is None else datetime.combine(day, time(23, 59, 59), UTC)
    with ws.books.read() as conn:
        return _overdue(conn, moment)


def open_orders(ws: Workspace, *, instrument: Path | None, person: PersonId) -> list[Opened]:
    """Open an order of kind `retention` for each source of which something is past its time, on exactly that (R31).

    A source that is under an order already is left for later. Without an instrument, the list of what is due is kept as one.

    Raises:
        NotFound: no such person.
        InputError: the instrument cannot be read.
        WrongState: nothing is past its time that an order could be opened on.
    """
    given = None if instrument is None else (instrument.name, keep_document(ws, instrument))
    with ws.books.read() as conn:
        parties.person(conn, person)
        waiting = [one for one in _overdue(conn, ws.now()).sources if one.under is None]
    papers = {one.source: given or _paper(ws, one) for one in waiting}
    with ws.act() as tx:
        found = [one for one in _overdue(tx.conn, tx.now).sources if one.source in papers and one.under is None]
        if not found:
            raise WrongState(
                "Nothing is past its time that no order reaches yet.", next_step='See "unsee retention due".'
            )
        opened = []
        for one in found:
            why = {"documents_kept": one.documents_kept, "rules": [d.as_json() for d in one.due]}
            made = open_retention_order(tx, one.source, one.scope, why=why, document=papers[one.source], person=person)
            for name in one.quarantines:
                quarantine.order_erasure(tx, name, made.order.id, person=person)
            opened.append(made)
    for made in opened:
        opening_note(ws, made.order.id)
    return opened


def forget(ws: Workspace, data_class: str, *, person: PersonId) -> dict[str, int]:
    """Delete the attributes of a class that are past their time from the books; rows deleted, by table.

    Files in the stores hold them still, until they are due themselves.

    Raises:
        NotFound: no such person; no such class in the schedule.
        InvalidValue: the class is no attribute, but items: an order takes those away.
        WrongState: none of them is past its time.
    """
    if data_class in NO_ROWS:
        raise InvalidValue(
            f"{data_class} is a class of items; its bytes lie in stores.", next_step='Run "unsee retention due --open".'
        )
    with ws.act() as tx:
        parties.person(tx.conn, person)
        facts = world.as_of(tx.conn, tx.now)
        if data_class not in facts.rules.schedule:
            raise NotFound("class", data_class, where=" in the schedule", next_step='See "unsee retention list".')
        due = [d for s in facts.standings for d in kept_too_long(s, facts, tx.now.date(), data_class)]
        wanted = ItemSet.union(ItemSet(), *(d.items for d in due))
        rows = retention.forget(tx, data_class, wanted, ItemSet(items.people_in(tx.conn, wanted)))
        if not any(rows.values()):
            raise WrongState(f"No {data_class} in the books is past its time.", next_step='See "unsee retention due".')
    ws.books.forget_free_pages()
    return rows


def _overdue(conn: Connection, moment: datetime) -> Overdue:
    facts, today = world.as_of(conn, moment), moment.date()
    ended = {
        a.id: date.fromisoformat(agreements.life(conn, a.id)[-1].at[:10])
        for s in facts.standings
        for a in s.agreements
        if a.status is AgreementStatus.TERMINATED
    }
    going = ItemSet.union(facts.erased, *facts.blocked.values())
    under, papers = under_way(conn), parties.documents(conn)
    held = [q for q in quarantine.all_quarantines(conn) if q.state(today) == "expired"]
    found = []
    for standing in facts.standings:
        left = standing.items - going
        mine = [q for q in held if q.source == standing.source.id]
        due = [*kept_too_long(standing, facts, today), *agreement_over(standing, ended, today)]
        due += [Due(q.source, "quarantine", f"{q.id} expired unreleased", q.expires_on, q.items) for q in mine]
        due = [Due(d.source, d.rule, d.citation, d.since, d.items & left) for d in due]
        due = [d for d in due if d.items - papers or d.rule == "quarantine"]
        scope = scope_of(due, left - papers, left & papers)
        if scope:
            people = len(items.people_in(conn, scope))
            kept = len((left & papers) - scope)
            names = tuple(q.id for q in mine)
            found.append(
                SourceDue(standing.source.id, tuple(due), scope, people, kept, under.get(standing.source.id), names)
            )
    return Overdue(today, tuple(found), tuple(_attributes(conn, facts, facts.standings, today)))


def _attributes(conn: Connection, facts: World, standings: Sequence[Standing], today: date) -> list[AttributesDue]:
    found = []
    for standing in standings:
        for data_class in sorted(set(facts.rules.schedule) - NO_ROWS):
            due = tuple(kept_too_long(standing, facts, today, data_class))
            wanted = ItemSet.union(ItemSet(), *(d.items for d in due)) - orders.erased(conn)
            rows = items.attribute_counts(conn, wanted).get(data_class, 0) if wanted else 0
            if rows:
                found.append(AttributesDue(standing.source.id, data_class, due, rows))
    return found


def _paper(ws: Workspace, one: SourceDue) -> tuple[str, str]:
    """The list of what is due of a source, kept as the order's document: its name and digest."""
    name = f"retention-due-{one.source}.json"
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / name
        path.write_bytes(canonical_json({"schema": "unsee/retention-due/1", **one.as_json()}))
        return name, keep_document(ws, path)
