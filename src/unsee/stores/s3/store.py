"""Keys of a bucket: each key up to its last slash is an object, the rest of the key a member."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import groupby

from unsee.core.errors import StoreError, StoreUnreachable
from unsee.core.evidence import Gone
from unsee.core.ids import StoreId
from unsee.stores.contract import Capability, Erased, HeldVersion, Kept, Member, RawPart, Residue, Skipped, Target
from unsee.stores.s3 import bucket, erasing, reading, versions
from unsee.stores.s3.asking import NOT_OFFERED, Answered, Place, workers
from unsee.stores.s3.keys import above_of, key_of, name_of
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
        return Capability(kind="s3", best_gone=Gone.D2, keeps_history=keeps, limits=(*bucket.ALWAYS, *found))

    def scan(self) -> Iterator[Member | Skipped]:
        """Every key with a current version, object by object: parents first, both by name.

        A key that a delete marker hides while older versions hold bytes is a `Skipped`: erasing it removes them.

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

    def _listed(self, key: str, found: Sequence[Version]) -> Iterator[Member | Skipped]:
        object_name, selector = name_of(key.removeprefix(self.place.prefix))
        for version in found:
            if version.current and not version.marker:
                yield Member(object_name, selector, version.size_bytes, version.stamp)
                return
        if hidden := sum(not version.marker for version in found):
            what = "a version" if hidden == 1 else f"{hidden} versions"
            yield Skipped(object_name, selector, f"a delete marker hides {what} that still hold bytes")

    def read(self, object_name: str, selector: str, *, limit_bytes: int | None = None) -> bytes:
        """The bytes of a key's current version.

        Raises:
            PathEscape: no key is named so.
            StoreError: it is not there, is archived, must not be read, or is larger than `limit_bytes`.
        """
        key = self._key(object_name, selector)
        try:
            data = reading.get(self.place, key, length=None if limit_bytes is None else limit_bytes + 1)
        except Answered as error:
            raise StoreError(
                f"{self.id}: {selector!r} in {object_name!r} cannot be read: {error}.",
                next_step="Scan the store again to see what is there; restore what is archived.",
            ) from error
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
                return self.read(object_name, selector, limit_bytes=limit_bytes)
            except StoreUnreachable:
                raise
            except StoreError as error:
                return error

        for selector in selectors:
            self._key(object_name, selector)
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
        """The present stamp of each key (`ETag-size-version`), None where it has no current version."""
        keys = [self._key(object_name, selector) for selector in selectors]
        found = {
            version.key: version.stamp
            for under in versions.of_keys(self.place, set(keys), self._above(object_name)).values()
            for version in under
            if version.current and not version.marker
        }
        return [found.get(key) for key in keys]

    def erase(self, object_name: str, targets: Sequence[Target]) -> Erased:
        """Delete every version and delete marker of the keys and abort their unfinished uploads, then look again.

        A version that Object Lock or a legal hold protects is `Kept` with `held`; the others of its key go all the same, and where
        the current one goes, a delete marker hides what must stay. A version that somebody writes meanwhile is kept when the target
        carries a stamp, and erased when it does not.

        Cost: a request for 1,000 versions, twice for the listing and once for the deletion, in parallel; one more for each key that
        XML cannot name, and for each version that was refused.
        """
        wanted: dict[str, Target] = {}
        doubtful: dict[str, Kept] = {}
        for target in targets:
            key = self._key(object_name, target.selector)
            if wanted.setdefault(key, target) != target:
                doubtful[key] = Kept(target.selector, "it is listed twice, with different stamps")
        for key in doubtful:
            del wanted[key]
        done = erasing.erase(self.place, self._above(object_name), wanted)
        return replace(done, kept=(*done.kept, *doubtful.values())) if doubtful else done

    def probe(self, object_name: str, selectors: Sequence[str]) -> tuple[Residue, ...]:
        """Every version that is there again or still, and every unfinished upload; a delete marker alone holds no bytes.

        Raises:
            StoreError: the bucket's uploads may not be listed; not seeing is not the same as not there.
        """
        by_key = {self._key(object_name, selector): selector for selector in selectors}
        above = self._above(object_name)
        left: dict[str, list[str]] = defaultdict(list)
        for key, found in versions.of_keys(self.place, by_key, above).items():
            left[key] += [
                "current" if version.current else f"version {version.version_id}"
                for version in found
                if not version.marker
            ]
        for upload in self._uploads(above):
            if upload.key in by_key:
                left[upload.key].append(f"unfinished upload {upload.upload_id}")
        return tuple(Residue(by_key[key], ", ".join(where)) for key, where in sorted(left.items()) if where)

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

    def _key(self, object_name: str, selector: str) -> str:
        return self.place.prefix + key_of(object_name, selector)

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
