"""What the benchmarks of Delta Lake and Iceberg share: a table of real JPEGs, erased from by a peer and by us, from the same files.

Each act runs in a process of its own, which says how long it took without its imports and how much memory it had at most. What a
peer wrote is flushed to the disk within its time; ours flushes what it writes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench import Line, Table
from bench._jpegs import SAMPLES, name_of, sample

APPENDS = 16
"""The table is written in so many commits."""
SHARES = (0.01, 0.10, 0.90)
GOAL = 1.2
pa.array([0])  # lets Arrow import pandas, where it is installed, before the clock runs
SCHEMA = pa.schema([("index", pa.int64()), ("name", pa.string()), ("image", pa.binary())])


def batches(count: int) -> Iterator[pa.Table]:
    """The rows of each commit."""
    each = -(-count // APPENDS)
    for start in range(0, count, each):
        some = range(start, min(start + each, count))
        columns = {"index": list(some), "name": [name_of(n) for n in some], "image": [sample(n) for n in some]}
        yield pa.table(columns, schema=SCHEMA)


def going(count: int, share: float, spread: str) -> list[int]:
    """The rows to delete: one stretch, or every n-th."""
    if spread == "clustered":
        start = count // 3 if share < 0.5 else 0
        return list(range(start, start + max(1, int(count * share))))
    return [index for index in range(count) if int((index + 1) * share) > int(index * share)] or [0]


def flush(root: Path) -> None:
    """Wait until every file below is on the disk."""
    for path in root.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def residue(root: Path, gone: Sequence[int]) -> int:
    """How many of the deleted rows still lie in a Parquet file below the table, whatever refers to it."""
    wanted, found = {name_of(index) for index in gone}, set()
    for path in root.rglob("*.parquet"):
        if "_delta_log" not in path.parts:
            found |= wanted & set(pq.read_table(path, columns=["name"])["name"].to_pylist())
    return len(found)


def report(seconds: float, peak_bytes: int) -> None:
    """What the process of one act says."""
    print(json.dumps({"seconds": seconds, "peak_bytes": peak_bytes}))


def tables(
    module: str, *, place: Path, scale: float, kind: str, acts: dict[str, str], notes: Sequence[str]
) -> list[Table]:
    """A table for each share and spread; `acts` is the title of each act by its name, the first is the reference."""
    count = max(160, int(SAMPLES * scale))
    live, master = place / "live", place / "master"
    _act(module, "plant", live, str(count))
    shutil.move(live, master)
    made = []
    for share in SHARES:
        for spread in ("clustered", "random"):
            gone = going(count, share, spread)
            lines, left = [], []
            for act, what in acts.items():
                shutil.copytree(master, live)
                flush(live)
                said = _act(module, act, live, json.dumps([count, share, spread]))
                goal = GOAL if act == "ours" else None
                line = Line(what, said["seconds"], count, at_most_ratio=goal, peak_bytes=said["peak_bytes"])
                lines.append(line)
                left.append(f"{what}: {residue(live, gone):,}")
                shutil.rmtree(live)
            title = f"{kind}, {count:,} rows in {APPENDS} commits, {share:.0%} erased, {spread}"
            made.append(
                Table(title, "rows", lines, notes=(f"erased rows that files still hold: {'; '.join(left)}", *notes))
            )
    return made


def _act(module: str, act: str, live: Path, argument: str) -> dict[str, float | int]:
    command = [sys.executable, "-W", "ignore", "-m", module, act, str(live), argument]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout) if done.stdout else {}
