"""Orders, their plans and approvals, and what they block."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books import facts
from unsee.books.database import Tx, stamp
from unsee.books.schema import approvals, order_events, orders, plans, suppression
from unsee.books.sets import pack, unpack
from unsee.core.approval import Approval
from unsee.core.errors import NotFound
from unsee.core.ids import ItemSet, OrderId, PersonId, PlanId
from unsee.core.orders import Order, OrderKind, OrderState


@dataclass(frozen=True, slots=True)
class PlanRow:
    """A plan as the books know it; its directory holds the rest."""

    id: PlanId
    order: OrderId
    digest: str
    author: PersonId
    at: str


def open_order(tx: Tx, order: Order, scope: ItemSet) -> None:
    """Record an order. From this transaction on, `scope` is blocked from any use (R5)."""
    tx.conn.execute(
        orders.insert().values(
            id=order.id,
            source_id=order.source,
            profile=order.profile,
            authority=order.authority,
            instrument_name=order.instrument_name,
            instrument_sha256=order.instrument_sha256,
            effective=order.effective.isoformat(),
            opened_by=order.opened_by,
            at=tx.at,
            scope=scope.serialize(),
            kind=str(order.kind),
            selector=json.dumps(dict(order.selector)),
        )
    )
    facts.record(tx, "OrderOpened", order=order.id, instrument=order.as_json(), items=len(scope), by=order.opened_by)
    move_order(tx, order.id, OrderState.OPEN, {"items": len(scope)})


def move_order(tx: Tx, order_id: OrderId, state: OrderState, body: Mapping[str, Any]) -> None:
    """Record that an order reached `state`."""
    note_event(tx, order_id, state, body)
    if state is not OrderState.OPEN:
        facts.record(tx, f"Order{str(state).capitalize()}", order=order_id, **body)


def note_event(tx: Tx, order_id: OrderId, state: OrderState, body: Mapping[str, Any]) -> None:
    """Keep something with an order in the state it has; no fact for the log."""
    tx.conn.execute(
        order_events.insert().values(order_id=order_id, state=str(state), body=json.dumps(dict(body)), at=tx.at)
    )


def note_applied(tx: Tx, order_id: OrderId, body: Mapping[str, Any], gone: Mapping[str, ItemSet]) -> None:
    """Record that an order was applied, and which items reached which step of the ladder, `D0` … `D5` (R6).

    An item's step is the weakest of its copies'. The sets stay with the order and do not go into the log.
    """
    move_order(tx, order_id, OrderState.APPLIED, body)
    sets = {step: base64.b64encode(pack(items)).decode() for step, items in gone.items()}
    note_event(tx, order_id, OrderState.APPLIED, {**body, "gone": sets})


def gone_of(conn: Connection, order_id: OrderId) -> dict[str, ItemSet]:
    """The items of an order by the step that they reached; empty before it was applied."""
    applied = last_event(conn, order_id, OrderState.APPLIED)
    sets = applied[1].get("gone", {}) if applied is not None else {}
    return {step: unpack(base64.b64decode(packed)) for step, packed in sets.items()}


def next_order_number(conn: Connection) -> int:
    """1 for the first order."""
    return int(conn.execute(sa.select(sa.func.count()).select_from(orders)).scalar_one()) + 1


def order(conn: Connection, order_id: OrderId) -> Order:
    """The order of that id, in its present state.

    Raises:
        NotFound: there is none.
    """
    row = conn.execute(sa.select(orders).where(orders.c.id == order_id)).first()
    if row is None:
        raise NotFound("order", order_id)
    return _order(conn, row)


def all_orders(conn: Connection) -> list[Order]:
    """Every order, oldest first."""
    return [_order(conn, row) for row in conn.execute(sa.select(orders).order_by(orders.c.at, orders.c.id)).all()]


def scope_of(conn: Connection, order_id: OrderId) -> ItemSet:
    """The items that an order reaches.

    Raises:
        NotFound: there is no such order.
    """
    blob = conn.execute(sa.select(orders.c.scope).where(orders.c.id == order_id)).scalar()
    if blob is None:
        raise NotFound("order", order_id)
    return ItemSet.deserialize(bytes(blob))


def last_event(conn: Connection, order_id: OrderId, state: OrderState) -> tuple[str, dict[str, Any]] | None:
    """When an order last reached `state`, and what was written then."""
    row = conn.execute(
        sa.select(order_events)
        .where(order_events.c.order_id == order_id, order_events.c.state == str(state))
        .order_by(order_events.c.no.desc())
        .limit(1)
    ).first()
    return None if row is None else (row.at, json.loads(row.body))


def blocked(conn: Connection, *, until: datetime | None = None) -> dict[OrderId, ItemSet]:
    """The scope of every order, or of those opened `until` then: blocked from the moment it is received, for ever (R5)."""
    query = sa.select(orders.c.id, orders.c.scope)
    if until is not None:
        query = query.where(orders.c.at <= stamp(until))
    return {r.id: ItemSet.deserialize(bytes(r.scope)) for r in conn.execute(query)}


def erased(conn: Connection, *, until: datetime | None = None) -> ItemSet:
    """Items of orders that were applied, or applied `until` then: their content is gone."""
    applied = sa.select(order_events.c.order_id).where(order_events.c.state == str(OrderState.APPLIED))
    if until is not None:
        applied = applied.where(order_events.c.at <= stamp(until))
    rows = conn.execute(sa.select(orders.c.scope).where(orders.c.id.in_(applied)))
    return ItemSet.union(ItemSet(), *(ItemSet.deserialize(bytes(r.scope)) for r in rows))


def add_plan(tx: Tx, plan: PlanRow) -> None:
    """Record a plan's digest and author."""
    tx.conn.execute(
        plans.insert().values(id=plan.id, order_id=plan.order, digest=plan.digest, author=plan.author, at=plan.at)
    )
    facts.record(tx, "PlanMade", plan=plan.id, order=plan.order, digest=plan.digest, by=plan.author)


def plan(conn: Connection, plan_id: PlanId) -> PlanRow:
    """The plan of that id.

    Raises:
        NotFound: there is none.
    """
    row = conn.execute(sa.select(plans).where(plans.c.id == plan_id)).first()
    if row is None:
        raise NotFound("plan", plan_id)
    return PlanRow(row.id, row.order_id, row.digest, row.author, row.at)


def plans_of(conn: Connection, order_id: OrderId) -> list[PlanRow]:
    """Every plan made for an order, oldest first."""
    oldest_first = (plans.c.at, sa.func.length(plans.c.id), plans.c.id)  # the tenth comes after the second
    rows = conn.execute(sa.select(plans).where(plans.c.order_id == order_id).order_by(*oldest_first))
    return [PlanRow(r.id, r.order_id, r.digest, r.author, r.at) for r in rows]


def add_approval(tx: Tx, plan_id: PlanId, digest: str, approval: Approval) -> None:
    """Record a signature over a plan's digest."""
    tx.conn.execute(
        approvals.insert().values(
            plan_id=plan_id, person_id=approval.person, signature=approval.signature, at=approval.at
        )
    )
    facts.record(tx, "PlanApproved", plan=plan_id, digest=digest, by=approval.person, signature=approval.signature)


def approvals_of(conn: Connection, plan_id: PlanId) -> list[Approval]:
    """The approvals of a plan, in order."""
    rows = conn.execute(sa.select(approvals).where(approvals.c.plan_id == plan_id).order_by(approvals.c.no))
    return [Approval(r.person_id, r.signature, r.at) for r in rows]


def add_suppression(tx: Tx, order_id: OrderId, sealed: Iterable[tuple[bytes, bytes, bytes]]) -> int:
    """Write sealed digests (sha_mac, pixel_mac, pdq_sealed) of an order; an order that has its entries is left as it is.

    Returns the number of entries that the order has now.
    """
    present = tx.conn.execute(
        sa.select(sa.func.count()).select_from(suppression).where(suppression.c.order_id == order_id)
    ).scalar_one()
    if present:
        return int(present)
    rows = [{"order_id": order_id, "sha_mac": s, "pixel_mac": p, "pdq_sealed": q} for s, p, q in sealed]
    if rows:
        tx.conn.execute(suppression.insert(), rows)
    facts.record(tx, "SuppressionExtended", order=order_id, entries=len(rows))
    return len(rows)


def suppression_entries(conn: Connection, order_id: OrderId | None = None) -> list[tuple[bytes, bytes, bytes]]:
    """Sealed digests of one order, or of all."""
    query = sa.select(suppression.c.sha_mac, suppression.c.pixel_mac, suppression.c.pdq_sealed).order_by(
        suppression.c.no
    )
    if order_id is not None:
        query = query.where(suppression.c.order_id == order_id)
    return [(bytes(r.sha_mac), bytes(r.pixel_mac), bytes(r.pdq_sealed)) for r in conn.execute(query)]


def _order(conn: Connection, row: sa.Row[Any]) -> Order:
    state = conn.execute(
        sa.select(order_events.c.state)
        .where(order_events.c.order_id == row.id)
        .order_by(order_events.c.no.desc())
        .limit(1)
    ).scalar_one()
    return Order(
        id=row.id,
        source=row.source_id,
        profile=row.profile,
        authority=row.authority,
        instrument_name=row.instrument_name,
        instrument_sha256=row.instrument_sha256,
        effective=date.fromisoformat(row.effective),
        opened_by=row.opened_by,
        state=OrderState(state),
        kind=OrderKind(row.kind),
        selector=json.loads(row.selector),
    )
