"""Copies of items, and the ranges of ids by which they are read and deleted."""

from __future__ import annotations

import itertools
from random import Random

import pytest
from book_writing import undone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unsee.books import places
from unsee.books.places import Copy
from unsee.books.ranges import id_ranges
from unsee.core.errors import AlreadyExists, NotFound
from unsee.core.ids import ItemSet, StoreId

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80, deadline=None)
GAP = 64

id_sets = st.lists(
    st.integers(0, 2**32 - 1) | st.integers(0, 400) | st.integers(2**32 - 200, 2**32 - 1), max_size=60
).map(ItemSet)


@given(id_sets)
def test_exact_ranges_cover_the_set_and_nothing_else(ids):
    ranges = list(id_ranges(ids, exact=True))
    assert [i for low, high in ranges for i in range(low, high + 1)] == list(ids)
    assert all(high + 1 < low for (_, high), (low, _) in itertools.pairwise(ranges))


@given(id_sets)
def test_bridged_ranges_cover_the_set_and_end_at_members(ids):
    ranges = list(id_ranges(ids))
    assert all(any(low <= i <= high for low, high in ranges) for i in ids)
    assert all(low in ids and high in ids and low <= high for low, high in ranges)
    assert all(low - high > GAP for (_, high), (low, _) in itertools.pairwise(ranges))
    members = list(ids)
    for one, two in itertools.pairwise(members):
        together = any(low <= one and two <= high for low, high in ranges)
        assert together == (two - one <= GAP)


def test_no_ids_are_no_ranges():
    assert list(id_ranges(ItemSet())) == list(id_ranges(ItemSet(), exact=True)) == []


def some_copies(random, objects):
    """Copies of up to 300 items; some items have none, some several; a place holds one item."""
    taken, copies = set(), []
    for _ in range(random.randint(0, 120)):
        place = (random.choice(objects), f"{random.randint(0, 60)}.jpg")
        if place not in taken:
            taken.add(place)
            copies.append(Copy(random.choice([random.randint(0, 300), random.randint(0, 9)]), *place, "s1", 10))
    return copies


def rows_of(tx, wanted, **options):
    return [row for rows in places.copies_of(tx.conn, wanted, **options) for row in rows]


@SHARED
@given(st.integers(0, 2**32), st.sampled_from([1, 2, 7, 65_536]))
def test_copies_are_read_for_exactly_the_items_asked_for(books, seed, batch):
    random = Random(seed)
    with undone(books) as tx:
        objects = list(places.object_numbers(tx, 1, ["a", "b", "c"]).values())
        copies = some_copies(random, objects)
        places.replace_copies(tx, copies)
        wanted = ItemSet([i for i in range(320) if random.random() < random.choice([0.02, 0.5])])
        lists = list(places.copies_of(tx.conn, wanted, batch=batch))
        assert all(0 < len(rows) <= batch for rows in lists)
        found = [Copy(r.item_id, r.object_no, r.selector, r.stamp, r.size_bytes) for rows in lists for r in rows]
        expected = sorted((c for c in copies if c.item in wanted), key=lambda c: (c.item, c.object, c.selector))
        assert found == expected
        for number in objects:
            here = {c.selector: c for c in copies if c.object == number}
            assert places.copies_in_object(tx.conn, number) == here


@SHARED
@given(st.integers(0, 2**32))
def test_r21_forgetting_deletes_exactly_these_copies_and_the_names_of_empty_places(books, seed):
    random = Random(seed)
    with undone(books) as tx:
        names = places.object_numbers(tx, 1, ["a", "b", "c"])
        copies = some_copies(random, list(names.values()))
        places.replace_copies(tx, copies)
        doomed = ItemSet([i for i in range(320) if random.random() < random.choice([0.1, 0.9])])
        kept = [c for c in copies if c.item not in doomed]
        assert places.forget_copies(tx, doomed) == len(copies) - len(kept)
        assert len(rows_of(tx, ItemSet(range(320)))) == len(kept)
        assert not rows_of(tx, doomed)
        assert set(places.objects_of(tx.conn, 1)) == {c.object for c in kept}
        assert places.forget_copies(tx, doomed) == 0


def test_what_lies_in_a_place_now_replaces_what_lay_there(books):
    with undone(books) as tx:
        a, b = places.object_numbers(tx, 1, ["a", "b"]).values()
        before = [Copy(1, a, "x", "s1", 10), Copy(1, a, "y", "s1", 10), Copy(1, b, "x", "s1", 10)]
        places.replace_copies(tx, before)
        now = [Copy(2, a, "x", "s2", 20), Copy(3, a, "z", "s1", 30)]
        places.replace_copies(tx, now)
        places.replace_copies(tx, [])
        assert places.copies_in_object(tx.conn, a) == {"x": now[0], "y": before[1], "z": now[1]}
        assert places.copies_in_object(tx.conn, b) == {"x": before[2]}


def test_objects_keep_their_numbers_and_belong_to_their_store(books):
    with undone(books) as tx:
        places.register_store(tx, StoreId("mirror"), "files", "/mirror", {"a": "b"})
        mirror = places.store(tx.conn, StoreId("mirror"))
        assert (mirror.kind, mirror.location, mirror.options) == ("files", "/mirror", {"a": "b"})
        one = places.object_numbers(tx, 1, ["a", "b"])
        two = places.object_numbers(tx, mirror.no, ["a"])
        assert places.object_numbers(tx, 1, ["b", "c", "b"])["b"] == one["b"]
        assert places.objects_of(tx.conn, mirror.no) == {two["a"]: "a"}
        assert places.all_objects(tx.conn)[two["a"]] == (mirror.no, "a")
        assert len(places.all_objects(tx.conn)) == 4
        assert [s.id for s in places.all_stores(tx.conn)] == ["corpus", "mirror"]


def test_a_store_is_named_once_and_an_unknown_one_is_an_error(books):
    with undone(books) as tx:
        with pytest.raises(AlreadyExists, match="There is already a store 'corpus'"):
            places.register_store(tx, StoreId("corpus"), "files", "/elsewhere", {})
        with pytest.raises(NotFound, match="There is no store 'attic'"):
            places.store(tx.conn, StoreId("attic"))
