"""Parquet: erase rows of pictures, against whole-file rewrites by pyarrow, polars and duckdb.

25,600 real JPEGs (2 GB) at scale 1 in four files, as pyarrow writes them (snappy), in row groups of 256 rows, about 20 MB each
(fewer at smaller scales, so that there are 20). The rows that go are named by the column `id`. 1 % in one stretch, as when a source
leaves: ≤ 10 % of the row groups are hit. 10 % and 90 % at random: every row group is hit, and all must be encoded anew.

Every line begins with the files out of the page cache and ends with the result on the disk. The peers read, filter and write new
files beside the old ones; they look at nothing afterwards. Ours sees that the files are those that were listed, reads the names in
the new row groups again, and replaces the old file; then what is left of the erased is searched for, in the bytes and through a
reader.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench import Line, Table, main, scratch, timed
from bench._jpegs import SAMPLES, marker_of, name_of, samples
from unsee.core.ids import StoreId
from unsee.stores.contract import Member, Target
from unsee.stores.parquet import open_parquet
from unsee.stores.rowfiles import RowFileStore

FILES = 4
ROWS_IN_GROUP = 256
SEARCHED = 200
"""Markers of erased samples that are searched for in each outcome."""
CASES = (
    ("1 % in one stretch", 0.01, True, 0.34),
    ("10 % at random", 0.10, False, 1.0),
    ("90 % at random", 0.90, False, 1.0),
)

Stamps = dict[str, dict[str, str]]


def plant(root: Path, count: int) -> None:
    """The files, flushed."""
    root.mkdir()
    made = samples(count)
    each = -(-count // FILES)
    group = max(4, min(ROWS_IN_GROUP, count // 20))
    schema = pa.schema([("id", pa.string()), ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))])
    for n in range(FILES):
        with pq.ParquetWriter(root / f"train-{n:05}-of-{FILES:05}.parquet", schema) as writer:
            left = min(each, count - n * each)
            while left > 0:
                rows = [
                    {"id": name, "image": {"bytes": data, "path": name}}
                    for name, data in islice(made, min(group, left))
                ]
                writer.write_table(pa.Table.from_pylist(rows, schema))
                left -= len(rows)
    flush(root)


def going(count: int, share: float, *, clustered: bool) -> list[int]:
    """Which samples go."""
    wanted = max(1, int(count * share))
    if clustered:
        start = count // 3
        return list(range(start, start + wanted))
    return sorted(random.Random(4).sample(range(count), wanted))


def flush(root: Path) -> None:
    for path in sorted(root.iterdir()):
        with path.open("rb") as file:
            os.fsync(file.fileno())


def cool(root: Path) -> None:
    """Let the page cache go of the files."""
    flush(root)
    for path in sorted(root.iterdir()):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def by_pyarrow(root: Path, to: Path, names: Collection[str]) -> None:
    gone = pa.array(sorted(names))
    for path in sorted(root.iterdir()):
        table = pq.read_table(path)
        kept = table.filter(pc.invert(pc.is_in(table["id"], gone)))
        pq.write_table(kept, to / path.name, row_group_size=ROWS_IN_GROUP)
    flush(to)


def by_polars(root: Path, to: Path, names: Collection[str]) -> None:
    for path in sorted(root.iterdir()):
        frame = pl.read_parquet(path).filter(~pl.col("id").is_in(sorted(names)))
        frame.write_parquet(to / path.name, compression="snappy", row_group_size=ROWS_IN_GROUP)
    flush(to)


def by_duckdb(root: Path, to: Path, names: Collection[str]) -> None:
    with duckdb.connect() as connection:
        connection.register("gone", pa.table({"id": sorted(names)}))
        for path in sorted(root.iterdir()):
            connection.execute(
                f"copy (select * from '{path}' where id not in (select id from gone)) to '{to / path.name}' "  # noqa: S608
                f"(format parquet, compression snappy, row_group_size {ROWS_IN_GROUP})"
            )
    flush(to)


def stamps_of(store: RowFileStore) -> Stamps:
    """What the books hold."""
    found: Stamps = {}
    for member in store.scan():
        assert isinstance(member, Member)
        found.setdefault(member.object, {})[member.selector] = member.stamp
    return found


def erase(store: RowFileStore, stamps: Stamps, names: Collection[str]) -> None:
    for name, members in stamps.items():
        targets = [Target(selector, stamp) for selector, stamp in members.items() if selector in names]
        outcome = store.erase(name, targets)
        assert len(outcome.erased) == len(targets), outcome.kept[:3]


def residue(root: Path, gone: Collection[int]) -> str:
    """What a search by bytes and a reading of every row still find of the erased."""
    asked = sorted(gone)[:: max(1, len(gone) // SEARCHED)]
    markers = [marker_of(index) for index in asked]
    raw = decoded = 0
    for path in sorted(root.rglob("*.parquet")):
        data = path.read_bytes()
        raw += sum(marker in data for marker in markers)
        rows = pq.read_table(path)
        names = set(rows["id"].to_pylist())
        decoded += sum(name_of(index) in names for index in asked)
        for chunk in rows["image"].chunks:
            values = pc.struct_field(chunk, [0])
            decoded += sum(bool(pc.any(pc.match_substring(values, marker)).as_py()) for marker in markers[:20])
    return f"{raw} in the bytes, {decoded} through a reader"


@dataclass(frozen=True)
class Corpus:
    """The files as they were planted."""

    root: Path
    count: int


def case(corpus: Corpus, gone: list[int], goal: float, title: str) -> Table:
    root, count = corpus.root, corpus.count
    spare = root.with_name("spare")
    names = {name_of(index) for index in gone}
    lines: list[Line] = []
    notes: list[str] = []
    peers: list[tuple[str, Callable[[Path, Path, Collection[str]], None]]] = [
        ("pyarrow, whole files", by_pyarrow),
        ("polars, whole files", by_polars),
        ("duckdb, whole files", by_duckdb),
    ]
    for what, peer in peers:
        spare.mkdir()
        cool(root)
        lines.append(timed(what, partial(peer, root, spare, names), amount=count))
        shutil.rmtree(spare)
    shutil.copytree(root, spare)
    store = open_parquet(StoreId("bench"), str(spare), {"key": "id"})
    groups, listed = hit(spare, names), stamps_of(store)
    cool(spare)
    lines.append(timed("unsee", partial(erase, store, listed, names), amount=count, at_most_ratio=goal))
    cool(spare)
    notes.append(f"{groups[0]:,} of {groups[1]:,} row groups are hit")
    notes.append(f"left of the erased after unsee: {residue(spare, gone)}; the peers leave the old files")
    shutil.rmtree(spare)
    return Table(f"Parquet, {title}: {count:,} samples, {len(gone):,} go", "samples", lines, notes=notes)


def hit(root: Path, names: Collection[str]) -> tuple[int, int]:
    """How many row groups hold rows that go, and how many there are."""
    found = total = 0
    for path in sorted(root.iterdir()):
        with pq.ParquetFile(path) as file:
            for n in range(file.num_row_groups):
                total += 1
                found += not names.isdisjoint(file.read_row_group(n, columns=["id"])["id"].to_pylist())
    return found, total


def run(scale: float) -> list[Table]:
    count = max(400, int(SAMPLES * scale))
    tables = []
    with scratch() as directory:
        root = directory / "corpus"
        plant(root, count)
        corpus = Corpus(root, count)
        for title, share, clustered, goal in CASES:
            gone = going(count, share, clustered=clustered)
            tables.append(case(corpus, gone, goal, title))
    return tables


if __name__ == "__main__":
    main(run)
