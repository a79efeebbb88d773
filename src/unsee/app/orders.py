"""Orders from receipt to the end of the erasure: open, plan, approve, apply, verify."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from unsee import __version__
from unsee.app.registry import keep_document
from unsee.app.workspace import Workspace
from unsee.attest.approvals import sign_approval
from unsee.attest.keys import SigningKey
from unsee.books import facts, items, orders, parties
from unsee.books.database import Tx, stamp
from unsee.books.orders import PlanRow
from unsee.core.approval import Approval
from unsee.core.errors import ApprovalRefused, NotFound, ResidueFound, Tampered, WorkspaceBusy, WrongState
from unsee.core.ids import ItemSet, OrderId, PersonId, PlanId, SourceId
from unsee.core.orders import Order, OrderKind, OrderState, profile
from unsee.erase import scope as scopes
from unsee.erase.approving import require_approved, require_no_objection, sides
from unsee.erase.discovery import discover
from unsee.erase.executor import Applied, Executor
from unsee.erase.journal import Boundary, Journal
from unsee.erase.plandir import PlanDirectory, open_plan
from unsee.erase.planning import Planner
from unsee.erase.verifier import Verification, Verifier, read_needles


@dataclass(frozen=True, slots=True)
class Opened:
    """An order that was just received, and what it blocks."""

    order: Order
    items: int
    people: int
    deadlines: Mapping[str, date]


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan that was made."""

    row: PlanRow
    directory: PlanDirectory


def open_order(
    ws: Workspace,
    *,
    source: str,
    profile_name: str,
    instrument: Path,
    authority: str,
    effective: date | None,
    person: PersonId,
) -> Opened:
    """Receive an order on a source. Its scope is blocked from any use when this returns (R5).

    Raises:
        NotFound: no such source, profile or person.
        InputError: the instrument cannot be read.
        WrongState: the source is under an order that is not certified yet, or holds nothing.
    """
    law = profile(profile_name)
    digest = keep_document(ws, instrument)
    with ws.act() as tx:
        source_id = parties.source(tx.conn, SourceId(source)).id
        scope = scopes.items_of_source(tx.conn, source_id) - orders.erased(tx.conn)
        if not scope:
            raise WrongState(f"Source {source} holds no items; there is nothing to erase.")
        order = Order(
            _next_name(tx.conn),
            source_id,
            law.id,
            authority or law.citation,
            instrument.name,
            digest,
            effective or tx.now.date(),
            person,
        )
        opened = receive(tx, order, scope)
    opening_note(ws, order.id)
    return opened


def open_retention_order(
    tx: Tx, source: SourceId, due: ItemSet, *, why: Mapping[str, Any], document: tuple[str, str], person: PersonId
) -> Opened:
    """Open an order of kind `retention` on exactly these items of a source, and what was derived from them (R31).

    Args:
        why: what the order says of how the items were chosen, besides their number: JSON without floats, nothing personal.
        document: name and SHA-256 of the instrument that was kept.
    The caller calls `opening_note` once the transaction is over.

    Raises:
        WrongState: the source is under an order that is not certified yet, or none of the items is left.
    """
    law = profile("retention")
    scope = scopes.with_derived(tx.conn, due) - orders.erased(tx.conn)
    if not scope:
        raise WrongState(f"Nothing of source {source} is past its time that is not erased.")
    order = Order(
        _next_name(tx.conn),
        source,
        law.id,
        law.citation,
        *document,
        tx.now.date(),
        person,
        kind=OrderKind.RETENTION,
        selector={"items": len(scope), **why},
    )
    return receive(tx, order, scope)


def receive(tx: Tx, order: Order, scope: ItemSet) -> Opened:
    """Write an order down; its scope is blocked from any use from this transaction on (R5).

    Raises:
        NotFound: no such person.
        WrongState: the source is under an order that is not certified yet.
    """
    parties.person(tx.conn, order.opened_by)
    other = under_way(tx.conn).get(order.source)
    if other is not None:
        raise WrongState(
            f"Source {order.source} is under {other} already.", next_step=f'See "unsee order show {other}".'
        )
    orders.open_order(tx, order, scope)
    photos = scope - parties.documents(tx.conn)
    return Opened(
        order, len(photos), len(items.people_in(tx.conn, scope)), profile(order.profile).deadlines(order.effective)
    )


def under_way(conn: Connection) -> dict[SourceId, OrderId]:
    """The sources that are under an order that is not certified yet, and that order."""
    return {o.source: o.id for o in orders.all_orders(conn) if o.state is not OrderState.CERTIFIED}


def _next_name(conn: Connection) -> OrderId:
    return scopes.order_name(orders.next_order_number(conn))


def all_orders(ws: Workspace) -> list[Order]:
    """Every order, oldest first."""
    with ws.books.read() as conn:
        return orders.all_orders(conn)


def plans_of(ws: Workspace, name: str) -> tuple[Order, list[tuple[PlanRow, list[Approval]]]]:
    """One order, and its plans with their approvals, oldest first.

    Raises:
        NotFound: there is no such order.
    """
    with ws.books.read() as conn:
        order = orders.order(conn, OrderId(name))
        return order, [(plan, orders.approvals_of(conn, plan.id)) for plan in orders.plans_of(conn, order.id)]


def opening_note(ws: Workspace, order: OrderId) -> str:
    """The signed checkpoint under which the order's opening entered the log; kept with the order, taken now where it is not."""
    with ws.books.read() as conn:
        found = orders.last_event(conn, order, OrderState.OPEN)
    if found is not None and "opening_note" in found[1]:
        return str(found[1]["opening_note"])
    note = ws.log.note()
    with ws.act() as tx:
        orders.note_event(tx, order, OrderState.OPEN, {"opening_note": note})
    return note


def make_plan(ws: Workspace, order_name: str, *, person: PersonId, workers: int) -> Planned:
    """Walk the stores and write down what will go and why. Changes nothing but the plans directory.

    Raises:
        NotFound: no such order or person.
        WrongState: the order was carried out already.
        StoreUnreachable: a store is not there; a plan that leaves out a store would be wrong.
        WorkspaceBusy: another process is planning.
    """
    with _only_one(ws.plans, "planning"):
        return _make_plan(ws, OrderId(order_name), person, workers)


def _make_plan(ws: Workspace, order_id: OrderId, person: PersonId, workers: int) -> Planned:
    stores = ws.stores()
    with ws.books.read() as conn:
        parties.person(conn, person)
        order = orders.order(conn, order_id)
        if order.state is not OrderState.OPEN:
            raise WrongState(f"{order.id} was carried out already; it is {order.state}.")
        scope = orders.scope_of(conn, order.id)
        retained = scopes.untouched(conn, scope, orders.erased(conn))
        found = discover(conn, stores, scope, retained, workers=workers)
        number = len(orders.plans_of(conn, order.id)) + 1
        now = ws.now()
        row = PlanRow(PlanId(f"plan-{order.id.removeprefix('order-')}-{number}"), order.id, "", person, stamp(now))
        planner = Planner(conn, order, stores, sides(conn, row, ws.organisation), found, ws.models_store(), __version__)
        # A killed run may have left a directory that no book knows: it is no plan.
        shutil.rmtree(ws.plans / row.id, ignore_errors=True)
        directory = planner.write(ws.plans / row.id, author=person, at=row.at)
    row = PlanRow(row.id, row.order, directory.digest, row.author, row.at)
    with ws.act() as tx:
        orders.add_plan(tx, row)
    return Planned(row, directory)


def find_plan(ws: Workspace, name: str) -> Planned:
    """The plan of that name; for the name of an order, the plan that carried it out, and before that its newest one.

    Raises:
        NotFound: there is none.
        Tampered: it was changed after it was made.
    """
    with ws.books.read() as conn:
        if name.startswith("order-"):
            order = orders.order(conn, OrderId(name))
            applied = orders.last_event(conn, order.id, OrderState.APPLIED)
            made = orders.plans_of(conn, order.id)
            if not made:
                raise NotFound("plan", name, next_step=f'Make one with "unsee plan {name}".')
            row = made[-1] if applied is None else orders.plan(conn, PlanId(applied[1]["plan"]))
        else:
            row = orders.plan(conn, PlanId(name))
    return Planned(row, open_plan(ws.plans / row.id, digest=row.digest))


def approve(ws: Workspace, name: str, *, person: PersonId, key_file: Path | None) -> tuple[PlanRow, int]:
    """Sign a plan's digest; how many approvals it has now.

    Raises:
        ApprovalRefused: the person made the plan, is interested in a party, or has signed already.
        Tampered: the plan was changed, or the key is not the person's.
    """
    planned = find_plan(ws, name)
    key = SigningKey.load(key_file or ws.person_key_path(person))
    with ws.books.read() as conn:
        if key.public.hex != parties.person(conn, person).public_key:
            raise Tampered(
                f"The key is not the one that {person} is known by.", next_step="Name the right file with --key."
            )
        refusal = _refusal(conn, planned.row, person, ws.organisation)
    if refusal is not None:
        with ws.act() as tx:
            facts.record(tx, "ApprovalRefused", plan=planned.row.id, by=person, reason=refusal.message)
        raise refusal
    with ws.act() as tx:
        require_no_objection(tx.conn, planned.row, person, ws.organisation)
        approval = Approval(person, sign_approval(key, planned.row.digest, person), tx.at)
        orders.add_approval(tx, planned.row.id, planned.row.digest, approval)
        count = len(orders.approvals_of(tx.conn, planned.row.id))
    return planned.row, count


def apply(
    ws: Workspace,
    name: str,
    *,
    workers: int,
    on_progress: Callable[[str, int, int], None],
    at_boundary: Boundary | None = None,
) -> Applied:
    """Carry out an approved plan, or go on where a killed run stopped.

    Raises:
        ApprovalRefused: two approvals do not hold.
        StalePlan: the world moved; nothing was erased.
        UnitsFailed: some targets were left, each with its reason.
        WrongState: the order was carried out already, by this plan or another.
        WorkspaceBusy: another process is applying this plan.
    """
    planned = find_plan(ws, name)
    with ws.books.read() as conn:
        require_approved(conn, planned.row, ws.organisation)
        order = orders.order(conn, planned.row.order)
        before = orders.last_event(conn, order.id, OrderState.APPLIED)
    if order.state in {OrderState.VERIFIED, OrderState.CERTIFIED}:
        raise WrongState(f"{order.id} is {order.state}; there is nothing left to apply.")
    if before is not None and before[1]["plan"] != planned.row.id:
        raise WrongState(f"{order.id} was carried out by {before[1]['plan']} already.")
    with _only_one(planned.directory.path, f"applying {planned.row.id}"):
        with ws.act() as tx:
            if not facts.find(tx.conn, ["ApplyStarted"], plan=planned.row.id):
                facts.record(tx, "ApplyStarted", plan=planned.row.id, order=order.id)
        journal = Journal(planned.directory.journal_path, **({"at_boundary": at_boundary} if at_boundary else {}))
        try:
            return Executor(
                books=ws.books,
                order=order.id,
                plan=planned.directory,
                stores={str(k): v for k, v in ws.stores().items()},
                models_store=ws.models_store(),
                suppression_key=ws.suppression_key,
                journal=journal,
                workers=workers,
                on_progress=on_progress,
            ).run()
        finally:
            journal.close()
            ws.drain()


def verify(ws: Workspace, order_name: str, *, workers: int) -> Verification:
    """Look at everything again with fresh eyes, and record what was seen.

    Raises:
        WrongState: the order was not applied yet.
        ResidueFound: something of the scope is left, or something retained is not as it was; `details` lists it.
    """
    planned = find_plan(ws, order_name)
    with ws.books.read() as conn:
        order = orders.order(conn, planned.row.order)
    if order.state is OrderState.OPEN:
        raise WrongState(f"{order.id} was not carried out yet.", next_step=f'Run "unsee apply {planned.row.id}" first.')
    if order.state is OrderState.CERTIFIED:
        raise WrongState(
            f"{order.id} is certified; what its verification needs was destroyed with the file names.",
            next_step='The suppression list still guards every intake; "unsee order show" tells what was seen.',
        )
    seen = Verifier(
        books=ws.books,
        order=order.id,
        plan=planned.directory,
        retained=planned.directory.retained(),
        stores=ws.stores(),
        models_store=ws.models_store(),
        suppression_key=ws.suppression_key,
        needles=read_needles(planned.directory.needles_path),
        unsound=planned.directory.unsound(),
        workers=workers,
    ).run()
    with ws.act() as tx:
        if seen.passed:
            orders.move_order(
                tx, order.id, OrderState.VERIFIED, {"plan": planned.row.id, "verification": seen.as_json()}
            )
        else:
            facts.record(tx, "VerificationFailed", order=order.id, residue=len(seen.residue), damage=len(seen.damage))
    if not seen.passed:
        raise ResidueFound(
            f"{order.id} is not verified: {len(seen.residue)} residues, {len(seen.damage)} damages"
            + ("" if seen.retained_root == seen.expected_root else ", and the retained set is not what it was")
            + ("" if seen.canaries_found else ", and a raw search missed its canary")
            + ".",
            next_step='Remove what is left, or restore what was damaged, and run "unsee verify" again.',
            details=[*seen.residue, *seen.damage],
        )
    return seen


def _refusal(conn: Connection, plan: PlanRow, person: PersonId, organisation: str) -> ApprovalRefused | None:
    try:
        require_no_objection(conn, plan, person, organisation)
    except ApprovalRefused as refusal:
        return refusal
    return None


@contextmanager
def _only_one(directory: Path, doing: str) -> Iterator[None]:
    """Hold the directory's lock; the kernel gives it back when the process ends, however it ends."""
    with (directory / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WorkspaceBusy(f"Another process is {doing}.", next_step="Wait for it to end.") from None
        yield
