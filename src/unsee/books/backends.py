"""What differs between SQLite and PostgreSQL: how a transaction begins, which error means what, how deleted bytes go."""

from __future__ import annotations

import re
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import sqlalchemy as sa
from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection

from unsee.books.schema import items, metadata
from unsee.core.errors import InvalidValue, MissingExtra, StoreUnreachable, WorkspaceBusy, WrongState

if TYPE_CHECKING:
    import psycopg
    from psycopg.errors import Diagnostic


_CHUNK = 8 << 20


class Backend(ABC):
    """One kind of database. Transactions of an engine made by it begin as writers where `unsee_write` is set on the connection."""

    in_use: ClassVar[str]
    if_unreachable: ClassVar[str]
    if_failing: ClassVar[str]
    """What to say when somebody else writes; what to do when opening fails, and when reading or writing does."""
    beyond_reach: ClassVar[tuple[str, ...]] = ()
    """What else may hold rows that were deleted, and can be neither rewritten nor searched through a connection."""

    def __init__(self, url: URL, busy_ms: int) -> None:
        self.url = url
        self.busy_ms = busy_ms

    @property
    @abstractmethod
    def place(self) -> str:
        """Where the books are, for people to read; never with a password."""

    @abstractmethod
    def absent(self) -> bool:
        """True where there is certainly nothing at that place, which opening would otherwise make."""

    def check(self, conn: Connection) -> None:  # noqa: B027  # most have nothing to say
        """Refuse a database in which the books would not be what they are elsewhere.

        Raises:
            WrongState: it is one.
        """

    @abstractmethod
    def engine(self) -> Engine:
        """Connections that read one moment, and write one at a time."""

    @abstractmethod
    def is_busy(self, error: BaseException) -> bool:
        """Whether the error says that somebody else held the books for too long."""

    @abstractmethod
    def is_failing(self, error: BaseException, *, writing: bool) -> bool:
        """Whether the error says that the database cannot do it now: a server that went away; a full disk, no permission."""

    @abstractmethod
    def forget(self, engine: Engine) -> tuple[str, ...]:
        """Make deleted rows unreadable; returns what may hold them still, in words for the evidence."""

    @abstractmethod
    def raw(self, engine: Engine) -> Generator[Iterator[bytes], None, None]:
        """All that the database holds, as streams of bytes: its files where they can be read, else every row of every table."""

    def said(self, error: sa.exc.DatabaseError) -> str:
        """What the database said, on one line and without the password."""
        text = " ".join(str(error.orig).split()).rstrip(".")
        return text.replace(str(self.url.password), "***") if self.url.password else text

    def busy(self) -> WorkspaceBusy:
        """The error for it."""
        return WorkspaceBusy(self.in_use, next_step="Wait for it to end and try again.")


def backend(url: str, *, busy_ms: int) -> Backend:
    """The backend for a URL: `sqlite:///…`, `postgresql://…`.

    Raises:
        InvalidValue: the text is no such URL. It is not repeated, since it may hold a password.
    """
    try:
        # "postgres://" is what several hosting services hand out.
        made = sa.make_url(re.sub(r"^postgres:", "postgresql:", url))
    except (sa.exc.ArgumentError, ValueError) as error:
        raise InvalidValue(
            "The place of the books is not written as a URL.",
            next_step="Write postgresql://USER@HOST:PORT/DATABASE, or sqlite:////PATH; in a password, write %40 for @.",
        ) from error
    kinds: dict[str, Callable[[URL, int], Backend]] = {"sqlite": Sqlite, "postgresql": Postgres}
    kind = kinds.get(made.get_backend_name())
    if kind is None:
        raise InvalidValue(
            f"Books lie in SQLite or PostgreSQL, not in {made.get_backend_name()!r}.",
            next_step="Write postgresql://USER@HOST:PORT/DATABASE, or sqlite:////PATH.",
        )
    return kind(made, busy_ms)


class Sqlite(Backend):
    """One file, its write-ahead log beside it. Any number of readers, one writer."""

    in_use = "Another process is using the books."
    if_unreachable = "Restore them from a backup, or name the right place."
    if_failing = "See to the disk and its permissions"
    _LOST: ClassVar = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
    _UNWRITABLE: ClassVar = {*_LOST, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL}

    @property
    def place(self) -> str:
        """The path of the file."""
        return str(self.url.database)

    def absent(self) -> bool:
        """No file is there, and SQLite would make an empty one."""
        return not Path(self.url.database or "").is_file()

    def engine(self) -> Engine:
        """Connections with the settings of the house."""
        engine = sa.create_engine(self.url)
        event.listen(engine, "connect", self._settings)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    def is_busy(self, error: BaseException) -> bool:
        """SQLITE_BUSY and SQLITE_LOCKED."""
        return _sqlite_code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

    def is_failing(self, error: BaseException, *, writing: bool) -> bool:
        """A full disk, a read-only file."""
        return _sqlite_code(error) in (self._UNWRITABLE if writing else self._LOST)

    def forget(self, engine: Engine) -> tuple[str, ...]:
        """Rewrite the file and truncate the write-ahead log: after that no byte of a deleted row is left in either.

        `secure_delete` zeroes freed cells, but copies stay in the log until it is truncated (measured: all of them), and
        B-tree reshuffles leave stale cell images. Cost: the size of the books.
        """
        raw = engine.raw_connection()  # VACUUM runs outside any transaction, and SQLAlchemy would begin one
        try:
            cursor = raw.cursor()
            cursor.execute("VACUUM")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            answer = cursor.fetchone()
        except sqlite3.OperationalError as error:
            if self.is_busy(error):
                raise self.busy() from error
            raise
        finally:
            raw.close()
        # Of a reader that holds on to the log SQLite tells in its answer, not by an error.
        if answer is None or answer[0]:
            raise self.busy()
        return ()

    def raw(self, engine: Engine) -> Generator[Iterator[bytes], None, None]:  # noqa: ARG002  # no connection sees what a page keeps
        """The file and its write-ahead log: a row is deleted first, and its page may keep the bytes."""
        for name in (self.place, self.place + "-wal"):
            if Path(name).exists():
                with Path(name).open("rb") as file:
                    yield iter(partial(file.read, _CHUNK), b"")

    def _settings(self, connection: DBAPIConnection, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
            f"busy_timeout={self.busy_ms}",
            "cache_size=-65536",
        ):
            connection.cursor().execute(f"PRAGMA {pragma}")


def _begin_sqlite(conn: Connection) -> None:
    writing = conn.get_execution_options().get("unsee_write", False)
    conn.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _sqlite_code(error: BaseException) -> int:
    """SQLite's primary result code; 0 for what is none."""
    cause = error.orig if isinstance(error, sa.exc.DatabaseError) else error
    return int(getattr(cause, "sqlite_errorcode", 0)) & 0xFF


class Postgres(Backend):
    """A database of a PostgreSQL server, reached with psycopg. Any number of readers, one writer."""

    in_use = "Somebody else is using the books."
    if_unreachable = (
        'See that the server runs and lets you in, and that the database is there: "createdb NAME" makes one. '
        "A password belongs into ~/.pgpass."
    )
    if_failing = "See to the server, its disk and your rights there"
    beyond_reach = ("the write-ahead log, archives, replicas, backups and logs of the PostgreSQL server",)
    _BUSY: ClassVar = ("55P03", "40P01", "40001")
    _LOST: ClassVar = ("08", "53", "57P0", "58")
    _UNWRITABLE: ClassVar = (*_LOST, "25006", "42501")
    """SQLSTATE: connection; disk, memory or connections used up; shut down; I/O error; a standby; no privilege.
    https://www.postgresql.org/docs/current/errcodes-appendix.html"""
    _LOCK: ClassVar = int.from_bytes(b"unsee bk")
    """Of all advisory locks of a database, the one that a writer of books holds."""

    def __init__(self, url: URL, busy_ms: int) -> None:
        if "connect_timeout" not in url.query:
            url = url.update_query_dict({"connect_timeout": "10"})
        super().__init__(url.set(drivername="postgresql+psycopg"), busy_ms)

    @property
    def place(self) -> str:
        """Database and server."""
        host = self.url.host or self.url.query.get("host") or "this machine"
        where = host if isinstance(host, str) else ", ".join(host)
        return f"database {self.url.database!r} on {where}" + (f", port {self.url.port}" if self.url.port else "")

    def absent(self) -> bool:
        """Connecting tells, and makes nothing."""
        return False

    def engine(self) -> Engine:
        """Connections that take the writer's lock, or read one snapshot.

        Raises:
            MissingExtra: psycopg is not installed.
        """
        try:
            engine = sa.create_engine(self.url, pool_pre_ping=True)
        except ImportError as error:
            raise MissingExtra("postgres", needed_for="Keeping books on PostgreSQL") from error
        event.listen(engine, "begin", self._begin)
        return engine

    def check(self, conn: Connection) -> None:
        """Names and notes are in any script."""
        encoding = conn.exec_driver_sql("SHOW server_encoding").scalar()
        if encoding != "UTF8":
            raise WrongState(
                f"The text of the {self.place} is written in {encoding}.",
                next_step='Make one with "createdb --encoding=UTF8 --template=template0 NAME".',
            )

    def is_busy(self, error: BaseException) -> bool:
        """A lock that was not had in time."""
        return self._state(error).startswith(self._BUSY)

    def is_failing(self, error: BaseException, *, writing: bool) -> bool:
        """A lost connection, a full disk, a standby."""
        lost = isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated
        return lost or self._state(error).startswith(self._UNWRITABLE if writing else self._LOST)

    def forget(self, engine: Engine) -> tuple[str, ...]:
        """Rewrite every table but `items`, whose rows are dense numbers and stay, so that their files hold live rows only.

        `VACUUM FULL` keeps what an old snapshot may still see, and tells so in a notice; the planner's statistics hold samples
        of values, of a table that became empty for ever. Cost: the size of those tables, each closed to readers meanwhile.
        """
        raw = engine.raw_connection()
        try:
            connection: psycopg.Connection[Any] = raw.driver_connection  # type: ignore[assignment]
            connection.autocommit = True  # VACUUM runs outside any transaction
            return _rewrite(connection, self)
        except Exception as error:
            if self.is_busy(error):
                raise self.busy() from error
            raise
        finally:
            raw.invalidate()  # and with the connection go its settings and the lock

    def raw(self, engine: Engine) -> Generator[Iterator[bytes], None, None]:
        """Every table by COPY in its binary format: every value of every row, as the server would hand it to anybody."""
        with engine.connect() as conn:
            for name in metadata.tables:
                yield _copied_out(
                    conn, f"COPY {conn.dialect.identifier_preparer.quote(name)} TO STDOUT (FORMAT BINARY)"
                )

    def _begin(self, conn: Connection) -> None:
        if not conn.get_execution_options().get("unsee_write", False):
            conn.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        conn.exec_driver_sql(f"SET LOCAL lock_timeout = {self.busy_ms}")
        if conn.get_execution_options().get("unsee_write", False):
            conn.exec_driver_sql(f"SELECT pg_advisory_xact_lock({self._LOCK})")

    def take_lock(self, connection: psycopg.Connection[Any]) -> None:
        """Keep writers out until the connection ends."""
        connection.execute(f"SET lock_timeout = {self.busy_ms}")
        connection.execute(f"SELECT pg_advisory_lock({self._LOCK})")

    @staticmethod
    def _state(error: BaseException) -> str:
        cause = error.orig if isinstance(error, sa.exc.DatabaseError) else error
        return str(getattr(cause, "sqlstate", None) or "")


def _copied_out(conn: Connection, statement: str) -> Iterator[bytes]:
    held = bytearray()
    with conn.connection.cursor() as cursor, cursor.copy(statement) as copy:  # type: ignore[attr-defined]
        for row in copy:
            held += row
            if len(held) >= _CHUNK:
                yield bytes(held)
                held.clear()
    yield bytes(held)


def _rewrite(connection: psycopg.Connection[Any], backend: Postgres) -> tuple[str, ...]:
    from psycopg import errors, sql

    kept_alive: list[str] = []
    skipped: list[str] = []

    def hear(notice: Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":  # so VACUUM tells of a table that it may not touch
            skipped.append(notice.message_primary or "")
        # "DETAIL: 3 dead row versions cannot be removed yet." In every language the number stands first.
        found = re.match(r"\D*(\d+)", notice.message_detail or "")
        if found and int(found[1]):
            kept_alive.append(notice.message_primary or "")

    backend.take_lock(connection)
    connection.add_notice_handler(hear)
    for name in metadata.tables:
        if name != items.name:
            connection.execute(sql.SQL("VACUUM (FULL, VERBOSE, ANALYZE) {}").format(sql.Identifier(name)))
            _forget_statistics(connection, name)
    if kept_alive:
        raise backend.busy()
    if skipped:
        raise StoreUnreachable(
            f"Deleted rows are still in the tables of the {backend.place}: {skipped[0]}.",
            next_step="Do it as the role that owns the tables.",
        )
    left = list(backend.beyond_reach)
    for statement, what in (
        (
            "VACUUM FULL pg_catalog.pg_statistic",
            "the planner's statistics, in dead rows that only their owner may rewrite",
        ),
        ("SELECT pg_switch_wal()", ""),
        ("CHECKPOINT", "the files of tables as they were, until the server's next checkpoint"),
    ):
        try:
            connection.execute(statement)
        except errors.InsufficientPrivilege:
            skipped.append(statement)
        if skipped and what:
            left.append(what)
        skipped.clear()
    return tuple(left)


def _forget_statistics(connection: psycopg.Connection[Any], table: str) -> None:
    """ANALYZE leaves the statistics of an empty table as they were; a column that is given a type, even its own, loses its."""
    from psycopg import sql

    if connection.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(table))).fetchone():
        return
    columns = connection.execute(
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod), c.collname FROM pg_attribute a "
        "JOIN pg_stats s ON s.schemaname = current_schema() AND s.tablename = %(table)s AND s.attname = a.attname "
        "LEFT JOIN pg_collation c ON c.oid = a.attcollation WHERE a.attrelid = %(table)s::regclass",
        {"table": table},
    ).fetchall()
    for column, kind, collation in columns:
        statement = sql.SQL("ALTER TABLE {} ALTER COLUMN {} TYPE {}").format(
            sql.Identifier(table), sql.Identifier(column), sql.SQL(kind)
        )
        connection.execute(
            statement + sql.SQL(" COLLATE {}").format(sql.Identifier(collation)) if collation else statement
        )
