"""One spelling for what is hashed or signed."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsee.core.canonical import canonical_json, digest

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)
floats = st.floats() | st.floats().map(np.float64)


def reordered(value, random):
    if isinstance(value, dict):
        pairs = [(k, reordered(v, random)) for k, v in value.items()]
        random.shuffle(pairs)
        return dict(pairs)
    return [reordered(v, random) for v in value] if isinstance(value, list) else value


@given(values)
def test_it_says_what_it_was_given(value):
    assert json.loads(canonical_json(value)) == value


@given(values, st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_matter(value, random):
    assert canonical_json(reordered(value, random)) == canonical_json(value)


@given(values, values)
def test_two_values_never_share_a_spelling(one, two):
    # json.dumps tells True from 1, which == does not
    assert (canonical_json(one) == canonical_json(two)) == (
        json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
    )


@given(floats, st.sampled_from([lambda f: f, lambda f: [1, f], lambda f: {"a": {"b": [f]}}, lambda f: (f,)]))
def test_a_float_is_refused_however_deep_it_lies(number, around):
    with pytest.raises(TypeError, match="decimal string"):
        canonical_json(around(number))


@pytest.mark.parametrize("key", [1, None, True, 1.5, ("a",)])
def test_a_key_that_is_no_string_is_refused(key):
    with pytest.raises(TypeError, match="keys are strings"):
        canonical_json({"a": [{key: 1}]})


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, object()])
def test_what_is_no_json_is_refused(value):
    with pytest.raises(TypeError):
        canonical_json(value)


def test_the_spelling_is_fixed_for_ever():
    value = {"b": [True, None, -1], "a": 'Grüße \U0001f600 "/\\\n\x7f', "B": {}, "": (1, 2)}
    assert (
        canonical_json(value) == '{"":[1,2],"B":{},"a":"Grüße \U0001f600 \\"/\\\\\\n\x7f","b":[true,null,-1]}'.encode()
    )
    assert digest(value) == hashlib.sha256(canonical_json(value)).hexdigest()
