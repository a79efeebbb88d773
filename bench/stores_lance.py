"""Erasing rows from a Lance dataset: this store beside Lance's own documented purge sequence, in one run.

The peer deletes by the key column, compacts with threshold 0 and cleans up old versions (docstrings of `compact_files` and
`cleanup_old_versions`); once with the defaults otherwise, which merge everything into one fragment, and once told the size of the
fragments. The faster of the two is the reference. They flush nothing: the flush of what they wrote is added to their time, as the
store flushes what it writes. Ours looks again afterwards. Targets have stamps in an order; what lies where its stamp saw it is not
read again. There is no index here: of one, the peer would keep what was learned from the rows.

Each is measured three times, in turn, in a process of its own and each time on a fresh copy; what is shown is the median, and the
peak of the process, which with stamps includes the reading of the rows that they are made of.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

from bench import Line, Table, main, peak_rss_bytes, scratch
from bench._jpegs import SAMPLES, marker_of, name_of, sample
from unsee.core.ids import StoreId
from unsee.stores.contract import Target
from unsee.stores.registry import open_store
from unsee.testing.harness import targets_of

SHARES = (0.01, 0.1, 0.9)
ROUNDS = 3
IN_FRAGMENT = 1_024
GOAL = 1.2
OBJECT = "faces.lance"
_OVER = 64
"""Samples whose bytes are searched for afterwards, at most."""
_PEERS = {"Lance: delete, compact, clean up": "peer", "the same, told the size of fragments": "tuned"}
_WORKS = {**_PEERS, "unsee": "ours", "unsee, targets with stamps": "stamped"}


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
    (at / "gone").write_text(",".join(map(str, gone)))
    found: dict[str, list[tuple[float, int]]] = {what: [] for what in _WORKS}
    with ExitStack() as running:
        children = {what: running.enter_context(_child(_WORKS[what], at / "gone")) for what in _WORKS}
        for turn in range(ROUNDS):
            for what in [*_WORKS, *_WORKS][turn : turn + len(_WORKS)]:  # nobody is always the first
                found[what].append(_measured(at, children[what], gone))
    seconds = {what: statistics.median(spent for spent, _ in found[what]) for what in _WORKS}
    lines = [
        Line(
            what,
            seconds[what],
            len(gone),
            at_most_ratio=GOAL if what.startswith("unsee") else None,
            peak_bytes=max(peak for _, peak in found[what]),
        )
        for what in _WORKS
    ]
    where = "spread over all fragments" if spread else "side by side"
    return Table(
        f"Lance, {count:,} rows, {share:.0%} erased, {where}",
        "rows",
        lines,
        reference=min(_PEERS, key=seconds.__getitem__),
        notes=[f"Found of {min(len(gone), _OVER)} erased samples afterwards, as raw bytes: none, by either."],
    )


def _going(count: int, share: float, *, spread: bool) -> list[int]:
    number = max(1, round(count * share))
    if not spread:
        return list(range(count // 20, count))[:number]
    return sorted(random.Random(7).sample(range(count), number))


@contextmanager
def _child(work: str, chosen: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that does one kind of work, once for each line with a place."""
    program = f"from bench.stores_lance import *; measure({work!r}, {str(chosen)!r})"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        yield child
        assert child.stdin is not None
        child.stdin.close()


def _measured(at: Path, child: subprocess.Popen[str], gone: list[int]) -> tuple[float, int]:
    """Seconds of one piece of work, and the peak of its process so far."""
    place = Path(tempfile.mkdtemp(dir=at))
    subprocess.run(["cp", "-a", f"{at / 'made'}/.", str(place)], check=True)
    os.sync()
    try:
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(f"{place}\n")
        child.stdin.flush()
        seconds, peak = child.stdout.readline().split()
        _search(place, gone)
    finally:
        shutil.rmtree(place)
    return float(seconds), int(peak)


def measure(work: str, chosen: str) -> None:
    """Runs in the child: prints seconds and the peak of its memory for each place."""
    import lance
    import lancedb  # noqa: F401  loaded before the clock runs

    del lance
    does = {"peer": peer, "tuned": tuned, "ours": ours, "stamped": stamped}[work]
    gone = [int(n) for n in Path(chosen).read_text().split(",")]
    for line in sys.stdin:
        seconds = does(Path(line.rstrip("\n")), gone)
        print(seconds, peak_rss_bytes(), flush=True)


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
    """As an order calls it: a row goes only if its data is what it was when it was planned."""
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
