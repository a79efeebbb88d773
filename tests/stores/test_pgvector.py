"""What the contract does not say of PostgreSQL: other transactions, statistics, constraints, rights, types."""

import socket
import threading
from contextlib import suppress

import numpy as np
import psycopg
import pytest

import postgres
from unsee.core.errors import InvalidValue, StoreError, StoreUnreachable
from unsee.core.evidence import Gone
from unsee.stores.contract import Member, RawPart, Skipped, Target
from unsee.stores.pgvector import waiting
from unsee.stores.registry import open_store
from unsee.testing.stores import store_id

X = np.random.default_rng(5).standard_normal((6, 64)).astype("<f4")
INITDB = ("--encoding=UTF8", "--locale=C.UTF-8", "--wal-segsize=1")


@pytest.fixture(scope="module")
def server():
    found = postgres.programs()
    if found is None and not postgres.required():
        pytest.skip("no PostgreSQL server is installed")
    with postgres.running(found, *INITDB) as running:
        running.execute("CREATE ROLE clerk LOGIN")
        yield running


@pytest.fixture
def base(server):
    name = server.make()
    with psycopg.connect(server.url(name), autocommit=True) as conn:
        conn.execute("GRANT ALL ON SCHEMA public TO clerk")
        conn.execute("CREATE TABLE faces (id text PRIMARY KEY, face real[])")
        for number, row in enumerate(X):
            conn.execute("INSERT INTO faces VALUES (%s, %s)", [f"p{number}", row.tolist()])
        conn.execute("ANALYZE")
        yield server.url(name), conn
    server.drop(name)


def store_of(url, **options):
    return open_store(store_id(), "pgvector", url, {"data": "face", "wait": "1", **options})


def raw(store):
    parts = list(store.raw())
    assert not [part for part in parts if isinstance(part, Skipped)]
    return b"".join(b"".join(part.pieces) for part in parts if isinstance(part, RawPart))


def test_nothing_is_left_in_tables_statistics_or_the_log(base):
    url, conn = base
    store, marker = store_of(url), X[1].tobytes()[:32]
    conn.execute("DELETE FROM faces WHERE id = 'p1'")
    conn.execute("VACUUM faces")
    assert marker in raw(store)  # this is what an ordinary deletion leaves
    outcome = store.erase("public.faces", [Target("p1"), Target("p2")])
    assert (outcome.erased, outcome.absent, outcome.gone) == (("p2",), ("p1",), Gone.D2)
    data = raw(store)
    assert marker not in data
    assert X[2].tobytes()[:32] not in data
    assert X[3].tobytes()[:32] in data


def test_a_row_that_an_older_transaction_sees_is_kept_until_that_ends(base):
    url, _ = base
    store = store_of(url)
    with psycopg.connect(url) as older:
        older.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        older.execute("SELECT 1")
        (kept,) = store.erase("public.faces", [Target("p1")]).kept
        assert "older transaction can still see" in kept.reason
        assert store.stamps("public.faces", ["p1"]) == [None]
    assert store.erase("public.faces", [Target("p1")]).absent == ("p1",)
    assert X[1].tobytes()[:32] not in raw(store)


def test_a_table_that_is_locked_is_kept_until_it_is_not(base):
    url, _ = base
    store = store_of(url)
    with psycopg.connect(url) as reader:
        reader.execute("LOCK TABLE faces IN ACCESS SHARE MODE")
        (kept,) = store.erase("public.faces", [Target("p1")]).kept
        assert "its row is deleted" in kept.reason
    assert store.erase("public.faces", [Target("p1")]).kept == ()


def test_without_rewriting_no_more_than_the_view_is_claimed(base):
    url, _ = base
    store = store_of(url, rewrite="none")
    assert (store.capability().best_gone, store.erase("public.faces", [Target("p1")]).gone) == (Gone.D1, Gone.D1)
    assert X[1].tobytes()[:32] in raw(store)


def test_a_user_without_rights_is_told_and_claims_less(base, server):
    url, conn = base
    store = store_of(url.replace("unsee@", "clerk@"))
    conn.execute("GRANT SELECT ON faces TO clerk")
    (kept,) = store.erase("public.faces", [Target("p1")]).kept
    assert "permission denied" in kept.reason
    assert [part for part in store.raw() if isinstance(part, Skipped)]
    conn.execute("ALTER TABLE faces OWNER TO clerk")
    assert "pg_read_all_stats" in store.erase("public.faces", [Target("p1")]).kept[0].reason
    conn.execute("GRANT pg_read_all_stats TO clerk")
    assert store.erase("public.faces", [Target("p1"), Target("p2")]).gone is Gone.D1
    conn.execute("REVOKE pg_read_all_stats FROM clerk")


def test_what_the_database_refuses_is_kept_and_the_rest_goes(base):
    url, conn = base
    conn.execute("CREATE TABLE loans (face text REFERENCES faces)")
    conn.execute("INSERT INTO loans VALUES ('p1')")
    conn.execute("CREATE FUNCTION stay() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    conn.execute("CREATE TRIGGER stay BEFORE DELETE ON faces FOR EACH ROW WHEN (old.id = 'p2') EXECUTE FUNCTION stay()")
    outcome = store_of(url).erase("public.faces", [Target("p1"), Target("p2"), Target("p3")])
    assert outcome.erased == ("p3",)
    assert {kept.selector: kept.reason.split(":")[0] for kept in outcome.kept} == {
        "p1": "the database refuses",
        "p2": "it is still there after DELETE",
    }


def test_tables_that_cannot_be_used_are_said(base):
    url, conn = base
    conn.execute("CREATE TABLE keyless (face real[])")
    conn.execute("CREATE TABLE pairs (a int, b int, face real[], PRIMARY KEY (a, b))")
    conn.execute("CREATE MATERIALIZED VIEW seen AS SELECT * FROM faces")
    conn.execute("CREATE TABLE parts (id int PRIMARY KEY, face real[]) PARTITION BY RANGE (id)")
    conn.execute("CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM (0) TO (9)")
    conn.execute("INSERT INTO parts VALUES (5, '{1, NULL}')")
    conn.execute("CREATE TABLE other (id int PRIMARY KEY, b bytea)")
    found = list(store_of(url).scan())
    assert {one.object: one.reason.split(":")[0] for one in found if isinstance(one, Skipped)} == {
        "public.keyless": "it has no primary key of one column",
        "public.pairs": "it has no primary key of one column",
        "public.seen": "a materialised view",
    }
    assert {one.object for one in found if isinstance(one, Member)} == {"public.faces", "public.part1"}
    part = np.frombuffer(store_of(url).read("public.part1", "5"), "<f4")
    assert (part[0], np.isnan(part[1])) == (1, True)
    with pytest.raises(StoreError, match="primary key"):
        store_of(url).stamps("public.keyless", ["1"])


def test_rows_of_one_key_go_together_and_hidden_rows_are_said(base):
    url, conn = base
    conn.execute("CREATE TABLE twice (name text, face bytea)")
    conn.execute("INSERT INTO twice VALUES ('ann', 'one'), ('ann', 'two'), ('bob', 'six'), (NULL, 'x')")
    store = store_of(url, key="name")
    found = [one for one in store.scan() if one.object == "public.twice"]
    assert [(m.selector, m.size_bytes) for m in found if isinstance(m, Member)] == [("ann", 6), ("bob", 3)]
    assert "NULL" in next(one.reason for one in found if isinstance(one, Skipped))
    assert store.read("public.twice", "ann") == b"onetwo"
    assert store.erase("public.twice", [Target("ann")]).erased == ("ann",)
    conn.execute("ALTER TABLE twice ENABLE ROW LEVEL SECURITY")
    conn.execute("GRANT SELECT ON twice TO clerk")
    clerk = store_of(url.replace("unsee@", "clerk@"), key="name")
    assert "row security" in next(one.reason for one in clerk.scan() if one.object == "public.twice")


def test_copies_that_the_server_knows_of_are_named(base, server):
    url, conn = base
    conn.execute("SELECT pg_create_physical_replication_slot('replica1', true)")
    try:
        store = store_of(url)
        assert [held.name for held in store.history("public.faces")] == ["replication slot replica1"]
        assert store.erase("public.faces", [Target("p1")]).gone is Gone.D1  # the slot keeps the log
    finally:
        conn.execute("SELECT pg_drop_replication_slot('replica1')")


def test_locations_and_options(base):
    for url, options in (
        ("postgresql://ann:secret@host/db", {}),
        ("/var/lib/faces", {}),
        ("postgresql://h/db?nonsense=1", {}),
        (base[0], {"rewrite": "some"}),
        (base[0], {"wait": "-1"}),
    ):
        with pytest.raises(InvalidValue) as caught:
            store_of(url, **options)
        assert "secret" not in str(caught.value)
    with pytest.raises(StoreUnreachable, match="cannot be reached"):
        list(store_of("postgresql://nobody@/none?host=/nowhere").scan())


def test_types_of_pgvector(tmp_path):
    found = postgres.programs_with_vectors()
    if found is None and not postgres.required():
        pytest.skip("no PostgreSQL server with pgvector is installed")
    with postgres.running(found, *INITDB) as server:
        url = server.url(name := server.make())
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute("CREATE EXTENSION vector")
            conn.execute("CREATE TABLE halves (id int PRIMARY KEY, v halfvec(3))")
            conn.execute("CREATE TABLE lists (id int PRIMARY KEY, v vector(64))")
            conn.execute("CREATE TABLE two (id int PRIMARY KEY, v vector(2), w vector(2))")
            conn.execute("INSERT INTO halves VALUES (1, '[1, 2, 0.5]')")
            for number, row in enumerate(X):
                conn.execute("INSERT INTO lists VALUES (%s, %s)", [number, str(row.tolist())])
            conn.execute("CREATE INDEX ON lists USING ivfflat (v vector_l2_ops) WITH (lists = 1)")
        store = open_store(store_id(), "pgvector", url, {})
        assert store.read("public.halves", "1") == np.array([1, 2, 0.5], "<f4").tobytes()
        assert store.read("public.lists", "2") == X[2].tobytes()
        assert "2 columns" in next(one.reason for one in store.scan() if isinstance(one, Skipped))
        assert store.erase("public.lists", [Target("2")]).gone is Gone.D2
        assert X[2].tobytes()[:32] not in raw(store)
        server.drop(name)


class Swallowing:
    """A Unix socket before a server's; once `deaf`, what clients say goes nowhere, as with a send that failed."""

    def __init__(self, at, server):
        self.server, self.deaf = server, False
        self.front = socket.socket(socket.AF_UNIX)
        self.front.bind(str(at / ".s.PGSQL.5432"))
        self.front.listen()
        self.accepting = threading.Thread(target=self.accept, daemon=True)
        self.accepting.start()

    def close(self):
        self.front.shutdown(socket.SHUT_RDWR)
        self.front.close()
        self.accepting.join()

    def accept(self):
        with suppress(OSError):
            while True:
                client, _ = self.front.accept()
                behind = socket.socket(socket.AF_UNIX)
                behind.connect(str(self.server.directory / ".s.PGSQL.5432"))
                swallows = not self.deaf  # only connections made before
                threading.Thread(target=self.copy, args=(client, behind, swallows), daemon=True).start()
                threading.Thread(target=self.copy, args=(behind, client, False), daemon=True).start()

    def copy(self, source, target, swallows):
        with source, suppress(OSError):
            while data := source.recv(1 << 16):
                if not (swallows and self.deaf):
                    target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def test_a_request_that_never_arrives_is_said_and_not_waited_for(server, base, tmp_path, monkeypatch):
    url, _ = base
    between = Swallowing(tmp_path, server)
    store = store_of(url.replace(str(server.directory), str(tmp_path)))
    delete = type(store)._delete

    def deafened(self, *given):
        between.deaf = True
        return delete(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(type(store), "_delete", deafened)
        (kept,) = store.erase("public.faces", [Target("p1")]).kept
    assert "did not reach the server" in kept.reason
    assert store.read("public.faces", "p1") == X[1].tobytes()
    assert store.erase("public.faces", [Target("p1")]).erased == ("p1",)
    between.close()


def test_a_statement_that_takes_long_is_waited_for(server, base):
    url, _ = base
    with waiting.connect(url) as conn:
        assert conn.execute("SELECT 1 FROM pg_sleep(%s)", [1.6 * waiting.FIRST_LOOK_S]).fetchone() == (1,)
