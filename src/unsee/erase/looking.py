"""Reading members of stores and saying what picture each one shows. Used before an erasure (discovery) and after it (verifier)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

from unsee.core.errors import StoreError
from unsee.engine.local import run_units
from unsee.engine.outcome import Done
from unsee.match.pictures import DEFAULT_LIMITS, Picture, Unreadable, document, examine
from unsee.stores.contract import Member, Store

_INLINE = 8
"""Fewer units than this are done before worker processes have started."""
BATCH = 64
"""Members a unit: few enough to keep workers even, many enough that handing units over costs nothing."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One member that was read. Where the bytes are no readable picture, `note` says why, and only the bytes are compared.

    `picture` and `sha256` are None where the member could not be read at all.
    """

    store: str
    member: Member
    sha256: bytes | None
    picture: Picture | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Batch:
    store: Store
    members: tuple[Member, ...]


def look(store: Store, members: Iterable[Member], *, workers: int) -> Iterator[Seen]:
    """Read and examine every member, spread over processes; results come as they are ready, each member exactly once.

    A member that cannot be read, or kills its worker, comes with a note and neither digest nor picture.
    """
    batches = _batches(store, members)
    first = list(islice(batches, _INLINE))
    few = len(first) < _INLINE
    for outcome in run_units(_look, chain(first, batches), workers=1 if few else workers):
        if isinstance(outcome, Done):
            yield from outcome.value
        else:
            for member in outcome.unit.members:
                yield Seen(store.id, member, None, None, f"could not be examined: {outcome.error}")


def _batches(store: Store, members: Iterable[Member]) -> Iterator[_Batch]:
    waiting: list[Member] = []
    for member in members:
        waiting.append(member)
        if len(waiting) == BATCH:
            yield _Batch(store, tuple(waiting))
            waiting = []
    if waiting:
        yield _Batch(store, tuple(waiting))


def _look(batch: _Batch) -> list[Seen]:
    return [_look_at(batch.store, member) for member in batch.members]


def _look_at(store: Store, member: Member) -> Seen:
    try:
        data = store.read(member.object, member.selector, limit_bytes=DEFAULT_LIMITS.max_bytes)
    except StoreError as error:
        return Seen(store.id, member, None, None, error.message)
    digest = hashlib.sha256(data).digest()
    try:
        return Seen(store.id, member, digest, examine(data))
    except Unreadable as error:
        return Seen(store.id, member, digest, document(digest), error.reason)
