"""Sources, agreements, people and their declared interests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books import facts
from unsee.books.database import Tx
from unsee.books.schema import agreement_events, agreements, interests, people, sources
from unsee.core.errors import AlreadyExists, NotFound
from unsee.core.ids import AgreementId, ItemSet, PersonId, SourceId
from unsee.core.parties import Agreement, AgreementStatus, Interest, Person, Source, SourceKind


def register_source(tx: Tx, source: Source) -> None:
    """Add a source without items.

    Raises:
        AlreadyExists: the id is taken.
    """
    if tx.conn.execute(sa.select(sources.c.no).where(sources.c.id == source.id)).first():
        raise AlreadyExists("source", source.id)
    tx.conn.execute(
        sources.insert().values(
            id=source.id,
            title=source.title,
            kind=str(source.kind),
            issuer=source.issuer,
            collected_on=source.collected_on.isoformat(),
            data_classes=json.dumps(source.data_classes),
            geography=source.geography,
            legacy=source.legacy,
            item_set=ItemSet().serialize(),
            document_set=ItemSet().serialize(),
        )
    )
    facts.record(
        tx,
        "SourceRegistered",
        source=source.id,
        kind=str(source.kind),
        issuer=source.issuer,
        collected_on=source.collected_on.isoformat(),
        data_classes=list(source.data_classes),
        legacy=source.legacy,
    )


def source(conn: Connection, source_id: SourceId) -> Source:
    """The source of that id.

    Raises:
        NotFound: there is none.
    """
    row = conn.execute(sa.select(sources).where(sources.c.id == source_id)).first()
    if row is None:
        raise NotFound("source", source_id)
    return _source(row)


def source_no(conn: Connection, source_id: SourceId) -> int:
    """The dense number behind a source id.

    Raises:
        NotFound: there is none.
    """
    number = conn.execute(sa.select(sources.c.no).where(sources.c.id == source_id)).scalar()
    if number is None:
        raise NotFound("source", source_id)
    return int(number)


def all_sources(conn: Connection) -> list[Source]:
    """Every source, by id."""
    return [_source(row) for row in conn.execute(sa.select(sources).order_by(sources.c.id))]


def items_of_source(conn: Connection, source_id: SourceId) -> ItemSet:
    """All items ever taken in from the source, the erased ones too.

    Raises:
        NotFound: there is no such source.
    """
    blob = conn.execute(sa.select(sources.c.item_set).where(sources.c.id == source_id)).scalar()
    if blob is None:
        raise NotFound("source", source_id)
    return ItemSet.deserialize(bytes(blob))


def documents_of_source(conn: Connection, source_id: SourceId) -> ItemSet:
    """The items of a source that are no pictures.

    Raises:
        NotFound: there is no such source.
    """
    blob = conn.execute(sa.select(sources.c.document_set).where(sources.c.id == source_id)).scalar()
    if blob is None:
        raise NotFound("source", source_id)
    return ItemSet.deserialize(bytes(blob))


def documents(conn: Connection) -> ItemSet:
    """The items of all sources that are no pictures: metadata files that were handed over with the photos."""
    blobs = conn.execute(sa.select(sources.c.document_set)).scalars()
    return ItemSet.union(ItemSet(), *(ItemSet.deserialize(bytes(b)) for b in blobs))


def draft_agreement(tx: Tx, agreement: Agreement, *, person: PersonId) -> None:
    """Add an agreement in the state draft.

    Raises:
        AlreadyExists: the id is taken.
        NotFound: there is no such source.
    """
    number = source_no(tx.conn, agreement.source)
    if tx.conn.execute(sa.select(agreements.c.id).where(agreements.c.id == agreement.id)).first():
        raise AlreadyExists("agreement", agreement.id)
    tx.conn.execute(
        agreements.insert().values(
            id=agreement.id,
            source_no=number,
            parties=json.dumps(agreement.parties),
            purposes=json.dumps(agreement.purposes),
            prohibitions=json.dumps(agreement.prohibitions),
            basis=agreement.basis,
            valid_from=agreement.valid_from.isoformat(),
            valid_until=agreement.valid_until.isoformat() if agreement.valid_until else None,
            document_sha256=agreement.document_sha256,
        )
    )
    move_agreement(tx, agreement.id, AgreementStatus.DRAFT, person=person, note="drafted")


def move_agreement(tx: Tx, agreement_id: AgreementId, status: AgreementStatus, *, person: PersonId, note: str) -> None:
    """Record that an agreement reached `status`; earlier states stay on record.

    Raises:
        NotFound: there is no such agreement.
    """
    if tx.conn.execute(sa.select(agreements.c.id).where(agreements.c.id == agreement_id)).first() is None:
        raise NotFound("agreement", agreement_id)
    tx.conn.execute(
        agreement_events.insert().values(
            agreement_id=agreement_id, status=str(status), person_id=person, note=note, at=tx.at
        )
    )
    facts.record(tx, "AgreementMoved", agreement=agreement_id, status=str(status), by=person, note=note)


def agreement(conn: Connection, agreement_id: AgreementId) -> Agreement:
    """The agreement of that id, in its present state.

    Raises:
        NotFound: there is none.
    """
    found = _agreements(conn, agreements.c.id == agreement_id)
    if not found:
        raise NotFound("agreement", agreement_id)
    return found[0]


def all_agreements(conn: Connection) -> list[Agreement]:
    """Every agreement, by id."""
    return _agreements(conn, sa.true())


def add_person(tx: Tx, person: Person) -> None:
    """Add a member of staff or an outside approver.

    Raises:
        AlreadyExists: the id is taken.
    """
    if tx.conn.execute(sa.select(people.c.id).where(people.c.id == person.id)).first():
        raise AlreadyExists("person", person.id)
    tx.conn.execute(
        people.insert().values(
            id=person.id,
            name=person.name,
            title=person.title,
            organisation=person.organisation,
            public_key=person.public_key,
        )
    )
    facts.record(tx, "PersonAdded", person=person.id, public_key=person.public_key)


def person(conn: Connection, person_id: PersonId) -> Person:
    """The person of that id.

    Raises:
        NotFound: there is none.
    """
    row = conn.execute(sa.select(people).where(people.c.id == person_id)).first()
    if row is None:
        raise NotFound("person", person_id)
    return _person(row)


def all_people(conn: Connection) -> list[Person]:
    """Every person who acts here, by id."""
    return [_person(row) for row in conn.execute(sa.select(people).order_by(people.c.id))]


def declare_interest(tx: Tx, interest: Interest) -> None:
    """Record a declared interest."""
    tx.conn.execute(
        interests.insert().values(
            holder=interest.holder,
            organisation=interest.organisation,
            kind=interest.kind,
            declared_on=interest.declared_on.isoformat(),
            person_id=interest.person,
            source_id=interest.source,
        )
    )
    facts.record(
        tx,
        "InterestDeclared",
        holder=interest.holder,
        organisation=interest.organisation,
        kind=interest.kind,
        person=interest.person,
        source=interest.source,
    )


def all_interests(conn: Connection) -> list[Interest]:
    """Every declared interest, in the order of declaration."""
    return [
        Interest(r.holder, r.organisation, r.kind, date.fromisoformat(r.declared_on), r.person_id, r.source_id)
        for r in conn.execute(sa.select(interests).order_by(interests.c.no))
    ]


def _agreements(conn: Connection, where: sa.ColumnElement[bool]) -> list[Agreement]:
    last = sa.select(sa.func.max(agreement_events.c.no)).group_by(agreement_events.c.agreement_id)
    rows = conn.execute(
        sa.select(agreements, sources.c.id.label("source_id"), agreement_events.c.status)
        .join(sources, sources.c.no == agreements.c.source_no)
        .join(agreement_events, agreement_events.c.agreement_id == agreements.c.id)
        .where(agreement_events.c.no.in_(last), where)
        .order_by(agreements.c.id)
    )
    return [
        Agreement(
            id=row.id,
            source=row.source_id,
            parties=_texts(row.parties),
            purposes=_texts(row.purposes),
            prohibitions=_texts(row.prohibitions),
            basis=row.basis,
            valid_from=date.fromisoformat(row.valid_from),
            valid_until=date.fromisoformat(row.valid_until) if row.valid_until else None,
            document_sha256=row.document_sha256,
            status=AgreementStatus(row.status),
        )
        for row in rows
    ]


def _texts(text: str) -> tuple[str, ...]:
    values: Iterable[str] = json.loads(text)
    return tuple(values)


def _source(row: sa.Row[Any]) -> Source:
    return Source(
        id=row.id,
        title=row.title,
        kind=SourceKind(row.kind),
        issuer=row.issuer,
        collected_on=date.fromisoformat(row.collected_on),
        data_classes=_texts(row.data_classes),
        geography=row.geography,
        legacy=row.legacy,
    )


def _person(row: sa.Row[Any]) -> Person:
    return Person(row.id, row.name, row.title, row.organisation, row.public_key)
