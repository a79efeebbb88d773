"""Who is shown in which items, a set at a time: over the columns that each batch keeps, not over rows.

No answer here needs memory for more than a block of a column and for the people.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books.columns import NOBODY, SUBJECTS, Column, blocks, of_batches
from unsee.books.database import Tx
from unsee.books.ranges import within
from unsee.books.schema import batches, digests, items
from unsee.books.sets import from_mask, to_array
from unsee.core.ids import ItemId, ItemSet, SubjectNo

_FEW = 900
"""So many people are looked up by the index of `items`; for more, one pass over the columns is quicker."""

Marks = npt.NDArray[np.bool_]


def people_in(conn: Connection, wanted: ItemSet) -> ItemSet:
    """The numbers of the people whom `wanted` shows. Cost: 4 bytes read for each item of the batches that `wanted` touches."""
    seen = np.zeros(1, dtype=np.bool_)
    for _ids, people in subject_columns(conn, wanted):
        seen = _grown(seen, int(people.max()))
        seen[people] = True
    seen[NOBODY] = False
    return from_mask(0, seen)


def items_showing(conn: Connection, groups: Sequence[ItemSet]) -> list[ItemSet]:
    """For each group of people (subject numbers), all items that show one of them, the erased ones too.

    Cost: one pass over the columns of all batches: 4 bytes an item read, 3 ns an item and group; memory: a byte for each group
    and person, and a block.
    """
    found = [ItemSet() for _ in groups]
    asked = [(mine, _marks(group)) for mine, group in zip(found, groups, strict=True) if group]
    if not asked:
        return found
    for first, column in blocks(conn, SUBJECTS):
        places = column.astype(np.intp)
        for mine, marks in asked:
            # The last mark is False, and numbers beyond are clipped to it.
            mine.update(from_mask(first, marks.take(places, mode="clip")))
    for mine in found:
        mine.run_optimize()
    return found


def items_of_subjects(conn: Connection, numbers: Iterable[int]) -> ItemSet:
    """All items that show one of these people. Cost: an index look-up each for a few hundred people, else `items_showing`."""
    wanted = numbers if isinstance(numbers, ItemSet) else ItemSet(sorted(set(numbers)))
    if len(wanted) > _FEW:
        return items_showing(conn, [wanted])[0]
    found = ItemSet()
    for these in within(items.c.subject_no, wanted):
        found |= ItemSet([item for (item,) in conn.execute(sa.select(items.c.id).where(these))])
    return found


def subjects_of_items(conn: Connection, wanted: ItemSet) -> dict[ItemId, SubjectNo]:
    """The person in each item, where one is known. Memory: an entry an item; for millions take `subject_columns`."""
    found: dict[ItemId, SubjectNo] = {}
    for ids, people in subject_columns(conn, wanted):
        named = people != NOBODY
        found.update(zip(ids[named].tolist(), people[named].tolist(), strict=True))
    return found


def items_each(conn: Connection, wanted: ItemSet) -> dict[SubjectNo, int]:
    """How many of `wanted` show each person. Cost: as `people_in`, and an entry a person."""
    counts = np.zeros(1, dtype=np.int64)
    for _ids, column in subject_columns(conn, wanted):
        people = column[column != NOBODY]
        if not len(people):
            continue
        low, high = int(people.min()), int(people.max())
        if high >= len(counts):
            counts = np.concatenate((counts, np.zeros(high + 1 - len(counts), dtype=np.int64)))
        counts[low : high + 1] += np.bincount(people - low)
    numbers = np.flatnonzero(counts)
    return dict(zip(map(SubjectNo, numbers.tolist()), counts[numbers].tolist(), strict=True))


def subject_columns(conn: Connection, wanted: ItemSet) -> Iterator[tuple[Column, Column]]:
    """Ids of `wanted`, ascending, and the person in each (0: nobody known), block by block; ids never given out are left out."""
    for first, column in blocks(conn, SUBJECTS, wanted):
        held = ItemSet(range(first, first + len(column)))
        mine = held & wanted
        if len(mine) == len(held):
            yield np.arange(first, first + len(column), dtype=np.uint32), column
        elif mine:
            ids = to_array(mine)
            yield ids, column[ids - first]


def only_in(conn: Connection, wanted: ItemSet, among: ItemSet | None = None) -> ItemSet:
    """People of `wanted` of whom no item outside it is left; one whose content was forgotten, under an earlier order, is not left.

    Args:
        among: look for what is left of them in these items alone.
    Cost: `items_of_subjects`, and a look at the digests of what else these people are in.
    """
    people = people_in(conn, wanted)
    others = items_of_subjects(conn, people) - wanted
    elsewhere = with_content(conn, others if among is None else others & among)
    return people - people_in(conn, elsewhere) if elsewhere else people


def with_content(conn: Connection, wanted: ItemSet) -> ItemSet:
    """Those of `wanted` whose digests are on record: their content was not forgotten."""
    found = ItemSet()
    for these in within(digests.c.item_id, wanted):
        found |= ItemSet([item for (item,) in conn.execute(sa.select(digests.c.item_id).where(these))])
    return found


def write_names(tx: Tx, named: Mapping[ItemId, SubjectNo]) -> None:
    """Write these people into the rows and into the columns of their batches."""
    tx.conn.execute(
        sa.update(items).where(items.c.id == sa.bindparam("which")).values(subject_no=sa.bindparam("who")),
        [{"which": item, "who": who} for item, who in named.items()],
    )
    ids = np.array(sorted(named), dtype=np.int64)
    people = np.array([named[ItemId(item)] for item in ids.tolist()], dtype=np.uint32)
    for no, first, column in of_batches(tx.conn, SUBJECTS, ItemSet(ids.tolist())):
        low, high = np.searchsorted(ids, (first, first + len(column)))
        changed = column.copy()
        changed[ids[low:high] - first] = people[low:high]
        tx.conn.execute(
            sa.update(batches).where(batches.c.no == no).values(subject_column=changed.astype("<u4").tobytes())
        )


def _marks(group: ItemSet) -> Marks:
    marks = np.zeros((group.max() if group else 0) + 2, dtype=np.bool_)
    marks[to_array(group)] = True
    return marks


def _grown(marks: Marks, most: int) -> Marks:
    return marks if most < len(marks) else np.concatenate((marks, np.zeros(most + 1 - len(marks), dtype=np.bool_)))
