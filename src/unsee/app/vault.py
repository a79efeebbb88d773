"""Vaults: making one, sealing recorded photos into it, and keeping its keys."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import Connection

from unsee.app.registry import add_store
from unsee.app.workspace import Workspace
from unsee.books import facts, items, orders, parties, places
from unsee.books.places import Copy, StoreRow
from unsee.core.errors import InvalidValue, NotFound, StoreError
from unsee.core.ids import ItemId, ItemSet, ObjectNo, PersonId, SourceId, StoreId, slug
from unsee.stores.contract import Store, Target
from unsee.stores.names import spell
from unsee.stores.registry import open_store
from unsee.stores.vault import VaultStore, keeping, open_vault
from unsee.stores.vault.ring import RingCopy
from unsee.stores.vault.sealing import ToSeal
from unsee.stores.vault.store import create
from unsee.stores.vault.wrapping import FileWrapper

BATCH = 128
"""Photos that are encrypted under one lock of the key ring and recorded in one transaction."""
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Left:
    """A copy that was not sealed, or whose plain file was kept, and why."""

    store: str
    object: str
    selector: str
    reason: str

    def __str__(self) -> str:
        return f"{self.store}:{self.object}/{self.selector}: {self.reason}"


@dataclass(slots=True)
class Sealed:
    """What came of sealing."""

    sealed: int = 0
    there: int = 0
    """Items that were in the vault already."""
    removed: int = 0
    """Plain files that were erased after their sealed copy had been read back."""
    blocked: int = 0
    """Items that an order blocks: they are left where its plan found them."""
    left: list[Left] = field(default_factory=list)


def create_vault(ws: Workspace, name: str, location: Path, *, keys: Path | None, wrap: str) -> tuple[StoreId, bool]:
    """Make a vault and register it; its id, and whether a master key was made for it.

    Args:
        keys: where the key ring is to lie; without it, beside the vault.
        wrap: the keeper of the master key; `file:PATH` makes a new one where there is no file.
    Raises:
        AlreadyExists: the id is taken, or there is a key ring.
        InvalidValue: vault, ring and master key lie within each other, or within a registered store.
    """
    slug(name, what="store")
    place = location.resolve()
    options = {"keys": str((keys or place.with_name(place.name + ".keys")).resolve()), "wrap": _absolute(wrap)}
    store = open_vault(StoreId(name), str(place), options)
    secret = [Path(store.keys)]
    wrapper = store.wrapper()
    if isinstance(wrapper, FileWrapper):
        secret.append(Path(wrapper.path))
    with ws.books.read() as conn:
        rows = places.all_stores(conn)
    _require_apart(place, secret, rows)
    for path in secret:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = isinstance(wrapper, FileWrapper) and not Path(wrapper.path).exists()
    if isinstance(wrapper, FileWrapper) and fresh:
        wrapper.create()
    create(store)
    return add_store(ws, name, kind="vault", location=str(place), options=options), fresh


def vault(ws: Workspace, name: str) -> tuple[StoreRow, VaultStore]:
    """The vault of that id.

    Raises:
        NotFound: there is no such store.
        InvalidValue: it is no vault.
    """
    with ws.books.read() as conn:
        row = places.store(conn, StoreId(name))
    store = open_store(row.id, row.kind, row.location, row.options)
    if not isinstance(store, VaultStore):
        raise InvalidValue(
            f"Store {name} is of kind {row.kind!r}, not a vault.", next_step='"unsee store list" shows kinds.'
        )
    return row, store


def seal(
    ws: Workspace,
    name: str,
    origin: str,
    *,
    source: str,
    remove_plain: bool,
    on_progress: Progress,
) -> Sealed:
    """Encrypt a source's recorded photos into a vault, and record the sealed copies, so that every order reaches them.

    Each sealed copy is read back and held against the digest of its intake before it is recorded. A killed call resumes: what is in
    the vault is not sealed again. Items that an order blocks are left alone: moving them would make its plan stale.

    Args:
        origin: a registered store, or a folder of one, whose copies are sealed.
        remove_plain: erase the copies in `origin`, by its store's own way, once the sealed copy was read back.
    Raises:
        NotFound: no such vault, source, store or folder.
    """
    row, store = vault(ws, name)
    with ws.books.read() as conn:
        parties.source(conn, SourceId(source))
        from_row, below = _origin(places.all_stores(conn), origin)
        wanted = parties.items_of_source(conn, SourceId(source))
        stopped = ItemSet.union(ItemSet(), *orders.blocked(conn).values())
        result = Sealed(blocked=len(wanted & stopped))
        plain, sealed = _copies(conn, wanted - stopped, row.no, from_row.no, below)
    if from_row.no == row.no:
        raise InvalidValue(
            f"{name} cannot be sealed into itself.", next_step="Name the store that holds the photos in plain."
        )
    work = _Sealing(ws, row, store, ws.stores()[from_row.id], SourceId(source), result)
    todo = [copies[0] for item, copies in sorted(plain.items()) if item not in sealed]
    result.there = sum(item in sealed for item in plain)
    for start in range(0, len(todo), BATCH):
        sealed.update(work.seal(todo[start : start + BATCH]))
        on_progress("seal", min(start + BATCH, len(todo)), len(todo))
    if remove_plain:
        work.remove(plain, sealed)
    with ws.act() as tx:
        counts = {"items": result.sealed, "plain_removed": result.removed}
        facts.record(tx, "PhotosSealed", store=name, source=source, **counts)
    return result


def back_up_keys(ws: Workspace, name: str, place: Path, *, person: PersonId) -> RingCopy:
    """Write a copy of a vault's key ring; the ring and the log remember it."""
    _row, store = vault(ws, name)
    _require_person(ws, person)
    made = keeping.back_up(store, place)
    with ws.act() as tx:
        facts.record(tx, "KeyRingCopied", store=name, copy=made.number, person=person)
    return made


def copy_destroyed(ws: Workspace, name: str, number: int, *, person: PersonId) -> RingCopy:
    """Put on record that a person says that a copy of the key ring is destroyed."""
    _row, store = vault(ws, name)
    _require_person(ws, person)
    gone = keeping.declare_destroyed(store, number, person)
    with ws.act() as tx:
        facts.record(tx, "KeyRingCopyDeclaredDestroyed", store=name, copy=number, person=person)
    return gone


def rotate(ws: Workspace, name: str, wrap: str, *, person: PersonId) -> tuple[int, str]:
    """Wrap every key of a vault under another master key, which its store names from now on; how many keys, and its keeper."""
    row, store = vault(ws, name)
    _require_person(ws, person)
    wrap = _absolute(wrap)
    wrapper = replace(store, wrap=wrap).wrapper()
    if isinstance(wrapper, FileWrapper) and not Path(wrapper.path).exists():
        with ws.books.read() as conn:
            _require_apart(
                Path(row.location), [Path(wrapper.path)], [r for r in places.all_stores(conn) if r.no != row.no]
            )
        wrapper.create()
    count = keeping.rotate(store, wrap)
    with ws.act() as tx:
        places.change_options(tx, row.id, {**row.options, "wrap": wrap})
        facts.record(tx, "KeysRewrapped", store=name, keys=count, person=person)
    return count, wrap


@dataclass(frozen=True, slots=True)
class _Plain:
    item: int
    object_no: ObjectNo
    object: str
    selector: str
    stamp: str


@dataclass(slots=True)
class _Sealing:
    """One call of `seal`, batch by batch."""

    ws: Workspace
    row: StoreRow
    vault: VaultStore
    origin: Store
    source: SourceId
    result: Sealed

    def seal(self, batch: Sequence[_Plain]) -> dict[int, str]:
        """Read, encrypt, read back, record; the selectors of what is in the vault now, by item."""
        wanted = ItemSet([copy.item for copy in batch])
        with self.ws.books.read() as conn:
            digests = items.digests_of(conn, wanted)
            subjects = items.subjects_of_items(conn, wanted)
            people = items.pseudonyms_of(conn, subjects.values())
        sha256 = {item: sha.tobytes() for item, sha in zip(digests.ids.tolist(), digests.sha256, strict=True)}
        going: dict[str, _Plain] = {}
        sealing = []
        for copy in batch:
            data = self._read(copy, sha256.get(copy.item))
            if data is not None:
                selector = secrets.token_hex(16)  # a file's name may name a person; this one names nobody
                going[selector] = copy
                subject = subjects.get(ItemId(copy.item))
                sealing.append(ToSeal(selector, [data], people[subject] if subject is not None else b""))
        if not sealing:
            return {}
        rows = []
        for member in self.vault.seal(self.source, sealing):
            copy = going[member.selector]
            self._read_back(member.selector, sha256[copy.item])
            rows.append((copy.item, member))
        with self.ws.books.write() as tx:
            number = places.object_numbers(tx, self.row.no, [self.source])[self.source]
            places.add_copies(tx, [Copy(ItemId(i), number, m.selector, m.stamp, m.size_bytes) for i, m in rows])
        self.result.sealed += len(rows)
        return {item: member.selector for item, member in rows}

    def remove(self, plain: Mapping[int, Sequence[_Plain]], sealed: Mapping[int, str]) -> None:
        """Erase the plain copies of what is sealed, object by object, once more after reading the sealed copy back."""
        by_object: dict[tuple[ObjectNo, str], dict[str, _Plain]] = {}
        for item, copies in plain.items():
            if item in sealed and self._sound(item, sealed[item], copies[0]):
                for copy in copies:
                    by_object.setdefault((copy.object_no, copy.object), {})[copy.selector] = copy
        for (number, name), here in by_object.items():
            done = self.origin.erase(name, [Target(copy.selector, copy.stamp) for copy in here.values()])
            self.result.left.extend(Left(self.origin.id, name, k.selector, k.reason) for k in done.kept)
            self.result.removed += len(done.erased)
            with self.ws.books.write() as tx:
                places.drop_copies(tx, number, [*done.erased, *done.absent])

    def _read(self, copy: _Plain, sha256: bytes | None) -> bytes | None:
        try:
            data = self.origin.read(copy.object, copy.selector)
        except StoreError as error:
            self._leave(copy, error.message.rstrip("."))
            return None
        if hashlib.sha256(data).digest() != sha256:
            self._leave(copy, "it is not what was taken in")
            return None
        return data

    def _read_back(self, selector: str, sha256: bytes) -> None:
        if hashlib.sha256(self.vault.read(self.source, selector)).digest() != sha256:
            raise StoreError(
                f"{selector!r} does not read back as it was sealed.",
                next_step="Check the disk of the vault; nothing in plain was removed.",
            )

    def _sound(self, item: int, selector: str, copy: _Plain) -> bool:
        with self.ws.books.read() as conn:
            found = items.digests_of(conn, ItemSet([item]))
        try:
            self._read_back(selector, found.sha256[0].tobytes())
        except StoreError as error:
            self._leave(copy, f"its plain file stays: {error.message.rstrip('.')}")
            return False
        return True

    def _leave(self, copy: _Plain, reason: str) -> None:
        self.result.left.append(Left(self.origin.id, copy.object, copy.selector, reason))


def _copies(
    conn: Connection, wanted: ItemSet, vault_no: int, origin_no: int, below: str | None
) -> tuple[dict[int, list[_Plain]], dict[int, str]]:
    """The plain copies of each item in the origin, and the selectors of the items that are in the vault."""
    objects = places.all_objects(conn)
    plain: dict[int, list[_Plain]] = {}
    sealed: dict[int, str] = {}
    for rows in places.copies_of(conn, wanted):
        for row in rows:
            store_no, name = objects[row.object_no]
            if store_no == vault_no:
                sealed[row.item_id] = row.selector
            if store_no == origin_no and (below is None or name == below or name.startswith(below + "/")):
                copy = _Plain(row.item_id, row.object_no, name, row.selector, row.stamp)
                plain.setdefault(row.item_id, []).append(copy)
    return plain, sealed


def _origin(rows: Sequence[StoreRow], named: str) -> tuple[StoreRow, str | None]:
    """The store that is meant, and the directory below which its objects are meant; None for all of them."""
    for row in rows:
        if row.id == named:
            return row, None
    folder = Path(named).resolve()
    for row in rows:
        root = Path(row.location)
        if row.kind == "files" and (folder == root or root in folder.parents):
            if folder == root:
                return row, None
            return row, "/".join(spell(os.fsencode(part)) for part in folder.relative_to(root).parts)
    raise NotFound("store or folder of one", named, where="", next_step='"unsee store list" shows the stores.')


def _absolute(wrap: str) -> str:
    """`file:PATH` with a path that means the same from everywhere."""
    scheme, _, rest = wrap.partition(":")
    return f"file:{Path(rest).resolve()}" if scheme == "file" and rest else wrap


def _require_apart(place: Path, secret: Sequence[Path], rows: Sequence[StoreRow]) -> None:
    """Pass where no photo store holds keys or the vault, and the vault holds no store and no key.

    Raises:
        InvalidValue: one does.
    """
    for path in secret:
        if place == path or place in path.parents:
            raise InvalidValue(
                f"{path} would lie in the vault: whoever copies one copies the other.",
                next_step="Name a place outside of the vault.",
            )
    for row in rows:
        root = Path(row.location)
        for path in (place, *secret):
            if root == path or root in path.parents or (path == place and path in root.parents):
                raise InvalidValue(
                    f"{path} overlaps store {row.id} at {row.location}.",
                    next_step="Keep vault and keys in places of their own.",
                )


def _require_person(ws: Workspace, person: PersonId) -> None:
    with ws.books.read() as conn:
        parties.person(conn, person)
