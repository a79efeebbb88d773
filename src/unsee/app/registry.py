"""Who and what the workspace knows: people, stores, sources; and the documents that it keeps."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from unsee.app.workspace import MODELS_STORE, Workspace
from unsee.attest.durable import write_file
from unsee.attest.keys import SigningKey
from unsee.books import parties, places, retention
from unsee.core.errors import AlreadyExists, InputError, InvalidValue, NotFound, StoreError, WrongState
from unsee.core.ids import PersonId, SourceId, StoreId, slug
from unsee.core.parties import Person, Scraped, Source, SourceKind
from unsee.stores.contract import Capability, Compacts, Member
from unsee.stores.registry import open_store

MAX_DOCUMENT_BYTES = 256 << 20


def add_person(
    ws: Workspace, name_id: str, *, name: str, title: str, organisation: str | None, key_file: Path | None
) -> tuple[Person, Path]:
    """Add a person who acts here, with a new Ed25519 key; where its private half was written.

    Args:
        key_file: where the person keeps the key; without it, `keys/people/` of the workspace.
    Raises:
        AlreadyExists: the id, or the key file, is taken.
    """
    person_id = PersonId(slug(name_id, what="person"))
    path = key_file or ws.person_key_path(person_id)
    with ws.books.read() as conn:
        if any(p.id == person_id for p in parties.all_people(conn)):
            raise AlreadyExists("person", person_id)
    key = SigningKey.generate(secrets.token_bytes)
    key.save(path)
    person = Person(person_id, name, title, organisation or ws.organisation, key.public.hex)
    with ws.act() as tx:
        parties.add_person(tx, person)
    return person, path


def all_people(ws: Workspace) -> list[Person]:
    """Everybody who acts here, by id."""
    with ws.books.read() as conn:
        return parties.all_people(conn)


def all_stores(ws: Workspace) -> list[tuple[places.StoreRow, Capability]]:
    """Every place, in the order of registration, and what erasing means there."""
    with ws.books.read() as conn:
        rows = places.all_stores(conn)
    opened = ws.stores()
    return [(row, opened[row.id].capability()) for row in rows]


def add_store(ws: Workspace, name: str, *, kind: str, location: str, options: Mapping[str, str]) -> StoreId:
    """Register a place where photos lie, after looking whether it is there.

    Raises:
        StoreUnreachable: it is not.
        InvalidValue: it overlaps a store that is registered, so that one file would have two addresses.
        AlreadyExists: the id is taken.
    """
    store_id = StoreId(slug(name, what="store"))
    if store_id == MODELS_STORE:
        raise AlreadyExists("store", store_id)
    place = str(Path(location).resolve()) if _is_path(location) else location
    if _is_path(place):
        _require_outside(ws, Path(place))
    store = open_store(store_id, kind, place, options)
    next(iter(store.scan()), None)
    with ws.act() as tx:
        for row in places.all_stores(tx.conn):
            if _is_path(place) and _is_path(row.location) and _overlap(Path(place), Path(row.location)):
                raise InvalidValue(
                    f"{place} overlaps store {row.id} at {row.location}.",
                    next_step="Register one root for both, or move one out of the other; a file has one address.",
                )
        places.register_store(tx, store_id, kind, place, options)
    return store_id


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a compaction did: objects that became smaller, by how many bytes, and those that could not be rewritten and why."""

    objects: int
    freed_bytes: int
    failed: Mapping[str, str]

    def as_json(self) -> dict[str, object]:
        """As printed."""
        return {"objects": self.objects, "freed_bytes": self.freed_bytes, "failed": dict(self.failed)}


def compact_store(ws: Workspace, name: str) -> Compacted:
    """Give back the space that erasing in place left in the objects of a store.

    Raises:
        NotFound: there is no such store.
        WrongState: it is of a kind that leaves no space behind.
    """
    store = ws.stores().get(StoreId(name))
    if store is None:
        raise NotFound("store", name)
    if not isinstance(store, Compacts):
        raise WrongState(f"Store {name} ({store.capability().kind}) leaves no space behind that could be given back.")
    smaller = freed = 0
    failed: dict[str, str] = {}
    for object_name in dict.fromkeys(entry.object for entry in store.scan() if isinstance(entry, Member)):
        try:
            gained = store.compact(object_name)
        except StoreError as error:
            failed[object_name] = error.message
            continue
        smaller += gained > 0
        freed += gained
    return Compacted(smaller, freed, failed)


def add_source(
    ws: Workspace,
    name: str,
    *,
    title: str,
    kind: str,
    issuer: str,
    collected_on: date,
    data_classes: Sequence[str],
    geography: str,
    legacy: bool,
    scraped: str = Scraped.NO,
    retention_days: int | None = None,
    origin: str = "",
    classification: str = "",
    generation_method: str = "",
    intended_purpose: str = "",
    original_purpose: str = "",
) -> Source:
    """Register a source. The fields are those of `Source`.

    Raises:
        PolicyRefusal: the retention schedule has no entry for a class of its data (R32).
        InvalidValue: the kind is none, it is untargeted scraping (R39), it is dated in the future, or is to be kept no day.
        AlreadyExists: the id is taken.
    """
    if kind in {"scraped", "scraping", "web"} or scraped == "untargeted":
        raise InvalidValue(
            "Untargeted scraping of faces is no kind of source (EU AI Act art. 5(1)(e)).",
            next_step="Do not take these photos in.",
        )
    if scraped not in set(Scraped):
        raise InvalidValue(
            f"{scraped[:80]!r} says not whether the photos were scraped.",
            next_step="Say one of: " + ", ".join(Scraped) + ".",
        )
    if retention_days is not None and retention_days < 1:
        raise InvalidValue(f"A source cannot be kept for {retention_days} days.", next_step="Give one day at least.")
    try:
        source_kind = SourceKind(kind)
    except ValueError:
        raise InvalidValue(
            f"{kind!r} is no kind of source.", next_step="Kinds: " + ", ".join(SourceKind) + "."
        ) from None
    source = Source(
        SourceId(slug(name, what="source")),
        title,
        source_kind,
        issuer,
        collected_on,
        tuple(dict.fromkeys(data_classes)) or ("photo",),
        geography,
        legacy,
        origin=origin,
        classification=classification,
        generation_method=generation_method,
        intended_purpose=intended_purpose,
        original_purpose=original_purpose,
        scraped=Scraped(scraped),
        retention_days=retention_days,
    )
    if collected_on > ws.now().date():
        raise InvalidValue(
            f"Source {source.id} would be collected on {collected_on}, a day to come.",
            next_step="Register it when the photos were handed over.",
        )
    with ws.act() as tx:
        retention.require_class(tx.conn, source.data_classes)
        parties.register_source(tx, source)
    return source


def keep_document(ws: Workspace, document: Path) -> str:
    """Keep a copy of a document under its digest; the hexadecimal SHA-256.

    Raises:
        InputError: it cannot be read, is empty, or is larger than 256 MB.
    """
    try:
        if document.stat().st_size > MAX_DOCUMENT_BYTES:
            raise InputError(f"{document} is larger than {MAX_DOCUMENT_BYTES >> 20} MB.")
        data = document.read_bytes()
    except OSError as error:
        raise InputError(f"The document {document} cannot be read: {error.strerror}.") from None
    if not data:
        raise InputError(f"The document {document} is empty.", next_step="Name the instrument itself.")
    digest = hashlib.sha256(data).hexdigest()
    kept = ws.root / "instruments" / f"{digest}{document.suffix}"
    if not kept.exists():
        write_file(kept, data)
    return digest


def _require_outside(ws: Workspace, place: Path) -> None:
    """Pass where a store at `place` would not take the workspace's own files for photos.

    Raises:
        InvalidValue: it would.
    """
    own = [ws.root / name for name in ("keys", "log", "models", "plans", "instruments", "reports")]
    if place == ws.root or place in ws.root.parents or any(_overlap(place, directory) for directory in own):
        raise InvalidValue(
            f"{place} holds the workspace's own books and keys.",
            next_step="Put the photos into a directory of their own and register that.",
        )


def _is_path(location: str) -> bool:
    """Whether a store lies in directories of this machine, not behind a URL."""
    return "://" not in location


def _overlap(one: Path, other: Path) -> bool:
    return one == other or one in other.parents or other in one.parents
