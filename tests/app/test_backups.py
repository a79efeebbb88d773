"""R7: backups are registered with their expiry, stand in plan and certificate, and are erased again when they are restored."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from datetime import date, timedelta
from pathlib import Path

import pytest

from small_corpus import ADA, DANA, ORDER, PLAN, Corpus
from unsee.app import backups, certification, orders, registry
from unsee.books import orders as orders_book
from unsee.books.backups import may_hold
from unsee.core.errors import AlreadyExists, BlockedByOrder, InvalidValue, NotFound, UnitsFailed, WrongState
from unsee.core.evidence import Gone
from unsee.core.ids import StoreId
from unsee.stores.contract import Erased
from unsee.stores.files import FileStore

EXPIRES = date(2099, 1, 1)


@pytest.fixture
def backed_up(small: Corpus) -> Corpus:
    """A backup of the corpus, made before anything happened."""
    shutil.copytree(small.corpus, small.root / "tape", symlinks=True)
    add(small)
    return small


def add(corpus: Corpus, name: str = "tape-1", *, made: date | None = None, expires: date = EXPIRES) -> backups.Listed:
    return backups.add(
        corpus.ws,
        name,
        location="tape 1 in the safe",
        stores=["corpus"],
        made_on=made or corpus.ws.now().date(),
        expires_on=expires,
        person=DANA,
    )


def restore(corpus: Corpus) -> Path:
    """The tape, read back into a place of its own that is a store now."""
    place = corpus.root / "restored"
    shutil.copytree(corpus.root / "tape", place, symlinks=True)
    registry.add_store(corpus.ws, "restored", kind="files", location=str(place), options={})
    return place


def erased(corpus: Corpus) -> Corpus:
    corpus.ready()
    corpus.apply()
    corpus.verify()
    return corpus


def pictures(place: Path) -> set[Path]:
    return {p.relative_to(place) for p in place.rglob("*") if p.is_file() and not p.is_symlink()}


def test_a_backup_holds_what_its_stores_held_that_day(small: Corpus) -> None:
    with small.ws.books.read() as conn:
        from unsee.books import items

        count = items.next_item_id(conn)
    assert add(small).items == count
    assert add(small, "before-all", made=date(2020, 1, 1)).items == 0
    other = backups.add(
        small.ws,
        "mirrors",
        location="x",
        stores=["mirror"],
        made_on=small.ws.now().date(),
        expires_on=EXPIRES,
        person=DANA,
    )
    assert other.items == 0, "nothing is on record there"
    erased(small)
    with small.ws.books.read() as conn:
        held = [may_hold(conn, [StoreId("corpus")], small.ws.now().date() + timedelta(days=n)) for n in (0, 1)]
        left = orders_book.erased(conn)
    assert held[0] - held[1] == left, "what was erased before the day of the backup is not in it"


def test_r7_it_stands_in_the_plan_the_certificate_and_the_receipts(backed_up: Corpus) -> None:
    backed_up.ready()
    (told,) = orders.find_plan(backed_up.ws, PLAN).directory.summary["backups"]
    assert (told["id"], told["expires_on"]) == ("tape-1", "2099-01-01")
    assert told["items"] == orders.find_plan(backed_up.ws, PLAN).directory.summary["reach"]["items"]
    backed_up.apply()
    backed_up.verify()
    out = backed_up.root / "out"
    made = certification.certify(
        backed_up.ws, certification.Request(ORDER, ADA, out, None, None, True, "own knowledge")
    )
    checked = subprocess.run(
        [sys.executable, "-c", "from unsee_verify.cli import main; main()", str(made.certificate), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "tape-1 with up to" in checked.stdout
    assert "expires 2099-01-01" in checked.stdout
    receipts = [p for p in out.rglob("*.json") if p != made.certificate]
    assert receipts
    assert all("2099-01-01" in p.read_text() for p in receipts)


def test_a_destroyed_backup_stands_in_no_later_plan(backed_up: Corpus) -> None:
    assert backups.destroyed(backed_up.ws, "tape-1", person=ADA, note="shredded, seen by Ada").state == "destroyed"
    backed_up.ready()
    assert orders.find_plan(backed_up.ws, PLAN).directory.summary["backups"] == []
    with pytest.raises(WrongState, match="destroyed already"):
        backups.destroyed(backed_up.ws, "tape-1", person=ADA, note="again")


def test_r7_restoring_is_refused_from_the_moment_of_the_order_on(backed_up: Corpus) -> None:
    assert backups.require_clean(backed_up.ws, "tape-1").barred == 0
    backed_up.open_order()
    with pytest.raises(BlockedByOrder, match=ORDER):
        backups.require_clean(backed_up.ws, "tape-1")
    backed_up.plan()
    backed_up.approve()
    backed_up.apply()
    with pytest.raises(BlockedByOrder, match=ORDER):
        backups.require_clean(backed_up.ws, "tape-1")


def test_r7_what_is_restored_is_erased_again_and_nothing_else(backed_up: Corpus) -> None:
    before = {p: (backed_up.root / "tape" / p).read_bytes() for p in pictures(backed_up.root / "tape")}
    erased(backed_up)
    stays = pictures(backed_up.corpus)
    place = restore(backed_up)
    done = backups.restored(backed_up.ws, "tape-1", store="restored", person=DANA, workers=1)
    twins = {Path("members/twins/same-bytes.jpg"), Path("members/twins/re-encoded.jpg")}
    assert pictures(place) == stays - twins, "twins are recorded elsewhere; here nobody vouches for them"
    assert all((place / p).read_bytes() == before[p] for p in pictures(place))
    assert sum(done.erased.values()) == len(before) - len(stays) + len(twins)
    assert not [d for d in place.rglob("*") if d.is_dir() and not any(d.iterdir())], "emptied directories went too"
    (one,) = backups.all_backups(backed_up.ws)
    assert [e.event for e in one.backup.events] == ["restored", "erased-again"]
    assert not one.backup.waits
    assert backups.restored(backed_up.ws, "tape-1", store="restored", person=DANA, workers=1).erased == {}


def test_what_cannot_be_erased_again_is_named_and_waits(backed_up: Corpus) -> None:
    erased(backed_up)
    place = restore(backed_up)
    photo = next((place / "okcupid" / "part-000").glob("*.jpg"))
    (backed_up.root / "elsewhere.jpg").hardlink_to(photo)
    with pytest.raises(UnitsFailed) as left:
        backups.restored(backed_up.ws, "tape-1", store="restored", person=DANA, workers=1)
    assert any(photo.name in str(line) for line in left.value.details)
    assert backups.all_backups(backed_up.ws)[0].backup.waits
    (backed_up.root / "elsewhere.jpg").unlink()
    backups.restored(backed_up.ws, "tape-1", store="restored", person=DANA, workers=1)
    (one,) = backups.all_backups(backed_up.ws)
    assert not one.backup.waits
    assert [e.event for e in one.backup.events] == ["restored", "erased-again"], (
        "it was restored once, however often one tries"
    )


def test_r7_what_comes_back_over_the_store_itself_goes_and_what_the_books_vouch_for_stays(
    backed_up: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = next((backed_up.corpus / "okcupid").rglob("*.jpg")).read_bytes()
    erased(backed_up)
    over = next((backed_up.corpus / "panel").rglob("*.jpg"))
    over.write_bytes(photo)  # on record as another's, and not that any more
    twin = backed_up.corpus / "members" / "twins" / "same-bytes.jpg"
    os.utime(twin)  # touched, and still what was taken in
    honest = FileStore.erase
    monkeypatch.setattr(
        FileStore, "erase", lambda _s, _o, targets: Erased(tuple(t.selector for t in targets), (), (), Gone.D2)
    )
    with pytest.raises(UnitsFailed) as left:
        backups.restored(backed_up.ws, "tape-1", store="corpus", person=DANA, workers=1)
    assert [over.name in str(line) and "still found" in str(line) for line in left.value.details] == [True]
    monkeypatch.setattr(FileStore, "erase", honest)
    backups.restored(backed_up.ws, "tape-1", store="corpus", person=DANA, workers=1)
    assert (over.exists(), twin.exists()) == (False, True)


def test_r7_a_label_goes_again_with_its_photo(backed_up: Corpus) -> None:
    gone = next((backed_up.corpus / "okcupid").rglob("*.jpg"))
    shard = backed_up.root / "shards" / "0.tar"
    shard.parent.mkdir()
    with tarfile.open(shard, "w") as writer:
        for name, path in (("1.jpg", gone), ("2.jpg", next((backed_up.corpus / "panel").rglob("*.jpg")))):
            writer.add(path, name)
            writer.add(backed_up.document, f"{name[0]}.txt")
    registry.add_store(backed_up.ws, "shards", kind="tar", location=str(shard.parent), options={})
    kept = shard.read_bytes()
    shard.unlink()
    erased(backed_up)
    shard.write_bytes(kept)
    backups.restored(backed_up.ws, "tape-1", store="shards", person=DANA, workers=1)
    with tarfile.open(shard) as reader:
        assert [name for name in reader.getnames() if not name.startswith("__erased__/")] == ["2.jpg", "2.txt"]


def test_a_backup_made_before_the_erasure_and_registered_after_it_is_barred_all_the_same(small: Corpus) -> None:
    erased(small)
    with pytest.raises(BlockedByOrder):
        add(small, "found-later")
        backups.require_clean(small.ws, "found-later")


def test_it_is_overdue_from_its_day_on(small: Corpus) -> None:
    found = add(small, made=date(2020, 1, 1), expires=date(2020, 2, 1))
    assert found.state == "overdue"
    assert add(small, "later").state == "kept"
    assert add(small, "ends-today", made=date(2020, 1, 1), expires=small.ws.now().date()).state == "overdue"


def test_bad_input_is_refused_by_name(small: Corpus) -> None:
    add(small)
    with pytest.raises(AlreadyExists):
        add(small)
    with pytest.raises(InvalidValue, match="made on"):
        add(small, "future", made=date(2098, 1, 1))
    with pytest.raises(InvalidValue, match="expire"):
        add(small, "gone", made=date(2020, 1, 1), expires=date(2020, 1, 1))
    with pytest.raises(InvalidValue, match="at least one store"):
        backups.add(small.ws, "x", location="x", stores=[], made_on=date(2020, 1, 1), expires_on=EXPIRES, person=DANA)
    with pytest.raises(NotFound, match="nowhere"):
        backups.add(
            small.ws, "x", location="x", stores=["nowhere"], made_on=date(2020, 1, 1), expires_on=EXPIRES, person=DANA
        )
    with pytest.raises(InvalidValue, match="how it was destroyed"):
        backups.destroyed(small.ws, "tape-1", person=ADA, note=" ")
    with pytest.raises(NotFound, match="no-such"):
        backups.require_clean(small.ws, "no-such")
