"""Approving a plan: two signatures over its digest, by people whom nothing stands against."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from unsee.attest.approvals import approval_fits
from unsee.attest.keys import PublicKey
from unsee.books import interests, orders, parties
from unsee.books.interests import Sides
from unsee.books.orders import PlanRow
from unsee.core.approval import NEEDED, objection
from unsee.core.errors import ApprovalRefused, Tampered
from unsee.core.ids import PersonId


def sides(conn: Connection, plan: PlanRow, operator: str) -> Sides:
    """Who gave and who took what the plan's order is about, and every stake that was declared."""
    return interests.sides(conn, orders.order(conn, plan.order).source, operator)


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
        holdings=standing.holdings,
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
            holdings=standing.holdings,
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
