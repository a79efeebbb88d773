"""The register of disclosures: every way out, and every opening of the permitted reader (R18)."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books import facts
from unsee.books.database import Tx
from unsee.books.ranges import whole_and_parts
from unsee.books.schema import datasets, disclosures, item_attributes
from unsee.books.schema import facts as fact_rows
from unsee.books.sets import pack, unpack
from unsee.core.ids import DatasetId, ItemSet, ModelId, RecipientId
from unsee.core.sharing import Disclosure, DisclosureKind

REGISTER_BEGUN = "DisclosureRegisterBegun"
"""Recorded when books that are older than the register got one."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a statement on sharing rests on: from when the register was kept until now, and what was looked through."""

    since: str
    until: str
    counts: dict[str, int]
    """Rows of the register by kind."""
    log_entries: int
    """How many facts the log carries: the position at which this was said."""


def record(tx: Tx, disclosure: Disclosure) -> int:
    """Write a disclosure; its number. Counts and names of models go to the log, no item does.

    Of an opening of the reader only the dataset is kept, which never changes: openings are many, and sets can be large.
    """
    inside = disclosure.kind is DisclosureKind.READER
    result = tx.conn.execute(
        disclosures.insert().values(
            kind=str(disclosure.kind),
            recipient_id=disclosure.recipient,
            disclosed_on=disclosure.disclosed_on.isoformat(),
            item_set=pack(ItemSet() if inside else disclosure.items),
            models=json.dumps(disclosure.models),
            data_classes=json.dumps(disclosure.data_classes),
            purpose=disclosure.purpose,
            basis=disclosure.basis,
            agreement_id=disclosure.agreement,
            channel=disclosure.channel,
            dataset_id=disclosure.dataset,
            note=disclosure.note,
            person_id=disclosure.person,
            at=tx.at,
        )
    )
    if not inside:  # the reader's opening is a fact already
        facts.record(
            tx,
            "DisclosureRecorded",
            kind=str(disclosure.kind),
            recipient=disclosure.recipient,
            on=disclosure.disclosed_on.isoformat(),
            items=len(disclosure.items),
            models=list(disclosure.models),
            data_classes=list(disclosure.data_classes),
            purpose=disclosure.purpose,
            basis=disclosure.basis,
            agreement=disclosure.agreement,
            dataset=disclosure.dataset,
            note=disclosure.note,
            by=disclosure.person,
        )
    key = result.inserted_primary_key
    return int(key[0]) if key is not None else 0


def outward(conn: Connection, *, recipient: RecipientId | None = None) -> list[Disclosure]:
    """Everything that went out, or that one recipient got, in order of recording. Openings of the reader are not among it."""
    query = sa.select(disclosures).where(disclosures.c.kind != str(DisclosureKind.READER)).order_by(disclosures.c.no)
    if recipient is not None:
        query = query.where(disclosures.c.recipient_id == recipient)
    return [_disclosure(row, unpack(row.item_set)) for row in conn.execute(query)]


def openings(conn: Connection) -> list[Disclosure]:
    """Every opening of the permitted reader, in order. Cost: one bitmap for each dataset that was read."""
    query = sa.select(disclosures).where(disclosures.c.kind == str(DisclosureKind.READER)).order_by(disclosures.c.no)
    rows = conn.execute(query).all()
    read = sorted({row.dataset_id for row in rows})
    found = conn.execute(sa.select(datasets.c.id, datasets.c.item_set).where(datasets.c.id.in_(read)))
    sets = {r.id: unpack(r.item_set) for r in found}
    return [_disclosure(row, sets.get(row.dataset_id, ItemSet())) for row in rows]


def openings_of(conn: Connection, items: ItemSet) -> Counter[DatasetId]:
    """How often each dataset that holds some of `items` was opened. Cost: one intersection for each dataset that was read."""
    query = (
        sa.select(disclosures.c.dataset_id, sa.func.count())
        .where(disclosures.c.kind == str(DisclosureKind.READER))
        .group_by(disclosures.c.dataset_id)
    )
    counted = {row[0]: int(row[1]) for row in conn.execute(query)}
    sets = conn.execute(sa.select(datasets.c.id, datasets.c.item_set).where(datasets.c.id.in_(counted)))
    return Counter({r.id: counted[r.id] for r in sets if unpack(r.item_set).intersect(items)})


def by_channel(conn: Connection, channel: str) -> Disclosure | None:
    """The disclosure that went through that channel; the first where there are several."""
    row = conn.execute(
        sa.select(disclosures).where(disclosures.c.channel == channel).order_by(disclosures.c.no).limit(1)
    ).first()
    return None if row is None else _disclosure(row, unpack(row.item_set))


def coverage(conn: Connection, until: str) -> Coverage:
    """What a statement made now can rest on. `since` is the first fact of books that always had the register, and the day on which
    older books got it."""
    begun = conn.execute(sa.select(sa.func.min(fact_rows.c.at)).where(fact_rows.c.kind == REGISTER_BEGUN)).scalar()
    first = conn.execute(sa.select(sa.func.min(fact_rows.c.at))).scalar()
    rows = conn.execute(sa.select(disclosures.c.kind, sa.func.count()).group_by(disclosures.c.kind))
    counts = {str(kind): 0 for kind in DisclosureKind} | {row[0]: int(row[1]) for row in rows}
    return Coverage(str(begun or first or until), until, counts, facts.drained_count(conn))


def classes_in_files(conn: Connection, items: ItemSet) -> tuple[str, ...]:
    """The classes of data that the files of `items` carry besides the picture: what their EXIF says, such as a place.

    Cost: as an attribute count.
    """
    found: set[str] = set()
    name, data_class = item_attributes.c.name, item_attributes.c.data_class
    for low, high, whole in whole_and_parts(items):
        embedded = sa.or_(name == "taken", name.startswith("exif_", autoescape=True))
        within = sa.and_(item_attributes.c.item_id.between(low, high), embedded)
        if whole:
            found.update(conn.execute(sa.select(data_class).where(within).distinct()).scalars())
        else:
            rows = conn.execute(sa.select(item_attributes.c.item_id, data_class).where(within))
            found.update(c for item, c in rows if item in items)
    return tuple(sorted(found))


def _disclosure(row: sa.Row[Any], items: ItemSet) -> Disclosure:
    return Disclosure(
        kind=DisclosureKind(row.kind),
        recipient=row.recipient_id,
        disclosed_on=date.fromisoformat(row.disclosed_on),
        items=items,
        models=tuple(ModelId(m) for m in json.loads(row.models)),
        data_classes=tuple(json.loads(row.data_classes)),
        purpose=row.purpose,
        basis=row.basis,
        agreement=row.agreement_id,
        channel=row.channel,
        dataset=row.dataset_id,
        person=row.person_id,
        note=row.note,
        no=row.no,
        at=row.at,
    )
