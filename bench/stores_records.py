"""LMDB, HDF5 and TFRecord: erase 1 %, 10 % and 90 % of 2 GB of real JPEGs, against what their own libraries offer.

Peers: `lmdb`, delete and `copy(compact=True)`; h5py, a copy of every object that stays; the package `tfrecord`, records read and
written. Each with an fsync and a rename. Ours names records by key, compares checksums, and reads the new file again and looks
through it; the peers do none of this. The peer of LMDB writes to the environment that readers have open.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import h5py
import lmdb
import numpy as np
from tfrecord.reader import tfrecord_loader
from tfrecord.writer import TFRecordWriter

from bench import Line, Table, main, scratch, timed
from bench._jpegs import SAMPLES, samples
from unsee.core.ids import StoreId
from unsee.stores.contract import Target
from unsee.stores.registry import open_store

SHARES = (0.01, 0.1, 0.9)
NAMES = {"lmdb": "faces/data.mdb", "hdf5": "faces.h5", "tfrecord": "faces.tfrecord"}


def plant(kind: str, path: Path, count: int) -> None:
    if kind == "lmdb":
        with lmdb.open(str(path.parent), map_size=count * 100_000 + (1 << 24)) as made:
            every = samples(count)
            while some := list(islice(every, 1000)):
                with made.begin(write=True) as transaction:
                    for name, data in some:
                        transaction.put(name.encode(), data)
    elif kind == "hdf5":
        with h5py.File(path, "w") as file:
            for name, data in samples(count):
                file[name] = np.frombuffer(data, "u1")
    else:
        writer = TFRecordWriter(str(path))
        for name, data in samples(count):
            writer.write({"id": (name.encode(), "byte"), "image/encoded": (data, "byte")})
        writer.close()


def going(count: int, share: float) -> list[str]:
    gone = set(np.random.default_rng(5).choice(count, max(1, round(count * share)), replace=False).tolist())
    return [f"{n:08d}.jpg" for n in sorted(gone)]


def settle(beside: Path, path: Path) -> None:
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    beside.rename(path)


def peer_lmdb(path: Path, gone: list[str]) -> None:
    beside = path.parent / "new"
    beside.mkdir()
    with lmdb.open(str(path.parent), map_size=path.stat().st_size * 2) as old:
        with old.begin(write=True) as transaction:
            for name in gone:
                transaction.delete(name.encode())
        old.copy(str(beside), compact=True)
    settle(beside / "data.mdb", path)


def peer_hdf5(path: Path, gone: list[str]) -> None:
    beside, out = path.with_suffix(".new"), set(gone)
    with h5py.File(path) as old, h5py.File(beside, "w") as new:
        for name in old:
            if name not in out:
                old.copy(name, new)
    settle(beside, path)


def peer_tfrecord(path: Path, gone: list[str]) -> None:
    beside, out = path.with_suffix(".new"), {name.encode() for name in gone}
    writer = TFRecordWriter(str(beside))
    for row in tfrecord_loader(str(path), None, {"id": "byte", "image/encoded": "byte"}):
        if bytes(row["id"]) not in out:
            writer.write({"id": (bytes(row["id"]), "byte"), "image/encoded": (bytes(row["image/encoded"]), "byte")})
    writer.close()
    settle(beside, path)


PEERS: dict[str, tuple[str, Callable[[Path, list[str]], None]]] = {
    "lmdb": ("lmdb delete + copy(compact=True)", peer_lmdb),
    "hdf5": ("h5py copy of what stays", peer_hdf5),
    "tfrecord": ("tfrecord read + write", peer_tfrecord),
}


def ours(path: Path, gone: list[str]) -> None:
    kind = next(kind for kind, name in NAMES.items() if path.name == Path(name).name)
    root = path.parents[NAMES[kind].count("/")]
    options = {"key": "id"} if kind == "tfrecord" else {}
    outcome = open_store(StoreId("bench"), kind, str(root), options).erase(NAMES[kind], [Target(name) for name in gone])
    assert len(outcome.erased) == len(gone), outcome.kept[:3]


def run(scale: float) -> list[Table]:
    count, tables = max(100, round(SAMPLES * scale)), []
    for kind, (what, peer) in PEERS.items():
        with scratch() as place:
            kept = place / "kept"
            (kept / NAMES[kind]).parent.mkdir(parents=True)
            plant(kind, kept / NAMES[kind], count)
            for share in SHARES:
                lines: list[Line] = []
                gone = going(count, share)
                for name, work in ((what, peer), ("unsee", ours)):
                    live = place / "live"
                    shutil.copytree(kept, live)
                    os.sync()
                    lines.append(timed(name, partial(work, live / NAMES[kind], gone), amount=count))
                    shutil.rmtree(live)
                title = f"{kind}: {share:.0%} of {count:,} photos erased"
                tables.append(Table(title, "photos", lines, notes=("the peer checks nothing it wrote",)))
    return tables


if __name__ == "__main__":
    main(run)
