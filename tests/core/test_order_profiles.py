"""The profiles of orders: deadlines in days, as the orders and statutes set them."""

from __future__ import annotations

from calendar import monthrange
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsee.core.errors import NotFound
from unsee.core.evidence import Assurance, Gone, ModelDisposition, assurance_of
from unsee.core.ids import OrderId, PersonId, SourceId
from unsee.core.orders import PROFILES, ModelScope, Order, profile

# data, embeddings, models, third parties; None where the text sets no deadline.
DEADLINES = {
    "ftc-everalbum": (30, 90, 90, None),
    "ftc-ring": (30, 90, 90, None),
    "ftc-rite-aid": (45, 45, 45, 60),
    "ftc-ww": (30, None, 90, None),
    "ftc-edmodo": (60, None, 90, None),
    "ftc-cambridge-analytica": (10, None, 10, 10),
    "ftc-avast": (20, None, 20, 20),
    "ftc-mobilewalla": (90, None, 120, 90),
    "gdpr-17": (30, 30, 30, 30),
    "ccpa-105": (45, 45, None, 45),
    "retention": (30, 30, 90, 30),
}
DAY = date(2026, 3, 15)


def days_of(name):
    law = PROFILES[name]
    return law.data_days, law.embeddings_days, law.models_days, law.third_parties_days


def test_every_profile_is_there_and_no_other():
    assert set(PROFILES) == set(DEADLINES)
    assert all(name == law.id and law.citation for name, law in PROFILES.items())


@pytest.mark.parametrize("name", DEADLINES)
def test_deadlines_are_those_of_the_text(name):
    assert days_of(name) == DEADLINES[name]
    expected = dict(zip(("data", "embeddings", "models", "third-parties"), DEADLINES[name], strict=True))
    assert profile(name).deadlines(DAY) == {k: DAY + timedelta(days=n) for k, n in expected.items() if n is not None}


@pytest.mark.parametrize("name", ["ftc-everalbum", "ftc-ring"])
def test_r9_face_embeddings_have_a_deadline_of_their_own(name):
    law = PROFILES[name]
    assert law.embeddings_days != law.data_days


@pytest.mark.parametrize("name", DEADLINES)
def test_r10_only_the_ring_order_lets_a_model_be_infeasible(name):
    scope = ModelScope.DESTROY_UNLESS_INFEASIBLE if name == "ftc-ring" else ModelScope.DESTROY
    assert PROFILES[name].model_scope is scope


def test_r10_there_are_five_dispositions():
    assert {str(d) for d in ModelDisposition} == {
        "destroyed",
        "retrained",
        "unlearned",
        "infeasible",
        "outside-model-scope",
    }


@given(st.dates(date(2020, 1, 1), date(2090, 1, 1)))
def test_a_month_of_the_gdpr_never_runs_longer_than_the_calendar_month(day):
    due = profile("gdpr-17").deadlines(day)["data"]
    assert 28 <= (due - day).days <= 30
    if due.month != day.month and (due.year, due.month) != (day.year, day.month):
        months = (due.year - day.year) * 12 + due.month - day.month
        assert months == 1
        assert due.day <= day.day


@pytest.mark.parametrize(
    ("day", "due"),
    [
        (date(2026, 1, 31), date(2026, 2, 28)),
        (date(2028, 1, 31), date(2028, 2, 29)),
        (date(2026, 12, 5), date(2027, 1, 4)),
        (date(2026, 4, 30), date(2026, 5, 30)),
        (date(2026, 2, 10), date(2026, 3, 10)),
    ],
)
def test_the_end_of_a_short_month_is_the_end_of_the_gdpr_month(day, due):
    assert monthrange(day.year, day.month)
    assert profile("gdpr-17").deadlines(day)["models"] == due


def test_an_unknown_profile_is_named_and_the_known_ones_are_listed():
    with pytest.raises(NotFound, match=r"There is no order profile 'ftc-x'.* Profiles: ftc-everalbum, ftc-ring, "):
        profile("ftc-x")


def test_r1_an_order_prints_what_it_demands_of_what_and_when():
    order = Order(
        OrderId("order-0001"),
        SourceId("okcupid-2014"),
        "ftc-everalbum",
        "FTC",
        "order.pdf",
        "a" * 64,
        DAY,
        PersonId("dana"),
    )
    assert order.as_json() == {
        "id": "order-0001",
        "selector": {"source": "okcupid-2014"},
        "profile": "ftc-everalbum",
        "citation": "In re Everalbum, FTC C-4743, part III",
        "authority": "FTC",
        "instrument": {"name": "order.pdf", "sha256": "a" * 64},
        "effective": "2026-03-15",
        "deadlines": {"data": "2026-04-14", "embeddings": "2026-06-13", "models": "2026-06-13"},
        "model_scope": "destroy",
        "assurance": "L1",
    }


def test_r6_each_step_of_the_ladder_gives_the_assurance_that_it_earns():
    assert {g.step: assurance_of(g) for g in Gone} == {
        "D0": None,
        "D1": None,
        "D2": Assurance.L1,
        "D3": Assurance.L2,
        "D4": Assurance.L2,
        "D5": None,
    }
