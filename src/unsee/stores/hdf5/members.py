"""What counts as a member of an HDF5 file: each dataset, or each row of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
import pyarrow as pa

from unsee.core.errors import StoreError
from unsee.stores.hdf5 import copying
from unsee.stores.hdf5.copying import LARGEST, Contents, raw_bytes
from unsee.stores.rowfiles import Going
from unsee.stores.rows import names_of_bytes

_DATA, _KEY = "data", "key"
_SCHEMA = pa.schema([pa.field(_DATA, pa.large_binary()), pa.field(_KEY, pa.large_string())])
_PART_BYTES = 16 << 20
_PART_ROWS = 4096


@dataclass(slots=True)
class Datasets:
    """Each dataset is a member, called by its path."""

    file: int
    opened: h5py.File
    contents: Contents = field(init=False)
    schema: pa.Schema = field(init=False, default_factory=lambda: _SCHEMA)
    rows: Sequence[int] = field(init=False)
    _parts: list[list[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.contents = copying.contents(self.opened)
        self._parts, held = [], _PART_BYTES
        for path, dataset in self.contents.datasets.items():
            if dataset.nbytes > LARGEST:
                raise StoreError(
                    f"the dataset {path!r} has {dataset.nbytes:,} bytes: where its rows are the photos, say data={path}"
                )
            if held >= _PART_BYTES or len(self._parts[-1]) >= _PART_ROWS:
                self._parts.append([])
                held = 0
            self._parts[-1].append(path)
            held += dataset.nbytes
        self.rows = [len(part) for part in self._parts]

    @property
    def links(self) -> Mapping[str, str]:
        """Soft and external links, which are no members."""
        return self.contents.links

    def columns(self, part: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Paths and bytes of the datasets of a part."""
        paths, made = self._parts[part], {}
        if _KEY in columns:
            made[_KEY] = names_of_bytes([path.encode("utf-8", "surrogateescape") for path in paths])
        if _DATA in columns:
            held = [raw_bytes(self.contents.datasets[path][()]) for path in paths]
            made[_DATA] = pa.array(held, pa.large_binary())
        yield pa.RecordBatch.from_arrays([made[name] for name in columns], names=list(columns))

    def rewrite(self, new: int, going: Going) -> Sequence[int]:
        """Copy the others object by object, their chunks as they are, and compare; all parts of the new file."""
        gone = frozenset(
            path
            for part, mask in going.items()
            for path, goes in zip(self._parts[part], mask.tolist(), strict=True)
            if goes
        )
        for names in self.contents.names.values():
            staying = [name for name in names if name not in gone]
            if staying and len(staying) < len(names):
                other = next(name for name in names if name in gone)
                raise StoreError(f"{staying[0]!r} is another name of {other!r} and would keep its bytes; erase both")
        copying.without(self.opened, self.file, new, gone, {})
        with copying.reading(new) as again:
            seen = Datasets(new, again)
            _compare(self.contents, seen.contents, gone)
            return range(len(seen.rows))


@dataclass(slots=True)
class Rows:
    """Each row of one dataset is a member. Datasets beside it that are as long go with it: labels, ids."""

    file: int
    opened: h5py.File
    data: str
    key: str
    contents: Contents = field(init=False)
    schema: pa.Schema = field(init=False, default_factory=lambda: _SCHEMA)
    rows: Sequence[int] = field(init=False)
    _held: Any = field(init=False)
    _step: int = field(init=False)

    def __post_init__(self) -> None:
        self.contents = copying.contents(self.opened)
        self._held = self._dataset(self.data)
        if self.key and self._dataset(self.key).shape != self._held.shape[:1]:
            raise StoreError(f"the dataset {self.key!r} has not one key for each row of {self.data!r}")
        if self.key and self.key not in self.alike():
            raise StoreError(f"the keys {self.key!r} must lie in the group of {self.data!r}, to go with its rows")
        self._step, count = copying.rows_at_once(self._held), self._held.shape[0]
        if self._held.nbytes // max(1, count) * min(self._step, count) > LARGEST:
            raise StoreError(f"a chunk of {self.data!r} has more than {LARGEST:,} bytes")
        self.rows = [min(self._step, count - start) for start in range(0, count, self._step)]

    @property
    def links(self) -> Mapping[str, str]:
        """Soft and external links, which are no members."""
        return self.contents.links

    def _dataset(self, path: str) -> Any:
        found = self.contents.datasets.get(path)
        if found is None or not found.shape:
            have = ", ".join(map(repr, list(self.contents.datasets)[:20])) or "none"
            raise StoreError(f"there is no dataset {path!r} with rows. Datasets: {have}")
        if len(self.contents.names[copying.address(found)]) > 1:
            raise StoreError(f"the dataset {path!r} has several names")
        return found

    def alike(self) -> list[str]:
        """The datasets that lose rows with this one: in its group, and as long."""
        above = self.data.rpartition("/")[0]
        return [
            path
            for path, held in self.contents.datasets.items()
            if path.rpartition("/")[0] == above and held.shape and held.shape[0] == self._held.shape[0]
        ]

    def columns(self, part: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Keys and bytes of the rows of a part."""
        start, made = part * self._step, {}
        end = start + self.rows[part]
        if _KEY in columns:
            keys = self.contents.datasets[self.key][start:end]
            made[_KEY] = names_of_bytes([_name(key) for key in keys])
        if _DATA in columns:
            made[_DATA] = pa.array([raw_bytes(row) for row in self._held[start:end]], pa.large_binary())
        yield pa.RecordBatch.from_arrays([made[name] for name in columns], names=list(columns))

    def rewrite(self, new: int, going: Going) -> Sequence[int]:
        """Write the rows that stay, copy other datasets as they are, and compare these; all parts of the new file."""
        stays = np.ones(self._held.shape[0], dtype=bool)
        for part, mask in going.items():
            stays[part * self._step :][: len(mask)] = ~mask
        alike = self.alike()
        for path in alike:
            self._dataset(path)
        copying.without(self.opened, self.file, new, frozenset(), dict.fromkeys(alike, stays))
        with copying.reading(new) as again:
            seen = Rows(new, again, self.data, self.key)
            _compare(self.contents, seen.contents, frozenset(alike))
            for path in alike:
                self._compare_rows(self.contents.datasets[path], seen.contents.datasets[path], stays)
            return range(len(seen.rows))

    def _compare_rows(self, old: Any, new: Any, stays: np.ndarray[Any, Any]) -> None:
        at = 0
        for start in range(0, len(stays), self._step):
            mask = stays[start : start + self._step]
            count = int(mask.sum())
            if count and raw_bytes(old[start : start + self._step][mask]) != raw_bytes(new[at : at + count]):
                raise StoreError("the new file does not hold the rows that stay; it was thrown away")
            at += count
        if at != new.shape[0]:
            raise StoreError("the new file has another number of rows; it was thrown away")


def _compare(old: Contents, new: Contents, gone: frozenset[str]) -> None:
    """Raises where a dataset that stays is not there as it was."""
    for path, held in old.datasets.items():
        if path not in gone and not (path in new.datasets and copying.same(held, new.datasets[path])):
            raise StoreError(f"the new file does not hold {path!r} as it was; it was thrown away")
    if old.links != new.links:
        raise StoreError("the new file does not hold the links as they were; it was thrown away")


def _name(key: Any) -> bytes:
    """Text as it is, numbers in decimal."""
    if isinstance(key, bytes):
        return key
    return str(key).encode("utf-8", "surrogateescape")
