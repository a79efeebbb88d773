"""Tables of PostgreSQL through the contract suite: pgvector's own type with an HNSW index, and plain arrays of floats."""

from contextlib import suppress

import numpy as np
import psycopg
import pytest
from vector_harnesses import NAMES, finite

import postgres
from unsee.stores.pgvector.opening import open_pgvector
from unsee.testing.stores import StoreContract, store_id

INITDB = ("--encoding=UTF8", "--locale=C.UTF-8", "--wal-segsize=1")
"""Small segments of the log: each erasure walks through all of them."""

SOON = "&connect_timeout=2"
"""A connection whose making was disturbed ends then."""


@pytest.fixture(scope="module")
def vectors():
    found = postgres.programs_with_vectors()
    if found is None and not postgres.required():
        pytest.skip("no PostgreSQL server with pgvector is installed")
    with postgres.running(found, *INITDB) as server:
        yield server


@pytest.fixture(scope="module")
def plain():
    if postgres.programs() is None and not postgres.required():
        pytest.skip("no PostgreSQL server is installed")
    with postgres.running(postgres.programs(), *INITDB) as server:
        yield server


class TableHarness:
    kills = 3
    objects = ("public.faces", "public.Odd name")
    escapes = (("pg_catalog.pg_authid", "11"), ("other.faces", "11"), ("public.", "11"), ("..", "11"))

    def __init__(self, server, type="vector(175)"):
        self.server, self.type = server, type
        self.made = []

    def make(self, at):
        while len(self.made) > 1:  # a suite that kills everywhere makes many
            self.server.drop(self.made.pop(0))
        name = self.server.make()
        self.made.append(name)
        with self.connect(name) as conn:
            if "vector" in self.type:
                conn.execute("CREATE EXTENSION vector")
            for table in self.objects:
                there = psycopg.sql.Identifier(*table.split(".", 1))
                made = psycopg.sql.SQL(
                    "CREATE TABLE {} (id bigint PRIMARY KEY, label text, embedding " + self.type + ")"
                )
                conn.execute(made.format(there))
                if "vector" in self.type:
                    index = psycopg.sql.SQL("CREATE INDEX ON {} USING hnsw (embedding vector_l2_ops)")
                    conn.execute(index.format(there))
        options = {} if "vector" in self.type else {"data": "embedding"}
        return open_pgvector(store_id(), self.server.url(name) + SOON, options)

    def connect(self, name):
        return psycopg.connect(self.server.url(name), autocommit=True)

    def put(self, store, object_name, selector, data):
        there = psycopg.sql.Identifier(*object_name.split(".", 1))
        values = np.frombuffer(data, "<f4").tolist()
        given = str(values) if "vector" in self.type else values
        upsert = psycopg.sql.SQL(
            "INSERT INTO {} VALUES (%s, %s, %s) ON CONFLICT (id) DO UPDATE SET embedding = excluded.embedding"
        )
        with psycopg.connect(store.location, autocommit=True) as conn:
            conn.execute(upsert.format(there), [int(selector), "label " + selector, given])
            conn.execute(psycopg.sql.SQL("ANALYZE {}").format(there))

    def raw_finds(self, store, marker):
        """Every file of the server but other tests' databases: other tables, the log, what was renamed for reuse."""
        with psycopg.connect(store.location, autocommit=True) as conn:
            conn.execute("CHECKPOINT")
            (home,) = conn.execute("SHOW data_directory").fetchone()
            others = conn.execute("SELECT oid FROM pg_database WHERE datname <> current_database()").fetchall()
            elsewhere = {f"base/{oid}" for (oid,) in others}
        found = []
        for path in postgres.Path(home).rglob("*"):
            if str(path.parent.relative_to(home)) in elsewhere:
                continue
            with suppress(FileNotFoundError):  # the server removes files when it likes
                if path.is_file() and marker in path.read_bytes():
                    found.append(str(path))
        return found

    def foreign_contents(self, store):
        found = {}
        with psycopg.connect(store.location) as conn:  # one transaction, as a program would read
            for object_name in self.objects:
                there = psycopg.sql.Identifier(*object_name.split(".", 1))
                rows = conn.execute(psycopg.sql.SQL("SELECT id, embedding::real[] FROM {}").format(there))
                found |= {(object_name, str(key)): np.array(row, "<f4").tobytes() for key, row in rows}
        return found

    def take_root_away(self, store):
        self.server.drop(self.made.pop())


class TableContract(StoreContract):
    names = NAMES

    def data(self, object_name, selector, length=700):
        return finite(object_name, selector, length)

    @pytest.mark.skip(reason="no call from Python writes: libpq sends to a socket, see the kills at system calls")
    def test_a_kill_anywhere_loses_nothing_and_the_same_call_finishes(self):
        pass


class TestPgVector(TableContract):
    @pytest.fixture
    def harness(self, vectors):
        return TableHarness(vectors)


class TestArraysOfFloats(TableContract):
    @pytest.fixture
    def harness(self, plain):
        made = TableHarness(plain, "real[]")
        made.kills = 1
        return made
