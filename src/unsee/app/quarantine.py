"""Looking at what came through no channel, and deciding of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection

from unsee.app.orders import Opened, open_retention_order, opening_note, under_way
from unsee.app.workspace import Workspace
from unsee.attest.durable import write_file
from unsee.books import interests, orders, parties, quarantine
from unsee.books.quarantine import Quarantine
from unsee.core.approval import objection
from unsee.core.canonical import canonical_json
from unsee.core.errors import ApprovalRefused, InvalidValue, WrongState
from unsee.core.ids import ItemSet, PersonId, SourceId


@dataclass(frozen=True, slots=True)
class Listed:
    """A quarantine, its state today (`erased` where an order took everything away), and its photos and documents counted."""

    quarantine: Quarantine
    state: str
    photos: int
    documents: int

    def as_json(self) -> dict[str, object]:
        """As printed."""
        q = self.quarantine
        return {
            "id": q.id,
            "source": q.source,
            "state": self.state,
            "photos": self.photos,
            "documents": self.documents,
            "reason": q.reason,
            "folder": q.folder,
            "person": q.person,
            "at": q.at,
            "expires_on": q.expires_on.isoformat(),
            "events": [
                {"event": e.event, "person": e.person, "order": e.order, "note": e.note, "at": e.at} for e in q.events
            ],
        }


def all_quarantines(ws: Workspace) -> list[Listed]:
    """Every quarantine, oldest first."""
    with ws.books.read() as conn:
        return [_listed(conn, q, ws.now().date()) for q in quarantine.all_quarantines(conn)]


def show(ws: Workspace, name: str) -> Listed:
    """One quarantine.

    Raises:
        NotFound: there is none of that id.
    """
    with ws.books.read() as conn:
        return _listed(conn, quarantine.quarantine(conn, name), ws.now().date())


def expired(ws: Workspace) -> list[Listed]:
    """The quarantines whose time is over and of which nothing was decided: their photos are to be erased."""
    return [one for one in all_quarantines(ws) if one.state == "expired"]


@dataclass(frozen=True, slots=True)
class Ordered:
    """What was done about the expired quarantines of one source: the order that was opened, or why none was."""

    source: SourceId
    quarantines: tuple[str, ...]
    opened: Opened | None
    why_not: str = ""

    def as_json(self) -> dict[str, object]:
        """As printed."""
        return {
            "source": self.source,
            "quarantines": list(self.quarantines),
            "order": self.opened.order.id if self.opened else None,
            "items": self.opened.items if self.opened else 0,
            "why_not": self.why_not,
        }


def open_orders(ws: Workspace, *, person: PersonId) -> list[Ordered]:
    """Turn what expired into orders of kind `retention`, one a source, so that the ordinary plan erases the files.

    A source that is under another order already waits for it; the answer says so.

    Raises:
        NotFound: no such person.
    """
    return [_open_order(ws, source, person) for source in sorted({one.quarantine.source for one in expired(ws)})]


def _open_order(ws: Workspace, source: SourceId, person: PersonId) -> Ordered:
    with ws.act() as tx:
        due = [
            one.quarantine
            for one in (_listed(tx.conn, q, tx.now.date()) for q in quarantine.all_quarantines(tx.conn))
            if one.quarantine.source == source and one.state == "expired"
        ]
        names = tuple(q.id for q in due)
        other = under_way(tx.conn).get(source)
        if other is not None or not due:
            return Ordered(source, names, None, f"{source} is under {other}, which comes first" if other else "")
        opened = open_retention_order(
            tx,
            source,
            ItemSet.union(ItemSet(), *(q.items for q in due)),
            why={"quarantines": list(names)},
            document=_instrument(ws, due, tx.now.date()),
            person=person,
        )
        for name in names:
            quarantine.order_erasure(tx, name, opened.order.id, person=person)
    opening_note(ws, opened.order.id)
    return Ordered(source, names, opened)


def _instrument(ws: Workspace, due: Sequence[Quarantine], today: date) -> tuple[str, str]:
    """The document on which the order rests, kept by its digest: which quarantines ran out, and why they were ones."""
    data = canonical_json(
        {
            "schema": "unsee/quarantine-expiry/1",
            "on": today.isoformat(),
            "quarantines": [
                {
                    "id": q.id,
                    "source": q.source,
                    "reason": q.reason,
                    "items": len(q.items),
                    "at": q.at,
                    "expires_on": q.expires_on.isoformat(),
                }
                for q in due
            ],
        }
    )
    digest = hashlib.sha256(data).hexdigest()
    kept = ws.root / "instruments" / f"{digest}.json"
    if not kept.exists():
        write_file(kept, data)
    return "quarantine-expiry.json", digest


def release(ws: Workspace, name: str, *, person: PersonId, note: str) -> Listed:
    """Let the items of a quarantine go: from now on they may be used where everything else permits it.

    The consents that came with them are heard when the folder is taken in again.

    Raises:
        NotFound: no such quarantine or person.
        WrongState: it was decided of already, or its time is over.
        ApprovalRefused: the person brought the photos in, or has an interest in a party of the source (R35).
        InvalidValue: nothing is noted.
    """
    if not note.strip():
        raise InvalidValue("A release says what was looked at.", next_step="Say it with --note.")
    with ws.act() as tx:
        parties.person(tx.conn, person)
        held = quarantine.quarantine(tx.conn, name)
        today = tx.now.date()
        state = _listed(tx.conn, held, today).state
        if state == "expired":
            raise WrongState(
                f"{name} expired on {held.expires_on}; its photos are to be erased.",
                next_step='Open the order with "unsee retention due --open".',
            )
        if state != "held":
            since = f" since {held.events[-1].at[:10]}" if held.events else ""
            raise WrongState(f"{name} is {state}{since}.")
        against = _against(tx.conn, held, person, ws.organisation)
        if against:
            raise ApprovalRefused(f"{against}.", next_step="Ask an independent person.")
        quarantine.release(tx, name, person=person, note=note)
        return _listed(tx.conn, quarantine.quarantine(tx.conn, name), today)


def _against(conn: Connection, held: Quarantine, person: PersonId, organisation: str) -> str | None:
    """Why a person may not release these photos; None where nothing stands against it."""
    if person == held.person:
        return f"{person} brought these photos in; who brings in does not release"
    sides = interests.sides(conn, held.source, organisation)
    return objection(
        person,
        author=None,
        parties=sides.parties,
        interests=sides.interests,
        holdings=sides.holdings,
        source=sides.source,
    )


def _listed(conn: Connection, held: Quarantine, today: date) -> Listed:
    documents = len(held.items & parties.documents_of_source(conn, held.source))
    state = "erased" if held.items <= orders.erased(conn) else held.state(today)
    return Listed(held, state, len(held.items) - documents, documents)
