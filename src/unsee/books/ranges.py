"""Item sets as ranges of ids, so that SQL walks the primary key instead of looking up ids one by one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import sqlalchemy as sa

from unsee.books.sets import to_array
from unsee.core.ids import ItemSet

_GAP = 64
"""Neighbouring ranges that lie this close are read as one; the caller filters. Reading 64 rows costs less than a new query."""

_FEW = 64
"""A range with fewer members than this is looked up by its ids, with others like it, in one query."""

_LOOKUP = 900
"""Parameters of one IN list: below the limit of every SQLite build."""


def whole_and_parts(items: ItemSet) -> Iterator[tuple[int, int, bool]]:
    """As `id_ranges`, each range with whether it is wholly in `items`: of a whole one SQL may add up rows, of others the caller
    reads them and filters."""
    for low, high in id_ranges(items):
        yield low, high, items.range_cardinality(low, high + 1) == high - low + 1


def id_ranges(items: ItemSet, *, exact: bool = False) -> Iterator[tuple[int, int]]:
    """Inclusive (low, high) ranges that cover `items`, ascending.

    Args:
        items: the set.
        exact: cover nothing else, as deleting needs; otherwise small gaps are bridged and the caller filters.
    Cost: O(n) once, 4 bytes an item.
    """
    if not items:
        return
    ids = to_array(items)
    breaks = np.flatnonzero(np.diff(ids) > (1 if exact else _GAP))
    starts = np.concatenate(([0], breaks + 1))
    ends = np.concatenate((breaks, [len(ids) - 1]))
    yield from zip(ids[starts].tolist(), ids[ends].tolist(), strict=True)


def within(key: sa.ColumnElement[int], items: ItemSet) -> Iterator[sa.ColumnElement[bool]]:
    """Conditions that together hold for the rows whose `key` is in `items`, for each row once, and for no other row.

    Long runs of ids become ranges, scattered ids lists of up to 900: a scattered set of n ids costs n / 900 queries, not n.
    """
    if not items:
        return
    ids = to_array(items)
    edges = np.concatenate(([0], np.flatnonzero(np.diff(ids) != 1) + 1, [len(ids)]))
    long = np.flatnonzero(np.diff(edges) >= _FEW)
    scattered = np.ones(len(ids), dtype=np.bool_)
    for start, end in zip(edges[long].tolist(), edges[long + 1].tolist(), strict=True):
        scattered[start:end] = False
        yield key.between(int(ids[start]), int(ids[end - 1]))
    few = ids[scattered].tolist()
    for start in range(0, len(few), _LOOKUP):
        yield key.in_(few[start : start + _LOOKUP])
