"""S3, and whatever speaks its language: versions, delete markers, unfinished uploads, Object Lock. Needs the extra `s3`.

`keys` spells keys, `asking` makes one request, `versions` lists what lies under keys, `erasing` takes whole keys out, `reading`
gets bytes, `bucket` says what the bucket's configuration means for erasure; `store` puts them behind the contract.
`shards` does so for the members of tar shards, which `rewriting` writes anew in `parts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from urllib.parse import urlsplit

from unsee.core.errors import InvalidValue, MissingExtra
from unsee.core.ids import StoreId
from unsee.stores.contract import Store
from unsee.stores.options import know, truth
from unsee.stores.s3.asking import CONCURRENCY, Place
from unsee.stores.s3.shards import S3TarStore
from unsee.stores.s3.store import S3Store

MOST_CONCURRENT = 64


def open_s3(id: StoreId, location: str, options: Mapping[str, str]) -> Store:
    """Opens stores of kind `s3`: `s3://bucket/prefix`; nothing is asked of the bucket yet.

    Raises:
        InvalidValue: the location names no bucket, or an option is unknown or holds what it cannot hold.
        MissingExtra: boto3 is not installed.
    """
    if find_spec("boto3") is None:
        raise MissingExtra("s3", needed_for="Stores of kind 's3'")
    know(options, kind="s3", known={"endpoint", "region", "profile", "concurrency", "tar"})
    place = _place(location, options)
    return S3TarStore(id, location, place) if truth(options, "tar") else S3Store(id, location, place)


def _place(location: str, options: Mapping[str, str]) -> Place:
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    if not location.startswith("s3://") or not bucket:
        raise InvalidValue(
            f"{location[:200]!r} is not the location of a bucket.", next_step="Write s3://bucket/prefix."
        )
    return Place(
        bucket,
        prefix if not prefix or prefix.endswith("/") else prefix + "/",
        endpoint=_endpoint(options),
        region=options.get("region"),
        profile=options.get("profile"),
        concurrency=_concurrency(options),
    )


def _endpoint(options: Mapping[str, str]) -> str | None:
    endpoint = options.get("endpoint")
    if endpoint is None:
        return None
    parts = urlsplit(endpoint)
    if parts.username is not None or parts.password is not None:
        raise InvalidValue(
            "The endpoint holds a user or a password.",
            next_step="Leave them out: credentials come from the environment or a profile, and are never kept in books.",
        )
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidValue(
            f"endpoint={endpoint[:200]!r} is no URL.", next_step="Write https://host or http://host:port."
        )
    return endpoint


def _concurrency(options: Mapping[str, str]) -> int:
    spelled = options.get("concurrency", str(CONCURRENCY))
    if not (spelled.isascii() and spelled.isdigit() and 1 <= int(spelled) <= MOST_CONCURRENT):
        raise InvalidValue(
            f"concurrency={spelled[:40]!r} is no number of requests at a time.",
            next_step=f"Write a number from 1 to {MOST_CONCURRENT}.",
        )
    return int(spelled)
