"""`unsee store index`: members of a store become copies on record, embeddings become items, and an order reaches both."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from small_corpus import DANA, OKCUPID, ORDER, PANEL, PLAN, Corpus
from unsee.app import indexing, orders, registry
from unsee.books import items, parties
from unsee.core.errors import BlockedByOrder, MetadataError, NotFound, StoreError
from unsee.core.ids import SourceId
from unsee.intake.store_index import Indexed
from unsee.stores.contract import Store


@pytest.fixture
def lake(small: Corpus) -> Corpus:
    """Another store, filled with copies by a program that knows of no books."""
    place = small.root / "lake"
    place.mkdir()
    for path in photos(small):
        shutil.copy(path, place / f"row-{path.stem}.jpg")
    shutil.copy(next((small.corpus / "panel").rglob("*.jpg")), place / "panel.jpg")
    registry.add_store(small.ws, "lake", kind="files", location=str(place), options={})
    return small


def photos(corpus: Corpus) -> list[Path]:
    return sorted((corpus.corpus / "okcupid").rglob("*.jpg"))


def index(corpus: Corpus, source: str = OKCUPID, made_from: Path | None = None, store: str = "lake") -> Indexed:
    return indexing.index_store(corpus.ws, store, source=source, made_from=made_from, person=DANA)


def vectors(corpus: Corpus) -> Path:
    """A store of embeddings, and the list that says what each was made from."""
    place = corpus.root / "vectors"
    place.mkdir()
    lines = ["selector,sha256,photo"]
    for number, path in enumerate(photos(corpus)):
        np.random.default_rng(number).normal(size=128).astype("<f4").tofile(place / f"{number}.f32")
        inside = path.relative_to(corpus.corpus)
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if number % 2 else ""
        photo = "" if digest else f"corpus:{inside.parent.as_posix()}/{inside.name}"
        lines.append(f"{number}.f32,{digest},{photo}")
    (place / "unrelated.f32").write_bytes(bytes(512))
    listing = corpus.root / "made-from.csv"
    listing.write_text("\n".join(lines) + "\n")
    registry.add_store(corpus.ws, "vectors", kind="files", location=str(place), options={})
    return listing


def test_r4_copies_in_another_store_are_recorded_and_a_second_time_nothing_is_read(lake: Corpus) -> None:
    first = index(lake)
    assert (first.members, first.recorded, first.others, first.known) == (
        len(photos(lake)) + 1,
        len(photos(lake)),
        1,
        0,
    )
    second = index(lake)
    assert (second.recorded, second.known, second.others) == (0, len(photos(lake)), 1)
    assert index(lake, PANEL).recorded == 1
    one, two, *_ = photos(lake)
    changed = next(p for p in (lake.root / "lake").iterdir() if p.read_bytes() == one.read_bytes())
    changed.write_bytes(two.read_bytes())
    (lake.root / "lake" / "link").symlink_to(changed)
    third = index(lake)
    assert (third.recorded, third.known, third.skipped) == (1, len(photos(lake)) - 1 + 1, 1), (
        "read again, as it changed"
    )


def test_r3_an_order_reaches_indexed_copies_as_recorded_ones(lake: Corpus) -> None:
    index(lake)
    lake.ready()
    reasons = {
        t.reason
        for unit in orders.find_plan(lake.ws, PLAN).directory.units()
        if unit.store == "lake"
        for t in unit.targets
    }
    assert reasons == {"recorded copy of an item in scope"}
    lake.apply()
    assert [p.name for p in (lake.root / "lake").iterdir()] == ["panel.jpg"]
    lake.verify()


def test_r9_embeddings_become_items_of_their_own_and_go_with_their_photos(small: Corpus) -> None:
    listing = vectors(small)
    done = index(small, made_from=listing, store="vectors")
    assert (done.derived, done.recorded, done.others, done.failed) == (len(photos(small)), 0, 1, {})
    with small.ws.books.read() as conn:
        mine = parties.items_of_source(conn, SourceId(OKCUPID))
        made = parties.documents_of_source(conn, SourceId(OKCUPID))
        assert items.children_of(conn, mine) == items.children_of(conn, mine) & made
        assert len(items.children_of(conn, mine)) == len(photos(small))
        shown = items.subjects_of_items(conn, items.children_of(conn, mine))
        assert len(shown) == len(photos(small)), "an embedding shows the person of its photo"
    again = index(small, made_from=listing, store="vectors")
    assert (again.derived, again.recorded, again.known) == (0, 0, len(photos(small)))
    small.ready()
    small.apply()
    assert [p.name for p in (small.root / "vectors").iterdir()] == ["unrelated.f32"]
    small.verify()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_members_that_cannot_be_read_are_named_and_the_others_recorded(
    lake: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def some(store: Store, name: str, selectors: list[str]) -> Iterator[tuple[str, bytes | StoreError]]:
        yield selectors[0], StoreError("it cannot be read")
        yield from ((s, store.read(name, s)) for s in selectors[2:])

    monkeypatch.setattr("unsee.intake.store_index.read_many", some)
    done = index(lake)
    assert sorted(done.failed.values()) == ["it cannot be read", "it went away while the store was read"]
    assert done.recorded + done.others == done.members - 2


def test_what_was_made_from_an_unknown_photo_is_named_and_not_taken_in(small: Corpus) -> None:
    listing = vectors(small)
    other = next((small.corpus / "panel").rglob("*.jpg"))
    listing.write_text(
        f"object,selector,sha256,photo\n.,0.f32,{'ab' * 32}\n.,1.f32,{digest(photos(small)[1])}\n"
        f".,2.f32,,corpus:{other.relative_to(small.corpus)}\nelsewhere,3.f32,{digest(photos(small)[2])}\n"
    )
    done = index(small, made_from=listing, store="vectors")
    assert done.derived == 1
    assert sorted(done.failed) == ["./0.f32", "./2.f32"], "another source's photo is none of this source's"
    assert "does not have" in done.failed["./0.f32"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("selector\n1\n", "columns"),
        ("selector,sha256\n1,xyz\n", "line 2"),
        ("selector,photo\n1,nowhere\n", "STORE:OBJECT/SELECTOR"),
        ("selector,sha256\n1," + "ab" * 32 + "\n1," + "ab" * 32 + "\n", "twice"),
    ],
)
def test_a_list_that_breaks_its_form_is_refused_by_line(small: Corpus, text: str, why: str) -> None:
    (small.root / "vectors").mkdir()
    registry.add_store(small.ws, "vectors", kind="files", location=str(small.root / "vectors"), options={})
    listing = small.root / "made-from.csv"
    listing.write_text(text)
    with pytest.raises(MetadataError, match=why):
        index(small, made_from=listing, store="vectors")


def test_r5_nothing_is_indexed_for_a_source_under_an_order(lake: Corpus) -> None:
    lake.open_order()
    with pytest.raises(BlockedByOrder):
        index(lake)
    assert ORDER


def test_an_unknown_store_or_source_is_named(small: Corpus) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        index(small, store="nowhere")
    with pytest.raises(NotFound, match="nobody"):
        index(small, "nobody", store="corpus")
