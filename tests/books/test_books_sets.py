"""Sets in columns, and what the books answer from them, against the rows that say the same (R1, R2, R21)."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
import sqlalchemy as sa
from book_writing import DANA, PANEL, a_source, add, photo, undone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unsee.books import columns, derived, items, parties, ranges, sets, shown, sums
from unsee.books.schema import batches as batch_rows
from unsee.books.schema import digests as digest_rows
from unsee.books.schema import item_attributes as attribute_rows
from unsee.books.schema import items as item_rows
from unsee.books.schema import sources as source_rows
from unsee.core.errors import InvalidValue, NotFound
from unsee.core.ids import ItemSet, SourceId
from unsee.erase import scope

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
OTHER = SourceId("other")

members = st.sets(st.one_of(st.integers(0, 300), st.integers(65_400, 65_700), st.integers(0, 2**32 - 1)), max_size=60)


@pytest.fixture
def small_steps(monkeypatch):
    """Blocks, lists and look-ups so small that a few photos need several of each."""
    monkeypatch.setattr(columns, "_BLOCK", 4)
    monkeypatch.setattr(columns, "_AT_ONCE", 2)
    monkeypatch.setattr(shown, "_FEW", 1)
    monkeypatch.setattr(derived, "_FEW", 1)
    monkeypatch.setattr(ranges, "_FEW", 3)
    monkeypatch.setattr(ranges, "_LOOKUP", 2)


# Sets


@given(members)
def test_a_set_packs_to_the_same_bytes_however_it_was_built(wanted):
    one = ItemSet(sorted(wanted))
    other = ItemSet()
    for number in wanted:
        other.add(number)
    other.run_optimize()
    assert sets.pack(one) == sets.pack(other)
    assert sets.unpack(sets.pack(one)) == one
    assert sets.from_array(sets.to_array(one)) == one
    assert sets.to_array(one).tolist() == sorted(wanted)
    assert sets.union([one, ItemSet([7])]) == one | ItemSet([7])


@pytest.mark.parametrize("never_written", [None, b"", ""])
def test_a_set_that_was_never_written_is_empty(never_written):
    assert sets.unpack(never_written) == ItemSet()
    assert sets.union([]) == ItemSet()


@given(
    st.one_of(st.integers(0, 70_000), st.integers(2**32 - 200_000, 2**32 - 200_000)),
    st.integers(0, 140_000),
    st.sampled_from([0.0, 0.001, 0.5, 1.0]),
    st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_a_mask_is_the_set_of_its_places(first, length, share, seed):
    mask = np.random.default_rng(seed).random(length) < share
    found = sets.from_mask(first, mask)
    assert found == ItemSet((np.flatnonzero(mask) + first).tolist())
    assert ItemSet.deserialize(found.serialize()) == found


@given(members, st.integers(1, 5), st.integers(1, 9))
def test_conditions_hold_for_each_member_once_and_for_nothing_else(wanted, few, lookup):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "_FEW", few)
        patch.setattr(ranges, "_LOOKUP", lookup)
        found: list[int] = []
        for these in ranges.within(sa.column("id"), ItemSet(sorted(wanted))):
            value = these.right.element if hasattr(these.right, "element") else these.right
            numbers = [clause.value for clause in getattr(value, "clauses", [value])]
            if these.operator is sa.sql.operators.between_op:
                found += range(numbers[0], numbers[1] + 1)
            else:
                assert len(numbers[0]) <= lookup
                found += numbers[0]
    assert sorted(found) == sorted(wanted)


# Answers


class Rows:
    """The same questions, asked of the rows one by one."""

    def __init__(self, conn):
        query = sa.select(item_rows, digest_rows.c.item_id.label("left")).outerjoin(
            digest_rows, digest_rows.c.item_id == item_rows.c.id
        )
        self.rows = conn.execute(query.order_by(item_rows.c.id)).all()
        self.sources = {name: parties.source_no(conn, name) for name in (PANEL, OTHER)}

    def whose(self, wanted):
        return {r.id: r.subject_no for r in self.rows if r.id in wanted and r.subject_no}

    def showing(self, people):
        return {r.id for r in self.rows if (r.subject_no or 0) in people}

    def left(self, source):
        return [r for r in self.rows if r.source_no == self.sources[source] and r.left is not None]

    def people(self, source):
        return {r.subject_no for r in self.left(source)} - {None}

    def opted_out(self):
        return {r.id for name in self.sources for r in self.left(name) if r.signals & items.OPTED_OUT}

    def size(self, source):
        return sum(r.size_bytes for r in self.left(source))

    def children(self, parents):
        return {r.id for r in self.rows if r.parent_id is not None and r.parent_id in parents}

    def only_in(self, wanted):
        elsewhere = {r.subject_no for r in self.rows if r.id not in wanted and r.left is not None}
        return set(self.whose(wanted).values()) - elsewhere


def agree(conn, random):
    """Assert that sets and rows tell one story of a random question."""
    rows = Rows(conn)
    wanted = ItemSet([r.id for r in rows.rows if random.random() < random.choice([0.2, 0.9, 1])] + [10_000])
    whose = rows.whose(wanted)
    assert items.subjects_of_items(conn, wanted) == whose
    assert set(items.people_in(conn, wanted)) == set(whose.values())
    assert shown.items_each(conn, wanted) == {n: list(whose.values()).count(n) for n in whose.values()}
    groups = [ItemSet(random.sample(range(1, 9), random.randint(0, 4))) for _ in range(random.randint(0, 3))]
    assert [set(g) for g in items.items_showing(conn, groups)] == [rows.showing(g) for g in groups]
    for group in groups:
        assert set(items.items_of_subjects(conn, group)) == rows.showing(group)
    assert set(shown.only_in(conn, wanted)) == rows.only_in(wanted)
    assert items.size_of(conn, wanted) == sum(r.size_bytes for r in rows.rows if r.id in wanted)
    assert set(items.children_of(conn, wanted)) == rows.children(wanted)
    assert set(shown.with_content(conn, wanted)) == {r.id for r in rows.rows if r.id in wanted and r.left is not None}
    assert set(sums.opted_out(conn)) == rows.opted_out()
    for name in (PANEL, OTHER):
        assert set(sums.people_of_source(conn, name)) == rows.people(name)
        assert sums.size_of_source(conn, name) == rows.size(name)


def take_in(tx, random, step):
    """A batch of up to nine photos of a random source; the people of both sources overlap."""
    photos = [
        photo(
            f"{step} {n}",
            random.choice([None, 1, 2, 3, 7]),
            signals=random.choice([0, items.OPTED_OUT, 2]),
            size_bytes=random.randint(1, 9),
        )
        for n in range(random.choice([0, 1, 9]))
    ]
    add(tx, *photos, source=random.choice([PANEL, OTHER]))


@pytest.mark.usefixtures("small_steps")
@SHARED
@given(st.integers(0, 2**32))
def test_r1_r2_what_the_sets_answer_is_what_the_rows_answer(books, seed):
    """Random histories of intakes, empty ones too, people named later, and overlapping erasures."""
    random = Random(seed)
    with undone(books) as tx:
        parties.register_source(tx, a_source("other"))
        for step in range(random.randint(1, 8)):
            known = Rows(tx.conn).rows
            act = random.choice(["take in", "take in", "name", "forget"])
            if act == "take in" or not known:
                take_in(tx, random, step)
            elif act == "name":
                items.name_people(tx, {r.id: random.choice([2, 5, 8]) for r in known if random.random() < 0.4})
            else:
                items.forget_content(tx, ItemSet([r.id for r in known if random.random() < 0.5]))
            agree(tx.conn, random)


def test_an_erasure_said_twice_is_counted_once(books):
    with undone(books) as tx:
        ids = add(tx, photo(1, 4, size_bytes=10), photo(2, 4, size_bytes=5), photo(3, 5, size_bytes=2))
        for _ in range(2):
            items.forget_content(tx, ItemSet([ids[0], ids[2]]))
            assert sums.of_source(tx.conn, PANEL) == sums.Sums(ItemSet([4]), ItemSet(), 5)


def test_sums_of_no_source_are_an_error(books):
    with books.read() as conn, pytest.raises(NotFound, match="There is no source 'nobody'"):
        sums.of_source(conn, SourceId("nobody"))


# Columns


def column_batch(count, **changes):
    """Columns of `count` photos of nobody, made from none."""
    whole = items.ItemColumns.of([photo(n) for n in range(count)])
    return replace(whole, **{name: np.array(values, dtype=np.int64) for name, values in changes.items()})


WRITTEN = (batch_rows, item_rows, digest_rows, attribute_rows, source_rows)


def _but_numbers(table):
    """The columns of a table less the numbers that the database gives out, which a transaction that is undone uses up."""
    return [column for column in table.c if column.name not in {"no", "batch_no", "source_no"}]


@SHARED
@given(st.integers(0, 2**32))
def test_columns_write_what_single_items_write(books, seed):
    random = Random(seed)
    photos = [
        photo(
            n,
            random.choice([None, 1, 2]),
            signals=random.choice([0, items.OPTED_OUT]),
            kind=random.choice([items.PHOTO, items.DOCUMENT]),
            attributes=tuple((f"a{k}", "location", "v") for k in range(random.randint(0, 2))),
        )
        for n in range(random.randint(0, 5))
    ]
    told = []
    for taking in (items.add_batch, lambda tx, *a, **k: items.add_columns(tx, a[0], items.ItemColumns.of(a[1]), **k)):
        with undone(books) as tx:
            parties.register_source(tx, a_source("other"))
            taking(tx, PANEL, photos, counts={"new": 1}, person=DANA, channel="web")
            told.append([sorted(map(repr, tx.conn.execute(sa.select(*_but_numbers(table))))) for table in WRITTEN])
            agree(tx.conn, random)
    assert told[0] == told[1]


@pytest.mark.usefixtures("small_steps")
@SHARED
@given(st.integers(0, 2**32))
def test_r3_what_was_made_from_items_is_found_generation_by_generation(books, seed):
    random = Random(seed)
    parent = [random.choice([items.NO_PARENT, *range(item)]) for item in range(random.randint(1, 12))]
    with undone(books) as tx:
        cuts = sorted(random.choices(range(len(parent) + 1), k=2))
        for part in np.split(np.array(parent), cuts):
            items.add_columns(tx, PANEL, column_batch(len(part), parent=part), counts={}, person=DANA)
        groups = [
            ItemSet([i for i in range(len(parent)) if random.random() < 0.4]) for _ in range(random.randint(0, 3))
        ]
        children = [{i for i, above in enumerate(parent) if above >= 0 and above in group} for group in groups]
        assert [set(found) for found in derived.children_of_each(tx.conn, groups)] == children
        assert [set(items.children_of(tx.conn, group)) for group in groups] == children
        closed = scope.with_derived_each(tx.conn, groups)
        assert closed == [scope.with_derived(tx.conn, group) for group in groups]
        for group, all_of_it in zip(groups, closed, strict=True):
            for item, above in enumerate(parent):
                assert (item in all_of_it) == (item in group or (above >= 0 and above in all_of_it))


@pytest.mark.parametrize("parent", [[-2], [0], [7]])
def test_an_item_made_from_one_that_is_not_there_is_refused(books, parent):
    with undone(books) as tx, pytest.raises(InvalidValue, match="which is not there"):
        items.add_columns(tx, PANEL, column_batch(1, parent=parent), counts={}, person=DANA)


def test_columns_of_different_lengths_are_refused(books):
    with undone(books) as tx, pytest.raises(InvalidValue, match="differ in length"):
        items.add_columns(tx, PANEL, column_batch(2, width=[1]), counts={}, person=DANA)


def test_columns_for_no_source_are_refused(books):
    with undone(books) as tx, pytest.raises(NotFound, match="There is no source 'nobody'"):
        items.add_columns(tx, SourceId("nobody"), column_batch(1), counts={}, person=DANA)


def test_a_bulk_load_leaves_the_index_as_it_was_also_when_it_fails(books):
    def indexes(conn):
        return {index["name"] for index in sa.inspect(conn).get_indexes("digests")}

    with undone(books) as tx:
        before = indexes(tx.conn)
        with items.bulk_load(tx):
            assert indexes(tx.conn) < before
            ids = add(tx, *(photo(n) for n in range(3)))
        assert indexes(tx.conn) == before
        with pytest.raises(InvalidValue), items.bulk_load(tx):
            add(tx, photo(7))
            items.add_columns(tx, PANEL, column_batch(1, parent=[99]), counts={}, person=DANA)
        assert indexes(tx.conn) == before
        assert parties.items_of_source(tx.conn, PANEL) == ids
        assert items.known_sha256(tx.conn, PANEL, [photo(1).sha256, photo(7).sha256]) == {photo(1).sha256: ids[1]}
