"""Keys of a bucket: each key up to its last slash is an object, the rest of the key a member."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from unsee.core.errors import StoreError, StoreUnreachable
from unsee.core.evidence import Gone
from unsee.core.ids import StoreId
from unsee.stores.contract import Capability, Erased, HeldVersion, Kept, Member, RawPart, Residue, Skipped, Target
from unsee.stores.s3 import bucket, erasing, reading, versions
from unsee.stores.s3.asking import NOT_OFFERED, Answered, Place, workers
from unsee.stores.s3.erasing import Wanted
from unsee.stores.s3.keys import above_of, key_of, name_of, split_content, with_content
from unsee.stores.s3.versions import Page, Version

WINDOW = 2
"""Members that `read_many` holds for each connection."""


@dataclass(frozen=True, slots=True)
class S3Store:
    """A bucket, or what lies below a prefix of it, as a store of keys."""

    id: StoreId
    location: str
    place: Place

    def capability(self) -> Capability:
        """What it can do, and what it cannot; the bucket is asked for its configuration."""
        found, keeps = bucket.limits(self.place)
        return Capability(
            kind="s3", best_gone=Gone.D2, keeps_history=keeps, limits=(*bucket.ALWAYS, *found), method=bucket.METHOD
        )

    def scan(self) -> Iterator[Member]:
        """Every content under every key, object by object: parents first, both by name.

        A key's current version is a member under the key's own name, and so are older ones of the same content. Every other
        content under the key, also where a delete marker hides all of them, is a member named by it as well.

        Cost: a request for 1,000 versions and at least one an object, the first of each made ahead.
        """
        with workers(self.place, self.place.concurrency) as pool:
            pending = [self.place.prefix]
            ahead: dict[str, Future[Page]] = {}
            while pending:
                for soon in pending[: -1 - self.place.concurrency : -1]:
                    if soon not in ahead:
                        ahead[soon] = pool.submit(versions.page, self.place, soon, delimiter="/")
                prefix = pending.pop()
                inner: set[str] = set()
                under = self._from(ahead.pop(prefix).result(), prefix, inner)
                for key, found in groupby(under, key=lambda version: version.key):
                    yield from self._listed(key, list(found))
                pending.extend(sorted(inner, reverse=True))

    def _from(self, page: Page, prefix: str, inner: set[str]) -> Iterator[Version]:
        """The versions of this and the following pages; what lies further down is noted in `inner`."""
        while True:
            inner.update(page.inner)
            yield from page.versions
            if page.next_key is None:
                return
            page = versions.page(
                self.place, prefix, after=page.next_key, after_version=page.next_version, delimiter="/"
            )

    def _listed(self, key: str, found: Sequence[Version]) -> Iterator[Member]:
        object_name, selector = name_of(key.removeprefix(self.place.prefix))
        current = erasing.current_of(found)
        if current is not None:
            yield Member(object_name, selector, current.size_bytes, current.content)
        others = {v.content: v for v in found if not v.marker and (current is None or v.content != current.content)}
        for content, version in others.items():
            yield Member(object_name, with_content(selector, content), version.size_bytes, content)

    def read(self, object_name: str, selector: str, *, limit_bytes: int | None = None) -> bytes:
        """The bytes of a key's current version, or of the newest one that holds the content which the selector names.

        Raises:
            PathEscape: no key is named so.
            StoreError: it is not there, is archived, must not be read, or is larger than `limit_bytes`.
        """
        return self._read(object_name, selector, self._which(object_name, [selector]), limit_bytes)

    def _which(self, object_name: str, selectors: Sequence[str]) -> dict[str, Version]:
        """The newest version for each selector that names a content."""
        named = {s: self._split(object_name, s) for s in selectors if split_content(s)[1]}
        under = versions.of_keys(self.place, {key for key, _ in named.values()}, self._above(object_name))
        found: dict[str, Version] = {}
        for selector, (key, content) in named.items():
            for version in under.get(key, ()):
                if not version.marker and version.content == content:
                    found.setdefault(selector, version)
        return found

    def _read(self, object_name: str, selector: str, found: Mapping[str, Version], limit_bytes: int | None) -> bytes:
        key, content = self._split(object_name, selector)
        why: Answered | str = "no version holds that content"
        length = None if limit_bytes is None else limit_bytes + 1
        data = None
        if not content or selector in found:
            which: dict[str, Any] = {"VersionId": found[selector].version_id} if content else {}
            try:
                data = reading.get(self.place, key, length=length, **which)
            except Answered as error:
                why = error
        if data is None:
            raise StoreError(
                f"{self.id}: {selector!r} in {object_name!r} cannot be read: {why}.",
                next_step="Scan the store again to see what is there; restore what is archived.",
            ) from (why if isinstance(why, Answered) else None)
        if limit_bytes is not None and len(data) > limit_bytes:
            raise StoreError(f"{self.id}: {selector!r} in {object_name!r} is larger than {limit_bytes:,} bytes.")
        return data

    def read_many(
        self, object_name: str, selectors: Sequence[str], *, limit_bytes: int | None = None
    ) -> Iterator[tuple[str, bytes | StoreError]]:
        """The bytes of many members in their order, several requests at a time.

        Raises:
            PathEscape: no key is named so.
            StoreUnreachable: the bucket cannot be reached.
        """

        def get(selector: str) -> bytes | StoreError:
            try:
                return self._read(object_name, selector, found, limit_bytes)
            except StoreUnreachable:
                raise
            except StoreError as error:
                return error

        for selector in selectors:
            self._split(object_name, selector)
        found = self._which(object_name, selectors)
        with workers(self.place, len(selectors)) as pool:
            flying: deque[tuple[str, Future[bytes | StoreError]]] = deque()
            for selector in dict.fromkeys(selectors):
                flying.append((selector, pool.submit(get, selector)))
                if len(flying) >= WINDOW * self.place.concurrency:
                    first, future = flying.popleft()
                    yield first, future.result()
            for first, future in flying:
                yield first, future.result()

    def stamps(self, object_name: str, selectors: Sequence[str]) -> list[str | None]:
        """The present stamp of each member (`ETag-size`), None where no current version, or none of the content named, is there."""
        asked = [self._split(object_name, selector) for selector in selectors]
        under = versions.of_keys(self.place, {key for key, _ in asked}, self._above(object_name))
        return [
            next(
                (
                    v.content
                    for v in under.get(key, ())
                    if not v.marker and (v.content == content if content else v.current)
                ),
                None,
            )
            for key, content in asked
        ]

    def erase(self, object_name: str, targets: Sequence[Target]) -> Erased:
        """Delete every version that holds the members' contents and abort unfinished uploads to their keys, then look again.

        Where nothing else lies under a key, its delete markers go too; where something stays, a delete marker hides it from readers
        before the current version goes. A version that Object Lock or a legal hold protects is `Kept` with `held`; the others with
        its content go all the same. A version that somebody writes meanwhile is kept when the target carries a stamp, and erased
        when it does not.

        Cost: a request for 1,000 versions, twice for the listing and once for the deletion, in parallel; one more for each key that
        XML cannot name, and for each version that was refused.
        """
        named: dict[str, Target] = {}
        doubtful: dict[str, Kept] = {}
        wanted: dict[str, list[Wanted]] = defaultdict(list)
        for target in targets:
            self._split(object_name, target.selector)
            if named.setdefault(target.selector, target) != target:
                doubtful[target.selector] = Kept(target.selector, "it is listed twice, with different stamps")
        for selector, target in named.items():
            if selector not in doubtful:
                key, content = self._split(object_name, selector)
                wanted[key].append(Wanted(target, content))
        done = erasing.erase(self.place, self._above(object_name), wanted)
        return replace(done, kept=(*done.kept, *doubtful.values())) if doubtful else done

    def probe(self, object_name: str, selectors: Sequence[str]) -> tuple[Residue, ...]:
        """Every version that is there again or still, and every unfinished upload to the key; a delete marker holds no bytes.

        Under a key's own name it looks for what readers get; what older versions hold beside that has names of its own.

        Raises:
            StoreError: the bucket's uploads may not be listed; not seeing is not the same as not there.
        """
        by_key: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for selector in dict.fromkeys(selectors):
            key, content = self._split(object_name, selector)
            by_key[key].append((selector, content))
        above = self._above(object_name)
        left: dict[str, list[str]] = defaultdict(list)
        for key, found in versions.of_keys(self.place, by_key, above).items():
            current = erasing.current_of(found)
            for selector, content in by_key[key]:
                sought = content or (current.content if current else "")
                left[selector] += [
                    "current" if version.current else f"version {version.version_id}"
                    for version in found
                    if not version.marker and version.content == sought
                ]
        for upload in self._uploads(above):
            for selector, _ in by_key.get(upload.key, ()):
                left[selector].append(f"unfinished upload {upload.upload_id}")
        return tuple(Residue(selector, ", ".join(where)) for selector, where in sorted(left.items()) if where)

    def raw(self) -> Iterator[RawPart | Skipped]:
        """Every version of every key; unfinished uploads as `Skipped`, since S3 gives nobody their parts."""
        for version in versions.under(self.place, self.place.prefix):
            if not version.marker:
                name = "/".join(name_of(version.key.removeprefix(self.place.prefix)))
                yield RawPart(f"version {version.version_id} of {name}", self._pieces(version))
        for upload in self._uploads(self.place.prefix):
            object_name, selector = name_of(upload.key.removeprefix(self.place.prefix))
            yield Skipped(object_name, selector, f"unfinished upload {upload.upload_id}: its parts cannot be read")

    def tidy(self, object_names: Sequence[str]) -> tuple[str, ...]:
        """Nothing: an object of a bucket is there while a key of it is."""
        for name in object_names:
            above_of(name)
        return ()

    def history(self, object_name: str) -> tuple[HeldVersion, ...]:
        """Versions behind the current ones, and unfinished uploads. A version under a lock or a legal hold is not removable."""
        above = self._above(object_name)
        inside = [v for v in versions.under(self.place, above) if "/" not in v.key[len(above) :]]
        old = [version for version in inside if not version.marker and not version.current]
        locked = erasing.locks_of(self.place, old) if old and bucket.locks(self.place) else {}
        found = [
            HeldVersion(
                f"{name_of(v.key.removeprefix(self.place.prefix))[1]} version {v.version_id}",
                not locked.get((v.key, v.version_id)),
            )
            for v in old
        ]
        for upload in self._uploads(above):
            if "/" not in upload.key[len(above) :]:
                selector = name_of(upload.key.removeprefix(self.place.prefix))[1]
                found.append(HeldVersion(f"{selector} unfinished upload {upload.upload_id}", True))
        return tuple(found)

    def _split(self, object_name: str, selector: str) -> tuple[str, str]:
        """The key, and which content under it is named; empty for the current one."""
        name, content = split_content(selector)
        return self.place.prefix + key_of(object_name, name), content

    def _above(self, object_name: str) -> str:
        return self.place.prefix + above_of(object_name)

    def _uploads(self, prefix: str) -> Iterator[versions.Upload]:
        try:
            yield from versions.uploads(self.place, prefix)
        except Answered as error:
            if error.code not in NOT_OFFERED:
                raise StoreError(
                    f"{self.id}: unfinished uploads cannot be listed: {error}.",
                    next_step="Allow s3:ListBucketMultipartUploads: such uploads keep bytes.",
                ) from error

    def _pieces(self, version: Version) -> Iterator[bytes]:
        try:
            yield from reading.pieces(self.place, version.key, version.version_id, version.size_bytes)
        except Answered as error:
            raise StoreError(
                f"{self.id}: version {version.version_id} of {version.key!r} cannot be read: {error}.",
                next_step="Restore what is archived, or allow s3:GetObjectVersion, and look again.",
            ) from error
