"""Errors: stable codes, exit codes as drawn, and messages that say what, which, next."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsee.core import errors
from unsee.core.errors import (
    AlreadyExists,
    InvalidName,
    MetadataError,
    MissingExtra,
    NotFound,
    Refused,
    UnseeError,
    every_error,
)
from unsee.core.ids import slug

CORE = [e for e in every_error() if e.__module__ == errors.__name__]
_LINE = re.compile(r"^(?P<rail>[│ ├└─]*)(?P<name>[A-Z]\w+)(?:\s+(?P<exit>\d+))?(?:\s{2,}\S.*)?$")


def drawn():
    """Name to (parent, exit code), as the docstring of the module draws the tree."""
    found = {}
    line_of = []
    for line in errors.__doc__.split("::", 1)[1].splitlines():
        match = _LINE.match(line.removeprefix("    "))
        if not line.strip() or match is None or line.strip() == "UnseeError                 exit":
            if line.strip().startswith("UnseeError"):
                line_of = ["UnseeError"]
                found["UnseeError"] = (None, 1)
            continue
        depth = len(match["rail"]) // 4
        del line_of[depth:]
        parent = line_of[-1]
        found[match["name"]] = (parent, int(match["exit"]) if match["exit"] else found[parent][1])
        line_of.append(match["name"])
    return found


def test_the_tree_in_the_docstring_is_the_tree():
    assert drawn() == {e.__name__: (e.__base__.__name__ if e is not UnseeError else None, e.exit_code) for e in CORE}


def test_every_class_of_the_module_is_found():
    assert {e.__name__ for e in CORE} == {
        name for name, e in vars(errors).items() if isinstance(e, type) and issubclass(e, UnseeError)
    }


def test_codes_are_unique_and_well_formed():
    codes = [e.code for e in every_error() if e.__module__.startswith("unsee.")]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[A-Z]{3}-\d{3}", code) for code in codes)


@pytest.mark.parametrize("error", CORE, ids=lambda e: e.__name__)
def test_every_error_has_words_and_a_code_of_its_own(error):
    assert "__doc__" in vars(error)
    assert error.__doc__.strip()
    assert "code" in vars(error)
    assert 1 <= error.exit_code <= 9


def test_an_error_prints_its_code_what_happened_and_what_to_do():
    error = Refused("Two of nine items may not be used.", next_step="Leave them out.", details=["a", 2])
    assert str(error) == "POL-001 Two of nine items may not be used. Leave them out."
    assert str(UnseeError("Broken.")) == "UNS-000 Broken."
    assert json.loads(json.dumps(error.as_json())) == {
        "schema": "unsee/error/1",
        "code": "POL-001",
        "message": "Two of nine items may not be used.",
        "next_step": "Leave them out.",
        "details": ["a", "2"],
    }


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            NotFound("source", "okcupid"),
            "NTF-001 There is no source 'okcupid' in this workspace. \"unsee source list\" shows what there is.",
        ),
        (
            AlreadyExists("order", "o-1"),
            "CNF-002 There is already an order 'o-1'. Choose another name; facts are never overwritten.",
        ),
        (
            MissingExtra("torch", needed_for="Training"),
            "ENV-001 Training needs the extra 'torch'. pip install 'unsee[torch]'",
        ),
        (
            MetadataError("no date", file="photos.csv", line=3, field="born"),
            "INP-004 photos.csv, line 3, field 'born': no date. Mend the file and run the intake again; nothing was taken in.",
        ),
    ],
)
def test_messages_name_the_thing(error, text):
    assert str(error) == text


@given(st.from_regex(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?", fullmatch=True))
def test_a_good_name_is_taken_as_it_is(name):
    assert slug(name, what="source") == name


@given(st.text())
def test_a_name_is_taken_only_within_its_rule(name):
    ends = "abcdefghijklmnopqrstuvwxyz0123456789"
    good = 1 <= len(name) <= 64 and set(name) <= set(ends + "._-") and name[0] in ends and name[-1] in ends
    if good:
        assert slug(name, what="source") == name
    else:
        with pytest.raises(InvalidName, match="cannot be the name of a source"):
            slug(name, what="source")


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a b", "a/b", "..", "a\n", "ä", "a" * 65, "a\x00b"])
def test_names_that_would_harm_are_refused(name):
    with pytest.raises(InvalidName):
        slug(name, what="dataset")
