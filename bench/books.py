"""The books at millions of items, on SQLite and PostgreSQL: taking them in, and the questions that an order, a regulator or a
reader asks, each in a process of its own.

The books are made here through the bulk path that intake has (`items.add_columns`): a partner's photos (3 million at scale 1, what
the order reaches), three more sources of very different sizes, one photo in ten with a crop of it under a fifth source, ten photos
a person, consents, agreements, 50 datasets, 20 models. Beside them, in the same run: the bare driver writing the same rows
(`executemany`, `COPY`), and the rival `tombstone-erase` tracing a lineage graph of the same size and shape, when
UNSEE_BENCH_TOMBSTONE_PYTHON names a Python that has it.

`python -m bench books --scale X` makes books of 3 million × X items; `python -m bench.books --sizes 3,30,100` (millions) shows how
cost grows. PostgreSQL is started from its package where it is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bench import Line, Table, peak_rss_bytes, scratch
from bench._corpus import (
    CROPS,
    DANA,
    IN_A_BATCH,
    PARTNER,
    PURPOSE,
    digests_at,
    item_columns,
    make_books,
    register,
    use,
)
from bench._postgres import Server, running
from unsee.books.database import Books
from unsee.core.ids import ItemSet

MILLION = 1_000_000
OF_THE_PARTNER = 3 * MILLION
LOOKED_UP = 100_000
NODES = MILLION
AT_MOST_S = 5.0
AT_MOST_BYTES = 4_000_000_000
TODAY = datetime(2026, 11, 23, tzinfo=UTC)
RIVAL = "UNSEE_BENCH_TOMBSTONE_PYTHON"


@dataclass(frozen=True)
class Measured:
    """What a work told of itself."""

    seconds: float
    amount: int
    peak_bytes: int
    cpu_s: float = 0.0
    """Computing time of the process itself in those seconds; 0 where it was not asked."""


# The works: each gets the URL of the books, returns how much it did, and runs in a fresh process.


def resolve_scope(url: str) -> int:
    """Everything that an order on the partner reaches: items, what was made from them, datasets, runs, models."""
    from unsee.erase import scope

    with _open(url).read() as conn:
        found = scope.resolve(conn, scope.items_of_source(conn, PARTNER))
        assert found.names("model")
        return len(found.items)


def expose(url: str) -> int:
    """What stands on each source."""
    from unsee.app.exposure import measure

    with _open(url).read() as conn:
        return sum(row.items for row in measure(conn, "source", operator="Taker", today=TODAY.date()))


def decide_all(url: str) -> int:
    """Which of all items may be trained on today."""
    from unsee.books import items, world
    from unsee.core.policy import decide

    with _open(url).read() as conn:
        every = ItemSet(range(items.next_item_id(conn)))
        decision = decide(PURPOSE, every, world.as_of(conn, TODAY), today=TODAY.date())
        assert decision.permitted
        return len(every)


def look_up(url: str) -> int:
    """100,000 digests, nine in ten of them known."""
    from unsee.books import items

    with _open(url).read() as conn:
        last = items.next_item_id(conn)
        wanted = np.random.default_rng(5).integers(0, last + last // 9, min(LOOKED_UP, last))
        assert items.known_sha256(conn, PARTNER, digests_at(wanted))
        return len(wanted)


def count_people(url: str) -> int:
    """Who is in the partner's photos, from the columns."""
    from unsee.books import items, parties

    with _open(url).read() as conn:
        wanted = parties.items_of_source(conn, PARTNER)
        assert items.people_in(conn, wanted)
        return len(wanted)


WORKS: dict[str, tuple[Callable[[str], int], str]] = {
    "scope": (resolve_scope, "resolve the partner's scope"),
    "people": (count_people, "who is in it"),
    "exposure": (expose, "exposure of all sources"),
    "decide": (decide_all, "world.as_of and decide, all items"),
    "lookup": (look_up, "digest look-ups"),
}


# Insertion: the same rows by the bare driver and by the books.


def bare_items(url: str, count: int) -> tuple[float, float]:
    """The rows of `items`, by the driver alone."""
    return _bare(url, count, ("items",))


def bare_whole(url: str, count: int) -> tuple[float, float]:
    """The rows of `items` and `digests`, by the driver alone."""
    return _bare(url, count, ("items", "digests"))


def bulk_items(url: str, count: int) -> tuple[float, float]:
    """The rows of `items`, through `books.bulk.insert`."""
    from unsee.books import bulk
    from unsee.books.schema import items

    names, rows = _rows("items", count)
    books = _open(url, create=True)
    start = _now()
    with books.write() as tx:
        bulk.insert(tx, items, names, rows)
    return _since(start)


def whole_items(url: str, count: int) -> tuple[float, float]:
    """The same items through `items.add_columns`, with their root, their columns and the sums of their source."""
    from unsee.books import items

    books = _open(url, create=True)
    batches = [item_columns(first, min(100_000, count - first)) for first in range(0, count, 100_000)]
    start = _now()
    with books.write() as tx:
        register(tx, PARTNER)
        for batch in batches:
            items.add_columns(tx, PARTNER, batch, counts={"new": len(batch)}, person=DANA)
    return _since(start)


INSERTS = {
    "bare items": (bare_items, "bare driver: rows of items"),
    "bulk items": (bulk_items, "bulk.insert: rows of items"),
    "bare whole": (bare_whole, "bare driver: rows of items and digests"),
    "whole items": (whole_items, "add_columns: items, digests, root, columns, sums"),
}


def _rows(table: str, count: int) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Names and rows, in memory before the clock starts, so that only the writing is timed."""
    new = item_columns(0, count)
    ids = range(count)
    if table == "digests":
        sha, pixels, pdq = (c.view("V32").reshape(-1).tolist() for c in (new.sha256, new.pixels, new.pdq))
        names = ("item_id", "sha256", "pixels", "pdq", "pdq_quality")
        return names, list(zip(ids, sha, pixels, pdq, new.pdq_quality.tolist(), strict=True))
    one, none, zero = [1] * count, [None] * count, [0] * count
    names = (
        "id",
        "source_no",
        "subject_no",
        "parent_id",
        "batch_no",
        "kind",
        "signals",
        "width",
        "height",
        "size_bytes",
    )
    columns = (new.width.tolist(), new.height.tolist(), new.size_bytes.tolist())
    return names, list(zip(ids, one, new.subject.tolist(), none, one, zero, zero, *columns, strict=True))


def _bare(url: str, count: int, tables: Sequence[str]) -> tuple[float, float]:
    rows = {table: _rows(table, count) for table in tables}
    books = _open(url, create=True)
    start = _now()
    with books.write() as tx:
        for table, (names, values) in rows.items():
            if tx.conn.dialect.name == "sqlite":
                marks = ", ".join("?" * len(names))
                tx.conn.exec_driver_sql(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", values)  # noqa: S608
                continue
            statement = f"COPY {table} ({', '.join(names)}) FROM STDIN"
            with tx.conn.connection.cursor() as cursor, cursor.copy(statement) as copy:  # type: ignore[attr-defined]
                for row in values:
                    copy.write_row(row)
    return _since(start)


def _now() -> tuple[float, float]:
    """The wall clock and this process's own computing time, in seconds."""
    return time.perf_counter(), time.process_time()


def _since(start: tuple[float, float]) -> tuple[float, float]:
    now = _now()
    return now[0] - start[0], now[1] - start[1]


def _open(url: str, *, create: bool = False) -> Books:
    return Books.open(url, create=create)


# The same lineage graph as the rival's: half the items photos, each with one crop; an order on half of the photos.


def make_graph(url: str, nodes: int) -> int:
    """Books of that graph."""
    from unsee.books import items

    half = nodes // 2
    books = _open(url, create=True)
    with books.write() as tx:
        register(tx, PARTNER)
        register(tx, CROPS)
        for low in range(0, half, IN_A_BATCH):
            count = min(IN_A_BATCH, half - low)
            items.add_columns(tx, PARTNER, item_columns(low, count), counts={}, person=DANA)
        for low in range(0, half, IN_A_BATCH):
            parents = np.arange(low, min(half, low + IN_A_BATCH), dtype=np.int64)
            crops = item_columns(half + low, len(parents), parent=parents)
            items.add_columns(tx, CROPS, crops, counts={}, person=DANA)
    return nodes


def trace_graph(url: str, nodes: int) -> int:
    """The closure of half of the photos."""
    from unsee.erase import scope

    with _open(url).read() as conn:
        return len(scope.with_derived(conn, ItemSet(range(nodes // 4))))


def rival(place: Path) -> Table | None:
    """Ours beside `tombstone-erase`, or None where it is not there."""
    python = os.environ.get(RIVAL)
    if python is None:
        return None
    url, graph, nodes = f"sqlite:///{place / 'graph.sqlite'}", place / "tombstone.db", NODES
    script = [python, str(Path(__file__).with_name("_tombstone.py"))]
    subprocess.run([*script, "make", str(graph), str(nodes)], check=True)
    _process("make graph", url, nodes)
    told = subprocess.run([*script, "trace", str(graph), str(nodes)], check=True, stdout=subprocess.PIPE).stdout
    theirs = Measured(**json.loads(told))
    ours = _process("trace graph", url, nodes)
    assert theirs.amount == ours.amount == nodes // 2
    return Table(
        f"Trace {nodes // 2:,} of {nodes:,} nodes of lineage",
        "nodes",
        [
            Line(
                "tombstone-erase 0.1.1: snapshot and trace", theirs.seconds, theirs.amount, peak_bytes=theirs.peak_bytes
            ),
            Line("scope.with_derived", ours.seconds, ours.amount, at_most_ratio=1, peak_bytes=ours.peak_bytes),
        ],
        notes=("both on SQLite, each in a process of its own, on a graph of the same shape",),
    )


# Running them.


def fill(url: str, count: int, of_the_partner: int) -> float:
    """Make the books; seconds spent taking items in. The generator's own time does not count."""
    from unsee.books import items

    books = _open(url, create=True)
    spent = 0.0
    made = make_books(books, count, of_the_partner)
    batch = next(made)
    with books.write() as tx, items.bulk_load(tx):
        while batch is not None:
            start = time.perf_counter()
            source, new = batch
            items.add_columns(tx, source, new, counts={"new": len(new)}, person=DANA)
            spent += time.perf_counter() - start
            batch = next(made, None)
        start = time.perf_counter()
    spent += time.perf_counter() - start  # the index and the commit
    use(books)
    books.close()
    return spent


def _process(work: str, url: str, *numbers: int) -> Measured:
    command = [sys.executable, "-m", "bench.books", "--work", work, url, *map(str, numbers)]
    told: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return Measured(**told)


def _work(name: str, url: str, *numbers: int) -> None:
    import unsee.app.exposure  # its libraries load before the clock starts
    import unsee.erase.scope

    assert unsee.app.exposure
    assert unsee.erase.scope
    start = _now()
    if name in INSERTS:  # these prepare rows first, and time the writing themselves
        amount, spent = numbers[0], INSERTS[name][0](url, *numbers)
    elif name == "fill":
        amount, spent = numbers[0], (fill(url, *numbers), 0.0)
    else:
        amount = WORKS[name][0](url) if name in WORKS else GRAPHS[name](url, *numbers)
        spent = _since(start)
    print(json.dumps(asdict(Measured(spent[0], amount, peak_rss_bytes(), spent[1]))))


GRAPHS = {"make graph": make_graph, "trace graph": trace_graph}


class _Sqlite:
    """Databases as files, made like the server's."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def make(self, name: str) -> str:
        return f"sqlite:///{self.place / name}.sqlite"

    def drop(self, name: str) -> None:
        for suffix in ("", "-wal", "-shm"):
            (self.place / f"{name}.sqlite{suffix}").unlink(missing_ok=True)

    def size_bytes(self, name: str) -> int:
        return sum(path.stat().st_size for path in self.place.glob(f"{name}.sqlite*"))


def insertion(where: str, server: Server | _Sqlite, count: int) -> list[Table]:
    """Two tables: the rows of `items` alone, and whole items."""
    told = {}
    for work in INSERTS:
        told[work] = _process(work, server.make("insert"), count)
        server.drop("insert")
    rate = 300_000 if where == "SQLite" else 500_000
    tables = []
    for bare, ours, title in (
        ("bare items", "bulk items", "rows of items"),
        ("bare whole", "whole items", "whole items"),
    ):
        lines = [
            Line(INSERTS[work][1], told[work].seconds, count, peak_bytes=told[work].peak_bytes) for work in (bare, ours)
        ]
        if ours == "bulk items":
            lines[1] = replace(lines[1], at_most_s=count / rate)
        alone = count / told[ours].cpu_s
        note = f"{ours.split()[0]}: {alone:,.0f} items a second of its own computing time, without waiting for disk and server"
        tables.append(
            Table(f"Write {count:,} {title} to {where}, indexes kept, one transaction", "items", lines, notes=(note,))
        )
    return tables


def questions(where: str, server: Server | _Sqlite, count: int, of_the_partner: int) -> tuple[Table, dict[str, float]]:
    """One table: books of `count` items made, and each question asked of them twice, the second time on the clock."""
    url = server.make("books")
    made = _process("fill", url, count, of_the_partner)
    lines = [Line("take in, with bulk_load", made.seconds, count, peak_bytes=made.peak_bytes)]
    for work, (_function, what) in WORKS.items():
        _process(work, url)  # the second then finds the file in the page cache
        told = _process(work, url)
        goals = {"at_most_s": AT_MOST_S, "at_most_bytes": AT_MOST_BYTES}
        lines.append(Line(what, told.seconds, told.amount, peak_bytes=told.peak_bytes, **goals))
    size = server.size_bytes("books")
    server.drop("books")
    note = f"{size / 1e9:,.2f} GB on disk, {size / count:,.0f} bytes an item"
    title = f"Books of {count:,} items on {where}"
    return Table(title, "items", lines, notes=(note,)), {line.what: line.seconds for line in lines}


def growth(where: str, sizes: Sequence[int], seconds: Sequence[dict[str, float]]) -> str:
    """How cost grows: the slope of log seconds over log items; 1 is in proportion, 0 does not depend on the size."""
    lines = [f"Growth on {where} from {sizes[0]:,} to {sizes[-1]:,} items: slope of log seconds over log items"]
    for what in seconds[0]:
        slope = np.polyfit(np.log(sizes), np.log([one[what] for one in seconds]), 1)[0]
        lines.append(f"  {what}: {slope:.2f}")
    return "\n".join(lines)


def measure(sizes: Sequence[int], of_the_partner: int, wanted: Sequence[str]) -> Iterator[Table | str]:
    """All tables, one after the other."""
    with scratch() as place, ExitStack() as stack:
        databases: dict[str, Server | _Sqlite] = {}
        if "sqlite" in wanted:
            databases["SQLite"] = _Sqlite(place)
        if "postgresql" in wanted:
            server = stack.enter_context(running())
            if server is None:
                yield "PostgreSQL is not installed: left out"
            else:
                databases["PostgreSQL"] = server
        for where, database in databases.items():
            yield from insertion(where, database, min(sizes[0], MILLION))
            seconds = []
            for count in sizes:
                table, spent = questions(where, database, count, of_the_partner)
                yield table
                seconds.append(spent)
            if len(sizes) > 1:
                yield growth(where, sizes, seconds)
        traced = rival(place) if "sqlite" in wanted else None
        yield traced or f"tombstone-erase is left out: {RIVAL} names no Python that has it"


def run(scale: float) -> list[Table]:
    count = max(1_000, round(OF_THE_PARTNER * scale))
    found = list(measure([count], count, ("sqlite", "postgresql")))
    for said in found:
        if isinstance(said, str):
            print(said, file=sys.stderr)
    return [table for table in found if isinstance(table, Table)]


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--sizes", help="millions of items, ascending: 3,30,100; the partner has 3 million of them")
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument(
        "--work", choices=[*WORKS, *INSERTS, *GRAPHS, "fill"], help="one work, for a process of its own"
    )
    parser.add_argument("rest", nargs="*", help="its URL and numbers")
    arguments = parser.parse_args()
    if arguments.work:
        url, *numbers = arguments.rest
        _work(arguments.work, url, *map(int, numbers))
        return
    if arguments.sizes:
        sizes = [round(float(size) * MILLION) for size in arguments.sizes.split(",")]
        shown = measure(sizes, OF_THE_PARTNER, arguments.databases.split(","))
    else:
        shown = iter(run(arguments.scale))
    for said in shown:
        print(said if isinstance(said, str) else said.text(), end="\n\n", flush=True)


if __name__ == "__main__":
    _main()
