"""Walking the stores before an erasure: what lies there that no book records, and which of it shows a picture of the scope.

What the books record and nobody touched since is not read again; everything else is read and compared. Pictures of *other* sources
that look like one of the scope are twins: lawful in their own right, so they are listed and kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from sqlalchemy import Connection

from unsee.books import items, places
from unsee.core.errors import StoreUnreachable
from unsee.core.ids import ItemSet, StoreId
from unsee.erase.looking import Seen, look
from unsee.match.closure import Digests, find_copies
from unsee.stores.contract import Member, Skipped, Store, same_stamp


@dataclass(frozen=True, slots=True)
class FoundCopy:
    """A member that no book vouches for and that shows a picture of the scope, or lies in the place of one: that of `item`."""

    store: StoreId
    object: str
    selector: str
    stamp: str
    size_bytes: int
    item: int
    reason: str


@dataclass(frozen=True, slots=True)
class Twin:
    """An item outside the scope that shows the same picture as one inside."""

    item: int
    of: int
    reason: str


@dataclass(frozen=True, slots=True)
class Unlooked:
    """Something in a store that was not compared, and why (R4)."""

    store: StoreId
    object: str
    selector: str
    reason: str


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a walk found."""

    members: int = 0
    recorded: int = 0
    read: int = 0
    copies: tuple[FoundCopy, ...] = ()
    twins: tuple[Twin, ...] = ()
    examined: tuple[tuple[str, str, str, str], ...] = ()
    """Read and left alone: (store, object, selector, stamp)."""
    unsound: tuple[tuple[str, str, str], ...] = ()
    """Of those, the ones that lie where the books say that a photo lies that stays, and are not what was taken in."""
    present: ItemSet = field(default_factory=ItemSet)
    """Items of which a sound copy was listed: untouched since it was recorded, or read again with the same bytes."""
    unlooked: tuple[Unlooked, ...] = ()


def discover(
    conn: Connection, stores: Mapping[StoreId, Store], scope: ItemSet, retained: ItemSet, *, workers: int
) -> Discovery:
    """Walk every store and compare what no book vouches for with the scope.

    Cost: one listing of each store; one read and decode of each member that is not recorded or was changed since.
    """
    wanted = _columns(items.digests_of(conn, scope))
    members = recorded = 0
    present = ItemSet()
    scoped: dict[tuple[str, str, str], int] = {}
    unsound: set[tuple[str, str, str]] = set()
    seen: list[Seen] = []
    unlooked: list[Unlooked] = []
    sampled: set[StoreId] = set()
    for row in places.all_stores(conn):
        listing = _Listing(conn, row.no)
        fresh: list[Member] = []
        touched: dict[tuple[str, str], int] = {}
        here = False
        for entry in stores[row.id].scan():
            if isinstance(entry, Skipped):
                unlooked.append(Unlooked(row.id, entry.object, entry.selector, entry.reason))
                continue
            members += 1
            here = True
            if entry.sample:
                sampled.add(row.id)
            copy = listing.copy_at(entry)
            if copy is not None and same_stamp(copy.stamp, entry.stamp):
                recorded += 1
                present.add(copy.item)
                continue
            if copy is not None:
                touched[(entry.object, entry.selector)] = copy.item
                if copy.item in scope:
                    scoped[(row.id, entry.object, entry.selector)] = copy.item
            fresh.append(entry)
        if not here and listing.records_anything:
            raise StoreUnreachable(
                f"Store {row.id} at {row.location} is empty, and the books record photos there.",
                next_step="Mount or restore it and plan again; an absent disk is never taken for an empty one.",
            )
        looked = list(look(stores[row.id], fresh, workers=workers))
        same = _same_bytes(conn, looked, touched)
        present |= ItemSet(same.values())
        unsound |= {(str(row.id), *at) for at, item in touched.items() if at not in same and item in retained}
        seen.extend(looked)

    pictures = [s for s in seen if s.picture is not None]
    unlooked.extend(Unlooked(StoreId(s.store), s.member.object, s.member.selector, s.note) for s in seen if s.note)
    hits = find_copies(wanted.digests, Digests.of(s.picture for s in pictures if s.picture is not None))
    ids = wanted.ids
    copies: dict[int, FoundCopy] = {}
    for hit in hits:
        at = pictures[hit.candidate]
        copies[hit.candidate] = FoundCopy(
            StoreId(at.store),
            at.member.object,
            at.member.selector,
            at.member.stamp,
            at.member.size_bytes,
            ids[hit.original],
            f"unrecorded copy: {hit.reason}",
        )
    rest = [s for i, s in enumerate(pictures) if i not in copies] + [s for s in seen if s.picture is None]
    changed = [_changed(s, item) for s in rest if (item := scoped.get(_place(s))) is not None]
    found = (*copies.values(), *changed)
    companions = tuple(_companions(conn, {s: stores[s] for s in sampled}, scope, retained, found)) if sampled else ()
    going = {(str(c.store), c.object, c.selector) for c in companions}
    left = [s for s in rest if _place(s) not in scoped and _place(s) not in going]
    return Discovery(
        members=members,
        recorded=recorded,
        read=len(seen),
        copies=(*found, *companions),
        twins=tuple(_twins(conn, wanted, retained)),
        examined=tuple((s.store, s.member.object, s.member.selector, s.member.stamp) for s in left),
        unsound=tuple(sorted(unsound)),
        unlooked=tuple(unlooked),
        present=present,
    )


def _place(seen: Seen) -> tuple[str, str, str]:
    return seen.store, seen.member.object, seen.member.selector


def _changed(seen: Seen, item: int) -> FoundCopy:
    """What lies where the books say an item of the scope lies, and is no copy of it any more.

    Most likely it was edited in place: cropped, drawn upon, cut short. So it goes, and the plan says why; left alone, it would also
    keep the item's own target from ever being done.
    """
    at = seen.member
    reason = "changed since it was taken in, in the place of an item in scope"
    return FoundCopy(StoreId(seen.store), at.object, at.selector, at.stamp, at.size_bytes, item, reason)


def _companions(
    conn: Connection, stores: Mapping[StoreId, Store], scope: ItemSet, retained: ItemSet, found: Sequence[FoundCopy]
) -> Iterator[FoundCopy]:
    """What readers hand out together with a member that goes: the labels and captions of a sample. A photo that stays, stays.

    Cost: a second listing of the stores whose members form samples; memory: one object's members.
    """
    by_store: dict[StoreId, dict[tuple[str, str], int]] = {}
    for copy in found:
        by_store.setdefault(copy.store, {})[(copy.object, copy.selector)] = copy.item
    for row in places.all_stores(conn):
        if row.id not in stores:
            continue
        listing = _Listing(conn, row.no)
        going = by_store.get(row.id, {})
        entries = (entry for entry in stores[row.id].scan() if isinstance(entry, Member) and entry.sample)
        for _object, members in groupby(entries, key=lambda entry: entry.object):
            yield from _companions_in(row.id, list(members), listing, going, scope, retained)


def _companions_in(  # noqa: PLR0917  all of it is what the pass has at hand
    store: StoreId,
    members: Sequence[Member],
    listing: _Listing,
    going: Mapping[tuple[str, str], int],
    scope: ItemSet,
    retained: ItemSet,
) -> Iterator[FoundCopy]:
    """The companions in one object."""
    reasons: dict[str, int] = {}
    others: list[Member] = []
    for member in members:
        item = going.get((member.object, member.selector))
        copy = listing.copy_at(member)
        if item is None and copy is not None and copy.item in scope:
            item = copy.item
        if item is not None:
            reasons.setdefault(member.sample, item)
        elif copy is None or copy.item not in retained:
            others.append(member)
    for member in others:
        if member.sample in reasons:
            item = reasons[member.sample]
            why = "in one sample with a photo in scope"
            yield FoundCopy(store, member.object, member.selector, member.stamp, member.size_bytes, item, why)


def _same_bytes(
    conn: Connection, looked: Sequence[Seen], touched: Mapping[tuple[str, str], int]
) -> dict[tuple[str, str], int]:
    """Of the recorded copies whose stamp changed, those whose bytes are still those of their intake."""
    found = items.digests_of(conn, ItemSet(touched.values()))
    known = {i: sha.tobytes() for i, sha in zip(found.ids.tolist(), found.sha256, strict=True)}
    same: dict[tuple[str, str], int] = {}
    for one in looked:
        at = (one.member.object, one.member.selector)
        item = touched.get(at)
        if item is not None and one.sha256 is not None and known.get(item) == one.sha256:
            same[at] = item
    return same


def _twins(conn: Connection, wanted: _Columns, retained: ItemSet) -> Iterator[Twin]:
    others = _columns(items.digests_of(conn, retained))
    for hit in find_copies(wanted.digests, others.digests):
        yield Twin(others.ids[hit.candidate], wanted.ids[hit.original], hit.reason)


@dataclass(frozen=True, slots=True)
class _Columns:
    ids: list[int]
    digests: Digests


def _columns(found: items.Digests) -> _Columns:
    return _Columns(found.ids.tolist(), Digests(found.sha256, found.pixels, found.pdq, found.quality))


class _Listing:
    """What the books record of one store, object by object, as the walk comes by them."""

    def __init__(self, conn: Connection, store_no: int) -> None:
        self._conn = conn
        self._numbers = {name: no for no, name in places.objects_of(conn, store_no).items()}
        self.records_anything = bool(self._numbers)
        self._object: str | None = None
        self._copies: Mapping[str, places.Copy] = {}

    def copy_at(self, member: Member) -> places.Copy | None:
        if member.object != self._object:
            self._object = member.object
            no = self._numbers.get(member.object)
            self._copies = places.copies_in_object(self._conn, no) if no is not None else {}
        return self._copies.get(member.selector)
