"""What a set of photos is in 32 bytes: nothing can be changed, added, dropped or moved without the root telling."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from unsee.core import merkle
from unsee.core.commitment import batch_leaf, collection_root, item_leaf, items_root
from unsee.core.ids import ItemId

digests = st.binary(min_size=32, max_size=32)
photos = st.dictionaries(st.integers(0, 2**32 - 1), digests, min_size=1, max_size=12)
batches = st.lists(photos, min_size=1, max_size=5)


def root_of(collection):
    return collection_root((no, len(b), items_root(sorted(b.items()))) for no, b in enumerate(collection, 1))


@given(batches)
def test_the_root_is_a_tree_of_trees(collection):
    leaves = [
        no.to_bytes(8, "big")
        + len(b).to_bytes(8, "big")
        + merkle.root([i.to_bytes(8, "big") + sha for i, sha in sorted(b.items())])
        for no, b in enumerate(collection, 1)
    ]
    assert root_of(collection) == merkle.root(leaves)


@given(batches, st.data())
def test_touching_one_item_changes_the_root(collection, data):
    place = data.draw(st.integers(0, len(collection) - 1))
    batch = collection[place]
    item = data.draw(st.sampled_from(sorted(batch)))
    without = {i: sha for i, sha in batch.items() if i != item}
    fresh = data.draw(st.integers(0, 2**32 - 1).filter(lambda i: i not in batch))
    touched = [
        {**batch, item: hashlib.sha256(batch[item]).digest()},  # other bytes
        without,  # gone
        {**without, fresh: batch[item]},  # another id
        {**batch, fresh: batch[item]},  # one more
    ]
    before = root_of(collection)
    for other in touched:
        assert root_of([*collection[:place], other, *collection[place + 1 :]]) != before


@given(batches, st.lists(st.integers(0, 9), max_size=3), digests)
def test_batches_with_none_left_do_not_matter(collection, places, root):
    leaves = [(no, len(b), items_root(sorted(b.items()))) for no, b in enumerate(collection)]
    padded = list(leaves)
    for place in places:
        padded.insert(place, (99, 0, root))
    assert collection_root(padded) == collection_root(leaves)


@given(batches)
def test_the_same_photos_under_another_batch_are_another_collection(collection):
    leaves = [(no, len(b), items_root(sorted(b.items()))) for no, b in enumerate(collection)]
    assert collection_root((no + 1, count, root) for no, count, root in leaves) != collection_root(leaves)


def test_the_bytes_of_the_leaves_are_fixed_for_ever():
    assert item_leaf(ItemId(258), b"\xaa" * 32).hex() == "0000000000000102" + "aa" * 32
    assert batch_leaf(3, 10_000, b"\xbb" * 32).hex() == "0000000000000003" + "0000000000002710" + "bb" * 32
    assert collection_root([]) == hashlib.sha256(b"").digest()
    assert root_of([{0: b"\x01" * 32, 7: b"\x02" * 32}, {9: b"\x03" * 32}]).hex() == (
        "1c758eb44979a6092a869c5db469661ac0a15d8041bafeea394c279a5e95b8d0"
    )
