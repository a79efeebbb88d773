"""What people said yes or no to. A withdrawal is a new row; what the rows of a person add up to is `core.consent`'s rule."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache

import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books.database import Tx, stamp
from unsee.books.items import items_of_subjects
from unsee.books.schema import consents
from unsee.core import consent
from unsee.core.ids import ItemSet, SubjectNo
from unsee.core.parties import Consent, ConsentState


def record(tx: Tx, facts: Sequence[Consent]) -> int:
    """Write consent facts; one that was said before is not repeated.

    A yes that stands on record already is no new word, even after a withdrawal: handing the same list in again does not undo
    what a person took back. A new yes has a new date or notice.

    Returns the number written.
    """
    said: dict[tuple[SubjectNo, str], list[_Word]] = {}
    for subject, words in _words(tx.conn).items():
        for word in words:
            said.setdefault((subject, word[0]), []).append(word)
    rows = []
    for fact in facts:
        word = (
            fact.purpose,
            str(fact.state),
            fact.notice,
            stamp(fact.valid_from),
            stamp(fact.valid_until) if fact.valid_until else None,
        )
        before = said.setdefault((fact.subject, fact.purpose), [])
        if word in (before if fact.state is ConsentState.GIVEN else before[-1:]):
            continue
        before.append(word)
        names = ("purpose", "state", "notice", "valid_from", "valid_until")
        rows.append({"subject_no": fact.subject, **dict(zip(names, word, strict=True))})
    if rows:
        tx.conn.execute(consents.insert(), rows)
    return len(rows)


def consented_items(conn: Connection, moment: datetime) -> dict[str, ItemSet]:
    """For each purpose, the items whose person consents to it at `moment`; a purpose stands for those below it as well.

    Cost: one pass over the consents, and the rule once for each distinct history, of which an intake has a few.
    """
    now = moment.astimezone(UTC).replace(microsecond=0)  # the books' own grain: a term's last second counts whole

    @cache
    def purposes(history: tuple[_Word, ...]) -> frozenset[str]:
        return consent.widest(consent.consented(map(_consent, history), now))

    people: dict[str, list[SubjectNo]] = {}
    for subject, history in _words(conn).items():
        for purpose in purposes(tuple(history)):
            people.setdefault(purpose, []).append(subject)
    return {purpose: items_of_subjects(conn, numbers) for purpose, numbers in people.items()}


def counts(conn: Connection, people: set[SubjectNo]) -> dict[str, int]:
    """Of these people: how many gave a consent that stands, took back all they gave, or never said anything (R24)."""

    @cache
    def stands(history: tuple[_Word, ...]) -> bool:
        return bool(consent.standing(map(_consent, history)))

    said = [stands(tuple(history)) for subject, history in _words(conn).items() if subject in people]
    return {"consented": sum(said), "withdrawn": len(said) - sum(said), "silent": len(people) - len(said)}


_Word = tuple[str, str, str, str, str | None]
"""Purpose, state, notice, begin, end: one consent as it is written, without its person."""


def _words(conn: Connection) -> dict[SubjectNo, list[_Word]]:
    """Everything that each person ever said, in the order of recording."""
    found: dict[SubjectNo, list[_Word]] = {}
    for r in conn.execute(sa.select(consents).order_by(consents.c.no)):
        found.setdefault(r.subject_no, []).append((r.purpose, r.state, r.notice, r.valid_from, r.valid_until))
    return found


def _consent(word: _Word) -> Consent:
    purpose, state, notice, begins, ends = word
    return Consent(
        SubjectNo(0),  # the history is one person's; whose, the rule does not ask
        purpose,
        ConsentState(state),
        notice,
        datetime.fromisoformat(begins),
        datetime.fromisoformat(ends) if ends else None,
    )
