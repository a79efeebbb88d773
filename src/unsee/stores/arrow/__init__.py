"""Arrow IPC files and streams as objects, their rows as members; Hugging Face `save_to_disk` directories and caches too."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from unsee.core.errors import PathEscape, StoreError
from unsee.core.ids import StoreId
from unsee.stores import rows, shards
from unsee.stores.arrow import rewriting
from unsee.stores.arrow.messages import Layout, layout
from unsee.stores.options import know, truth
from unsee.stores.parquet import beside
from unsee.stores.rowfiles import RowFileStore

LIMITS: tuple[str, ...] = (
    "Snapshots, backups and replicas of the file system are not seen and not touched.",
    "The blocks of a replaced file hold its bytes until the file system reuses or trims them.",
    "A solid-state disk may keep old blocks that no program can address.",
    "A process that had the file open or mapped when it was replaced can read the old one until it lets go of it.",
    "A file with dictionary columns is rewritten as a whole, in memory, since any batch may refer to any entry.",
    "Copies in the caches of Hugging Face datasets, outside the store, are not seen.",
)


@dataclass(slots=True)
class ArrowRows:
    """An open Arrow file or stream; a part is a record batch."""

    file: int
    layout: Layout
    mapped: pa.MemoryMappedFile
    schema: pa.Schema
    rows: Sequence[int] = field(init=False)
    decoded: list[pa.RecordBatch] | None = None
    """Of files with dictionaries, which are read from the start."""

    def __post_init__(self) -> None:
        self.rows = [message.rows for message in self.layout.batches]

    def batch(self, part: int) -> pa.RecordBatch:
        """One batch, as it lies in the file: nothing is copied unless it is compressed."""
        if self.layout.has_dictionaries:
            if self.decoded is None:
                self.decoded = rewriting.batches_of(self.mapped, self.layout)
            return self.decoded[part]
        self.mapped.seek(self.layout.batches[part].start)
        return pa.ipc.read_record_batch(pa.ipc.read_message(self.mapped), self.schema)

    def columns(self, part: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The columns of one batch, checked: their offsets lie within their data."""
        whole = self.batch(part)
        names = set(whole.schema.names)
        wanted = {name for path in columns for name in names if path == name or path.startswith(f"{name}.")}
        chosen = [n for n, name in enumerate(whole.schema.names) if name in wanted]
        batch = pa.RecordBatch.from_arrays(
            [whole.column(n) for n in chosen], schema=pa.schema([whole.schema.field(n) for n in chosen])
        )
        if whole.num_rows != self.rows[part]:
            raise StoreError(f"record batch {part} has another number of rows than it says")
        batch.validate(full=True)
        yield batch

    def rewrite(self, new: int, going: Mapping[int, np.ndarray[Any, Any]]) -> Sequence[int]:
        """Write the file without the rows that go; which batches of the new file were written anew."""
        if self.layout.has_dictionaries:
            batches = [self.batch(part) for part in range(len(self.rows))]
            return rewriting.whole(new, self.layout, self.schema, batches, going)
        return rewriting.rewrite(self.file, new, self.layout, self.batch, going)


@dataclass(frozen=True, slots=True)
class ArrowFormat:
    """How `rowfiles` reads and rewrites Arrow IPC."""

    kind: str = "arrow"
    suffixes: tuple[str, ...] = (".arrow", ".arrows", ".feather", ".ipc", ".arrow.incomplete")
    prefixes: tuple[str, ...] = ("tmp",)
    """What `datasets` calls the results of `map` while it makes them."""
    infixes: tuple[str, ...] = ()
    limits: tuple[str, ...] = LIMITS
    part: str = "record batch"
    method: str = "record batches written anew without the rows, the others copied as bytes"
    timed: bool = True

    @contextmanager
    def open(self, file: int) -> Iterator[ArrowRows]:
        """The Arrow file or stream behind a descriptor.

        Raises:
            StoreError: it is neither, or is damaged.
            pa.ArrowException: pyarrow cannot use it.
        """
        found = layout(file)
        with pa.memory_map(f"/proc/self/fd/{file}") as mapped:
            mapped.seek(found.messages[0].start)
            schema = pa.ipc.read_schema(pa.ipc.read_message(mapped))
            yield ArrowRows(file, found, mapped, schema)

    def renew_beside(self, location: str, object_name: str) -> None:
        """Renew the count of rows in `dataset_info.json`, where `state.json` says which files make up the split."""
        directory = object_name.rpartition("/")[0]
        state = _json(location, f"{directory}/state.json" if directory else "state.json")
        split, listed = state.get("_split"), state.get("_data_files")
        if isinstance(split, str) and isinstance(listed, list):
            names = [entry.get("filename") for entry in listed if isinstance(entry, dict)]
            beside.renew_counts(location, directory, {split: [name for name in names if isinstance(name, str)]}, _count)


def _count(file: int) -> int:
    return sum(message.rows for message in layout(file).batches)


def _json(location: str, name: str) -> dict[str, Any]:
    with suppress(PathEscape, ValueError), shards.opened(location, name) as file:
        if file is not None:
            found = json.loads(os.pread(file, 1 << 24, 0))
            return found if isinstance(found, dict) else {}
    return {}


def open_arrow(id: StoreId, location: str, options: Mapping[str, str]) -> RowFileStore:
    """Opens stores of kind `arrow`.

    Raises:
        InvalidValue: an option is unknown or holds what it cannot hold.
    """
    know(options, kind="arrow", known=rows.OPTIONS | {"zero"})
    return RowFileStore(id, location, ArrowFormat(), rows.options(options), truth(options, "zero"))
