"""Values that both databases can hold: SQLite would take what PostgreSQL refuses, and the same act must have the same answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, Table, event

from unsee.core.errors import InvalidValue

UNLIMITED: Final = 1 << 28
"""Characters that a column of text holds in both databases, of four bytes at most: PostgreSQL's limit is 1 GB."""


def check_inserts(engine: Engine) -> None:
    """From now on an INSERT through `engine` raises `InvalidValue` for a text that a column of either database cannot hold."""

    @event.listens_for(engine, "before_execute")
    def _check(
        _conn: Connection,
        statement: sa.sql.Executable,
        many: Sequence[Mapping[str, Any]],
        one: Mapping[str, Any],
        _options: Mapping[str, Any],
    ) -> None:
        if isinstance(statement, sa.Insert) and isinstance(statement.table, Table):
            given = many or [one or statement.compile().params]
            columns = [name for name in given[0] if name in statement.table.c]
            for _row in sound(statement.table, columns, ([row.get(name) for name in columns] for row in given)):
                pass


def sound(table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    """The rows, as long as every text in them is one that both databases can hold.

    Raises:
        InvalidValue: one is not; row, table and column are named.
    """
    texts = [
        (place, name, kind.length or UNLIMITED)
        for place, (name, kind) in enumerate((name, table.c[name].type) for name in columns)
        if isinstance(kind, sa.String)
    ]
    if not texts:
        yield from rows
        return
    for number, row in enumerate(rows, start=1):
        for place, name, limit in texts:
            text = row[place]
            if text is not None and not _fits(text, limit):
                raise InvalidValue(
                    f"Row {number} for {table.name}: the {name} {_fault(text, limit)}.",
                    next_step="Mend that value; nothing of this act was kept.",
                )
        yield row


def _fits(text: str, limit: int) -> bool:
    return len(text) <= limit and (text.isascii() or _encodes(text)) and "\0" not in text


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fault(text: str, limit: int) -> str:
    if len(text) > limit:
        return f"is {len(text):,} characters long, and {limit:,} is the most"
    return "holds a NUL character" if "\0" in text else "is no valid Unicode text"
