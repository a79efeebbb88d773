"""People by an attribute of theirs: a set for each value."""

from __future__ import annotations

from array import array

import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books.database import driver_rows
from unsee.books.schema import subject_attributes
from unsee.core.ids import ItemSet

_BLOCK = 500_000
"""Numbers of people in one query."""


def people_by_attribute(conn: Connection, name: str) -> dict[str, ItemSet]:
    """For each value of an attribute, the people (subject numbers) who have it; empty where nobody has the attribute.

    Cost: one walk along the table's key, 4 bytes for each person who has the attribute, and a block of rows.
    """
    number, value = subject_attributes.c.subject_no, subject_attributes.c.value
    last = conn.execute(sa.select(sa.func.max(number))).scalar()
    query = sa.select(value, number).where(subject_attributes.c.name == name)
    found: dict[str, array[int]] = {}
    for start in range(0, (last or 0) + 1, _BLOCK):
        for said, who in driver_rows(conn, query.where(number.between(start, start + _BLOCK - 1))):
            if said not in found:
                found[said] = array("I")
            found[said].append(who)
    return {said: ItemSet(found[said]) for said in sorted(found)}


def attribute_names(conn: Connection) -> list[str]:
    """The attributes that people have, by name."""
    return sorted(conn.execute(sa.select(subject_attributes.c.name).distinct()).scalars())
