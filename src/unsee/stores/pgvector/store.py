"""A schema of a PostgreSQL database as a store: tables with vectors are objects, their rows members.

Rows are deleted in one transaction; then the table is written anew, the statistics of its columns too, and the write-ahead log
is walked through (`purging`). A call that finds its rows deleted goes on with the rest, as after a kill in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import Connection, sql

from unsee.core.errors import StoreError, StoreUnreachable
from unsee.core.evidence import Gone
from unsee.core.ids import StoreId
from unsee.stores.contract import Capability, Erased, HeldVersion, Kept, Member, RawPart, Residue, Skipped, Target
from unsee.stores.pgvector import purging, relations, waiting
from unsee.stores.pgvector.tables import Table, find, named

LIMITS = (
    "Replicas, base backups, WAL archives and dumps hold copies; they are named where the server knows them, not touched.",
    "The blocks of files that the server removed hold their bytes until the file system reuses or trims them.",
    "A table is locked against readers and writers while it is written anew, and needs as much disk again.",
    "The log is walked through for users who may read its files (superusers); for others D1 is claimed.",
    "Rows of other tables go only where a foreign key says ON DELETE; copies elsewhere (views, queues, audit tables) stay.",
    "The server's log files and the statistics of statements may quote values; they are not read.",
)
WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class PgVectorStore:
    """Tables of one schema."""

    id: StoreId
    location: str
    schema: str = "public"
    data: str | None = None
    key: str | None = None
    rewrite: bool = True
    wait_s: float = WAIT_S

    def capability(self) -> Capability:
        """What it can do, and what it cannot."""
        best = Gone.D2 if self.rewrite else Gone.D1
        limits = (
            LIMITS if self.rewrite else ("With rewrite=none deleted rows stay in the pages of their table.", *LIMITS)
        )
        method = "row deleted, table and log written anew" if self.rewrite else "row deleted"
        return Capability(kind="pgvector", best_gone=best, keeps_history=False, limits=limits, method=method)

    def scan(self) -> Iterator[Member | Skipped]:
        """Every row of every table with vectors, by table and key; digests are made by the server. Memory: a few thousand rows.

        Rows whose key is NULL are `Skipped` together: nothing names them.
        """
        with self._connected() as conn:
            tables = list(find(conn, self.schema, data=self.data, key=self.key))
        for table in tables:
            if isinstance(table, Skipped):
                yield table
                continue
            with self._connected() as conn:
                yield from self._rows(conn, table)

    def _rows(self, conn: Connection, table: Table) -> Iterator[Member | Skipped]:
        statement = sql.SQL(
            "SELECT {key}, encode(sha256(string_agg({sent}, ''::bytea ORDER BY {sent})), 'hex'), "
            'array_agg({sent}) FROM {table} GROUP BY 1 ORDER BY {key} COLLATE "C"'
        ).format(key=table.selector, sent=table.sent, table=table.only)
        try:
            with conn.transaction(), conn.cursor(name="unsee", binary=True) as rows:
                for name, stamp, sent in rows.execute(statement):
                    if name is None:
                        yield Skipped(
                            table.object, "", f"{len(sent):,} rows whose key {table.key!r} is NULL: nothing names them"
                        )
                    else:
                        yield Member(table.object, name, sum(len(table.decode(data)) for data in sent), stamp)
        except psycopg.Error as error:
            yield Skipped(table.object, "", f"the table cannot be listed: {purging.words(error)}")

    def read(self, object_name: str, selector: str, *, limit_bytes: int | None = None) -> bytes:
        """The vector of a row as little-endian float32; sparse and bit vectors as PostgreSQL sends them, bytea as it is.

        Raises:
            PathEscape: the object is in another schema.
            StoreError: it is not there, is larger than `limit_bytes`, or cannot be read.
        """
        for _, data in self.read_many(object_name, [selector], limit_bytes=limit_bytes):
            if isinstance(data, StoreError):
                raise data
            return data
        raise self._absent(object_name, selector)

    def read_many(
        self, object_name: str, selectors: Sequence[str], *, limit_bytes: int | None = None
    ) -> Iterator[tuple[str, bytes | StoreError]]:
        """The vectors of many rows by one statement."""
        names = list(dict.fromkeys(selectors))
        found: dict[str, bytes] = {}
        with self._connected() as conn:
            table = self._table(conn, object_name)
            if table is not None and names:
                statement = sql.SQL("SELECT {key}, {sent} FROM {table} WHERE {key} = ANY(%s) ORDER BY 1, 2").format(
                    key=table.selector, sent=table.sent, table=table.only
                )
                for name, sent in conn.execute(statement, [_sendable(names)], binary=True):
                    found[name] = found.get(name, b"") + table.decode(sent)
        for name in names:
            data = found.get(name)
            if data is None:
                yield name, self._absent(object_name, name)
            elif limit_bytes is not None and len(data) > limit_bytes:
                yield name, StoreError(f"{self.id}: {name!r} in {object_name!r} is larger than {limit_bytes:,} bytes.")
            else:
                yield name, data

    def _absent(self, object_name: str, selector: str) -> StoreError:
        return StoreError(
            f"{self.id}: {object_name!r} holds no row {selector!r}.",
            next_step="Scan the store again to see what is there.",
        )

    def stamps(self, object_name: str, selectors: Sequence[str]) -> list[str | None]:
        """A digest of each row's vector, made by the server; None where there is no such row."""
        with self._connected() as conn:
            table = self._table(conn, object_name)
            found = _stamps(conn, table, selectors) if table is not None else {}
        return [found.get(selector) for selector in selectors]

    def erase(self, object_name: str, targets: Sequence[Target]) -> Erased:
        """Delete the rows, write the table anew, and walk through the log.

        D2 where every segment of the log was seen to be newer than the deletion, D1 otherwise. Where the table could not be
        written anew, the rows are deleted and reported as kept, because its pages hold their bytes; the same call tries again.
        """
        wanted: dict[str, Target] = {}
        kept: dict[str, str] = {}
        for target in targets:
            if wanted.setdefault(target.selector, target) != target:
                kept[target.selector] = "it is listed twice, with different stamps"
        with self._connected() as conn:
            table = self._table(conn, object_name)
            if table is None or not wanted:
                return Erased((), tuple(wanted), (), Gone.D1)
            try:
                purging.limit_locks(conn, self.wait_s)
                going = self._delete(conn, table, wanted, kept)
            except psycopg.Error as error:
                reason = f"{object_name!r} was left as it is: {purging.words(error)}"
                return Erased((), (), tuple(Kept(name, kept.get(name, reason)) for name in wanted), Gone.D1)
            absent = [name for name in wanted if name not in kept and name not in going]
            gone = Gone.D1
            if self.rewrite and (going or absent):
                try:
                    gone = self._purge(conn, table)
                except purging.NotPurged as error:
                    kept |= dict.fromkeys(
                        [*going, *absent], f"its row is deleted, and its bytes may be in the table's files: {error}"
                    )
                    going, absent = [], []
        return Erased(tuple(going), tuple(absent), tuple(Kept(name, reason) for name, reason in kept.items()), gone)

    def _delete(self, conn: Connection, table: Table, wanted: Mapping[str, Target], kept: dict[str, str]) -> list[str]:
        """The rows that were deleted; those that stay go to `kept`."""
        names = [name for name in wanted if name not in kept]
        with conn.transaction():
            lock = sql.SQL("SELECT 1 FROM {table} WHERE {key} = ANY(%s) FOR UPDATE").format(
                table=table.only, key=table.selector
            )
            conn.execute(lock, [_sendable(names)])
            present = _stamps(conn, table, names)
            for name in names:
                if name in present and wanted[name].stamp not in {None, present[name]}:
                    kept[name] = "its vector was replaced since it was listed"
            going = [name for name in names if name in present and name not in kept]
            self._delete_rows(conn, table, going, kept)
            left = _stamps(conn, table, going)
            for name in going:
                if name in left:
                    kept.setdefault(name, "it is still there after DELETE: a trigger or a rule keeps it")
        return [name for name in going if name not in kept]

    def _delete_rows(self, conn: Connection, table: Table, names: Sequence[str], kept: dict[str, str]) -> None:
        """All at once; one by one where another table's rows hold on to some."""
        statement = sql.SQL("DELETE FROM {table} WHERE {key} = ANY(%s)").format(table=table.only, key=table.selector)
        try:
            with conn.transaction():
                conn.execute(statement, [list(names)])
        except (psycopg.IntegrityError, psycopg.errors.RaiseException) as error:
            if len(names) == 1:
                kept[names[0]] = f"the database refuses: {purging.words(error)}"
                return
            for name in names:
                self._delete_rows(conn, table, [name], kept)

    def _purge(self, conn: Connection, table: Table) -> Gone:
        """How far the bytes are gone.

        Raises:
            NotPurged: the table could not be written anew without them.
        """
        purging.wait_for_older(conn, self.wait_s)
        purging.rewrite(conn, table)
        return Gone.D2 if purging.clear_statistics(conn) and purging.renew_log(conn) else Gone.D1

    def probe(self, object_name: str, selectors: Sequence[str]) -> tuple[Residue, ...]:
        """Ask the table anew, over a connection of its own."""
        return tuple(
            Residue(name, "current")
            for name, stamp in zip(selectors, self.stamps(object_name, selectors), strict=True)
            if stamp is not None
        )

    def raw(self) -> Iterator[RawPart | Skipped]:
        """The files of the tables with their indexes and TOAST tables, of the statistics, and the write-ahead log.

        By `pg_read_binary_file`, after a checkpoint; `Skipped` for users who may not.
        """
        with self._connected() as conn:
            tables = [
                found for found in find(conn, self.schema, data=self.data, key=self.key) if isinstance(found, Table)
            ]
            files = relations.files(conn, [table.oid for table in tables])
        for found in files:
            yield found if isinstance(found, Skipped) else RawPart(found, self._pieces(found))

    def _pieces(self, path: str) -> Iterator[bytes]:
        with self._connected() as conn:
            yield from relations.pieces(conn, path)

    def tidy(self, object_names: Sequence[str]) -> tuple[str, ...]:
        """Nothing: an empty table is part of an application's schema."""
        for name in object_names:
            named(name, self.schema)
        return ()

    def history(self, object_name: str) -> tuple[HeldVersion, ...]:
        """Replicas, slots and archives that the server knows of: copies that this store cannot reach."""
        named(object_name, self.schema)
        with self._connected() as conn:
            return tuple(HeldVersion(name, removable=False) for name in relations.copies(conn))

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """A connection that commits each statement.

        Raises:
            StoreUnreachable: the database cannot be reached; the message holds no password.
            StoreError: it refused a statement.
        """
        try:
            conn = waiting.connect(self.location)
        except psycopg.Error as error:
            raise StoreUnreachable(
                f"{self.id}: the database cannot be reached: {' '.join(str(error).split())[:300].rstrip('.')}.",
                next_step="Start the server or mend the URL; the password comes from PGPASSWORD or PGPASSFILE.",
            ) from error
        try:
            with conn:
                yield conn
        except psycopg.Error as error:
            raise StoreError(
                f"{self.id}: the database refused: {purging.words(error)}.",
                next_step="Grant what is missing, or mend the database, and try again.",
            ) from error

    def _table(self, conn: Connection, object_name: str) -> Table | None:
        """The table that is this object; None where there is none.

        Raises:
            PathEscape: it is in another schema.
            StoreError: it cannot be addressed.
        """
        name = named(object_name, self.schema)
        if name is None or "\0" in name:
            return None
        for found in find(conn, self.schema, data=self.data, key=self.key, table=name):
            if isinstance(found, Skipped):
                raise StoreError(
                    f"{self.id}: {object_name!r} cannot be used: {found.reason}.",
                    next_step="Open the store with other options.",
                )
            return found
        return None


def _stamps(conn: Connection, table: Table, selectors: Sequence[str]) -> dict[str, str]:
    statement = sql.SQL(
        "SELECT {key}, encode(sha256(string_agg({sent}, ''::bytea ORDER BY {sent})), 'hex') FROM {table} "
        "WHERE {key} = ANY(%s) GROUP BY 1"
    ).format(key=table.selector, sent=table.sent, table=table.only)
    return dict(conn.execute(statement, [_sendable(selectors)]).fetchall())


def _sendable(selectors: Sequence[str]) -> list[str]:
    """Text in PostgreSQL holds no NUL and no lone surrogate: no row has such a key."""
    return [name for name in selectors if "\0" not in name and not any("\ud800" <= char <= "\udfff" for char in name)]
