"""The files of a PostgreSQL server in which a table's bytes lie, read through the server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import LiteralString

import psycopg
from psycopg import Connection

from unsee.stores.contract import Skipped
from unsee.stores.pgvector.purging import words

PIECE_BYTES = 4 << 20
_RELATIONS: LiteralString = """
WITH held AS (
    SELECT oid, reltoastrelid FROM pg_class WHERE oid = ANY(%(tables)s::oid[])
        OR oid IN ('pg_catalog.pg_statistic'::regclass, 'pg_catalog.pg_statistic_ext_data'::regclass)
), heaps AS (SELECT oid FROM held UNION SELECT reltoastrelid FROM held WHERE reltoastrelid <> 0)
SELECT pg_relation_filepath(c.oid), pg_relation_size(c.oid), c.oid::regclass::text
FROM pg_class c WHERE c.oid IN (SELECT oid FROM heaps)
    OR c.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid IN (SELECT oid FROM heaps))
ORDER BY c.oid
"""
_SEGMENT_BYTES = 1 << 30
_COPIES: LiteralString = """
SELECT 'replica ' || coalesce(application_name, '') || ' ' || coalesce(client_addr::text, 'local') FROM pg_stat_replication
UNION ALL SELECT 'replication slot ' || slot_name FROM pg_replication_slots
UNION ALL SELECT 'WAL archive' WHERE current_setting('archive_mode') <> 'off'
ORDER BY 1
"""


def files(conn: Connection, tables: Sequence[int]) -> list[str | Skipped]:
    """Paths below the data directory: tables, TOAST, indexes, statistics of columns, write-ahead log. What may not be read is
    `Skipped`."""
    found: list[str | Skipped] = []
    try:
        conn.execute("CHECKPOINT")  # what is only in memory is in no file yet
        for path, size, name in conn.execute(_RELATIONS, {"tables": list(tables)}).fetchall():
            if path is None:
                found.append(Skipped(name, "", "it has no file"))
                continue
            segments = max(1, -(-size // _SEGMENT_BYTES))
            found += [path if number == 0 else f"{path}.{number}" for number in range(segments)]
    except psycopg.Error as error:
        found.append(Skipped("tables", "", f"the files of the tables cannot be read: {words(error)}"))
    try:
        rows = conn.execute("SELECT name FROM pg_ls_waldir() ORDER BY name").fetchall()
        found += [f"pg_wal/{name}" for (name,) in rows]
    except psycopg.Error as error:
        found.append(Skipped("pg_wal", "", f"the write-ahead log cannot be read: {words(error)}"))
    return found


def pieces(conn: Connection, path: str) -> Iterator[bytes]:
    """The bytes of one file of the server, in order; nothing where it went away meanwhile."""
    at = 0
    while True:
        row = conn.execute(
            "SELECT pg_read_binary_file(%s, %s, %s, true)", [path, at, PIECE_BYTES], binary=True
        ).fetchone()
        if row is None or not row[0]:
            return
        yield row[0]
        at += len(row[0])


def copies(conn: Connection) -> list[str]:
    """What the server knows of that holds copies of its tables."""
    return [name for (name,) in conn.execute(_COPIES)]
