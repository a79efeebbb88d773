"""Approving a plan: two signatures over its digest, by people whom nothing stands against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from unsee.attest.approvals import approval_fits
from unsee.attest.keys import PublicKey
from unsee.books import orders, parties
from unsee.books.orders import PlanRow
from unsee.core.approval import NEEDED, objection
from unsee.core.errors import ApprovalRefused, Tampered
from unsee.core.ids import PersonId, SourceId
from unsee.core.parties import Interest


@dataclass(frozen=True, slots=True)
class Sides:
    """The source and the organisations on both sides of a hand-over, and every declared interest: what conflicts are judged by."""

    source: SourceId
    parties: tuple[str, ...]
    interests: tuple[Interest, ...]


def sides(conn: Connection, plan: PlanRow, operator: str) -> Sides:
    """Who gave and who took what the plan's order is about: the issuer, the parties of its agreements, the operator."""
    source = parties.source(conn, orders.order(conn, plan.order).source)
    named = [p for a in parties.all_agreements(conn) if a.source == source.id for p in a.parties]
    return Sides(source.id, tuple(dict.fromkeys([source.issuer, operator, *named])), tuple(parties.all_interests(conn)))


def require_no_objection(conn: Connection, plan: PlanRow, person: PersonId, operator: str) -> None:
    """Pass where nothing stands against `person` approving `plan`.

    Raises:
        ApprovalRefused: something does; the reason is the message.
    """
    standing = sides(conn, plan, operator)
    reason = objection(
        person,
        author=plan.author,
        parties=standing.parties,
        interests=standing.interests,
        already=[a.person for a in orders.approvals_of(conn, plan.id)],
        source=standing.source,
    )
    if reason:
        raise ApprovalRefused(f"{reason}.", next_step=f"Ask an independent person; {NEEDED} are needed.")


def require_approved(conn: Connection, plan: PlanRow, operator: str) -> Sequence[PersonId]:
    """The people whose approvals of `plan` hold today: signatures fit, and still nothing stands against them.

    Raises:
        ApprovalRefused: fewer than two hold.
        Tampered: a signature does not fit the plan's digest.
    """
    standing = sides(conn, plan, operator)
    holding: list[PersonId] = []
    for approval in orders.approvals_of(conn, plan.id):
        person = parties.person(conn, approval.person)
        if not approval_fits(PublicKey.from_hex(person.public_key), plan.digest, person.id, approval.signature):
            raise Tampered(f"The approval of {plan.id} by {person.id} does not fit the plan's digest.")
        reason = objection(
            person.id,
            author=plan.author,
            parties=standing.parties,
            interests=standing.interests,
            already=holding,
            source=standing.source,
        )
        if reason is None:
            holding.append(person.id)
    if len(holding) < NEEDED:
        raise ApprovalRefused(
            f"Plan {plan.id} has {len(holding)} of {NEEDED} approvals.",
            next_step=f'Two people who did not make it sign it with "unsee approve {plan.id} --as PERSON".',
        )
    return holding
