"""TFRecord and RecordIO files as objects, their records as members."""

from __future__ import annotations

import os
import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from unsee.core.errors import InvalidValue, StoreError
from unsee.core.ids import StoreId
from unsee.stores import shards
from unsee.stores.options import know, truth
from unsee.stores.rowfiles import Going, RowFileStore
from unsee.stores.rows import RowShape, names_of_bytes
from unsee.stores.tfrecord import examples, framing, indexes

PICTURE = "image/encoded"
RECORD = "record"
"""`data=record`: the record as it is, whatever it holds."""
_PART_BYTES = 16 << 20
_PART_RECORDS = 8192
_DATA, _KEY = "data", "key"
LIMITS: tuple[str, ...] = (
    "Snapshots, backups and replicas of the file system are not seen and not touched.",
    "The blocks of a replaced file hold its bytes until the file system reuses or trims them.",
    "A solid-state disk may keep old blocks that no program can address.",
    "A process that had the file open when it was replaced can read the old one until it closes it.",
    "A program that opens a file by its name and then asks for its size by name (the package `tfrecord`) may miss the last records "
    "where the file was replaced in between.",
    "An index beside the file is renewed right after it: a program that opens both in that moment has places of the old file.",
    "Checksums show damage, not a change by somebody who writes them anew; RecordIO has none.",
    "Caches that readers write elsewhere (tf.data `cache`, `snapshot`) are not seen.",
)


@dataclass(slots=True)
class RecordFile:
    """An open file of records; a part is a stretch of about 16 MB."""

    file: int
    shape: RowShape
    frames: framing.Framing
    source: framing.Plain | framing.Inflated = field(init=False)
    bounds: array[int] = field(init=False)
    schema: pa.Schema = field(init=False)
    rows: Sequence[int] = field(init=False)
    _starts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.source = framing.source_of(self.file)
        self.bounds = framing.bounds(self.source, self.frames)
        key = [] if self.shape.key is None else [pa.field(_KEY, pa.large_string())]
        self.schema = pa.schema([pa.field(_DATA, pa.large_binary()), *key])
        self._starts = [0]
        for n, end in enumerate(self.bounds[1:], start=1):
            begun = self._starts[-1]
            if end - self.bounds[begun] >= _PART_BYTES or n - begun >= _PART_RECORDS:
                self._starts.append(n)
        if self._starts[-1] != len(self.bounds) - 1:
            self._starts.append(len(self.bounds) - 1)
        self.rows = np.diff(self._starts).tolist()

    def records(self, part: int) -> Iterator[tuple[int, bytes]]:
        """Where each record of a part begins, and what it holds, its checksum compared."""
        first, last = self._starts[part], self._starts[part + 1]
        start = self.bounds[first]
        whole = memoryview(self.source.read(start, self.bounds[last] - start))
        for n in range(first, last):
            raw = bytes(whole[self.bounds[n] - start : self.bounds[n + 1] - start])
            yield self.bounds[n], self.frames.payload(raw, self.bounds[n])

    def columns(self, part: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Picture or key of each record of a part, or both."""
        found = [self._cells(record, start) for start, record in self.records(part)]
        made: dict[str, Callable[[], pa.Array]] = {
            _DATA: lambda: pa.array([data for data, _ in found], pa.large_binary()),
            _KEY: lambda: names_of_bytes([key for _, key in found]),
        }
        yield pa.RecordBatch.from_arrays([made[name]() for name in columns], names=list(columns))

    def _cells(self, record: bytes, start: int) -> tuple[bytes | None, bytes | None]:
        wanted, key = self.shape.data, self.shape.key
        if isinstance(self.frames, framing.RecordIo):
            if wanted == RECORD:
                return record, None
            number, picture = examples.unpacked(record, start)
            return picture, number
        try:
            data = None if wanted == RECORD else examples.feature(record, (wanted or PICTURE).encode())
            named = None if key is None else examples.feature(record, key.encode())
        except ValueError as error:
            if wanted is None and key is None:
                return record, None
            raise StoreError(f"the record at byte {start:,}: {error}") from None
        return (record if data is None and wanted in {None, RECORD} else data), named

    def kept(self, going: Going) -> Iterator[tuple[int, int]]:
        """The stretches that stay: first record, one past the last."""
        stays = self.staying(going)
        edges = np.flatnonzero(np.diff(np.concatenate(([0], stays.view(np.int8), [0]))))
        yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)

    def staying(self, going: Going) -> np.ndarray[Any, Any]:
        """One bool a record."""
        stays = np.ones(len(self.bounds) - 1, dtype=bool)
        for part, mask in going.items():
            stays[self._starts[part] : self._starts[part + 1]] = ~mask
        return stays

    def rewrite(self, new: int, going: Going) -> Sequence[int]:
        """Copy what stays as bytes; a file that is compressed as a whole is compressed anew. No record is made anew."""
        if isinstance(self.source, framing.Plain):
            for first, last in self.kept(going):
                start = self.bounds[first]
                shards.copy_range(self.file, new, start, self.bounds[last] - start)
            return []
        level = {2: 9, 4: 1}.get(os.pread(self.file, 9, 0)[-1], 6) if self.source.bits == 31 else 6
        encoder = zlib.compressobj(level, wbits=self.source.bits)
        with os.fdopen(os.dup(new), "wb") as writing:
            for first, last in self.kept(going):
                at = self.bounds[first]
                while at < self.bounds[last]:
                    piece = self.source.read(at, min(1 << 20, self.bounds[last] - at))
                    writing.write(encoder.compress(piece))
                    at += len(piece)
            writing.write(encoder.flush())
        return []


@dataclass(frozen=True, slots=True)
class RecordFormat:
    """How `rowfiles` reads and rewrites records."""

    shape: RowShape
    kind: str = "tfrecord"
    suffixes: tuple[str, ...] = tuple(
        f"{plain}{packed}"
        for plain in (".tfrecord", ".tfrecords", ".tfrec", ".rec")
        for packed in ("", ".gz", ".zlib", ".zz")
    )
    prefixes: tuple[str, ...] = ()
    infixes: tuple[str, ...] = (".tfrecord-", ".tfrecords-")
    """In the names of files of a split: `train.tfrecord-00000-of-00010`."""
    limits: tuple[str, ...] = LIMITS
    part: str = "stretch of records"
    method: str = "file written anew without the records, the others copied as bytes"
    timed: bool = True

    @contextmanager
    def open(self, file: int) -> Iterator[RecordFile]:
        """The records behind a descriptor.

        Raises:
            StoreError: they do not follow one another as records do.
        """
        yield RecordFile(file, self.shape, self.frames_of(file))

    def frames_of(self, file: int) -> framing.Framing:
        """RecordIO where it begins with its magic number, else TFRecord."""
        head = framing.source_of(file).read(0, 4)
        return framing.RecordIo() if head == framing.JOINT else framing.TfRecords()

    def renew_beside(self, location: str, object_name: str) -> None:
        """Bring the indexes beside the file in line."""
        with shards.opened(location, object_name) as file:
            if file is None:
                return
            indexes.settle(location, object_name, os.fstat(file).st_ino)
            kind = self.frames_of(file)
            source = framing.source_of(file)
            if isinstance(source, framing.Inflated) or isinstance(kind, framing.RecordIo):
                return
            if any(indexes.read(location, name) is not None for name in indexes.beside(object_name)):
                indexes.by_place(location, object_name, framing.bounds(source, kind))


class RecordStore(RowFileStore):
    """A directory tree of record files."""

    __slots__ = ()

    def _replace(self, object_name: str, write: Callable[[int, int], None], going: Going) -> bool:
        """With MXNet's index, the one that fits the new file is on the disk before that takes its place."""
        index = indexes.keyed(self.location, object_name)

        def both(old: int, new: int) -> None:
            write(old, new)
            if index is not None:
                with self.format.open(old) as before, self.format.open(new) as after:
                    if not isinstance(before, RecordFile) or not isinstance(after, RecordFile):
                        return
                    moved = indexes.moves(before.bounds, after.bounds, before.staying(going).tolist())
                indexes.stage(self.location, index[0], os.fstat(new).st_ino, indexes.without(index[1], moved))

        return shards.replace(self.location, object_name, both, zero=self.zero)


def open_tfrecord(id: StoreId, location: str, options: Mapping[str, str]) -> RecordStore:
    """Opens stores of kind `tfrecord`.

    Raises:
        InvalidValue: an option is unknown or holds what it cannot hold.
    """
    know(options, kind="tfrecord", known={"data", "key", "prefix", "zero"})
    for name in ("data", "key"):
        if name in options and not options[name].strip():
            raise InvalidValue(f"{name}= names no feature.", next_step=f"Write {name}=FEATURE, or leave it out.")
    named = RowShape(options.get("data"), options.get("key"))
    columns = RowShape(_DATA, None if named.key is None else _KEY)
    prefixes = tuple(filter(None, options.get("prefix", "").split(",")))
    return RecordStore(id, location, RecordFormat(named, prefixes=prefixes), columns, truth(options, "zero"))
