"""What only a server can do to the books: be absent, be asked for a password, lose a client, keep old bytes, fill its disk."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from book_writing import PANEL, a_source, add, open_url, photo, whole

import postgres
from unsee.books import bulk, items, parties, places, schema
from unsee.core.errors import InvalidValue, MissingExtra, StoreUnreachable, WorkspaceBusy, WrongState
from unsee.core.ids import ItemSet

HERE = Path(__file__).parent


@pytest.fixture
def empty(server):
    """The URL of a database without tables."""
    name = server.make()
    yield server.url(name)
    server.drop(name)


@pytest.fixture
def name(database):
    """The database's name."""
    return sa.make_url(database).database


@pytest.fixture
def hurried(monkeypatch):
    """Whoever finds the books locked gives up after 50 ms."""
    monkeypatch.setattr("unsee.books.database._BUSY_MS", 50)


def child(code, *arguments):
    """Another process that runs `code` with `book_writing` at hand."""
    path = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )


# Where the books are


def test_any_way_of_writing_the_url_opens_them(server, database):
    for scheme in ("postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2"):
        books = open_url(database.replace("postgresql", scheme, 1))
        with books.read() as conn:
            assert [s.id for s in parties.all_sources(conn)] == [PANEL]
        books.close()


def test_an_empty_database_holds_no_books_until_they_are_made(empty):
    with pytest.raises(StoreUnreachable, match=r"There are no books in database 'books\d+' on /"):
        open_url(empty)
    open_url(empty, create=True).close()
    open_url(empty).close()


def test_an_absent_database_is_named_with_the_next_step(server):
    with pytest.raises(StoreUnreachable) as caught:
        open_url(server.url("nowhere"), create=True)
    assert f"The books at database 'nowhere' on {server.directory} cannot be opened: " in caught.value.message
    assert 'database "nowhere" does not exist' in caught.value.message
    assert '"createdb NAME" makes one' in caught.value.next_step


def test_an_absent_server_is_named():
    with pytest.raises(StoreUnreachable, match=r"database 'books' on localhost, port 1 cannot be opened: .*refused"):
        open_url("postgresql://who:s3cr3t@localhost:1/books")


@pytest.mark.parametrize("password", ["wr0ng-pass", "does not exist", "%25:/@".replace("@", "%40")])
def test_a_password_is_never_repeated(server, password):
    with suppress(Exception):
        server.execute(f"CREATE ROLE {postgres.SECRETIVE} LOGIN PASSWORD 'right'")
    url = f"postgresql://{postgres.SECRETIVE}:{password}@/postgres?host={server.directory}"
    with pytest.raises(StoreUnreachable, match="password authentication failed") as caught:
        open_url(url)
    seen = str(caught.value) + caught.value.next_step
    assert password not in seen
    assert "right" not in seen


@pytest.mark.parametrize(
    "url", ["postgresql://who:s3cr3t@host:port/books", "s3cr3t", "", "mysql://who:s3cr3t@host/books"]
)
def test_what_is_no_url_of_books_is_refused_without_repeating_it(url):
    with pytest.raises(InvalidValue) as caught:
        open_url(url)
    assert "s3cr3t" not in str(caught.value)
    assert "postgresql://USER@HOST:PORT/DATABASE" in caught.value.next_step


def test_without_the_driver_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"pip install 'unsee\[postgres\]'"):
        open_url("postgresql://localhost/books")


def test_a_database_of_something_else_is_left_alone(server, empty):
    server.execute("CREATE TABLE people (id int)", sa.make_url(empty).database)
    with pytest.raises(WrongState, match=r"There are 1 tables of something else in database .*, such as 'people'"):
        open_url(empty, create=True)


def test_a_database_that_cannot_hold_every_script_is_refused(server):
    name = "latin"
    server.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C' LOCALE_PROVIDER libc")
    try:
        with pytest.raises(WrongState, match="is written in LATIN1"):
            open_url(server.url(name), create=True)
    finally:
        server.drop(name)


def test_a_role_without_rights_is_told(server, empty):
    with suppress(Exception):
        server.execute("CREATE ROLE guest LOGIN")
    with pytest.raises(StoreUnreachable, match="permission denied for schema public"):
        open_url(empty.replace("unsee@", "guest@"), create=True)


# The schema


def test_migrated_books_have_the_schema_of_the_code(database):
    engine = sa.create_engine(database.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as conn:
        assert compare_metadata(MigrationContext.configure(conn, opts={"compare_type": True}), schema.metadata) == []
    engine.dispose()


def test_names_are_in_the_order_of_bytes_whatever_the_language_of_the_server(server, name, database):
    columns = server.execute(
        "SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
        "JOIN pg_collation l ON l.oid = a.attcollation WHERE c.relnamespace = 'public'::regnamespace "
        "AND c.relkind = 'r' AND l.collname <> 'C'",
        name,
    )
    assert columns == []
    books = open_url(database)
    names = ["z", "a-b", "a.b", "ab", "a_c", "b"]
    with books.write() as tx:
        for source in names:
            parties.register_source(tx, a_source(source))
    with books.read() as conn:
        assert [s.id for s in parties.all_sources(conn)] == sorted([*names, PANEL])
        assert (
            conn.exec_driver_sql("SELECT 'a_c' < 'ab' COLLATE \"und-x-icu\"").scalar() is True
        )  # and it could be otherwise
    books.close()


def test_two_that_make_the_books_at_once_make_them_once(empty):
    code = "import sys, book_writing; book_writing.create(sys.argv[1])"
    running = [child(code, empty) for _ in range(3)]
    for process in running:
        process.communicate()
    assert [process.returncode for process in running] == [0, 0, 0]
    books = open_url(empty)
    with books.write() as tx:
        parties.register_source(tx, a_source())
        add(tx, photo(1))
    with books.read() as conn:
        assert whole(conn) == 1
    books.close()


# Clients and servers that end


COPYING = """
import sys, time, book_writing
from unsee.books import bulk, schema
books = book_writing.open_url(sys.argv[1])
def rows():
    for n in range(10**9):
        yield n, "name", "label", "x" * 50
        if n == 50_000:
            print("half", flush=True)
            time.sleep(60)
with books.write() as tx:
    book_writing.add(tx, book_writing.photo(1))
    bulk.insert(tx, schema.item_attributes, ["item_id", "name", "data_class", "value"], rows())
"""


@pytest.mark.parametrize("how", ["the client is killed", "its connection is cut"])
def test_an_import_that_is_killed_in_the_middle_leaves_nothing_and_locks_nobody_out(server, database, name, how):
    process = child(COPYING, database)
    assert process.stdout.readline() == "half\n"
    books = open_url(database)
    with books.read() as conn:
        assert whole(conn) == 0
    if how == "the client is killed":
        process.send_signal(signal.SIGKILL)
    else:
        server.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND query LIKE 'COPY %'"  # noqa: S608
        )
        process.kill()
    process.communicate()
    with books.write() as tx:  # waits for the server to see it, not for 30 seconds
        assert whole(tx.conn) == 0
        assert tx.conn.execute(sa.select(sa.func.count()).select_from(schema.item_attributes)).scalar() == 0
        add(tx, photo("after"))
    with books.read() as conn:
        assert whole(conn) == 1
    books.close()


def test_a_server_that_cuts_the_line_is_said_in_words(server, database, name):
    books = open_url(database)
    with (
        pytest.raises(StoreUnreachable, match=r"The books cannot be written to: .*terminat") as caught,
        books.write() as tx,
    ):
        add(tx, photo(1))
        cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"  # noqa: S608
        server.execute(cut)
        add(tx, photo(2))
    assert "nothing of this act was kept" in caught.value.next_step
    with books.write() as tx:  # the next act has a new line
        assert whole(tx.conn) == 0
    books.close()


def test_a_server_that_only_reads_is_said_in_words(server, database, name):
    server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    books = open_url(database)
    with (
        pytest.raises(StoreUnreachable, match=r"The books cannot be written to: .*read-only transaction"),
        books.write() as tx,
    ):
        add(tx, photo(1))
    books.close()


def tablespace(server, size):
    """A place on the server's disk of that many bytes, or None where nothing may be mounted."""
    place = server.directory / f"small-{secrets.token_hex(3)}"
    place.mkdir()
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size},uid=postgres,gid=postgres,mode=700", "tmpfs", place],
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        return None
    if mounted.returncode:
        return None
    server.execute(f"CREATE TABLESPACE {place.name.replace('-', '_')} LOCATION '{place}'")
    return place


def test_a_full_disk_is_said_in_words_and_leaves_nothing(server, database, name):
    place = tablespace(server, 2 << 20)
    if place is None:
        pytest.skip("nothing may be mounted here, so no disk of the server can be full")
    books = open_url(database)
    try:
        server.execute(f"ALTER TABLE item_attributes SET TABLESPACE {place.name.replace('-', '_')}", name)
        columns = ["item_id", "name", "data_class", "value"]
        with pytest.raises(StoreUnreachable, match="No space left on device") as caught, books.write() as tx:
            add(tx, photo(1))
            bulk.insert(tx, schema.item_attributes, columns, ((n, "n", "label", "x" * 500) for n in range(100_000)))
        assert "nothing of this act was kept" in caught.value.next_step
        with books.read() as conn:
            assert whole(conn) == 0
    finally:
        books.close()
        server.drop(name)
        server.execute(f"DROP TABLESPACE {place.name.replace('-', '_')}")
        subprocess.run(["umount", place], check=True)


# Bytes that were deleted


def heap_of(server, name):
    """All bytes of the database's own files: tables, indexes, the planner's statistics."""
    oid = server.execute(f"SELECT oid FROM pg_database WHERE datname = '{name}'")[0][0]  # noqa: S608
    place = server.directory / "data" / "base" / str(oid)
    return b"".join(p.read_bytes() for p in sorted(place.iterdir()) if p.is_file())


def planted(books, count):
    """Photos with unmistakable traces, taken in: item to its traces as bytes."""
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


def forget(books, doomed):
    with books.write() as tx:
        places.forget_copies(tx, ItemSet(doomed))
        items.forget_content(tx, ItemSet(doomed))


@pytest.mark.parametrize("all_of_it", [False, True])
def test_r21_what_was_forgotten_stands_in_no_file_of_the_database(server, database, name, all_of_it):
    books = open_url(database)
    everything = planted(books, 150)
    server.execute("ANALYZE", name)  # the planner keeps samples of what it sees
    gone = {item: traces for item, traces in everything.items() if all_of_it or item % 3}
    there = [t for traces in gone.values() for t in traces]
    forget(books, gone)
    server.execute("CHECKPOINT")
    held = heap_of(server, name)
    assert any(t in held for t in there)  # deleting alone is not enough
    assert books.forget_free_pages() == (
        "the write-ahead log, archives, replicas, backups and logs of the PostgreSQL server",
    )
    held = heap_of(server, name)
    assert [t for t in there if t in held] == []
    assert all(t in held for item, traces in everything.items() if item not in gone for t in traces)
    log = b"".join(p.read_bytes() for p in (server.directory / "data" / "pg_wal").iterdir() if p.is_file())
    assert any(t in log for t in there)  # and this is why the evidence names it
    books.close()


def test_a_role_that_may_not_do_all_of_it_says_what_is_left(server, empty):
    with suppress(Exception):
        server.execute("CREATE ROLE plain LOGIN")
    name = sa.make_url(empty).database
    server.execute("GRANT CREATE ON SCHEMA public TO plain", name)
    books = open_url(empty.replace("unsee@", "plain@"), create=True)
    left = books.forget_free_pages()
    assert left == (
        "the write-ahead log, archives, replicas, backups and logs of the PostgreSQL server",
        "the planner's statistics, in dead rows that only their owner may rewrite",
        "the files of tables as they were, until the server's next checkpoint",
    )
    books.close()


@pytest.mark.parametrize("who", ["reads what was deleted", "has an old snapshot", "writes"])
def test_somebody_who_keeps_forgotten_bytes_alive_is_not_passed_over(server, database, name, hurried, who):
    books, other = open_url(database), open_url(database)
    lost = planted(books, 5)
    traces = [t for each in lost.values() for t in each]
    if who == "writes":
        forget(books, lost)
        with other.write() as tx:
            add(tx, photo("elsewhere"))
            with pytest.raises(WorkspaceBusy):
                books.forget_free_pages()
    else:
        with other.read() as conn:
            assert (
                whole(conn) == 5 if who == "reads what was deleted" else conn.exec_driver_sql("SELECT 1").scalar() == 1
            )
            forget(books, lost)
            with pytest.raises(WorkspaceBusy, match="Somebody else is using the books"):
                books.forget_free_pages()
    books.forget_free_pages()
    held = heap_of(server, name)
    assert not any(t in held for t in traces)
    books.close()
    other.close()


def test_raw_bytes_are_those_of_every_row(database):
    books = open_url(database)
    lost = planted(books, 20)
    held = b"".join(piece for stream in books.raw() for piece in stream)
    assert all(t in held for traces in lost.values() for t in traces)
    forget(books, lost)
    held = b"".join(piece for stream in books.raw() for piece in stream)
    assert not any(t in held for traces in lost.values() for t in traces)
    books.close()
