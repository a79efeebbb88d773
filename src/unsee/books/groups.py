"""People by an attribute of theirs: a set for each value."""

from __future__ import annotations

from array import array

import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books.schema import subject_attributes
from unsee.core.ids import ItemSet

_BLOCK = 50_000


def people_by_attribute(conn: Connection, name: str) -> dict[str, ItemSet]:
    """For each value of an attribute, the people (subject numbers) who have it; empty where nobody has the attribute.

    Cost: one pass over the people who have it, 4 bytes each in memory.
    """
    query = sa.select(subject_attributes.c.value, subject_attributes.c.subject_no).where(
        subject_attributes.c.name == name
    )
    found: dict[str, array[int]] = {}
    for block in conn.execute(query, execution_options={"yield_per": _BLOCK}).partitions():
        for value, number in block:
            if value not in found:
                found[value] = array("I")
            found[value].append(number)
    return {value: ItemSet(found[value]) for value in sorted(found)}


def attribute_names(conn: Connection) -> list[str]:
    """The attributes that people have, by name."""
    return sorted(conn.execute(sa.select(subject_attributes.c.name).distinct()).scalars())
