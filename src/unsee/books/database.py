"""Opening the books, and transactions over them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection

from unsee.core.errors import StoreUnreachable, WorkspaceBusy

Clock = Callable[[], datetime]
Entropy = Callable[[int], bytes]

_HEAD = "0001"
_BUSY_MS = 30_000


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
            StoreUnreachable: there are no books at that place.
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
        books._migrate()
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
        """
        with self._engine.connect().execution_options(unsee_write=True) as conn:
            try:
                transaction = conn.begin()
            except sa.exc.OperationalError as error:
                raise WorkspaceBusy(
                    "Another process is writing to the books.", next_step="Wait for it to end and try again."
                ) from error
            with transaction:
                yield Tx(conn, self._clock().replace(microsecond=0), self._entropy)

    def forget_free_pages(self) -> None:
        """Make deleted rows unreadable in the database file: rewrite it and truncate the write-ahead log.

        `secure_delete` zeroes freed cells, but copies stay in the WAL until it is truncated (measured: all of them), and
        B-tree reshuffles leave stale cell images. Cost: the size of the books. On PostgreSQL: `VACUUM FULL` of the tables.
        """
        raw = self._engine.raw_connection()  # VACUUM runs outside any transaction, and SQLAlchemy would begin one
        try:
            cursor = raw.cursor()
            if self._engine.dialect.name == "sqlite":
                cursor.execute("VACUUM")
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            else:
                cursor.execute("VACUUM FULL digests, copies, item_attributes, subject_attributes, consents")
        finally:
            raw.close()

    def close(self) -> None:
        """Give back the connections."""
        self._engine.dispose()

    def _migrate(self) -> None:
        with self._engine.connect() as conn:
            if sa.inspect(conn).has_table("alembic_version"):
                present = conn.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
                if present == _HEAD:
                    return
        from unsee.books.migrations import upgrade  # alembic loads slowly, and only rarely is there something to do

        upgrade(self._engine)


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
