"""Intake into the books: batches of new items, handed over one by one or column by column."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books import bulk, facts, sums
from unsee.books.columns import NO_ITEM, NOBODY
from unsee.books.database import Tx
from unsee.books.schema import batches, digests, item_attributes, items, sources
from unsee.books.sets import from_array, from_mask, pack, unpack
from unsee.core.commitment import items_root
from unsee.core.errors import InvalidValue, NotFound
from unsee.core.ids import ItemId, ItemSet, PersonId, SourceId, SubjectNo

PHOTO = 0
DOCUMENT = 1
EMBEDDING = 2
"""Kinds of items. A document is a file that came with the photos, such as their metadata: an order reaches it too (R2).
Crops, thumbnails, embeddings, labels and synthetic images get numbers of their own."""

OPTED_OUT = 1
"""Bit of `signals`: the file itself reserves the right against training."""

NO_PARENT = -1
"""In a column of parents: taken in as it is, made from no other item."""

_WIDTH = 32
"""Bytes of a digest."""

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NewItem:
    """One photo as intake hands it over. Digests are 32 bytes each; `attributes` are (name, data class, value)."""

    sha256: bytes
    pixels: bytes
    pdq: bytes
    pdq_quality: int
    width: int
    height: int
    size_bytes: int
    signals: int
    subject: SubjectNo | None
    attributes: tuple[tuple[str, str, str], ...] = ()
    kind: int = PHOTO


@dataclass(frozen=True, slots=True)
class ItemColumns:
    """Many new items, column by column, row i of each being item i of the batch.

    The digests are (n, 32) uint8, the rest (n,) int64. `subject` holds `NOBODY` where nobody is known; `parent` the id of the item
    that this one was made from, of an earlier batch or earlier in this one, or `NO_PARENT`; `attributes` i, name, class, value.
    """

    sha256: Bytes
    pixels: Bytes
    pdq: Bytes
    pdq_quality: Numbers
    width: Numbers
    height: Numbers
    size_bytes: Numbers
    signals: Numbers
    subject: Numbers
    kind: Numbers
    parent: Numbers
    attributes: Sequence[tuple[int, str, str, str]] = ()

    def __len__(self) -> int:
        return len(self.sha256)

    @classmethod
    def of(cls, new: Sequence[NewItem]) -> ItemColumns:
        """The columns of these items."""
        return cls(
            sha256=_digests([item.sha256 for item in new]),
            pixels=_digests([item.pixels for item in new]),
            pdq=_digests([item.pdq for item in new]),
            pdq_quality=_numbers([item.pdq_quality for item in new]),
            width=_numbers([item.width for item in new]),
            height=_numbers([item.height for item in new]),
            size_bytes=_numbers([item.size_bytes for item in new]),
            signals=_numbers([item.signals for item in new]),
            subject=_numbers([item.subject or NOBODY for item in new]),
            kind=_numbers([item.kind for item in new]),
            parent=np.full(len(new), NO_PARENT, dtype=np.int64),
            attributes=[(i, *attribute) for i, item in enumerate(new) for attribute in item.attributes],
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """One intake: `count` items from id `first` on, and the root over them."""

    no: int
    first: int
    count: int
    root: bytes

    @property
    def items(self) -> ItemSet:
        """Its items."""
        return ItemSet(range(self.first, self.first + self.count))


def next_item_id(conn: Connection) -> int:
    """The id that the next item gets. Ids are dense from 0 and never given twice."""
    last = conn.execute(sa.select(sa.func.max(items.c.id))).scalar()
    return 0 if last is None else int(last) + 1


def all_batches(conn: Connection) -> list[Batch]:
    """Every batch that took something in, in order."""
    columns = (batches.c.no, batches.c.first_item, batches.c.item_count, batches.c.root)
    rows = conn.execute(sa.select(*columns).where(batches.c.item_count > 0).order_by(batches.c.no))
    return [Batch(r.no, r.first_item, r.item_count, bytes(r.root)) for r in rows]


def add_batch(
    tx: Tx,
    source_id: SourceId,
    new: Sequence[NewItem],
    *,
    counts: Mapping[str, int],
    person: PersonId,
    channel: str | None = None,
) -> tuple[Batch, list[ItemId]]:
    """Take one batch in: its items under consecutive ids, its root, its counts, the channel that it came through, the fact.

    A batch may be empty: that an intake found nothing new is a fact too.
    """
    batch = add_columns(tx, source_id, ItemColumns.of(new), counts=counts, person=person, channel=channel)
    return batch, [ItemId(batch.first + i) for i in range(batch.count)]


def add_columns(
    tx: Tx,
    source_id: SourceId,
    new: ItemColumns,
    *,
    counts: Mapping[str, int],
    person: PersonId,
    channel: str | None = None,
) -> Batch:
    """As `add_batch`, for batches of millions: no Python object an item.

    Raises:
        NotFound: there is no such source.
        InvalidValue: an item is said to be made from one that is not there, or columns differ in length.
    Cost: `docs/books/scale.md` has it measured; a batch's columns, and the source's sets, are written once, so batches of
        100,000 items cost less an item than batches of 100.
    """
    row = tx.conn.execute(
        sa.select(sources.c.no, sources.c.item_set, sources.c.document_set).where(sources.c.id == source_id)
    ).first()
    if row is None:
        raise NotFound("source", source_id)
    first = next_item_id(tx.conn)
    _check(first, new)
    sha256 = _blobs(new.sha256)
    root = items_root((ItemId(i), sha) for i, sha in enumerate(sha256, start=first))
    result = tx.conn.execute(
        batches.insert().values(
            source_no=row.no,
            counts=json.dumps(dict(counts)),
            first_item=first,
            item_count=len(new),
            root=root,
            person_id=person,
            at=tx.at,
            channel_id=channel,
            subject_column=new.subject.astype("<u4").tobytes(),
            parent_column=_parents(new.parent),
        )
    )
    primary_key = result.inserted_primary_key
    batch = Batch(int(primary_key[0]) if primary_key is not None else 0, first, len(new), root)
    if len(new):
        _write_rows(tx, row.no, batch, new, sha256)
        papers = unpack(row.document_set) | from_mask(first, new.kind != PHOTO)
        tx.conn.execute(
            sa.update(sources)
            .where(sources.c.no == row.no)
            .values(item_set=pack(unpack(row.item_set) | batch.items), document_set=pack(papers))
        )
        sums.add(tx, row.no, _sums(first, new))
    facts.record(
        tx,
        "BatchTakenIn",
        batch=batch.no,
        source=source_id,
        counts=dict(counts),
        first_item=first,
        root=root.hex(),
        channel=channel,
        by=person,
    )
    return batch


@contextmanager
def bulk_load(tx: Tx) -> Iterator[None]:
    """Around many batches at once: the index over digests is built when they are all in, in order, not entry by entry.

    Digests are random numbers: past the size of the database's cache each new entry reads and writes a page of its own. Pays where
    at least as much comes in as is there. Inside, a look-up of a digest reads the whole table; others wait for the end of the
    transaction on PostgreSQL. When it raises, nothing of it is kept and the index is as it was.
    """
    with bulk.whole(tx.conn):
        for index in digests.indexes:
            index.drop(tx.conn)
        yield
        for index in digests.indexes:
            index.create(tx.conn)
        if tx.conn.dialect.name == "postgresql":
            # Until it has counted, the planner reads whole tables for a few hundred digests.
            tx.conn.exec_driver_sql("ANALYZE items, digests, batches")


def _write_rows(tx: Tx, source_no: int, batch: Batch, new: ItemColumns, sha256: Sequence[bytes]) -> None:
    ids = range(batch.first, batch.first + batch.count)
    bulk.insert(
        tx,
        items,
        (
            "id",
            "source_no",
            "subject_no",
            "parent_id",
            "batch_no",
            "kind",
            "signals",
            "width",
            "height",
            "size_bytes",
        ),
        zip(
            ids,
            repeat(source_no),
            _or_none(new.subject, NOBODY),
            _or_none(new.parent, NO_PARENT),
            repeat(batch.no),
            new.kind.tolist(),
            new.signals.tolist(),
            new.width.tolist(),
            new.height.tolist(),
            new.size_bytes.tolist(),
            strict=False,  # two of them never end
        ),
    )
    bulk.insert(
        tx,
        digests,
        ("item_id", "sha256", "pixels", "pdq", "pdq_quality"),
        zip(ids, sha256, _blobs(new.pixels), _blobs(new.pdq), new.pdq_quality.tolist(), strict=True),
    )
    if new.attributes:
        bulk.insert(
            tx,
            item_attributes,
            ("item_id", "name", "data_class", "value"),
            ((batch.first + i, name, data_class, value) for i, name, data_class, value in new.attributes),
        )


def _check(first: int, new: ItemColumns) -> None:
    numbers = (new.pdq_quality, new.width, new.height, new.size_bytes, new.signals, new.subject, new.kind, new.parent)
    if {len(new.pixels), len(new.pdq), *map(len, numbers)} != {len(new)}:
        raise InvalidValue("The columns of a batch differ in length.", next_step="Hand over one value an item in each.")
    orphans = np.flatnonzero(
        (new.parent != NO_PARENT) & ((new.parent < 0) | (new.parent >= first + np.arange(len(new))))
    )
    if len(orphans):
        raise InvalidValue(
            f"Item {first + orphans[0]} of the batch is made from item {new.parent[orphans[0]]}, which is not there.",
            next_step="Take in what an item was made from before it.",
        )


def _sums(first: int, new: ItemColumns) -> sums.Sums:
    people = from_array(np.unique(new.subject[new.subject != NOBODY]).astype(np.uint32))
    return sums.Sums(people, from_mask(first, (new.signals & OPTED_OUT) != 0), int(new.size_bytes.sum()))


def _parents(column: Numbers) -> bytes:
    """What `batches.parent_column` holds of them."""
    none = column == NO_PARENT
    return b"" if none.all() else np.where(none, NO_ITEM, column).astype("<u4").tobytes()


def _or_none(column: Numbers, nothing: int) -> Iterator[int | None]:
    if (column == nothing).all():
        return repeat(None, len(column))
    return (None if value == nothing else value for value in column.tolist())


def _digests(values: Sequence[bytes]) -> Bytes:
    return np.frombuffer(b"".join(values), dtype=np.uint8).reshape(-1, _WIDTH)


def _blobs(digests_: Bytes) -> list[bytes]:
    """Each row as bytes."""
    return np.ascontiguousarray(digests_).view(f"V{_WIDTH}").reshape(-1).tolist()


def _numbers(values: Sequence[int]) -> Numbers:
    return np.array(values, dtype=np.int64)
