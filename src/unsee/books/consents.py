"""What people said yes or no to. A withdrawal is a new row; the last row for a person and purpose counts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books.database import Tx, stamp
from unsee.books.items import items_of_subjects
from unsee.books.schema import consents
from unsee.core.ids import ItemSet, SubjectNo
from unsee.core.parties import Consent, ConsentState


def record(tx: Tx, facts: Sequence[Consent]) -> int:
    """Write consent facts; one that says the same as the last one for its person and purpose is not repeated.

    Returns the number written.
    """
    last = _last(tx.conn)
    rows = []
    for fact in facts:
        row = (
            str(fact.state),
            fact.notice,
            stamp(fact.valid_from),
            stamp(fact.valid_until) if fact.valid_until else None,
        )
        if last.get((fact.subject, fact.purpose)) != row:
            last[(fact.subject, fact.purpose)] = row
            rows.append(
                {
                    "subject_no": fact.subject,
                    "purpose": fact.purpose,
                    "state": row[0],
                    "notice": row[1],
                    "valid_from": row[2],
                    "valid_until": row[3],
                }
            )
    if rows:
        tx.conn.execute(consents.insert(), rows)
    return len(rows)


def consented_items(conn: Connection, moment: datetime) -> dict[str, ItemSet]:
    """For each purpose, the items whose person's last word on it is a yes that is in force at `moment`."""
    now = stamp(moment)
    people: dict[str, list[SubjectNo]] = {}
    for (subject, purpose), (state, _notice, begins, ends) in _last(conn).items():
        if state == ConsentState.GIVEN and begins <= now and (ends is None or now <= ends):
            people.setdefault(purpose, []).append(subject)
    return {purpose: items_of_subjects(conn, numbers) for purpose, numbers in people.items()}


def counts(conn: Connection, people: set[SubjectNo]) -> dict[str, int]:
    """Of these people: how many gave a consent that stands last, withdrew, or never said anything (R24)."""
    said: dict[SubjectNo, set[str]] = {}
    for (subject, _purpose), row in _last(conn).items():
        if subject in people:
            said.setdefault(subject, set()).add(row[0])
    given = sum(ConsentState.GIVEN in states for states in said.values())
    withdrawn = sum(ConsentState.GIVEN not in states for states in said.values())
    return {"consented": given, "withdrawn": withdrawn, "silent": len(people) - len(said)}


_Row = tuple[str, str, str, str | None]


def _last(conn: Connection) -> dict[tuple[SubjectNo, str], _Row]:
    rows = conn.execute(sa.select(consents).order_by(consents.c.no))
    return {(r.subject_no, r.purpose): (r.state, r.notice, r.valid_from, r.valid_until) for r in rows}
