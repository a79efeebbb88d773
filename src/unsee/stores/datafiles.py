"""The Parquet data files below a table of Delta Lake or Iceberg: which rows they hold, and the same file without some of them.

A table's files are never changed in place: readers of a snapshot may hold them open. A file that holds rows that must go is
copied without them, a stretch of rows at a time, and the table's own commit puts the copy in its place.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from unsee.core.errors import StoreError
from unsee.stores import rows
from unsee.stores.contract import Member
from unsee.stores.rows import RowShape

OURS = ".unsee.parquet"
"""Ends the names of files that unsee wrote into a table: those that no version refers to are left from a killed call."""
_GROUP_BYTES = 64 << 20
_BATCH_ROWS = 256
_FEW = 10_000
"""Up to so many selectors are looked for by the statistics of row groups first."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file and how to find the members in it."""

    path: str
    shape: RowShape
    """The columns as they are called in this file."""
    partition: str | None = None
    """The key of every row, where the table is partitioned by it and the file therefore has no such column."""


@dataclass(slots=True)
class Hits:
    """The rows of one file that are looked for."""

    rows: int
    """How many rows the file has in all."""
    at: dict[int, dict[int, str]] = field(default_factory=dict)
    """Row group to row in it to selector."""

    def selectors(self) -> set[str]:
        """Whose rows these are."""
        return {selector for group in self.at.values() for selector in group.values()}

    def only(self, going: Collection[str]) -> Hits:
        """Those whose selector goes."""
        kept = {n: {row: s for row, s in group.items() if s in going} for n, group in self.at.items()}
        return Hits(self.rows, {n: group for n, group in kept.items() if group})

    def whole(self) -> bool:
        """Whether no other row is in the file."""
        return sum(map(len, self.at.values())) == self.rows


@contextmanager
def reading(path: str) -> Iterator[pq.ParquetFile]:
    """The file, open.

    Raises:
        StoreError: it is not there, no Parquet, cut off, or encrypted.
    """
    try:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as opened:
            yield opened
    except (pa.ArrowException, OSError) as error:
        words = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise StoreError(
            f"The data file {path!r} cannot be read: {words}.",
            next_step="Restore the file, or take it out of the table with the table's own tool, and try again.",
        ) from error


def cells(file: DataFile) -> Iterator[tuple[str, memoryview]]:
    """Selector and data of each row that has a name, in order."""
    with reading(file.path) as opened:
        columns = _there(opened, file.shape.columns())
        if file.shape.data not in columns or (file.shape.key is not None and file.shape.key not in columns):
            return  # written before the column was added to the table: its rows are nameless
        for batch in _batches(opened, _BATCH_ROWS, columns):
            for selector, view in file.shape.views(batch):
                yield (selector if file.partition is None else file.partition), view


def nameless(file: DataFile) -> int:
    """How many rows are no members."""
    with reading(file.path) as opened:
        column = file.shape.key or file.shape.data
        count: int = opened.metadata.num_rows
        if file.partition is not None:
            return 0
        columns = _there(opened, [column] if column else [])
        if not columns:
            return count
        return sum(file.shape.nameless(b) for b in _batches(opened, 65_536, columns))


def look(file: DataFile, wanted: Collection[str]) -> Hits:
    """Where the wanted rows are in the file.

    Cost: the key column of the row groups whose statistics do not rule the keys out; without a key, all data.
    """
    with reading(file.path) as opened:
        hits = Hits(opened.metadata.num_rows)
        if file.partition is not None:
            if file.partition in wanted:
                for n in range(opened.metadata.num_row_groups):
                    hits.at[n] = dict.fromkeys(range(opened.metadata.row_group(n).num_rows), file.partition)
            return hits
        columns = _there(opened, [file.shape.key or file.shape.data or ""])
        if not columns:
            return hits
        values = _values(file.shape, _without_dictionaries(opened.schema_arrow), wanted)
        for n in _groups(opened, columns[0], values):
            found: dict[int, str] = {}
            start = 0
            batch_rows = 65_536 if file.shape.key else _BATCH_ROWS
            for batch in _batches(opened, batch_rows, columns, [n]):
                found.update((start + row, selector) for row, selector in _match(file.shape, batch, wanted, values))
                start += batch.num_rows
            if found:
                hits.at[n] = found
    return hits


def stamps(file: DataFile, hits: Hits) -> dict[str, list[str]]:
    """The stamps of the rows that were hit, by selector."""
    seen: dict[str, list[str]] = {}
    with reading(file.path) as opened:
        columns = _there(opened, [file.shape.data or ""])
        for n, group in hits.at.items():
            start = 0
            for batch in _batches(opened, _BATCH_ROWS, columns, [n]):
                _note_stamps(file.shape, batch, start, group, seen)
                start += batch.num_rows
    return seen


def data_of(file: DataFile, hits: Hits) -> Iterator[bytes]:
    """The data of the rows that were hit, in order."""
    with reading(file.path) as opened:
        columns = _there(opened, [file.shape.data or ""])
        for n, group in hits.at.items():
            start = 0
            for batch in _batches(opened, _BATCH_ROWS, columns, [n]):
                mine = [row for row in range(batch.num_rows) if start + row in group]
                for _, view in RowShape(file.shape.data).views(batch.take(pa.array(mine, pa.int64()))) if mine else ():
                    yield bytes(view)
                start += batch.num_rows


def read_many(
    files: Iterable[DataFile], selectors: Sequence[str], limit_bytes: int | None, place: str
) -> Iterator[tuple[str, bytes | StoreError]]:
    """The data of each selector's first row, each once, going through each file once; or why it cannot be read."""
    waiting = set(selectors)
    for file in files:
        if not waiting:
            break
        for selector, data in _first(file, waiting):
            waiting.discard(selector)
            if limit_bytes is not None and len(data) > limit_bytes:
                yield selector, StoreError(f"{place}: the row {selector!r} is larger than {limit_bytes:,} bytes.")
            else:
                yield selector, data
    for selector in sorted(waiting):
        absent = f"{place}: there is no row {selector!r}."
        yield selector, StoreError(absent, next_step="Scan the store again to see what is there.")


def _first(file: DataFile, waiting: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """The data of the first row of each wanted selector in this file."""
    hits = look(file, waiting)
    done: set[str] = set()
    for n in sorted(hits.at):
        group: dict[int, str] = {}
        for row, selector in sorted(hits.at[n].items()):
            if selector not in done:
                done.add(selector)
                group[row] = selector
        yield from zip((group[row] for row in sorted(group)), data_of(file, Hits(hits.rows, {n: group})), strict=True)


def member_stamps(files: Iterable[DataFile], selectors: Sequence[str]) -> list[str | None]:
    """The present stamp of each member, None where no file has a row of it."""
    wanted = set(selectors)
    seen: dict[str, list[str]] = {}
    for file in files:
        for selector, parts in stamps(file, look(file, wanted)).items():
            seen.setdefault(selector, []).extend(parts)
    return [member_stamp(seen[s]) if s in seen else None for s in selectors]


def copy_without(
    file: DataFile, hits: Hits, target: str, stamped: Collection[str]
) -> tuple[pq.FileMetaData, dict[str, list[str]]]:
    """Write the file without these rows to `target`, flushed; its metadata, and the stamps of the rows that are `stamped`.

    Names, ids and types of columns, their compression, and the metadata of the file stay. Dictionaries, statistics and indexes
    are made anew from the rows that stay. Memory: about 64 MB of rows.

    Raises:
        StoreError: the file cannot be read, or the copy cannot be written: the disk is full, no permission.
    """
    seen: dict[str, list[str]] = {}
    with reading(file.path) as opened:
        schema = _without_dictionaries(opened.schema_arrow)
        with _writing(target), pq.ParquetWriter(target, schema, **as_before(opened, file.shape.data)) as writer:
            waiting: list[pa.RecordBatch] = []
            for batch in _staying(file, opened, (hits, hits.only(stamped)), seen):
                waiting.append(batch)
                if sum(one.nbytes for one in waiting) >= _GROUP_BYTES:
                    writer.write_table(pa.Table.from_batches(waiting, schema))
                    waiting = []
            if waiting:
                writer.write_table(pa.Table.from_batches(waiting, schema))
    flush(target)
    return pq.read_metadata(target), seen


def _staying(
    file: DataFile, opened: pq.ParquetFile, hits: tuple[Hits, Hits], seen: dict[str, list[str]]
) -> Iterator[pa.RecordBatch]:
    """The rows that are not hit, batch by batch; the stamps of the second hits are noted."""
    every, stamped = hits
    for n in range(opened.metadata.num_row_groups):
        group, noted, start = every.at.get(n, {}), stamped.at.get(n, {}), 0
        if len(group) == opened.metadata.row_group(n).num_rows:
            for name, found in stamps(file, Hits(every.rows, {n: noted})).items() if noted else ():
                seen.setdefault(name, []).extend(found)
            continue
        staying = np.ones(opened.metadata.row_group(n).num_rows, dtype=bool)
        staying[list(group)] = False
        for batch in _batches(opened, _BATCH_ROWS, None, [n]):
            mine = staying[start : start + batch.num_rows]
            if noted:
                _note_stamps(file.shape, batch, start, noted, seen)
            if mine.all():
                yield batch
            elif mine.any():
                yield batch.filter(pa.array(mine))
            start += batch.num_rows


@contextmanager
def _writing(target: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        words = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise StoreError(
            f"The copy {target!r} cannot be written: {words}.",
            next_step="Make room or give permission, and try again; the table is as it was.",
        ) from error


def flush(path: str) -> None:
    """Wait until the file or directory is on the disk."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def member_stamp(found: Sequence[str]) -> str:
    """The stamp of a member: its row's, or a digest of all where several rows have its key."""
    if len(set(found)) == 1:
        return found[0]
    return hashlib.blake2b("".join(sorted(found)).encode(), digest_size=16).hexdigest()


def members(
    object_name: str, files: Sequence[DataFile], unreadable: Callable[[DataFile, StoreError], None]
) -> Iterator[Member]:
    """Each member of a table once, rows that share a selector as one, their data counted together where they have a key.

    Cost: the data of all rows, and 8 bytes of memory a row; members with several rows come last and are remembered.
    """
    twice = _twice(files, unreadable)
    several: dict[str, tuple[int, list[str]]] = {}
    for file in files:
        try:
            for selector, view in cells(file):
                seen = rows.stamp(view)
                if hash(selector) not in twice:
                    yield Member(object_name, selector, len(view), seen)
                    continue
                size, found = several.get(selector, (0, []))
                same = file.shape.key is None and file.partition is None
                several[selector] = (len(view) if same else size + len(view), [*found, seen])
        except StoreError as error:
            unreadable(file, error)
    for selector, (size, found) in several.items():
        yield Member(object_name, selector, size, member_stamp(found))


def _twice(files: Sequence[DataFile], unreadable: Callable[[DataFile, StoreError], None]) -> frozenset[int]:
    """Hashes of the selectors that more than one row has."""
    parts: list[np.ndarray[Any, Any]] = []
    for file in files:
        try:
            with reading(file.path) as opened:
                if file.partition is not None:
                    parts.append(np.full(opened.metadata.num_rows, hash(file.partition), dtype=np.int64))
                    continue
                columns = _there(opened, [file.shape.key or file.shape.data or ""])
                size = 65_536 if file.shape.key else _BATCH_ROWS
                batches = _batches(opened, size, columns) if columns else iter(())
                parts.extend(np.array([hash(s) for s in file.shape.selectors(b)], dtype=np.int64) for b in batches)
        except StoreError as error:
            unreadable(file, error)
    if not parts:
        return frozenset()
    found, counts = np.unique(np.concatenate(parts), return_counts=True)
    return frozenset(int(one) for one in found[counts > 1])


def walk(root: str) -> Iterator[tuple[str, os.stat_result]]:
    """Every regular file below a directory, with its path; links and hidden directories' links are not followed."""
    pending = [root]
    while pending:
        at = pending.pop()
        with suppress(FileNotFoundError), os.scandir(at) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                with suppress(FileNotFoundError):
                    seen = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(seen.st_mode):
                        pending.append(entry.path)
                    elif stat.S_ISREG(seen.st_mode):
                        yield entry.path, seen


@contextmanager
def locked(directory: str) -> Iterator[None]:
    """One erasing call at a time on a table, on this machine or where the file system shares locks (flock(2))."""
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def remove(paths: Iterable[str], root: str) -> None:
    """Remove files below `root` with the checksums that Hadoop keeps beside them, and the directories that this empties."""
    directories = set()
    for path in paths:
        above, name = os.path.split(path)
        for one in (path, os.path.join(above, f".{name}.crc")):
            with suppress(FileNotFoundError):
                os.unlink(one)
        directories.add(above)
    for deepest in sorted(directories, key=len, reverse=True):
        above = deepest
        while above != root and above.startswith(root + os.sep):
            try:
                os.rmdir(above)
            except OSError:
                break  # it holds something
            above = os.path.dirname(above)
        with suppress(FileNotFoundError):
            flush(above)


def _batches(
    opened: pq.ParquetFile, rows: int, columns: list[str] | None = None, groups: list[int] | None = None
) -> Iterator[pa.RecordBatch]:
    """Batches of plain types: Arrow selects nothing from views, and its dictionaries keep what was filtered out."""
    for batch in opened.iter_batches(rows, row_groups=groups, columns=columns, use_threads=False):
        schema = _without_dictionaries(batch.schema)
        yield batch if schema.equals(batch.schema) else batch.cast(schema)


def _there(opened: pq.ParquetFile, columns: Sequence[str]) -> list[str]:
    """Those of the columns that this file has."""
    paths = {opened.schema.column(n).path for n in range(len(opened.schema))}
    return [name for name in columns if name and any(p == name or p.startswith(name + ".") for p in paths)]


def _values(shape: RowShape, schema: pa.Schema, wanted: Collection[str]) -> pa.Array | None:
    return shape.key_values(schema, wanted) if shape.key is not None else None


def _match(
    shape: RowShape, batch: pa.RecordBatch, wanted: Collection[str], values: pa.Array | None
) -> Iterator[tuple[int, str]]:
    if values is not None and shape.key in batch.schema.names and batch.column(shape.key).type == values.type:
        places = pc.indices_nonzero(pc.is_in(batch.column(shape.key), value_set=values))
        if len(places):
            yield from zip(places.to_pylist(), shape.selectors(batch.take(places)), strict=True)
        return
    yield from ((row, selector) for row, selector in enumerate(shape.selectors(batch)) if selector in wanted)


def _groups(opened: pq.ParquetFile, column: str, values: pa.Array | None) -> Iterator[int]:
    """The row groups whose statistics do not say that they hold none of the values."""
    count = opened.metadata.num_row_groups
    if values is None or not 0 < len(values) <= _FEW:
        yield from range(count if values is None or len(values) else 0)
        return
    ordered = sorted(values.to_pylist())
    place = next(n for n in range(len(opened.schema)) if opened.schema.column(n).path.startswith(column))
    for n in range(count):
        seen = opened.metadata.row_group(n).column(place).statistics
        low, high = (seen.min, seen.max) if seen is not None and seen.has_min_max else (None, None)
        if type(low) is type(ordered[0]) and type(high) is type(low):
            at = bisect_left(ordered, low)
            if at == len(ordered) or ordered[at] > high:
                continue
        yield n


def _note_stamps(
    shape: RowShape, batch: pa.RecordBatch, start: int, group: Mapping[int, str], seen: dict[str, list[str]]
) -> None:
    mine = [row for row in range(start, start + batch.num_rows) if row in group]
    if not mine:
        return
    taken = (
        batch.select([(shape.data or "").split(".")[0]])
        if shape.data not in batch.schema.names
        else batch.select([shape.data])
    )
    plain = RowShape(shape.data)
    for row in mine:
        found = next((view for _, view in plain.views(taken.slice(row - start, 1))), memoryview(b""))
        seen.setdefault(group[row], []).append(rows.stamp(found))


def _without_dictionaries(schema: pa.Schema) -> pa.Schema:
    """Arrow's dictionaries keep the values of rows that were filtered out."""
    return pa.schema([one.with_type(_plain(one.type)) for one in schema], metadata=schema.metadata)


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_binary_view(kind):
        return pa.large_binary()
    if pa.types.is_struct(kind):
        return pa.struct([one.with_type(_plain(one.type)) for one in kind])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_plain(kind.value_type)))
    return kind


def as_before(opened: pq.ParquetFile, data: str | None = None) -> dict[str, Any]:
    """How to write as the file was written: codecs, dictionaries, kinds of timestamps; without statistics of the `data`.

    Such statistics would be whole pictures.
    """
    meta = opened.metadata
    codecs: dict[str, str] = {}
    dictionaries: list[str] = []
    bounded: list[str] = []
    if meta.num_row_groups:
        for n in range(meta.num_columns):
            column = meta.row_group(0).column(n)
            codecs[column.path_in_schema] = "NONE" if column.compression == "UNCOMPRESSED" else column.compression
            if column.is_stats_set and column.path_in_schema != data:
                bounded.append(column.path_in_schema)
            small = column.total_uncompressed_size < (1 << 20) + 16 * meta.row_group(0).num_rows
            if small and any("DICTIONARY" in one for one in column.encodings):
                dictionaries.append(column.path_in_schema)
    int96 = any(opened.schema.column(n).physical_type == "INT96" for n in range(len(opened.schema)))
    return {
        "compression": codecs or "NONE",
        "use_dictionary": dictionaries,
        "write_statistics": bounded,
        "use_deprecated_int96_timestamps": int96,
        "store_schema": b"ARROW:schema" in (meta.metadata or {}),
    }


def text_path(path: str) -> str:
    """The path without links in it, for comparing."""
    return str(Path(path).resolve())
