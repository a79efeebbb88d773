"""The store of kind `delta`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from unsee.core.errors import PathEscape, StoreError
from unsee.core.evidence import Gone
from unsee.core.ids import StoreId
from unsee.stores import beneath, datafiles, rawfiles, rows
from unsee.stores.contract import (
    Capability,
    Erased,
    HeldVersion,
    Kept,
    Member,
    RawPart,
    Residue,
    Skipped,
    Target,
)
from unsee.stores.datafiles import DataFile
from unsee.stores.delta import erasing
from unsee.stores.delta import log as logs
from unsee.stores.delta.files import active_files, all_files, data_file, resolved
from unsee.stores.delta.log import Log
from unsee.stores.names import ROOT, below, components
from unsee.stores.options import know
from unsee.stores.removal import why
from unsee.stores.rowerasure import SETTLED_S, seconds
from unsee.stores.rows import RowShape

LIMITS: tuple[str, ...] = (
    "Past versions stay readable and read as if the erased rows had never been in them; a program that read the log before and "
    "still uses it finds files missing.",
    "Rows in files that a version reads through a deletion vector are kept until the table's own tool rewrites those files.",
    "A file that no version names and that is younger than the option settled_s is kept: a commit may be under way.",
    "Tables on object storage, shallow clones and files outside the table's directory are not reached.",
    "The change feed of versions before the erasure reads without the rows; counts in commit records stay as they were.",
    "The blocks of removed files hold their bytes until the file system reuses or trims them.",
    "Snapshots, backups and replicas of the file system are not seen and not touched.",
)


@dataclass(frozen=True, slots=True)
class DeltaStore:
    """Delta tables below a directory; an object is the path of a table (`.` where the location is one itself)."""

    id: StoreId
    location: str
    shape: RowShape = field(default_factory=RowShape)
    settled_s: float = SETTLED_S
    """Seconds after which a file that no version names is no part of a commit under way."""

    def capability(self) -> Capability:
        """What it can do, and what it cannot."""
        method = "files written anew without the rows, for every version that has them; old files and values in metadata removed"
        return Capability(kind="delta", best_gone=Gone.D2, keeps_history=True, limits=LIMITS, method=method)

    def scan(self) -> Iterator[Member | Skipped]:
        """Every row of the newest version of each table.

        Cost: the keys twice and the data once; without a key the data twice. 8 bytes of memory a row.
        """
        beneath.require_root(self.location)
        for found in self._tables():
            if isinstance(found, Skipped):
                yield found
                continue
            try:
                log, shape = self._open(found)
            except StoreError as error:
                yield Skipped(found, "", str(error))
                continue
            yield from self._members(found, log, shape)

    def _members(self, object_name: str, log: Log, shape: RowShape) -> Iterator[Member | Skipped]:
        if log.vectored & set(log.active):
            yield Skipped(object_name, "", "files are read through deletion vectors, which unsee does not read")
            return
        reasons: dict[str, str] = {}
        files: list[DataFile] = []
        for path, file in active_files(log, shape):
            if file is None:
                reasons[path] = f"the data file {path!r} lies outside the table's directory"
            else:
                files.append(file)
        yield from datafiles.members(object_name, files, lambda file, error: reasons.update({file.path: str(error)}))
        unnamed = 0
        for file in files:
            if file.path not in reasons:
                unnamed += datafiles.nameless(file)
        if unnamed:
            reasons[""] = shape.why_nameless(unnamed)
        yield from (Skipped(object_name, "", reason) for reason in reasons.values())

    def read(self, object_name: str, selector: str, *, limit_bytes: int | None = None) -> bytes:
        """The data of the row; of the first one, where several rows have this key.

        Cost: the key column of the row groups that may hold it, then one row group.
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
        yield from datafiles.read_many(self._active(object_name), selectors, limit_bytes, f"{self.id}: {object_name!r}")

    def stamps(self, object_name: str, selectors: Sequence[str]) -> list[str | None]:
        """A digest of each row's data. Reads the data of the row groups that hold them."""
        return datafiles.member_stamps(self._active(object_name), selectors)

    def _active(self, object_name: str) -> Iterator[DataFile]:
        opened = self._at(object_name)
        if opened is not None:
            yield from (file for _, file in active_files(*opened) if file is not None)

    def erase(self, object_name: str, targets: Sequence[Target]) -> Erased:
        """Take the rows out of the newest version and of every past one.

        Cost: the key column of every data file; each file that holds a row is written again without it. Memory: about 64 MB of
        rows. Disk: the copies beside the old files until the commit.
        """
        components(object_name)
        beneath.require_root(self.location)
        if not self._is_table(object_name):
            return Erased((), tuple(dict.fromkeys(t.selector for t in targets)), (), Gone.D2)
        try:
            log, shape = self._open(object_name)
            return erasing.erase(log.table, shape, targets, self.settled_s)
        except (StoreError, OSError) as error:
            if isinstance(error, PathEscape):
                raise
            reason = str(error) if isinstance(error, StoreError) else why(error)
            names = dict.fromkeys(t.selector for t in targets)
            return Erased((), (), tuple(Kept(name, reason) for name in names), Gone.D2)

    def probe(self, object_name: str, selectors: Sequence[str]) -> tuple[Residue, ...]:
        """Which rows any data file below the table still holds, of whatever version or none.

        Raises:
            StoreError: the log or a data file cannot be read; not seeing is not the same as not there.
        """
        opened = self._at(object_name)
        if opened is None:
            return ()
        log, shape = opened
        left: dict[tuple[str, str], None] = {}
        for found in all_files(log):
            for selector in datafiles.look(data_file(log, shape, found), set(selectors)).selectors():
                if found.path in log.active:
                    where = "current"
                else:
                    where = f"{found.name}, of " + ("a past version" if found.path is not None else "no version")
                left[selector, where] = None
        return tuple(
            Residue(selector, where) for selector in dict.fromkeys(selectors) for s, where in left if s == selector
        )

    def raw(self) -> Iterator[RawPart | Skipped]:
        """Every file below the location: data, log, checkpoints, deletion vectors, left-overs."""
        return rawfiles.parts(self.location)

    def tidy(self, object_names: Sequence[str]) -> tuple[str, ...]:
        """Nothing: an empty table is a table still."""
        for name in object_names:
            components(name)
        return ()

    def history(self, object_name: str) -> tuple[HeldVersion, ...]:
        """The past versions that the log still has. What `erase` took is in none of them."""
        opened = self._at(object_name)
        if opened is None:
            return ()
        log, _ = opened
        return tuple(HeldVersion(f"version {v}", removable=True) for v in log.versions if v < log.version)

    def _tables(self) -> Iterator[str | Skipped]:
        pending = [ROOT]
        while pending:
            object_name = pending.pop()
            if self._is_table(object_name):
                yield object_name
                continue
            try:
                with beneath.directory(self.location, object_name) as directory:
                    if directory is None:
                        continue
                    with os.scandir(directory) as entries:
                        inner = sorted(
                            e.name for e in entries if e.is_dir(follow_symlinks=False) and e.name[0] not in "._"
                        )
            except (OSError, PathEscape) as error:
                yield Skipped(object_name, "", f"the directory cannot be listed: {why(error)}")
                continue
            pending.extend(below(object_name, name) for name in reversed(inner))

    def _is_table(self, object_name: str) -> bool:
        with beneath.directory(self.location, ROOT if object_name == ROOT else object_name) as directory:
            if directory is None:
                return False
        return os.path.isdir(os.path.join(self._place(object_name), logs.LOG))

    def _place(self, object_name: str) -> str:
        return os.path.join(os.path.abspath(self.location), *(os.fsdecode(part) for part in components(object_name)))

    def _open(self, object_name: str) -> tuple[Log, RowShape]:
        log = logs.read(self._place(object_name))
        return log, resolved(log.table, log, self.shape)

    def _at(self, object_name: str) -> tuple[Log, RowShape] | None:
        components(object_name)
        beneath.require_root(self.location)
        return self._open(object_name) if self._is_table(object_name) else None


def open_store(id: StoreId, location: str, options: Mapping[str, str]) -> DeltaStore:
    """As `unsee.stores.delta.open_delta`."""
    know(options, kind="delta", known={*rows.OPTIONS, "settled_s"})
    return DeltaStore(id, location, rows.options(options), seconds(options, "settled_s", SETTLED_S))
