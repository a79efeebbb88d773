"""What fresh processes do for the search for residue. Imports little, so that such a process starts quickly.

Each task is handed over with the store that it looks into, which holds nothing open and remembers nothing.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unsee.core.errors import StoreError
from unsee.match.anchors import AnchorKey, AnchorSearch, Words, read_anchors
from unsee.stores.contract import RawPart, Residue, Store, read_many

_CANARY_BYTES = 8_192
_PLACES = 3
"""Places that are named of each anchor that was found."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What fresh eyes found of the targets of one unit; `error` where they could not look."""

    store: str
    object: str
    asked: int
    residue: tuple[Residue, ...]
    error: str = ""


@dataclass(frozen=True, slots=True)
class StoreSearched:
    """What a raw search of one store came to."""

    store: str
    parts: int = 0
    size_bytes: int = 0
    hits: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Anchors that were found, and where: a few places of each."""
    not_searched: Mapping[str, int] = field(default_factory=dict)
    """Reasons, and how often."""
    canary_found: bool = False


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask a store whether it still holds these members."""

    store: Store
    object: str
    selectors: tuple[str, ...]

    def run(self) -> Probed:
        """What the store says."""
        try:
            found = self.store.probe(self.object, self.selectors)
        except StoreError as error:
            return self.failed(error.message)
        return Probed(self.store.id, self.object, len(self.selectors), found)

    def failed(self, error: str) -> Probed:
        """What to say when it could not be asked."""
        return Probed(self.store.id, self.object, len(self.selectors), (), error)


@dataclass(frozen=True, slots=True)
class Share:
    """Search one of `of` shares of all that a store keeps: every `of`-th part of it."""

    store: Store
    anchors: Path
    key: bytes
    number: int
    of: int

    def run(self) -> StoreSearched:
        """What was found, the canary included."""
        key = AnchorKey(self.key)
        canary = secrets.token_bytes(_CANARY_BYTES)
        planted = key.anchors(canary)
        search = AnchorSearch(key, np.concatenate([read_anchors(self.anchors), planted]))
        canaries = set(planted.tolist())
        seen = Counter[int]()
        hits: dict[int, list[str]] = {}
        not_searched = Counter[str]()
        counted = _Counted()
        waiting = b"\x00" * 13 + canary  # at an odd place, before the first bytes of the store
        parts = 0
        for number, part in enumerate(self.store.raw()):
            if number % self.of != self.number:
                continue
            if not isinstance(part, RawPart):
                not_searched[part.reason] += 1
                continue
            parts += 1
            try:
                found = search.search(counted.after(waiting, part.pieces))
            except (OSError, StoreError) as error:
                not_searched[f"could not be read: {_words(error)}"] += 1
                continue
            waiting = b""
            seen.update(found)
            for anchor in found.keys() - canaries:
                hits.setdefault(anchor, []).append(part.where)
        if waiting:  # the share is empty
            seen.update(search.search([waiting]))
        return StoreSearched(
            self.store.id,
            parts,
            counted.size_bytes,
            {anchor: tuple(places[:_PLACES]) for anchor, places in hits.items()},
            not_searched,
            bool(canaries) and all(seen[anchor] for anchor in canaries),
        )

    def failed(self, error: str) -> StoreSearched:
        """What to say when it could not be searched."""
        return StoreSearched(self.store.id, not_searched={f"the search failed: {error}": 1})


def _words(error: OSError | StoreError) -> str:
    """What went wrong, without a name: names may be those of people, and this is kept."""
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else type(error).__name__


@dataclass(slots=True)
class _Counted:
    size_bytes: int = 0

    def after(self, first: bytes, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """`first`, which is not counted, and then the pieces, which are."""
        if first:
            yield first
        for piece in pieces:
            self.size_bytes += len(piece)
            yield piece


@dataclass(frozen=True, slots=True)
class InMembers:
    """Which of some anchors stand in these members, as the store's reader gives them."""

    store: Store
    object: str
    selectors: tuple[str, ...]
    anchors: Words
    key: bytes
    limit_bytes: int

    def run(self) -> set[int]:
        """Those that do."""
        search = AnchorSearch(AnchorKey(self.key), self.anchors)
        found: set[int] = set()
        for _selector, data in read_many(self.store, self.object, self.selectors, limit_bytes=self.limit_bytes):
            if isinstance(data, bytes):
                found |= set(search.search([data]))
        return found


def run(task: Probe | Share) -> Probed | StoreSearched:
    """For `run_units`."""
    return task.run()
