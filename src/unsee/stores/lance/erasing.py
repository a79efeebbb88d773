"""Takes rows out of one Lance dataset, its old versions and its indexes, so ordered that the same call finishes
after a kill anywhere.

1. A mark in the newest version's configuration (only where there are indexes: it says that they are still to be built again).
2. Delete, then compact exactly the fragments that hold deleted rows, whoever deleted them. 3. Indexes anew; the mark goes.
4. Every tagged version gets a manifest without the rows (`manifests`). 5. New files are flushed to the disk.
6. The library's cleanup removes all other versions and every file that no manifest names. 7. Look again.

Until 6 nothing is lost that a reader had; each commit is one atomic rename of the library's.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lance.optimize import Compaction, CompactionOptions

from unsee.stores.lance import indexes, manifests, tables
from unsee.stores.lance.manifests import Rewritten, identity
from unsee.stores.lance.tables import Trouble, speaking
from unsee.stores.rows import RowShape

MARK = "unsee.erasing"
"""Set in a dataset's configuration from before its rows go until its indexes are built again."""
FRAGMENT_BYTES = 256 << 20
"""Fragments are not rewritten into larger ones, so that the next erasure rewrites little."""
_NOT_OURS = ("tree/", "_mem_wal/")
"""Where a dataset keeps its branches, also those whose deletion broke off, and rows that are not yet in a fragment."""
_IDS_AT_ONCE = 100_000
_TASKS_AT_ONCE = 4


Row = tuple[int, int]
"""`(row id, row address)`."""


@dataclass(slots=True)
class Search:
    """Looks for the rows of some names, version by version. A fragment that versions share is looked through once."""

    shape: RowShape
    names: set[str]
    """Those that are looked for; the first look must have had them all."""
    _seen: dict[str, dict[str, list[Row]]] = field(default_factory=dict)
    """The rows found in each fragment, by its identity and that of the column: the same are the same rows of the same files.
    Row ids may depend on the fragment's number, which versions do not share; that no row was found does not."""

    def rows(self, dataset: Any) -> dict[str, list[Row]]:
        """The rows of each name in this version, in the order that they lie in; names without rows are left out.

        Raises:
            Trouble: they cannot be read.
        """
        there = {fragment.fragment_id: fragment for fragment in dataset.get_fragments()}
        column = tables.written_as(dataset, self.shape.key or self.shape.data)
        keys = {
            number: (f"{column} {identity(part.metadata)}", f"{column} {identity(part.metadata, numbered=False)}")
            for number, part in there.items()
        }
        new = {number: part for number, part in there.items() if self._seen.keys().isdisjoint(keys[number])}
        if new:
            self._look(dataset, new, keys)
        together: dict[str, list[Row]] = {}
        for numbered, _ in keys.values():
            for name, rows in self._seen.get(numbered, {}).items():
                if name in self.names:
                    together.setdefault(name, []).extend(rows)
        return together

    def _look(self, dataset: Any, fragments: Mapping[int, Any], keys: Mapping[int, tuple[str, str]]) -> None:
        found: dict[int, dict[str, list[Row]]] = {number: {} for number in fragments}
        located = tables.locate(dataset, self.shape, self.names, fragments=list(fragments.values()))
        for name, rows in located.items():
            for row in rows:
                found[row[1] >> 32].setdefault(name, []).append(row)
        for number, names in found.items():
            numbered, unnumbered = keys[number]
            self._seen[numbered if names else unnumbered] = names


@dataclass(slots=True)
class World:
    """What there is to do, seen before anything is changed."""

    path: Path
    head: Any
    search: Search
    rows: dict[str, list[Row]]
    """In the newest version, by name."""
    tagged: dict[int, list[str]]
    """The tags of versions that are to stay readable under their number, the newest one's too."""
    tagged_rows: dict[int, list[Row]]
    """Rows that go from each of them."""
    lost: list[int]
    """Versions that no tag holds, oldest first."""
    lost_tags: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def work(self) -> bool:
        """Whether anything is to be done: rows that go, deleted ones, what an earlier call or anybody's old versions left.

        Raises:
            Trouble: nobody can tell.
        """
        return bool(
            self.rows
            or any(self.tagged_rows.values())
            or self.lost_tags
            or MARK in self.head.config()
            or any(_holds_deleted(tables.opened(self.path, version)) for version in [None, *self.tagged])
            or left_over(self.path, self.head)
        )


def refusal(path: Path, head: Any, others: Mapping[str, Path]) -> str | None:
    """Why rows of this dataset cannot be erased at all: branches, clones, data that lies elsewhere too. None where they can.

    Args:
        others: the other datasets of the store, by name.
    Raises:
        Trouble: branches cannot be listed.
    """
    with speaking("its branches cannot be listed"):
        if branches := sorted(head.branches.list()):
            return (
                f"the branch {branches[0]!r} may hold its bytes and shares files with the main line "
                "(delete the branch, or merge it, and erase again)"
            )
    if (odd := _out_of_reach(path)) is not None:
        return odd
    if bases := sorted(base.path for base in head.base_paths().values()):
        return f"data of this dataset lies in {bases[0]!r}: it is a shallow clone, or has further places (erase there)"
    for name, place in others.items():
        try:
            theirs = [base.path for base in tables.opened(place).base_paths().values()]
        except Trouble:
            continue
        if any(os.path.realpath(base) == os.path.realpath(path) for base in theirs):
            return f"{name!r} is a shallow clone of it and would lose its files (make it a deep clone, or delete it)"
    return None


def drop_staged(path: Path) -> None:
    """Remove what a killed commit left: Lance writes a manifest as `NAME#1`, links it to its name, and unlinks `NAME#1`.

    Only such second names go, never the manifest. One of a commit that is between the two steps at this moment goes as well, which
    that commit had done itself.
    """
    for staged in (path / "_versions").glob("*.manifest#*"):
        with suppress(FileNotFoundError):
            manifest = staged.with_name(staged.name.rpartition("#")[0])
            if os.path.samestat(os.lstat(staged), os.lstat(manifest)):
                staged.unlink()


def _out_of_reach(path: Path) -> str | None:
    """Why removing this dataset's files would not remove the bytes: links, unflushed logs, what a deleted branch left."""
    for file in tables.files(path):
        seen = os.lstat(file)
        name = file.relative_to(path).as_posix()
        if stat.S_ISLNK(seen.st_mode):
            return f"{name} in it is a symbolic link, and links are never followed"
        if seen.st_nlink > 1:
            return (
                f"{name} in it has another hard link, which would still hold its bytes (find ROOT -inum {seen.st_ino})"
            )
        if name.startswith(_NOT_OURS):
            return f"{name} in it is not of the main line: merge, flush or remove it first"
    return None


def look(path: Path, head: Any, search: Search, *, keep_tags: bool) -> World:
    """Everything that holds rows of the names searched for.

    Raises:
        Trouble: something cannot be read, so that nobody knows.
    """
    found = tables.tags_by_version(head)
    tags = found if keep_tags else {}
    gone_tags = [] if keep_tags else sorted(tag for names_of in found.values() for tag in names_of)
    there = tables.versions(head)
    if absent := sorted(set(tags) - set(there)):
        raise Trouble(f"the tag {tags[absent[0]][0]!r} names version {absent[0]}, which is not there (delete the tag)")
    if tags and not manifests.renewable(path):
        raise Trouble(
            "its manifests have the names of Lance before 0.17, and a tagged version cannot be rewritten under them "
            "(call migrate_manifest_paths_v2 of the dataset, or register the store with history=none)"
        )
    return World(
        path,
        head,
        search,
        search.rows(head),
        tags,
        {version: _in_version(path, version, tags[version], search) for version in tags},
        [version for version in there if version not in tags and version != head.version],
        gone_tags,
    )


def _in_version(path: Path, version: int, tags: list[str], search: Search) -> list[Row]:
    try:
        dataset = tables.opened(path, version)
        tables.resolved(dataset, search.shape)
        return [row for rows in search.rows(dataset).values() for row in rows]
    except Trouble as trouble:
        raise Trouble(
            f"version {version}, which the tag {tags[0]!r} holds, cannot be searched: {trouble} "
            "(delete the tag, or register the store with history=none)"
        ) from trouble


def carry_out(world: World) -> None:
    """Do it, in the order of this module's docstring.

    Raises:
        Trouble: something failed, or is still there afterwards. What was done is done; the same call goes on from there.
    """
    path = world.path
    before = tables.files(path)
    known = Rewritten()
    version = world.head.version
    stale = tables.detached(path)
    head = _head(world, known)
    for old, tags in world.tagged.items():
        if old == head.version or not manifests.rewrite(path, old, world.tagged_rows[old], known, _options):
            continue
        with speaking("a tag cannot be renewed"):
            for tag in tags:
                head.tags.update(tag, old)
    if stale:
        world.notes.append(f"{_count(len(stale), 'detached version')} can no longer be read.")
    if head.version != version and version not in world.tagged:
        world.lost.append(version)
    _sweep(world, before)
    if world.lost or world.lost_tags:
        world.notes.append(_lost(world))
    _look_again(world)


def _head(world: World, known: Rewritten) -> Any:
    head = world.head
    with speaking("its rows cannot be deleted"):
        built = indexes.described(head)
        if built and MARK not in head.config():
            head.update_config({MARK: "true"})
        first = {fragment.fragment_id: identity(fragment.metadata) for fragment in head.get_fragments()}
        ids = [row for rows in world.rows.values() for row, _ in rows]
        staying = head.count_rows() - len(ids)
        for start in range(0, len(ids), _IDS_AT_ONCE):
            some = ", ".join(map(str, ids[start : start + _IDS_AT_ONCE]))
            head.delete(f"_rowid in ({some})", conflict_retries=0)  # tried again it would hit other rows: ids move
    with speaking("its fragments cannot be rewritten"):
        head = tables.opened(world.path)
        known.dropped.update(first[n] for n in first.keys() - {f.fragment_id for f in head.get_fragments()})
        _compact(head, first, known)
    head = tables.opened(world.path)
    if (now := head.count_rows()) < staying:  # the old versions are still there
        raise Trouble(f"{now:,} rows are left where {staying:,} should be: somebody deletes at the same time")
    world.notes.extend(indexes.rebuild(head, built))
    with speaking("its configuration cannot be written"):
        head = tables.opened(world.path)
        if MARK in head.config():
            head.delete_config_keys([MARK])
    return head


def _compact(head: Any, first: Mapping[int, str], known: Rewritten) -> None:
    options = _options(head)
    plan = Compaction.plan(head, options)
    tasks = plan.tasks
    with ThreadPoolExecutor(min(_TASKS_AT_ONCE, os.cpu_count() or 1)) as pool:
        results = list(pool.map(lambda task: task.execute(head), tasks))
    if not results:
        return
    for task, result in zip(tasks, results, strict=True):
        if all(fragment.id in first for fragment in task.fragments):
            known.groups[tuple(first[fragment.id] for fragment in task.fragments)] = result.new_fragments
    Compaction.commit(head, results, options)


def _options(dataset: Any) -> CompactionOptions:
    """Rewrite what holds deleted rows and nothing else, into fragments no larger than those were, a bounded batch at a time."""
    fragments = [(fragment.fragment_id, fragment.metadata) for fragment in dataset.get_fragments()]
    hit = [meta for _, meta in fragments if meta.num_deletions]
    batch = tables.batch_rows(dataset)
    in_fragment = max(1024, batch * FRAGMENT_BYTES // tables.BATCH_BYTES)
    return CompactionOptions(
        target_rows_per_fragment=min(max((meta.physical_rows for meta in hit), default=1), in_fragment),
        materialize_deletions=True,
        materialize_deletions_threshold=0.0,
        excluded_fragment_ids=[n for n, meta in fragments if not meta.num_deletions],
        batch_size=batch,
        num_threads=1,
        defer_index_remap=False,
        compaction_mode="reencode",
    )


def _holds_deleted(dataset: Any) -> bool:
    return any(fragment.metadata.num_deletions for fragment in dataset.get_fragments())


def _sweep(world: World, before: Mapping[Path, tuple[int, int]]) -> None:
    """Flush what is new, then remove every version that no tag holds and every file that no manifest names."""
    path = world.path
    head = tables.opened(path)
    for tag in world.lost_tags:
        with speaking(f"the tag {tag!r} cannot be deleted"):
            head.tags.delete(tag)
    with speaking("new files cannot be flushed to the disk"):
        for file, seen in tables.files(path).items():
            if before.get(file) != seen:
                _flush(file)
        _flush_directories(path)
        for file in [*tables.detached(path), *(path / "_versions").glob(f"{manifests.NEW}*")]:
            file.unlink(missing_ok=True)
    with speaking("old versions cannot be removed"):
        done = head.cleanup_old_versions(**tables.AT_ONCE)
        if getattr(done, "failed_deletes", 0):
            raise Trouble(f"{done.failed_deletes} files of old versions could not be removed")
    with speaking("the removal cannot be flushed to the disk"):
        _flush_directories(path, remove_empty=True)


def left_over(path: Path, head: Any) -> str | None:
    """What a cleanup would still remove, in words; None where nothing is left. Removes nothing.

    Raises:
        Trouble: nobody can tell.
    """
    if found := [*tables.detached(path), *(path / "_versions").glob(f"{manifests.NEW}*")]:
        return found[0].name
    with speaking("what is left of old versions cannot be listed"):
        left = head.explain_cleanup_old_versions(**tables.AT_ONCE, include_files=True, max_files=1)
    if left.stats.old_versions or left.stats.bytes_removed:
        return Path(left.candidate_files[0].path).name if left.candidate_files else "an old version"
    return None


def _look_again(world: World) -> None:
    """Nothing of what went is there. What was written is searched; fragments that the first look searched are the same still."""
    head = tables.opened(world.path)
    for version in [None, *world.tagged]:
        what = "the newest version" if version is None else f"version {version}"
        dataset = tables.opened(world.path, version)
        if world.search.rows(dataset):
            raise Trouble(f"{what} still holds rows after they were erased: does somebody write them again?")
        if _holds_deleted(dataset):
            raise Trouble(f"{what} still keeps deleted rows: somebody deletes at the same time (erase again)")
    if (left := left_over(world.path, head)) is not None:
        raise Trouble(f"{left!r} is still there: somebody writes at the same time (erase again)")


def _flush(path: Path) -> None:
    with suppress(FileNotFoundError):
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def _flush_directories(path: Path, *, remove_empty: bool = False) -> None:
    for directory, _, _ in os.walk(path, topdown=False):
        if remove_empty and Path(directory).parent.name in {"data", "_indices"}:
            with suppress(OSError):  # it holds something
                Path(directory).rmdir()
                continue
        _flush(Path(directory))


def _lost(world: World) -> str:
    said = []
    if world.lost:
        shown = ", ".join(map(str, world.lost[:20])) + (", …" if len(world.lost) > 20 else "")
        said.append(f"{_count(len(world.lost), 'old version')} ({shown}) can no longer be read")
    if world.lost_tags:
        said.append(f"Tags deleted: {', '.join(world.lost_tags)}")
    return ". ".join(said) + "."


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
