"""Opening, migrating, transactions: what is kept, what is not, and what a kill leaves."""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import alembic.command
import alembic.config
import alembic.script
import book_writing
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from book_writing import NOW, PANEL, a_source, add, open_books, open_url, photo, url_of, whole

from unsee.books import database, facts, items, migrations, parties, places
from unsee.books.database import Books, stamp
from unsee.books.schema import metadata
from unsee.core.errors import StoreUnreachable, WorkspaceBusy, WrongState
from unsee.core.ids import ItemSet
from unsee.testing.faults import kill_everywhere, run_killed_at


def alembic_config(connection=None):
    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


@pytest.fixture
def hurried(monkeypatch):
    """Whoever finds the books locked gives up after 50 ms."""
    monkeypatch.setattr(database, "_BUSY_MS", 50)


# The schema


def test_migrated_books_have_the_schema_of_the_code(tmp_path):
    book_writing.create(url_of(tmp_path / "migrated.sqlite"))
    migrated = sa.create_engine(url_of(tmp_path / "migrated.sqlite"))
    made = sa.create_engine(url_of(tmp_path / "made.sqlite"))
    metadata.create_all(made)
    with migrated.connect() as conn:
        assert compare_metadata(MigrationContext.configure(conn, opts={"compare_type": True}), metadata) == []
    for table in metadata.tables:  # what Alembic does not compare: primary keys, dense numbers, tables without row ids
        shapes = []
        for engine in (migrated, made):
            with engine.connect() as conn:
                columns = conn.exec_driver_sql(f"PRAGMA table_info({table})").all()
                bare = conn.exec_driver_sql("SELECT wr FROM pragma_table_list WHERE name = ?", (table,)).scalar_one()
                shapes.append((sorted((c.name, c.type, c.notnull, c.pk) for c in columns), bare))
        assert shapes[0] == shapes[1], table
    migrated.dispose()
    made.dispose()


def test_the_newest_migration_is_the_one_that_opening_looks_for():
    assert alembic.script.ScriptDirectory.from_config(alembic_config()).get_current_head() == database._HEAD


def test_reopening_does_not_migrate_nor_load_what_migrates(path, monkeypatch):
    monkeypatch.setattr(migrations, "upgrade", lambda *_: pytest.fail("it migrated"))
    open_books(path).close()
    code = (
        "import sys; from unsee.books.database import Books; "
        f"Books.open({url_of(path)!r}).close(); print('alembic' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


def test_older_books_are_migrated_forward(tmp_path):
    path = tmp_path / "old.sqlite"
    engine = sa.create_engine(url_of(path))
    with engine.begin() as conn:
        alembic.command.stamp(alembic_config(conn), "base")
    engine.dispose()
    books = open_books(path)
    with books.write() as tx:
        parties.register_source(tx, a_source())
    with books.read() as conn:
        assert conn.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == database._HEAD
        assert whole(conn) == 0
    books.close()


def test_books_of_a_newer_unsee_are_left_alone(path):
    with sqlite3.connect(path) as conn:
        conn.execute("UPDATE alembic_version SET version_num = '9999'")
    conn.close()
    with pytest.raises(WrongState, match=r"These books are of revision 9999; this unsee knows revisions up to \d{4}\."):
        open_books(path)


# What is no books


def test_absent_books_are_an_error_and_are_not_made(tmp_path):
    with pytest.raises(StoreUnreachable, match="There are no books at"):
        open_books(tmp_path / "books.sqlite")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_a_file_that_holds_no_books_is_an_error(tmp_path, content):
    path = tmp_path / "books.sqlite"
    path.write_bytes(content)
    with pytest.raises(StoreUnreachable, match=r"books\.sqlite"):
        open_books(path)


def test_a_place_where_no_file_can_be_is_an_error(tmp_path):
    with pytest.raises(StoreUnreachable, match="cannot be opened: unable to open database file"):
        open_books(tmp_path / "nowhere" / "books.sqlite", create=True)


def test_books_that_cannot_be_written_to_say_so(path):
    books = Books.open(f"sqlite:///file:{path}?mode=ro&uri=true", create=True)
    with pytest.raises(StoreUnreachable, match="attempt to write a readonly database"), books.write() as tx:
        add(tx, photo(1))
    books.close()


# Transactions


def test_a_transaction_that_fails_leaves_nothing(books):
    with pytest.raises(ZeroDivisionError), books.write() as tx:
        add(tx, photo(1), photo(2))
        facts.record(tx, "SomethingHappened")
        raise ZeroDivisionError
    with books.read() as conn:
        assert whole(conn) == 0
        assert not facts.find(conn, ["SomethingHappened"])
        assert items.known_sha256(conn, PANEL, [photo(1).sha256]) == {}


def test_what_is_written_while_reading_is_not_kept(books):
    with suppress(sa.exc.InternalError), books.read() as conn:  # PostgreSQL refuses at once
        conn.exec_driver_sql("DELETE FROM sources")
    with books.read() as conn:
        assert [s.id for s in parties.all_sources(conn)] == [PANEL]


def test_all_facts_of_a_transaction_carry_its_moment(books):
    with books.write() as tx:
        assert (tx.now, tx.at) == (NOW, "2026-05-01T12:00:00Z")
        facts.record(tx, "SomethingHappened")
        fact = facts.recent(tx.conn, 1)[0]
    assert '"at":"2026-05-01T12:00:00Z"' in fact.body
    assert books.now() == NOW


def test_times_are_written_in_utc_with_seconds():
    east = timezone(timedelta(hours=5, minutes=30))
    assert stamp(datetime(2026, 5, 1, 2, 0, 0, 999_999, tzinfo=east)) == "2026-04-30T20:30:00Z"
    assert stamp(datetime(2026, 5, 1, tzinfo=UTC)) == "2026-05-01T00:00:00Z"


def test_a_defect_in_a_statement_stays_visible_as_such(books):
    with (
        pytest.raises(sa.exc.DatabaseError, match=r"no such table|\"no_such_table\" does not exist"),
        books.write() as tx,
    ):
        tx.conn.exec_driver_sql("DELETE FROM no_such_table")


def test_a_full_disk_is_said_in_words_and_leaves_nothing(sqlite_books):
    books = sqlite_books
    with pytest.raises(StoreUnreachable, match="database or disk is full"), books.write() as tx:
        tx.conn.exec_driver_sql("PRAGMA max_page_count = 1")  # SQLite's own way to be full
        add(tx, *(photo(n, attributes=(("note", "label", "x" * 5000),)) for n in range(200)))
    books.close()
    with books.read() as conn:
        assert whole(conn) == 0


def test_a_second_writer_waits_and_then_says_that_the_books_are_busy(url, hurried):
    one, two = open_url(url), open_url(url)
    with one.write() as tx:
        add(tx, photo(1))
        with pytest.raises(WorkspaceBusy, match="is using the books"), two.write():
            pytest.fail("two writers at once")
    with two.write() as tx:
        add(tx, photo(2))
    with one.read() as conn:
        assert whole(conn) == 2
    one.close()
    two.close()


def test_a_reader_sees_one_moment_while_a_writer_commits(url):
    one, two = open_url(url), open_url(url)
    with one.read() as conn:
        assert whole(conn) == 0
        with two.write() as tx:
            add(tx, photo(1))
        assert whole(conn) == 0
    with one.read() as conn:
        assert whole(conn) == 1
    one.close()
    two.close()


def test_readers_never_see_half_a_batch(url):
    done = threading.Event()
    failures = []

    def read():
        reader = open_url(url)
        try:
            while not done.is_set():
                with reader.read() as conn:
                    assert whole(conn) % 3 == 0
        except AssertionError as error:
            failures.append(error)
        finally:
            reader.close()

    thread = threading.Thread(target=read)
    thread.start()
    try:
        book_writing.take_in_many_batches(url, "w", 15)
    finally:
        done.set()
        thread.join()
    assert not failures


def test_two_processes_that_write_at_once_lose_nothing(url):
    code = "import sys; import book_writing; book_writing.take_in_many_batches(sys.argv[1], sys.argv[2], 12)"
    here = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])}
    running = [subprocess.Popen([sys.executable, "-c", code, url, name], env=here) for name in ("one", "two")]
    assert [process.wait() for process in running] == [0, 0]
    books = open_url(url)
    with books.read() as conn:
        assert whole(conn) == 2 * 12 * 3
        every = parties.items_of_source(conn, PANEL)
        assert every == ItemSet(range(72))
        wanted = [photo(f"{name} {n} {i}").sha256 for name in ("one", "two") for n in range(12) for i in range(3)]
        assert set(items.known_sha256(conn, PANEL, wanted)) == set(wanted)
    books.close()


# Kills


def test_a_killed_writer_leaves_a_whole_batch_or_none(template, tmp_path):
    path = tmp_path / "books.sqlite"

    def reset():
        for left in tmp_path.glob("books.sqlite*"):
            left.unlink()
        shutil.copy(template, path)

    seen = []
    for killed in kill_everywhere(partial(book_writing.take_in_one_batch, url_of(path)), reset=reset):
        books = open_books(path)
        with books.read() as conn:
            seen.append(whole(conn))
        with books.write() as tx:  # and the books are not locked by the dead
            add(tx, photo("after"))
        with books.read() as conn:
            assert whole(conn) == seen[-1] + 1, killed
        books.close()
    assert set(seen) == {0, 5}
    assert seen == sorted(seen)


def test_books_whose_making_was_killed_are_made_again(tmp_path):
    path = tmp_path / "books.sqlite"
    calls = len(run_killed_at(partial(book_writing.create, url_of(path)), 0).calls)
    assert calls > 20
    for n in range(1, calls + 1, 7):
        for left in tmp_path.glob("books.sqlite*"):
            left.unlink()
        run_killed_at(partial(book_writing.create, url_of(path)), n)
        books = open_books(path, create=True)
        with books.write() as tx:
            parties.register_source(tx, a_source())
            add(tx, photo(1))
        with books.read() as conn:
            assert whole(conn) == 1
        books.close()


# Bytes that were deleted


def raw(path):
    """All bytes of the database file and its write-ahead log."""
    return b"".join(p.read_bytes() for p in (Path(path), Path(f"{path}-wal")) if p.exists())


def planted(books, count):
    """Photos with unmistakable digests, attributes and file names, already taken in: item to its traces as bytes."""
    marks = [secrets.token_hex(16) for _ in range(count)]
    photos = [photo(m, attributes=((f"n{m}", "location", f"v{m}"),)) for m in marks]
    with books.write() as tx:
        ids = add(tx, *photos)
        number = places.object_numbers(tx, 1, [f"d{m}" for m in marks])
        rows = [places.Copy(i, number[f"d{m}"], f"f{m}", f"s{m}", 9) for i, m in zip(ids, marks, strict=True)]
        places.replace_copies(tx, rows)
    return {
        item: [one.sha256, one.pixels, one.pdq, *(f"{kind}{mark}".encode() for kind in "nvdfs")]
        for item, one, mark in zip(ids, photos, marks, strict=True)
    }


def traces_of(photos):
    return [trace for traces in photos.values() for trace in traces]


def test_r21_what_was_forgotten_stands_nowhere_in_the_files(sqlite_books, path):
    books = sqlite_books
    everything = planted(books, 120)
    gone = {item: traces for item, traces in everything.items() if item % 3}
    lawful = {item: traces for item, traces in everything.items() if item not in gone}
    assert all(t in raw(path) for t in traces_of(everything))
    with books.write() as tx:
        places.forget_copies(tx, ItemSet(gone))
        items.forget_content(tx, ItemSet(gone))
    assert any(t in raw(path) for t in traces_of(gone))  # deleting alone is not enough
    books.forget_free_pages()
    left = raw(path)
    assert not any(t in left for t in traces_of(gone))
    assert all(t in left for t in traces_of(lawful))
    with books.read() as conn:
        assert items.digests_of(conn, ItemSet(everything)).ids.tolist() == list(lawful)


def test_the_room_of_what_was_forgotten_is_given_back(sqlite_books):
    books = sqlite_books
    ids = ItemSet(planted(books, 300))
    with books.write() as tx:
        places.forget_copies(tx, ids)
        items.forget_content(tx, ids)
    with books.read() as conn:
        assert conn.exec_driver_sql("PRAGMA freelist_count").scalar_one() > 10
    books.forget_free_pages()
    with books.read() as conn:
        assert conn.exec_driver_sql("PRAGMA freelist_count").scalar_one() == 0


def test_a_reader_that_keeps_forgotten_bytes_alive_is_not_passed_over(path, hurried):
    books, other = open_books(path), open_books(path)
    there = planted(books, 5)
    doomed, traces = ItemSet(there), traces_of(there)
    with other.read() as conn:
        whole(conn)
        with books.write() as tx:
            items.forget_content(tx, doomed)
        with pytest.raises(WorkspaceBusy):
            books.forget_free_pages()
        assert any(t in raw(path) for t in traces)
    with books.write() as tx:
        places.forget_copies(tx, doomed)
    books.forget_free_pages()
    assert not any(t in raw(path) for t in traces)
    books.close()
    other.close()


def test_a_writer_that_holds_the_books_is_not_passed_over_either(path, hurried):
    books, other = open_books(path), open_books(path)
    with other.write() as tx:
        add(tx, photo(1))
        with pytest.raises(WorkspaceBusy):
            books.forget_free_pages()
    books.forget_free_pages()
    books.close()
    other.close()


def test_forgetting_is_finished_after_a_kill_anywhere(template, tmp_path):
    path = tmp_path / "books.sqlite"
    full = tmp_path / "full.sqlite"
    shutil.copy(template, full)
    made = open_books(full)
    lost = planted(made, 3)
    doomed, traces, kept = ItemSet(lost), traces_of(lost), ItemSet(planted(made, 3))
    made.forget_free_pages()
    made.close()

    def reset():
        for left in tmp_path.glob("books.sqlite*"):
            left.unlink()
        shutil.copy(full, path)

    scrub = partial(book_writing.scrub, url_of(path), list(doomed))
    for _killed in kill_everywhere(scrub, reset=reset):
        scrub()
        assert not any(t in raw(path) for t in traces)
        books = open_books(path)
        with books.read() as conn:
            assert set(items.digests_of(conn, doomed | kept).ids.tolist()) == set(kept)
            assert parties.items_of_source(conn, PANEL) == doomed | kept
        books.close()
