"""The rule book as data: every rule cites its law, and the defaults are said in one place."""

from __future__ import annotations

import importlib

import pytest

from unsee.core.purposes import PARENT
from unsee.core.rules import CITED, DEFAULT, DEFAULT_SCHEDULE, JURISDICTIONS


@pytest.mark.parametrize("place", JURISDICTIONS, ids=lambda p: p.id)
def test_every_rule_that_is_set_cites_its_law_and_no_other(place):
    assert set(place.citations) == {rule for rule in CITED if getattr(place, rule)}
    assert all(place.citations.values())
    assert set(place.prohibited) <= set(PARENT)
    assert all(days > 0 for days in place.retention_days.values())


def test_no_code_means_two_jurisdictions():
    codes = [code for place in JURISDICTIONS for code in (place.id.upper(), *place.covers)]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    ("code", "place"),
    [
        ("US-IL", "US-IL"),
        ("us-tx", "US-TX"),
        ("DE", "EU"),
        ("EU-DE", "EU"),
        ("DE-BY", "EU"),
        (" fr ", "EU"),
        ("NO", "EU"),
    ],
)
def test_a_code_is_found_by_itself_by_what_covers_it_and_by_the_wider_place(code, place):
    assert DEFAULT.jurisdiction(code).id == place


@pytest.mark.parametrize("code", ["", "US", "US-CA", "unknown", "GB", "-", "DEU"])
def test_a_place_of_no_known_rules_has_none(code):
    assert DEFAULT.jurisdiction(code) is None


def test_r31_nothing_is_kept_for_ever_and_old_books_start_as_new_ones_do():
    migration = importlib.import_module("unsee.books.migrations.versions.0002_the_books_in_full")
    assert {name: (days, basis) for name, days, basis in migration._SCHEDULE} == {
        name: (entry.days, entry.basis) for name, entry in DEFAULT_SCHEDULE.items()
    }
    assert all(0 < entry.days <= 1825 for entry in DEFAULT_SCHEDULE.values())
