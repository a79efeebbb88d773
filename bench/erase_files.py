"""Loose files: erase against `rm -rf` of an equal tree, scan against `find`.

300,000 files of 4 KB in 1,200 sharded directories at scale 1. Trees are made and flushed before the
clock starts. Ours checks the stamp of each file and is on the disk when it returns; `rm` does neither, so `rm -rf` followed by
`sync` of the file system is printed too. Trials alternate and the median counts, because unlink is noisy on shared disks. Most of
the time goes into making the trees.
"""

from __future__ import annotations

import os
import statistics
import subprocess
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bench import Line, Table, main, scratch, timed
from unsee.core.ids import StoreId
from unsee.engine.local import run_units
from unsee.stores.contract import Erased, Member, Target
from unsee.stores.files import FileStore

FILES = 300_000
IN_A_DIRECTORY = 250
SIZE_BYTES = 4096
TRIALS = {"rm -rf": 2, "rm -rf, then sync": 1, "FileStore, 1 worker": 1, "FileStore, 2 threads": 2}

Unit = tuple[str, Sequence[Target]]


def plant(root: Path, files: int) -> None:
    """A sharded tree `ab/cd/0001.jpg`, flushed."""
    payload = os.urandom(SIZE_BYTES)
    for number in range(files):
        shard = number // IN_A_DIRECTORY
        if number % IN_A_DIRECTORY == 0:
            directory = root / f"{shard % 16:02x}" / f"{shard // 16:02x}"
            directory.mkdir(parents=True)
        (directory / f"{number:07d}.jpg").write_bytes(payload)
    os.sync()


def units_of(store: FileStore) -> list[Unit]:
    """The work as a plan holds it: one unit a directory."""
    found: dict[str, list[Target]] = defaultdict(list)
    for member in store.scan():
        assert isinstance(member, Member)
        found[member.object].append(Target(member.selector, member.stamp))
    return list(found.items())


def erase(store: FileStore, unit: Unit) -> Erased:
    return store.erase(*unit)


def erase_all(store: FileStore, units: list[Unit], workers: int) -> None:
    for outcome in run_units(partial(erase, store), units, workers=workers, kind="thread"):
        assert not outcome.value.kept


def rm(root: Path, *, sync: bool = False) -> None:
    subprocess.run(["rm", "-rf", str(root)], check=True)
    if sync:
        subprocess.run(["sync", "-f", str(root.parent)], check=True)


def run(scale: float) -> list[Table]:
    files = max(IN_A_DIRECTORY, int(FILES * scale))
    seconds: dict[str, list[float]] = defaultdict(list)
    with scratch() as place:
        for trial in range(max(TRIALS.values())):
            for what in (what for what, trials in TRIALS.items() if trial < trials):
                root = place / "tree"
                plant(root, files)
                seconds[what].append(timed(what, _work(what, root)).seconds)
                if root.exists():
                    rm(root, sync=True)
        plant(place / "tree", files)
        store = FileStore(StoreId("bench"), str(place / "tree"))
        list(store.scan())
        find = ["find", str(place / "tree"), "-type", "f", "-printf", "%p %s %T@ %i\\n"]
        scans = [
            timed(
                "find -printf size, mtime, inode",
                lambda: subprocess.run(find, check=True, stdout=subprocess.DEVNULL),
                amount=files,
            ),
            timed("FileStore.scan", lambda: sum(1 for _ in store.scan()), amount=files),
        ]
    goals = {"FileStore, 2 threads": 0.8}
    erasures = [
        Line(what, statistics.median(all_s), files, at_most_ratio=goals.get(what)) for what, all_s in seconds.items()
    ]
    spread = "; ".join(f"{what} {min(s):.2f}-{max(s):.2f} s" for what, s in seconds.items())
    return [
        Table(
            f"Erase {files:,} loose files of {SIZE_BYTES:,} bytes",
            "files",
            erasures,
            notes=(f"trials: {spread}",),
        ),
        Table(f"List {files:,} loose files, warm", "files", scans),
    ]


def _work(what: str, root: Path) -> Callable[[], None]:
    if what.startswith("rm"):
        return partial(rm, root, sync="sync" in what)
    store = FileStore(StoreId("bench"), str(root))
    return partial(erase_all, store, units_of(store), 2 if "2" in what else 1)


if __name__ == "__main__":
    main(run)
