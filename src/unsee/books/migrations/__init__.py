"""How books get to the present schema, forward from every released one. Written by hand, run by Alembic."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection


def upgrade(conn: Connection, to: str = "head") -> None:
    """Bring a database to revision `to`, in the transaction that is open on `conn`; nothing to do where it is there already."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = conn
    command.upgrade(config, to)
    if conn.dialect.name == "postgresql":
        _in_byte_order(conn)


def _in_byte_order(conn: Connection) -> None:
    """Give every text column the collation "C": the order of names, and so a plan's digest, is that of SQLite and of no language.

    Cost: the indexes of the columns that had another one are made again.
    """
    quoted = conn.dialect.identifier_preparer.quote
    query = (
        "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a "
        "JOIN pg_class c ON c.oid = a.attrelid JOIN pg_collation l ON l.oid = a.attcollation "
        "WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace AND l.collname <> 'C' "
        "AND NOT a.attisdropped ORDER BY 1, 2"
    )
    changes: dict[str, list[str]] = {}
    for table, column, kind in conn.execute(sa.text(query)):
        changes.setdefault(table, []).append(f'ALTER COLUMN {quoted(column)} TYPE {kind} COLLATE "C"')
    for table, parts in changes.items():
        conn.execute(sa.text(f"ALTER TABLE {quoted(table)} {', '.join(parts)}"))
