"""One request to the bucket: the connection it goes over, patience where the service asks for it, errors in words."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from unsee.core.errors import StoreUnreachable

_T = TypeVar("_T")
CONCURRENCY = 8
THROTTLED = frozenset(
    {
        "SlowDown",
        "ServiceUnavailable",
        "InternalError",
        "RequestTimeout",
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
        "OperationAborted",
        "500",
        "502",
        "503",
        "504",
    }
)
"""Answers after which the same request may work a little later; some come inside of an HTTP 200 answer to a batch."""
NOT_OFFERED = frozenset({"NotImplemented", "MethodNotAllowed", "XNotImplemented", "501", "405"})
"""What endpoints answer that do not know a call."""
GONE = frozenset({"NoSuchKey", "NoSuchVersion", "NoSuchUpload", "404", "NotFound"})
_NO_ENTRY = frozenset(
    {
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "InvalidToken",
        "PermanentRedirect",
        "RequestTimeTooSkewed",
    }
)
PATIENCE = 7
"""How often a throttled request is made before its error stands: about 13 seconds of waiting."""
CONNECTING = 4
"""How often a request is made that finds nobody, or is cut off."""
_FIRST_WAIT_S = 0.2


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket and what the keys of the store begin with; everything that a connection needs but the credentials."""

    bucket: str
    prefix: str
    """Empty, or text that ends with a slash."""
    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None
    concurrency: int = CONCURRENCY

    def __str__(self) -> str:
        at = f" at {self.endpoint}" if self.endpoint else ""
        return f"s3://{self.bucket}/{self.prefix}{at}"


class Answered(Exception):
    """The service answered a request with an error that is not about the whole bucket."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message.rstrip('.')} ({code})" if message else code)
        self.code = code


def ask(place: Place, operation: str, **parameters: Any) -> dict[str, Any]:
    """Make one request about the bucket, again and again with longer pauses where the service is busy.

    Raises:
        StoreUnreachable: no connection, no credentials, no such bucket.
        Answered: any other error of the service.
    """
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

    attempt = 0
    while True:
        try:
            answer: dict[str, Any] = getattr(client_of(place), operation)(Bucket=place.bucket, **parameters)
        except ClientError as error:
            said = error.response.get("Error", {})
            code, message = str(said.get("Code", "")), str(said.get("Message", ""))
            attempt += 1
            if code in THROTTLED and attempt < PATIENCE:
                rest(attempt)
                continue
            if code == "NoSuchBucket" or code in _NO_ENTRY:
                raise unreachable(place, Answered(code, message)) from error
            raise Answered(code, message) from error
        except (BotoCoreError, OSError) as error:
            attempt += 1
            if isinstance(error, HTTPClientError) and attempt < CONNECTING:
                rest(attempt)
                continue
            raise unreachable(place, error) from error
        return answer


def unreachable(place: Place, why: object) -> StoreUnreachable:
    """The bucket cannot be used as a whole."""
    return StoreUnreachable(
        f"The bucket of {place} cannot be reached: {str(why).rstrip('.')}.",
        next_step="Check the endpoint, the bucket's name, and the credentials in the environment or the profile.",
    )


def rest(attempt: int) -> None:
    """Wait before attempt number `attempt + 1`: twice as long each time."""
    time.sleep(_FIRST_WAIT_S * 2 ** (attempt - 1))


@contextmanager
def workers(place: Place, jobs: int) -> Iterator[ThreadPoolExecutor]:
    """Threads for so many requests, never more than the place allows; what has not begun is dropped when one fails."""
    pool = ThreadPoolExecutor(max(1, min(place.concurrency, jobs)), thread_name_prefix="unsee-s3")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def chunks(things: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """The things in order, so many at a time."""
    for start in range(0, len(things), size):
        yield things[start : start + size]


@lru_cache(maxsize=16)
def client_of(place: Place) -> Any:
    """The connections of this process to one place, kept between requests, as making them costs more than most requests.

    Checksums only where S3 demands them: other endpoints refuse the newer ones.
    """
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "total_max_attempts": 1},  # `ask` has the patience
        max_pool_connections=place.concurrency + 2,
        connect_timeout=10,
        read_timeout=60,
        s3={"addressing_style": "path"} if place.endpoint else None,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    session = boto3.Session(profile_name=place.profile)
    return session.client("s3", endpoint_url=place.endpoint, region_name=place.region, config=config)


# A child process must not speak over its parent's connections.
os.register_at_fork(after_in_child=client_of.cache_clear)
