"""Orders, plans, approvals, and the suppression list."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace

import pytest
from book_writing import DANA, NOW, PANEL, undone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from unsee.books import facts, orders
from unsee.books.orders import PlanRow
from unsee.core.approval import Approval
from unsee.core.errors import NotFound
from unsee.core.ids import ItemSet, OrderId, PersonId, PlanId
from unsee.core.orders import Order, OrderState

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
AT = "2026-05-01T12:00:00Z"
FIRST, SECOND = OrderId("order-0001"), OrderId("order-0002")


def an_order(name=FIRST):
    return Order(name, PANEL, "ftc-everalbum", "FTC", "order.pdf", "a" * 64, NOW.date(), DANA)


@pytest.fixture
def tx(books):
    with undone(books) as tx:
        yield tx


def kinds(tx):
    return [f.kind for f in facts.undrained(tx.conn)][2:]  # without those of the template


@SHARED
@given(st.sets(st.integers(0, 2**32 - 1) | st.integers(0, 300)).map(ItemSet))
def test_r5_an_order_blocks_its_scope_from_the_moment_it_is_written(books, scope):
    with undone(books) as tx:
        orders.open_order(tx, an_order(), scope)
        assert orders.order(tx.conn, FIRST) == an_order()
        assert orders.scope_of(tx.conn, FIRST) == scope
        assert orders.blocked(tx.conn) == {FIRST: scope}
        assert orders.erased(tx.conn) == ItemSet()
        opened = json.loads(facts.recent(tx.conn, 1)[0].body)
        assert (opened["fact"], opened["items"], opened["instrument"]) == (
            "OrderOpened",
            len(scope),
            an_order().as_json(),
        )


def test_an_order_moves_on_and_never_forgets(tx):
    assert orders.next_order_number(tx.conn) == 1
    orders.open_order(tx, an_order(), ItemSet([1, 2]))
    orders.open_order(tx, an_order(SECOND), ItemSet([3]))
    assert orders.next_order_number(tx.conn) == 3
    for state in (OrderState.APPLIED, OrderState.VERIFIED, OrderState.CERTIFIED):
        orders.move_order(tx, FIRST, state, {"step": str(state)})
        assert orders.order(tx.conn, FIRST) == replace(an_order(), state=state)
        assert orders.erased(tx.conn) == ItemSet([1, 2])
    assert [o.state for o in orders.all_orders(tx.conn)] == [OrderState.CERTIFIED, OrderState.OPEN]
    assert orders.last_event(tx.conn, FIRST, OrderState.VERIFIED) == (AT, {"step": "verified"})
    assert orders.last_event(tx.conn, SECOND, OrderState.VERIFIED) is None
    assert orders.blocked(tx.conn) == {FIRST: ItemSet([1, 2]), SECOND: ItemSet([3])}
    assert kinds(tx) == ["OrderOpened", "OrderOpened", "OrderApplied", "OrderVerified", "OrderCertified"]


def test_the_last_word_about_a_state_counts(tx):
    orders.open_order(tx, an_order(), ItemSet([1]))
    for n in (1, 2):
        orders.move_order(tx, FIRST, OrderState.VERIFIED, {"try": n})
    assert orders.last_event(tx.conn, FIRST, OrderState.VERIFIED) == (AT, {"try": 2})


def test_a_note_stays_with_an_order_and_moves_nothing(tx):
    orders.open_order(tx, an_order(), ItemSet([1]))
    orders.note_event(tx, FIRST, OrderState.OPEN, {"opening_note": "signed"})
    assert orders.last_event(tx.conn, FIRST, OrderState.OPEN) == (AT, {"opening_note": "signed"})
    assert orders.order(tx.conn, FIRST) == an_order()
    assert kinds(tx) == ["OrderOpened"]


def test_plans_and_approvals_come_back_in_order(tx):
    orders.open_order(tx, an_order(), ItemSet([1]))
    made = [PlanRow(PlanId(f"plan-{n}"), FIRST, f"{n}" * 64, DANA, AT) for n in (1, 2)]
    for plan in made:
        orders.add_plan(tx, plan)
    assert orders.plan(tx.conn, PlanId("plan-2")) == made[1]
    assert orders.plans_of(tx.conn, FIRST) == made
    signed = [Approval(PersonId(name), name[0] * 128, AT) for name in ("cleo", "ada")]
    for approval in signed:
        orders.add_approval(tx, PlanId("plan-1"), "1" * 64, approval)
    assert orders.approvals_of(tx.conn, PlanId("plan-1")) == signed
    assert orders.approvals_of(tx.conn, PlanId("plan-2")) == []
    assert kinds(tx) == ["OrderOpened", "PlanMade", "PlanMade", "PlanApproved", "PlanApproved"]
    with pytest.raises(IntegrityError), tx.conn.begin_nested():  # the database itself lets nobody sign twice
        orders.add_approval(tx, PlanId("plan-1"), "1" * 64, signed[0])


@pytest.mark.parametrize(("look", "what"), [(orders.order, "order"), (orders.scope_of, "order"), (orders.plan, "plan")])
def test_what_is_not_there_is_an_error(tx, look, what):
    with pytest.raises(NotFound, match=f"There is no {what} 'x'"):
        look(tx.conn, "x")


def sealed(count):
    return [(secrets.token_bytes(32), secrets.token_bytes(32), secrets.token_bytes(61)) for _ in range(count)]


def test_r38_the_suppression_list_of_an_order_is_written_once(tx):
    first, second = sealed(3), sealed(2)
    assert orders.add_suppression(tx, FIRST, iter(first)) == 3
    assert orders.add_suppression(tx, FIRST, iter(sealed(3))) == 3
    assert orders.add_suppression(tx, SECOND, second) == 2
    assert orders.suppression_entries(tx.conn, FIRST) == first
    assert orders.suppression_entries(tx.conn, SECOND) == second
    assert orders.suppression_entries(tx.conn) == first + second
    assert kinds(tx) == ["SuppressionExtended", "SuppressionExtended"]
