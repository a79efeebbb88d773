"""Parquet files as objects, their rows as members; Hugging Face `datasets` exports too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from unsee.core.ids import StoreId
from unsee.stores import rows
from unsee.stores.options import know, truth
from unsee.stores.parquet import beside, footer, rewriting
from unsee.stores.parquet.footer import Footer, get
from unsee.stores.rowfiles import RowFileStore

_BATCH_BYTES = 4 << 20
_LARGEST_BATCH = 1 << 16
LIMITS: tuple[str, ...] = (
    "Snapshots, backups and replicas of the file system are not seen and not touched.",
    "The blocks of a replaced file hold its bytes until the file system reuses or trims them.",
    "A solid-state disk may keep old blocks that no program can address.",
    "A process that had the file open when it was replaced can read the old one until it closes it.",
    "A program that opens a file by its name more than once while it reads (polars, pyarrow's datasets) may fail with an error "
    "where the file was replaced in between.",
    "Encrypted files and columns are kept: this store has no keys.",
    "Copies in the caches of Hugging Face datasets, outside the store, are not seen.",
    "A row group of which all rows are erased is left out; one that loses some is held in memory while it is encoded anew.",
)


@dataclass(slots=True)
class ParquetRows:
    """An open Parquet file; a part is a row group."""

    file: int
    footer: Footer
    reading: pq.ParquetFile
    schema: pa.Schema = field(init=False)
    rows: Sequence[int] = field(init=False)

    def __post_init__(self) -> None:
        self.schema = self.reading.schema_arrow
        self.rows = [get(group, footer.GROUP_ROWS) for group in self.footer.groups]

    def columns(self, part: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The columns of one row group, about 4 MB at a time."""
        held = sum(get(get(chunk, footer.META), footer.PLAIN_SIZE) for chunk in footer.chunks(self.footer.groups[part]))
        size = max(1, min(_LARGEST_BATCH, _BATCH_BYTES * self.rows[part] // max(1, held)))
        yield from self.reading.iter_batches(size, row_groups=[part], columns=list(columns), use_threads=False)

    def rewrite(self, new: int, going: Mapping[int, np.ndarray[Any, Any]]) -> Sequence[int]:
        """Write the file without the rows that go; which row groups of the new file were encoded anew."""
        return rewriting.rewrite(self.file, new, self.footer, going)


@dataclass(frozen=True, slots=True)
class ParquetFormat:
    """How `rowfiles` reads and rewrites Parquet."""

    kind: str = "parquet"
    suffixes: tuple[str, ...] = (".parquet", ".parq", ".pq", ".parquet.incomplete")
    prefixes: tuple[str, ...] = ()
    infixes: tuple[str, ...] = ()
    limits: tuple[str, ...] = LIMITS
    part: str = "row group"
    method: str = "row groups written anew without the rows, the others copied as bytes"
    timed: bool = True

    @contextmanager
    def open(self, file: int) -> Iterator[ParquetRows]:
        """The Parquet file behind a descriptor.

        Raises:
            StoreError: its footer cannot be used.
            pa.ArrowException: pyarrow cannot use it.
        """
        found = footer.read(file)
        with (
            pa.OSFile(f"/proc/self/fd/{file}") as source,
            pq.ParquetFile(source, pre_buffer=False, buffer_size=1 << 20) as reading,
        ):
            yield ParquetRows(file, found, reading)

    def renew_beside(self, location: str, object_name: str) -> None:
        """Renew `_metadata` and the counts of Hugging Face's cards."""
        beside.renew(location, object_name)


def open_parquet(id: StoreId, location: str, options: Mapping[str, str]) -> RowFileStore:
    """Opens stores of kind `parquet`.

    Raises:
        InvalidValue: an option is unknown or holds what it cannot hold.
    """
    know(options, kind="parquet", known=rows.OPTIONS | {"zero"})
    return RowFileStore(id, location, ParquetFormat(), rows.options(options), truth(options, "zero"))
