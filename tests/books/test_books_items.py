"""Items, their digests and attributes, and the people in them, against plain dictionaries."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import numpy as np
import pytest
from book_writing import DANA, PANEL, a_source, add, photo, undone, whole
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unsee.books import facts, items, parties
from unsee.books.schema import items as rows
from unsee.core import merkle
from unsee.core.errors import NotFound
from unsee.core.ids import ItemSet, SourceId

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
OTHER = SourceId("other")

sizes = st.lists(st.integers(0, 6), min_size=1, max_size=6)


def take_in(tx, sizes):
    """Batches of these sizes; the photos by item id."""
    known = {}
    for n, size in enumerate(sizes):
        photos = [photo(f"{n} {i}") for i in range(size)]
        known.update(zip(add(tx, *photos), photos, strict=True))
    return known


@SHARED
@given(sizes)
def test_ids_are_dense_and_a_batch_is_what_it_says(books, sizes):
    with undone(books) as tx:
        expected = 0
        for size in sizes:
            photos = [photo(f"{expected + i}") for i in range(size)]
            assert items.next_item_id(tx.conn) == expected
            batch, ids = items.add_batch(tx, PANEL, photos, counts={"new": size}, person=DANA)
            assert ids == list(range(expected, expected + size))
            assert batch.items == ItemSet(ids)
            assert batch.root == merkle.root(i.to_bytes(8, "big") + p.sha256 for i, p in zip(ids, photos, strict=True))
            fact = facts.recent(tx.conn, 1)[0]
            assert fact.kind == "BatchTakenIn"
            assert f'"root":"{batch.root.hex()}"' in fact.body
            expected += size
        assert [b.count for b in items.all_batches(tx.conn)] == [s for s in sizes if s]
        assert whole(tx.conn) == sum(sizes)


@SHARED
@given(sizes, st.randoms(use_true_random=False))
def test_a_commitment_is_what_an_outsider_computes(books, sizes, random):
    with undone(books) as tx:
        known = take_in(tx, sizes)
        wanted = ItemSet([i for i in known if random.random() < random.choice([0.2, 0.8, 1])])
        leaves = []
        for batch in items.all_batches(tx.conn):
            mine = [i for i in batch.items if i in wanted]
            if mine:
                root = merkle.root(i.to_bytes(8, "big") + known[i].sha256 for i in mine)
                leaves.append(batch.no.to_bytes(8, "big") + len(mine).to_bytes(8, "big") + root)
        assert items.commitment(tx.conn, wanted) == merkle.root(leaves)
        for item in wanted:
            assert items.commitment(tx.conn, wanted - ItemSet([item])) != merkle.root(leaves)


@SHARED
@given(sizes, st.randoms(use_true_random=False))
def test_what_is_retained_commits_to_the_same_before_and_after_the_rest_is_forgotten(books, sizes, random):
    with undone(books) as tx:
        known = take_in(tx, sizes)
        doomed = ItemSet([i for i in known if random.random() < 0.4])
        retained = ItemSet(known) - doomed
        before = items.commitment(tx.conn, retained)
        items.forget_content(tx, doomed)
        assert items.commitment(tx.conn, retained) == before


@SHARED
@given(sizes, st.randoms(use_true_random=False))
def test_digests_come_back_as_they_went_in(books, sizes, random):
    with undone(books) as tx:
        known = take_in(tx, sizes)
        wanted = ItemSet([i for i in [*known, 500, 9999] if random.random() < 0.6])
        found = items.digests_of(tx.conn, wanted)
        here = [i for i in wanted if i in known]
        assert found.ids.tolist() == here
        for column, name in ((found.sha256, "sha256"), (found.pixels, "pixels"), (found.pdq, "pdq")):
            assert column.shape == (len(here), 32)
            assert column.dtype == np.uint8
            assert [row.tobytes() for row in column] == [getattr(known[i], name) for i in here]
        assert items.size_of(tx.conn, wanted) == 1000 * len(here)
        hashes = [known[i].sha256 for i in here] + [b"?" * 32]
        assert items.known_sha256(tx.conn, PANEL, hashes) == {known[i].sha256: i for i in here}


def test_more_digests_than_sqlite_takes_at_once_are_looked_up(books):
    with undone(books) as tx:
        photos = [photo(n) for n in range(2000)]
        ids = add(tx, *photos)
        found = items.known_sha256(tx.conn, PANEL, [p.sha256 for p in photos])
        assert found == dict(zip([p.sha256 for p in photos], ids, strict=True))


def test_an_empty_intake_is_a_fact_and_no_batch(books):
    with undone(books) as tx:
        batch, ids = items.add_batch(tx, PANEL, [], counts={"files": 3}, person=DANA)
        assert (ids, batch.count, batch.items) == ([], 0, ItemSet())
        assert items.all_batches(tx.conn) == []
        assert facts.recent(tx.conn, 1)[0].kind == "BatchTakenIn"


def test_a_photo_is_known_to_its_own_source_only(books):
    with undone(books) as tx:
        parties.register_source(tx, a_source("other"))
        one, two = add(tx, photo(1)), add(tx, photo(1), source=OTHER)
        assert items.known_sha256(tx.conn, PANEL, [photo(1).sha256]) == {photo(1).sha256: one.min()}
        assert items.known_sha256(tx.conn, OTHER, [photo(1).sha256]) == {photo(1).sha256: two.min()}
        assert parties.items_of_source(tx.conn, PANEL) == one
        assert parties.items_of_source(tx.conn, OTHER) == two
        with pytest.raises(NotFound, match="There is no source 'nobody'"):
            items.known_sha256(tx.conn, SourceId("nobody"), [])


def test_a_document_is_an_item_of_its_own_kind(books):
    with undone(books) as tx:
        ids = add(tx, photo(1), photo("photos.csv", kind=items.DOCUMENT), photo(2))
        paper = ItemSet([ids[1]])
        assert parties.documents_of_source(tx.conn, PANEL) == parties.documents(tx.conn) == paper
        assert parties.items_of_source(tx.conn, PANEL) == ids
        more = add(tx, photo("photos2.csv", kind=items.DOCUMENT))
        assert parties.documents(tx.conn) == paper | more


def test_children_are_found_a_generation_at_a_time(books):
    with undone(books) as tx:
        ids = add(tx, *(photo(n) for n in range(6)))
        assert items.children_of(tx.conn, ids) == ItemSet()
        for child, parent in ((3, 0), (4, 0), (5, 3)):
            tx.conn.execute(rows.update().where(rows.c.id == ids[child]).values(parent_id=ids[parent]))
        assert items.children_of(tx.conn, ItemSet([ids[0]])) == ItemSet([ids[3], ids[4]])
        assert items.children_of(tx.conn, ItemSet([ids[3], ids[1]])) == ItemSet([ids[5]])


# People


def test_people_get_numbers_once_and_keep_them(books):
    with undone(books) as tx:
        parties.register_source(tx, a_source("other"))
        names = [bytes([n]) * 32 for n in range(5)]
        first = items.subject_numbers(tx, PANEL, names[:3])
        again = items.subject_numbers(tx, PANEL, names)
        assert len(set(again.values())) == 5
        assert all(again[name] == first[name] for name in names[:3])
        elsewhere = items.subject_numbers(tx, OTHER, names[:1])
        assert elsewhere[names[0]] not in again.values()
        assert items.subject_of(tx.conn, PANEL, names[4]) == again[names[4]]
        assert items.subject_of(tx.conn, OTHER, names[4]) is None
        assert items.pseudonyms_of(tx.conn, again.values()) == {no: name for name, no in again.items()}


def test_the_first_value_that_a_person_was_given_stays(books):
    with undone(books) as tx:
        items.set_subject_attributes(tx, [(1, "born", "demographics", "1980"), (1, "born", "demographics", "1990")])
        items.set_subject_attributes(tx, [(1, "born", "demographics", "2000"), (2, "born", "demographics", "1970")])
        items.set_subject_attributes(tx, [])
        assert items.subject_attribute(tx.conn, "born") == {1: "1980", 2: "1970"}
        assert items.subject_attribute(tx.conn, "sex") == {}


@dataclass
class Model:
    """What the books should say, as dictionaries."""

    person: dict = field(default_factory=dict)
    digests: set = field(default_factory=set)
    attributes: dict = field(default_factory=dict)
    """Item to the data classes of its attributes."""
    traits: dict = field(default_factory=dict)
    """Person to the data classes of their attributes."""

    def people_gone(self, doomed):
        mine = {self.person[i] for i in doomed if self.person.get(i)}
        return {
            p
            for p in mine
            if not any(self.person[i] == p and i in self.digests for i in self.person if i not in doomed)
        }


@SHARED
@given(st.integers(0, 2**32))
def test_r2_r21_forgetting_takes_the_content_of_these_items_and_of_people_who_have_no_other(books, seed):
    """A random history of intakes and erasures, people with photos in several, told by a model beside the books."""
    random, model = Random(seed), Model()
    with undone(books) as tx:
        for step in range(random.randint(1, 6)):
            if random.random() < 0.5 or not model.person:
                photos, owners = [], []
                for n in range(random.randint(1, 6)):
                    owners.append(random.choice([None, 1, 2, 3]))
                    named = [(f"a{k}", random.choice(["location", "label"]), "v") for k in range(random.randint(0, 2))]
                    photos.append(photo(f"{step} {n}", owners[-1], attributes=tuple(named)))
                for item, one, who in zip(add(tx, *photos), photos, owners, strict=True):
                    model.person[item] = who
                    model.digests.add(item)
                    model.attributes[item] = [data_class for _n, data_class, _v in one.attributes]
                for who in sorted({o for o in owners if o} - set(model.traits)):
                    items.set_subject_attributes(tx, [(who, "born", "demographics", "1980")])
                    model.traits[who] = ["demographics"]
            else:
                doomed = ItemSet([i for i in model.person if random.random() < 0.5])
                people = model.people_gone(doomed)
                lost = {
                    "digests": len(set(doomed) & model.digests),
                    "item_attributes": sum(len(model.attributes[i]) for i in doomed),
                    "subject_attributes": sum(p in model.traits for p in people),
                }
                left = {k: n for k, n in lost.items() if n and k != "digests"}
                assert items.attribute_rows(tx.conn, doomed) == left
                assert items.forget_content(tx, doomed) == lost
                assert items.attribute_rows(tx.conn, doomed) == {}
                model.digests -= set(doomed)
                model.attributes.update({i: [] for i in doomed})
                for who in people:
                    model.traits.pop(who, None)
            asked = ItemSet([i for i in model.person if random.random() < 0.7])
            assert set(items.digests_of(tx.conn, asked).ids.tolist()) == set(asked) & model.digests
            assert set(items.subject_attribute(tx.conn, "born")) == set(model.traits)
            whose = {i: model.person[i] for i in asked if model.person[i]}
            assert items.subjects_of_items(tx.conn, asked) == whose
            wanted = random.sample([1, 2, 3], 2)
            assert set(items.items_of_subjects(tx.conn, wanted)) == {i for i, w in model.person.items() if w in wanted}
            counts = {}
            for data_class in [c for i in asked for c in model.attributes[i]] + [
                c for who in set(whose.values()) for c in model.traits.get(who, [])
            ]:
                counts[data_class] = counts.get(data_class, 0) + 1
            assert items.attribute_counts(tx.conn, asked) == counts
