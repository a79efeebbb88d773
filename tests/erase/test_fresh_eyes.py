"""The verification believes nobody: it reads everything again, and whatever is left or damaged it finds and names."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from small_corpus import ORDER, PLAN, Corpus, innocent, reencoded
from unsee.app import orders
from unsee.core.errors import ResidueFound, Tampered, WrongState
from unsee.core.evidence import Gone
from unsee.erase import verifier
from unsee.stores.contract import Erased, Target
from unsee.stores.files import FileStore


@pytest.fixture
def applied(small: Corpus) -> Iterator[tuple[Corpus, dict[str, bytes]]]:
    """An order that was carried out, and the bytes of all that went, by path below the root."""
    gone = {p.relative_to(small.root).as_posix(): p.read_bytes() for p in small.scope_files()}
    gone |= {
        p.relative_to(small.root).as_posix(): p.read_bytes()
        for p in (small.root / "ws" / "models").rglob("*")
        if p.is_file() and "rec-panel" not in p.parts
    }
    small.ready().apply()
    yield small, gone


def findings(corpus: Corpus) -> dict[str, str]:
    """What a failing verification names, by place."""
    state = corpus.sql("SELECT state FROM order_events ORDER BY no DESC LIMIT 1")
    with pytest.raises(ResidueFound) as caught:
        corpus.verify()
    assert corpus.sql("SELECT state FROM order_events ORDER BY no DESC LIMIT 1") == state, "nothing was called verified"
    assert corpus.facts()[-1] == "VerificationFailed"
    return {d.where: d.reason for d in caught.value.details}


def put(root: Path, name: str, data: bytes) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(data)


def test_a_verification_that_passes_says_what_it_looked_at(applied: tuple[Corpus, dict[str, bytes]]) -> None:
    corpus, _gone = applied
    files = [p for p in (*corpus.corpus.rglob("*"), *corpus.mirror.rglob("*")) if p.is_file() and not p.is_symlink()]
    seen = corpus.verify()
    assert seen.passed
    assert seen.members == len(files) == 13
    assert seen.bytes_read == sum(p.stat().st_size for p in files)
    assert seen.suppressed == 13
    assert seen.needles == 12, "the digest of the twin that stays may stand in the books"
    assert (seen.retained_items, seen.canary_found) == (10, True)
    assert (
        seen.retained_root
        == seen.expected_root
        == orders.find_plan(corpus.ws, PLAN).directory.summary["retained"]["root"]
    )
    assert corpus.facts()[-1] == "OrderVerified"
    assert corpus.verify().passed, "and again"


def test_nothing_is_verified_before_it_was_carried_out(small: Corpus) -> None:
    small.ready()
    with pytest.raises(WrongState, match="was not carried out yet"):
        small.verify()


@pytest.mark.parametrize(
    "place", ["corpus/okcupid/part-000/{}", "mirror/{}", "corpus/members/twins/{}", "corpus/a/b/c/{}"]
)
def test_one_photo_put_back_is_named_wherever_it_lies(applied: tuple[Corpus, dict[str, bytes]], place: str) -> None:
    corpus, gone = applied
    name = next(n for n in gone if "part-001" in n and "okcupid" in n)
    put(corpus.root, place.format("back.jpg"), gone[name])
    store, _, inside = place.format("back.jpg").partition("/")
    directory, _, file = inside.rpartition("/")
    assert findings(corpus) == {f"{store}:{directory or '.'}/{file}": "on the suppression list (identical bytes)"}
    (corpus.root / place.format("back.jpg")).unlink()
    assert corpus.verify().passed


def test_every_single_file_that_went_would_have_been_found(applied: tuple[Corpus, dict[str, bytes]]) -> None:
    corpus, gone = applied
    for name, data in gone.items():
        put(corpus.root, name, data)
        (where,) = findings(corpus)
        assert where.split(":")[0] in {"corpus", "mirror", "models"}
        assert where.endswith(Path(name).name)
        (corpus.root / name).unlink()
    assert corpus.verify().passed


def test_a_re_encoded_copy_is_named_as_such(applied: tuple[Corpus, dict[str, bytes]]) -> None:
    corpus, gone = applied
    name = next(n for n in gone if "okcupid/part-001" in n)
    put(corpus.root, "outside/original.jpg", gone[name])
    put(corpus.root, "mirror/other.jpg", reencoded(corpus.root / "outside" / "original.jpg", side=80, quality=60))
    found = findings(corpus)
    assert found["mirror:./other.jpg"].startswith("on the suppression list (near-duplicate at distance")


def test_a_renamed_metadata_file_is_named(applied: tuple[Corpus, dict[str, bytes]]) -> None:
    corpus, gone = applied
    put(corpus.root, "mirror/notes.txt", gone["corpus/okcupid/photos.csv"])
    assert findings(corpus) == {"mirror:./notes.txt": "on the suppression list (identical bytes)"}


@pytest.mark.parametrize("name", ["rec-2014/weights.bin", "rec-2014/checkpoints/step-2.bin", "unfinished/new.bin"])
def test_a_model_file_put_back_is_named(applied: tuple[Corpus, dict[str, bytes]], name: str) -> None:
    corpus, _gone = applied
    put(corpus.root / "ws" / "models", name, b"anything at all")
    ((where, reason),) = findings(corpus).items()
    assert where == f"models:{name}"
    assert "which had to go" in reason


def test_a_lawful_model_may_take_the_name_of_what_an_unfinished_run_left(
    applied: tuple[Corpus, dict[str, bytes]],
) -> None:
    corpus, _gone = applied
    corpus.train("unfinished", "faces-panel")
    assert corpus.verify().passed


ROWS = {
    "digests": "INSERT INTO digests VALUES (1, randomblob(32), randomblob(32), randomblob(32), 1)",
    "copies": "INSERT INTO copies VALUES (1, 1, 'x.jpg', 's', 1)",
    "item_attributes": "INSERT INTO item_attributes VALUES (1, 'exif_latitude', 'location', '1')",
    "subject_attributes": "INSERT INTO subject_attributes VALUES (1, 'age', 'demographics', '30')",
}


@pytest.mark.parametrize("table", ROWS)
def test_a_row_put_back_into_the_books_is_named(applied: tuple[Corpus, dict[str, bytes]], table: str) -> None:
    corpus, _gone = applied
    corpus.sql(ROWS[table])
    ((where, reason),) = findings(corpus).items()
    assert where == "books"
    assert reason.startswith("1 rows of ")
    assert table.rsplit("_", maxsplit=1)[-1] in reason


def needles(corpus: Corpus) -> list[bytes]:
    return verifier.read_needles(orders.find_plan(corpus.ws, PLAN).directory.needles_path)


def test_a_digest_in_free_pages_of_the_database_is_found(applied: tuple[Corpus, dict[str, bytes]]) -> None:
    """No query shows it: the row was deleted. Its bytes are still in the file."""
    corpus, _gone = applied
    (twin,) = {d for d in needles(corpus) if corpus.sql("SELECT 1 FROM digests WHERE sha256 = ?", d)}
    digest = next(d for d in needles(corpus) if d != twin)
    path = corpus.root / "ws" / "books.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA secure_delete = OFF")
        db.execute("CREATE TABLE scratch (data BLOB)")
        db.executemany("INSERT INTO scratch VALUES (?)", [(os.urandom(7) + digest,) for _ in range(300)])
        db.commit()
        db.execute("DROP TABLE scratch")
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert digest in path.read_bytes()
    ((where, reason),) = findings(corpus).items()
    assert where == "books"
    assert reason.startswith("the digest of an erased photo stands ")


def test_a_digest_in_the_write_ahead_log_is_found(applied: tuple[Corpus, dict[str, bytes]]) -> None:
    corpus, _gone = applied
    digest = next(d for d in needles(corpus) if not corpus.sql("SELECT 1 FROM digests WHERE sha256 = ?", d))
    with closing(sqlite3.connect(corpus.root / "ws" / "books.sqlite")) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("CREATE TABLE scratch (data BLOB)")
        db.execute("INSERT INTO scratch VALUES (?)", (digest,))
        db.commit()
        db.execute("DROP TABLE scratch")
        db.commit()
        books = corpus.root / "ws" / "books.sqlite"
        assert digest not in books.read_bytes()
        assert digest in books.with_name("books.sqlite-wal").read_bytes()
        ((where, _reason),) = findings(corpus).items()
    assert where == "books"


def retained(corpus: Corpus) -> Path:
    return sorted((corpus.corpus / "panel").rglob("*.jpg"))[0]


def test_a_retained_photo_that_was_altered_is_damage_even_with_its_old_size_and_times(
    applied: tuple[Corpus, dict[str, bytes]],
) -> None:
    corpus, _gone = applied
    path = retained(corpus)
    before, data = path.stat(), bytearray(path.read_bytes())
    data[-5] ^= 1
    with path.open("r+b") as file:  # in place: the same inode
        file.write(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (before.st_size, before.st_mtime_ns, before.st_ino)
    found = findings(corpus)
    place = f"corpus:{path.parent.relative_to(corpus.corpus).as_posix()}/{path.name}"
    assert found.pop(place) == "a retained photo is not byte for byte what was taken in"
    ((_item, reason),) = found.items()
    assert "no copy of this retained photo was found" in reason


def test_a_retained_photo_that_was_deleted_is_damage(applied: tuple[Corpus, dict[str, bytes]]) -> None:
    corpus, _gone = applied
    data = retained(corpus).read_bytes()
    path = retained(corpus)
    path.unlink()
    assert list(findings(corpus).values()) == ["no copy of this retained photo was found as it was taken in"]
    path.write_bytes(data)
    assert corpus.verify().passed, "restored, it is as it was"


def test_a_retained_photo_replaced_by_a_scoped_one_is_damage_and_residue(
    applied: tuple[Corpus, dict[str, bytes]],
) -> None:
    corpus, gone = applied
    path = retained(corpus)
    path.write_bytes(next(data for name, data in gone.items() if "okcupid/part-001" in name))
    with pytest.raises(ResidueFound) as caught:
        corpus.verify()
    assert caught.value.message.startswith(f"{ORDER} is not verified: ")
    reasons = " / ".join(d.reason for d in caught.value.details)
    assert "not byte for byte" in reasons
    assert "on the suppression list (identical bytes)" in reasons


def test_a_raw_search_that_finds_nothing_fails_on_its_canary(
    applied: tuple[Corpus, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, _gone = applied
    monkeypatch.setattr(verifier, "scan", lambda _paths, _needles: {})
    with pytest.raises(ResidueFound, match="missed its canary"):
        corpus.verify()


def test_a_raw_search_is_not_content_with_the_canary_of_another_order(
    applied: tuple[Corpus, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, _gone = applied

    def lazy(_paths: Sequence[Path], wanted: Sequence[bytes]) -> dict[bytes, int]:
        return {wanted[-1]: 2}

    monkeypatch.setattr(verifier, "scan", lazy)
    with pytest.raises(ResidueFound, match="missed its canary"):
        corpus.verify()


@pytest.mark.parametrize("keep", [0, 5 * 32])
def test_needles_that_are_gone_or_cut_short_fail(applied: tuple[Corpus, dict[str, bytes]], keep: int) -> None:
    corpus, _gone = applied
    path = orders.find_plan(corpus.ws, PLAN).directory.needles_path
    path.write_bytes(path.read_bytes()[:keep])
    assert findings(corpus) == {"plan": f"{keep // 32} digests were put aside for the raw scan, 13 are suppressed"}


def test_a_suppression_list_cut_short_fails(applied: tuple[Corpus, dict[str, bytes]]) -> None:
    corpus, _gone = applied
    corpus.sql("DELETE FROM suppression WHERE no = (SELECT max(no) FROM suppression)")
    assert findings(corpus) == {"plan": "13 digests were put aside for the raw scan, 12 are suppressed"}


def test_a_suppression_entry_that_was_changed_is_tampering(applied: tuple[Corpus, dict[str, bytes]]) -> None:
    corpus, _gone = applied
    corpus.sql("UPDATE suppression SET sha_mac = randomblob(32) WHERE no = 3")
    with pytest.raises(Tampered, match="suppression list"):
        corpus.verify()


def test_a_store_that_lies_about_erasing_is_found_out(small: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    def lie(_store: FileStore, _object: str, targets: Sequence[Target]) -> Erased:
        return Erased(tuple(t.selector for t in targets), (), (), Gone.D2)

    small.ready()
    with monkeypatch.context() as patch:
        patch.setattr(FileStore, "erase", lie)
        assert small.apply().erased == 23
    with pytest.raises(ResidueFound) as caught:
        small.verify()
    places = {d.where for d in caught.value.details}
    assert len([w for w in places if not w.startswith("models:")]) == 23
    assert len([w for w in places if w.startswith("models:")]) == 4


def test_a_journal_that_claims_too_much_is_found_out(small: Corpus) -> None:
    small.ready()
    journal = orders.find_plan(small.ws, PLAN).directory.journal_path
    with closing(sqlite3.connect(journal)) as db, db:
        db.execute("CREATE TABLE units (unit TEXT PRIMARY KEY, state TEXT NOT NULL, outcome TEXT NOT NULL)")
        db.execute(
            """INSERT INTO units VALUES ('erase:2', 'done', '{"erased": 9, "absent": 0, "gone": "D2", "kept": []}')"""
        )
    small.apply()
    left = [p for p in small.scope_files() if p.exists()]
    assert left
    with pytest.raises(ResidueFound) as caught:
        small.verify()
    assert {d.where.rsplit("/", 1)[1] for d in caught.value.details} == {p.name for p in left}


def test_innocent_newcomers_are_no_residue(applied: tuple[Corpus, dict[str, bytes]]) -> None:
    corpus, _gone = applied
    put(corpus.root, "mirror/new.jpg", innocent(321))
    put(corpus.root, "mirror/words.txt", b"nothing")
    assert corpus.verify().passed


def test_verifying_writes_nothing_into_stores_and_models(applied: tuple[Corpus, dict[str, bytes]]) -> None:
    corpus, _gone = applied
    places = (corpus.corpus, corpus.mirror, corpus.root / "ws" / "models")
    before = {p: (p.stat().st_mtime_ns, p.stat().st_ino) for place in places for p in place.rglob("*")}
    corpus.verify()
    assert {p: (p.stat().st_mtime_ns, p.stat().st_ino) for place in places for p in place.rglob("*")} == before


def test_a_store_taken_away_is_no_clean_store(applied: tuple[Corpus, dict[str, bytes]]) -> None:
    corpus, _gone = applied
    shutil.rmtree(corpus.mirror)
    with pytest.raises(Exception, match="cannot be opened"):
        corpus.verify()


@pytest.mark.parametrize("later", [False, True])
def test_a_copy_that_was_spoiled_before_the_plan_is_told_and_is_no_damage(small: Corpus, *, later: bool) -> None:
    """The photo has a sound copy elsewhere. What is damage is what happened since the plan, be it to a copy touched before it."""
    first = retained(small)
    again = small.corpus / "panel-again"
    again.mkdir()
    for name in ("spoiled.jpg", "touched.jpg"):
        shutil.copy(first, again / name)
    assert small.take_in(again, "consented-panel").more_copies == 2
    (again / "spoiled.jpg").write_bytes(innocent(99))
    (again / "touched.jpg").touch()
    small.ready().apply()
    if later:
        before = (again / "touched.jpg").stat()
        with (again / "touched.jpg").open("r+b") as file:
            file.write(b"\x00")
        os.utime(again / "touched.jpg", ns=(before.st_atime_ns, before.st_mtime_ns))
        assert findings(small) == {
            "corpus:panel-again/touched.jpg": "a retained photo is not byte for byte what was taken in"
        }
    else:
        (told,) = [f.reason for f in small.verify().kept if f.where == "corpus:panel-again/spoiled.jpg"]
        assert told.startswith("not what was taken in as item ")
        assert told.endswith(", already before the plan")
