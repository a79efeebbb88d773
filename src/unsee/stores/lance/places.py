"""Where a row lies, as the hint at the end of its stamp: what lies where it lay, in files that nobody touched, need not be read.

Data files of Lance are never changed: a row that is replaced is deleted in one fragment and written to another, and a column that
is replaced is a new file of the same fragment, or another column of the old one. So a row is as it was while its fragment has
the same files (name, length, time, inode), its data is the same column of them, and it has the same place.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa

from unsee.stores.contract import unhinted
from unsee.stores.lance import tables
from unsee.stores.rows import RowShape

_FILES_BYTES = 8
_ROW_BITS = 32
"""The low half of a row's address is its place in the fragment, the high half the fragment's number."""


class Places:
    """The hints of the rows of one version. Cost: one look at the files of each fragment asked about."""

    def __init__(self, path: Path, dataset: Any, shape: RowShape) -> None:
        self._data = path / "data"
        outside = _may_lie_outside(dataset.schema, shape)
        self._fragments = {} if outside else {f.fragment_id: f for f in dataset.get_fragments()}
        self._column = tables.written_as(dataset, shape.data)
        self._marks: dict[int, str] = {}

    def stamped(self, digest: str, address: int) -> str:
        """A stamp: the digest of the row's data and, where there is one, the hint of its place."""
        hint = self._hint(address)
        return f"{digest}@{hint}" if hint else digest

    def untouched(self, stamp: str, address: int) -> bool:
        """Whether the row at this address is surely the one that was stamped so. False says nothing."""
        hint = self._hint(address)
        return bool(hint) and stamp == f"{unhinted(stamp)}@{hint}"

    def _hint(self, address: int) -> str:
        number = address >> _ROW_BITS
        if number not in self._marks:
            self._marks[number] = self._mark(self._fragments.get(number))
        mark = self._marks[number]
        return f"{mark}.{address & ((1 << _ROW_BITS) - 1)}" if mark else ""

    def _mark(self, fragment: Any) -> str:
        """Another one where a file of the fragment is another; empty where its files cannot be looked at here."""
        if fragment is None:
            return ""
        said = fragment.metadata.to_json()
        seen = []
        try:
            for file in [*said["files"], *(overlay["data_file"] for overlay in said["overlays"])]:
                if file["base_id"] is not None:
                    return ""
                there = os.lstat(self._data / file["path"])
                seen.append((there.st_size, there.st_mtime_ns, there.st_ino))
        except OSError:
            return ""
        text = json.dumps([self._column, said["files"], said["overlays"], seen], sort_keys=True, default=str)
        return hashlib.blake2b(text.encode(), digest_size=_FILES_BYTES).hexdigest()


def _may_lie_outside(schema: pa.Schema, shape: RowShape) -> bool:
    """Blobs of the second kind may be references to files that change while the dataset does not."""
    return any(
        isinstance(field.type, pa.BaseExtensionType)
        and field.type.extension_name == "lance.blob.v2"
        and (shape.data or "").startswith(field.name)
        for field in schema
    )
