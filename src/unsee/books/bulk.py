"""Rows by the million: COPY on PostgreSQL, the driver's own loop on SQLite, and the same answer to bad values on both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Table

from unsee.books.database import Tx
from unsee.books.values import sound
from unsee.core.errors import InvalidValue

_CHUNK = 8_192


def insert(tx: Tx, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Write many rows, inside the transaction of the caller: others see all of them at its commit, or none.

    Values go to the driver as they are: int, bool, text, bytes, None. When it raises, none of these rows is left, and the
    transaction can go on. A table's own numbers (`no`) may be given; later rows that are not given one count on from there.

    Args:
        tx: the transaction.
        table: where to.
        columns: names of the columns, in the order of each row's values; the others keep their defaults.
        rows: taken one by one; a generator needs no more memory than 8,192 rows of it.
    Returns:
        How many were written.
    Raises:
        InvalidValue: a text holds a NUL character or half a surrogate pair or is longer than its column, or a number is too
            large; the message names the row and the column, or the table where only the database knows.
    Cost, measured on two cores for 300,000 rows of `items` with their indexes: 1.7 µs a row on SQLite, 1.6 µs on PostgreSQL (in
    memory). There it is the server's work: making a row's text takes 0.8 µs meanwhile; COPY's binary format was a fifth slower.
    """
    checked = sound(table, columns, rows)
    copies = tx.conn.dialect.name == "postgresql"
    try:
        with whole(tx.conn):
            written = _copy(tx.conn, table, columns, checked) if copies else _execute(tx.conn, table, columns, checked)
            if copies and written:
                _count_on(tx.conn, table, columns)
    except (sa.exc.DataError, OverflowError) as error:
        cause = error.orig if isinstance(error, sa.exc.DataError) else error
        raise InvalidValue(f"A value cannot be kept in {table.name}: {str(cause).splitlines()[0]}.") from error
    return written


@contextmanager
def whole(conn: Connection) -> Iterator[None]:
    """A savepoint: all that is written within is kept, or nothing when it raises."""
    savepoint = conn.begin_nested()
    try:
        yield
    except BaseException:
        # A full disk has undone the whole transaction already, savepoints and all: that error counts, not this one.
        with suppress(sa.exc.OperationalError):
            savepoint.rollback()
        raise
    savepoint.commit()


def _execute(conn: Connection, table: Table, columns: Sequence[str], rows: Iterator[Sequence[Any]]) -> int:
    statement = f"INSERT INTO {_target(conn, table, columns)} VALUES ({', '.join('?' * len(columns))})"  # noqa: S608  # our own names
    written = 0
    while chunk := [tuple(row) for row in islice(rows, _CHUNK)]:
        conn.exec_driver_sql(statement, chunk)
        written += len(chunk)
    return written


def _copy(conn: Connection, table: Table, columns: Sequence[str], rows: Iterator[Sequence[Any]]) -> int:
    import psycopg

    statement = f"COPY {_target(conn, table, columns)} FROM STDIN"
    written = 0
    try:
        with conn.connection.cursor() as cursor, cursor.copy(statement) as copy:  # type: ignore[attr-defined]
            for row in rows:
                copy.write_row(row)
                written += 1
    except psycopg.Error as error:  # as SQLAlchemy would have raised it
        raise sa.exc.DBAPIError.instance(statement, None, error, psycopg.Error, dialect=conn.dialect) from error
    return written


def _target(conn: Connection, table: Table, columns: Sequence[str]) -> str:
    quoted = conn.dialect.identifier_preparer
    return f"{quoted.format_table(table)} ({', '.join(quoted.quote(name) for name in columns)})"


def _count_on(conn: Connection, table: Table, columns: Sequence[str]) -> None:
    """COPY does not move the sequence behind a column of numbers, as SQLite's numbering moves by itself."""
    own = table.autoincrement_column
    if own is not None and own.name in columns:
        sequence = sa.func.pg_get_serial_sequence(table.name, own.name)
        following = sa.select(sa.func.max(own) + 1).scalar_subquery()
        conn.execute(sa.select(sa.func.setval(sequence, following, False)))
