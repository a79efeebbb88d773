"""The transaction log of a Delta table: which data files its versions name, a commit of our own, and history without erased rows.

Source: the Delta transaction log protocol (github.com/delta-io/delta, PROTOCOL.md). A version is one JSON file of actions, written
once by whoever comes first; checkpoints are Parquet files of the same actions. Actions of data files hold the smallest and the
largest value of each column: values of rows that must go. So the log is erased from, too.
"""

from __future__ import annotations

import errno
import json
import os
import re
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.parquet as pq

from unsee.core.errors import StoreError
from unsee.stores import datafiles, shards

LOG = "_delta_log"
JOURNAL = ".unsee-erasing.json"
"""What a call is about to put in whose place, from before its commit until the old files are gone."""
TEMPORARY = "_commit_unsee_"
_VERSION = re.compile(r"^(\d{20})\.json$")
_CHECKPOINT = re.compile(
    r"^(\d{20})\.checkpoint\.(?:(\d{10})\.(\d{10})\.parquet|([0-9a-f-]{36})\.(?:parquet|json)|parquet)$"
)
_CHECKSUM = re.compile(r"^(\d{20})\.crc$")
_LITERAL = re.compile(r"'((?:[^']|'')*)'")
_OF_FILES = ("add", "remove", "cdc")

Action = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Copy:
    """A data file that stands for another one without some of its rows."""

    path: str
    """Relative to the table, as the log spells it."""
    size: int
    modified_ms: int
    stats: str

    def instead_of(self, action: Action) -> Action:
        """The `add`, `remove` or `cdc` of the other file, of this one."""
        changed = {**action, "path": self.path}
        if action.get("size") is not None:
            changed["size"] = self.size
        if action.get("modificationTime") is not None:
            changed["modificationTime"] = self.modified_ms
        if "stats" in action:
            changed["stats"] = self.stats
        if action.get("stats_parsed") is not None:
            changed["stats_parsed"] = None
        return changed


Copies = Mapping[str, Copy | None]
"""Old path to the copy that takes its place; None where every row of the file went."""


@dataclass(slots=True)
class Log:
    """What the log of a table says, read from all of its files."""

    table: str
    version: int = -1
    versions: list[int] = field(default_factory=list)
    """Those whose JSON is there."""
    active: dict[str, Action] = field(default_factory=dict)
    """The `add` of each file of the newest version, by path."""
    named: dict[str, Action] = field(default_factory=dict)
    """Every data file that any version names, with one of its actions, by path."""
    vectored: set[str] = field(default_factory=set)
    """Those that some version reads through a deletion vector."""
    protocol: Action = field(default_factory=dict)
    metadata: Action = field(default_factory=dict)

    def place(self, path: str) -> str | None:
        """Where the file of this path lies; None where the path leads out of the table."""
        plain = unquote(path)
        if "://" in plain or plain.startswith("/") or ".." in plain.split("/"):
            return None
        return os.path.join(self.table, plain)


def path_of(table: str, place: str) -> str:
    """As the log spells the path of a file below the table."""
    return quote(os.path.relpath(place, table), safe="/=!$&'()*+,;:@-._~")


def read(table: str) -> Log:
    """The whole log.

    Raises:
        StoreError: a file of it cannot be read, or versions are missing after the newest checkpoint.
    Cost: every file of the log is read; memory: the paths of all files and the actions of those that are active.
    """
    log = Log(table)
    names = sorted(os.listdir(os.path.join(table, LOG)))
    checkpoints: dict[int, list[str]] = {}
    for name in names:
        if found := _CHECKPOINT.match(name):
            checkpoints.setdefault(int(found[1]), []).append(name)
        elif found := _VERSION.match(name):
            log.versions.append(int(found[1]))
    for version in sorted(checkpoints):
        for name in checkpoints[version]:
            _note(log, _read_actions(table, name))
    start = max((v for v, parts in checkpoints.items() if _complete(parts)), default=-1)
    if start >= 0:
        parts = checkpoints[start]
        for name in parts if len(parts) == 1 or _CHECKPOINT.match(parts[0])[2] else parts[:1]:  # type: ignore[index]
            for actions in _with_sidecars(table, name):
                _replay(log, actions)
    expected = start + 1
    for version in log.versions:
        actions = _read_actions(table, f"{version:020d}.json")
        _note(log, actions)
        if version <= start:
            continue
        if version != expected:
            raise _corrupt(table, f"version {expected} is missing from the log")
        _replay(log, actions)
        expected += 1
    log.version = expected - 1
    if log.version < 0 or not log.metadata or not log.protocol:
        raise _corrupt(table, "the log holds no version that can be read")
    return log


def commit(log: Log, actions: Sequence[Action]) -> int | None:
    """Write the next version; its number, or None where another writer was first and nothing was written.

    The protocol's own way on file systems: the version's name is given by a link that fails if it is there.
    """
    version = log.version + 1
    above = os.path.join(log.table, LOG)
    temporary = os.path.join(above, f"{TEMPORARY}{uuid.uuid4()}.json.tmp")
    try:
        _write_new(temporary, _lines(actions))
        try:
            os.link(temporary, os.path.join(above, f"{version:020d}.json"))
        except FileExistsError:
            return None
        datafiles.flush(above)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
    return version


def note(table: str, copies: Copies) -> None:
    """Write the journal, flushed."""
    above = os.path.join(table, LOG)
    temporary = os.path.join(above, JOURNAL + ".tmp")
    with suppress(FileNotFoundError):
        os.unlink(temporary)
    plain = {path: asdict(copy) if copy is not None else None for path, copy in copies.items()}
    _write_new(temporary, json.dumps(plain).encode())
    os.rename(temporary, os.path.join(above, JOURNAL))
    datafiles.flush(above)


def noted(table: str) -> dict[str, Copy | None]:
    """What a killed call had in hand; empty without one."""
    try:
        with open(os.path.join(table, LOG, JOURNAL), encoding="utf-8") as file:
            plain = json.load(file)
    except FileNotFoundError:
        return {}
    return {path: Copy(**copy) if copy is not None else None for path, copy in plain.items()}


def forget(table: str) -> None:
    """Remove the journal."""
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(table, LOG, JOURNAL))
    datafiles.flush(os.path.join(table, LOG))


def rewrite(table: str, copies: Copies) -> list[int]:
    """Put copies in the place of files in every version, past ones too, and take files without a copy out; the versions touched.

    A reader of the log at any moment in between finds no file twice and none that a version had removed: removals of the copies
    stand before the copies are named, and removals of the old files go last. Each file of the log is replaced as a whole and
    keeps its time, by which versions are found. Idempotent.
    """
    ours = {copy.path for copy in copies.values() if copy is not None}

    def doubled(actions: list[Action]) -> list[Action]:
        if any(one.get("add", {}).get("path") in ours for one in actions):
            return actions  # the commit that puts the copy in
        present = {one["remove"]["path"] for one in actions if "remove" in one}
        more = []
        for one in actions:
            copy = copies.get(one["remove"]["path"]) if "remove" in one else None
            if copy is not None and copy.path not in present:
                more.append({"remove": copy.instead_of(one["remove"])})
        return [*actions, *more]

    def put_in(actions: list[Action]) -> list[Action]:
        return [changed for one in actions for changed in _instead(one, copies, ("add", "cdc"))]

    def taken_out(actions: list[Action]) -> list[Action]:
        return [one for one in actions if "remove" not in one or one["remove"]["path"] not in copies]

    touched: set[int] = set()
    touched |= _rewrite_json(table, copies, doubled)
    touched |= _rewrite_json(table, copies, put_in)
    touched |= _rewrite_parquet(table, copies)
    touched |= _rewrite_json(table, copies, taken_out)
    _drop_checksums(table, min(touched, default=1 << 62))
    return sorted(touched)


def _instead(one: Action, copies: Copies, kinds: Sequence[str], added: Collection[str] = ()) -> Iterator[Action]:
    """The action for the copy. A tombstone of a file whose copy is `added` beside it is left out: the copy is not removed."""
    kind = next((kind for kind in kinds if one.get(kind)), None)
    if kind is None or one[kind]["path"] not in copies:
        yield one
        return
    copy = copies[one[kind]["path"]]
    if copy is not None and not (kind == "remove" and copy.path in added):
        yield {**one, kind: copy.instead_of(one[kind])}


def _rewrite_json(table: str, copies: Copies, change: Callable[[list[Action]], list[Action]]) -> set[int]:
    touched = set()
    above = os.path.join(table, LOG)
    for name in sorted(os.listdir(above)):
        if not name.endswith(".json") or not name[:20].isdigit():
            continue
        with open(os.path.join(above, name), encoding="utf-8") as file:
            text = file.read()
        before = _parse(table, name, text)
        if not any(one[kind]["path"] in copies for one in before for kind in _OF_FILES if one.get(kind)):
            continue
        after = change(before)
        if after != before:
            _replace(above, name, partial(_write_lines, after))
            touched.add(int(name[:20]))
    return touched


def _rewrite_parquet(table: str, copies: Copies) -> set[int]:
    touched = set()
    for above, name in _parquets(table):
        place = os.path.join(above, name)
        paths = _paths(place)
        if not any(path in copies for path in paths):
            continue

        def fill(_: int, target: int, place: str = place) -> None:
            with datafiles.reading(place) as opened, os.fdopen(os.dup(target), "wb") as sink:
                schema = opened.schema_arrow
                added = set(_paths(place, ("add",)))
                how = {**datafiles.as_before(opened), "write_statistics": False}
                with pq.ParquetWriter(sink, schema, **how) as writer:
                    for batch in opened.iter_batches(4096, use_threads=False):
                        after = [new for one in batch.to_pylist() for new in _instead(one, copies, _OF_FILES, added)]
                        writer.write_table(pa.Table.from_pylist(after, schema=schema))

        _replace(above, name, fill)
        if name[:20].isdigit():
            touched.add(int(name[:20]))
    return touched


def _lines(actions: Sequence[Action]) -> bytes:
    return "".join(json.dumps(one, separators=(",", ":"), ensure_ascii=False) + "\n" for one in actions).encode()


def _write_lines(actions: Sequence[Action], _: int, target: int) -> None:
    _write_all(target, _lines(actions))


def _replace(above: str, name: str, fill: Callable[[int, int], None]) -> None:
    """As `shards.replace`, keeping the time, and without the checksum that Hadoop keeps beside the file."""

    def write(old: int, new: int) -> None:
        fill(old, new)
        seen = os.fstat(old)
        os.utime(new, ns=(seen.st_atime_ns, seen.st_mtime_ns))

    with suppress(FileNotFoundError):
        os.unlink(os.path.join(above, f".{name}.crc"))
    shards.replace(above, name, write)


def _drop_checksums(table: str, first: int) -> None:
    """Version checksums count files and bytes, and may repeat statistics; they are optional."""
    above = os.path.join(table, LOG)
    for name in sorted(os.listdir(above)):
        found = _CHECKSUM.match(name)
        if found and int(found[1]) >= first:
            os.unlink(os.path.join(above, name))


def scrub(table: str, erased: Callable[[str], bool]) -> None:
    """Take what operations were asked for out of the log where it names an erased value: `DELETE … WHERE key = 'value'`."""
    above = os.path.join(table, LOG)
    for name in sorted(os.listdir(above)):
        if _VERSION.match(name):
            before = _read_actions(table, name)
            after = [_scrubbed(one, erased) for one in before]
            if after != before:
                _replace(above, name, partial(_write_lines, after))


def _scrubbed(one: Action, erased: Callable[[str], bool]) -> Action:
    told = (one.get("commitInfo") or {}).get("operationParameters")
    if not isinstance(told, dict):
        return one
    kept = {
        name: text
        for name, text in told.items()
        if not any(erased(found.replace("''", "'")) for found in _LITERAL.findall(str(text)))
    }
    return one if kept == told else {**one, "commitInfo": {**one["commitInfo"], "operationParameters": kept}}


def left_over(table: str) -> list[str]:
    """Files in the log that a killed call left: never what another program writes."""
    above = os.path.join(table, LOG)
    beside = shards.BESIDE.decode()
    found = []
    for at in (above, os.path.join(above, "_sidecars")):
        with suppress(FileNotFoundError):
            found += [os.path.join(at, n) for n in os.listdir(at) if n.startswith((TEMPORARY, beside, JOURNAL + "."))]
    return sorted(found)


def _parquets(table: str) -> Iterator[tuple[str, str]]:
    above = os.path.join(table, LOG)
    for at in (above, os.path.join(above, "_sidecars")):
        if os.path.isdir(at):
            for name in sorted(os.listdir(at)):
                if name.endswith(".parquet") and not name.startswith("."):
                    yield at, name


def _paths(place: str, kinds: Sequence[str] = _OF_FILES) -> list[str]:
    with datafiles.reading(place) as opened:
        wanted = [f"{kind}.path" for kind in kinds if kind in opened.schema_arrow.names]
        found: list[str] = []
        for one in opened.read(columns=wanted, use_threads=False).to_pylist() if wanted else ():
            found.extend(action["path"] for action in one.values() if action and action["path"])
    return found


def _read_actions(table: str, name: str) -> list[Action]:
    place = os.path.join(table, LOG, name)
    if name.endswith(".json"):
        try:
            with open(place, encoding="utf-8") as file:
                return _parse(table, name, file.read())
        except (OSError, UnicodeDecodeError) as error:
            raise _corrupt(table, f"{name} cannot be read: {error}") from error
    return _read_parquet(place)


def _read_parquet(place: str) -> list[Action]:
    with datafiles.reading(place) as opened:
        known = [n for n in ("protocol", "metaData", *_OF_FILES, "sidecar") if n in opened.schema_arrow.names]
        rows = opened.read(columns=known, use_threads=False).to_pylist()
    return [{kind: _maps(action) for kind, action in row.items() if action is not None} for row in rows]


def _maps(action: Action) -> Action:
    """Arrow gives maps as lists of pairs."""
    for name in ("partitionValues", "tags", "configuration"):
        if isinstance(action.get(name), list):
            action[name] = dict(action[name])
    return action


def _with_sidecars(table: str, name: str) -> Iterator[list[Action]]:
    actions = _read_actions(table, name)
    yield actions
    for one in actions:
        if one.get("sidecar"):
            yield _read_parquet(
                os.path.join(table, LOG, "_sidecars", os.path.basename(unquote(one["sidecar"]["path"])))
            )


def _note(log: Log, actions: list[Action]) -> None:
    for one in actions:
        for kind in _OF_FILES:
            if action := one.get(kind):
                if "path" not in action:
                    raise _corrupt(log.table, f"an action {kind!r} names no file")
                log.named.setdefault(action["path"], action)
                if action.get("deletionVector"):
                    log.vectored.add(action["path"])
        if one.get("sidecar"):
            place = os.path.join(log.table, LOG, "_sidecars", os.path.basename(unquote(one["sidecar"]["path"])))
            _note(log, _read_parquet(place))


def _replay(log: Log, actions: list[Action]) -> None:
    removed = [one["remove"]["path"] for one in actions if one.get("remove")]
    for path in removed:  # a commit may remove a file and add it again with other statistics or another deletion vector
        log.active.pop(path, None)
    for one in actions:
        if action := one.get("add"):
            log.active[action["path"]] = action
        if one.get("protocol"):
            log.protocol = one["protocol"]
        if one.get("metaData"):
            log.metadata = one["metaData"]


def _complete(parts: list[str]) -> bool:
    found = _CHECKPOINT.match(parts[0])
    return found is not None and (found[2] is None or len(parts) == int(found[3]))


def _parse(table: str, name: str, text: str) -> list[Action]:
    try:
        actions = [json.loads(line) for line in text.split("\n") if line.strip()]
    except ValueError as error:
        raise _corrupt(table, f"{name} is no JSON: {error}") from error
    if not all(isinstance(one, dict) for one in actions):
        raise _corrupt(table, f"{name} holds something that is no action")
    return actions


def _corrupt(table: str, what: str) -> StoreError:
    return StoreError(
        f"The log of the Delta table {table!r} is damaged: {what}.",
        next_step="Restore the files of _delta_log, or repair the table with its own tool, and try again.",
    )


def _write_new(place: str, data: bytes) -> None:
    file = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        _write_all(file, data)
        os.fsync(file)
    finally:
        os.close(file)


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        moved = os.write(file, view)
        if not moved:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view = view[moved:]
