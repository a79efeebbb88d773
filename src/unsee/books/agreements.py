"""Agreements: what was drafted, and each step of their life."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books import facts, parties
from unsee.books.database import Tx, stamp
from unsee.books.parties import texts
from unsee.books.schema import agreement_events, agreements, sources
from unsee.core.errors import AlreadyExists, NotFound
from unsee.core.ids import AgreementId, PersonId, SourceId
from unsee.core.parties import Agreement, AgreementStatus, OnwardSharing, Party, Terms


@dataclass(frozen=True, slots=True)
class Step:
    """One step in the life of an agreement: who took it, when (UTC, ISO 8601), and why."""

    status: AgreementStatus
    person: PersonId
    note: str
    at: str


def draft(tx: Tx, agreement: Agreement, *, person: PersonId) -> None:
    """Add an agreement in the state draft.

    Raises:
        AlreadyExists: the id is taken.
        NotFound: there is no such source.
    """
    number = parties.source_no(tx.conn, agreement.source)
    if tx.conn.execute(sa.select(agreements.c.id).where(agreements.c.id == agreement.id)).first():
        raise AlreadyExists("agreement", agreement.id)
    tx.conn.execute(
        agreements.insert().values(
            id=agreement.id,
            source_no=number,
            parties=json.dumps(agreement.parties),
            purposes=json.dumps(agreement.purposes),
            prohibitions=json.dumps(agreement.prohibitions),
            basis=agreement.basis,
            valid_from=agreement.valid_from.isoformat(),
            valid_until=agreement.valid_until.isoformat() if agreement.valid_until else None,
            document_sha256=agreement.document_sha256,
            terms=json.dumps(asdict(agreement.terms), ensure_ascii=False),
        )
    )
    move(tx, agreement.id, AgreementStatus.DRAFT, person=person, note="drafted")


def move(tx: Tx, agreement_id: AgreementId, status: AgreementStatus, *, person: PersonId, note: str) -> None:
    """Record that an agreement reached `status`; earlier states stay on record.

    Raises:
        NotFound: there is no such agreement.
    """
    if tx.conn.execute(sa.select(agreements.c.id).where(agreements.c.id == agreement_id)).first() is None:
        raise NotFound("agreement", agreement_id)
    tx.conn.execute(
        agreement_events.insert().values(
            agreement_id=agreement_id, status=str(status), person_id=person, note=note, at=tx.at
        )
    )
    facts.record(tx, "AgreementMoved", agreement=agreement_id, status=str(status), by=person, note=note)


def agreement(conn: Connection, agreement_id: AgreementId) -> Agreement:
    """The agreement of that id, in its present state.

    Raises:
        NotFound: there is none.
    """
    found = _agreements(conn, agreements.c.id == agreement_id)
    if not found:
        raise NotFound("agreement", agreement_id)
    return found[0]


def all_agreements(conn: Connection, *, until: datetime | None = None) -> list[Agreement]:
    """Every agreement, by id; with `until`, as they stood at that moment."""
    return _agreements(conn, sa.true(), until)


def of_source(conn: Connection, source_id: SourceId) -> list[Agreement]:
    """The agreements about one source, by id."""
    return _agreements(conn, sources.c.id == source_id)


def life(conn: Connection, agreement_id: AgreementId) -> list[Step]:
    """Every step of an agreement, oldest first."""
    events = agreement_events
    rows = conn.execute(sa.select(events).where(events.c.agreement_id == agreement_id).order_by(events.c.no))
    return [Step(AgreementStatus(r.status), PersonId(r.person_id), r.note, r.at) for r in rows]


def _agreements(conn: Connection, where: sa.ColumnElement[bool], until: datetime | None = None) -> list[Agreement]:
    last = sa.select(sa.func.max(agreement_events.c.no)).group_by(agreement_events.c.agreement_id)
    if until is not None:
        last = last.where(agreement_events.c.at <= stamp(until))
    rows = conn.execute(
        sa.select(agreements, sources.c.id.label("source_id"), agreement_events.c.status)
        .join(sources, sources.c.no == agreements.c.source_no)
        .join(agreement_events, agreement_events.c.agreement_id == agreements.c.id)
        .where(agreement_events.c.no.in_(last), where)
        .order_by(agreements.c.id)
    )
    return [
        Agreement(
            id=row.id,
            source=row.source_id,
            parties=texts(row.parties),
            purposes=texts(row.purposes),
            prohibitions=texts(row.prohibitions),
            basis=row.basis,
            valid_from=date.fromisoformat(row.valid_from),
            valid_until=date.fromisoformat(row.valid_until) if row.valid_until else None,
            document_sha256=row.document_sha256,
            status=AgreementStatus(row.status),
            terms=_terms(row.terms),
        )
        for row in rows
    ]


def _terms(text: str) -> Terms:
    said: dict[str, Any] = json.loads(text)
    if not said:  # drafted before terms were kept
        return Terms()
    return Terms(
        onward_sharing=OnwardSharing(said["onward_sharing"]),
        recipients=tuple(said["recipients"]),
        geography=tuple(said["geography"]),
        deletion_on_termination=said["deletion_on_termination"],
        consideration=said["consideration"],
        recipient_category=said["recipient_category"],
        channel=said["channel"],
        parties=tuple(Party(**party) for party in said["parties"]),
    )
