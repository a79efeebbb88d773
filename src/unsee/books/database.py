"""Opening the books, and transactions over them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books.backends import Backend, backend
from unsee.books.values import check_inserts
from unsee.core.errors import StoreUnreachable, WrongState

Clock = Callable[[], datetime]
Entropy = Callable[[int], bytes]

_HEAD = "0003"
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

    def __init__(self, backend: Backend, *, clock: Clock, entropy: Entropy) -> None:
        self._backend = backend
        self._engine = backend.engine()
        check_inserts(self._engine)
        self._clock = clock
        self._entropy = entropy

    @classmethod
    def open(
        cls, url: str, *, create: bool = False, clock: Clock = utc_now, entropy: Entropy = secrets.token_bytes
    ) -> Books:
        """Open the books at a URL and migrate them forward where they are older.

        Args:
            url: where they are: `sqlite:////abs/books.sqlite`, `postgresql://user@host/database`.
            create: make books in a new SQLite file, or in a PostgreSQL database that holds no tables yet; without it, absent
                books are an error rather than empty books.
            clock, entropy: injected for tests.
        Raises:
            InvalidValue: the URL is none, or names another kind of database.
            MissingExtra: PostgreSQL is asked for, and psycopg is not installed.
            StoreUnreachable: there are no books at that place, or it cannot be reached, or what lies there is no database.
            WorkspaceBusy: somebody else held the books for more than 30 seconds.
            WrongState: a newer unsee made these books, or the database is for something else.
        """
        kind = backend(url, busy_ms=_BUSY_MS)
        if not create and kind.absent():
            raise StoreUnreachable(
                f"There are no books at {kind.place}.", next_step='Make a workspace with "unsee init".'
            )
        books = cls(kind, clock=clock, entropy=entropy)
        try:
            books._migrate(create=create)
        except sa.exc.DatabaseError as error:
            books.close()
            if kind.is_busy(error):
                raise kind.busy() from error
            raise StoreUnreachable(
                f"The books at {kind.place} cannot be opened: {kind.said(error)}.", next_step=kind.if_unreachable
            ) from error
        except BaseException:
            books.close()
            raise
        return books

    @property
    def beyond_reach(self) -> tuple[str, ...]:
        """What else may hold rows that were deleted, and can be neither rewritten nor searched from here; nothing on SQLite."""
        return self._backend.beyond_reach

    def raw(self) -> Generator[Iterator[bytes], None, None]:
        """All that the database holds, as streams of bytes to search: on SQLite the file and its write-ahead log with whatever
        deleted rows left there, on PostgreSQL every row of every table. Take each stream before the next. Memory: 8 MB."""
        with self._said_in_words(writing=False):
            yield from self._backend.raw(self._engine)

    def now(self) -> datetime:
        """The books' clock."""
        return self._clock()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view: what was committed when it began; nothing is written.

        Raises:
            StoreUnreachable: the server went away.
            WorkspaceBusy: the tables are closed for more than 30 seconds, for what was deleted is made unreadable.
        """
        with self._said_in_words(writing=False), self._engine.connect() as conn:
            try:
                yield conn
            finally:
                if not conn.invalidated:
                    conn.rollback()

    @contextmanager
    def write(self) -> Iterator[Tx]:
        """A write transaction: all of it is kept, or nothing.

        Raises:
            WorkspaceBusy: another writer held the books for more than 30 seconds.
            StoreUnreachable: they cannot be written to: a full disk, no permission.
        """
        with (
            self._said_in_words(writing=True),
            self._engine.connect().execution_options(unsee_write=True) as conn,
            conn.begin(),
        ):
            yield Tx(conn, self._clock().replace(microsecond=0), self._entropy)

    def forget_free_pages(self) -> tuple[str, ...]:
        """Make deleted rows unreadable where the database keeps its rows.

        Returns:
            What may hold them still and is out of reach from here, in words: nothing on SQLite; on PostgreSQL its write-ahead
            log, archives, replicas and backups.
        Raises:
            WorkspaceBusy: someone still reads or writes the books, so that deleted rows stay readable.
        Cost: the size of the books.
        """
        return self._backend.forget(self._engine)

    def close(self) -> None:
        """Give back the connections."""
        self._engine.dispose()

    @contextmanager
    def _said_in_words(self, *, writing: bool) -> Iterator[None]:
        try:
            yield
        except sa.exc.DatabaseError as error:
            if self._backend.is_busy(error):
                raise self._backend.busy() from error
            if self._backend.is_failing(error, writing=writing):
                raise StoreUnreachable(
                    f"The books cannot be {'written to' if writing else 'read'}: {self._backend.said(error)}.",
                    next_step=f"{self._backend.if_failing}; nothing of this act was kept.",
                ) from error
            raise

    def _migrate(self, *, create: bool) -> None:
        with self._engine.connect() as conn:
            self._backend.check(conn)
            found = sa.inspect(conn)
            if found.has_table("alembic_version"):
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
                    f"There are no books in {self._backend.place}.",
                    next_step="Restore them from a backup, or name the right place.",
                )
            elif others := found.get_table_names():
                raise WrongState(
                    f"There are {len(others)} tables of something else in {self._backend.place}, such as {min(others)!r}.",
                    next_step="Name a place of their own for the books.",
                )
        from unsee.books.migrations import upgrade  # alembic loads slowly, and only rarely is there something to do

        # As a writer: of two that open older books, the second finds them migrated.
        with self._engine.connect().execution_options(unsee_write=True) as conn, conn.begin():
            upgrade(conn)


def driver_rows(conn: Connection, query: sa.Select[Any]) -> list[Any]:
    """All rows of a query as the driver's own tuples, for millions of them: SQLAlchemy's rows cost twice as much as reading them.

    Numbers and text only; other types would come as the driver has them.
    """
    return [row for rows in driver_chunks(conn, query) for row in rows]


def driver_chunks(conn: Connection, query: sa.Select[Any], size: int = 100_000) -> Iterator[Sequence[Any]]:
    """The rows of `driver_rows`, so many at a time: where the caller keeps less than the tuples, they are never there at once."""
    # Streaming would have taken the first rows off the cursor already.
    cursor = conn.execute(query, execution_options={"stream_results": False}).cursor
    while cursor is not None and (rows := cursor.fetchmany(size)):
        yield rows
