"""Fresh eyes: every store walked and read again, the books searched by query and as raw bytes. Knows nothing of the executor.

What counts as gone is told from the suppression list (keyed digests and encrypted hashes that the order left), never from what the
executor wrote down about itself. Every search is tried on a planted canary first: a search that misses it fails the verification.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from unsee.books import items, orders, places, training
from unsee.books.database import Books
from unsee.core.ids import ItemSet, OrderId, StoreId
from unsee.erase.fresh import Probed, StoreSearched
from unsee.erase.looking import look, why_not
from unsee.erase.plandir import PlanDirectory
from unsee.erase.rawscan import NEEDLE_BYTES, scan
from unsee.erase.residue import look_again, shared_with
from unsee.erase.walk import Finding, PlaceSeen, Walk
from unsee.match.anchors import read_anchors
from unsee.match.suppression import Sealed, SuppressionKey, Suppressor
from unsee.stores.contract import Member, Store

_SAMPLE = 50


@dataclass(frozen=True, slots=True)
class Verification:
    """What fresh eyes saw. It passed when there is no residue and no damage, and the retained root is the one of the plan."""

    places: Mapping[str, PlaceSeen]
    suppressed: int
    residue: tuple[Finding, ...]
    damage: tuple[Finding, ...]
    kept: tuple[Finding, ...]
    """Pictures that look like the scope and stay, each with its reason."""
    not_compared: Mapping[str, int]
    retained_items: int
    retained_root: str
    expected_root: str
    raw_bytes: int
    needles: int
    canary_found: bool
    not_searched: tuple[str, ...]
    """What else may hold deleted rows of the books, and was out of reach."""
    probed: int
    """Targets of the plan that fresh processes asked their stores for."""
    searched: tuple[StoreSearched, ...]
    """What the raw search of each store came to."""
    anchors: int
    """By so many anchors it was made."""
    shared_anchors: int
    """Of those found, so many also stand in a photo that stays in the same store, and say nothing."""

    @property
    def members(self) -> int:
        """Members listed in all stores."""
        return sum(p.members for p in self.places.values())

    @property
    def bytes_read(self) -> int:
        """Bytes read in all stores."""
        return sum(p.bytes_read for p in self.places.values())

    @property
    def passed(self) -> bool:
        """Whether the erasure may be certified."""
        sound = not self.residue and not self.damage and self.retained_root == self.expected_root
        return sound and self.canaries_found

    @property
    def canaries_found(self) -> bool:
        """Whether every raw search, of the books and of each store, found what was planted for it."""
        return self.canary_found and all(s.canary_found for s in self.searched)

    def as_json(self) -> dict[str, Any]:
        """As kept with the order and repeated in the certificate."""
        return {
            "passed": self.passed,
            "places": {name: asdict(place) for name, place in self.places.items()},
            "suppression_entries": self.suppressed,
            "residue": [f.as_json() for f in self.residue],
            "damage": [f.as_json() for f in self.damage],
            "kept": [f.as_json() for f in self.kept[:_SAMPLE]],
            "kept_count": len(self.kept),
            "not_compared": dict(self.not_compared),
            "retained": {"items": self.retained_items, "root": self.retained_root, "expected_root": self.expected_root},
            "raw_scan": {
                "bytes": self.raw_bytes,
                "needles": self.needles,
                "canary_found": self.canary_found,
                "not_searched": list(self.not_searched),
            },
            "probed": self.probed,
            "residue_search": {
                "anchors": self.anchors,
                "shared_with_retained": self.shared_anchors,
                "stores": {
                    s.store: {
                        "parts": s.parts,
                        "bytes": s.size_bytes,
                        "found": len(s.hits),
                        "canary_found": s.canary_found,
                        "not_searched": dict(sorted(s.not_searched.items())),
                    }
                    for s in self.searched
                },
            },
        }


@dataclass(frozen=True, slots=True)
class Verifier:
    """What a verification needs: the order, its plan and the set that must be as it was, the stores, the key of the suppression
    list, and what was put aside for searching raw bytes: digests for the books, anchors for the stores."""

    books: Books
    order: OrderId
    plan: PlanDirectory
    retained: ItemSet
    stores: Mapping[StoreId, Store]
    models_store: Store
    suppression_key: SuppressionKey
    needles: Sequence[bytes]
    unsound: Collection[tuple[str, str, str]] = frozenset()
    """Copies of photos that stay, (store, object, selector), that were spoiled before the plan was made."""
    workers: int = 2

    def run(self) -> Verification:
        """Look at everything again. Cost: every byte of every store is read and every picture decoded."""
        with self.books.read() as conn:
            sealed = [Sealed(*entry) for entry in orders.suppression_entries(conn, self.order)]
            suppressor = Suppressor(self.suppression_key, sealed)
            scope, retained = orders.scope_of(conn, self.order), self.retained
            walk = Walk(
                suppressor, retained, self.unsound, {int(t["item"]) for t in self.plan.summary["twins"]["sample"]}
            )
            for row in places.all_stores(conn):
                self._walk_store(conn, row, walk)
            walk.damage.extend(walk.missing(retained))
            again = self._look_again(conn, walk)
            owned = {m.object_name for m in training.all_models(conn) if m.destroyed_by is None}
            walk.residue.extend(self._models_left(owned))
            walk.residue.extend(_rows_left(conn, scope))
            root = walk.root(items.all_batches(conn))
            lawful = _shared(self.needles, items.digests_of(conn, retained))
        raw = self._raw_scan(lawful)
        walk.residue.extend(raw.findings)
        if len(self.needles) != len(sealed):
            walk.residue.append(
                Finding(
                    "plan", f"{len(self.needles)} digests were put aside for the raw scan, {len(sealed)} are suppressed"
                )
            )
        return Verification(
            places=walk.places,
            suppressed=len(sealed),
            residue=tuple(_once(walk.residue)),
            damage=tuple(walk.damage),
            kept=tuple(walk.kept),
            not_compared=walk.not_compared,
            retained_items=len(retained),
            retained_root=root.hex(),
            expected_root=str(self.plan.summary["retained"]["root"]),
            raw_bytes=raw.size_bytes,
            needles=len(set(self.needles) - lawful),
            canary_found=raw.canary_found,
            not_searched=self.books.beyond_reach,
            probed=again.probed,
            searched=tuple(again.searched),
            anchors=len(read_anchors(self.plan.anchors_path)),
            shared_anchors=again.shared_anchors,
        )

    def _look_again(self, conn: Connection, walk: Walk) -> _Again:
        """Ask each store in fresh processes for what the plan named, and search its raw bytes."""
        again = _Again()
        key = self.suppression_key.anchor_key(self.order)
        stores = {str(name): store for name, store in self.stores.items()}
        for said in look_again(stores, self.plan.units(), self.plan.anchors_path, key, workers=self.workers):
            if isinstance(said, Probed):
                again.probed += said.asked
                walk.residue.extend(_still_there(conn, said, walk))
            else:
                again.searched.append(said)
                if said.hits:
                    self._judge_hits(conn, stores[said.store], said, walk, again)
        again.searched.sort(key=lambda s: s.store)
        return again

    def _judge_hits(self, conn: Connection, store: Store, said: StoreSearched, walk: Walk, again: _Again) -> None:
        """Anchors that stand in no photo that stays are residue: one finding for each place."""
        recorded = _recorded(conn, places.store(conn, StoreId(said.store)).no)
        stays = [
            entry
            for entry in store.scan()
            if isinstance(entry, Member)
            and (at := recorded.get((entry.object, entry.selector))) is not None
            and walk.is_sound(at[0])
        ]
        key = self.suppression_key.anchor_key(self.order)
        shared = shared_with(store, stays, list(said.hits), key, workers=self.workers)
        again.shared_anchors += len(shared)
        where = {place for anchor, found in said.hits.items() if anchor not in shared for place in found}
        reason = "raw bytes of an erased photo stand there"
        walk.residue.extend(Finding(f"{said.store}:{place}", reason) for place in sorted(where))

    def _walk_store(self, conn: Connection, row: places.StoreRow, walk: Walk) -> None:
        store = self.stores[row.id]
        recorded = _recorded(conn, row.no)
        place = walk.places.setdefault(row.id, PlaceSeen())
        listed: list[Member] = []
        for entry in store.scan():
            if isinstance(entry, Member):
                listed.append(entry)
            else:
                place.skipped += 1
                walk.not_compared[why_not(entry.reason, row.id, entry.selector)] += 1
        place.members = len(listed)
        place.objects = len({m.object for m in listed})
        for seen in look(store, listed, workers=self.workers):
            walk.see(seen, recorded.get((seen.member.object, seen.member.selector)))
        walk.judge()

    def _models_left(self, owned: set[str]) -> Iterator[Finding]:
        gone = {
            str(m["object"]): f"model {m['id']}" for m in self.plan.summary["models"] if m["disposition"] == "destroyed"
        }
        # A later, lawful run may have taken the name under which an unfinished one had left its files.
        gone |= {
            str(stray): f"the unfinished run {stray}" for stray in self.plan.summary["strays"] if stray not in owned
        }
        for entry in self.models_store.scan():
            top = entry.object.split("/", 1)[0]
            if top in gone:
                yield Finding(f"models:{entry.object}/{entry.selector}", f"a file of {gone[top]}, which had to go")

    def _raw_scan(self, lawful: set[bytes]) -> _Raw:
        """Search the database for the digests of what was erased, but for `lawful` ones: those of a twin that stays.

        Its bytes are searched, not its rows asked for: a row is deleted first, and its page may keep it; and a digest may stand
        where no query looks for it.
        """
        canary = hashlib.sha256(b"unsee canary " + str(self.order).encode()).digest()
        planted = b"\x00" * 1021 + canary + b"\x00" * 77
        searched = 0

        def counted(stream: Iterable[bytes]) -> Iterator[bytes]:
            nonlocal searched
            for piece in stream:
                searched += len(piece)
                yield piece

        with closing(self.books.raw()) as held:
            streams = chain(map(counted, held), [[planted]])
            found = scan(streams, [*(n for n in self.needles if n not in lawful), canary])
        seen = found.pop(canary, 0)
        findings = tuple(
            Finding("books", f"the digest of an erased photo stands {count} times in the database")
            for count in found.values()
        )
        return _Raw(findings, searched, seen == 1)


@dataclass(frozen=True, slots=True)
class _Raw:
    findings: tuple[Finding, ...]
    size_bytes: int
    canary_found: bool


@dataclass(slots=True)
class _Again:
    """What fresh processes looked at."""

    probed: int = 0
    searched: list[StoreSearched] = field(default_factory=list)
    shared_anchors: int = 0


def _shared(needles: Sequence[bytes], stays: items.Digests) -> set[bytes]:
    """The needles that are also the digest of something that stays: a twin with the same bytes."""
    wanted = set(needles)
    return {sha for row in stays.sha256 if (sha := row.tobytes()) in wanted}


def _recorded(conn: Connection, store_no: int) -> dict[tuple[str, str], tuple[int, bytes]]:
    """What the books say lies where in one store: (object, selector) to item and digest."""
    found: dict[tuple[str, str], tuple[int, bytes]] = {}
    rows = [
        (name, c)
        for no, name in places.objects_of(conn, store_no).items()
        for c in places.copies_in_object(conn, no).values()
    ]
    digests = items.digests_of(conn, ItemSet([c.item for _name, c in rows]))
    sha = {i: row.tobytes() for i, row in zip(digests.ids.tolist(), digests.sha256, strict=True)}
    for name, copy in rows:
        if copy.item in sha:
            found[(name, copy.selector)] = (copy.item, sha[copy.item])
    return found


def _still_there(conn: Connection, said: Probed, walk: Walk) -> Iterator[Finding]:
    if said.error:
        yield Finding(f"{said.store}:{said.object}", f"could not be probed: {said.error}")
    for left in said.residue:
        if not walk.is_sound(_item_at(conn, said.store, said.object, left.selector)):
            where = f"{said.store}:{said.object}/{left.selector}"
            yield Finding(where, f"its store still finds it ({left.where})")


def _item_at(conn: Connection, store: str, object_name: str, selector: str) -> int | None:
    """The item that the books record at one place."""
    objects = places.objects_of(conn, places.store(conn, StoreId(store)).no)
    for number, name in objects.items():
        if name == object_name:
            copy = places.copies_in_object(conn, number).get(selector)
            return copy.item if copy is not None else None
    return None


def _rows_left(conn: Connection, scope: ItemSet) -> Iterator[Finding]:
    left = len(items.digests_of(conn, scope).ids)
    if left:
        yield Finding("books", f"{left} rows of digests of erased photos")
    copies = sum(len(rows) for rows in places.copies_of(conn, scope))
    if copies:
        yield Finding("books", f"{copies} rows of copies of erased photos")
    for name, count in items.attribute_rows(conn, scope).items():
        yield Finding("books", f"{count} rows of {name} of erased photos")


def _once(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Each place once: what a reader shows is told as that, not again as what the store was asked for and what raw bytes show."""
    told: set[str] = set()
    for finding in findings:
        place = str(finding) if finding.where == "books" else finding.where
        if place not in told:
            told.add(place)
            yield finding


def read_needles(path: Path) -> list[bytes]:
    """The digests that an apply put aside for the raw scan."""
    data = path.read_bytes() if path.exists() else b""
    return [data[i : i + NEEDLE_BYTES] for i in range(0, len(data), NEEDLE_BYTES)]
