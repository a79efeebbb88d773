"""Rule books as files: written and read back they are the same, and a mistake in one is named and never passed over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsee.core.errors import InvalidValue
from unsee.core.purposes import PARENT
from unsee.core.rulefile import from_toml, to_toml
from unsee.core.rules import CITED, DEFAULT, Entry, Jurisdiction, RuleBook

texts = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1).filter(lambda t: t.strip())
limits = st.dictionaries(texts, st.integers(1, 36_525), max_size=2)


@st.composite
def books(draw):
    places = []
    for name in draw(st.sets(st.sampled_from(["AA", "bb", "C-D", "none", "EU"]), min_size=1)):
        place = Jurisdiction(
            name,
            draw(texts),
            covers=(f"{name}1".upper(),) if draw(st.booleans()) else (),
            written_release=draw(st.booleans()),
            separate_from_terms=draw(st.booleans()),
            retention_days=draw(limits),
            prohibited=tuple(draw(st.lists(st.sampled_from(sorted(PARENT)), max_size=2))),
            note=draw(st.just("") | texts),
        )
        cited = {rule: draw(texts) for rule in CITED if getattr(place, rule)}
        places.append(Jurisdiction(**{**{f: getattr(place, f) for f in place.__slots__}, "citations": cited}))
    return RuleBook(
        tuple(places), draw(st.dictionaries(texts, st.builds(Entry, st.integers(1, 9999), texts), min_size=1))
    )


@given(books())
def test_a_rule_book_that_was_written_is_read_back(book):
    assert from_toml(to_toml(book), file="f", base=RuleBook()) == book


def test_the_rules_of_unsee_are_a_file_like_any_other():
    assert from_toml(to_toml(DEFAULT), file="f", base=RuleBook()) == DEFAULT


def test_what_a_file_leaves_out_stays_as_it_is():
    only = from_toml(
        'schema = "unsee/rules/1"\n[schedule.photo]\ndays = 30\nbasis = "proposed"\n', file="f", base=DEFAULT
    )
    assert only.jurisdictions == DEFAULT.jurisdictions
    assert only.schedule == {"photo": Entry(30, "proposed")}
    assert from_toml('schema = "unsee/rules/1"\n', file="f", base=DEFAULT) == DEFAULT


PLACE = '[[jurisdiction]]\nid = "A"\nname = "a"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("schema = ", "r.toml is no TOML"),
        ("", "r.toml: schema is missing"),
        ('schema = "unsee/rules/2"', "r.toml: schema is not 'unsee/rules/1'"),
        ("jurisdictions = []", "r.toml: jurisdictions is no field of a rule book"),
        ("jurisdiction = 1", "r.toml: jurisdiction is not a list"),
        ("jurisdiction = [1]", "r.toml: jurisdiction is not a list of tables"),
        ('[[jurisdiction]]\nname = "a"', r"r.toml: jurisdiction\[1\].id is missing"),
        ('[[jurisdiction]]\nid = " "\nname = "a"', r"jurisdiction\[1\].id is empty"),
        (PLACE + "written_relaese = true", r"jurisdiction\[1\].written_relaese is no field"),
        (PLACE + 'written_release = "yes"', r"jurisdiction\[1\].written_release is not true or false"),
        (PLACE + "written_release = true", r"jurisdiction\[1\].citations.written_release is missing: every rule names"),
        (PLACE + "retention_days = { photo = 0 }", r"retention_days.photo is not a number of days from 1 to 36,525"),
        (PLACE + "retention_days = { photo = true }", r"retention_days.photo is not a whole number"),
        (PLACE + 'prohibited = ["sell"]', r"jurisdiction\[1\].prohibited names 'sell', which is no purpose"),
        (PLACE + "prohibited = [7]", r"jurisdiction\[1\].prohibited is not a list of texts"),
        (PLACE + 'citations = { retention = "x" }', r"jurisdiction\[1\].citations.retention is no field"),
        (PLACE + PLACE.replace('"A"', '"B"\ncovers = ["a"]'), "A stands for A and for B"),
        ("[schedule.photo]\ndays = 5", "schedule.photo.basis is missing"),
        ('[schedule.photo]\ndays = 5\nbasis = ""', "schedule.photo.basis is empty"),
        ('[schedule.photo]\ndays = 99999999\nbasis = "x"', "schedule.photo.days is not a number of days"),
        ("[schedule]\nphoto = 5", "schedule.photo is not a table"),
    ],
)
def test_a_mistake_is_named_with_file_and_key(text, words):
    head = "" if text in {"", "schema = "} or text.startswith("schema") else 'schema = "unsee/rules/1"\n'
    with pytest.raises(InvalidValue, match=words) as caught:
        from_toml(head + text, file="r.toml", base=RuleBook())
    assert "unsee rules export" in caught.value.next_step
