"""The tree of purposes."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsee.core.errors import UnknownPurpose
from unsee.core.purposes import PARENT, ancestors, any_covers, covers, known, overlaps

ALL = sorted(PARENT)
purposes = st.sampled_from(ALL)


def test_every_purpose_leads_up_to_any_and_none_runs_in_a_circle():
    for purpose in PARENT:
        line = ancestors(purpose)
        assert len(set(line)) == len(line)
        assert (line[0], line[-1]) == (purpose, "any")
    assert [p for p, above in PARENT.items() if above is None] == ["any"]


def test_covering_is_a_partial_order():
    for one, two in product(ALL, ALL):
        assert covers(one, one)
        assert not (covers(one, two) and covers(two, one)) or one == two
        assert covers(one, two) == (one in ancestors(two))
        assert overlaps(one, two) == overlaps(two, one) == (one in ancestors(two) or two in ancestors(one))
    for one, two, three in product(ALL, ALL, ALL):
        assert not (covers(one, two) and covers(two, three)) or covers(one, three)


def test_identifying_never_permits_mass_surveillance():
    assert not covers("identify-1-to-n", "mass-surveillance")
    assert not covers("train", "evaluate")
    assert covers("train", "train-face-recognition")
    assert not covers("train-face-recognition", "train")


@given(st.lists(purposes), purposes)
def test_a_list_of_permissions_covers_what_one_of_them_covers(several, wanted):
    assert any_covers(several, wanted) == any(covers(p, wanted) for p in several)


@pytest.mark.parametrize("call", [known, ancestors, lambda p: covers("any", p), lambda p: covers(p, "any")])
def test_an_unknown_purpose_is_named_and_the_known_ones_are_listed(call):
    with pytest.raises(UnknownPurpose, match=r"There is no purpose 'spy'\. Known purposes: any, estimate-attributes, "):
        call("spy")
