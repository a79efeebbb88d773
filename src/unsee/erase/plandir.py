"""A plan on disk: `summary.json` (what approvers read and sign) and Parquet parts with every target, grouped by object.

The digest of a plan is the SHA-256 of the canonical JSON of its summary; the summary names each part with the SHA-256 of its
file, so the digest covers every target. A plan directory appears whole or not at all (written aside, fsynced, renamed).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from unsee.core.canonical import canonical_json
from unsee.core.errors import NotFound, Tampered
from unsee.core.ids import ItemSet

TARGETS = pa.schema(
    [
        ("unit", pa.int32()),
        ("store", pa.dictionary(pa.int32(), pa.string())),
        ("object", pa.dictionary(pa.int32(), pa.string())),
        ("selector", pa.string()),
        ("stamp", pa.string()),
        ("size_bytes", pa.int64()),
        ("item", pa.int64()),
        ("reason", pa.dictionary(pa.int32(), pa.string())),
    ]
)
"""One row a target. `item` is the one that it is a copy of, or is taken for; `reason` says why it is in."""

EXAMINED = pa.schema(
    [
        ("store", pa.string()),
        ("object", pa.string()),
        ("selector", pa.string()),
        ("stamp", pa.string()),
        ("unsound", pa.bool_()),
    ]
)
"""Members that were read and left alone. What appears beside them later makes a plan stale. `unsound` ones lie where the books say
that a photo lies that stays, and were not what was taken in already when the plan was made."""

_PART_ROWS = 500_000


@dataclass(frozen=True, slots=True)
class Target:
    """One row of the targets."""

    selector: str
    stamp: str
    size_bytes: int
    item: int
    reason: str


@dataclass(frozen=True, slots=True)
class Unit:
    """All targets of one object of one store: what is erased, and journalled, as one."""

    number: int
    store: str
    object: str
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class PlanDirectory:
    """A plan that was written. Opening checks the summary against its digest; reading parts checks theirs."""

    path: Path
    summary: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Hexadecimal SHA-256 of the canonical summary: what approvers sign."""
        return hashlib.sha256(canonical_json(dict(self.summary))).hexdigest()

    @property
    def journal_path(self) -> Path:
        """Where `apply` keeps its journal."""
        return self.path / "journal.sqlite"

    @property
    def needles_path(self) -> Path:
        """Digests that the books must no longer hold: written by `apply` before it scrubs them, destroyed on certification."""
        return self.path / "needles.bin"

    @property
    def anchors_path(self) -> Path:
        """Anchors of what was erased: written by `apply` before each member goes, destroyed on certification."""
        return self.path / "anchors.bin"

    def units(self) -> Iterator[Unit]:
        """Every unit, in order; a unit never spans two parts.

        Raises:
            Tampered: a part is missing or is not the one that the summary names.
        """
        for part in self.summary["parts"]:
            yield from _units_of(self._checked(part))

    def examined(self) -> set[tuple[str, str, str, str]]:
        """Members that were neither recorded nor in scope when the plan was made: (store, object, selector, stamp).

        Raises:
            Tampered: the part is not the one that the summary names.
        """
        return set(self._examined("store", "object", "selector", "stamp"))

    def unsound(self) -> set[tuple[str, str, str]]:
        """Copies of photos that stay and that were spoiled before the plan was made: (store, object, selector).

        Raises:
            Tampered: the part is not the one that the summary names.
        """
        rows = self._examined("store", "object", "selector", "unsound")
        return {(store, name, selector) for store, name, selector, unsound in rows if unsound}

    def _examined(self, *names: str) -> Iterator[tuple[Any, ...]]:
        table = pq.read_table(self._checked(self.summary["examined"]), columns=list(names))
        return zip(*(table.column(name).to_pylist() for name in names), strict=True)

    def retained(self) -> ItemSet:
        """The items that must be as they were when the order is carried out.

        Raises:
            Tampered: the file is not the one that the summary names.
        """
        return ItemSet.deserialize(self._checked(self.summary["retained"]["set"]).read_bytes())

    def destroy_names(self) -> None:
        """Remove the parts, the needles and the journal: file names and paths are personal data. The summary stays."""
        for entry in sorted(self.path.iterdir()):
            if entry.name != "summary.json":
                entry.unlink()
        _fsync_directory(self.path)

    def _checked(self, part: Mapping[str, Any]) -> Path:
        path = self.path / str(part["name"])
        if not path.is_file():
            raise Tampered(
                f"Part {part['name']} of the plan is missing.", next_step='Make a new plan with "unsee plan".'
            )
        if file_sha256(path) != part["sha256"]:
            raise Tampered(
                f"Part {part['name']} of the plan was changed after the plan was made.",
                next_step='Make a new plan with "unsee plan".',
            )
        return path


def open_plan(path: Path, *, digest: str) -> PlanDirectory:
    """The plan at `path`, whose digest the books know.

    Raises:
        NotFound: there is no plan at that place.
        Tampered: its summary does not have that digest.
    """
    try:
        raw = (path / "summary.json").read_bytes()
    except FileNotFoundError:
        raise NotFound("plan", path.name) from None
    if hashlib.sha256(raw).hexdigest() != digest:
        raise Tampered(
            f"The summary of plan {path.name} is not the one that was made.",
            next_step='Make a new plan with "unsee plan".',
        )
    return PlanDirectory(path, json.loads(raw))


class PlanWriter:
    """Writes a plan aside and puts it in its place with `finish`; a killed writer leaves nothing that counts."""

    def __init__(self, path: Path) -> None:
        self._final = path
        self._path = path.with_name(f".{path.name}.partial")
        shutil.rmtree(self._path, ignore_errors=True)
        self._path.mkdir(parents=True)

    def write_targets(self, table: pa.Table) -> list[dict[str, Any]]:
        """Write rows of schema `TARGETS`, sorted by unit, as parts that never split a unit; what the summary says of them."""
        parts: list[dict[str, Any]] = []
        start = 0
        units = table.column("unit").to_numpy()
        while start < len(units):
            end = min(start + _PART_ROWS, len(units))
            while end < len(units) and units[end] == units[end - 1]:
                end += 1
            parts.append(self._write(f"targets-{len(parts):05d}.parquet", table.slice(start, end - start)))
            start = end
        return parts

    def write_examined(
        self, rows: Iterable[tuple[str, str, str, str]], unsound: Collection[tuple[str, str, str]]
    ) -> dict[str, Any]:
        """Write the members that were looked at and left alone, and which of them are spoiled copies of what stays."""
        spoiled = set(unsound)
        told = [(*row, row[:3] in spoiled) for row in sorted(rows)]
        columns = [list(c) for c in zip(*told, strict=True)] if told else [[] for _ in EXAMINED]
        return self._write("examined.parquet", pa.table(columns, schema=EXAMINED))

    def write_retained(self, retained: ItemSet) -> dict[str, Any]:
        """Write the set of items that stay."""
        canonical = retained.copy()
        canonical.run_optimize()
        path = self._path / "retained.roaring"
        with path.open("wb") as file:
            file.write(canonical.serialize())
            file.flush()
            os.fsync(file.fileno())
        return {"name": path.name, "sha256": file_sha256(path)}

    def finish(self, summary: Mapping[str, Any]) -> PlanDirectory:
        """Write the summary, reach the disk, and rename the directory into place."""
        with (self._path / "summary.json").open("wb") as file:
            file.write(canonical_json(dict(summary)))
            file.flush()
            os.fsync(file.fileno())
        _fsync_directory(self._path)
        self._path.rename(self._final)
        _fsync_directory(self._final.parent)
        return PlanDirectory(self._final, summary)

    def _write(self, name: str, table: pa.Table) -> dict[str, Any]:
        path = self._path / name
        pq.write_table(table, path, compression="zstd", write_statistics=False)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        return {"name": name, "rows": table.num_rows, "sha256": file_sha256(path)}


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in chunks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _units_of(path: Path) -> Iterator[Unit]:
    table = pq.read_table(path)
    columns = {name: table.column(name).to_pylist() for name in TARGETS.names}
    rows: list[Target] = []
    numbers = columns["unit"]
    for i, number in enumerate(numbers):
        rows.append(
            Target(
                columns["selector"][i],
                columns["stamp"][i],
                columns["size_bytes"][i],
                columns["item"][i],
                columns["reason"][i],
            )
        )
        if i + 1 == len(numbers) or numbers[i + 1] != number:
            yield Unit(number, columns["store"][i], columns["object"][i], tuple(rows))
            rows = []


def _fsync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
