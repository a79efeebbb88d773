"""Writes a key anew without some ranges of it: the service copies what stays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from unsee.stores.s3 import erasing, reading
from unsee.stores.s3.asking import NOT_OFFERED, Answered, Place, ask, workers
from unsee.stores.s3.parts import Part, parts, staying
from unsee.stores.s3.versions import Upload, Version
from unsee.stores.tar.archive import Listing
from unsee.stores.tar.headers import Broken, Entry

SMALL_BYTES = 10 << 20
"""Objects up to this are read and written as a whole: two requests."""
_KEPT = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Metadata",
    "StorageClass",
    "ServerSideEncryption",
    "SSEKMSKeyId",
)


def rewrite(
    place: Place, old: Version, going: Iterable[Entry], listing: Listing, look: Callable[[Version], Listing]
) -> None:
    """Put the shard without these entries, and without voids, in the place of the old one; then read its headers.

    Raises:
        Answered: the service refuses, or somebody wrote the key meanwhile (PreconditionFailed); the shard is as it was.
        Broken: the new shard does not hold just what stays. The old version is still there where the bucket keeps versions.
    """
    drop = {(entry.start, entry.end) for entry in (*going, *listing.voids)}
    ranges = staying(old.size_bytes, drop)
    size = sum(end - start for start, end in ranges)
    about = _about(place, old)
    if old.size_bytes <= SMALL_BYTES:
        data = reading.get(place, old.key, 0, old.size_bytes, VersionId=old.version_id)
        body = b"".join(data[start:end] for start, end in ranges)
        said = _if_unchanged(place, "put_object", old, Key=old.key, Body=body, **about)
    else:
        said = _in_parts(place, old, parts(ranges), about)
    new = Version(
        old.key, str(said.get("VersionId") or "null"), True, False, size, str(said.get("ETag", "")).strip('"')
    )
    seen = ask(place, "head_object", Key=old.key, VersionId=new.version_id)
    gone = {start for start, _end in drop}
    again = look(new)
    if seen["ContentLength"] != size or again.broken or shown(again, set()) != shown(listing, gone):
        raise Broken(0, "the new shard does not hold just what was to stay")


def shown(listing: Listing, without: set[int]) -> list[tuple[bytes, str]]:
    """Names and digests of what a shard holds, in its order."""
    held = [one for some in listing.by_name.values() for one in some if one.entry.start not in without]
    return [(one.entry.name, one.digest) for one in sorted(held, key=lambda one: one.entry.start)]


def _in_parts(place: Place, old: Version, planned: list[Part], about: dict[str, Any]) -> dict[str, Any]:
    upload = Upload(old.key, ask(place, "create_multipart_upload", Key=old.key, **about)["UploadId"])

    def send(numbered: tuple[int, Part]) -> dict[str, Any]:
        number, part = numbered
        where = {"Key": old.key, "UploadId": upload.upload_id, "PartNumber": number}
        if part.through:
            pieces = [
                reading.get(place, old.key, start, end - start, VersionId=old.version_id) for start, end in part.ranges
            ]
            said = ask(place, "upload_part", Body=b"".join(pieces), **where)
        else:
            ((start, end),) = part.ranges
            source = {"Bucket": place.bucket, "Key": old.key}
            if old.version_id != "null":
                source["VersionId"] = old.version_id
            said = ask(
                place,
                "upload_part_copy",
                CopySource=source,
                CopySourceRange=f"bytes={start}-{end - 1}",
                CopySourceIfMatch=f'"{old.etag}"',
                **where,
            )["CopyPartResult"]
        return {"PartNumber": number, "ETag": said["ETag"]}

    try:
        with workers(place, len(planned)) as pool:
            made = list(pool.map(send, enumerate(planned, 1)))
        where = {"Key": old.key, "UploadId": upload.upload_id}
        return _if_unchanged(place, "complete_multipart_upload", old, MultipartUpload={"Parts": made}, **where)
    except Answered:
        erasing.abort(place, upload)
        raise


def _if_unchanged(place: Place, operation: str, old: Version, **parameters: Any) -> dict[str, Any]:
    """Write only over the version that was read; where the endpoint knows no such condition, look just before."""
    try:
        return ask(place, operation, IfMatch=f'"{old.etag}"', **parameters)
    except Answered as error:
        if error.code not in NOT_OFFERED:
            raise
    seen = ask(place, "head_object", Key=old.key)
    if str(seen.get("ETag", "")).strip('"') != old.etag:
        raise Answered("PreconditionFailed", "the key was written meanwhile")
    return ask(place, operation, **parameters)


def _about(place: Place, old: Version) -> dict[str, Any]:
    """What is said of the old object besides its bytes."""
    seen = ask(place, "head_object", Key=old.key, VersionId=old.version_id)
    about = {name: seen[name] for name in _KEPT if seen.get(name)}
    if seen.get("TagCount"):
        from urllib.parse import urlencode

        tags = ask(place, "get_object_tagging", Key=old.key, VersionId=old.version_id)["TagSet"]
        about["Tagging"] = urlencode({tag["Key"]: tag["Value"] for tag in tags})
    return about
