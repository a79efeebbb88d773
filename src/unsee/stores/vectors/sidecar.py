"""Files beside an index that say which photo each row or id is of.

Two shapes: *names by row*, for indexes whose ids are places (a `.npy` array of integers or text, a JSON list, lines of text, CSV
with the name in its first column), and *entries by id*, for indexes that hold ids (a JSON object whose keys are the ids). Arrays of
Python objects (pickles) are never read.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from unsee.stores.vectors.opened import Unfit

KNOWN = (".npy", ".json", ".txt", ".csv")


@dataclass(frozen=True)
class ByRow:
    """A name for each row."""

    names: Sequence[str]
    _lines: Sequence[object]
    _form: str
    _head: Sequence[str] = ()

    def without_rows(self, rows: Collection[int]) -> bytes:
        """The file without these rows; the others' lines as they were."""
        going = set(rows)
        left = [line for row, line in enumerate(self._lines) if row not in going]
        if self._form == ".json":
            return json.dumps(left, ensure_ascii=False).encode()
        if self._form == ".npy":
            held = io.BytesIO()
            np.save(held, np.delete(np.asarray(self._lines), sorted(going)), allow_pickle=False)
            return held.getvalue()
        return "".join([*self._head, *map(str, left)]).encode()


@dataclass(frozen=True)
class ById:
    """Entries by the text of an id."""

    entries: dict[str, object]

    def without_ids(self, ids: Collection[str]) -> bytes:
        """The file without these ids."""
        return json.dumps({k: v for k, v in self.entries.items() if k not in set(ids)}, ensure_ascii=False).encode()


def parse(data: bytes, form: str, rows: int | None) -> ByRow | ById:
    """The side-car behind these bytes; `rows` tells a header of CSV from a row.

    Raises:
        Unfit: it is damaged, or has no shape that is known here.
    """
    try:
        return _parse(data, form, rows)
    except (ValueError, EOFError, RecursionError) as error:
        raise Unfit(f"its side-car of ids cannot be read: {str(error)[:200]}") from error


def _parse(data: bytes, form: str, rows: int | None) -> ByRow | ById:
    if form == ".npy":
        array = np.load(io.BytesIO(data), allow_pickle=False)
        if array.ndim != 1 or array.dtype.kind not in "iuUS":
            raise ValueError(f"an array of {array.dtype} in {array.ndim} dimensions, not one of numbers or text")
        names = [item.decode() if isinstance(item, bytes) else str(item) for item in array.tolist()]
        return ByRow(names, array, form)
    if form == ".json":
        held = json.loads(data)
        if isinstance(held, dict):
            return ById(held)
        if not isinstance(held, list) or not all(isinstance(item, str | int) for item in held):
            raise ValueError("neither a list of ids nor an object by id")
        return ByRow([str(item) for item in held], held, form)
    lines = re.findall(r"[^\n]*\n|[^\n]+", data.decode())
    extra = 1 if form == ".csv" and rows is not None and len(lines) == rows + 1 else 0
    names = [_first(line) if form == ".csv" else line.rstrip("\r\n") for line in lines[extra:]]
    return ByRow(names, lines[extra:], form, lines[:extra])


def _first(line: str) -> str:
    """The first column; quoted fields over several lines are not understood."""
    return next(iter(next(csv.reader([line], strict=True), [])), "")
