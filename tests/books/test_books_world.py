"""One photo's life as policy sees it: from a source without papers to an erased one."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from book_writing import DANA, NOW, PANEL, add, photo

from unsee.books import agreements, assessments, consents, items, orders, parties, world
from unsee.core.assessments import a_year_after
from unsee.core.consent import Consent, ConsentState
from unsee.core.ids import AgreementId, ItemSet, OrderId, SubjectNo
from unsee.core.orders import Order, OrderState
from unsee.core.parties import Agreement, AgreementStatus, Assessment, AssessmentResult
from unsee.core.policy import decide

CONTRACT = Agreement(
    AgreementId("contract"), PANEL, ("giver", "taker"), ("train",), date(2024, 1, 1), date(2026, 12, 31), "0" * 64
)


@pytest.fixture
def ask(books):
    """What policy answers today, as {permitted items, code of refusal: items}."""

    def asking(purpose="train-face-recognition", moment=NOW):
        with books.read() as conn:
            wanted = parties.items_of_source(conn, PANEL)
            answer = decide(purpose, wanted, world.as_of(conn, moment), today=moment.date())
        return {"": set(answer.permitted)} | {r.code: set(r.items) for r in answer.refusals}

    return asking


def consent(person, state=ConsentState.GIVEN, since=NOW):
    return Consent(SubjectNo(person), "train", state, "notice 1", since, since)


def test_a_photo_is_used_only_while_every_paper_stands(books, ask):
    with books.write() as tx:
        items.subject_numbers(tx, PANEL, [b"1" * 32, b"2" * 32])
        ids = add(tx, photo(0, 1), photo(1, 1), photo(2, 2), photo(3, 2, signals=items.OPTED_OUT), photo(4))
    assert ids == ItemSet(range(5))
    assert ask() == {"": set(), "no-agreement": {0, 1, 2, 3, 4}}

    with books.write() as tx:
        agreements.draft(tx, CONTRACT, person=DANA)
    assert ask() == {"": set(), "not-approved": {0, 1, 2, 3, 4}}

    with books.write() as tx:
        agreements.move(tx, CONTRACT.id, AgreementStatus.APPROVED, person=DANA, note="signed")
    assert ask() == {"": set(), "no-consent": {0, 1, 2, 3, 4}}

    with books.write() as tx:
        consents.record(tx, [consent(1), consent(2)])
    assert ask() == {"": {0, 1, 2}, "no-consent": {4}, "opted-out": {3}}
    assert ask("evaluate") == {"": set(), "purpose-not-agreed": {0, 1, 2, 3, 4}}
    assert ask(moment=NOW - timedelta(days=1))["no-consent"] == {0, 1, 2, 3, 4}
    assert ask(moment=NOW + timedelta(days=31)) == {"": set(), "not-assessed": {0, 1, 2, 3, 4}}, "R33"
    with books.write() as tx:
        today = NOW.date()
        passed = Assessment(PANEL, today, "0" * 64, AssessmentResult.PASSED, a_year_after(today))
        assessments.record(tx, passed, person=DANA)
        assert list(assessments.of_source(tx.conn, PANEL)) == [passed]
    assert ask(moment=NOW + timedelta(days=31))[""] == {0, 1, 2}
    assert ask(moment=NOW + timedelta(days=365)) == {"": set(), "not-in-force": {0, 1, 2, 3, 4}}

    with books.write() as tx:
        consents.record(tx, [consent(1, ConsentState.WITHDRAWN)])
    assert ask() == {"": {2}, "no-consent": {0, 1, 4}, "opted-out": {3}}

    order = Order(OrderId("order-0001"), PANEL, "gdpr-17", "DPA", "order.pdf", "a" * 64, NOW.date(), DANA)
    with books.write() as tx:
        orders.open_order(tx, order, ItemSet([1, 2]))
    assert ask() == {"": set(), "blocked": {1, 2}, "no-consent": {0, 4}, "opted-out": {3}}

    with books.write() as tx:
        orders.move_order(tx, order.id, OrderState.APPLIED, {})
    assert ask() == {"": set(), "erased": {1, 2}, "no-consent": {0, 4}, "opted-out": {3}}

    with books.write() as tx:
        agreements.move(tx, CONTRACT.id, AgreementStatus.TERMINATED, person=DANA, note="ended")
    assert ask() == {"": set(), "erased": {1, 2}, "not-approved": {0, 3, 4}}
