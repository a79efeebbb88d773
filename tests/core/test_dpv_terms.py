"""Our purposes in the words of the W3C Data Privacy Vocabulary."""

from __future__ import annotations

import pytest

from unsee.core.dpv import (
    PREFIXES,
    PURPOSES,
    expand,
    jurisdiction_of,
    jurisdiction_term,
    purpose_iri,
    purpose_node,
    purpose_of,
)
from unsee.core.purposes import PARENT


def test_every_purpose_has_a_meaning_and_its_iri_leads_back():
    assert set(PURPOSES) == set(PARENT)
    assert [purpose_of(purpose_iri(p)) for p in PARENT] == list(PARENT)


@pytest.mark.parametrize("purpose", PARENT)
def test_a_purpose_lies_below_its_parent_and_below_a_term_of_dpv(purpose):
    node = purpose_node(purpose)
    above = [purpose_iri(PARENT[purpose])] if PARENT[purpose] else []
    assert node["skos:broader"][:-1] == above
    assert expand(node["skos:broader"][-1]).startswith(PREFIXES["dpv"])


@pytest.mark.parametrize("code", ["US-IL", "IE", "DE-BY", "somewhere"])
def test_a_jurisdiction_is_found_again_behind_its_term(code):
    assert jurisdiction_of(jurisdiction_term(code)) == code
    assert jurisdiction_of(expand(jurisdiction_term(code))) == code
