"""Reading members of stores and saying what picture each one shows. Used before an erasure (discovery) and after it (verifier)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

from unsee.core.errors import StoreError
from unsee.engine.local import run_units
from unsee.engine.outcome import Done
from unsee.match.pictures import DEFAULT_LIMITS, Picture, Unreadable, document, examine
from unsee.stores.contract import Member, ReadsMany, Store, read_many

_INLINE = 8
"""Fewer units than this are done before worker processes have started."""
BATCH = 64
"""Members a unit: few enough to keep workers even, many enough that handing units over costs nothing."""
_TOGETHER = 8_192
"""The same, of stores that go through a whole object to read some of its members."""
_VANISHED = "it went away while the store was read"


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
    size = _TOGETHER if isinstance(store, ReadsMany) else BATCH
    waiting: list[Member] = []
    for member in members:
        if len(waiting) == size or (waiting and waiting[0].object != member.object):
            yield _Batch(store, tuple(waiting))
            waiting = []
        waiting.append(member)
    if waiting:
        yield _Batch(store, tuple(waiting))


def _look(batch: _Batch) -> list[Seen]:
    """Each member of the batch once; what the store does not give back was not there any more."""
    by_selector = {member.selector: member for member in batch.members}
    seen: list[Seen] = []
    object_name = batch.members[0].object
    try:
        for selector, data in read_many(
            batch.store, object_name, list(by_selector), limit_bytes=DEFAULT_LIMITS.max_bytes
        ):
            seen.append(_examined(batch.store, by_selector.pop(selector), data))
    except StoreError as error:
        seen.extend(Seen(batch.store.id, member, None, None, error.message) for member in by_selector.values())
        return seen
    seen.extend(Seen(batch.store.id, member, None, None, _VANISHED) for member in by_selector.values())
    return seen


def _examined(store: Store, member: Member, data: bytes | StoreError) -> Seen:
    if isinstance(data, StoreError):
        return Seen(store.id, member, None, None, data.message)
    digest = hashlib.sha256(data).digest()
    try:
        return Seen(store.id, member, digest, examine(data))
    except Unreadable as error:
        return Seen(store.id, member, digest, document(digest), error.reason)


def why_not(reason: str, store: str, selector: str) -> str:
    """Why something was not compared, in words to be counted and kept: of a whole object with its store, and without names.

    Plans and certificates repeat these words for good, and names may be those of people.
    """
    nameless = _QUOTED.sub("a member", reason)
    return nameless if selector else f"an object of store {store}: {nameless}"


_QUOTED = re.compile(r"""(?<!\w)(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(?!\w)""")
