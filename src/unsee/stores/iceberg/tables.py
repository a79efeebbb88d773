"""A table of an Iceberg catalog as it stands: its snapshots, the manifests they list, and the data files those name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pyarrow as pa
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import DataFile as IcebergFile
from pyiceberg.manifest import ManifestContent, ManifestEntry, ManifestEntryStatus, ManifestFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.refs import SnapshotRefType
from sqlalchemy.exc import SQLAlchemyError

from unsee.core.errors import StoreError, StoreUnreachable
from unsee.stores import datafiles
from unsee.stores.datafiles import DataFile
from unsee.stores.rows import RowShape

SQL = ("sqlite:", "postgresql:", "postgresql+")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """How the catalog is reached."""

    spelled: str
    """A SQLAlchemy URI, `name=value` properties with commas between, or the name of a catalog in `.pyiceberg.yaml`."""
    name: str = "default"

    @contextmanager
    def opened(self) -> Iterator[Catalog]:
        """The catalog. It is never created.

        Raises:
            StoreUnreachable: it is not there, or cannot be talked to.
        """
        try:
            catalog = self._load()
        except (SQLAlchemyError, OSError, ValueError) as error:
            raise _unreachable(str(error)) from error
        try:
            yield catalog
        except SQLAlchemyError as error:
            raise _unreachable(str(error)) from error
        finally:
            with suppress(Exception):
                catalog.close()

    def flush(self) -> None:
        """Wait until the disk has the directory of a catalog in SQLite, which goes on where its own flush of that fails.

        Raises:
            OSError: the disk does not confirm it.
        """
        if path := self._file():
            datafiles.flush(os.path.dirname(os.path.abspath(path)))

    def _file(self) -> str:
        """The database file of a catalog in SQLite; empty where the catalog is another one."""
        uri = self.spelled if self.spelled.startswith(SQL) else properties(self.spelled).get("uri", "")
        return uri.removeprefix("sqlite:///").partition("?")[0] if uri.startswith("sqlite:///") else ""

    def _load(self) -> Catalog:
        if (path := self._file()) and not os.path.isfile(path):
            raise _unreachable(f"there is no file {path!r}")
        if self.spelled.startswith(SQL):
            return load_catalog(self.name, type="sql", uri=self.spelled, init_catalog_tables="false")
        if "=" in self.spelled:
            return load_catalog(self.name, **properties(self.spelled))
        return load_catalog(self.spelled)


def properties(spelled: str) -> dict[str, str]:
    """`name=value` pairs with commas between."""
    pairs = (pair.partition("=") for pair in spelled.split(","))
    return {name.strip(): value.strip() for name, _, value in pairs if name.strip()}


def _unreachable(what: str) -> StoreUnreachable:
    return StoreUnreachable(
        f"The Iceberg catalog cannot be reached: {what.splitlines()[0][:300]}.",
        next_step="Check the option catalog, and that the database runs; an absent catalog is never taken for an empty one.",
    )


def table_of(catalog: Catalog, object_name: str) -> Table | None:
    """The table of this name; None where the catalog has none.

    Raises:
        StoreError: its metadata cannot be read.
    """
    identifier = tuple(object_name.split("."))
    if len(identifier) < 2 or not all(identifier):
        return None
    try:
        return catalog.load_table(identifier)
    except (NoSuchTableError, NoSuchNamespaceError):
        return None
    except (OSError, ValueError) as error:
        raise _damaged(object_name, error) from error


def still_there(catalog: Catalog, object_name: str) -> Table:
    """The table as the catalog has it now.

    Raises:
        StoreError: it was dropped, or its metadata cannot be read.
    """
    found = table_of(catalog, object_name)
    if found is None:
        raise StoreError(f"The table {object_name!r} was dropped meanwhile.", next_step="Scan the store again.")
    return found


def local(path: str) -> str | None:
    """Where a file of the table lies on this machine; None where it lies elsewhere."""
    if path.startswith("file:"):
        plain = path.removeprefix("file:")
        return "/" + plain.lstrip("/")
    return path if path.startswith("/") else None


@dataclass(slots=True)
class State:
    """What the snapshots of a table name."""

    table: Table
    shape: RowShape
    files: dict[str, IcebergFile] = field(default_factory=dict)
    """Every data file that any snapshot's manifests name, removed ones too, by path."""
    live: dict[int, set[str]] = field(default_factory=dict)
    """Snapshot to the data files that it reads."""
    lists: dict[int, tuple[ManifestFile, ...]] = field(default_factory=dict)
    """Snapshot to the manifests that it lists."""
    entries: dict[str, list[ManifestEntry]] = field(default_factory=dict)
    """Manifest to its entries."""
    deletes: set[int] = field(default_factory=set)
    """Snapshots that read through position or equality delete files."""

    @property
    def place(self) -> str:
        """Where the table lies.

        Raises:
            StoreError: not on this machine.
        """
        at = local(self.table.location())
        if at is None:
            raise StoreError(
                f"The table lies at {self.table.location()!r}, which is not on this machine's file systems.",
                next_step="Only tables whose files this machine can open as files can be erased from.",
            )
        return at.rstrip("/")

    def heads(self) -> dict[str, int]:
        """Branch to its newest snapshot."""
        refs = self.table.metadata.refs
        return {n: ref.snapshot_id for n, ref in refs.items() if ref.snapshot_ref_type == SnapshotRefType.BRANCH}

    def current(self) -> set[str]:
        """The data files of the table as readers see it."""
        now = self.table.metadata.current_snapshot_id
        return self.live.get(now, set()) if now is not None else set()

    def mentions(self, manifest: ManifestFile, paths: Mapping[str, object]) -> bool:
        """Whether a manifest names one of these data files."""
        return any(entry.data_file.file_path in paths for entry in self.entries[manifest.manifest_path])

    def referred(self) -> set[str]:
        """Every file that the table's metadata names, as places on this machine."""
        metadata = self.table.metadata
        named = {*self.files, *self.entries, self.table.metadata_location}
        named |= {snapshot.manifest_list for snapshot in metadata.snapshots}
        named |= {entry.metadata_file for entry in metadata.metadata_log}
        named |= {one.statistics_path for one in getattr(metadata, "statistics", None) or ()}
        named |= {one.statistics_path for one in getattr(metadata, "partition_statistics", None) or ()}
        return {place for path in named if path and (place := local(path)) is not None}

    def data_file(self, place: str) -> DataFile:
        """How members are found in this file: columns go by their ids, whatever they were called when it was written."""
        with datafiles.reading(place) as opened:
            schema = opened.schema_arrow
        columns = [
            _physical(self.table.schema(), schema, one) if one else None for one in (self.shape.data, self.shape.key)
        ]
        return DataFile(place, RowShape(*columns))


def read(table: Table, shape: RowShape) -> State:
    """The table's metadata, every manifest list and every manifest.

    Raises:
        StoreError: one of them is missing or damaged.
    """
    resolved = shape.resolved(schema_to_pyarrow(table.schema(), include_field_ids=False))
    state = State(table, resolved)
    try:
        for snapshot in table.metadata.snapshots:
            manifests = tuple(snapshot.manifests(table.io))
            state.lists[snapshot.snapshot_id] = manifests
            live = state.live.setdefault(snapshot.snapshot_id, set())
            for manifest in manifests:
                if manifest.manifest_path not in state.entries:
                    state.entries[manifest.manifest_path] = manifest.fetch_manifest_entry(
                        table.io, discard_deleted=False
                    )
                if manifest.content != ManifestContent.DATA:
                    state.deletes.add(snapshot.snapshot_id)
                    continue
                for entry in state.entries[manifest.manifest_path]:
                    state.files.setdefault(entry.data_file.file_path, entry.data_file)
                    if entry.status != ManifestEntryStatus.DELETED:
                        live.add(entry.data_file.file_path)
    except (OSError, ValueError, EOFError, AssertionError, pa.ArrowException) as error:
        raise _damaged(".".join(table.name()), error) from error
    return state


def _damaged(name: str, error: Exception) -> StoreError:
    return StoreError(
        f"The metadata of the Iceberg table {name!r} cannot be read: {str(error)[:300] or type(error).__name__}.",
        next_step="Restore its metadata files, or roll the table back with its own tool, and try again.",
    )


def _physical(schema: Schema, fields: pa.Schema | pa.StructType, column: str) -> str:
    """The name of a column in one data file."""
    names = []
    steps = column.split(".")
    for depth in range(len(steps)):
        wanted = str(schema.find_field(".".join(steps[: depth + 1])).field_id).encode()
        here = list(fields)
        ids = {(one.metadata or {}).get(b"PARQUET:field_id"): one for one in here}
        one = ids.get(wanted)
        if one is None:
            if any(key is not None for key in ids):
                return f"\0{column}"  # the file was written before the column was added
            one = next((other for other in here if other.name == steps[depth]), None)
            if one is None:
                return f"\0{column}"
        names.append(one.name)
        fields = one.type
    return ".".join(names)
