"""Opening the books, and transactions over them."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection

from unsee.core.errors import StoreUnreachable, WorkspaceBusy, WrongState

Clock = Callable[[], datetime]
Entropy = Callable[[int], bytes]

_HEAD = "0002"
_BUSY_MS = 30_000
_UNWRITABLE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}


def utc_now() -> datetime:
    """The wall clock, UTC."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """`moment` as the books write it: UTC, seconds, `2026-11-23T19:57:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Tx:
    """One open write transaction: the connection, the moment that all its facts carry, and a source of salts."""

    conn: Connection
    now: datetime
    entropy: Entropy

    @property
    def at(self) -> str:
        """`now` as text."""
        return stamp(self.now)


class Books:
    """The catalogue of one workspace. Open it with `Books.open`."""

    def __init__(self, engine: Engine, *, clock: Clock, entropy: Entropy) -> None:
        self._engine = engine
        self._clock = clock
        self._entropy = entropy

    @classmethod
    def open(
        cls, url: str, *, create: bool = False, clock: Clock = utc_now, entropy: Entropy = secrets.token_bytes
    ) -> Books:
        """Open the books at a SQLAlchemy URL (`sqlite:////abs/books.sqlite`) and migrate them forward where they are older.

        Args:
            url: where they are.
            create: make a new SQLite file; without it, an absent file is an error rather than empty books.
            clock, entropy: injected for tests.
        Raises:
            StoreUnreachable: there are no books at that place, or what lies there is no database.
            WrongState: a newer unsee made these books.
        """
        made = sa.make_url(url)
        if made.get_backend_name() == "sqlite" and not create and not Path(made.database or "").is_file():
            raise StoreUnreachable(
                f"There are no books at {made.database}.", next_step='Make a workspace with "unsee init".'
            )
        engine = sa.create_engine(url)
        if engine.dialect.name == "sqlite":
            _as_sqlite(engine)
        books = cls(engine, clock=clock, entropy=entropy)
        try:
            books._migrate(create=create)
        except sa.exc.DatabaseError as error:
            engine.dispose()
            if _is_busy(error):
                raise _busy() from error
            raise StoreUnreachable(
                f"The books at {made.render_as_string()} cannot be opened: {error.orig}.",
                next_step="Restore them from a backup, or name the right place.",
            ) from error
        return books

    @property
    def path(self) -> Path | None:
        """The SQLite file; None for a server."""
        name = self._engine.url.database
        return Path(name) if self._engine.dialect.name == "sqlite" and name else None

    def now(self) -> datetime:
        """The books' clock."""
        return self._clock()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view; nothing is written."""
        with self._engine.connect() as conn:
            try:
                yield conn
            finally:
                conn.rollback()

    @contextmanager
    def write(self) -> Iterator[Tx]:
        """A write transaction: all of it is kept, or nothing.

        Raises:
            WorkspaceBusy: another writer held the books for more than 30 seconds.
            StoreUnreachable: they cannot be written to: a full disk, no permission.
        """
        try:
            with self._engine.connect().execution_options(unsee_write=True) as conn, conn.begin():
                yield Tx(conn, self._clock().replace(microsecond=0), self._entropy)
        except sa.exc.DatabaseError as error:
            if _is_busy(error):
                raise _busy() from error
            if _code(error) in _UNWRITABLE:
                raise StoreUnreachable(
                    f"The books cannot be written to: {error.orig}.",
                    next_step="See to the disk and its permissions; nothing of this act was kept.",
                ) from error
            raise

    def forget_free_pages(self) -> None:
        """Make deleted rows unreadable in the database file: rewrite it and truncate the write-ahead log.

        `secure_delete` zeroes freed cells, but copies stay in the WAL until it is truncated (measured: all of them), and
        B-tree reshuffles leave stale cell images. Cost: the size of the books. On PostgreSQL: `VACUUM FULL` of the tables.

        Raises:
            WorkspaceBusy: someone still reads or writes the books, so that deleted rows stay readable.
        """
        raw = self._engine.raw_connection()  # VACUUM runs outside any transaction, and SQLAlchemy would begin one
        try:
            cursor = raw.cursor()
            if self._engine.dialect.name == "sqlite":
                cursor.execute("VACUUM")
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                answer = cursor.fetchone()
                # Of a reader that holds on to the log SQLite tells in its answer, not by an error.
                if answer is None or answer[0]:
                    raise _busy()
            else:
                cursor.execute("VACUUM FULL digests, copies, item_attributes, subject_attributes, consents")
        except sqlite3.OperationalError as error:
            if _is_busy(error):
                raise _busy() from error
            raise
        finally:
            raw.close()

    def close(self) -> None:
        """Give back the connections."""
        self._engine.dispose()

    def _migrate(self, *, create: bool) -> None:
        with self._engine.connect() as conn:
            if sa.inspect(conn).has_table("alembic_version"):
                present = conn.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
                if present == _HEAD:
                    return
                if present is not None and str(present) > _HEAD:
                    raise WrongState(
                        f"These books are of revision {present}; this unsee knows revisions up to {_HEAD}.",
                        next_step="Use the unsee that made them, or a newer one.",
                    )
            elif not create:
                raise StoreUnreachable(
                    f"What lies at {self._engine.url.database} holds no books.",
                    next_step="Restore them from a backup, or name the right place.",
                )
        from unsee.books.migrations import upgrade  # alembic loads slowly, and only rarely is there something to do

        upgrade(self._engine)


def driver_rows(conn: Connection, query: sa.Select[Any]) -> list[Any]:
    """All rows of a query as the driver's own tuples, for millions of them: SQLAlchemy's rows cost twice as much as reading them.

    Numbers and text only; other types would come as the driver has them.
    """
    # Streaming would have taken the first rows off the cursor already.
    cursor = conn.execute(query, execution_options={"stream_results": False}).cursor
    return list(cursor.fetchall()) if cursor is not None else []


def _busy() -> WorkspaceBusy:
    return WorkspaceBusy("Another process is using the books.", next_step="Wait for it to end and try again.")


def _is_busy(error: sa.exc.DatabaseError | sqlite3.Error) -> bool:
    return _code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def _code(error: sa.exc.DatabaseError | sqlite3.Error) -> int:
    """SQLite's primary result code; 0 for another database."""
    cause = error.orig if isinstance(error, sa.exc.DatabaseError) else error
    return int(getattr(cause, "sqlite_errorcode", 0)) & 0xFF


def _as_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _settings(connection: DBAPIConnection, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
            f"busy_timeout={_BUSY_MS}",
            "cache_size=-65536",
        ):
            connection.cursor().execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(conn: Connection) -> None:
        writing = conn.get_execution_options().get("unsee_write", False)
        conn.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
