"""The search for residue: what no reader of a format shows is found in the raw bytes, and each search proves itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from small_corpus import ADA, DANA, OKCUPID, ORDER, PLAN, TRAIN, Corpus
from unsee.app import certification, indexing, orders, registry, uses
from unsee.books import orders as books
from unsee.core.errors import ResidueFound
from unsee.core.evidence import Gone
from unsee.core.ids import ItemSet, OrderId, StoreId
from unsee.erase import residue
from unsee.erase.aside import AnchorFile, PutAside
from unsee.erase.fresh import StoreSearched
from unsee.match.anchors import AnchorKey, read_anchors
from unsee.stores.files import FileStore


def photos(corpus: Corpus) -> list[Path]:
    return sorted((corpus.corpus / "okcupid" / "part-000").glob("*.jpg"))


@pytest.fixture
def planned(small: Corpus) -> Corpus:
    return small.ready()


def test_r19_bytes_of_an_erased_photo_inside_another_file_fail_the_verification(planned: Corpus) -> None:
    photo = photos(planned)[0].read_bytes()
    planned.apply()
    (planned.mirror / "core.1234").write_bytes(b"a dump " * 31 + photo[:-100] + b" of a trainer's memory")
    with pytest.raises(ResidueFound) as failed:
        planned.verify()
    found = [str(f) for f in failed.value.details]
    assert any(f.startswith("mirror:./core.1234: raw bytes of an erased photo") for f in found), found


def test_a_piece_of_a_photo_is_found_that_no_picture_library_opens(planned: Corpus) -> None:
    photo = photos(planned)[1].read_bytes()
    planned.apply()
    (planned.corpus / "loose" / "slack.bin").write_bytes(bytes(4_097) + photo[len(photo) // 2 :])
    with pytest.raises(ResidueFound) as failed:
        planned.verify()
    assert any("slack.bin: raw bytes" in str(f) for f in failed.value.details)


def test_a_clean_store_passes_with_every_store_searched_and_every_canary_found(planned: Corpus) -> None:
    planned.apply()
    seen = planned.verify()
    assert not replace(seen, retained_root="00" * 32).passed
    assert {s.store for s in seen.searched} == {"corpus", "mirror"}
    assert seen.places["corpus"].skipped == 1, "the link"
    assert seen.as_json()["residue_search"]["stores"]["corpus"]["not_searched"] == {
        "a symbolic link, not a regular file": 1
    }
    assert all(s.canary_found for s in seen.searched)
    assert {s.store: len(s.hits) for s in seen.searched} == {"corpus": seen.shared_anchors, "mirror": 0}
    assert seen.anchors > 0
    assert seen.probed == sum(len(u.targets) for u in orders.find_plan(planned.ws, PLAN).directory.units())
    searched = {s.store: s.size_bytes for s in seen.searched}
    assert searched["corpus"] == sum(
        f.stat().st_size for f in planned.corpus.rglob("*") if f.is_file() and not f.is_symlink()
    )


def test_a_twin_that_stays_shares_its_bytes_and_is_no_residue(planned: Corpus) -> None:
    twin = planned.corpus / "members" / "twins" / "same-bytes.jpg"
    planned.apply()
    assert twin.exists()
    seen = planned.verify()
    assert seen.shared_anchors > 0


def test_a_search_that_misses_its_canary_fails_the_verification(
    planned: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned.apply()
    honest = residue.look_again

    def missing(*args, **kwargs):
        for one in honest(*args, **kwargs):
            yield replace(one, canary_found=False) if isinstance(one, StoreSearched) else one

    monkeypatch.setattr("unsee.erase.verifier.look_again", missing)
    with pytest.raises(ResidueFound, match="canary") as failed:
        planned.verify()
    assert not failed.value.details


def test_what_cannot_be_probed_is_not_called_gone(planned: Corpus) -> None:
    planned.apply()
    part = planned.corpus / "okcupid"
    if part.exists():
        part.rmdir()
    part.symlink_to(planned.mirror)
    with pytest.raises(ResidueFound) as failed:
        planned.verify()
    assert any("could not be probed" in str(f) for f in failed.value.details)


def test_anchors_are_on_the_disk_before_the_bytes_go_and_leave_with_the_certificate(planned: Corpus) -> None:
    directory = orders.find_plan(planned.ws, PLAN).directory
    assert not directory.anchors_path.exists()
    expected = {
        code
        for path in planned.scope_files()
        for code in AnchorKey(planned.ws.suppression_key.anchor_key("order-0001")).anchors(path.read_bytes()).tolist()
    }
    planned.apply()
    assert set(read_anchors(directory.anchors_path).tolist()) == expected
    planned.verify()
    out = planned.root / "certificates"
    certification.certify(planned.ws, certification.Request(ORDER, ADA, out, None, None, False, "own knowledge"))
    assert not directory.anchors_path.exists()


def test_a_torn_entry_is_passed_over_and_does_not_shift_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    monkeypatch.setattr("unsee.erase.aside.os.fsync", flushed.append)
    (tmp_path / "a").mkdir()
    for name, size in (("one", 9_000), ("two", 90_000)):
        (tmp_path / "a" / name).write_bytes(np.random.default_rng(len(name) + ord(name[0])).bytes(size))
    store = FileStore(StoreId("s"), str(tmp_path / "a"))
    path, key = tmp_path / "anchors.bin", bytes(32)
    file = AnchorFile(path, key)
    assert file.put_aside(store, ".", ["one"]) == PutAside(0, 0)
    first = set(read_anchors(path).tolist())
    with path.open("ab") as torn:
        torn.write(b"\x01\x02\x03")
    assert set(read_anchors(path).tolist()) == first
    assert file.put_aside(store, ".", ["two"]) == PutAside(0, 0)
    assert len(flushed) == 2, "they are on the disk before the bytes go"
    both = {c for n in ("one", "two") for c in AnchorKey(key).anchors((tmp_path / "a" / n).read_bytes()).tolist()}
    assert both <= set(read_anchors(path).tolist())


def test_small_members_are_counted_as_not_searched_for(tmp_path: Path) -> None:
    (tmp_path / "label.txt").write_text("cat")
    store = FileStore(StoreId("s"), str(tmp_path))
    assert AnchorFile(tmp_path / ".anchors", bytes(32)).put_aside(store, ".", ["label.txt", "absent"]) == PutAside(1, 1)


def test_r6_each_item_has_the_step_that_the_weakest_of_its_copies_reached(small: Corpus) -> None:
    registry.add_store(small.ws, "zeroed", kind="files", location=str(only(small)), options={"overwrite": "true"})
    strong = indexing.index_store(small.ws, "zeroed", source=OKCUPID, made_from=None, person=DANA).recorded
    assert strong == 1
    small.ready().apply()
    small.verify()
    with small.ws.books.read() as conn:
        gone = books.gone_of(conn, OrderId(ORDER))
        scope = books.scope_of(conn, OrderId(ORDER))
    assert ItemSet.union(*gone.values()) == scope
    assert set(gone) == {"D2"}, "what was overwritten in one store has a copy in another that was unlinked"
    assert uses.why(small.ws, scope.min(), TRAIN).gone is Gone.D2


def only(corpus: Corpus) -> Path:
    """A store with one copy."""
    place = corpus.root / "zeroed"
    place.mkdir()
    (place / "copy.jpg").write_bytes(photos(corpus)[0].read_bytes())
    return place
