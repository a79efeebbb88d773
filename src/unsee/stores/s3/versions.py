"""What lies under keys: every version and delete marker, and uploads that nobody finished.

A listing answers with 1,000 entries at a time. Whoever looks for some keys among many jumps: after each page to the next key
that is looked for, so that the requests are at most as many as the keys, and at most as many as the pages.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from os.path import commonprefix
from typing import Any
from urllib.parse import unquote

from unsee.core.errors import StoreError
from unsee.stores.names import spell
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
    def content(self) -> str:
        """What lies in it, by ETag and size: equal where equal bytes were written in the same way (and not by other parts)."""
        return spell(f"{self.etag}-{self.size_bytes}".encode())


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

    A key that a listing passes over would look as if it were gone. So keys beyond plain ASCII are looked for one by one, as
    endpoints differ in where they sort them; and a listing jumps from key to key only where it is seen first that the endpoint
    shows all that lies behind a marker. Otherwise it goes from page to page.

    Raises:
        as `page`.
    """
    plain = sorted(key for key in keys if _PLAIN.fullmatch(key))
    stretches: list[Sequence[str]] = [[key] for key in keys if not _PLAIN.fullmatch(key)]
    found: dict[str, list[Version]] = {}
    if plain:
        common = commonprefix(plain)  # noqa: RUF071  # keys are no paths
        first = page(place, common)
        if first.next_key is not None and _jumps_well(place, common, first):
            _note(first, frozenset(key for key in plain if key < first.next_key), found)
            plain = [key for key in plain if key >= first.next_key]
            stretches += chunks(plain, max(IN_ONE_GO, -(-len(plain) // place.concurrency)))
        else:
            _walk(place, common, plain, first, found)
    with workers(place, len(stretches)) as pool:
        for some in pool.map(lambda stretch: _jump(place, stretch, prefix), stretches):
            found |= some
    return found


def _note(seen: Page, wanted: Collection[str], found: dict[str, list[Version]]) -> None:
    for version in seen.versions:
        if version.key in wanted:
            found.setdefault(version.key, []).append(version)


def _walk(place: Place, prefix: str, keys: Sequence[str], seen: Page, found: dict[str, list[Version]]) -> None:
    """From page to page, as the endpoint itself says where the next begins."""
    wanted = frozenset(keys)
    _note(seen, wanted, found)
    while seen.next_key is not None and seen.next_key <= keys[-1]:
        seen = page(place, prefix, after=seen.next_key, after_version=seen.next_version)
        _note(seen, wanted, found)


def _jumps_well(place: Place, prefix: str, first: Page) -> bool:
    """Whether the endpoint shows every version of the first key behind a marker, as it does on the first page, without one.

    Not all do: some leave out one version there. Cost: a request.
    """
    keys = list(dict.fromkeys(version.key for version in first.versions))
    whole = keys[:-1]  # the last one may go on
    if not whole:
        return False
    marker = whole[len(whole) // 2][:-1]
    behind = next(key for key in whole if key > marker)
    shown = page(place, prefix, after=marker)
    return _ids(shown, behind) == _ids(first, behind) and all(version.key >= behind for version in shown.versions)


def _ids(seen: Page, key: str) -> set[str]:
    return {version.version_id for version in seen.versions if version.key == key}


def _jump(place: Place, keys: Sequence[str], prefix: str) -> dict[str, list[Version]]:
    found: dict[str, list[Version]] = {}
    wanted = frozenset(keys)
    # A key without its last character sorts just before it: no key of interest lies between them.
    after, after_version = keys[0][:-1], ""
    if len(keys) == 1 or after <= prefix:
        prefix, after = keys[0] if len(keys) == 1 else prefix, ""
    while True:
        seen = page(place, prefix, after=after, after_version=after_version)
        _note(seen, wanted, found)
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
