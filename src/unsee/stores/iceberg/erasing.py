"""One erasure in one Iceberg table, so that a kill anywhere leaves a table that reads right and a call that finishes.

The order: look for the rows in every data file, of any snapshot or none → write each hit file again without them → journal →
commit to each branch through the catalog → put the copies in the place of the old files in all past snapshots → remove the old
files and manifests → forget the journal → look again. Past snapshots, tags and branches stay readable; they read as if the rows
had never been in them.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from functools import partial

from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.manifest import DataFile as IcebergFile
from pyiceberg.manifest import ManifestFile
from pyiceberg.table import Table

from unsee.core.errors import StoreError
from unsee.stores import datafiles, rowerasure
from unsee.stores.contract import Erased, Target
from unsee.stores.datafiles import Hits
from unsee.stores.iceberg import history, tables
from unsee.stores.iceberg.tables import State, local
from unsee.stores.rowerasure import ATTEMPTS, Call, Copying, Found
from unsee.stores.rows import RowShape

JOURNAL = ".unsee-erasing.json"
"""The name of a commit and the files that it makes needless, from before it until they are gone."""
VERSIONS = (1, 2)
"""Format versions whose manifests can be written."""


def erase(load: Callable[[], Table], shape: RowShape, root: str, targets: Sequence[Target], settled_s: float) -> Erased:
    """Take the rows out of the table and out of all its snapshots. `load` reads the table anew from the catalog.

    Raises:
        StoreError, OSError: metadata cannot be read, the disk is full; the table reads as before or as after.
    """
    call = Call.of(targets, settled_s)
    metadata = _metadata_of(tables.read(load(), shape))
    with datafiles.locked(metadata):
        _finish_a_killed_call(tables.read(load(), shape))
        for _ in range(ATTEMPTS):
            if _attempt(call, load, shape, root):
                break
        else:
            call.keep_all("other programs kept changing the table meanwhile; try again when they are done")
    return call.outcome(_notes(call))


def _notes(call: Call) -> tuple[str, ...]:
    if not call.versions:
        return ()
    count = len(call.versions)
    which = "1 past snapshot" if count == 1 else f"{count:,} past snapshots"
    return (
        f"{which} of the table held the erased rows and now read without them; the counts in their summaries are of the time.",
    )


def _metadata_of(state: State) -> str:
    above = os.path.dirname(local(state.table.metadata_location) or "")
    if not os.path.isdir(above):
        raise StoreError(
            f"The metadata {state.table.metadata_location!r} is not on this machine's file systems.",
            next_step="Only tables whose files this machine can open as files can be erased from.",
        )
    return above


def _finish_a_killed_call(state: State) -> None:
    """Sweep what a killed call left: its own copies and manifests that nothing names, and the old files of its commit."""
    above = _metadata_of(state)
    commits, needless = _noted(above)
    referred = state.referred()
    swept = [place for place in needless if place not in referred]
    for place, _ in datafiles.walk(state.place):
        name = os.path.basename(place)
        ours = name.endswith((datafiles.OURS, history.OURS)) or name.startswith((history.WRITING, ".unsee-erasing."))
        if (
            place not in referred
            and name != JOURNAL
            and (ours or (name.endswith(".avro") and any(one in name for one in commits)))
        ):
            swept.append(place)
    datafiles.remove(swept, state.place)
    _forget(above)


def _attempt(call: Call, load: Callable[[], Table], shape: RowShape, root: str) -> bool:
    """One round; whether nothing of the targets is left, but for those that are kept."""
    state = tables.read(load(), shape)
    above = _metadata_of(state)
    hits = _look_everywhere(call, state, root)
    if not hits:
        return True
    if reason := _why_not(state):
        call.keep_all(reason)
        return True
    how = Copying(partial(_copy, call, state), _discard, state.current().__contains__)
    copies = rowerasure.copies(call, hits, how)
    going = call.going()
    orphans = [found.place for found, seen in hits if found.path is None and seen.only(going).at]
    if copies:
        for directory in sorted({os.path.dirname(found.place) for found, _ in hits}):
            datafiles.flush(directory)
        commits = {branch: uuid.uuid4() for branch in state.heads()}  # manifests are called after them: one each
        old = [*copies, *(path for path, entries in state.entries.items() if _names(entries, copies))]
        _note(above, list(map(str, commits.values())), [place for path in old if (place := local(path)) is not None])
        try:
            for branch, name in commits.items():
                head = state.heads().get(branch)
                if head is not None and any(state.mentions(one, copies) for one in state.lists[head]):
                    history.commit(state, branch, copies, name)
                    state = tables.read(load(), shape)
                    _flush(state, above, name)
        except (CommitFailedException, ValidationException):
            _finish_a_killed_call(tables.read(load(), shape))
            return False
        call.versions.update(history.rewrite(state, copies))
        _finish_a_killed_call(tables.read(load(), shape))
    datafiles.remove(orphans, state.place)
    _sweep_manifests(call, tables.read(load(), shape), {*copies, *orphans})
    call.found |= going & {selector for _, seen in hits for selector in seen.selectors()}
    return not _look_everywhere(call, tables.read(load(), shape), root)


def _flush(state: State, above: str, commit: uuid.UUID) -> None:
    """The metadata of a commit, which pyiceberg leaves to the system: on the disk before what it replaces goes."""
    current = os.path.basename(state.table.metadata_location)
    for name in sorted(os.listdir(above)):
        if name == current or str(commit) in name:
            datafiles.flush(os.path.join(above, name))
    datafiles.flush(above)


def _names(entries: Collection[object], copies: Collection[str]) -> bool:
    return any(entry.data_file.file_path in copies for entry in entries)  # type: ignore[attr-defined]


def _why_not(state: State) -> str:
    """Why nothing may be taken out of this table by us; empty when it may."""
    version = state.table.metadata.format_version
    if version not in VERSIONS:
        return f"the table has format version {version}, whose manifests unsee does not write"
    if state.deletes:
        return (
            "snapshots read through position or equality delete files, which count or name rows: have the table's own tool "
            "rewrite its data files without them and expire those snapshots first"
        )
    if any(one.manifest_list is None for one in state.table.metadata.snapshots):
        return "a snapshot has no manifest list"
    return ""


def all_files(state: State) -> Iterator[Found]:
    """Every data file of any snapshot, and every Parquet file below the table."""
    by_place = {local(path): path for path in state.files}
    seen = set()
    for place, status in datafiles.walk(state.place):
        if place in by_place or place.endswith(".parquet"):
            seen.add(place)
            yield Found(place, os.path.relpath(place, state.place), by_place.get(place), status)
    for elsewhere, path in sorted((p, path) for p, path in by_place.items() if p is not None and p not in seen):
        with suppress(FileNotFoundError):
            yield Found(elsewhere, path, path, os.stat(elsewhere, follow_symlinks=False))


def _look_everywhere(call: Call, state: State, root: str) -> list[tuple[Found, Hits]]:
    """The files, of any snapshot or none, that hold rows that must go; what cannot be erased is noted as kept."""
    hits: list[tuple[Found, Hits]] = []
    for found in all_files(state):
        known = (found.place, found.seen.st_size, found.seen.st_mtime_ns)
        if known in call.clean:
            continue
        try:
            seen = datafiles.look(state.data_file(found.place), set(call.targets))
        except StoreError as error:
            if found.path is None and call.settled(found.seen):
                datafiles.remove([found.place], state.place)  # a write that ended half-way, of no snapshot
            else:
                call.keep_all(f"{found.name} cannot be read, so that it may hold the row: {error}")
            continue
        if not seen.at:
            call.clean.add(known)
            continue
        hits.append((found, seen))
        if reason := _why_kept(call, state, found, root):
            for selector in seen.selectors():
                call.kept.setdefault(selector, reason)
    going = call.going()
    return [(found, some) for found, seen in hits if (some := seen.only(going)).at]


def _why_kept(call: Call, state: State, found: Found, root: str) -> str:
    if not found.place.startswith(root + os.sep):
        return f"{found.name}, which holds it, lies outside the location of this store"
    if found.path is None:
        if call.settled(found.seen):
            return ""
        return (
            f"{found.name}, which no snapshot names, holds it and is younger than {call.settled_s:,.0f} s: another program may be "
            "about to commit it; try again later"
        )
    if state.files[found.path].spec_id != state.table.metadata.default_spec_id:
        return (
            f"{found.name} was written under an older partitioning of the table: rewrite the table's data files first"
        )
    return ""


def _copy(call: Call, state: State, found: Found, hits: Hits) -> tuple[IcebergFile | None, dict[str, list[str]]]:
    path = found.path or ""
    file = state.data_file(found.place)
    if hits.whole() or not any(path in live for live in state.live.values()):
        stamped = hits.only(call.stamped())
        return None, datafiles.stamps(file, stamped) if stamped.at and path in state.current() else {}
    new = f"{path.rpartition('/')[0]}/{uuid.uuid4()}{datafiles.OURS}"
    place = local(new) or ""
    metadata, stamps = datafiles.copy_without(file, hits, place, call.stamped() if path in state.current() else ())
    return history.described(state.table, state.files[path], new, metadata, os.stat(place).st_size), stamps


def _discard(copy: IcebergFile | None) -> None:
    if copy is not None:
        with suppress(FileNotFoundError):
            os.unlink(local(copy.file_path) or "")


def _sweep_manifests(call: Call, state: State, gone: Collection[str]) -> None:
    """Remove manifests that nothing lists and that name files that went: they keep the bounds of their columns."""
    referred = state.referred()
    for place, seen in datafiles.walk(_metadata_of(state)):
        if not place.endswith(".avro") or place in referred or os.path.basename(place).startswith("snap-"):
            continue
        manifest = ManifestFile.from_args(
            manifest_path=place, partition_spec_id=0, sequence_number=0, added_snapshot_id=0
        )
        try:
            named = {entry.data_file.file_path for entry in manifest.fetch_manifest_entry(state.table.io, False)}
        except (OSError, ValueError, KeyError, EOFError, AssertionError):
            continue  # no manifest
        if any(path in gone or local(path) in gone for path in named) and call.settled(seen):
            datafiles.remove([place], state.place)


def _note(above: str, commits: Sequence[str], needless: Sequence[str]) -> None:
    temporary = os.path.join(above, ".unsee-erasing.tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump({"commits": commits, "needless": list(needless)}, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, os.path.join(above, JOURNAL))
    datafiles.flush(above)


def _noted(above: str) -> tuple[list[str], list[str]]:
    try:
        with open(os.path.join(above, JOURNAL), encoding="utf-8") as file:
            noted = json.load(file)
    except FileNotFoundError:
        return [], []
    return list(map(str, noted["commits"])), list(map(str, noted["needless"]))


def _forget(above: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(above, JOURNAL))
        datafiles.flush(above)
