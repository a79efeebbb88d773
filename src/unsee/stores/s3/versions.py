"""What lies under keys: every version and delete marker, and uploads that nobody finished.

A listing answers with 1,000 entries at a time. Whoever looks for some keys among many jumps: after each page to the next key
that is looked for, so that the requests are at most as many as the keys, and at most as many as the pages.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from unsee.core.errors import StoreError
from unsee.stores.s3.asking import NOT_OFFERED, Answered, Place, ask, chunks, unreachable, workers

IN_ONE_GO = 2_000
"""Fewer keys than this are looked for one page after the other; more in parallel stretches."""
_PLAIN = re.compile(r"[A-Za-z0-9/._-]+")


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a key, or a delete marker, which holds no bytes. The key is whole, with the store's prefix."""

    key: str
    version_id: str
    """`null` where the bucket kept no versions when it was written."""
    current: bool
    marker: bool
    size_bytes: int = 0
    etag: str = ""

    @property
    def stamp(self) -> str:
        """Changes when the key is written again."""
        return f"{self.etag}-{self.size_bytes}-{self.version_id}"


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload that was begun and neither completed nor aborted: its parts are kept, and cannot be read."""

    key: str
    upload_id: str


@dataclass(frozen=True, slots=True)
class Page:
    """One answer to a listing."""

    versions: tuple[Version, ...]
    inner: tuple[str, ...]
    """With a delimiter: what the keys further down begin with."""
    next_key: str | None
    """Where the next page begins; None on the last."""
    next_version: str


def page(place: Place, prefix: str, *, after: str = "", after_version: str = "", delimiter: str = "") -> Page:
    """The next 1,000 entries whose keys begin with `prefix`.

    Raises:
        StoreUnreachable: the bucket is not there, or its versions must not be listed.
        StoreError: the endpoint cannot list versions.
    """
    parameters = {"KeyMarker": after, "VersionIdMarker": after_version, "Delimiter": delimiter}
    try:
        said = ask(place, "list_object_versions", Prefix=prefix, **{k: v for k, v in parameters.items() if v})
    except Answered as error:
        if error.code in NOT_OFFERED:
            raise StoreError(
                f"The endpoint of {place} cannot list the versions of keys: {error}.",
                next_step="Without that nobody can say that a key is gone. Use an endpoint that offers ListObjectVersions.",
            ) from error
        raise unreachable(place, f"its versions cannot be listed: {error}") from error
    found = [*map(_version, said.get("Versions", ())), *map(_marker, said.get("DeleteMarkers", ()))]
    found.sort(key=lambda version: version.key)  # two lists in the answer; what is read on is one order of keys
    return Page(
        tuple(found),
        tuple(entry["Prefix"] for entry in said.get("CommonPrefixes", ())),
        said.get("NextKeyMarker", "") if said.get("IsTruncated") else None,
        said.get("NextVersionIdMarker", ""),
    )


def under(place: Place, prefix: str) -> Iterator[Version]:
    """Every version of every key that begins with `prefix`, by key.

    Raises:
        as `page`.
    """
    found = page(place, prefix)
    while True:
        yield from found.versions
        if found.next_key is None:
            return
        found = page(place, prefix, after=found.next_key, after_version=found.next_version)


def of_keys(place: Place, keys: Collection[str], prefix: str) -> dict[str, list[Version]]:
    """Every version of these keys, which all begin with `prefix`; keys that have none are left out.

    Keys beyond plain ASCII are looked for one by one: endpoints differ in where they sort them, and a key that is passed over
    would look as if it were gone.

    Raises:
        as `page`.
    """
    plain = sorted(key for key in keys if _PLAIN.fullmatch(key))
    stretches: list[Sequence[str]] = [[key] for key in keys if not _PLAIN.fullmatch(key)]
    stretches += chunks(plain, max(IN_ONE_GO, -(-len(plain) // place.concurrency)))
    found: dict[str, list[Version]] = {}
    with workers(place, len(stretches)) as pool:
        for some in pool.map(lambda stretch: _jump(place, stretch, prefix), stretches):
            found |= some
    return found


def _jump(place: Place, keys: Sequence[str], prefix: str) -> dict[str, list[Version]]:
    found: dict[str, list[Version]] = {}
    wanted = frozenset(keys)
    # A key without its last character sorts just before it: no key of interest lies between them.
    after, after_version = keys[0][:-1], ""
    if len(keys) == 1 or after <= prefix:
        prefix, after = keys[0] if len(keys) == 1 else prefix, ""
    while True:
        seen = page(place, prefix, after=after, after_version=after_version)
        for version in seen.versions:
            if version.key in wanted:
                found.setdefault(version.key, []).append(version)
        if seen.next_key is None or seen.next_key > keys[-1]:
            return found
        following = keys[bisect_left(keys, seen.next_key)]
        after, after_version = seen.next_key, seen.next_version
        if following[:-1] > after:
            after, after_version = following[:-1], ""


def uploads(place: Place, prefix: str) -> Iterator[Upload]:
    """Every unfinished upload to a key that begins with `prefix`.

    Raises:
        StoreUnreachable: the bucket is not there.
        Answered: they cannot be listed.
    """
    markers: dict[str, str] = {}
    while True:
        # Keys are asked for in percent-encoding: XML 1.0 has no way to write some of them.
        said = ask(place, "list_multipart_uploads", Prefix=prefix, EncodingType="url", **markers)
        encoded = said.get("EncodingType") == "url"
        for entry in said.get("Uploads", ()):
            yield Upload(unquote(entry["Key"]) if encoded else entry["Key"], entry["UploadId"])
        if not said.get("IsTruncated"):
            return
        next_key = said.get("NextKeyMarker", "")
        markers = {
            "KeyMarker": unquote(next_key) if encoded else next_key,
            "UploadIdMarker": said.get("NextUploadIdMarker", ""),
        }


def _version(entry: dict[str, Any]) -> Version:
    return Version(
        entry["Key"],
        entry.get("VersionId") or "null",
        bool(entry.get("IsLatest")),
        False,
        int(entry.get("Size") or 0),
        str(entry.get("ETag", "")).strip('"'),
    )


def _marker(entry: dict[str, Any]) -> Version:
    return Version(entry["Key"], entry.get("VersionId") or "null", bool(entry.get("IsLatest")), True)
