"""The search for residue in everything that the stores keep: by what the format's reader shows, and in the raw bytes.

Both run in fresh processes that know nothing of what the erasing ones remembered. Each raw search is tried on a canary first:
random bytes, put among the first ones of the store as they are read, whose anchors are sought with the others.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unsee.core.errors import StoreError
from unsee.engine.local import run_units
from unsee.engine.outcome import Done
from unsee.erase.aside import read_anchors
from unsee.erase.plandir import Unit
from unsee.match.anchors import AnchorKey, AnchorSearch, Words
from unsee.match.pictures import DEFAULT_LIMITS
from unsee.stores.contract import Member, RawPart, Residue, Store, read_many

_CANARY_BYTES = 8_192
_TOGETHER = 8_192


@dataclass(frozen=True, slots=True)
class Probed:
    """What fresh eyes found of the targets of one unit; `error` where they could not look."""

    unit: int
    store: str
    object: str
    residue: tuple[Residue, ...]
    error: str = ""


def probe(stores: Mapping[str, Store], units: Iterable[Unit], *, workers: int) -> Iterator[Probed]:
    """Ask every store, in fresh processes, whether it still holds what the plan named."""
    work = (
        _Probe(stores[unit.store], unit.number, unit.object, tuple(t.selector for t in unit.targets)) for unit in units
    )
    for outcome in run_units(_probe, work, workers=max(2, workers)):
        if isinstance(outcome, Done):
            yield outcome.value
        else:
            asked = outcome.unit
            yield Probed(asked.unit, asked.store.id, asked.object, (), outcome.error)


@dataclass(frozen=True, slots=True)
class _Probe:
    store: Store
    unit: int
    object: str
    selectors: tuple[str, ...]


def _probe(asked: _Probe) -> Probed:
    try:
        return Probed(asked.unit, asked.store.id, asked.object, asked.store.probe(asked.object, asked.selectors))
    except StoreError as error:
        return Probed(asked.unit, asked.store.id, asked.object, (), error.message)


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


def search_stores(stores: Mapping[str, Store], anchors: Path, key: bytes, *, workers: int) -> Iterator[StoreSearched]:
    """Search all that each store keeps for the anchors in a file, spread over fresh processes.

    Cost: every byte of the stores is read once, some 200 MB/s a core; memory a process: 16 bytes an anchor and a few pieces.
    """
    work = [_Share(store, anchors, key, part, workers) for store in stores.values() for part in range(workers)]
    shares: dict[str, list[StoreSearched]] = {}
    for outcome in run_units(_search, work, workers=max(2, workers)):
        name = outcome.unit.store.id
        done = (
            outcome.value
            if isinstance(outcome, Done)
            else StoreSearched(name, not_searched={f"the search failed: {outcome.error}": 1})
        )
        shares.setdefault(name, []).append(done)
        if len(shares[name]) == workers:
            yield _together(shares.pop(name))


@dataclass(frozen=True, slots=True)
class _Share:
    """One of `of` shares of a store: every `of`-th part of it."""

    store: Store
    anchors: Path
    key: bytes
    number: int
    of: int


def _search(share: _Share) -> StoreSearched:
    key = AnchorKey(share.key)
    canary = secrets.token_bytes(_CANARY_BYTES)
    planted = key.anchors(canary)
    search = AnchorSearch(key, np.concatenate([read_anchors(share.anchors), planted]))
    seen = Counter[int]()
    hits: dict[int, list[str]] = {}
    not_searched = Counter[str]()
    parts = size = 0

    def counted(pieces: Iterable[bytes], first: bytes) -> Iterator[bytes]:
        nonlocal size
        if first:
            yield first
        for piece in pieces:
            size += len(piece)
            yield piece

    waiting = b"\x00" * 13 + canary  # at an odd place, before the first bytes of the store
    for number, part in enumerate(share.store.raw()):
        if number % share.of != share.number:
            continue
        if not isinstance(part, RawPart):
            not_searched[part.reason] += 1
            continue
        parts += 1
        try:
            found = search.search(counted(part.pieces, waiting))
        except (OSError, StoreError) as error:
            not_searched[f"{part.where} could not be read: {error}"] += 1
            continue
        waiting = b""
        seen.update(found)
        for anchor in found.keys() - set(planted.tolist()):
            hits.setdefault(anchor, []).append(part.where)
    if waiting:  # the share is empty
        seen.update(search.search([waiting]))
    return StoreSearched(
        share.store.id,
        parts,
        size,
        {anchor: tuple(places[:3]) for anchor, places in hits.items()},
        not_searched,
        bool(len(planted)) and all(seen[anchor] for anchor in planted.tolist()),
    )


def _together(shares: Sequence[StoreSearched]) -> StoreSearched:
    hits: dict[int, tuple[str, ...]] = {}
    reasons = Counter[str]()
    for share in shares:
        for anchor, where in share.hits.items():
            hits[anchor] = (*hits.get(anchor, ()), *where)[:3]
        reasons.update(share.not_searched)
    return StoreSearched(
        shares[0].store,
        sum(s.parts for s in shares),
        sum(s.size_bytes for s in shares),
        hits,
        reasons,
        all(s.canary_found for s in shares),
    )


def shared_with(
    store: Store, members: Sequence[Member], anchors: Sequence[int], key: bytes, *, workers: int
) -> set[int]:
    """Those of the anchors that also stand in one of these members: what a photo that stays has in common with an erased one."""
    sought: Words = np.array(sorted(anchors), np.uint64)
    by_object: dict[str, list[str]] = {}
    for member in members:
        by_object.setdefault(member.object, []).append(member.selector)
    work = (
        _Lawful(store, name, tuple(selectors[start : start + _TOGETHER]), sought, key)
        for name, selectors in by_object.items()
        for start in range(0, len(selectors), _TOGETHER)
    )
    found: set[int] = set()
    for outcome in run_units(_lawful, work, workers=workers):
        if isinstance(outcome, Done):
            found |= outcome.value
    return found


@dataclass(frozen=True, slots=True)
class _Lawful:
    store: Store
    object: str
    selectors: tuple[str, ...]
    anchors: Words
    key: bytes


def _lawful(asked: _Lawful) -> set[int]:
    search = AnchorSearch(AnchorKey(asked.key), asked.anchors)
    found: set[int] = set()
    for _selector, data in read_many(asked.store, asked.object, asked.selectors, limit_bytes=DEFAULT_LIMITS.max_bytes):
        if isinstance(data, bytes):
            found |= set(search.search([data]))
    return found
