"""Planning: an order on 3 million photos, against the bare read of the same rows from the same file.

The books are made here, outside the clock: 3 million photos in scope and 0.3 million of another source at scale 1, 1,000 files a
directory, 10,000 a batch, 12 photos a person, digests, demographics for everybody and a position for one photo in eight. Timed is
`Planner.write` with a walk that found nothing new, each in a fresh process, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

from bench import Line, Table, peak_rss_bytes, scratch
from unsee.books import items, orders, parties, places
from unsee.books.database import Books, stamp, utc_now
from unsee.core.commitment import items_root
from unsee.core.ids import ItemId, ItemSet, OrderId, PersonId, SourceId, StoreId
from unsee.core.orders import Order
from unsee.core.parties import Source, SourceKind

IN_SCOPE = 3_000_000
RETAINED = 300_000
IN_A_DIRECTORY = 1_000
IN_A_BATCH = 10_000
OF_A_PERSON = 12
LOCATED_EVERY = 8
_WHOLE = 30_000
"""Sizes are multiples of it, so that no directory, batch or person lies in both sources."""
AT_MOST_S = 10.0
AT_MOST_BYTES = 2_000_000_000
SCOPE, OTHER = SourceId("partner-2014"), SourceId("panel-2024")
ORDER = OrderId("order-0001")


def make_books(place: Path, in_scope: int, retained: int) -> None:
    """Books of two sources, and an order on the first."""
    for name in ("photos", "models", "plans"):
        (place / name).mkdir()
    books = Books.open(_url(place), create=True)
    with books.write() as tx:
        for source in (SCOPE, OTHER):
            parties.register_source(
                tx, Source(source, source, SourceKind.PARTNER, "Giver", date(2014, 9, 1), ("photo", "demographics"))
            )
        places.register_store(tx, StoreId("photos"), "files", str(place / "photos"), {})
    with closing(sqlite3.connect(place / "books.sqlite", isolation_level=None)) as db:
        db.execute("PRAGMA synchronous=OFF")
        db.execute("BEGIN")
        _fill(db, source=1, first=0, count=in_scope)
        _fill(db, source=2, first=in_scope, count=retained)
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with books.write() as tx:
        order = Order(ORDER, SCOPE, "ftc-everalbum", "", "order.pdf", "00" * 32, date(2026, 1, 1), PersonId("dana"))
        orders.open_order(tx, order, ItemSet(range(in_scope)))
    books.close()


def _fill(db: sqlite3.Connection, *, source: int, first: int, count: int) -> None:
    ids = range(first, first + count)
    db.executemany(
        "INSERT INTO objects (no, store_no, name) VALUES (?, 1, ?)",
        ((no, f"source-{source}/{no // 100:04d}/{no % 100:02d}") for no in sorted({_object(i) for i in ids})),
    )
    people = sorted({_person(i) for i in ids})
    db.executemany(
        "INSERT INTO subjects (no, source_no, pseudonym) VALUES (?, ?, ?)",
        ((p, source, _digest(b"p", p)) for p in people),
    )
    db.executemany(
        "INSERT INTO subject_attributes (subject_no, name, data_class, value) VALUES (?, ?, 'demographics', ?)",
        ((p, name, "32") for p in people for name in ("age", "sex")),
    )
    db.executemany(
        "INSERT INTO items VALUES (?, ?, ?, NULL, ?, 0, 0, 640, 480, ?)",
        ((i, source, _person(i), 1 + i // IN_A_BATCH, 90_000 + i % 7_919) for i in ids),
    )
    db.executemany(
        "INSERT INTO copies (item_id, object_no, selector, stamp, size_bytes) VALUES (?, ?, ?, ?, ?)",
        (
            (
                i,
                _object(i),
                f"user{_person(i):07d}-{i:09d}.jpg",
                f"{90_000 + i % 7_919}-{1_408_000_000_000_000_000 + i * 77_777}-{i}",
                90_000 + i % 7_919,
            )
            for i in ids
        ),
    )
    db.executemany(
        "INSERT INTO item_attributes (item_id, name, data_class, value) VALUES (?, ?, 'location', '40.1')",
        ((i, name) for i in ids[::LOCATED_EVERY] for name in ("exif_latitude", "exif_longitude")),
    )
    mine = ItemSet(ids)
    mine.run_optimize()
    db.execute("UPDATE sources SET item_set = ? WHERE no = ?", (mine.serialize(), source))
    for start in range(first, first + count, IN_A_BATCH):
        batch = range(start, min(start + IN_A_BATCH, first + count))
        sha = [_digest(b"s", i) for i in batch]
        db.executemany(
            "INSERT INTO digests (item_id, sha256, pixels, pdq, pdq_quality) VALUES (?, ?, ?, ?, 100)",
            zip(batch, sha, sha, sha, strict=True),
        )
        root = items_root((ItemId(i), s) for i, s in zip(batch, sha, strict=True))
        db.execute(
            "INSERT INTO batches (no, source_no, counts, first_item, item_count, root, person_id, at) "
            "VALUES (?, ?, '{}', ?, ?, ?, 'dana', ?)",
            (1 + start // IN_A_BATCH, source, start, len(batch), root, stamp(utc_now())),
        )


def _object(item: int) -> int:
    return 1 + item // IN_A_DIRECTORY


def _person(item: int) -> int:
    return 1 + item // OF_A_PERSON


def _digest(kind: bytes, number: int) -> bytes:
    return hashlib.sha256(kind + number.to_bytes(8)).digest()


def _url(place: Path) -> str:
    return f"sqlite:///{place / 'books.sqlite'}"


def read_rows(place: Path) -> int:
    """The bare read: every row that the plan lists, by the driver, in the order of the key, and dropped at once."""
    with (
        closing(sqlite3.connect(place / "books.sqlite")) as db,
        closing(sqlite3.connect(place / "books.sqlite")) as one,
    ):
        (blob,) = one.execute("SELECT scope FROM orders").fetchone()
        scope = ItemSet.deserialize(blob)
        cursor = db.execute(
            "SELECT item_id, object_no, selector, stamp, size_bytes FROM copies WHERE item_id BETWEEN ? AND ?",
            (scope.min(), scope.max()),
        )
        return sum(len(rows) for rows in iter(lambda: cursor.fetchmany(65_536), []))


def write_plan(place: Path) -> int:
    """What is measured; targets in the plan."""
    from unsee.erase.approving import Sides
    from unsee.erase.discovery import Discovery
    from unsee.erase.planning import Planner
    from unsee.stores.registry import open_store

    books = Books.open(_url(place))
    with books.read() as conn:
        stores = {row.id: open_store(row.id, row.kind, row.location, row.options) for row in places.all_stores(conn)}
        planner = Planner(
            conn,
            orders.order(conn, ORDER),
            stores,
            Sides(SCOPE, (), ()),
            Discovery(present=ItemSet(range(items.next_item_id(conn)))),
            open_store(StoreId("models"), "files", str(place / "models"), {}),
            "0",
        )
        directory = place / "plans" / f"plan-{os.getpid()}"
        made = planner.write(directory, author=PersonId("dana"), at=stamp(utc_now()))
    return int(made.summary["copies"]["recorded"])


WORKS = {"read": read_rows, "plan": write_plan}


def _measured(place: Path, work: str) -> tuple[float, int, int]:
    """Seconds, rows and peak bytes of one work in a process of its own; imports are outside of the clock."""
    command = [sys.executable, "-m", "bench.plan", "--work", work, str(place)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found["seconds"], found["rows"], found["peak_bytes"]


def _work(name: str, place: Path) -> None:
    import unsee.erase.planning  # noqa: F401  # its libraries load before the clock starts

    start = time.perf_counter()
    rows = WORKS[name](place)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "rows": rows, "peak_bytes": peak_rss_bytes()}))


def run(scale: float) -> Table:
    in_scope, retained = (max(1, round(n * scale / _WHOLE)) * _WHOLE for n in (IN_SCOPE, RETAINED))
    with scratch() as place:
        make_books(place, in_scope, retained)
        _measured(place, "read")  # both works then find the file in the page cache
        read_s, rows, _peak = _measured(place, "read")
        plan_s, targets, peak = _measured(place, "plan")
        size = (place / "books.sqlite").stat().st_size
        assert targets == rows == in_scope
    return Table(
        f"Plan an order of {in_scope:,} photos; {retained:,} others stay",
        "photos",
        [
            Line("bare read of the rows", read_s, rows),
            Line(
                "Planner.write",
                plan_s,
                targets,
                at_most_s=AT_MOST_S,
                peak_bytes=peak,
                at_most_bytes=AT_MOST_BYTES,
            ),
        ],
        notes=(f"the books are {size / 1e6:,.0f} MB in SQLite; both read them from memory",),
    )


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument(
        "--work", choices=sorted(WORKS), help="one work on books that were made, for a process of its own"
    )
    parser.add_argument("place", nargs="?", type=Path)
    arguments = parser.parse_args()
    if arguments.work and arguments.place:
        _work(arguments.work, arguments.place)
    else:
        print(run(arguments.scale).text())


if __name__ == "__main__":
    _main()
