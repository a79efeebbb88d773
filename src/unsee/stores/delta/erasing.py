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
from functools import partial
from typing import Any

from unsee.core.errors import StoreError
from unsee.stores import datafiles, rowerasure
from unsee.stores.contract import Erased, Target
from unsee.stores.datafiles import Hits
from unsee.stores.delta import log as logs
from unsee.stores.delta.files import all_files, data_file
from unsee.stores.delta.log import Copy, Log
from unsee.stores.rowerasure import ATTEMPTS, Call, Copying, Found
from unsee.stores.rows import RowShape

_FEATURES = frozenset(
    {
        "appendOnly", "changeDataFeed", "checkConstraints", "clustering", "columnMapping", "deletionVectors", "domainMetadata",
        "generatedColumns", "identityColumns", "invariants", "timestampNtz", "typeWidening", "v2Checkpoint", "vacuumProtocolCheck",
    }
)  # fmt: skip
"""Writer features that ask nothing of a commit that only leaves rows out."""


def erase(table: str, shape: RowShape, targets: Sequence[Target], settled_s: float) -> Erased:
    """Take the rows out of the table and out of all its past versions.

    Raises:
        StoreError, OSError: the log cannot be read, the disk is full; the table reads as before or as after.
    """
    call = Call.of(targets, settled_s)
    with datafiles.locked(os.path.join(table, logs.LOG)):
        _finish_a_killed_call(table)
        for _ in range(ATTEMPTS):
            if _attempt(call, table, shape):
                break
        else:
            call.keep_all("other programs kept changing the table meanwhile; try again when they are done")
        logs.scrub(table, (set(call.targets) - set(call.kept)).__contains__)
    return call.outcome(_notes(call))


def _notes(call: Call) -> tuple[str, ...]:
    if not call.versions:
        return ()
    first, last = min(call.versions), max(call.versions)
    which = f"Version {first}" if first == last else f"Versions {first} to {last}"
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


def _attempt(call: Call, table: str, shape: RowShape) -> bool:
    """One round; whether nothing of the targets is left, but for those that are kept."""
    log = logs.read(table)
    hits = _look_everywhere(call, log, shape)
    if not hits:
        return True
    if reason := why_not(log):
        call.keep_all(reason)
        return True
    how = Copying(partial(_copy, call, log, shape), partial(_discard, log), log.active.__contains__)
    copies = rowerasure.copies(call, hits, how)
    going = call.going()
    if copies:
        for above in sorted({os.path.dirname(found.place) for found, _ in hits}):
            datafiles.flush(above)
        logs.note(table, copies)
        if any(path in log.active for path in copies) and logs.commit(log, _actions(log, copies)) is None:
            for copy in copies.values():
                _discard(log, copy)
            logs.forget(table)
            return False
        call.versions.update(_carry_on(log, copies))
        logs.forget(table)
    datafiles.remove([found.place for found, seen in hits if found.path is None and seen.only(going).at], table)
    call.found |= going & {selector for _, seen in hits for selector in seen.selectors()}
    return not _look_everywhere(call, logs.read(table), shape)


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


def _look_everywhere(call: Call, log: Log, shape: RowShape) -> list[tuple[Found, Hits]]:
    """The files, of any version or none, that hold rows that must go; what cannot be erased is noted as kept."""
    hits: list[tuple[Found, Hits]] = []
    for found in all_files(log):
        known = (found.place, found.seen.st_size, found.seen.st_mtime_ns)
        if known in call.clean:
            continue
        file = data_file(log, shape, found)
        try:
            seen = datafiles.look(file, set(call.targets))
        except StoreError as error:
            _unreadable(call, log, found, error)
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


def _unreadable(call: Call, log: Log, found: Found, error: StoreError) -> None:
    if found.path is None and call.settled(found.seen):
        datafiles.remove([found.place], log.table)  # a write that ended half-way, of no version
        return
    call.keep_all(f"{found.name} cannot be read, so that it may hold the row: {error}")


def _why_kept(call: Call, log: Log, found: Found) -> str:
    if found.path is None and not call.settled(found.seen):
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


def _copy(call: Call, log: Log, shape: RowShape, found: Found, hits: Hits) -> tuple[Copy | None, dict[str, list[str]]]:
    file = data_file(log, shape, found)
    if hits.whole():
        stamped = hits.only(call.stamped())
        return None, datafiles.stamps(file, stamped) if stamped.at and found.path in log.active else {}
    above = os.path.dirname(found.place)
    place = os.path.join(above, f"part-00000-{uuid.uuid4()}-c000{datafiles.OURS}")
    metadata, stamps = datafiles.copy_without(file, hits, place, call.stamped() if found.path in log.active else ())
    seen = os.stat(place)
    stats = json.dumps(statistics(metadata), ensure_ascii=False)
    return Copy(logs.path_of(log.table, place), seen.st_size, seen.st_mtime_ns // 1_000_000, stats), stamps


def _discard(log: Log, copy: Copy | None) -> None:
    place = log.place(copy.path) if copy is not None else None
    if place is not None:
        datafiles.remove([place], log.table)


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
