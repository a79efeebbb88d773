"""Lance datasets and LanceDB tables: each dataset is an object, each row a member.

The location is a directory that holds datasets (`*.lance`; a LanceDB database is one), at any depth, or is a dataset itself (object
`.`). `rows` says how rows are named. `erasing` says in which order rows go.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from unsee.core.errors import StoreError
from unsee.core.evidence import Gone
from unsee.core.ids import StoreId
from unsee.stores import rawfiles, rows
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
    same_stamp,
)
from unsee.stores.lance import erasing, tables
from unsee.stores.lance.places import Places
from unsee.stores.lance.tables import Trouble
from unsee.stores.rows import RowShape

_HASHERS = 4
LIMITS: tuple[str, ...] = (
    "Versions that no tag holds can no longer be read after an erasure, nor detached ones; those erased with are named.",
    "A tagged version keeps its number and its tag and loses the rows; it loses its indexes too.",
    "Every index of a dataset is built again when rows go; where that fails, too few rows for one, it is dropped and named.",
    "An index that somebody else's compaction carried over may keep what it learned of rows that were deleted before; it is built "
    "again when this store finds anything to do in the dataset.",
    "A dataset with files that have other hard links, or with rows that wait in a log, is not erased from.",
    "A dataset with branches, a shallow clone, and the source of a shallow clone in the same store are not erased from; clones "
    "elsewhere are not seen and would lose their files.",
    "Nobody else may write to the dataset meanwhile: files of a commit in progress are swept away.",
    "A reader that holds an old version open gets an error for files that are gone, never other bytes, and has to open it again.",
    "Blobs that a row only refers to, outside the dataset, are not touched.",
    "A dataset that lost its last row stays, with its name and its columns.",
    "The blocks of removed files hold their bytes until the file system reuses or trims them.",
    "Snapshots, backups and replicas of the file system are not seen and not touched.",
)


@dataclass(frozen=True, slots=True)
class LanceStore:
    """A directory of Lance datasets as a store. With `keep_tags`, tagged versions stay readable without the rows."""

    id: StoreId
    location: str
    shape: RowShape = field(default_factory=RowShape)
    keep_tags: bool = True

    def capability(self) -> Capability:
        """D2: what is removed is unlinked, not overwritten."""
        method = "rows deleted, the fragments and tagged versions that held them written anew, old versions removed"
        return Capability(kind="lance", best_gone=Gone.D2, keeps_history=self.keep_tags, limits=LIMITS, method=method)

    def scan(self) -> Iterator[Member | Skipped]:
        """Every row of the newest version of every dataset, in the order that they lie in. Reads the data, for size and stamp.

        Memory: a batch of 16 MB, and the names of one dataset's rows. Rows of one name are one member, shown by the first.
        """
        for found in tables.find(self.location):
            if isinstance(found, Skipped):
                yield found
                continue
            try:
                yield from self._members(found)
            except Trouble as trouble:
                yield Skipped(found, "", str(trouble))

    def _members(self, object_name: str) -> Iterator[Member | Skipped]:
        path = tables.place(self.location, object_name)
        if path is None:
            return
        dataset = tables.opened(path)
        shape = tables.resolved(dataset, self.shape)
        seen: set[str] = set()
        nameless = 0
        stamping = _Stamping(Places(path, dataset, shape), shape)
        with ThreadPoolExecutor(_hashers()) as pool:
            for batch in tables.batches(dataset, shape, data=True, addresses=True):
                nameless += shape.nameless(batch)
                for selector, size, stamp in stamping.stamps(batch, None, pool):
                    if selector not in seen:
                        seen.add(selector)
                        yield Member(object_name, selector, size, stamp)
        if nameless:
            yield Skipped(object_name, "", shape.why_nameless(nameless))

    def read(self, object_name: str, selector: str, *, limit_bytes: int | None = None) -> bytes:
        """The data of one row.

        Raises:
            PathEscape: the name leads out of the store.
            StoreError: it is not there, is larger than `limit_bytes`, or cannot be read.
        """
        for _, data in self.read_many(object_name, [selector], limit_bytes=limit_bytes):
            if isinstance(data, StoreError):
                raise data
            return data
        raise self._absent(object_name, selector)

    def read_many(
        self, object_name: str, selectors: Sequence[str], *, limit_bytes: int | None = None
    ) -> Iterator[tuple[str, bytes | StoreError]]:
        """The data of many rows in one pass, in the order that they lie in; then those that are not there."""
        waiting = dict.fromkeys(selectors)
        try:
            for selector, data in self._views(object_name, selectors):
                if selector not in waiting:
                    continue
                del waiting[selector]
                if limit_bytes is not None and len(data) > limit_bytes:
                    yield (
                        selector,
                        StoreError(f"{self.id}: {selector!r} in {object_name!r} is larger than {limit_bytes:,} bytes."),
                    )
                else:
                    yield selector, bytes(data)
        except Trouble as trouble:
            for selector in waiting:
                yield selector, self._error(object_name, trouble)
            return
        for selector in waiting:
            yield selector, self._absent(object_name, selector)

    def stamps(self, object_name: str, selectors: Sequence[str]) -> list[str | None]:
        """The digest of each row's data, and where it lies. Reads the data of the rows asked for; without a key, of all.

        Raises:
            StoreError: the dataset cannot be read.
        """
        try:
            found = self._stamps(object_name, selectors)
        except Trouble as trouble:
            raise self._error(object_name, trouble) from trouble
        return [found.get(selector) for selector in selectors]

    def _stamps(self, object_name: str, selectors: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        wanted = set(selectors)
        for path, dataset, shape in self._opened(object_name) if selectors else ():
            stamping = _Stamping(Places(path, dataset, shape), shape)
            with ThreadPoolExecutor(_hashers()) as pool:
                for batch in tables.batches(dataset, shape, selectors=selectors, data=True, addresses=True):
                    for selector, _, stamp in stamping.stamps(batch, wanted, pool):
                        found.setdefault(selector, stamp)
        return found

    def _views(self, object_name: str, selectors: Sequence[str]) -> Iterator[tuple[str, memoryview]]:
        for _, dataset, shape in self._opened(object_name) if selectors else ():
            for batch in tables.batches(dataset, shape, selectors=selectors, data=True):
                yield from shape.views(batch)

    def _opened(self, object_name: str) -> Iterator[tuple[Path, Any, RowShape]]:
        """The dataset with its path and its shape, if it is there."""
        if (path := tables.place(self.location, object_name)) is not None:
            dataset = tables.opened(path)
            yield path, dataset, tables.resolved(dataset, self.shape)

    def erase(self, object_name: str, targets: Sequence[Target]) -> Erased:
        """Take the rows out of the newest version, of every tagged one, and of every file; remove all other versions.

        Rows of a name that is absent from the newest version go from the tagged ones too, and deleted rows that still lie in a
        fragment, whoever deleted them. One trouble keeps all targets: the dataset is one unit.

        Cost: the key column (without a key, the data) of each fragment once, whatever versions share it, and of what was written;
        the data of targets that do not lie where their stamp saw them; the fragments that hold rows that go are read and written
        once for all versions that share them; the indexes are built again.
        Memory: some batches of 16 MB. Disk: what is rewritten lies there twice until the end.
        """
        wanted: dict[str, Target] = {}
        kept: dict[str, Kept] = {}
        for target in targets:
            if wanted.setdefault(target.selector, target) != target:
                kept[target.selector] = Kept(target.selector, "it is listed twice, with different stamps")
        try:
            path = tables.place(self.location, object_name)
            left = {selector: target for selector, target in wanted.items() if selector not in kept}
            if path is None or not left:
                return Erased((), tuple(left), tuple(kept.values()), Gone.D2)
            done = self._erase(path, object_name, left)
        except Trouble as trouble:
            done = Erased(
                (), (), tuple(Kept(selector, str(trouble)) for selector in wanted if selector not in kept), Gone.D2
            )
        return replace(done, kept=(*done.kept, *kept.values())) if kept else done

    def _erase(self, path: Path, object_name: str, wanted: dict[str, Target]) -> Erased:
        head = tables.opened(path)
        shape = tables.resolved(head, self.shape)
        erasing.drop_staged(path)
        if (refused := erasing.refusal(path, head, self._others(object_name))) is not None:
            return Erased((), (), tuple(Kept(selector, refused) for selector in wanted), Gone.D2)
        search = erasing.Search(shape, set(wanted))
        changed = self._changed(object_name, Places(path, head, shape), wanted, search.rows(head))
        kept = tuple(Kept(selector, "it changed after it was listed") for selector in changed)
        search.names.difference_update(changed)
        if not search.names:
            return Erased((), (), kept, Gone.D2)
        world = erasing.look(path, head, search, keep_tags=self.keep_tags)
        if world.work():
            erasing.carry_out(world)
        erased = tuple(selector for selector in wanted if selector in world.rows)
        absent = tuple(selector for selector in wanted if selector in search.names and selector not in world.rows)
        return Erased(erased, absent, kept, Gone.D2, tuple(world.notes))

    def _changed(
        self, object_name: str, places: Places, wanted: Mapping[str, Target], found: Mapping[str, Sequence[erasing.Row]]
    ) -> list[str]:
        """Those whose stamp is another now. The data is read only of those that do not lie where their stamp saw them."""
        stamped = {s: target.stamp for s, target in wanted.items() if target.stamp is not None and s in found}
        doubtful = [s for s, stamp in stamped.items() if not places.untouched(stamp, found[s][0][1])]
        if self.shape.key is None:
            now = {selector: _of_digest(selector) for selector in doubtful}
        else:
            now = self._stamps(object_name, doubtful)
        return [s for s in doubtful if s in now and not same_stamp(now[s], stamped[s])]

    def _others(self, object_name: str) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for other in tables.find(self.location):
            if isinstance(other, str) and other != object_name:
                with suppress(Trouble, StoreError):
                    if (path := tables.place(self.location, other)) is not None:
                        found[other] = path
        return found

    def probe(self, object_name: str, selectors: Sequence[str]) -> tuple[Residue, ...]:
        """Which names have rows in any version, or deleted rows that still lie in a fragment, through the library's reader.

        Raises:
            StoreError: a version cannot be read; not seeing is not the same as not there.
        """
        found: dict[tuple[str, str], None] = {}
        try:
            path = tables.place(self.location, object_name)
            if path is None:
                return ()
            head = tables.opened(path)
            for version in reversed(tables.versions(head)):
                where = "current" if version == head.version else f"version {version}"
                dataset = tables.opened(path, version)
                shape = tables.resolved(dataset, self.shape)
                hits = tables.locate(dataset, shape, selectors)
                dead = tables.still_deleted(dataset, shape, selectors)
                found.update(dict.fromkeys((selector, where) for selector in selectors if selector in hits))
                found.update(
                    dict.fromkeys((selector, f"deleted rows of {where}") for selector in selectors if selector in dead)
                )
        except Trouble as trouble:
            raise self._error(object_name, trouble) from trouble
        return tuple(Residue(selector, where) for selector, where in found)

    def raw(self) -> Iterator[RawPart | Skipped]:
        """Every file of every version: data, deletions, indexes, manifests, transactions, and files that no version names."""
        return rawfiles.parts(self.location)

    def tidy(self, object_names: Sequence[str]) -> tuple[str, ...]:
        """Nothing: an empty dataset still holds its columns, its configuration and its tags."""
        del object_names
        return ()

    def history(self, object_name: str) -> tuple[HeldVersion, ...]:
        """Old versions, with the tags that hold them, detached ones and branches.

        Raises:
            StoreError: they cannot be listed.
        """
        try:
            path = tables.place(self.location, object_name)
            if path is None:
                return ()
            head = tables.opened(path)
            return tuple(self._history(path, head))
        except Trouble as trouble:
            raise self._error(object_name, trouble) from trouble

    def _history(self, path: Path, head: Any) -> Iterator[HeldVersion]:
        tags = tables.tags_by_version(head)
        for version in tables.versions(head):
            if version != head.version:
                held = f" (tag {', '.join(tags[version])})" if version in tags else ""
                yield HeldVersion(f"version {version}{held}", removable=not held)
        for manifest in tables.detached(path):
            yield HeldVersion(f"detached version {manifest.stem[1:]}", removable=True)
        with tables.speaking("its branches cannot be listed"):
            names = sorted(head.branches.list())
        for name in names:
            yield HeldVersion(f"branch {name}", removable=False)

    def _error(self, object_name: str, trouble: Trouble) -> StoreError:
        return StoreError(
            f"{self.id}: {object_name!r}: {trouble}.", next_step="Scan the store again to see what is there."
        )

    def _absent(self, object_name: str, selector: str) -> StoreError:
        return StoreError(
            f"{self.id}: there is no row {selector!r} in {object_name!r}.",
            next_step="Scan the store again to see what is there.",
        )


@dataclass(frozen=True, slots=True)
class _Stamping:
    """Stamps of the rows of one version, digested in other threads."""

    places: Places
    shape: RowShape

    def stamps(
        self, batch: Any, wanted: Collection[str] | None, pool: ThreadPoolExecutor
    ) -> Iterator[tuple[str, int, str]]:
        """`(selector, size, stamp)` of each row, or of those wanted. The batch is one with addresses."""
        addresses = batch.column("_rowaddr").to_pylist()
        some = [row for row in self.shape.numbered(batch) if wanted is None or row[1] in wanted]
        if self.shape.key is None:
            yield from ((selector, len(data), _of_digest(selector)) for _, selector, data in some)
            return
        digests = pool.map(rows.stamp, [data for _, _, data in some])
        for (n, selector, data), digest in zip(some, digests, strict=True):
            yield selector, len(data), self.places.stamped(digest, addresses[n])


def _of_digest(selector: str) -> str:
    """The stamp of rows that are named by the digest of their data: with other data they are other members."""
    return selector[:32]


def _hashers() -> int:
    return min(_HASHERS, os.cpu_count() or 1)
