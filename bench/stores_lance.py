"""Erasing rows from a Lance dataset: this store beside Lance's own documented purge sequence, in one run.

The peer deletes by the key column, compacts with threshold 0 and cleans up old versions (docstrings of `compact_files` and
`cleanup_old_versions`); once with the defaults otherwise, which merge everything into one fragment, and once told the size of the
fragments, which is the reference. It flushes nothing: the flush of what it wrote is added to its time, as the store flushes what it
writes. Ours looks again afterwards. Where targets have stamps, as in an order, it first reads the data of each row that goes, which
the peer does not. There is no index here: of one, the peer would keep what was learned from the rows.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from bench import Line, Table, main, peak_rss_bytes, scratch
from bench._jpegs import SAMPLES, marker_of, name_of, sample
from unsee.core.ids import StoreId
from unsee.stores.contract import Target
from unsee.stores.registry import open_store
from unsee.testing.harness import targets_of

SHARES = (0.01, 0.1, 0.9)
IN_FRAGMENT = 1_024
GOAL = 1.2
OBJECT = "faces.lance"
_OVER = 64
"""Samples whose bytes are searched for afterwards, at most."""


def run(scale: float) -> list[Table]:
    """At scale 1 a dataset of 2 GB in fragments of 1,024 rows; once with the rows that go spread, once side by side."""
    count = max(64, int(SAMPLES * scale))
    with scratch() as at:
        _in_child(f"make({str(at / 'made')!r}, {count})")
        return [_compare(at, count, share, spread=spread) for share in SHARES for spread in (True, False)]


def _in_child(call: str) -> str:
    """Peaks are of one piece of work each, and a child begins with its parent's: so this process stays small."""
    program = f"from bench.stores_lance import *; {call}"
    return subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True).stdout


def make(at: str, count: int) -> None:
    """Runs in the child: writes the dataset."""
    import lance
    import pyarrow as pa

    schema = pa.schema([("name", pa.string()), ("jpg", pa.large_binary()), ("label", pa.int64())])

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, count, 128):
            numbers = range(start, min(start + 128, count))
            pictures = pa.array([sample(n) for n in numbers], pa.large_binary())
            yield pa.record_batch([[name_of(n) for n in numbers], pictures, list(numbers)], schema=schema)

    reader = pa.RecordBatchReader.from_batches(schema, batches())
    lance.write_dataset(reader, str(Path(at) / OBJECT), max_rows_per_file=IN_FRAGMENT)


def _compare(at: Path, count: int, share: float, *, spread: bool) -> Table:
    gone = _going(count, share, spread=spread)
    lines = [
        _measured(at, "Lance: delete, compact, clean up", peer, gone, None),
        _measured(at, "the same, told the size of fragments", tuned, gone, None),
        _measured(at, "unsee", ours, gone, GOAL),
        _measured(at, "unsee, the data of each row compared first", stamped, gone, None),
    ]
    where = "spread over all fragments" if spread else "side by side"
    return Table(
        f"Lance, {count:,} rows, {share:.0%} erased, {where}",
        "rows",
        lines,
        reference="the same, told the size of fragments",
        notes=[f"Found of {min(len(gone), _OVER)} erased samples afterwards, as raw bytes: none, by either."],
    )


def _going(count: int, share: float, *, spread: bool) -> list[int]:
    number = max(1, round(count * share))
    if not spread:
        return list(range(count // 20, count))[:number]
    return sorted(random.Random(7).sample(range(count), number))


def _measured(
    at: Path, what: str, work: Callable[[Path, Sequence[int]], float], gone: list[int], goal: float | None
) -> Line:
    place = at / "work"
    subprocess.run(["cp", "-a", str(at / "made"), str(place)], check=True)
    os.sync()
    try:
        chosen = at / "gone"
        chosen.write_text(",".join(map(str, gone)))
        seconds, peak = _in_child(f"measure({work.__name__!r}, {str(place)!r}, {str(chosen)!r})").split()[-2:]
        _search(place, gone)
    finally:
        shutil.rmtree(place)
    return Line(what, float(seconds), len(gone), at_most_ratio=goal, peak_bytes=int(peak))


def measure(work: str, place: str, chosen: str) -> None:
    """Runs in the child: prints seconds and the peak of its memory."""
    import lance
    import lancedb  # noqa: F401  loaded before the clock runs

    del lance
    seconds = {"peer": peer, "tuned": tuned, "ours": ours, "stamped": stamped}[work](
        Path(place), [int(n) for n in Path(chosen).read_text().split(",")]
    )
    print(seconds, peak_rss_bytes())


def tuned(place: Path, gone: Sequence[int]) -> float:
    """Lance's own sequence by somebody who knows how the dataset was written: nothing is merged into one large fragment."""
    return peer(place, gone, target_rows_per_fragment=IN_FRAGMENT)


def peer(place: Path, gone: Sequence[int], **options: int) -> float:
    """Lance's own sequence, and a flush of what it wrote."""
    import time

    import lance

    before = set(place.rglob("*"))
    names = ", ".join(f"'{name_of(n)}'" for n in gone)
    start = time.perf_counter()
    dataset = lance.dataset(str(place / OBJECT))
    dataset.delete(f"name IN ({names})")
    dataset.optimize.compact_files(materialize_deletions_threshold=0.0, **options)
    dataset.cleanup_old_versions(older_than=timedelta(0), delete_unverified=True)
    for file in set(place.rglob("*")) - before:
        if file.is_file():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
    return time.perf_counter() - start


def stamped(place: Path, gone: Sequence[int]) -> float:
    """As an order calls it: a row goes only if its data is what it was when it was planned, so all of it is read."""
    return ours(place, gone, stamps=True)


def ours(place: Path, gone: Sequence[int], *, stamps: bool = False) -> float:
    """One call of `erase`."""
    import time

    store = open_store(StoreId("bench"), "lance", str(place), {"key": "name", "data": "jpg"})
    names = [name_of(n) for n in gone]
    targets = targets_of(store, OBJECT, names) if stamps else [Target(name) for name in names]
    start = time.perf_counter()
    outcome = store.erase(OBJECT, targets)
    seconds = time.perf_counter() - start
    assert len(outcome.erased) == len(gone), outcome.kept[:3]
    return seconds


def _search(place: Path, gone: Sequence[int]) -> None:
    markers = [marker_of(n) for n in random.Random(8).sample(list(gone), min(len(gone), _OVER))]
    for file in place.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            left = sum(marker in data for marker in markers)
            assert not left, (file.name, left)


if __name__ == "__main__":
    main(run)
