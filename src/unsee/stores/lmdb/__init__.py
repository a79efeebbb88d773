"""LMDB environments as objects, their keys as members. Needs no library to look, and `lmdb` to erase."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec

import numpy as np
import pyarrow as pa

from unsee.core.errors import MissingExtra, StoreError
from unsee.core.ids import StoreId
from unsee.stores import shards, writers
from unsee.stores.contract import HeldVersion, Member, Skipped
from unsee.stores.lmdb.pages import DUPSORT, INTEGER_KEY, Environment, Tree, Value, settle
from unsee.stores.options import know, truth
from unsee.stores.rowfiles import Going, RowFile, RowFileStore, reason
from unsee.stores.rows import RowShape, names_of_bytes

_DATA, _KEY = "data", "key"
_PART_BYTES = 16 << 20
_PART_ROWS = 8192
LIMITS: tuple[str, ...] = (
    "Snapshots, backups and replicas of the file system, and copies of the environment elsewhere, are not seen and not touched.",
    "The blocks of a replaced file hold its bytes until the file system reuses or trims them.",
    "A solid-state disk may keep old blocks that no program can address.",
    "A process that had the environment open when it was replaced reads the old one until it closes it.",
    "An environment that a program has open for writing is kept: what that program writes would be lost.",
    "A program that opens it for writing in the moment between the last look and the swap gets the old environment.",
    "Encrypted environments and format versions other than 1 are refused.",
    "Values are bytes and are never unpickled.",
    "The names of environments and of the databases in them stay, also of empty ones.",
)


@dataclass(slots=True)
class Keys:
    """An open environment; a part is a run of leaf pages of one database, about 16 MB of values."""

    environment: Environment
    schema: pa.Schema = field(init=False)
    rows: Sequence[int] = field(init=False)
    databases: dict[bytes | None, Tree] = field(init=False)
    sizes: list[list[tuple[int, int]]] = field(init=False, default_factory=list)
    """Of the keys and values of each part."""
    _parts: list[tuple[bytes | None, list[int]]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.schema = pa.schema([pa.field(_DATA, pa.large_binary()), pa.field(_KEY, pa.large_string())])
        main = self.environment.main
        self.databases = {None: main}
        for leaf in self.environment.leaves(main):
            for key, value in self.environment.entries(leaf):
                if isinstance(value, Tree):
                    self.databases[key] = value
        for name, tree in self.databases.items():
            self._split(name, tree)
        self.environment.unchanged()
        self.rows = [len(sizes) for sizes in self.sizes]

    def _split(self, name: bytes | None, tree: Tree) -> None:
        held = _PART_BYTES
        for leaf in self.environment.leaves(tree):
            found = [(len(key), value.size) for key, value in self._entries(name, leaf)]
            if not found:
                continue
            if held >= _PART_BYTES or len(self.sizes[-1]) >= _PART_ROWS:
                self._parts.append((name, []))
                self.sizes.append([])
                held = 0
            self._parts[-1][1].append(leaf)
            self.sizes[-1].extend(found)
            held += sum(size for _, size in found)

    def _entries(self, name: bytes | None, leaf: int) -> Iterator[tuple[bytes, Value]]:
        for key, value in self.environment.entries(leaf):
            if isinstance(value, Value):
                yield key, value
            elif name is not None:
                raise StoreError(f"the database {name!r} holds a database, which LMDB does not do")

    def pairs(self, part: int) -> Iterator[tuple[bytes, Value]]:
        """Key and value of each row of a part."""
        name, leaves = self._parts[part]
        for leaf in leaves:
            yield from self._entries(name, leaf)

    def columns(self, part: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Names and values of a part; only the values that are asked for are read."""
        made = {}
        if _KEY in columns:
            made[_KEY] = names_of_bytes([self._named(part, key, value) for key, value in self.pairs(part)])
        if _DATA in columns:
            made[_DATA] = pa.array([self.environment.data(v) for _, v in self.pairs(part)], pa.large_binary())
        self.environment.unchanged()
        yield pa.RecordBatch.from_arrays([made[name] for name in columns], names=list(columns))

    def _named(self, part: int, key: bytes, value: Value) -> bytes:
        """The key; with its database before it, and a digest of the value behind it where one key has several values."""
        name = self._parts[part][0]
        flags = self.databases[name].flags
        text = str(int.from_bytes(key, "little")).encode() if flags & INTEGER_KEY else key
        if flags & DUPSORT:
            text += b"/" + hashlib.sha256(self.environment.data(value)).hexdigest().encode()
        return text if name is None else name + b"/" + text

    def rewrite(self, new: int, going: Going) -> Sequence[int]:
        """Write what stays into a fresh environment, and read it again; all parts of the new one."""
        from unsee.stores.lmdb import writing

        sums = [0, 0]

        def staying() -> Iterator[tuple[bytes | None, bytes, bytes]]:
            for part, (name, _) in enumerate(self._parts):
                for n, (key, value) in enumerate(self.pairs(part)):
                    if part not in going or not going[part][n]:
                        data = self.environment.data(value)
                        sums[0] = zlib.crc32(data, zlib.crc32(key, sums[0]))
                        yield name, key, data
            self.environment.unchanged()

        kept = (
            pair
            for part, sizes in enumerate(self.sizes)
            for pair, goes in zip(sizes, going.get(part, np.zeros(len(sizes), bool)).tolist(), strict=True)
            if not goes
        )
        flags = {name: tree.flags for name, tree in self.databases.items()}
        writing.write(new, flags, staying(), writing.need(kept, len(flags)))
        settle(new, commit=self.environment.commit, map_bytes=self.environment.map_bytes)
        again = Keys(Environment(new))
        for part in range(len(again.rows)):
            for key, value in again.pairs(part):
                sums[1] = zlib.crc32(again.environment.data(value), zlib.crc32(key, sums[1]))
        if sums[0] != sums[1] or {name: tree.flags for name, tree in again.databases.items()} != flags:
            raise StoreError("the new environment does not hold what the old one did; it was thrown away")
        return range(len(again.rows))


@dataclass(frozen=True, slots=True)
class LmdbFormat:
    """How `rowfiles` reads and rewrites environments."""

    kind: str = "lmdb"
    suffixes: tuple[str, ...] = (".mdb", ".lmdb")
    prefixes: tuple[str, ...] = ()
    infixes: tuple[str, ...] = ()
    limits: tuple[str, ...] = LIMITS
    part: str = "run of pages"
    method: str = "environment written anew without the keys"
    timed: bool = False
    """Environments may be written to through a mapping."""
    samples: bool = False
    """Keys are named as in WebDataset's shards: `000123.jpg` and `000123.json` are one sample."""

    @contextmanager
    def open(self, file: int) -> Iterator[Keys]:
        """The environment behind a descriptor.

        Raises:
            StoreError: it is none, is damaged, or is written to at this moment.
        """
        yield Keys(Environment(file))

    def renew_beside(self, location: str, object_name: str) -> None:
        """Nothing: the lock file names no keys, and fits the new environment."""


class LmdbStore(RowFileStore):
    """A directory tree of environments. Programs that have one open for writing keep it from being replaced."""

    __slots__ = ()

    def _list(self, name: str) -> Iterator[Member | Skipped]:
        if name.rpartition("/")[2] != "lock.mdb":
            yield from RowFileStore._list(self, name)

    def sample(self, selector: str) -> str:
        """With the option `samples`: the name up to the first dot behind its last slash, as WebDataset groups."""
        above, slash, name = selector.rpartition("/")
        stem, dot, _ = name.partition(".")
        grouped = isinstance(self.format, LmdbFormat) and self.format.samples
        return f"{above}{slash}{stem}" if dot and grouped else ""

    def tidy(self, object_names: Sequence[str]) -> tuple[str, ...]:
        """Nothing: an environment without keys is still one, and programs have it open."""
        for name in object_names:
            shards.split(name)
        return ()

    def _replace(self, object_name: str, write: Callable[[int, int], None], going: Going) -> bool:
        """Only while nobody has the old environment open for writing."""
        del going

        def alone(old: int, new: int) -> None:
            writers.keep_out(old)
            write(old, new)

        return shards.replace(self.location, object_name, alone, zero=self.zero, last=writers.still_out)

    def _holds_more(self, rows: RowFile) -> bool:
        """Free pages hold what programs deleted."""
        return isinstance(rows, Keys) and rows.environment.free

    def history(self, object_name: str) -> tuple[HeldVersion, ...]:
        """Free pages, in which what programs deleted may lie still; any `erase` of this object takes them out."""
        try:
            with shards.opened(self.location, object_name) as file:
                if file is None or not Environment(file).free:
                    return ()
        except OSError as error:
            raise self._error(object_name, f"it cannot be read: {reason(error)}") from error
        return (HeldVersion("free pages, which may hold deleted keys and values", removable=True),)


def open_lmdb(id: StoreId, location: str, options: Mapping[str, str]) -> LmdbStore:
    """Opens stores of kind `lmdb`.

    Raises:
        InvalidValue: an option is unknown or holds what it cannot hold.
        MissingExtra: lmdb is not installed.
    """
    know(options, kind="lmdb", known={"samples", "zero"})
    if find_spec("lmdb") is None:
        raise MissingExtra("lmdb", needed_for="Stores of kind 'lmdb'")
    kept = LmdbFormat(samples=truth(options, "samples"))
    return LmdbStore(id, location, kept, RowShape(_DATA, _KEY), truth(options, "zero"))
