"""Notices on record. A new text is a new notice; none is edited."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books import facts
from unsee.books.database import Tx
from unsee.books.schema import notices as table
from unsee.core.errors import AlreadyExists, NotFound
from unsee.core.ids import PersonId
from unsee.core.notices import Notice

_LISTS = ("controllers", "purposes", "data_types", "recipients")


def add(tx: Tx, notice: Notice, *, person: PersonId) -> None:
    """Put a notice on record.

    Raises:
        AlreadyExists: the id is taken in that language.
    """
    same = (table.c.id == notice.id) & (table.c.language == notice.language)
    if tx.conn.execute(sa.select(table.c.id).where(same)).first():
        raise AlreadyExists("notice", f"{notice.id} ({notice.language})")
    fields = notice.as_json()
    lists = {name: json.dumps(fields[name]) for name in _LISTS}
    tx.conn.execute(table.insert().values(**{**fields, **lists}, person_id=person, at=tx.at))
    facts.record(
        tx,
        "NoticePublished",
        notice=notice.id,
        language=notice.language,
        text_sha256=notice.text_sha256,
        purposes=list(notice.purposes),
        separate_from_terms=notice.separate_from_terms,
        sharing_disclosed=notice.sharing_disclosed,
        by=person,
    )


def all_notices(conn: Connection) -> list[Notice]:
    """Every notice, by id and language."""
    return [_notice(row) for row in conn.execute(sa.select(table).order_by(table.c.id, table.c.language))]


def notice(conn: Connection, notice_id: str) -> list[Notice]:
    """A notice in all its languages.

    Raises:
        NotFound: there is none of that id.
    """
    found = [
        _notice(r) for r in conn.execute(sa.select(table).where(table.c.id == notice_id).order_by(table.c.language))
    ]
    if not found:
        raise NotFound("notice", notice_id)
    return found


def _notice(row: sa.Row[Any]) -> Notice:
    return Notice(
        id=row.id,
        language=row.language,
        text_sha256=row.text_sha256,
        published_on=date.fromisoformat(row.published_on),
        storage=row.storage,
        retention=row.retention,
        withdrawal_method=row.withdrawal_method,
        separate_from_terms=bool(row.separate_from_terms),
        sharing_disclosed=bool(row.sharing_disclosed),
        **{name: tuple(json.loads(getattr(row, name))) for name in _LISTS},
    )
