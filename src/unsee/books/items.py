"""Items, their digests and attributes, and the people shown in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books import batches, columns, derived, shown, sums
from unsee.books.database import Tx
from unsee.books.parties import items_of_source, source_no
from unsee.books.ranges import id_ranges, within
from unsee.books.schema import digests, item_attributes, items, sources, subject_attributes, subjects
from unsee.books.sets import unpack
from unsee.books.shown import only_in, with_content, write_names
from unsee.core.commitment import collection_root, items_root
from unsee.core.ids import ItemId, ItemSet, SourceId, SubjectNo

# What `batches`, `derived` and `shown` say of items is reached by this name too: a caller need not know which room has it.
PHOTO, DOCUMENT, EMBEDDING, OPTED_OUT = batches.PHOTO, batches.DOCUMENT, batches.EMBEDDING, batches.OPTED_OUT
NOBODY = columns.NOBODY
Bytes = batches.Bytes
NewItem = batches.NewItem
ItemColumns = batches.ItemColumns
Batch = batches.Batch
next_item_id = batches.next_item_id
add_batch = batches.add_batch
add_columns = batches.add_columns
bulk_load = batches.bulk_load
all_batches = batches.all_batches
NO_PARENT = batches.NO_PARENT
children_of = derived.children_of
people_in = shown.people_in
items_showing = shown.items_showing
items_of_subjects = shown.items_of_subjects
subjects_of_items = shown.subjects_of_items

_LOOKUP = 900
"""Parameters of one IN list: below the limit of every SQLite build."""


@dataclass(frozen=True, slots=True)
class Digests:
    """Digests of many items, column by column: ids (n,) uint32, sha256/pixels/pdq (n, 32) uint8, quality (n,) uint8."""

    ids: npt.NDArray[np.uint32]
    sha256: npt.NDArray[np.uint8]
    pixels: npt.NDArray[np.uint8]
    pdq: npt.NDArray[np.uint8]
    quality: npt.NDArray[np.uint8]


def commitment(conn: Connection, wanted: ItemSet) -> bytes:
    """The collection root over `wanted`, from the digests on record.

    Cost: one hash a batch that `wanted` holds whole; 3 µs an item of batches that it holds in part.
    """
    leaves = []
    for batch in all_batches(conn):
        mine = wanted & batch.items
        if len(mine) == batch.count:
            leaves.append((batch.no, batch.count, batch.root))
        elif mine:
            found = digests_of(conn, mine)
            pairs = ((ItemId(i), sha.tobytes()) for i, sha in zip(found.ids.tolist(), found.sha256, strict=True))
            leaves.append((batch.no, len(found.ids), items_root(pairs)))
    return collection_root(leaves)


def subject_numbers(tx: Tx, source_id: SourceId, pseudonyms: Iterable[bytes]) -> dict[bytes, SubjectNo]:
    """The numbers of these people of a source, given out where they are new."""
    number = source_no(tx.conn, source_id)
    wanted = sorted(set(pseudonyms))
    known = _subjects(tx.conn, number, wanted)
    fresh = [p for p in wanted if p not in known]
    if fresh:
        tx.conn.execute(subjects.insert(), [{"source_no": number, "pseudonym": p} for p in fresh])
        known = _subjects(tx.conn, number, wanted)
    return known


def subject_of(conn: Connection, source_id: SourceId, pseudonym: bytes) -> SubjectNo | None:
    """The number of one person of a source, or None."""
    return _subjects(conn, source_no(conn, source_id), [pseudonym]).get(pseudonym)


def name_people(tx: Tx, named: Mapping[ItemId, SubjectNo]) -> tuple[int, int]:
    """Say who is in items that showed nobody known so far. A person once recorded stays.

    Returns how many items got a person, and how many keep another one.
    """
    before = subjects_of_items(tx.conn, ItemSet(named))
    fresh = {item: no for item, no in named.items() if item not in before}
    if fresh:
        write_names(tx, fresh)
        for number, mine in _by_source(tx.conn, with_content(tx.conn, ItemSet(fresh))).items():
            people = ItemSet(sorted({fresh[ItemId(item)] for item in mine}))
            sums.add(tx, number, sums.Sums(people, ItemSet(), 0))
    return len(fresh), sum(before[item] != no for item, no in named.items() if item in before)


def pseudonyms_of(conn: Connection, numbers: Iterable[int]) -> dict[SubjectNo, bytes]:
    """The pseudonyms behind subject numbers."""
    found: dict[SubjectNo, bytes] = {}
    for these in within(subjects.c.no, _numbers(numbers)):
        rows = conn.execute(sa.select(subjects.c.no, subjects.c.pseudonym).where(these))
        found.update({r.no: bytes(r.pseudonym) for r in rows})
    return found


def set_subject_attributes(tx: Tx, rows: Iterable[tuple[SubjectNo, str, str, str]]) -> None:
    """Write (subject, name, data class, value); the first value that a person was given stays."""
    wanted: dict[tuple[SubjectNo, str], tuple[str, str]] = {}
    for no, name, data_class, value in rows:
        wanted.setdefault((no, name), (data_class, value))
    if not wanted:
        return
    columns = (subject_attributes.c.subject_no, subject_attributes.c.name)
    present = {
        (no, name)
        for these in within(subject_attributes.c.subject_no, _numbers(no for no, _name in wanted))
        for no, name in tx.conn.execute(sa.select(*columns).where(these))
    }
    fresh = [
        {"subject_no": no, "name": name, "data_class": data_class, "value": value}
        for (no, name), (data_class, value) in wanted.items()
        if (no, name) not in present
    ]
    if fresh:
        tx.conn.execute(subject_attributes.insert(), fresh)


def subject_attribute(conn: Connection, name: str) -> dict[SubjectNo, str]:
    """One attribute of all people who have it."""
    query = sa.select(subject_attributes.c.subject_no, subject_attributes.c.value).where(
        subject_attributes.c.name == name
    )
    return {r.subject_no: r.value for r in conn.execute(query)}


def known_sha256(conn: Connection, source_id: SourceId, hashes: Iterable[bytes]) -> dict[bytes, ItemId]:
    """Which of these byte digests the source already has, and the item that has them. Cost: an index look-up each."""
    mine = items_of_source(conn, source_id)
    found: dict[bytes, ItemId] = {}
    wanted = sorted(set(hashes))  # neighbours in the index are read from one page
    for start in range(0, len(wanted), _LOOKUP):
        these = digests.c.sha256.in_(wanted[start : start + _LOOKUP])
        rows = conn.execute(sa.select(digests.c.sha256, digests.c.item_id).where(these))
        found.update({bytes(sha256): item for sha256, item in rows if item in mine})
    return found


def digests_of(conn: Connection, wanted: ItemSet) -> Digests:
    """The digests of `wanted`, ascending by id; items that have none any more are left out. Memory: 100 bytes an item."""
    ids: list[int] = []
    columns: tuple[list[bytes], list[bytes], list[bytes]] = ([], [], [])
    quality: list[int] = []
    for low, high in id_ranges(wanted):
        query = sa.select(digests).where(digests.c.item_id.between(low, high)).order_by(digests.c.item_id)
        for row in conn.execute(query):
            if row.item_id in wanted:
                ids.append(row.item_id)
                for column, value in zip(columns, (row.sha256, row.pixels, row.pdq), strict=True):
                    column.append(value)
                quality.append(row.pdq_quality)
    sha, pixels, pdq = (np.frombuffer(b"".join(c), dtype=np.uint8).reshape(-1, 32) for c in columns)
    return Digests(np.array(ids, dtype=np.uint32), sha, pixels, pdq, np.array(quality, dtype=np.uint8))


def attribute_counts(conn: Connection, wanted: ItemSet, people: Iterable[int] | None = None) -> dict[str, int]:
    """How many attribute values of each data class `wanted` carries, those of its people included (R2).

    Args:
        people: those whom `wanted` shows, where the caller knows them already.
    """
    whose = people_in(conn, wanted) if people is None else _numbers(people)
    counts = _counts(conn, item_attributes.c.item_id, item_attributes.c.data_class, wanted)
    return dict(counts + _counts(conn, subject_attributes.c.subject_no, subject_attributes.c.data_class, whose))


def attribute_rows(conn: Connection, wanted: ItemSet) -> dict[str, int]:
    """Rows left, by table, that hold an attribute of `wanted` or of people who have no other item; empty when there are none."""
    counts = {
        "item_attributes": _count(conn, item_attributes.c.item_id, wanted),
        "subject_attributes": _count(conn, subject_attributes.c.subject_no, only_in(conn, wanted)),
    }
    return {table: count for table, count in counts.items() if count}


def embeddings_among(conn: Connection, wanted: ItemSet) -> ItemSet:
    """Those of `wanted` that are embeddings (R9). Cost: their rows."""
    found = ItemSet()
    for these in within(items.c.id, wanted):
        rows = conn.execute(sa.select(items.c.id).where(these, items.c.kind == EMBEDDING))
        found |= ItemSet([row.id for row in rows])
    return found


def size_of(conn: Connection, wanted: ItemSet) -> int:
    """Bytes of the originals of `wanted`, as recorded at intake. Cost: its rows; the database adds them up."""
    total = sa.select(sa.func.coalesce(sa.func.sum(items.c.size_bytes), 0))
    return sum(int(conn.execute(total.where(these)).scalar_one()) for these in within(items.c.id, wanted))


def forget_content(tx: Tx, wanted: ItemSet) -> dict[str, int]:
    """Delete what shows or identifies: digests and attributes of `wanted`, and those of people who have no other item.

    What stays is the dense id, the source, and the person's keyed pseudonym (R21). Returns rows deleted by table.
    """
    leaving = with_content(tx.conn, wanted)
    people = only_in(tx.conn, wanted)
    by_source = _by_source(tx.conn, leaving)
    sums.subtract(tx, leaving, {no: size_of(tx.conn, mine) for no, mine in by_source.items()})
    return {
        "digests": _delete(tx, digests.c.item_id, wanted),
        "item_attributes": _delete(tx, item_attributes.c.item_id, wanted),
        "subject_attributes": _delete(tx, subject_attributes.c.subject_no, people),
    }


def _counts(conn: Connection, key: sa.Column[int], group: sa.Column[str], wanted: ItemSet) -> Counter[str]:
    """How many rows of each `group` have their `key` in `wanted`."""
    counts: Counter[str] = Counter()
    for these in within(key, wanted):
        for name, count in conn.execute(sa.select(group, sa.func.count()).where(these).group_by(group)):
            counts[name] += count
    return counts


def _count(conn: Connection, key: sa.Column[int], wanted: ItemSet) -> int:
    query = sa.select(sa.func.count()).select_from(key.table)
    return sum(int(conn.execute(query.where(these)).scalar_one()) for these in within(key, wanted))


def _delete(tx: Tx, key: sa.Column[int], wanted: ItemSet) -> int:
    return sum(tx.conn.execute(sa.delete(key.table).where(these)).rowcount for these in within(key, wanted))


def _by_source(conn: Connection, wanted: ItemSet) -> dict[int, ItemSet]:
    """`wanted`, parted by the number of the source; sources without any are left out."""
    rows = conn.execute(sa.select(sources.c.no, sources.c.item_set)).all()
    parts = {row.no: unpack(row.item_set) & wanted for row in rows}
    return {no: mine for no, mine in parts.items() if mine}


def _numbers(numbers: Iterable[int]) -> ItemSet:
    return numbers if isinstance(numbers, ItemSet) else ItemSet(sorted(set(numbers)))


def _subjects(conn: Connection, source_number: int, pseudonyms: Sequence[bytes]) -> dict[bytes, SubjectNo]:
    found: dict[bytes, SubjectNo] = {}
    for start in range(0, len(pseudonyms), _LOOKUP):
        rows = conn.execute(
            sa.select(subjects.c.no, subjects.c.pseudonym).where(
                subjects.c.source_no == source_number,
                subjects.c.pseudonym.in_(pseudonyms[start : start + _LOOKUP]),
            )
        )
        found.update({bytes(r.pseudonym): r.no for r in rows})
    return found
