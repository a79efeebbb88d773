"""Who and what the workspace knows: people, interests, stores, sources, agreements."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from unsee.app.workspace import MODELS_STORE, Workspace
from unsee.attest.durable import write_file
from unsee.attest.keys import SigningKey
from unsee.books import parties, places
from unsee.core.approval import objection
from unsee.core.errors import AlreadyExists, ApprovalRefused, InputError, InvalidValue, WrongState
from unsee.core.ids import AgreementId, PersonId, SourceId, StoreId, slug
from unsee.core.parties import Agreement, AgreementStatus, Interest, Person, Source, SourceKind
from unsee.core.purposes import known
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


def declare_interest(ws: Workspace, interest: Interest) -> None:
    """Record a declared interest. Where it names a person or source of the workspace, they must exist.

    Raises:
        NotFound: they do not.
    """
    with ws.act() as tx:
        if interest.person is not None:
            parties.person(tx.conn, interest.person)
        if interest.source is not None:
            parties.source(tx.conn, interest.source)
        parties.declare_interest(tx, interest)


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
    place = str(Path(location).resolve()) if kind == "files" else location
    if kind == "files":
        _require_outside(ws, Path(place))
    store = open_store(store_id, kind, place, options)
    next(iter(store.scan()), None)
    with ws.act() as tx:
        for row in places.all_stores(tx.conn):
            if kind == row.kind == "files" and _overlap(Path(place), Path(row.location)):
                raise InvalidValue(
                    f"{place} overlaps store {row.id} at {row.location}.",
                    next_step="Register one root for both; a file has one address.",
                )
        places.register_store(tx, store_id, kind, place, options)
    return store_id


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
) -> Source:
    """Register a source.

    Raises:
        InvalidValue: the kind is none, or it is untargeted scraping (R39).
        AlreadyExists: the id is taken.
    """
    if kind in {"scraped", "scraping", "web"}:
        raise InvalidValue(
            "Untargeted scraping of faces is no kind of source (EU AI Act art. 5(1)(e)).",
            next_step="Do not take these photos in.",
        )
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
    )
    with ws.act() as tx:
        parties.register_source(tx, source)
    return source


def draft_agreement(
    ws: Workspace,
    name: str,
    *,
    source: str,
    document: Path,
    purposes: Sequence[str],
    prohibitions: Sequence[str],
    valid_from: date,
    valid_until: date | None,
    other_parties: Sequence[str],
    person: PersonId,
) -> Agreement:
    """Draft an agreement over a source. Its document is kept by digest. Nothing is permitted until it is approved.

    Raises:
        NotFound: no such source or person.
        UnknownPurpose: a purpose is not in the tree.
        InvalidValue: it ends before it begins.
        InputError: the document cannot be read.
    """
    if valid_until is not None and valid_until < valid_from:
        raise InvalidValue(f"Agreement {name} would end on {valid_until}, before it begins on {valid_from}.")
    digest = keep_document(ws, document)
    with ws.act() as tx:
        parties.person(tx.conn, person)
        giver = parties.source(tx.conn, SourceId(source))
        agreement = Agreement(
            AgreementId(slug(name, what="agreement")),
            giver.id,
            tuple(dict.fromkeys([giver.issuer, ws.organisation, *other_parties])),
            tuple(known(p) for p in purposes),
            valid_from,
            valid_until,
            digest,
            basis="no-data-subject" if giver.kind is SourceKind.SYNTHETIC else "consent",
            prohibitions=tuple(known(p) for p in prohibitions),
        )
        parties.draft_agreement(tx, agreement, person=person)
    return agreement


def move_agreement(ws: Workspace, name: str, status: AgreementStatus, *, person: PersonId, note: str) -> Agreement:
    """Approve, reject or terminate an agreement.

    Raises:
        NotFound: no such agreement or person.
        WrongState: it cannot go there from where it is.
        ApprovalRefused: the person has a declared interest in a party (R35).
    """
    allowed = {
        AgreementStatus.APPROVED: {AgreementStatus.DRAFT, AgreementStatus.IN_REVIEW},
        AgreementStatus.REJECTED: {AgreementStatus.DRAFT, AgreementStatus.IN_REVIEW},
        AgreementStatus.TERMINATED: {AgreementStatus.APPROVED},
    }
    with ws.act() as tx:
        parties.person(tx.conn, person)
        agreement = parties.agreement(tx.conn, AgreementId(name))
        if agreement.status not in allowed[status]:
            raise WrongState(f"Agreement {name} is {agreement.status}; it cannot become {status}.")
        if status is AgreementStatus.APPROVED:
            against = objection(
                person,
                author=PersonId(""),
                parties=agreement.parties,
                interests=parties.all_interests(tx.conn),
                source=agreement.source,
            )
            if against:
                raise ApprovalRefused(f"{against}.", next_step="Ask an independent person.")
        parties.move_agreement(tx, agreement.id, status, person=person, note=note)
    return replace(agreement, status=status)


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


def _overlap(one: Path, other: Path) -> bool:
    return one == other or one in other.parents or other in one.parents
