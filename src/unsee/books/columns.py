"""The columns that batches keep of their items: one value an item, little-endian 32-bit numbers, from the batch's first item on.

Columns of 100 million items are 400 MB. They are read in blocks, so that a question needs memory for one block.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books.ranges import id_ranges
from unsee.books.schema import batches
from unsee.core.ids import ItemSet

Column = npt.NDArray[np.uint32]

SUBJECTS = batches.c.subject_column
PARENTS = batches.c.parent_column

NOBODY = 0
"""In `SUBJECTS`: nobody known."""

NO_ITEM = 2**32 - 1
"""In `PARENTS`: made from no other item."""

_BLOCK = 1 << 20
"""Items in a block, about."""

_AT_ONCE = 64
"""Batches in one query."""


def blocks(conn: Connection, which: sa.Column[bytes], wanted: ItemSet | None = None) -> Iterator[tuple[int, Column]]:
    """(first item, values) of the batches that hold one of `wanted`, all for None; batches that follow each other as one block.

    Batches whose column is empty are left out.
    """
    first, size, parts = 0, 0, list[Column]()
    for _no, start, column in of_batches(conn, which, wanted):
        if parts and (start != first + size or size >= _BLOCK):
            yield first, np.concatenate(parts)
            size, parts = 0, []
        if not parts:
            first = start
        parts.append(column)
        size += len(column)
    if parts:
        yield first, np.concatenate(parts)


def of_batches(
    conn: Connection, which: sa.Column[bytes], wanted: ItemSet | None = None
) -> Iterator[tuple[int, int, Column]]:
    """(number, first item, values) of each batch that holds one of `wanted`, all for None, ascending; none for an empty column."""
    filled = sa.func.length(which) > 0
    query = sa.select(batches.c.no, batches.c.first_item, batches.c.item_count).where(filled)
    held = [
        no
        for no, first, count in conn.execute(query.order_by(batches.c.no)).all()
        if wanted is None or wanted.range_cardinality(first, first + count)
    ]
    columns = sa.select(batches.c.no, batches.c.first_item, which).where(filled)
    for low, high in id_ranges(ItemSet(held), exact=True):
        for start in range(low, high + 1, _AT_ONCE):
            these = batches.c.no.between(start, min(high, start + _AT_ONCE - 1))
            for no, first, column in conn.execute(columns.where(these).order_by(batches.c.no)).all():
                yield no, first, np.frombuffer(column, dtype="<u4").astype(np.uint32, copy=False)
