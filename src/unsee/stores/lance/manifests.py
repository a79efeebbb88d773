"""Old versions without the rows: under their own number, so that `version=1` and the tag `v1` stay readable.

The library can rewrite an old version only as a new one, at the head of its branch, or as a *detached* one, which its own
cleanup breaks. So the rewriting is the library's (a deletion and a compaction, committed detached), and then the manifest that it
wrote takes the place of the old version's, by one rename. Of the manifest (protobuf `lance.table.Manifest`, protos/table.proto of
github.com/lance-format/lance) three fields change: `version` (3) and `timestamp` (7) are those of the old version, and
`index_section` (6) goes, because indexes hold values of the rows. Everything else is bytes as the library wrote them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lance
from lance.optimize import Compaction, CompactionOptions

from unsee.stores.lance.tables import Trouble, opened, speaking

_VERSION, _INDEXES, _TIME = 3, 6, 7
_MAGIC = b"LANC"
_TAIL_BYTES = 16
"""Place of the manifest in its file (8), format version (4), magic (4)."""
NEW = ".unsee-erasing."
"""Begins the name of a manifest that is about to take another's place."""


@dataclass(slots=True)
class Rewritten:
    """How the fragments of one version were rewritten, so that others that share them share the new ones too."""

    groups: dict[tuple[str, ...], list[Any]] = field(default_factory=dict)
    """Fragments that were rewritten together, by identity, and those that took their place."""
    dropped: set[str] = field(default_factory=set)
    """Fragments of which no row is left."""


def identity(fragment: Any, *, numbered: bool = True) -> str:
    """The same for the same rows in the same files: its files, its deletions and, where `numbered`, its number in the version."""
    said = fragment.to_json()
    return json.dumps(said if numbered else {**said, "id": None}, sort_keys=True, default=str)


def renewable(path: Path) -> bool:
    """Whether the library can write detached versions here: it cannot where manifests are named in the older scheme."""
    return all(len(file.stem) == 20 for file in (path / "_versions").glob("[0-9]*.manifest"))


def rewrite(
    path: Path,
    version: int,
    rows: Iterable[tuple[int, int]],
    known: Rewritten,
    options: Callable[[Any], CompactionOptions],
) -> bool:
    """Put a manifest without these rows, what was deleted before, and indexes, in the place of this version's; whether it changed.

    Args:
        rows: `(row id, row address)` in this version.
        known: how the newest version's fragments were rewritten for the same names.
        options: for the compaction of a version.
    Raises:
        Trouble: the library cannot do it, or the manifest is of a kind that this cannot change. The version is as it was.
    """
    with speaking(f"version {version} cannot be rewritten"):
        dataset = opened(path, version)
        new = _without(dataset, list(rows), known, options)
        if new is None and not dataset.describe_indices():
            return False
        versions = path / "_versions"
        old = _manifest(versions, version)
        file = old if new is None else versions / f"d{new.version}.manifest"
        _put(old, changed(file.read_bytes(), old.read_bytes()))
        return True


def _without(
    dataset: Any, rows: Sequence[tuple[int, int]], known: Rewritten, options: Callable[[Any], CompactionOptions]
) -> Any:
    """A detached version without the rows; None where nothing has to go."""
    fragments = {fragment.fragment_id: fragment for fragment in dataset.get_fragments()}
    by_fragment: dict[int, list[int]] = {}
    for row, address in rows:
        by_fragment.setdefault(address >> 32, []).append(row)
    hit = {n for n, fragment in fragments.items() if n in by_fragment or fragment.metadata.num_deletions}
    if not hit:
        return None
    by_identity = {identity(fragments[n].metadata): n for n in hit}
    gone = [n for key, n in by_identity.items() if key in known.dropped]
    shared = [
        ([by_identity[key] for key in keys], new)
        for keys, new in known.groups.items()
        if all(key in by_identity for key in keys)
    ]
    own = hit - set(gone) - {n for old, _ in shared for n in old}
    updated = []
    for n in sorted(own & by_fragment.keys()):
        left = fragments[n].delete(f"_rowid in ({', '.join(map(str, by_fragment[n]))})")
        if left is None:
            gone.append(n)
        else:
            updated.append(left)
    own -= set(gone)
    at = dataset
    if updated or gone:
        operation = lance.LanceOperation.Delete(updated, sorted(gone), "")
        at = lance.LanceDataset.commit(dataset, operation, read_version=dataset.version, detached=True)
    groups = [([fragments[n].metadata for n in old], list(new)) for old, new in shared]
    if own:
        others = [fragment.fragment_id for fragment in at.get_fragments() if fragment.fragment_id not in own]
        plan = Compaction.plan(at, {**options(at), "excluded_fragment_ids": others})
        groups += [(task.fragments, task.execute(at).new_fragments) for task in plan.tasks]
    if not groups:
        return at
    return _commit(at, groups)


def _commit(dataset: Any, groups: list[tuple[list[Any], list[Any]]]) -> Any:
    number = max(fragment.fragment_id for fragment in dataset.get_fragments())
    numbered = []
    for old, new in groups:
        own = []
        for fragment in new:
            number += 1
            own.append(_numbered(fragment, number))
        numbered.append(lance.LanceOperation.RewriteGroup(old, own))
    operation = lance.LanceOperation.Rewrite(numbered, [])
    return lance.LanceDataset.commit(dataset, operation, read_version=dataset.version, detached=True)


def _numbered(fragment: Any, number: int) -> Any:
    copy = lance.FragmentMetadata.from_json(json.dumps(fragment.to_json()))
    copy.id = number
    return copy


def _put(old: Path, new: bytes) -> None:
    beside = old.with_name(NEW + old.name)
    with beside.open("wb") as file:
        file.write(new)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(old)


def _manifest(versions: Path, version: int) -> Path:
    """Its file, which is named by 2^64 - 1 - version."""
    file = versions / f"{(1 << 64) - 1 - version:020d}.manifest"
    if not file.is_file():
        raise Trouble(f"the manifest of version {version} is not there")
    return file


def changed(new: bytes, old: bytes) -> bytes:
    """The new manifest file as another version: number and time from the old one, without indexes.

    Raises:
        Trouble: one of them is not as manifests are.
    """
    head, body, tail = _parts(new)
    original = dict(_fields(_parts(old)[1]))
    if _VERSION not in original:
        raise Trouble("the manifest states no version")
    kept = [raw for number, raw in _fields(body) if number not in {_VERSION, _INDEXES, _TIME}]
    kept += [original[number] for number in (_VERSION, _TIME) if number in original]
    message = b"".join(kept)
    return head + len(message).to_bytes(4, "little") + message + len(head).to_bytes(8, "little") + tail


def _parts(file: bytes) -> tuple[bytes, bytes, bytes]:
    """What stands before the manifest, the manifest, and the last eight bytes."""
    start = int.from_bytes(file[-_TAIL_BYTES:-8], "little")
    length = int.from_bytes(file[start : start + 4], "little")
    if len(file) < _TAIL_BYTES + 4 or file[-4:] != _MAGIC or start + 4 + length != len(file) - _TAIL_BYTES:
        raise Trouble("the manifest file is not laid out as this program knows it")
    return file[:start], file[start + 4 : start + 4 + length], file[-8:]


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """`(number, bytes with its tag)` of each field of a protobuf message (protobuf.dev/programming-guides/encoding).

    Raises:
        Trouble: it ends within a field, or holds a kind of field that manifests do not.
    """
    position = 0
    while position < len(message):
        start = position
        tag, position = _varint(message, position)
        wire = tag & 7
        if wire == 0:
            _, position = _varint(message, position)
        elif wire == 2:
            length, position = _varint(message, position)
            position += length
        elif wire in {1, 5}:
            position += 8 if wire == 1 else 4
        else:
            raise Trouble(f"the manifest holds a field of wire type {wire}")
        if position > len(message):
            raise Trouble("the manifest ends within a field")
        yield tag >> 3, message[start:position]


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(message) and shift < 70:
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
    raise Trouble("the manifest ends within a number")
