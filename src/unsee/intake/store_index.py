"""Recording what lies in a store: which of its members are copies of a source's photos, and which were made from them.

Shards, tables and buckets are written by other programs, long after the photos came in. Once the books know that a row or a tar
member is a copy of a photo, an order reaches it without reading the shard; and what shows no photo any more (an embedding) is
reached only so: its id says nothing, and somebody has to say what it was made from.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
from sqlalchemy import Connection

from unsee.books import items, parties, places
from unsee.books.database import Books
from unsee.core.errors import MetadataError, StoreError
from unsee.core.ids import ItemId, ItemSet, PersonId, SourceId
from unsee.engine.local import run_units
from unsee.engine.outcome import Done
from unsee.intake.opening import require_open
from unsee.match.pictures import document
from unsee.stores.contract import Member, Skipped, Store, read_many, same_stamp

AT_ONCE = 8_192
"""Members that are read together, and recorded in one transaction."""
_NO_PARENT_KNOWN = "made from a photo that this source does not have"


@dataclass
class Indexed:
    """What an indexing did; every member of the store is counted once."""

    store: str
    source: SourceId
    members: int = 0
    recorded: int = 0
    """Members that are copies of photos of the source, recorded now."""
    derived: int = 0
    """Items that were made from photos of the source, taken in now."""
    known: int = 0
    """Recorded before, and not touched since: not read again."""
    others: int = 0
    """Members that are no copy, byte for byte, of any photo of this source."""
    skipped: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    """Members that could not be read or placed, and objects that could not be read to their end, and why."""

    def as_json(self) -> dict[str, object]:
        """As printed."""
        return {"schema": "unsee/store-index/1", **vars(self)}


@dataclass(frozen=True, slots=True)
class Origin:
    """What one member of a store was made from: a photo's SHA-256, or the place of a copy of it."""

    sha256: bytes | None
    place: tuple[str, str, str] | None


def read_origins(path: Path) -> dict[tuple[str | None, str], Origin]:
    """A CSV file with the columns `selector` and `sha256` or `photo`, and `object` where selectors repeat in several objects.

    `photo` is STORE:OBJECT/SELECTOR, as unsee prints places. The keys are (object or None, selector).

    Raises:
        MetadataError: the file breaks this form; the error names the line.
    """
    found: dict[tuple[str | None, str], Origin] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            names = set(rows.fieldnames or ())
            if "selector" not in names or not names & {"sha256", "photo"}:
                raise _bad(path, 1, "it needs the columns selector and sha256 (or photo)")
            for number, row in enumerate(rows, start=2):
                key = (row.get("object") or None, str(row["selector"] or ""))
                if not key[1] or key in found:
                    raise _bad(path, number, f"the selector {key[1][:80]!r} is empty or stands there twice")
                found[key] = _origin(path, number, row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _bad(path, 1, f"it cannot be read: {error}") from None
    return found


def _origin(path: Path, number: int, row: Mapping[str, str | None]) -> Origin:
    digest, photo = row.get("sha256") or "", row.get("photo") or ""
    if digest:
        try:
            sha256 = bytes.fromhex(digest)
        except ValueError:
            sha256 = b""
        if len(sha256) != 32:
            raise _bad(path, number, f"{digest[:80]!r} is no SHA-256 in hexadecimal")
        return Origin(sha256, None)
    store, colon, place = photo.partition(":")
    above, _, selector = place.rpartition("/")
    if not colon or not store or not selector:
        raise _bad(path, number, f"{photo[:80]!r} is no place; write STORE:OBJECT/SELECTOR")
    return Origin(None, (store, above or ".", selector))


def _bad(path: Path, line: int, why: str) -> MetadataError:
    return MetadataError(why, file=str(path), line=line, next_step="Mend the file and index the store again.")


@dataclass(frozen=True, slots=True)
class StoreIndex:
    """One indexing of one store for one source. With `origins`, members are taken in as made from photos, not as copies of them."""

    books: Books
    source: SourceId
    store: Store
    store_no: int
    person: PersonId
    origins: Mapping[tuple[str | None, str], Origin] = field(default_factory=dict)
    workers: int = 2

    def run(self) -> Indexed:
        """Read what is not on record and write down what it is. Running it again reads only what is new or was touched.

        Raises:
            PolicyRefusal, BlockedByOrder: nothing may be taken in from the source now.
            StoreUnreachable: the store is not there.
        Cost: one listing of the store, one read of what is new.
        """
        with self.books.read() as conn:
            require_open(conn, self.source, self.books.now().date())
        done = Indexed(str(self.store.id), self.source)
        for batch in self._fresh(done):
            read: list[_Read] = []
            for outcome in run_units(_digests, [_Part(self.store, batch)], workers=1):
                if isinstance(outcome, Done):
                    read.extend(outcome.value)
                else:
                    done.failed.update({f"{m.object}/{m.selector}": outcome.error for m in batch})
            self._record(read, done)
        return done

    def _fresh(self, done: Indexed) -> Iterator[tuple[Member, ...]]:
        """Members of one object at a time that are not on record as they are."""
        for object_name, entries in groupby(self.store.scan(), key=lambda entry: entry.object):
            with self.books.read() as conn:
                number = {n: no for no, n in places.objects_of(conn, self.store_no).items()}.get(object_name)
                recorded = places.copies_in_object(conn, number) if number is not None else {}
            waiting: list[Member] = []
            for entry in entries:
                if isinstance(entry, Skipped):
                    if entry.selector:
                        done.skipped += 1
                    else:
                        done.failed[entry.object] = entry.reason
                    continue
                done.members += 1
                copy = recorded.get(entry.selector)
                if copy is not None and same_stamp(copy.stamp, entry.stamp):
                    done.known += 1
                elif self.origins and self._origin(entry) is None:
                    done.others += 1
                else:
                    waiting.append(entry)
                if len(waiting) == AT_ONCE:
                    yield tuple(waiting)
                    waiting = []
            if waiting:
                yield tuple(waiting)

    def _origin(self, member: Member) -> Origin | None:
        return self.origins.get((member.object, member.selector)) or self.origins.get((None, member.selector))

    def _record(self, read: Sequence[_Read], done: Indexed) -> None:
        good: dict[str, tuple[Member, bytes]] = {}
        for member, digest, reason in read:
            if digest is None:
                done.failed[f"{member.object}/{member.selector}"] = reason
            else:
                good[member.selector] = (member, digest)
        if not good:
            return
        with self.books.write() as tx:
            require_open(tx.conn, self.source, tx.now.date())
            known = items.known_sha256(tx.conn, self.source, {digest for _member, digest in good.values()})
            fresh = [(m, d) for m, d in good.values() if d not in known] if self.origins else []
            parents = self._parents(tx.conn, [m for m, _digest in fresh])
            made = [(m, d, parents[m.selector]) for m, d in fresh if m.selector in parents]
            for member, _digest in fresh:
                if member.selector not in parents:
                    done.failed[f"{member.object}/{member.selector}"] = _NO_PARENT_KNOWN
            if made:
                batch = items.add_columns(
                    tx, self.source, self._columns(tx.conn, made), counts={"derived": len(made)}, person=self.person
                )
                known |= {digest: ItemId(batch.first + i) for i, (_m, digest, _p) in enumerate(made)}
                done.derived += len(made)
            numbers = places.object_numbers(tx, self.store_no, {m.object for m, _digest in good.values()})
            copies = [
                places.Copy(known[digest], numbers[m.object], m.selector, m.stamp, m.size_bytes)
                for m, digest in good.values()
                if digest in known
            ]
            places.replace_copies(tx, copies)
            done.recorded += len(copies) - len(made)
            if not self.origins:
                done.others += len(good) - len(copies)

    def _parents(self, conn: Connection, members: Sequence[Member]) -> dict[str, ItemId]:
        """The item that each of these members was made from, where the source has it."""
        origins = {m.selector: origin for m in members if (origin := self._origin(m)) is not None}
        by_digest = items.known_sha256(conn, self.source, {o.sha256 for o in origins.values() if o.sha256 is not None})
        by_place: dict[tuple[str, str, str], ItemId] = {}
        wanted = {o.place for o in origins.values() if o.place is not None}
        stores = {str(row.id): row.no for row in places.all_stores(conn)}
        for store in {place[0] for place in wanted} & stores.keys():
            numbers = {name: no for no, name in places.objects_of(conn, stores[store]).items()}
            for name in {place[1] for place in wanted if place[0] == store} & numbers.keys():
                for selector, copy in places.copies_in_object(conn, numbers[name]).items():
                    by_place[store, name, selector] = copy.item
        mine = parties.items_of_source(conn, self.source)
        found: dict[str, ItemId] = {}
        for selector, origin in origins.items():
            item = (
                by_digest.get(origin.sha256) if origin.sha256 is not None else by_place.get(origin.place or ("",) * 3)
            )
            if item is not None and item in mine:
                found[selector] = item
        return found

    def _columns(self, conn: Connection, made: Sequence[tuple[Member, bytes, ItemId]]) -> items.ItemColumns:
        shown = items.subjects_of_items(conn, ItemSet([parent for _m, _digest, parent in made]))
        papers = [document(digest) for _member, digest, _parent in made]
        zeros = np.zeros(len(made), np.int64)
        return items.ItemColumns(
            sha256=_rows([p.sha256 for p in papers]),
            pixels=_rows([p.pixel_digest for p in papers]),
            pdq=_rows([p.pdq for p in papers]),
            pdq_quality=zeros,
            width=zeros,
            height=zeros,
            size_bytes=np.array([m.size_bytes for m, _digest, _parent in made], np.int64),
            signals=zeros,
            subject=np.array([shown.get(parent, items.NOBODY) for _m, _digest, parent in made], np.int64),
            kind=np.full(len(made), items.EMBEDDING, np.int64),
            parent=np.array([parent for _m, _digest, parent in made], np.int64),
        )


_Read = tuple[Member, bytes | None, str]
"""A member, its SHA-256, or why it could not be read."""


@dataclass(frozen=True, slots=True)
class _Part:
    store: Store
    members: tuple[Member, ...]


def _digests(part: _Part) -> list[_Read]:
    by_selector = {member.selector: member for member in part.members}
    read: list[_Read] = []
    object_name = part.members[0].object
    for selector, data in read_many(part.store, object_name, list(by_selector)):
        member = by_selector.pop(selector)
        if isinstance(data, StoreError):
            read.append((member, None, data.message))
        else:
            read.append((member, hashlib.sha256(data).digest(), ""))
    return read + [(member, None, "it went away while the store was read") for member in by_selector.values()]


def _rows(digests: Sequence[bytes]) -> items.Bytes:
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)
