"""RFC 6962 trees against the recursive definitions, the published vectors, and every single changed bit."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsee.core import merkle

# The vectors of the Certificate Transparency reference implementation (merkle_tree_test).
LEAVES = [
    bytes.fromhex(h)
    for h in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = {
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
}
CONSISTENCY = {
    (1, 8): INCLUSION[(0, 8)],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}

trees = st.lists(st.binary(max_size=40), min_size=1, max_size=40)


# The definitions of RFC 6962, section 2.1, letter by letter: slow, recursive, sharing nothing with the code under test.


def H(data):
    return hashlib.sha256(data).digest()


def split_of(n):
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def MTH(leaves):
    if not leaves:
        return H(b"")
    if len(leaves) == 1:
        return H(b"\x00" + leaves[0])
    k = split_of(len(leaves))
    return H(b"\x01" + MTH(leaves[:k]) + MTH(leaves[k:]))


def PATH(m, leaves):
    if len(leaves) == 1:
        return []
    k = split_of(len(leaves))
    return [*PATH(m, leaves[:k]), MTH(leaves[k:])] if m < k else [*PATH(m - k, leaves[k:]), MTH(leaves[:k])]


def SUBPROOF(m, leaves, whole):
    if m == len(leaves):
        return [] if whole else [MTH(leaves)]
    k = split_of(len(leaves))
    if m <= k:
        return [*SUBPROOF(m, leaves[:k], whole), MTH(leaves[k:])]
    return [*SUBPROOF(m - k, leaves[k:], False), MTH(leaves[:k])]


def hashes(leaves):
    return [merkle.leaf_hash(leaf) for leaf in leaves]


def flips(data):
    """Every way to change one bit of `data`."""
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


def test_the_root_of_nothing_is_the_hash_of_nothing():
    assert merkle.root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_certificate_transparency(size):
    assert merkle.root(LEAVES[:size]).hex() == ROOTS[size - 1]


def test_proofs_are_those_of_certificate_transparency():
    for (index, size), path in INCLUSION.items():
        assert [p.hex() for p in merkle.inclusion_proof(hashes(LEAVES[:size]), index)] == path
    for (old, size), path in CONSISTENCY.items():
        assert [p.hex() for p in merkle.consistency_proof(hashes(LEAVES[:size]), old)] == path
        assert merkle.is_consistent(
            old, bytes.fromhex(ROOTS[old - 1]), size, bytes.fromhex(ROOTS[size - 1]), [bytes.fromhex(p) for p in path]
        )


@given(trees, st.data())
def test_roots_and_proofs_are_those_of_the_definition(leaves, data):
    index = data.draw(st.integers(0, len(leaves) - 1))
    old = data.draw(st.integers(1, len(leaves)))
    assert merkle.root(leaves) == MTH(leaves)
    assert merkle.root(iter(leaves)) == merkle.root_of_hashes(hashes(leaves))
    assert merkle.inclusion_proof(hashes(leaves), index) == PATH(index, leaves)
    assert merkle.consistency_proof(hashes(leaves), old) == SUBPROOF(old, leaves, True)


@given(trees, st.data())
def test_every_proof_leads_to_its_root(leaves, data):
    index = data.draw(st.integers(0, len(leaves) - 1))
    old = data.draw(st.integers(1, len(leaves)))
    leaf = merkle.leaf_hash(leaves[index])
    assert merkle.root_from_inclusion(leaf, index, len(leaves), PATH(index, leaves)) == MTH(leaves)
    assert merkle.is_consistent(old, MTH(leaves[:old]), len(leaves), MTH(leaves), SUBPROOF(old, leaves, True))


@pytest.mark.parametrize("size", [2, 3, 5, 8, 11])
def test_one_changed_bit_spoils_an_inclusion_proof(size):
    leaves = [bytes([i]) for i in range(size)]
    root = merkle.root(leaves)
    for index in range(size):
        leaf, path = merkle.leaf_hash(leaves[index]), merkle.inclusion_proof(hashes(leaves), index)
        assert merkle.root_from_inclusion(leaf, index, size, path) == root
        assert all(merkle.root_from_inclusion(bad, index, size, path) != root for bad in flips(leaf))
        for place, node in enumerate(path):
            for bad in flips(node):
                spoiled = [*path[:place], bad, *path[place + 1 :]]
                assert merkle.root_from_inclusion(leaf, index, size, spoiled) != root


@pytest.mark.parametrize(("old", "size"), [(1, 2), (2, 3), (3, 7), (4, 8), (6, 8), (5, 11), (8, 11)])
def test_one_changed_bit_spoils_a_consistency_proof(old, size):
    leaves = [bytes([i]) for i in range(size)]
    before, after = merkle.root(leaves[:old]), merkle.root(leaves)
    proof = merkle.consistency_proof(hashes(leaves), old)
    assert merkle.is_consistent(old, before, size, after, proof)
    assert not any(merkle.is_consistent(old, bad, size, after, proof) for bad in flips(before))
    assert not any(merkle.is_consistent(old, before, size, bad, proof) for bad in flips(after))
    for place, node in enumerate(proof):
        for bad in flips(node):
            assert not merkle.is_consistent(old, before, size, after, [*proof[:place], bad, *proof[place + 1 :]])


@given(st.lists(st.binary(max_size=8), min_size=2, max_size=24, unique=True), st.data())
def test_a_proof_of_one_place_proves_no_other(leaves, data):
    index = data.draw(st.integers(0, len(leaves) - 1))
    other = data.draw(st.integers(0, len(leaves) - 1).filter(lambda i: i != index))
    path = merkle.inclusion_proof(hashes(leaves), index)
    leaf = merkle.leaf_hash(leaves[index])
    assert merkle.root_from_inclusion(leaf, other, len(leaves), path) != merkle.root(leaves)
    assert merkle.root_from_inclusion(merkle.leaf_hash(leaves[other]), index, len(leaves), path) != merkle.root(leaves)


@given(trees, st.data())
def test_a_proof_that_is_too_long_or_too_short_is_refused(leaves, data):
    index = data.draw(st.integers(0, len(leaves) - 1))
    path = merkle.inclusion_proof(hashes(leaves), index)
    leaf = merkle.leaf_hash(leaves[index])
    assert merkle.root_from_inclusion(leaf, index, len(leaves), [*path, path[-1] if path else leaf]) is None
    if path:
        assert merkle.root_from_inclusion(leaf, index, len(leaves), path[:-1]) is None
    old = data.draw(st.integers(1, len(leaves)))
    proof = merkle.consistency_proof(hashes(leaves), old)
    before, after = merkle.root(leaves[:old]), merkle.root(leaves)
    assert not merkle.is_consistent(old, before, len(leaves), after, [*proof, leaf])
    if proof:
        assert not merkle.is_consistent(old, before, len(leaves), after, proof[:-1])


@given(trees, st.integers(0, 39), st.binary(max_size=8))
def test_a_history_that_was_rewritten_is_not_consistent(leaves, place, other):
    old = leaves[: place % len(leaves) + 1]
    forged = [*old[:-1], old[-1] + b"x" + other]
    new = leaves
    proof = merkle.consistency_proof(hashes(new), len(old))
    assert not merkle.is_consistent(len(old), merkle.root(forged), len(new), merkle.root(new), proof)


@settings(max_examples=300)
@given(
    st.integers(-3, 70),
    st.integers(-3, 70),
    st.lists(st.binary(min_size=32, max_size=32), max_size=9),
)
def test_nonsense_is_refused_and_never_raises(index, size, path):
    root = b"r" * 32
    assert merkle.root_from_inclusion(b"l" * 32, index, size, path) != root
    if index != size or path:
        assert not merkle.is_consistent(index, root, size, b"s" * 32, path)


@pytest.mark.parametrize("index", [-1, 3, 4])
def test_there_is_no_proof_of_a_leaf_that_is_not_there(index):
    with pytest.raises(IndexError, match=f"leaf {index} of 3"):
        merkle.inclusion_proof(hashes(LEAVES[:3]), index)


@pytest.mark.parametrize("old", [-1, 0, 4])
def test_there_is_no_consistency_with_a_tree_that_never_was(old):
    with pytest.raises(IndexError, match="in a tree of 3"):
        merkle.consistency_proof(hashes(LEAVES[:3]), old)


def test_a_leaf_is_never_taken_for_a_node():
    left, right = merkle.leaf_hash(b"a"), merkle.leaf_hash(b"b")
    assert merkle.root([left + right]) != merkle.root([b"a", b"b"])
