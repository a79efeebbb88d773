"""Sources, and the people who act."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books import facts
from unsee.books.database import Tx
from unsee.books.schema import people, sources
from unsee.core.errors import AlreadyExists, NotFound
from unsee.core.ids import ItemSet, PersonId, SourceId
from unsee.core.parties import Person, Scraped, Source, SourceKind


def register_source(tx: Tx, source: Source) -> None:
    """Add a source without items. Its day of registration is that of the transaction, unless it comes with one.

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
            origin=source.origin,
            classification=source.classification,
            generation_method=source.generation_method,
            intended_purpose=source.intended_purpose,
            original_purpose=source.original_purpose,
            scraped=str(source.scraped),
            retention_days=source.retention_days,
            registered_at=f"{source.registered_on}T00:00:00Z" if source.registered_on else tx.at,
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
        scraped=str(source.scraped),
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
    """The items of all sources that are no pictures: metadata files that were handed over with the photos, and embeddings."""
    blobs = conn.execute(sa.select(sources.c.document_set)).scalars()
    return ItemSet.union(ItemSet(), *(ItemSet.deserialize(bytes(b)) for b in blobs))


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


def texts(text: str) -> tuple[str, ...]:
    """A column of texts, as it was written."""
    values: Iterable[str] = json.loads(text)
    return tuple(values)


def _source(row: sa.Row[Any]) -> Source:
    return Source(
        id=row.id,
        title=row.title,
        kind=SourceKind(row.kind),
        issuer=row.issuer,
        collected_on=date.fromisoformat(row.collected_on),
        data_classes=texts(row.data_classes),
        geography=row.geography,
        legacy=row.legacy,
        origin=row.origin,
        classification=row.classification,
        generation_method=row.generation_method,
        intended_purpose=row.intended_purpose,
        original_purpose=row.original_purpose,
        scraped=Scraped(row.scraped),
        retention_days=row.retention_days,
        registered_on=date.fromisoformat(row.registered_at[:10]) if row.registered_at else None,
    )


def _person(row: sa.Row[Any]) -> Person:
    return Person(row.id, row.name, row.title, row.organisation, row.public_key)
