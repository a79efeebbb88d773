"""The life of agreements: drafted, reviewed, approved by somebody independent, ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from unsee.app.registry import keep_document
from unsee.app.workspace import Workspace
from unsee.books import agreements, facts, interests, parties, privacy_policies
from unsee.books.agreements import Step
from unsee.core.approval import agreement_objection
from unsee.core.canonical import fields
from unsee.core.errors import ApprovalRefused, InvalidValue, WrongState
from unsee.core.ids import AgreementId, PersonId, SourceId, slug
from unsee.core.interests import Path as Conflict
from unsee.core.parties import MOVES, Agreement, AgreementStatus, OnwardSharing, SourceKind, Terms
from unsee.core.privacy import contradictions
from unsee.core.purposes import known


def draft(
    ws: Workspace,
    name: str,
    *,
    source: str,
    document: Path,
    purposes: Sequence[str],
    prohibitions: Sequence[str],
    valid_from: date,
    valid_until: date | None,
    person: PersonId,
    terms: Terms | None = None,
) -> Agreement:
    """Draft an agreement over a source. Its document is kept by digest. Nothing is permitted until it is approved.

    Its parties are the issuer of the source, the organisation of the workspace, and whoever else `terms` names.

    Raises:
        NotFound: no such source or person.
        UnknownPurpose: a purpose is not in the tree.
        InvalidValue: it ends before it begins, or its terms on sharing contradict each other.
        InputError: the document cannot be read.
    """
    terms = terms or Terms()
    if valid_until is not None and valid_until < valid_from:
        raise InvalidValue(f"Agreement {name} would end on {valid_until}, before it begins on {valid_from}.")
    if bool(terms.recipients) != (terms.onward_sharing is OnwardSharing.LISTED):
        raise InvalidValue(
            f"Agreement {name} says {terms.onward_sharing!s} of onward sharing and lists {len(terms.recipients)} recipients.",
            next_step="Recipients are listed where onward sharing is 'listed', and only there.",
        )
    digest = keep_document(ws, document)
    with ws.act() as tx:
        parties.person(tx.conn, person)
        giver = parties.source(tx.conn, SourceId(source))
        agreement = Agreement(
            AgreementId(slug(name, what="agreement")),
            giver.id,
            tuple(dict.fromkeys([giver.issuer, ws.organisation, *(p.name for p in terms.parties)])),
            tuple(known(p) for p in purposes),
            valid_from,
            valid_until,
            digest,
            basis="no-data-subject" if giver.kind is SourceKind.SYNTHETIC else "consent",
            prohibitions=tuple(known(p) for p in prohibitions),
            terms=terms,
        )
        agreements.draft(tx, agreement, person=person)
    return agreement


def move(ws: Workspace, name: str, status: AgreementStatus, *, person: PersonId, note: str) -> Agreement:
    """Submit, approve, reject or terminate an agreement. Approving an approved one is co-signing.

    Raises:
        NotFound: no such agreement or person.
        WrongState: it cannot go there from where it is; the message says what can be done.
        ApprovalRefused: the approver drafted it, or has an interest in a party, and nobody independent has approved it
            (R35); or the giver's privacy policy contradicts it (R34). The refusal is a fact in the log.
    """
    with ws.books.read() as conn:
        refusal = _refusal(conn, ws.organisation, _movable(conn, name, status, person, ws.now().date()), status, person)
    if refusal is not None:
        with ws.act() as tx:
            facts.record(tx, "ApprovalRefused", agreement=name, by=person, reason=refusal.message)
        raise refusal
    with ws.act() as tx:
        agreement = _movable(tx.conn, name, status, person, tx.now.date())
        refusal = _refusal(tx.conn, ws.organisation, agreement, status, person)
        if refusal is not None:  # it came in between
            raise refusal
        if status is AgreementStatus.APPROVED:
            conflict = _conflict(tx.conn, agreement, person, ws.organisation)
            if conflict is not None:
                facts.record(tx, "ConflictRecorded", agreement=agreement.id, by=person, reason=conflict)
        agreements.move(tx, agreement.id, status, person=person, note=note)
    return replace(agreement, status=status)


def _movable(conn: Connection, name: str, status: AgreementStatus, person: PersonId, today: date) -> Agreement:
    """The agreement, where it can go to `status` from its state.

    Raises:
        NotFound, WrongState: see `move`.
    """
    parties.person(conn, person)
    agreement = agreements.agreement(conn, AgreementId(name))
    state = agreement.state(today)
    if status not in MOVES[state]:
        verbs = dict.fromkeys(MOVES[state].values())
        raise WrongState(
            f"Agreement {name} is {state}; it cannot become {status}.",
            next_step="What can be done: " + ", ".join(f'"unsee agreement {verb} {name}"' for verb in verbs) + "."
            if verbs
            else "That is its end; draft a new one.",
        )
    return agreement


def _refusal(
    conn: Connection, operator: str, agreement: Agreement, status: AgreementStatus, person: PersonId
) -> ApprovalRefused | None:
    """Why `person` may not take this step; None for steps that permit nothing."""
    if status is not AgreementStatus.APPROVED:
        return None
    reasons = contradictions(
        agreement, parties.source(conn, agreement.source), privacy_policies.of_source(conn, agreement.source)
    )
    if reasons:
        return ApprovalRefused(
            f"The giver's privacy policy does not allow agreement {agreement.id}: {'; '.join(reasons)}.",
            next_step=f'See "unsee privacy-policy check {agreement.source}".',
        )
    life = agreements.life(conn, agreement.id)
    against = agreement_objection(
        person,
        drafter=life[0].person,
        approved_by=[step.person for step in life if step.status is AgreementStatus.APPROVED],
        conflict_of=lambda who: _conflict(conn, agreement, who, operator),
    )
    return ApprovalRefused(f"{against}.", next_step="Ask an independent person.") if against else None


def _conflict(conn: Connection, agreement: Agreement, person: PersonId, operator: str) -> str | None:
    """What stands against a person by the interests that were declared."""
    found = interests.sides(conn, agreement.source, operator).conflicts(person)
    return str(found[0]) if found else None


@dataclass(frozen=True, slots=True)
class Report:
    """One agreement as every report shows it: its state today, its life, and every declared conflict (R35)."""

    agreement: Agreement
    state: AgreementStatus
    life: tuple[Step, ...]
    conflicts: tuple[Conflict, ...]

    @property
    def term(self) -> str:
        """From when to when."""
        return f"{self.agreement.valid_from} – {self.agreement.valid_until or ''}".rstrip()

    def as_json(self) -> dict[str, Any]:
        """As printed."""
        return {
            **fields(self.agreement),
            "state": str(self.state),
            "life": [fields(step) for step in self.life],
            "conflicts": [c.as_json() for c in self.conflicts],
        }


def report(ws: Workspace, name: str) -> Report:
    """One agreement.

    Raises:
        NotFound: there is none of that id.
    """
    with ws.books.read() as conn:
        return _report(conn, agreements.agreement(conn, AgreementId(name)), ws)


def all_reports(ws: Workspace) -> list[Report]:
    """Every agreement, by id."""
    with ws.books.read() as conn:
        return [_report(conn, agreement, ws) for agreement in agreements.all_agreements(conn)]


def _report(conn: Connection, agreement: Agreement, ws: Workspace) -> Report:
    return Report(
        agreement,
        agreement.state(ws.now().date()),
        tuple(agreements.life(conn, agreement.id)),
        interests.conflicts(conn, agreement.source, ws.organisation),
    )
