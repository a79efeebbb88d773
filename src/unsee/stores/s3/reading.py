"""Bytes of keys and their versions, in ranges, so that a broken connection costs one range and not the whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from unsee.stores.s3.asking import PATIENCE, Answered, Place, ask, rest, unreachable

PIECE_BYTES = 4 << 20
_BROKEN = "the connection broke while bytes were read"


def get(place: Place, key: str, start: int = 0, length: int | None = None, **which: Any) -> bytes:
    """Bytes of a key from `start` on; of one version with `VersionId`, only of one state with `IfMatch`.

    Args:
        length: at most so many; None for all. 0 asks for nothing.
    Raises:
        StoreUnreachable: as `ask`; the connection broke again and again.
        Answered: it is not there, was changed, is archived, or must not be read.
    """
    from botocore.exceptions import BotoCoreError

    if length == 0:
        return b""
    if start or length is not None:
        which["Range"] = f"bytes={start}-{'' if length is None else start + length - 1}"
    for attempt in range(1, PATIENCE + 1):
        try:
            with ask(place, "get_object", Key=key, **which)["Body"] as body:
                data: bytes = body.read()
        except (BotoCoreError, OSError) as error:
            if attempt == PATIENCE:
                raise unreachable(place, f"{_BROKEN}: {error}") from error
            rest(attempt)
        except Answered as error:
            if error.code == "InvalidRange" and start == 0:
                return b""  # nothing lies there: the key is empty
            raise
        else:
            return data
    raise AssertionError("unreachable: the last attempt returns or raises")  # pragma: no cover


def pieces(place: Place, key: str, version_id: str, size_bytes: int) -> Iterator[bytes]:
    """One version from its beginning to its end.

    Raises:
        as `get`.
    """
    for start in range(0, size_bytes, PIECE_BYTES):
        yield get(place, key, start, min(PIECE_BYTES, size_bytes - start), VersionId=version_id)
