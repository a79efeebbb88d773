"""What one shard holds: members, what is none, and what earlier erasures left."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from unsee.stores.contract import Skipped
from unsee.stores.names import spell
from unsee.stores.tar import headers, sources
from unsee.stores.tar.headers import LINK, VOID, Broken, Entry, Source
from unsee.stores.tar.spelling import Selected, digest_of, sample_of, selector_of

HEAD_BYTES = 4096
"""Of its data, that a member's stamp depends on: headers alone are equal where a writer sets one time for all."""
ERASED = b"__erased__/"
"""Begins the names of voids. `webdataset` passes over such names on its own account."""
HALF = ERASED + b"erasing"
DONE = ERASED + b"zeroed"
MOST_SPARSE_BYTES = 1 << 30
"""A sparse member is unfolded in memory; larger ones are not read."""
_KINDS = {
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"5": "a directory",
    b"6": "a fifo",
    b"V": "a volume label",
    b"D": "a directory listing of an incremental backup",
    b"M": "the continuation of another volume",
    b"\0": "a directory",
}


@dataclass(frozen=True, slots=True)
class Held:
    """One entry that is a member, or one of the entries that are one member."""

    entry: Entry
    holder: Entry
    """The entry that holds its bytes: itself, or the one that a hard link points to."""
    digest: str
    """Of the headers and the beginning of the data: its stamp without the place."""

    @property
    def link(self) -> bool:
        """Whether it is a hard link to another entry of the shard."""
        return self.entry is not self.holder

    def stamp(self, *, linked: bool, placed: bool) -> str:
        """`DIGEST@OFFSET`, with a `+` where hard links point to it. What follows the `@` is a hint and no part of what it says."""
        if not placed:
            return self.digest
        return f"{self.digest}@{self.entry.start}{'+' if linked or self.link else ''}"


@dataclass(slots=True)
class Listing:
    """One shard as its headers show it."""

    by_name: dict[bytes, list[Held]] = field(default_factory=lambda: defaultdict(list))
    skipped: list[tuple[bytes, str]] = field(default_factory=list)
    voids: list[Entry] = field(default_factory=list)
    broken: Broken | None = None
    """Why it could not be read to its end."""
    content: dict[int, str] = field(default_factory=dict)
    """Digest of the bytes of each entry that shares its name with others, by its offset."""

    def members(self) -> Iterator[tuple[str, list[Held]]]:
        """Each selector with its entries, in the order of the shard."""
        for name, held in self.by_name.items():
            if len(held) == 1:
                yield selector_of(name), held
                continue
            alike: dict[str, list[Held]] = defaultdict(list)
            for one in held:
                alike[self.content[one.entry.start]].append(one)
            if len(alike) == 1:
                yield selector_of(name), held
                continue
            for digest, some in alike.items():
                yield selector_of(name, digest), some

    def find(self, wanted: Selected) -> list[Held]:
        """The entries that a selector names, in the order of the shard."""
        held = self.by_name.get(wanted.name, [])
        if wanted.digest is None:
            return list(held)
        return [one for one in held if self.content.get(one.entry.start) == wanted.digest]

    def linked(self) -> set[int]:
        """Offsets of the entries that hard links point to."""
        return {one.holder.start for held in self.by_name.values() for one in held if one.link}

    def samples(self) -> int:
        """How many samples WebDataset readers make of it: runs of entries with one key."""
        count, last = 0, None
        for key in (sample_of(e.name) for e in self.regular()):
            if key and key != last:
                count += 1
            last = key or last
        return count

    def regular(self) -> list[Entry]:
        """The entries that hold bytes of their own, in order."""
        return sorted(
            (one.entry for held in self.by_name.values() for one in held if not one.link), key=lambda entry: entry.start
        )


def listing(file: int, how: str, *, tell_apart: Collection[bytes] = ()) -> Listing:
    """The shard in an open file.

    Args:
        how: it is packed, as `sources.packing` says.
        tell_apart: names whose entries' bytes are to be told apart even where they are single.
    Cost: the headers and the first 4 KB of each member; a packed shard is unpacked as a whole. Where names come twice, twice.
    """
    return listed(lambda: sources.source(file, how), tell_apart=tell_apart)


def listed(opened: Callable[[], AbstractContextManager[Source]], *, tell_apart: Collection[bytes] = ()) -> Listing:
    """As `listing`, from anywhere: `opened` gives the archive's bytes from their beginning, each time anew."""
    found = Listing()
    with opened() as source:
        _gather(source, found)
    again = {name for name, held in found.by_name.items() if len(held) > 1} | (set(tell_apart) & set(found.by_name))
    if again:
        with opened() as source:
            _tell_apart(source, found, again)
    return found


def data_of(source: Source, entry: Entry) -> Iterator[bytes]:
    """The stored bytes of an entry at which the source stands, in pieces of a megabyte.

    Raises:
        Broken: they end early.
    """
    left = entry.stored
    while left:
        piece = source.read(min(left, 1 << 20))
        if not piece:
            raise Broken(source.position, "the archive is cut off inside a member")
        left -= len(piece)
        yield piece


def unfolded(entry: Entry, stored: bytes) -> bytes:
    """The bytes of a member as its reader gets them: a sparse one with its zeros.

    Raises:
        Broken: it is too large to be unfolded.
    """
    if entry.sparse is None:
        return stored
    if entry.size > MOST_SPARSE_BYTES:
        raise Broken(entry.start, f"it is sparse, and {entry.size:,} bytes are too many to unfold")
    whole = bytearray(entry.size)
    at = 0
    for offset, length in entry.sparse:
        whole[offset : offset + length] = stored[at : at + length]
        at += length
    return bytes(whole)


def held_at(file: int, offset: int) -> Held | None:
    """The member of a plain shard whose first header lies at this offset; None where none does.

    Cost: one read.
    """
    source = sources.FileSource(file, offset)
    try:
        entry = headers.entry_at(source)
    except Broken:
        return None
    if entry is None or not entry.regular or entry.end > os.fstat(file).st_size:
        return None
    return Held(entry, entry, _digest(entry, _head(source, entry)))


def void_at(file: int, offset: int) -> Entry | None:
    """The void that lies at this offset of a plain shard, if one does."""
    try:
        entry = headers.entry_at(sources.FileSource(file, offset))
    except Broken:
        return None
    return entry if entry is not None and is_void(entry) and entry.end <= os.fstat(file).st_size else None


def is_void(entry: Entry) -> bool:
    """Whether it is what an erasure leaves."""
    return entry.kind == VOID and entry.name.startswith(ERASED)


def skip_reasons(object_name: str, found: Listing) -> Iterator[Skipped]:
    """What is no member, and why; at last why the shard could not be read to its end."""
    for name, reason in found.skipped:
        yield Skipped(object_name, spell(name) or "\\@empty", reason)
    if found.broken is not None:
        yield Skipped(object_name, "", str(found.broken))


def _gather(source: Source, found: Listing) -> None:
    last: dict[bytes, Entry] = {}
    entry: Entry | None = None
    try:
        for entry in headers.entries(source):
            if entry.regular:
                last[entry.name] = entry
                found.by_name[entry.name].append(Held(entry, entry, _digest(entry, _head(source, entry))))
            elif is_void(entry):
                found.voids.append(entry)
            elif entry.kind == LINK and entry.link in last:
                holder = last[entry.name] = last[entry.link]
                found.by_name[entry.name].append(Held(entry, holder, _digest(entry, b"")))
            elif entry.kind == LINK:
                reason = f"a hard link to {spell(entry.link)!r}, which the shard does not hold before it"
                found.skipped.append((entry.name, reason))
            else:
                what = _KINDS.get(entry.kind, f"an entry of the unknown kind {spell(entry.kind)!r}")
                found.skipped.append((entry.name, f"{what}, not a regular file"))
    except Broken as error:
        found.broken = error
        if (
            entry is not None and entry.end > source.position
        ):  # cut off in this one's bytes: it is none that can be read
            found.by_name[entry.name] = [one for one in found.by_name[entry.name] if one.entry.start != entry.start]
    for name in [name for name, held in found.by_name.items() if not held]:
        del found.by_name[name]


def _tell_apart(source: Source, found: Listing, names: Collection[bytes]) -> None:
    starts = {one.holder.start for name in names for one in found.by_name[name]}
    digests: dict[int, str] = {}
    try:
        for entry in headers.entries(source):
            if entry.start in starts:
                digests[entry.start] = digest_of(b"".join(data_of(source, entry)))
    except Broken as error:
        found.broken = error
    for name in names:
        for one in found.by_name[name]:
            # an entry that could not be read is told apart by where it lies; the shard is broken there
            found.content[one.entry.start] = digests.get(one.holder.start, digest_of(b"%d" % one.entry.start))


def _head(source: Source, entry: Entry) -> bytes:
    return source.read(min(HEAD_BYTES, entry.stored))


def _digest(entry: Entry, head: bytes) -> str:
    return hashlib.sha256(entry.digest + head).hexdigest()[:32]
