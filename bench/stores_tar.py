"""WebDataset tar shards: erase 1 %, 10 % and 90 % of the samples, against `cp`, a rewrite by `tarfile` and by `webdataset`.

Eight shards of 25,600 real JPEGs (2 GB) at scale 1, made by webdataset's own writer. Every line leaves the result on the disk, and
begins with the shards out of the page cache, as far as the system lets them go. `cp` copies everything and erases nothing: it is
the floor of whatever writes a shard anew, and the reference. The peers write new shards beside the old ones; deleting the old ones,
and their bytes on the disk, is not in their time. Ours writes zeros over the erased bytes, where they lie or in the old shard; it
takes the shards as `unsee apply` does, with as many threads as there are cores.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import webdataset

from bench import Line, Table, main, scratch, timed
from bench._jpegs import SAMPLES, marker_of, name_of, samples
from unsee.core.ids import StoreId
from unsee.engine.local import run_units
from unsee.engine.outcome import Done
from unsee.erase.rawscan import scan
from unsee.stores.contract import Erased, Member, Target
from unsee.stores.tar import TarStore

SHARDS = 8
SHARES = (0.01, 0.10, 0.90)
GOALS = {0.01: 0.1, 0.10: 0.25}
COMPACT_GOAL = 1.1
"""Times `cp`, at 1 %: where nearly everything is copied."""
SEARCHED = 200
"""Markers of erased samples that are searched for in each outcome."""
PIECE_BYTES = 4 << 20

Plan = dict[str, list[Target]]


def plant(root: Path, count: int) -> None:
    """The shards, flushed."""
    root.mkdir()
    each = -(-count // SHARDS)
    writer = None
    for index, (name, data) in enumerate(samples(count)):
        if index % each == 0:
            if writer is not None:
                writer.close()
            writer = webdataset.TarWriter(str(root / f"train-{index // each:06d}.tar"), encoder=False)
        assert writer is not None
        writer.write({"__key__": name.removesuffix(".jpg"), "jpg": data})
    assert writer is not None
    writer.close()
    flush(root)


def going(count: int, share: float) -> list[int]:
    """Every n-th sample, spread over all shards."""
    return [index for index in range(count) if int((index + 1) * share) > int(index * share)]


def flush(root: Path) -> None:
    for path in sorted(root.iterdir()):
        with path.open("rb") as file:
            os.fsync(file.fileno())


def cool(root: Path) -> None:
    """Let the page cache go of the shards; what lies on the disk is then read from there."""
    flush(root)
    for path in sorted(root.iterdir()):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def plan_of(store: TarStore, gone: Iterable[int]) -> Plan:
    """What the books hold: members with stamps."""
    names = {name_of(index) for index in gone}
    plan: Plan = defaultdict(list)
    for member in store.scan():
        assert isinstance(member, Member)
        if member.selector in names:
            plan[member.object].append(Target(member.selector, member.stamp))
    return plan


def by_cp(root: Path, to: Path, gone: set[str]) -> None:
    del gone
    to.mkdir()
    for path in sorted(root.iterdir()):
        subprocess.run(["cp", str(path), str(to)], check=True)
    flush(to)


def by_tarfile(root: Path, to: Path, gone: set[str]) -> None:
    to.mkdir()
    for path in sorted(root.iterdir()):
        with tarfile.open(path) as old, tarfile.open(to / path.name, "w") as new:
            for entry in old:
                if entry.name not in gone:
                    new.addfile(entry, old.extractfile(entry))
    flush(to)


def by_webdataset(root: Path, to: Path, gone: set[str]) -> None:
    to.mkdir()
    for path in sorted(root.iterdir()):
        with path.open("rb") as stream, webdataset.TarWriter(str(to / path.name), encoder=False) as writer:
            for found in webdataset.tariterators.tar_file_iterator(stream):
                if found["fname"] not in gone:
                    writer.write({"__key__": found["fname"].removesuffix(".jpg"), "jpg": found["data"]})
    flush(to)


def by_unsee(store: TarStore, plan: Plan) -> None:
    def erase(unit: tuple[str, list[Target]]) -> Erased:
        return store.erase(*unit)

    for outcome in run_units(erase, plan.items(), workers=os.cpu_count() or 1, kind="thread"):
        assert isinstance(outcome, Done), outcome
        assert len(outcome.value.erased) == len(outcome.unit[1]), outcome.value.kept[:3]


def residue(root: Path, gone: list[int]) -> int:
    """How many of the markers searched for still lie in the shards."""
    wanted = [marker_of(index) for index in gone[:: max(1, len(gone) // SEARCHED)]]
    return len(scan(map(pieces, sorted(root.iterdir())), wanted))


def pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def _table(place: Path, count: int, share: float) -> Table:
    root, work, gone = place / "shards", place / "work", going(count, share)
    names = {name_of(index) for index in gone}
    lines: list[Line] = []
    left: list[str] = []

    def measure(what: str, act: Callable[[], None], looked_at: Path, goal: float | None = None) -> None:
        cool(root)
        lines.append(timed(what, act, amount=count, at_most_ratio=goal))
        left.append(f"{what}: {residue(looked_at, gone)}")
        shutil.rmtree(work)

    measure("cp", lambda: by_cp(root, work, names), work)
    peers: dict[str, Callable[[Path, Path, set[str]], None]] = {
        "tarfile, rewritten": by_tarfile,
        "webdataset TarWriter": by_webdataset,
    }
    for what, peer in peers.items():
        measure(what, partial(peer, root, work, names), work)
    for mode, goal in (("in-place", GOALS.get(share)), ("compact", COMPACT_GOAL if share == min(SHARES) else None)):
        shutil.copytree(root, work)
        store = TarStore(StoreId("bench"), str(work), mode)
        plan = plan_of(store, gone)
        cool(work)
        measure(f"unsee, {mode}", partial(by_unsee, store, plan), work, goal)
    searched = len(gone[:: max(1, len(gone) // SEARCHED)])
    return Table(
        f"Erase {share:.0%} of {count:,} JPEGs in {SHARDS} tar shards",
        "samples",
        lines,
        notes=(
            f"erased samples found again, of {searched} searched for: {'; '.join(left)}",
            "the peers' old shards, with all bytes, still lie beside the new ones; cp erases nothing",
        ),
    )


def run(scale: float) -> list[Table]:
    count = max(SHARDS * 100, int(SAMPLES * scale))
    with scratch() as place:
        plant(place / "shards", count)
        return [_table(place, count, share) for share in SHARES]


if __name__ == "__main__":
    main(run)
