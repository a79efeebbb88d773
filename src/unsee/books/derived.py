"""What was made from which items, a set at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books.columns import PARENTS, blocks
from unsee.books.ranges import within
from unsee.books.schema import batches, items
from unsee.books.sets import from_mask, to_array
from unsee.core.ids import ItemSet

_FEW = 900
"""The children of so many items are looked up by the index of `items`; for more, one pass over the columns is quicker."""


def children_of(conn: Connection, parents: ItemSet) -> ItemSet:
    """Items whose parent is in `parents`: one generation. Cost: an index look-up each for a few, else `children_of_each`."""
    if len(parents) > _FEW:
        return children_of_each(conn, [parents])[0]
    found = ItemSet()
    for these in within(items.c.parent_id, parents):
        found |= ItemSet([item for (item,) in conn.execute(sa.select(items.c.id).where(these))])
    return found


def children_of_each(conn: Connection, groups: Sequence[ItemSet]) -> list[ItemSet]:
    """As `children_of`, for many sets at once.

    Cost: one pass over the columns of the batches that hold items made from others: 4 bytes an item read, 5 ns an item and group;
    memory: a byte for each id from the first to the last of each group, and a block.
    """
    found = [ItemSet() for _ in groups]
    asked = [(mine, group.min(), _marks(group)) for mine, group in zip(found, groups, strict=True) if group]
    if not asked:
        return found
    for first, column in blocks(conn, PARENTS, _later(conn, min(low for _mine, low, _marks_ in asked))):
        parents = column.astype(np.int64)
        for mine, low, marks in asked:
            # Marks 0 and the last are False: what lies outside is clipped to them.
            mine.update(from_mask(first, marks.take(parents - (low - 1), mode="clip")))
    for mine in found:
        mine.run_optimize()
    return found


def _later(conn: Connection, first: int) -> ItemSet:
    """Items from `first` on: nothing is older than what it was made from."""
    end = conn.execute(sa.select(sa.func.max(batches.c.first_item + batches.c.item_count))).scalar()
    return ItemSet(range(first, max(first, int(end or 0))))


def _marks(group: ItemSet) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    low = group.min()
    marks = np.zeros(group.max() - low + 3, dtype=np.bool_)
    marks[to_array(group) - np.uint32(low) + np.uint32(1)] = True
    return marks
