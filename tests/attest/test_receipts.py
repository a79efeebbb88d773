"""Receipts: one for each person, derivable, silent about everybody else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import example_certificate as example
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsee.attest.receipts import PersonOutcome, derive, gather, receipt_id
from unsee.core import merkle
from unsee.core.canonical import canonical_json
from unsee.core.errors import InvalidValue, NotFound


def leads_to(receipt: bytes, root: bytes) -> bool:
    parts = json.loads(receipt)
    proof = parts["proof"]
    leaf = hashlib.sha256(bytes.fromhex(proof["salt"]) + canonical_json(parts["receipt"])).digest()
    path = [bytes.fromhex(h) for h in proof["path"]]
    return merkle.root_from_inclusion(merkle.leaf_hash(leaf), proof["index"], proof["size"], path) == root


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.data())
def test_every_receipt_lies_under_the_root(count: int, data: st.DataObject) -> None:
    people = [PersonOutcome(bytes([n]) * 32, "erased", {"photo": {"erased": n}}) for n in range(count)]
    found = gather(example.RECEIPT_KEY, example.terms(), people)
    assert found.count == count
    assert found == gather(example.RECEIPT_KEY, example.terms(), people[::-1])
    who = data.draw(st.sampled_from(people))
    receipt = derive(example.RECEIPT_KEY, found, who, payload_sha256="00" * 32)
    assert leads_to(receipt, found.root)
    assert not leads_to(receipt.replace(b'"outcome":"erased"', b'"outcome":"refused"'), found.root)


def test_a_receipt_shows_no_pseudonym_no_face_and_nobody_else() -> None:
    everybody = example.people()
    mine = example.example_receipt(3, "00" * 32).decode()
    for person in everybody:
        assert person.pseudonym.hex() not in mine
    others = {receipt_id(example.RECEIPT_KEY, "o-0001", p.pseudonym).hex() for p in everybody if p is not everybody[3]}
    assert not [other for other in others if other in mine]


def test_receipt_used_to_probe_whether_someone_else_was_in_the_data() -> None:
    """What a receipt reveals of its neighbours are salted hashes: without the key, no guess about a person can be tested."""
    leaves = {leaf.hex() for leaf in example.receipts().leaves}
    shown = set()
    for number in range(len(example.people())):
        shown |= set(json.loads(example.example_receipt(number, "00" * 32))["proof"]["path"]) & leaves
    assert shown  # neighbours' leaves do stand in the proofs …
    guesses = gather(b"x" * 32, example.terms(), example.people())
    assert not shown & {leaf.hex() for leaf in guesses.leaves}  # … and no guess without the key meets one
    for person in example.people():
        assert hashlib.sha256(person.pseudonym).hexdigest() not in shown


def test_two_orders_give_one_person_two_unlinkable_receipts() -> None:
    person = example.people()[0].pseudonym
    first = receipt_id(example.RECEIPT_KEY, "o-0001", person)
    assert first != receipt_id(example.RECEIPT_KEY, "o-0002", person)
    assert first != receipt_id(b"y" * 32, "o-0001", person)


def test_what_is_no_receipt_is_refused() -> None:
    people = example.people()
    with pytest.raises(InvalidValue, match="twice"):
        gather(example.RECEIPT_KEY, example.terms(), [people[0], people[0]])
    with pytest.raises(InvalidValue, match="32 bytes"):
        gather(b"short", example.terms(), people)
    with pytest.raises(InvalidValue, match="ground"):
        gather(example.RECEIPT_KEY, example.terms(), [replace(people[0], outcome="refused")])
    with pytest.raises(InvalidValue, match="no outcome"):
        gather(example.RECEIPT_KEY, example.terms(), [replace(people[0], outcome="gone")])
    found = gather(example.RECEIPT_KEY, example.terms(), people)
    with pytest.raises(NotFound):
        derive(example.RECEIPT_KEY, found, replace(people[0], pseudonym=b"z" * 32), payload_sha256="00" * 32)
    with pytest.raises(InvalidValue, match="not the one that was certified"):
        derive(example.RECEIPT_KEY, found, replace(people[0], counts={}), payload_sha256="00" * 32)
