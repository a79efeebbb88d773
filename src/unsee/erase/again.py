"""Erasing again what comes back from a backup (R7): by the suppression list, which past orders left for this.

No new approval is asked for: the list holds only what approved orders erased, and what an order reached stays to be erased.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import Connection

from unsee.books import items, places
from unsee.core.ids import ItemSet
from unsee.erase.looking import Seen, look
from unsee.match.suppression import Suppressor
from unsee.stores.contract import Kept, Member, Store, Target, same_stamp


@dataclass(frozen=True, slots=True)
class Again:
    """What was erased again, by store: members looked at, erased by step of the ladder, and what was kept and why."""

    members: int
    read: int
    erased: Mapping[str, int]
    kept: tuple[tuple[str, str], ...]
    """(place, reason)."""


def erase_again(conn: Connection, row: places.StoreRow, store: Store, suppressor: Suppressor, *, workers: int) -> Again:
    """Read what no book vouches for in a store, and erase what is on the suppression list, with what shares a sample with it.

    What the books record as a photo that stays, byte for byte, is left alone, even where it looks like one that went.
    Idempotent: what a killed run erased is absent the next time.

    Raises:
        StoreUnreachable: the store is not there.
    Cost: one listing; one read and decode of each member that is not on record as it is.
    """
    members = read = 0
    erased: dict[str, int] = {}
    kept: list[tuple[str, str]] = []
    emptied: list[str] = []
    numbers = {name: no for no, name in places.objects_of(conn, row.no).items()}
    for object_name, entries in groupby(_members(store), key=lambda entry: entry.object):
        inside = list(entries)
        members += len(inside)
        number = numbers.get(object_name)
        recorded = places.copies_in_object(conn, number) if number is not None else {}
        fresh = [m for m in inside if m.selector not in recorded or not same_stamp(recorded[m.selector].stamp, m.stamp)]
        seen = list(look(store, fresh, workers=workers))
        read += len(seen)
        going = _going(conn, seen, recorded, suppressor)
        samples = {m.sample for m in inside if m.selector in going and m.sample}
        vouched = {m.selector for m in inside} - {m.selector for m in fresh}
        targets = [
            Target(m.selector, m.stamp)
            for m in inside
            if m.selector in going or (m.sample in samples and m.selector not in vouched)
        ]
        if targets:
            emptied.append(object_name)
            done = store.erase(object_name, targets)
            erased[done.gone.step] = erased.get(done.gone.step, 0) + len(done.erased)
            left = store.probe(object_name, [t.selector for t in targets if t.selector not in _names(done.kept)])
            kept.extend((f"{row.id}:{object_name}/{k.selector}", k.reason) for k in done.kept)
            kept.extend((f"{row.id}:{object_name}/{r.selector}", f"still found ({r.where})") for r in left)
    store.tidy(emptied)  # the names of what is empty now may name people
    return Again(members, read, erased, tuple(kept))


def _members(store: Store) -> Iterator[Member]:
    return (entry for entry in store.scan() if isinstance(entry, Member))


def _going(
    conn: Connection, seen: Sequence[Seen], recorded: Mapping[str, places.Copy], suppressor: Suppressor
) -> set[str]:
    """The selectors of what is on the list and is no recorded photo, byte for byte."""
    pictures = [(s, s.picture) for s in seen if s.picture is not None]
    found = items.digests_of(conn, ItemSet([copy.item for copy in recorded.values()]))
    digest = {item: sha.tobytes() for item, sha in zip(found.ids.tolist(), found.sha256, strict=True)}
    going: set[str] = set()
    for (one, _picture), match in zip(pictures, suppressor.match([p for _s, p in pictures]), strict=True):
        copy = recorded.get(one.member.selector)
        lawful = copy is not None and digest.get(copy.item) == one.sha256
        if match is not None and not lawful:
            going.add(one.member.selector)
    return going


def _names(kept: Sequence[Kept]) -> set[str]:
    return {one.selector for one in kept}
