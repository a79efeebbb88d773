"""What is known of those who give: assessments of their consent evidence, snapshots of their privacy policies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from unsee.app.registry import keep_document
from unsee.app.workspace import Workspace
from unsee.books import agreements, parties
from unsee.books import assessments as assessed
from unsee.books import privacy_policies as snapshots
from unsee.core import assessments as supplier
from unsee.core import privacy
from unsee.core.canonical import fields
from unsee.core.errors import InvalidValue
from unsee.core.ids import PersonId, SourceId
from unsee.core.parties import Agreement, AgreementStatus, Assessment, AssessmentResult, PrivacyPolicy, Source
from unsee.core.purposes import known


def record_assessment(
    ws: Workspace,
    source: str,
    *,
    on: date,
    evidence: Path,
    result: str,
    next_due: date | None,
    note: str,
    person: PersonId,
) -> Assessment:
    """Record that the consent evidence of a source's supplier was assessed. The evidence is kept by digest.

    Args:
        next_due: default: a year after.
    Raises:
        NotFound: no such source or person.
        InvalidValue: it is dated in the future, the next one is not due within the year that follows, or `result` is none.
        InputError: the evidence cannot be read.
    """
    if result not in set(AssessmentResult):
        raise InvalidValue(
            f"{result[:80]!r} is no result of an assessment.",
            next_step="Say one of: " + ", ".join(AssessmentResult) + ".",
        )
    if on > ws.now().date():
        raise InvalidValue(f"An assessment on {on} is still to come.", next_step="Record it when it was done.")
    latest = supplier.a_year_after(on)
    due = next_due or latest
    if not on < due <= latest:
        raise InvalidValue(
            f"After an assessment on {on} the next one cannot be due on {due}.",
            next_step=f"Suppliers are assessed every year: name a day after {on}, up to {latest}.",
        )
    with ws.books.read() as conn:
        parties.source(conn, SourceId(source))
        parties.person(conn, person)
    assessment = Assessment(SourceId(source), on, keep_document(ws, evidence), AssessmentResult(result), due, note)
    with ws.act() as tx:
        assessed.record(tx, assessment, person=person)
    return assessment


@dataclass(frozen=True, slots=True)
class Duty:
    """Where one source stands with the assessment of its supplier."""

    source: SourceId
    assessments: tuple[Assessment, ...]
    next_due: date | None
    """None where the source has no supplier to assess."""
    bars_intake: str | None
    bars_use: str | None

    @property
    def last(self) -> Assessment | None:
        """The newest one."""
        return max(self.assessments, key=lambda a: a.assessed_on, default=None)

    def due(self, today: date) -> bool:
        """Whether one is due within the days that a first one has, or overdue."""
        return self.next_due is not None and (self.next_due - today).days <= supplier.FIRST_WITHIN_DAYS

    def as_json(self) -> dict[str, Any]:
        """As printed."""
        return fields(self)


def assessment_duties(ws: Workspace, *, due_only: bool = False) -> list[Duty]:
    """Where each source stands, the most urgent first; sources without a supplier that nobody assessed are left out."""
    today = ws.now().date()
    with ws.books.read() as conn:
        recorded = assessed.by_source(conn)
        duties = [duty(source, recorded.get(source.id, ()), today) for source in parties.all_sources(conn)]
    duties = [d for d in duties if d.next_due is not None or d.assessments]
    if due_only:
        duties = [d for d in duties if d.due(today)]
    return sorted(duties, key=lambda d: (d.next_due or date.max, d.source))


def duty(source: Source, recorded: Sequence[Assessment], today: date) -> Duty:
    """Where one source stands today."""
    return Duty(
        source.id,
        tuple(recorded),
        supplier.next_due(source, recorded, today),
        supplier.intake_bar(source, recorded, today),
        supplier.bar(source, recorded, today),
    )


def add_privacy_policy(
    ws: Workspace,
    source: str,
    *,
    text: Path,
    in_force: date,
    purposes: Sequence[str],
    recipient_categories: Sequence[str],
    url: str,
    person: PersonId,
) -> PrivacyPolicy:
    """Keep a snapshot of the giver's privacy policy: the text by digest, and what it allows.

    Raises:
        NotFound: no such source or person.
        UnknownPurpose: a purpose is not in the tree.
        InputError: the text cannot be read.
    """
    for purpose in purposes:
        known(purpose)
    with ws.books.read() as conn:
        parties.source(conn, SourceId(source))
        parties.person(conn, person)
    policy = PrivacyPolicy(
        SourceId(source),
        in_force,
        keep_document(ws, text),
        tuple(dict.fromkeys(purposes)),
        tuple(dict.fromkeys(recipient_categories)),
        url,
    )
    with ws.act() as tx:
        snapshots.add(tx, policy, person=person)
    return policy


def all_privacy_policies(ws: Workspace) -> list[PrivacyPolicy]:
    """Every snapshot, by source and day."""
    with ws.books.read() as conn:
        held = snapshots.by_source(conn)
    return [policy for source in sorted(held) for policy in held[source]]


@dataclass(frozen=True, slots=True)
class PolicyCheck:
    """The agreements of one source, each with what the giver's privacy policy has against it."""

    source: Source
    needed: bool
    decides: PrivacyPolicy | None
    agreements: tuple[tuple[Agreement, AgreementStatus, tuple[str, ...]], ...]

    @property
    def contradicted(self) -> bool:
        """Whether the policy has something against one of them."""
        return any(reasons for _agreement, _state, reasons in self.agreements)

    def as_json(self) -> dict[str, Any]:
        """As printed."""
        return {
            "source": self.source.id,
            "needed": self.needed,
            "decides": fields(self.decides) if self.decides else None,
            "agreements": [
                {"id": a.id, "state": str(state), "contradictions": list(reasons)}
                for a, state, reasons in self.agreements
            ],
        }


def check_privacy_policy(ws: Workspace, source: str) -> PolicyCheck:
    """Hold each agreement about a source against the giver's privacy policy as it was at collection.

    Raises:
        NotFound: there is no such source.
    """
    with ws.books.read() as conn:
        found = parties.source(conn, SourceId(source))
        held = snapshots.of_source(conn, found.id)
        agreed = agreements.of_source(conn, found.id)
    today = ws.now().date()
    return PolicyCheck(
        found,
        privacy.needed(found),
        privacy.deciding(held, found.collected_on),
        tuple((a, a.state(today), privacy.contradictions(a, found, held)) for a in agreed),
    )
