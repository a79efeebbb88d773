"""Which digests are in a table: exact, vectorised, 8 bytes of index for each."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.uint8]
"""(n, width) uint8; at least 8 bytes wide, and the first 8 spread evenly, as those of a digest do."""


class DigestTable:
    """A sorted table of digests. Look-ups answer with row numbers of the array it was made from."""

    def __init__(self, rows: Rows) -> None:
        self._rows = np.ascontiguousarray(rows)
        keys = _keys(self._rows)
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    def find(self, digests: Rows) -> npt.NDArray[np.int64]:
        """(n,) int64: for each digest the first row that equals it, −1 where none does.

        Cost: one binary search each. Digests whose first 8 bytes agree and that differ later, which only an attacker makes, are
        gone through one by one; none is missed.
        """
        digests = np.ascontiguousarray(digests)
        keys = _keys(digests)
        at = np.searchsorted(self._keys, keys, side="left")
        stop = np.searchsorted(self._keys, keys, side="right")
        found = np.full(len(digests), -1, np.int64)
        open_question = np.flatnonzero(at < stop)
        while len(open_question):
            row = self._order[at[open_question]]
            same = (self._rows[row] == digests[open_question]).all(axis=1)
            found[open_question[same]] = row[same]
            at[open_question] += 1
            left = ~same & (at[open_question] < stop[open_question])
            open_question = open_question[left]
        return found


def _keys(rows: Rows) -> npt.NDArray[np.uint64]:
    return np.ascontiguousarray(rows[:, :8]).view(np.uint64).ravel()
