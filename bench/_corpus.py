"""Books of any size for benchmarks, made through the paths that the program itself takes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import numpy as np
import numpy.typing as npt

from unsee.books import agreements, consents, items, parties, training
from unsee.books.database import Books, Tx
from unsee.core.consent import ConsentState
from unsee.core.ids import AgreementId, DatasetId, ItemSet, ModelId, PersonId, RunId, SourceId
from unsee.core.lineage import Node
from unsee.core.parties import Agreement, AgreementStatus, Source, SourceKind

Numbers = npt.NDArray[np.int64]

PARTNER = SourceId("partner-2025")
CROPS = SourceId("crops")
DANA = PersonId("dana")
PURPOSE = "train-face-recognition"
OF_THE_REST = {"panel-2024": 0.6, "acquired-2021": 0.3, "members": 0.09, "studio": 0.01}
OF_A_PERSON = 10
A_CROP_OF = 10
"""One item in eleven is a crop of a photo."""
IN_A_BATCH = 100_000
DATASETS = 50
MODELS = 20
CONSENT_DAYS = 200
COLLECTED = date(2025, 9, 1)


def item_columns(first: int, count: int, *, parent: Numbers | None = None) -> items.ItemColumns:
    """Photos `first`, `first + 1`, …, ten a person; with `parent`, crops of those photos. One in a hundred opted out."""
    ids = np.arange(first, first + count, dtype=np.int64)
    shown = ids if parent is None else parent
    whole = np.ones(count, dtype=np.int64)
    return items.ItemColumns(
        sha256=_random(ids, 1),
        pixels=_random(ids, 2),
        pdq=_random(ids, 3),
        pdq_quality=whole * 100,
        width=whole * 640,
        height=whole * 480,
        size_bytes=90_000 + ids % 7_919,
        signals=(ids % 100 == 0).astype(np.int64),
        subject=1 + shown // OF_A_PERSON,
        kind=whole * items.PHOTO,
        parent=whole * items.NO_PARENT if parent is None else parent,
    )


def digests_at(ids: Numbers) -> list[bytes]:
    """The SHA-256 that the items of these ids were given."""
    return [row.tobytes() for row in _random(ids, 1)]


def make_books(books: Books, count: int, of_the_partner: int) -> Iterator[tuple[SourceId, items.ItemColumns]]:
    """Books of `count` items. Between batches it yields, so that a caller can time the taking in alone."""
    photos = count * A_CROP_OF // (A_CROP_OF + 1) // OF_A_PERSON * OF_A_PERSON
    of_the_partner = min(of_the_partner, photos * 9 // 10) // OF_A_PERSON * OF_A_PERSON
    spans, start = [(PARTNER, 0, of_the_partner)], of_the_partner
    for name, share in OF_THE_REST.items():
        end = (
            photos if name == "studio" else start + int((photos - of_the_partner) * share) // OF_A_PERSON * OF_A_PERSON
        )
        spans.append((SourceId(name), start, end))
        start = end
    with books.write() as tx:
        for source in (*(name for name, _low, _high in spans), CROPS):
            register(tx, source)
    for source, low, high in spans:
        for first in range(low, high, IN_A_BATCH):
            yield source, item_columns(first, min(IN_A_BATCH, high - first))
    parents = np.linspace(0, photos - 1, count - photos).astype(np.int64)
    for first in range(0, len(parents), IN_A_BATCH):
        mine = parents[first : first + IN_A_BATCH]
        yield CROPS, item_columns(photos + first, len(mine), parent=mine)


def register(tx: Tx, name: SourceId) -> None:
    """A source, and an agreement that permits training."""
    parties.register_source(tx, Source(name, name, SourceKind.PANEL, f"Giver of {name}", COLLECTED))
    paper = Agreement(
        AgreementId(f"agreement-{name}"), name, (f"Giver of {name}", "Taker"), ("train",), COLLECTED, None, "0" * 64
    )
    agreements.draft(tx, paper, person=DANA)
    agreements.move(tx, paper.id, AgreementStatus.APPROVED, person=DANA, note="")


def use(books: Books) -> None:
    """Everybody's consent, said on one of 200 days; 50 datasets over one to three sources each; 20 models trained on them."""
    rng = np.random.default_rng(7)
    with books.write() as tx:
        sources = {s.id: parties.items_of_source(tx.conn, s.id) for s in parties.all_sources(tx.conn)}
        people = np.arange(1, 2 + max(held.max() for name, held in sources.items() if name != CROPS) // OF_A_PERSON)
        terms = consents.Terms(PURPOSE, ConsentState.GIVEN, "notice-1")
        said = np.sort(rng.integers(0, CONSENT_DAYS, len(people))) * 86_400 + 1_700_000_000
        number = np.full(len(people), consents.terms_numbers(tx, [terms])[terms], dtype=np.int64)
        consents.add(tx, consents.Said(number, said, said, np.full(len(people), consents.NO_END), people))
        for n in range(DATASETS):
            chosen = ItemSet()
            for name in rng.choice(sorted(sources), rng.integers(1, 4), replace=False):
                chosen |= _part(rng, sources[SourceId(name)], sparse=bool(n % 2))
            training.freeze_dataset(
                tx, training.Dataset(DatasetId(f"set-{n}"), PURPOSE, chosen, "0" * 64, None, {}, DANA, tx.at)
            )
        for n in range(MODELS):
            run = training.Run(RunId(f"run-{n}"), PURPOSE, {}, {}, DANA, tx.at, None, None)
            inputs = [Node("dataset", f"set-{k}") for k in rng.integers(0, DATASETS, 2)]
            training.start_run(tx, run, inputs + [Node("model", f"model-{n - 1}")] * (n % 4 == 3))
            model = training.Model(ModelId(f"model-{n}"), run.id, "recogniser", f"model-{n}", "0" * 64, {}, tx.at, None)
            training.end_run(tx, run.id, {"cpu_s": "3600", "wall_s": "1800"}, model)


def _part(rng: np.random.Generator, held: ItemSet, *, sparse: bool) -> ItemSet:
    """Half of a source in one piece; where `sparse`, one in five of those."""
    low, size = held.min(), len(held)
    start = low + int(rng.integers(0, size // 2 + 1))
    piece = ItemSet(range(start, start + size // 2 + 1)) & held
    if not sparse:
        return piece
    return ItemSet((start + np.flatnonzero(rng.random(size // 2 + 1) < 0.2)).tolist()) & held


def _random(ids: Numbers, seed: int) -> npt.NDArray[np.uint8]:
    """(n, 32) bytes that follow from id and seed, spread evenly: SplitMix64 (Steele, Lea and Flood 2014)."""
    words = (ids.astype(np.uint64)[:, None] * np.uint64(4) + np.arange(4, dtype=np.uint64)) * np.uint64(8) + np.uint64(
        seed
    )
    z = words * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.ascontiguousarray(z ^ (z >> np.uint64(31))).view(np.uint8).reshape(-1, 32)
