"""Takes deleted rows' bytes out of a PostgreSQL server: tables, indexes, statistics, write-ahead log.

DELETE leaves a row in its page, VACUUM leaves its bytes there, VACUUM FULL writes table and indexes anew, but carries along every
row that an older transaction may still see. The write-ahead log holds what was inserted, and a checkpoint renames old segments for
reuse with their bytes in them. `pg_switch_wal` fills the rest of a segment with zeros (since PostgreSQL 11): so the log is walked
through until every segment was written after the row had gone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import LiteralString

import psycopg
from psycopg import Connection, sql

from unsee.stores.pgvector.tables import Table

_OLDER: LiteralString = """
SELECT min(who) FROM (
    SELECT backend_xmin AS seen, 'process ' || pid AS who FROM pg_stat_activity
     WHERE pid <> pg_backend_pid() AND backend_xmin IS NOT NULL AND (datname = current_database() OR datname IS NULL)
    UNION ALL SELECT transaction, 'prepared transaction ' || gid FROM pg_prepared_xacts
    UNION ALL SELECT xmin, 'replication slot ' || slot_name FROM pg_replication_slots WHERE xmin IS NOT NULL
) AS holders WHERE age(seen) >= age(%(xid)s::text::xid)
"""
_SEGMENTS: LiteralString = """
SELECT pg_read_binary_file('pg_wal/' || name, 0, 16, true) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'
"""
_SUPERUSER: LiteralString = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
_READS_ALL: LiteralString = """
SELECT pg_has_role('pg_read_all_stats', 'USAGE') OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
"""


class NotPurged(Exception):
    """Rows are deleted, and their bytes may still be in the table's files; the message says why, without a full stop."""


def wait_for_older(conn: Connection, wait_s: float, clock: Callable[[], float] = time.monotonic) -> None:
    """Until no transaction is left that began before now, and could make VACUUM FULL carry deleted rows along.

    Raises:
        NotPurged: one is left after `wait_s`, or this user may not see the others'.
    """
    if not _one(conn, _READS_ALL):
        raise NotPurged(
            "this user cannot see whether older transactions still hold the rows: grant it pg_read_all_stats"
        )
    xid = _one(conn, "SELECT pg_current_xact_id()::xid::text")
    until = clock() + wait_s
    while True:
        row = conn.execute(_OLDER, {"xid": xid}).fetchone()
        if row is None or row[0] is None:
            return
        if clock() >= until:
            raise NotPurged(f"an older transaction can still see the rows ({row[0]})")
        time.sleep(0.05)


def limit_locks(conn: Connection, wait_s: float) -> None:
    """From now on, statements on this connection that wait longer for somebody's lock fail; without an end where it is 0."""
    conn.execute(sql.SQL("SET lock_timeout = {}").format(sql.Literal(f"{int(wait_s * 1000)}ms")))


def rewrite(conn: Connection, table: Table) -> None:
    """Write the table, its TOAST table and its indexes anew, under an ACCESS EXCLUSIVE lock, and its statistics.

    Raises:
        NotPurged: the lock was not to be had in time (`limit_locks`), or the server refuses.
    """
    try:
        conn.execute(sql.SQL("VACUUM (FULL, ANALYZE) {}").format(sql.Identifier(table.schema, table.name)))
    except psycopg.Error as error:
        raise NotPurged(f"the table could not be written anew: {words(error)}") from error


def clear_statistics(conn: Connection) -> bool:
    """Write the statistics of columns anew, whose old rows hold whole values; whether this user may.

    Raises:
        NotPurged: the connection broke.
    """
    if not _one(conn, _SUPERUSER):
        return False
    try:
        conn.execute("VACUUM (FULL) pg_catalog.pg_statistic")
        conn.execute("VACUUM (FULL) pg_catalog.pg_statistic_ext_data")
    except psycopg.Error as error:
        _not_lost(conn, error, "the statistics of columns")
        return False
    return True


def renew_log(conn: Connection) -> bool:
    """Walk through the write-ahead log until no segment holds what was written before now; whether that was seen.

    False for users who may not look, and where a replication slot, an archive that lags or `wal_keep_size` keeps old segments.

    Raises:
        NotPurged: the connection broke.
    """
    try:
        conn.execute("CHECKPOINT")
        conn.execute("SELECT pg_switch_wal()")
        size = int(str(_one(conn, "SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'")))
        start = _position(str(_one(conn, "SELECT pg_current_wal_insert_lsn()"))) // size * size
        most = 4 + 2 * int(str(_one(conn, "SELECT count(*) FROM pg_ls_waldir()")))
        for _ in range(most):
            _next_segment(conn)
            conn.execute("CHECKPOINT")
            if all(_began_at(head) >= start for (head,) in conn.execute(_SEGMENTS) if head):
                _next_segment(conn)  # the one in use may have an old end; the next one was just seen to be new
                return True
    except psycopg.Error as error:
        _not_lost(conn, error, "the write-ahead log")
        return False
    return False


def _not_lost(conn: Connection, error: psycopg.Error, what: str) -> None:
    """Raises NotPurged where it was the connection that failed: the next call may well do what this one could not."""
    if conn.closed:
        raise NotPurged(f"{what} could not be written anew: {words(error)}") from error


def _position(lsn: str) -> int:
    high, _, low = lsn.partition("/")
    return int(high, 16) << 32 | int(low, 16)


def _began_at(head: bytes) -> float:
    """The position of the first page of a segment, from its header (`XLogPageHeaderData`); never old where all is zero."""
    return int.from_bytes(head[8:16], sys.byteorder) if any(head) else float("inf")


def _next_segment(conn: Connection) -> None:
    """An empty segment is not switched away from: write a record first."""
    conn.execute("SELECT pg_logical_emit_message(false, 'unsee', '')")
    conn.execute("SELECT pg_switch_wal()")
    conn.execute("SELECT pg_logical_emit_message(false, 'unsee', '')")


def _one(conn: Connection, statement: LiteralString, given: dict[str, object] | None = None) -> object:
    row = conn.execute(statement, given).fetchone()
    return row[0] if row else None


def words(error: psycopg.Error) -> str:
    """What the server says, on one line."""
    said = error.diag.message_primary or str(error)
    return " ".join(said.split()).rstrip(".")[:200]
