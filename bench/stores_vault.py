"""The vault: destroying the key of a source of any size, and what encryption costs those who seal and those who read.

The source of millions is real as far as erasing looks: a key in the ring, and a row of the index for every photo. Its ciphertext is
two files, for a key erase touches none. Reading is compared with a store of plain files, alone and as training reads: hashed and
decoded.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from bench import Line, Table, main, scratch, timed
from bench._jpegs import SAMPLES, samples
from unsee.core.evidence import Gone
from unsee.core.ids import StoreId
from unsee.stores.contract import Store, Target
from unsee.stores.files import FileStore
from unsee.stores.vault import VaultStore, index, layout, ring
from unsee.stores.vault.sealing import ToSeal
from unsee.stores.vault.store import create
from unsee.stores.vault.wrapping import FileWrapper

LARGE = 3_000_000
SMALL = 30_000
PEOPLE = 10
"""Photos of one person."""
BATCH = 128
SOURCE = "source"
ROUNDS = 5
WHAT = ("plain files", "vault")
TURN = 16
"""Photos that one store reads before the other reads them."""
Work = Callable[[Store, str, list[str]], None]


def run(scale: float) -> list[Table]:
    with scratch() as at:
        return [
            *_erasing(at / "erasing", max(SMALL, round(LARGE * scale)), min(SMALL, round(LARGE * scale))),
            *_reading(at / "reading", max(64, round(SAMPLES * scale))),
        ]


def _vault(at: Path) -> VaultStore:
    at.mkdir(parents=True)
    FileWrapper(str(at / "master")).create()
    store = VaultStore(StoreId("vault"), str(at / "vault"), str(at / "ring"), f"file:{at / 'master'}")
    create(store)
    return store


def _erasing(at: Path, large: int, small: int) -> list[Table]:
    keys, orders = [], []
    for number, count in enumerate((small, large)):
        store = _source_of(at / str(number), count)
        life = layout.lives(store.location, SOURCE)[0]
        copy = _ring_copy(store)
        keys.append(timed(f"source of {count:,}", lambda s=store, x=life: _destroy(s, x)))  # type: ignore[misc]
        Path(store.keys).write_bytes(copy)
        Path(store.location, layout.LEDGER).unlink()
        with index.opened(life.path) as rows:
            targets = [Target(row.selector, row.stamp.hex()) for row in rows.rows()]
        start = time.perf_counter()
        done = store.erase(SOURCE, targets)
        orders.append(Line(f"source of {count:,}", time.perf_counter() - start, count))
        assert (len(done.erased), done.gone) == (count, Gone.D4), done.gone
        assert store.probe(SOURCE, [targets[0].selector]) == ()
    keys[-1] = Line(keys[-1].what, keys[-1].seconds, 1, at_most_s=1.0)
    return [
        Table(
            "Until the key of a source is destroyed: overwritten, flushed, read back, noted (one slot, whatever the size)",
            "keys",
            keys,
            notes=["No peer: plain stores have no such step. Goal: below a second for three million photos."],
        ),
        Table(
            "The whole erase call, given every photo by name: each held against the index by its stamp, then the key",
            "photos",
            orders,
            notes=[
                "That the order names all of the source has to be seen before its key may go: time grows with the names.",
                "Ciphertext is left to tidy, which unlinks it; without its key it is noise.",
            ],
        ),
    ]


def _destroy(store: VaultStore, life: layout.Life) -> None:
    with ring.opened(store.keys, change=True) as keys:
        keys.destroy([(life.slot, life.key_id)], now=0)
        layout.remember(store.location, SOURCE, [(life.slot, life.key_id)])
        assert not keys.against(store.wrapper(), life.slot)


def _ring_copy(store: VaultStore) -> bytes:
    return Path(store.keys).read_bytes()


def _source_of(at: Path, count: int) -> VaultStore:
    """A vault whose index lists so many photos; two of them have files."""
    store = _vault(at)
    store.seal(SOURCE, [ToSeal(f"{n:032x}", [b"photo"], b"person") for n in range(2)])
    life = layout.lives(store.location, SOURCE)[0]

    def rows() -> Iterator[index.Row]:
        for number in range(2, count):
            selector = f"{number:032x}"
            stamp = number.to_bytes(16, "little")
            yield index.Row(index.file_of(selector), selector, stamp, 78_000, number // PEOPLE)

    with index.opened(life.path) as found:
        found.add(sorted(rows(), key=lambda row: row.file))
    return store


def _reading(at: Path, count: int) -> list[Table]:
    plain, vault = FileStore(StoreId("files"), str(at / "files")), _vault(at / "sealed")
    names = [name for name, _data in samples(count)]
    (at / "files").mkdir()
    pairs = [(plain, "."), (vault, SOURCE)]

    def write_plain() -> None:

        for name, data in samples(count):
            with (at / "files" / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())

    def write_sealed() -> None:
        waiting: list[ToSeal] = []
        for number, (name, data) in enumerate(samples(count)):
            waiting.append(ToSeal(name, [data], str(number // PEOPLE).encode()))
            if len(waiting) == BATCH:
                vault.seal(SOURCE, waiting)
                waiting = []
        if waiting:
            vault.seal(SOURCE, waiting)

    next(samples(1))  # pictures are made before the clock starts
    list(samples(min(count, 400)))
    sealing = [
        timed("plain files, each flushed", write_plain, amount=count),
        timed("sealed", write_sealed, amount=count),
    ]
    order = np.random.default_rng(1).permutation(names).tolist()
    tables = [Table("Sealing", "photos", sealing, notes=["Encrypts, flushes, and records in the ring and the index."])]
    for title, work, goal in (
        ("Reading alone, warm: processor time", _only, None),
        ("Reading as training does (read, SHA-256, decode): processor time", _decode, 1.1),
    ):
        spent = _in_turn(work, pairs, order)
        lines = [
            Line(what, seconds, count, at_most_ratio=goal if what == WHAT[1] else None)
            for what, seconds in zip(WHAT, spent, strict=True)
        ]
        notes = ["The best of some rounds; a few photos of the one, then the same of the other."]
        if goal is not None:
            notes.append(f"A photo from the vault costs {spent[1] / spent[0] - 1:.1%} more; goal: less than 10 %.")
        tables.append(Table(title, "photos", lines, notes=notes))
    return tables


def _in_turn(work: Work, pairs: Sequence[tuple[Store, str]], names: list[str]) -> list[float]:
    """Processor seconds for each store, in turns so short that what else the machine does falls on both."""
    best = [float("inf")] * len(pairs)
    for _ in range(ROUNDS):
        spent = [0.0] * len(pairs)
        for start in range(0, len(names), TURN):
            for number, (store, place) in enumerate(pairs):
                begun = time.process_time()
                work(store, place, names[start : start + TURN])
                spent[number] += time.process_time() - begun
        best = [min(pair) for pair in zip(best, spent, strict=True)]
    return best


def _only(store: Store, place: str, names: list[str]) -> None:
    for name in names:
        store.read(place, name)


def _decode(store: Store, place: str, names: list[str]) -> None:
    for name in names:
        data = store.read(place, name)
        hashlib.sha256(data).digest()
        assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is not None


if __name__ == "__main__":
    main(run)
