"""One erasure in one Delta table, so that a kill anywhere leaves a table that reads right and a call that finishes.

The order: look for the rows in every data file, of past versions and of none → write each hit file again without them → journal →
commit (the protocol's own) → put the copies in the place of the old files in all past versions → remove the old files → forget
the journal → look again. Old versions stay readable; they read as if the rows had never been in them.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from unsee.core.errors import StoreError
from unsee.core.evidence import Gone
from unsee.stores import datafiles
from unsee.stores.contract import Erased, Kept, Target
from unsee.stores.datafiles import Hits
from unsee.stores.delta import log as logs
from unsee.stores.delta.files import Found, all_files, data_file
from unsee.stores.delta.log import Copy, Log
from unsee.stores.rows import RowShape

ATTEMPTS = 5
_FEATURES = frozenset(
    {
        "appendOnly", "changeDataFeed", "checkConstraints", "clustering", "columnMapping", "deletionVectors", "domainMetadata",
        "generatedColumns", "identityColumns", "invariants", "timestampNtz", "typeWidening", "v2Checkpoint", "vacuumProtocolCheck",
    }
)  # fmt: skip
"""Writer features that ask nothing of a commit that only leaves rows out."""


@dataclass(slots=True)
class Call:
    """What one call is about, and what it has seen so far."""

    table: str
    shape: RowShape
    targets: dict[str, Target]
    settled_s: float
    kept: dict[str, str] = field(default_factory=dict)
    found: set[str] = field(default_factory=set)
    """Targets of which rows were found in a file that this call dealt with."""
    clean: set[tuple[str, int, int]] = field(default_factory=set)
    """Files (path, size, time) that hold no row of any target."""
    versions: set[int] = field(default_factory=set)

    def going(self) -> set[str]:
        """Targets that are still to go."""
        return set(self.targets) - set(self.kept)


def erase(table: str, shape: RowShape, targets: Sequence[Target], settled_s: float) -> Erased:
    """Take the rows out of the table and out of all its past versions."""
    call = Call(table, shape, {}, settled_s)
    for target in targets:
        if call.targets.setdefault(target.selector, target) != target:
            call.kept[target.selector] = "it is listed twice, with different stamps"
    with datafiles.locked(os.path.join(table, logs.LOG)):
        _finish_a_killed_call(table)
        done = False
        for _ in range(ATTEMPTS):
            if done := _attempt(call):
                break
        if not done:
            _keep_all(call, "other programs kept changing the table meanwhile; try again when they are done")
        gone = call.found - set(call.kept)
        logs.scrub(table, gone.__contains__)
    return Erased(
        erased=tuple(s for s in call.targets if s in gone),
        absent=tuple(s for s in call.targets if s not in call.kept and s not in gone),
        kept=tuple(Kept(selector, reason) for selector, reason in call.kept.items()),
        gone=Gone.D2,
        notes=_notes(call),
    )


def _notes(call: Call) -> tuple[str, ...]:
    if not call.versions:
        return ()
    several = f"Versions {min(call.versions)} to {max(call.versions)}" if len(call.versions) > 1 else "Version"
    which = several if len(call.versions) > 1 else f"Version {min(call.versions)}"
    return (
        f"{which} of the table: where they held the erased rows they now read without them; counts in their commit records and "
        "change feeds are those of the time.",
    )


def _finish_a_killed_call(table: str) -> None:
    copies = logs.noted(table)
    if copies:
        log = logs.read(table)
        # Of what the killed call had in hand only files that no longer count in the newest version are carried on.
        _carry_on(log, {path: copy for path, copy in copies.items() if path not in log.active})
    log = logs.read(table)
    for path in logs.left_over(table):
        os.unlink(path)
    named = {log.place(path) for path in log.named}
    ours = [path for path, _ in datafiles.walk(table) if path.endswith(datafiles.OURS) and path not in named]
    datafiles.remove(ours, table)
    if copies:
        logs.forget(table)


def _carry_on(log: Log, copies: logs.Copies) -> list[int]:
    """What follows the commit; idempotent."""
    versions = logs.rewrite(log.table, copies)
    places = [log.place(path) for path in copies]
    datafiles.remove([place for place in places if place is not None], log.table)
    return versions


def _attempt(call: Call) -> bool:
    """One round; whether nothing of the targets is left, but for those that are kept."""
    log = logs.read(call.table)
    hits = _look_everywhere(call, log)
    if not hits:
        return True
    if reason := why_not(log):
        _keep_all(call, reason)
        return True
    copies, orphans = _copies(call, log, hits)
    going = call.going()
    if copies:
        logs.note(call.table, copies)
        if any(path in log.active for path in copies) and logs.commit(log, _actions(log, copies)) is None:
            _discard(log, copies)
            return False
        call.versions.update(_carry_on(log, copies))
        logs.forget(call.table)
    datafiles.remove(orphans, call.table)
    call.found |= going & {selector for _, seen in hits for selector in seen.selectors()}
    return not _look_everywhere(call, logs.read(call.table))


def why_not(log: Log) -> str:
    """Why nothing may be taken out of this table by us; empty when it may."""
    version = int(log.protocol.get("minWriterVersion") or 0)
    features = set(log.protocol.get("writerFeatures") or ())
    if version > 7 or features - _FEATURES:
        odd = ", ".join(sorted(features - _FEATURES)) or f"writer version {version}"
        return f"the table asks writers for what unsee does not know ({odd}): drop that feature from the table, or erase there"
    if (log.metadata.get("configuration") or {}).get("delta.appendOnly", "").casefold() == "true":
        return "the table is append-only (delta.appendOnly): set that property to false for the erasure"
    return ""


def _keep_all(call: Call, reason: str) -> None:
    for selector in call.going():
        call.kept[selector] = reason


def _look_everywhere(call: Call, log: Log) -> list[tuple[Found, Hits]]:
    """The files, of any version or none, that hold rows that must go; what cannot be erased is noted as kept."""
    hits: list[tuple[Found, Hits]] = []
    for found in all_files(log):
        known = (found.place, found.seen.st_size, found.seen.st_mtime_ns)
        if known in call.clean:
            continue
        file = data_file(log, call.shape, found)
        try:
            seen = datafiles.look(file, set(call.targets))
        except StoreError as error:
            _unreadable(call, found, error)
            continue
        if not seen.at:
            call.clean.add(known)
            continue
        hits.append((found, seen))
    for found, seen in hits:
        if reason := _why_kept(call, log, found):
            for selector in seen.selectors():
                call.kept.setdefault(selector, reason)
    going = call.going()
    return [(found, some) for found, seen in hits if (some := seen.only(going)).at]


def _unreadable(call: Call, found: Found, error: StoreError) -> None:
    if found.path is None and _settled(call, found):
        datafiles.remove([found.place], call.table)  # a write that ended half-way, of no version
        return
    _keep_all(call, f"{found.name} cannot be read, so that it may hold the row: {error}")


def _settled(call: Call, found: Found) -> bool:
    """Whether a file of no version is too old to be part of a commit that is under way."""
    return time.time() - max(found.seen.st_mtime, found.seen.st_ctime) >= call.settled_s


def _why_kept(call: Call, log: Log, found: Found) -> str:
    if found.path is None and not _settled(call, found):
        return (
            f"{found.name}, which no version names, holds it and is younger than {call.settled_s:,.0f} s: another program may be "
            "about to commit it; try again later"
        )
    if found.path in log.vectored:
        return (
            f"a version reads {found.name} through a deletion vector, which counts its rows: have the table's own tool rewrite "
            "the file first (REORG TABLE … APPLY (PURGE)), and vacuum"
        )
    return ""


def _copies(call: Call, log: Log, hits: list[tuple[Found, Hits]]) -> tuple[dict[str, Copy | None], list[str]]:
    """A copy of each file of a version without the rows, and the files of no version. Members whose stamp changed stay."""
    written: dict[str, tuple[Copy | None, set[str]]] = {}
    while True:
        going = call.going()
        stamps: dict[str, list[str]] = {}
        for found, seen in hits:
            some = seen.only(going)
            if found.path is None or not some.at:
                continue
            if written.get(found.path, (None, set()))[1] != some.selectors():
                copy, noted = _copy(call, log, found, some)
                written[found.path] = (copy, some.selectors())
                if found.path in log.active:
                    for selector, parts in noted.items():
                        stamps.setdefault(selector, []).extend(parts)
        changed = [
            s for s, parts in stamps.items() if call.targets[s].stamp not in {None, datafiles.member_stamp(parts)}
        ]
        if not changed:
            break
        for selector in changed:
            call.kept[selector] = "it was replaced or changed since the plan was made"
        for path in [path for path, (_, selectors) in written.items() if selectors & set(changed)]:
            copy, _ = written.pop(path)
            _discard(log, {path: copy})
    orphans = [found.place for found, seen in hits if found.path is None and seen.only(going).at]
    return {path: copy for path, (copy, _) in written.items()}, orphans


def _copy(call: Call, log: Log, found: Found, hits: Hits) -> tuple[Copy | None, dict[str, list[str]]]:
    file = data_file(log, call.shape, found)
    if hits.whole():
        stamped = any(call.targets[s].stamp is not None for s in hits.selectors())
        return None, datafiles.stamps(file, hits) if stamped and found.path in log.active else {}
    above = os.path.dirname(found.place)
    place = os.path.join(above, f"part-00000-{uuid.uuid4()}-c000{datafiles.OURS}")
    metadata, stamps = datafiles.copy_without(file, hits, place)
    datafiles.flush(above)
    seen = os.stat(place)
    stats = json.dumps(statistics(metadata), ensure_ascii=False)
    return Copy(logs.path_of(log.table, place), seen.st_size, seen.st_mtime_ns // 1_000_000, stats), stamps


def _discard(log: Log, copies: logs.Copies) -> None:
    places = [log.place(copy.path) for copy in copies.values() if copy is not None]
    datafiles.remove([place for place in places if place is not None], log.table)
    logs.forget(log.table)


def _actions(log: Log, copies: logs.Copies) -> list[logs.Action]:
    now = time.time_ns() // 1_000_000
    told = {
        "timestamp": now,
        "operation": "DELETE",
        "operationParameters": {},
        "readVersion": log.version,
        "isBlindAppend": False,
        "engineInfo": "unsee",
    }
    actions: list[logs.Action] = [{"commitInfo": told}]
    for path, copy in copies.items():
        if path not in log.active:
            continue
        add = log.active[path]
        removed = {
            "path": path,
            "deletionTimestamp": now,
            "dataChange": True,
            "extendedFileMetadata": True,
            "partitionValues": add.get("partitionValues") or {},
            "size": add.get("size"),
        }
        actions.append({"remove": removed})
        if copy is not None:
            kept = {
                name: value for name, value in add.items() if name not in {"stats", "stats_parsed", "deletionVector"}
            }
            actions.append({"add": {**copy.instead_of(kept), "stats": copy.stats, "dataChange": True}})
    return actions


def statistics(metadata: Any) -> dict[str, Any]:
    """The `stats` of an `add`: the count of rows, and bounds of flat columns of numbers and text, as the file itself has them."""
    low: dict[str, Any] = {}
    high: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    unbounded: set[str] = set()
    for group in range(metadata.num_row_groups):
        for n in range(metadata.num_columns):
            column = metadata.row_group(group).column(n)
            name, seen = column.path_in_schema, column.statistics
            if "." in name or seen is None or not seen.has_null_count:
                unbounded.add(name)
                continue
            nulls[name] = nulls.get(name, 0) + seen.null_count
            if not seen.has_min_max:
                if seen.null_count < column.num_values:
                    unbounded.add(name)
                continue
            if not _bounds_fit(seen.min) or not _bounds_fit(seen.max):
                unbounded.add(name)
                continue
            low[name] = min(low.get(name, seen.min), seen.min)
            high[name] = max(high.get(name, seen.max), seen.max)
    bounded = {name for name in low if name not in unbounded}
    return {
        "numRecords": metadata.num_rows,
        "minValues": {name: low[name] for name in sorted(bounded)},
        "maxValues": {name: high[name] for name in sorted(bounded)},
        "nullCount": {name: count for name, count in sorted(nulls.items()) if name not in unbounded},
    }


def _bounds_fit(value: object) -> bool:
    """Numbers and short text are spelled in JSON as they are; what would need rounding or cutting is left out."""
    if isinstance(value, str):
        return len(value) <= 64
    return isinstance(value, int) and not isinstance(value, bool)
