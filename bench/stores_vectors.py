"""Vector indexes: erase 1 %, 10 % and 90 % of the vectors, against the library's own way.

One million vectors of 128 float32 numbers at scale 1 (512 MB) as IDMap,Flat and IVF1024,Flat; a tenth of them as HNSW32 and in
usearch. The peer reads the index, removes (`remove_ids`; a new graph of what remains where the library cannot), writes it beside,
waits for the disk and renames it. Ours leaves the same file through the store, and besides reads it back and compares every
retained code; the last line also checks the stamp of each target, a digest of its vector, as an order does. Residue: `remove` of
usearch, which is printed too, leaves all vectors in the file.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from usearch.index import Index

from bench import Line, Table, main, scratch, timed
from unsee.core.ids import StoreId
from unsee.stores.contract import Target
from unsee.stores.registry import open_store

VECTORS = 1_000_000
WIDE = 128
SHARES = (0.01, 0.1, 0.9)
AT_MOST = 1.5
"""Our goal, not the issue's: reading back and comparing is worth half as much again."""


def vectors(count: int) -> Any:
    return np.random.default_rng(7).standard_normal((count, WIDE), dtype=np.float32)


def plant(path: Path, recipe: str, count: int) -> None:
    data = vectors(count)
    if recipe == "usearch":
        index = Index(ndim=WIDE, metric="l2sq", dtype="f32")
        index.add(np.arange(count, dtype=np.uint64), data)
        index.save(str(path))
        return
    built = faiss.index_factory(WIDE, recipe)
    built.train(np.random.default_rng(8).standard_normal((40 * 1024, WIDE), dtype=np.float32))
    built.add_with_ids(data, np.arange(count))
    faiss.write_index(built, str(path))


def put_in_place(write: Callable[[str], object], path: Path) -> None:
    beside = path.with_suffix(".new")
    write(str(beside))
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    beside.rename(path)
    directory = os.open(path.parent, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


def peer_removes(path: Path, gone: Any) -> None:
    index = faiss.read_index(str(path))
    index.remove_ids(gone)
    put_in_place(partial(faiss.write_index, index), path)


def peer_grows_again(path: Path, gone: Any) -> None:
    old = faiss.read_index(str(path))
    graph = faiss.downcast_index(old.index)
    keep = np.setdiff1d(np.arange(old.ntotal), gone)
    new = faiss.IndexIDMap(faiss.IndexHNSWFlat(WIDE, 32))
    new.add_with_ids(graph.reconstruct_n(0, old.ntotal)[keep], keep)
    put_in_place(partial(faiss.write_index, new), path)


def peer_builds_usearch(path: Path, gone: Any) -> None:
    old = Index.restore(str(path))
    keep = np.setdiff1d(np.arange(len(old), dtype=np.uint64), gone.astype(np.uint64))
    new = Index(ndim=WIDE, metric="l2sq", dtype="f32")
    new.add(keep, np.vstack(old.get(keep)))
    put_in_place(new.save, path)


def peer_marks_usearch(path: Path, gone: Any) -> None:
    index = Index.restore(str(path))
    index.remove(gone.astype(np.uint64))
    put_in_place(index.save, path)


def ours(path: Path, kind: str, targets: list[Target]) -> None:
    outcome = open_store(StoreId("bench"), kind, str(path.parent)).erase(path.name, targets)
    assert len(outcome.erased) == len(targets), outcome.kept[:1]


def stamps_of(original: Path, kind: str, names: list[str]) -> list[str | None]:
    """As a scan listed them before the order."""
    place = original.parent / "listed"
    place.mkdir()
    os.link(original, place / f"faces.{kind}")
    stamps = open_store(StoreId("bench"), kind, str(place)).stamps(f"faces.{kind}", names)
    shutil.rmtree(place)
    return stamps


PEERS: dict[str, list[tuple[str, Callable[[Path, Any], None]]]] = {
    "IDMap,Flat": [("FAISS remove_ids, write_index", peer_removes)],
    "IVF1024,Flat": [("FAISS remove_ids, write_index", peer_removes)],
    "IDMap,HNSW32": [("FAISS, a new graph", peer_grows_again)],
    "usearch": [
        ("usearch, a new index", peer_builds_usearch),
        ("usearch remove, save (all residue)", peer_marks_usearch),
    ],
}


def run(scale: float) -> list[Table]:
    tables = []
    with scratch() as place:
        for recipe, peers in PEERS.items():
            whole = recipe in {"IDMap,Flat", "IVF1024,Flat"}
            count = max(2000, int(VECTORS * scale * (1 if whole else 0.1)))
            kind = "usearch" if recipe == "usearch" else "faiss"
            taken = recipe if count >= 100_000 else recipe.replace("IVF1024", "IVF16")
            original = place / f"original.{kind}.kept"
            plant(original, taken, count)
            for share in SHARES:
                gone = np.random.default_rng(1).permutation(count)[: int(count * share)]
                lines = [
                    _timed(what, original, kind, partial(peer, gone=gone), amount=len(gone)) for what, peer in peers
                ]
                names = [str(label) for label in gone.tolist()]
                for what, targets in (
                    ("unsee", [Target(name) for name in names]),
                    ("unsee, stamps checked", list(map(Target, names, stamps_of(original, kind, names)))),
                ):
                    work = partial(ours, kind=kind, targets=targets)
                    lines.append(_timed(what, original, kind, work, amount=len(gone), goal=AT_MOST))
                title = f"{taken}: erase {share:.0%} of {count:,} vectors of {WIDE} float32"
                tables.append(Table(title, "vectors", lines))
            original.unlink()
    return tables


def _timed(
    what: str, original: Path, kind: str, work: Callable[[Path], None], *, amount: int, goal: float | None = None
) -> Line:
    """The work on a fresh copy, which is on the disk before the clock starts."""
    place = original.parent / "work"
    place.mkdir()
    path = place / f"faces.{kind}"
    shutil.copyfile(original, path)
    os.sync()
    line = timed(what, partial(work, path), amount=amount, at_most_ratio=goal)
    shutil.rmtree(place)
    return line


if __name__ == "__main__":
    main(run)
