"""The search for residue in everything that the stores keep: by what the format's reader shows, and in the raw bytes.

Both run in fresh processes that know nothing of what the erasing ones remembered. Each raw search is tried on a canary first:
random bytes, put among the first ones of the store as they are read, whose anchors are sought with the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from unsee.engine.local import run_units
from unsee.engine.outcome import Done
from unsee.erase.fresh import InMembers, Probe, Probed, Share, StoreSearched, run
from unsee.erase.plandir import Unit
from unsee.match.pictures import DEFAULT_LIMITS
from unsee.stores.contract import Member, Store

_TOGETHER = 8_192


def look_again(
    stores: Mapping[str, Store], units: Iterable[Unit], anchors: Path, key: bytes, *, workers: int
) -> Iterator[Probed | StoreSearched]:
    """Ask every store for what a plan named, and search all that each store keeps for the anchors in a file.

    Yields:
        `Probed` for each unit, `StoreSearched` for each store. What could not be looked at says so, and is never left out.
    Cost: every byte of the stores is read once, some 200 MB/s a core; memory a process: 16 bytes an anchor and a few pieces.
    """
    shares: dict[str, list[StoreSearched]] = {}
    tasks: Iterator[Probe | Share] = chain(
        (Probe(stores[unit.store], unit.object, tuple(t.selector for t in unit.targets)) for unit in units),
        (Share(store, anchors, key, number, workers) for store in stores.values() for number in range(workers)),
    )
    for outcome in run_units(run, tasks, workers=workers, fresh=True):
        task = outcome.unit
        said = outcome.value if isinstance(outcome, Done) else task.failed(outcome.error)
        if isinstance(said, Probed):
            yield said
        else:
            mine = shares.setdefault(said.store, [])
            mine.append(said)
            if len(mine) == workers:
                yield _together(mine)


def _together(shares: Sequence[StoreSearched]) -> StoreSearched:
    hits: dict[int, tuple[str, ...]] = {}
    reasons = Counter[str]()
    for share in shares:
        for anchor, where in share.hits.items():
            hits[anchor] = (*hits.get(anchor, ()), *where)
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
    sought = np.array(sorted(anchors), np.uint64)
    by_object: dict[str, list[str]] = {}
    for member in members:
        by_object.setdefault(member.object, []).append(member.selector)
    tasks = (
        InMembers(store, name, tuple(selectors[start : start + _TOGETHER]), sought, key, DEFAULT_LIMITS.max_bytes)
        for name, selectors in by_object.items()
        for start in range(0, len(selectors), _TOGETHER)
    )
    found: set[int] = set()
    for outcome in run_units(InMembers.run, tasks, workers=workers):
        if isinstance(outcome, Done):
            found |= outcome.value
    return found
