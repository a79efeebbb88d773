"""Tar shards under keys of a bucket: each key that ends in `.tar` is an object, each regular file in it a member.

So is each other content under such a key, older or hidden by a delete marker: an object named as `keys` names contents.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from unsee.core.errors import StoreError
from unsee.core.evidence import Gone
from unsee.core.ids import StoreId
from unsee.stores.contract import Capability, Erased, HeldVersion, Kept, Member, RawPart, Residue, Skipped, Target
from unsee.stores.names import ROOT, spell
from unsee.stores.s3 import bucket, erasing, reading, rewriting, versions
from unsee.stores.s3.asking import Answered, Place
from unsee.stores.s3.keys import key_of, split_content
from unsee.stores.s3.store import S3Store
from unsee.stores.s3.versions import Version
from unsee.stores.tar import archive, resolving
from unsee.stores.tar.archive import Listing
from unsee.stores.tar.headers import Broken
from unsee.stores.tar.spelling import sample_of, selected

SUFFIX = ".tar"
WINDOW = 16 << 10
"""Bytes of one ranged request while headers are read: a header and what a stamp depends on. Small shards are read at once."""
LARGE_BYTES = 1 << 20
"""Members from this size on are passed over. Smaller ones are read with their headers, since each request waits for the service."""
METHOD = "shards written anew without the members, versions that held them deleted by id"
"""How members are erased, for the certificate."""
LIMITS: tuple[str, ...] = (
    "Keys that do not end in .tar are not looked at: register the prefix a second time, without tar, for them.",
    "A shard that is rewritten has a new ETag, and loses its access control list.",
    "Versions of a shard that are not current and hold what is erased are deleted as a whole, with their other members.",
    "Indexes beside shards are not changed.",
)


class RangeSource:
    """The archive in one version of a key, read by ranges."""

    def __init__(self, place: Place, version: Version) -> None:
        self._place, self._version, self.position = place, version, 0
        self._window, self._from = b"", 0
        self._passed = LARGE_BYTES

    def read(self, length: int) -> bytes:
        """The next bytes; fewer only at the end."""
        length = max(0, min(length, self._version.size_bytes - self.position))
        at = self.position - self._from
        if not (at >= 0 and at + length <= len(self._window)):
            window = WINDOW if self._passed >= LARGE_BYTES else reading.PIECE_BYTES
            if self._version.size_bytes <= rewriting.SMALL_BYTES:
                window = self._version.size_bytes
            wanted = min(max(length, window), self._version.size_bytes - self.position)
            key, version_id = self._version.key, self._version.version_id
            self._window = reading.get(self._place, key, self.position, wanted, VersionId=version_id)
            self._from, at = self.position, 0
        data = self._window[at : at + length]
        self.position += len(data)
        return data

    def skip(self, length: int) -> int:
        """Pass over bytes without asking for them; how many there were."""
        passed = max(0, min(length, self._version.size_bytes - self.position))
        self.position += passed
        self._passed = passed
        return passed


@dataclass(slots=True)
class _Shard:
    """What lies under one key, or of it the versions with one content."""

    key: str
    content: str = ""
    current: Version | None = None
    """None where a content is named: what is current goes by the name of the key."""
    older: list[Version] = field(default_factory=list)
    again: bool = False
    """The content that is named is the current one."""

    @property
    def shown(self) -> Version | None:
        """The version whose members are those of the object."""
        return self.older[0] if self.content and self.older else self.current


@dataclass(frozen=True, slots=True)
class S3TarStore:
    """The tar shards of a bucket, or of what lies below a prefix of it, as a store."""

    id: StoreId
    location: str
    place: Place

    def capability(self) -> Capability:
        """What it can do, and what it cannot; the bucket is asked for its configuration."""
        found, keeps = bucket.limits(self.place)
        limits = (*bucket.ALWAYS, *LIMITS, *found)
        return Capability(kind="s3", best_gone=Gone.D2, keeps_history=keeps, limits=limits, method=METHOD)

    def scan(self) -> Iterator[Member | Skipped]:
        """Every member of every shard, by key, then what is none; so too of each other content under the key.

        What the current version holds as well is listed there alone: `erase` takes it from all versions.

        Cost: a ranged request a header, 16 KB each, where members are large; otherwise the shard, 4 MB at a time.
        """
        above, current = "", frozenset[tuple[str, str]]()
        for found in self._keys().scan():
            if not split_content(found.selector)[0].endswith(SUFFIX):
                continue
            name = found.selector if found.object == ROOT else f"{found.object}/{found.selector}"
            shown = self._shard(name).shown
            if shown is None:
                continue
            try:
                listing = self._listing(shown)
            except Answered as error:
                yield Skipped(name, "", f"it cannot be read: {error}")
                continue
            members = [(selector, held[-1]) for selector, held in listing.members()]
            if above != shown.key:
                above, current = shown.key, frozenset[tuple[str, str]]()
            for selector, held in members:
                if (selector, held.digest) in current:
                    continue
                stamp = selected(selector).digest or held.digest
                yield Member(name, selector, held.holder.size, stamp, spell(sample_of(held.entry.name)))
            if shown.current:
                current = frozenset((selector, held.digest) for selector, held in members)
            yield from archive.skip_reasons(name, listing)

    def read(self, object_name: str, selector: str, *, limit_bytes: int | None = None) -> bytes:
        """The bytes of one member; of several entries with this name the last one's.

        Raises:
            PathEscape: no shard or member is named so.
            StoreError: it is not there, is larger than `limit_bytes`, or cannot be read.
        """
        ((_, data),) = self.read_many(object_name, [selector], limit_bytes=limit_bytes)
        if isinstance(data, StoreError):
            raise data
        return data

    def read_many(
        self, object_name: str, selectors: Sequence[str], *, limit_bytes: int | None = None
    ) -> Iterator[tuple[str, bytes | StoreError]]:
        """The bytes of many members, or why one cannot be read: the headers once, then a ranged request a member.

        Raises:
            PathEscape: no shard or member is named so.
            StoreUnreachable: the bucket cannot be reached.
        """
        wanted = {selector: selected(selector) for selector in selectors}
        shown = self._shard(object_name).shown
        names = [one.name for one in wanted.values() if one.digest]
        why: Answered | str = "there is no such member"
        try:
            listing = self._listing(shown, names) if shown else Listing()
        except Answered as error:
            listing, why = Listing(), error
        if listing.broken is not None:
            why = f"it was not found, and the shard cannot be read to its end: {listing.broken}"
        for selector, one in wanted.items():
            held = listing.find(one)
            if shown is None or not held:
                yield selector, self._unreadable(object_name, selector, why)
                continue
            entry = held[-1].holder
            if limit_bytes is not None and entry.size > limit_bytes:
                yield selector, self._unreadable(object_name, selector, f"it is larger than {limit_bytes:,} bytes")
                continue
            try:
                stored = reading.get(self.place, shown.key, entry.data, entry.stored, VersionId=shown.version_id)
                yield selector, archive.unfolded(entry, stored)
            except (Answered, Broken) as error:
                yield selector, self._unreadable(object_name, selector, error)

    def stamps(self, object_name: str, selectors: Sequence[str]) -> list[str | None]:
        """The present stamp of each member: a digest of its headers and first bytes, or of all where names come twice."""
        wanted = [selected(selector) for selector in selectors]
        shown = self._shard(object_name).shown
        if shown is None:
            return [None] * len(wanted)
        try:
            listing = self._listing(shown, [one.name for one in wanted if one.digest])
        except Answered as error:
            raise self._unreadable(object_name, "", error) from error
        found = [(one, listing.find(one)) for one in wanted]
        return [(one.digest or held[-1].digest) if held else None for one, held in found]

    def erase(self, object_name: str, targets: Sequence[Target]) -> Erased:
        """Write the shard anew without the members, then delete every older version that holds one of them.

        Where the object is a content that is not current, its versions are deleted as a whole.

        The service copies what stays; only stretches too short for a part pass through this machine. The new object takes the
        old one's place at once and only if nobody wrote meanwhile. A killed call leaves an unfinished upload, or older versions:
        the next call removes them.

        Cost: the headers of every version; a request a part.
        """
        wanted: dict[str, Target] = {}
        kept: dict[str, Kept] = {}
        for target in targets:
            selected(target.selector)
            if wanted.setdefault(target.selector, target) != target:
                kept[target.selector] = Kept(target.selector, "it is listed twice, with different stamps")
        wanted = {selector: target for selector, target in wanted.items() if selector not in kept}
        if not wanted:
            return Erased((), (), tuple(kept.values()), Gone.D2)
        notes: list[str] = []
        try:
            done = self._erase(self._shard(object_name), wanted, kept, notes)
        except (Answered, Broken) as error:
            reason = f"the shard cannot be rewritten: {error}"
            return Erased((), (), tuple(kept.get(s, Kept(s, reason)) for s in {**wanted, **kept}), Gone.D2)
        absent = tuple(selector for selector in wanted if selector not in done and selector not in kept)
        erased = tuple(selector for selector in wanted if selector in done and selector not in kept)
        return Erased(erased, absent, tuple(kept.values()), Gone.D2, tuple(notes))

    def _erase(self, shard: _Shard, wanted: Mapping[str, Target], kept: dict[str, Kept], notes: list[str]) -> set[str]:
        """What was there and is gone; reasons go to `kept`."""
        if shard.again:
            raise Answered("PreconditionFailed", "it is what readers get: it is current again; plan anew")
        for upload in versions.uploads(self.place, shard.key):
            if upload.key == shard.key:
                erasing.abort(self.place, upload)
        done: set[str] = set()
        known: dict[str, Listing] = {}
        if shard.current is not None:
            found = resolving.by_listing(partial(self._listing, shard.current), wanted)
            kept.update({selector: Kept(selector, reason) for selector, reason in found.kept.items()})
            if found.going and found.listing is not None:
                if found.listing.broken is not None:
                    raise found.listing.broken
                rewriting.rewrite(self.place, shard.current, found.entries(), found.listing, self._listing)
                done |= set(found.going)
                known[shard.current.version_id] = found.listing
        names = {selector: selected(selector).name for selector in wanted if selector not in kept}
        doomed: dict[Version, set[str]] = {}
        others: set[bytes] = set()
        for version in self._shard_of(shard.key, shard.content).older:
            listing = known.get(version.version_id) or self._listing(version)
            inside = {selector for selector, name in names.items() if name in listing.by_name}
            if inside or listing.broken is not None:
                doomed[version] = inside or set(names)
                if version.version_id not in known:
                    others |= listing.by_name.keys() - set(names.values())
        if others:
            words = f"{len(others):,} other members" if len(others) > 1 else "another member"
            notes.append(f"Versions of shards that readers did not get were deleted as a whole, with {words}.")
        refused = erasing.remove(self.place, list(doomed))
        locks = erasing.locks_of(self.place, list(refused))
        left = {version.version_id for version in self._shard_of(shard.key, shard.content).older}
        for version, selectors in doomed.items():
            done |= selectors
            if version.version_id in left:
                lock = locks.get((version.key, version.version_id), "")
                why = lock or refused.get(version) or "the service said that it was deleted"
                for selector in selectors:
                    reason = f"version {version.version_id} of the shard, which holds it, stays: {why}"
                    kept[selector] = Kept(selector, reason, held=bool(lock))
        return done

    def probe(self, object_name: str, selectors: Sequence[str]) -> tuple[Residue, ...]:
        """Which members are in any version of the object; an unfinished upload may hold any of them.

        Raises:
            StoreError: a version cannot be read; not seeing is not the same as not there.
        """
        names = {selector: selected(selector) for selector in selectors}
        shard = self._shard(object_name)
        left: dict[str, list[str]] = {}
        try:
            for version in [*([shard.current] if shard.current else []), *shard.older]:
                listing = self._listing(version, [one.name for one in names.values() if one.digest])
                if listing.broken is not None:
                    raise listing.broken
                where = "current" if version.current else f"version {version.version_id}"
                for selector, one in names.items():
                    if listing.find(one):
                        left.setdefault(selector, []).append(where)
            for upload in versions.uploads(self.place, shard.key):
                if upload.key == shard.key:
                    for selector in names:
                        left.setdefault(selector, []).append(f"perhaps unfinished upload {upload.upload_id}")
        except (Answered, Broken) as error:
            raise self._unreadable(object_name, "", error) from error
        return tuple(Residue(selector, ", ".join(where)) for selector, where in left.items())

    def raw(self) -> Iterator[RawPart | Skipped]:
        """Every version of every shard; unfinished uploads as `Skipped`."""
        for part in self._keys().raw():
            name = part.where if isinstance(part, RawPart) else part.selector
            if name.endswith(SUFFIX):
                yield part

    def tidy(self, object_names: Sequence[str]) -> tuple[str, ...]:
        """Nothing: an empty shard stays, as readers have it in their lists."""
        for name in object_names:
            self._split(name)
        return ()

    def history(self, object_name: str) -> tuple[HeldVersion, ...]:
        """Versions of the shard behind the current one."""
        older = self._shard(object_name).older
        locked = erasing.locks_of(self.place, older) if older and bucket.locks(self.place) else {}
        return tuple(HeldVersion(f"version {v.version_id}", not locked.get((v.key, v.version_id))) for v in older)

    def _keys(self) -> S3Store:
        return S3Store(self.id, self.location, self.place)

    def _split(self, object_name: str) -> tuple[str, str]:
        """The key, and which content under it is named; empty for the current one."""
        above, slash, last = object_name.rpartition("/")
        name, content = split_content(last)
        return self.place.prefix + key_of(above if slash else ROOT, name), content

    def _shard(self, object_name: str) -> _Shard:
        return self._shard_of(*self._split(object_name))

    def _shard_of(self, key: str, content: str = "") -> _Shard:
        found = versions.of_keys(self.place, [key], self.place.prefix).get(key, [])
        current = erasing.current_of(found)
        older = [version for version in found if not version.marker and version is not current]
        if content:
            again = current is not None and current.content == content
            return _Shard(key, content, None, [version for version in older if version.content == content], again)
        return _Shard(key, "", current, older)

    def _listing(self, version: Version, tell_apart: Collection[bytes] = ()) -> Listing:
        return archive.listed(lambda: nullcontext(RangeSource(self.place, version)), tell_apart=tell_apart)

    def _unreadable(self, object_name: str, selector: str, why: Any) -> StoreError:
        what = f"{selector!r} in {object_name!r}" if selector else repr(object_name)
        return StoreError(
            f"{self.id}: {what} cannot be read: {why}.", next_step="Scan the store again to see what is there."
        )
