"""Looking at what came through no channel, and deciding of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection

from unsee.app.workspace import Workspace
from unsee.books import interests, parties, quarantine
from unsee.books.quarantine import Quarantine
from unsee.core.approval import objection
from unsee.core.errors import ApprovalRefused, InvalidValue, WrongState
from unsee.core.ids import PersonId


@dataclass(frozen=True, slots=True)
class Listed:
    """A quarantine, its state today, and how many of its items are photos and other documents."""

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
        state = held.state(today)
        if state == "expired":
            raise WrongState(
                f"{name} expired on {held.expires_on}; its photos are to be erased.",
                next_step='Open the order with "unsee retention due --open".',
            )
        if state != "held":
            raise WrongState(f"{name} is {state} since {held.events[-1].at[:10]}.")
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
    return Listed(held, held.state(today), len(held.items) - documents, documents)
