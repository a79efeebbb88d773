"""What one object holds, in a small SQLite database beside its files: which selectors, of what size, whose.

A row is written before its file gets its name, and deleted after the file is gone: there is no file without a row, but there may
be a row without its file after a kill. Reading a member does not need the index; listing does, and so does knowing whether an order
takes all of a source's or a person's members.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from unsee.core.errors import StoreError
from unsee.stores.vault.sealed import NOBODY

NAME = "index.sqlite"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS members(
    file BLOB PRIMARY KEY, selector TEXT NOT NULL, stamp BLOB NOT NULL, size INTEGER NOT NULL, person INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS members_person ON members(person);
CREATE TABLE IF NOT EXISTS people(digest BLOB PRIMARY KEY, slot INTEGER NOT NULL, key_id BLOB NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One member; `file` is the digest that its file is named by."""

    file: bytes
    selector: str
    stamp: bytes
    size_bytes: int
    person: int = NOBODY


def file_of(selector: str) -> bytes:
    """By what a member's file is named, whatever characters the selector holds."""
    return hashlib.sha256(b"unsee vault member" + selector.encode()).digest()[:16]


@dataclass(frozen=True, slots=True)
class Index:
    """An open index."""

    conn: sqlite3.Connection

    def rows(self, first: int = 0, last: int = 255) -> Iterator[Row]:
        """The rows whose file's first byte is in this range, by file."""
        query = "SELECT file, selector, stamp, size, person FROM members WHERE file >= ?"
        limits: tuple[bytes, ...] = (bytes([first]),)
        if last < 255:
            query, limits = query + " AND file < ?", (*limits, bytes([last + 1]))
        for row in self.conn.execute(query + " ORDER BY file", limits):
            yield Row(*row)

    def count(self) -> int:
        """How many rows there are."""
        return int(self.conn.execute("SELECT count(*) FROM members").fetchone()[0])

    def find(self, selectors: Sequence[str]) -> dict[str, Row]:
        """The rows of these selectors. Cost: a look-up each, or one pass where most of the object is asked for."""
        if len(selectors) > self.count() // 4:
            wanted = set(selectors)
            return {row.selector: row for row in self.rows() if row.selector in wanted}
        query = "SELECT file, selector, stamp, size, person FROM members WHERE file = ?"
        found = (self.conn.execute(query, (file_of(selector),)).fetchone() for selector in selectors)
        return {row[1]: Row(*row) for row in found if row is not None}

    def stamps(self) -> Iterator[tuple[str, bytes]]:
        """Selector and stamp of every row, and nothing else of it: for objects of millions."""
        yield from self.conn.execute("SELECT selector, stamp FROM members")

    def files(self) -> Iterator[bytes]:
        """The file of every row."""
        for (file,) in self.conn.execute("SELECT file FROM members"):
            yield file

    def files_of(self, person: int) -> Iterator[bytes]:
        """The files of one person."""
        for (file,) in self.conn.execute("SELECT file FROM members WHERE person = ?", (person,)):
            yield file

    def people(self) -> list[tuple[int, bytes, int]]:
        """Everybody who has a key here: slot, id of the key, rows."""
        counts = dict(self.conn.execute("SELECT person, count(*) FROM members GROUP BY person"))
        keys = self.conn.execute("SELECT slot, key_id FROM people ORDER BY slot")
        return [(slot, key_id, counts.get(slot, 0)) for slot, key_id in keys]

    def person(self, digest: bytes) -> tuple[int, bytes] | None:
        """Slot and id of the key of one person."""
        found = self.conn.execute("SELECT slot, key_id FROM people WHERE digest = ?", (digest,)).fetchone()
        return (found[0], found[1]) if found else None

    def add(self, rows: Iterable[Row], people: Iterable[tuple[bytes, int, bytes]] = ()) -> None:
        """Write rows, and whose key (digest of the person) lies in which slot under which id: all or nothing."""
        with self.conn:
            self.conn.executemany("INSERT OR REPLACE INTO people VALUES(?, ?, ?)", people)
            self.conn.executemany(
                "INSERT OR REPLACE INTO members VALUES(?, ?, ?, ?, ?)",
                ((r.file, r.selector, r.stamp, r.size_bytes, r.person) for r in rows),
            )

    def adopt(self, found: Sequence[tuple[Row, bytes]]) -> None:
        """Write rows made from headers, each with the id of its person's key.

        Who the person is a header does not say: what is sealed for the same person later gets a key of its own.
        """
        known = {slot for (slot,) in self.conn.execute("SELECT slot FROM people")} | {NOBODY}
        people = {row.person: key_id for row, key_id in found if row.person not in known}
        self.add(
            (row for row, _key_id in found),
            ((b"slot" + slot.to_bytes(4, "big"), slot, key_id) for slot, key_id in people.items()),
        )

    def drop(self, files: Iterable[bytes], people: Iterable[int] = ()) -> None:
        """Delete the rows of these files, and forget these people."""
        with self.conn:
            self.conn.executemany("DELETE FROM members WHERE file = ?", ((file,) for file in files))
            self.conn.executemany("DELETE FROM people WHERE slot = ?", ((slot,) for slot in people))


@contextmanager
def opened(directory: Path, *, create: bool = False) -> Iterator[Index]:
    """The index in this directory.

    Raises:
        StoreError: it is not there, or damaged.
    """
    path = directory / NAME
    if path.is_symlink() or (not create and not path.is_file()):
        raise StoreError(
            f"The index {path} is not there.", next_step='"unsee vault reindex STORE" makes it from the files.'
        )
    conn = None
    try:
        conn = sqlite3.connect(path, timeout=60)
        conn.execute("PRAGMA secure_delete=ON")
        conn.execute("PRAGMA synchronous=FULL")
        if create:
            conn.executescript(_SCHEMA)
        yield Index(conn)
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"The index {path} cannot be used: {error}.",
            next_step='Move it away; "unsee vault reindex STORE" makes it anew from the files.',
        ) from error
    finally:
        if conn is not None:
            conn.close()
