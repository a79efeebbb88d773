"""The store of kind `iceberg`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from pyiceberg.exceptions import NoSuchNamespaceError

from unsee.core.errors import InvalidValue, PathEscape, StoreError, StoreUnreachable
from unsee.core.evidence import Gone
from unsee.core.ids import StoreId
from unsee.stores import beneath, datafiles, rawfiles, rows
from unsee.stores.contract import Capability, Erased, HeldVersion, Kept, Member, RawPart, Residue, Skipped, Target
from unsee.stores.iceberg import erasing, tables
from unsee.stores.iceberg.tables import Catalogue, State, local
from unsee.stores.names import component
from unsee.stores.options import know
from unsee.stores.removal import why
from unsee.stores.rowerasure import SETTLED_S, seconds
from unsee.stores.rows import RowShape

LIMITS: tuple[str, ...] = (
    "Past snapshots, tags and branches stay readable and read as if the erased rows had never been in them; a program that read "
    "the table's metadata before and still uses it finds files missing.",
    "Tables with position or equality delete files are kept until the table's own tool has rewritten their data files.",
    "A file that no snapshot names and that is younger than the option settled_s is kept: a commit may be under way.",
    "Tables and data files on object storage or outside the location of the store are not reached; nor is format version 3.",
    "Summaries of snapshots keep their counts, and with write.summary.partition-limit the names of partitions.",
    "The blocks of removed files hold their bytes until the file system reuses or trims them.",
    "Snapshots, backups and replicas of the file system and of the catalog are not seen and not touched.",
)


@dataclass(frozen=True, slots=True)
class IcebergStore:
    """The tables of an Iceberg catalog that lie below a directory; an object is `namespace.table`."""

    id: StoreId
    location: str
    catalogue: Catalogue
    table: str | None = None
    """Only this table of the catalog."""
    shape: RowShape = field(default_factory=RowShape)
    settled_s: float = SETTLED_S
    """Seconds after which a file that no snapshot names is no part of a commit under way."""

    def capability(self) -> Capability:
        """What it can do, and what it cannot."""
        method = "files written anew without the rows, for every snapshot that has them; old files and values in metadata removed"
        return Capability(kind="iceberg", best_gone=Gone.D2, keeps_history=True, limits=LIMITS, method=method)

    def scan(self) -> Iterator[Member | Skipped]:
        """Every row of the current snapshot of each table.

        Cost: the keys twice and the data once; without a key the data twice. 8 bytes of memory a row.
        """
        beneath.require_root(self.location)
        for object_name in self._names():
            try:
                with self._state(object_name) as state:
                    if state is not None:
                        yield from self._members(object_name, state)
            except StoreError as error:
                yield Skipped(object_name, "", str(error))

    def _members(self, object_name: str, state: State) -> Iterator[Member | Skipped]:
        if state.table.metadata.current_snapshot_id in state.deletes:
            yield Skipped(object_name, "", "it is read through delete files, which unsee does not read")
            return
        reasons: dict[str, str] = {}
        files = []
        for place in _places(state, state.current()):
            try:
                files.append(state.data_file(place))
            except StoreError as error:
                reasons[place] = str(error)
        yield from datafiles.members(object_name, files, lambda file, error: reasons.update({file.path: str(error)}))
        unnamed = sum(datafiles.nameless(file) for file in files if file.path not in reasons)
        if unnamed:
            reasons[""] = state.shape.why_nameless(unnamed)
        yield from (Skipped(object_name, "", reason) for reason in reasons.values())

    def read(self, object_name: str, selector: str, *, limit_bytes: int | None = None) -> bytes:
        """The data of the row; of the first one, where several rows have this key.

        Cost: all metadata of the table, the key column of the row groups that may hold it, then one row group.
        """
        for _, data in self.read_many(object_name, [selector], limit_bytes=limit_bytes):
            if isinstance(data, StoreError):
                raise data
            return data
        raise StoreError(f"{self.id}: there is no row {selector!r} in {object_name!r}.")

    def read_many(
        self, object_name: str, selectors: Sequence[str], *, limit_bytes: int | None = None
    ) -> Iterator[tuple[str, bytes | StoreError]]:
        """As `read`, going through each file once."""
        with self._at(object_name) as state:
            files = (state.data_file(p) for p in _places(state, state.current())) if state is not None else ()
            yield from datafiles.read_many(files, selectors, limit_bytes, f"{self.id}: {object_name!r}")

    def stamps(self, object_name: str, selectors: Sequence[str]) -> list[str | None]:
        """A digest of each row's data. Reads the data of the row groups that hold them."""
        with self._at(object_name) as state:
            files = (state.data_file(p) for p in _places(state, state.current())) if state is not None else ()
            return datafiles.member_stamps(files, selectors)

    def erase(self, object_name: str, targets: Sequence[Target]) -> Erased:
        """Take the rows out of the current snapshot, and of every past one, tag and branch.

        Cost: all metadata of the table, the key column of every data file; each file that holds a row is written again without it.
        Memory: about 64 MB of rows. Disk: the copies beside the old files until the commit.
        """
        component(object_name)
        beneath.require_root(self.location)
        names = tuple(dict.fromkeys(target.selector for target in targets))
        try:
            with self.catalogue.opened() as catalog:
                if not self._is_ours(object_name) or tables.table_of(catalog, object_name) is None:
                    return Erased((), names, (), Gone.D2)

                load = partial(tables.still_there, catalog, object_name)
                outcome = erasing.erase(load, self.shape, os.path.abspath(self.location), targets, self.settled_s)
                self.catalogue.flush()
                return outcome
        except (PathEscape, StoreUnreachable):
            raise
        except (StoreError, OSError) as error:
            reason = str(error) if isinstance(error, StoreError) else why(error)
            return Erased((), (), tuple(Kept(name, reason) for name in names), Gone.D2)

    def probe(self, object_name: str, selectors: Sequence[str]) -> tuple[Residue, ...]:
        """Which rows any data file of the table still holds, of whatever snapshot or none.

        Raises:
            StoreError: metadata or a data file cannot be read; not seeing is not the same as not there.
        """
        left: dict[tuple[str, str], None] = {}
        with self._at(object_name) as state:
            if state is None:
                return ()
            current = state.current()
            for found in erasing.all_files(state):
                for selector in datafiles.look(state.data_file(found.place), set(selectors)).selectors():
                    if found.path in current:
                        where = "current"
                    else:
                        where = f"{found.name}, of " + ("a past snapshot" if found.path is not None else "no snapshot")
                    left[selector, where] = None
        return tuple(
            Residue(selector, where) for selector in dict.fromkeys(selectors) for s, where in left if s == selector
        )

    def raw(self) -> Iterator[RawPart | Skipped]:
        """Every file below the location: data, manifests, metadata, delete files, statistics, left-overs."""
        return rawfiles.parts(self.location)

    def tidy(self, object_names: Sequence[str]) -> tuple[str, ...]:
        """Nothing: an empty table is a table still."""
        for name in object_names:
            component(name)
        return ()

    def history(self, object_name: str) -> tuple[HeldVersion, ...]:
        """The past snapshots, with the tags and branches that hold them. What `erase` took is in none of them."""
        with self._at(object_name) as state:
            if state is None:
                return ()
            metadata = state.table.metadata
            held: dict[int, list[str]] = {}
            for name, ref in metadata.refs.items():
                held.setdefault(ref.snapshot_id, []).append(f"{ref.snapshot_ref_type} {name}")
            return tuple(
                HeldVersion(
                    ", ".join([f"snapshot {one.snapshot_id}", *sorted(held.get(one.snapshot_id, []))]), removable=True
                )
                for one in metadata.snapshots
                if one.snapshot_id != metadata.current_snapshot_id
            )

    def _names(self) -> list[str]:
        if self.table is not None:
            return [self.table]
        found: list[str] = []
        with self.catalogue.opened() as catalog:
            pending = list(catalog.list_namespaces())
            while pending:
                namespace = pending.pop()
                try:
                    found.extend(".".join(one) for one in catalog.list_tables(namespace))
                    pending.extend(one for one in catalog.list_namespaces(namespace) if len(one) > len(namespace))
                except NoSuchNamespaceError:
                    continue  # dropped meanwhile
        return sorted(set(found))

    def _is_ours(self, object_name: str) -> bool:
        return self.table is None or self.table == object_name

    @contextmanager
    def _state(self, object_name: str) -> Iterator[State | None]:
        with self.catalogue.opened() as catalog:
            found = tables.table_of(catalog, object_name) if self._is_ours(object_name) else None
            yield tables.read(found, self.shape) if found is not None else None

    @contextmanager
    def _at(self, object_name: str) -> Iterator[State | None]:
        component(object_name)
        beneath.require_root(self.location)
        with self._state(object_name) as state:
            yield state


def _places(state: State, paths: set[str]) -> Iterator[str]:
    """Where these data files lie.

    Raises:
        StoreError: not on this machine.
    """
    for path in sorted(paths):
        place = local(path)
        if place is None:
            raise StoreError(
                f"The data file {path!r} of {state.table.location()!r} is not on this machine's file systems."
            )
        yield place


def open_store(id: StoreId, location: str, options: Mapping[str, str]) -> IcebergStore:
    """As `unsee.stores.iceberg.open_iceberg`."""
    know(options, kind="iceberg", known={*rows.OPTIONS, "catalog", "catalog_name", "table", "settled_s"})
    if not options.get("catalog"):
        raise InvalidValue(
            "Stores of kind 'iceberg' need the option catalog.",
            next_step="Write catalog=sqlite:////path/catalog.db, a PostgreSQL URI, name=value properties with commas between, or "
            "the name of a catalog in .pyiceberg.yaml.",
        )
    return IcebergStore(
        id,
        location,
        Catalogue(options["catalog"], options.get("catalog_name", "default")),
        options.get("table"),
        rows.options(options),
        seconds(options, "settled_s", SETTLED_S),
    )
