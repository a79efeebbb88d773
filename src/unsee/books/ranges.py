"""Item sets as ranges of ids, so that SQL walks the primary key instead of looking up ids one by one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from unsee.core.ids import ItemSet

_GAP = 64
"""Neighbouring ranges that lie this close are read as one; the caller filters. Reading 64 rows costs less than a new query."""


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
    ids = np.frombuffer(items.to_array(), dtype=np.uint32)
    breaks = np.flatnonzero(np.diff(ids) > (1 if exact else _GAP))
    starts = np.concatenate(([0], breaks + 1))
    ends = np.concatenate((breaks, [len(ids) - 1]))
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        yield int(ids[start]), int(ids[end])
