"""Plain ways to fill books in tests, importable in other processes too."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from pathlib import Path

import unsee.books.migrations
from unsee.books import items, parties, places
from unsee.books.database import Books, Tx
from unsee.core.ids import ItemSet, PersonId, SourceId, StoreId
from unsee.core.parties import Source, SourceKind

NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)
DANA = PersonId("dana")
PANEL = SourceId("panel")

assert unsee.books.migrations  # imported here, so that a killed child need not


def url_of(path: Path | str) -> str:
    return f"sqlite:///{path}"


def open_url(url: str, *, create: bool = False) -> Books:
    return Books.open(url, create=create, clock=lambda: NOW)


def open_books(path: Path | str, *, create: bool = False) -> Books:
    return open_url(url_of(path), create=create)


def a_source(name: str = "panel", **changes: object) -> Source:
    fields = {"title": "t", "kind": SourceKind.PANEL, "issuer": "giver", "collected_on": date(2025, 1, 1), **changes}
    return Source(SourceId(name), **fields)


def photo(text: object, subject: int | None = None, **changes: object) -> items.NewItem:
    """A photo whose digests follow from `text`."""
    sha, pixels, pdq = (hashlib.sha256(f"{kind} {text}".encode()).digest() for kind in ("file", "pixels", "pdq"))
    fields = {
        "sha256": sha,
        "pixels": pixels,
        "pdq": pdq,
        "pdq_quality": 100,
        "width": 640,
        "height": 480,
        "size_bytes": 1000,
        "signals": 0,
        "subject": subject,
        **changes,
    }
    return items.NewItem(**fields)


def add(tx: Tx, *photos: items.NewItem, source: SourceId = PANEL) -> ItemSet:
    _batch, ids = items.add_batch(tx, source, photos, counts={"new": len(photos)}, person=DANA)
    return ItemSet(ids)


class Undone(Exception):
    """Ends a transaction that nobody wants to keep."""


@contextmanager
def undone(books: Books) -> Iterator[Tx]:
    """A write transaction that leaves nothing."""
    with suppress(Undone), books.write() as tx:
        yield tx
        raise Undone


def whole(conn) -> int:
    """Assert that items, digests, copies, batches, bitmaps and facts tell one story; how many items there are."""
    batches = items.all_batches(conn)
    held = ItemSet.union(ItemSet(), *(parties.items_of_source(conn, s.id) for s in parties.all_sources(conn)))
    by_batch = ItemSet.union(ItemSet(), *(b.items for b in batches))
    assert held == by_batch == ItemSet(items.digests_of(conn, held).ids.tolist())
    assert len(held) == sum(b.count for b in batches) == items.next_item_id(conn)
    copied = [row.item_id for rows in places.copies_of(conn, held) for row in rows]
    assert set(copied) <= set(held)
    facts = conn.exec_driver_sql("SELECT count(*) FROM facts WHERE kind = 'BatchTakenIn'").scalar()
    assert facts == conn.exec_driver_sql("SELECT count(*) FROM batches").scalar()
    return len(held)


# What other processes do.


def take_in_one_batch(url: str) -> None:
    """One intake of five photos with their copies, in one transaction."""
    books = open_url(url)
    with books.write() as tx:
        n = items.next_item_id(tx.conn)
        ids = add(tx, *(photo(f"{n + i}") for i in range(5)))
        number = places.object_numbers(tx, 1, ["folder"])["folder"]
        places.replace_copies(tx, [places.Copy(i, number, f"{i}.jpg", "s", 1000) for i in ids])
    books.close()


def take_in_many_batches(url: str, name: str, count: int) -> None:
    books = open_url(url)
    for n in range(count):
        with books.write() as tx:
            add(tx, *(photo(f"{name} {n} {i}") for i in range(3)))
    books.close()


def create(url: str) -> None:
    open_url(url, create=True).close()


def scrub(url: str, doomed: list[int]) -> None:
    """Forget what shows or identifies in some items."""
    books = open_url(url)
    with books.write() as tx:
        places.forget_copies(tx, ItemSet(doomed))
        items.forget_content(tx, ItemSet(doomed))
    books.forget_free_pages()
    books.close()


def prepare(url: str) -> None:
    """Books with one source and one store."""
    books = open_url(url, create=True)
    with books.write() as tx:
        parties.register_source(tx, a_source())
        places.register_store(tx, StoreId("corpus"), "files", "/corpus", {})
    books.close()
