"""Which tables of a schema hold vectors, and how their rows are read: from the catalogue, never from the names alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import LiteralString

import numpy as np
from psycopg import Connection, sql

from unsee.core.errors import PathEscape
from unsee.stores.contract import Skipped

VECTORS = ("vector", "halfvec", "sparsevec")
_KINDS = {
    "f": "a foreign table: register the server where its rows lie",
    "m": "a materialised view",
    "p": "partitioned",
}
_TABLES: LiteralString = """
SELECT c.relname, c.relkind::text, c.oid::bigint,
       (SELECT array_agg(a.attname::text) FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          AND (a.attname = %(data)s::text OR (%(data)s::text IS NULL AND t.typname = ANY(%(types)s::text[])))),
       (SELECT array_agg(a.attname::text) FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          AND (a.attname = %(key)s::text OR (%(key)s::text IS NULL AND a.attnum = ANY(
              SELECT unnest(i.indkey) FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)))),
       pg_catalog.row_security_active(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s::text AND c.relkind IN ('r', 'p', 'm', 'f')
  AND (%(table)s::text IS NULL OR c.relname = %(table)s::text)
ORDER BY c.relname COLLATE "C"
"""
_SENDER: LiteralString = """
SELECT tn.nspname, t.typname, pn.nspname, p.proname
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace tn ON tn.oid = t.typnamespace
     JOIN pg_proc p ON p.oid = t.typsend JOIN pg_namespace pn ON pn.oid = p.pronamespace
WHERE a.attrelid = %s AND a.attname = %s
"""
_ARRAYS = {"_float4": ">f4", "_float8": ">f8"}


@dataclass(frozen=True, slots=True)
class Table:
    """One table whose rows are members."""

    schema: str
    name: str
    oid: int
    key: str
    data: str
    type: str
    """The name of the type of `data`: `vector`, `_float4` …"""
    sender: tuple[str, str]
    """The function that gives a value of this type as PostgreSQL sends it."""

    @property
    def object(self) -> str:
        """How the store calls it."""
        return f"{self.schema}.{self.name}"

    @property
    def only(self) -> sql.Composable:
        """The table itself, without those that inherit from it."""
        return sql.SQL("ONLY {}").format(sql.Identifier(self.schema, self.name))

    @property
    def selector(self) -> sql.Composable:
        """The text of the key."""
        return sql.SQL("{}::text").format(sql.Identifier(self.key))

    @property
    def sent(self) -> sql.Composable:
        """The bytes of the data; empty for NULL."""
        return sql.SQL("coalesce({}({}), ''::bytea)").format(sql.Identifier(*self.sender), sql.Identifier(self.data))

    def decode(self, sent: bytes) -> bytes:
        """Little-endian float32 of a vector or an array of floats; other types as PostgreSQL sends them."""
        if not sent:
            return b""
        if self.type == "vector":
            return np.frombuffer(sent, ">f4", offset=4).astype("<f4").tobytes()
        if self.type == "halfvec":
            return np.frombuffer(sent, ">f2", offset=4).astype("<f4").tobytes()
        if self.type in _ARRAYS:
            return b"".join(_elements(sent, np.dtype(_ARRAYS[self.type])))
        return sent


def find(
    conn: Connection, schema: str, *, data: str | None, key: str | None, table: str | None = None
) -> Iterator[Table | Skipped]:
    """The tables of a schema that hold vectors, by name; those whose rows cannot be addressed are `Skipped`."""
    given = {"schema": schema, "data": data, "key": key, "table": table, "types": list(VECTORS)}
    for name, kind, oid, columns, keys, hidden in conn.execute(_TABLES, given).fetchall():
        if not columns:
            continue
        here = f"{schema}.{name}"
        if kind == "p":
            continue  # its partitions are tables of their own, listed under their own names
        if kind != "r":
            yield Skipped(here, "", _KINDS[kind])
        elif hidden:
            yield Skipped(
                here, "", "row security hides rows of it from this user: connect as its owner, or with BYPASSRLS"
            )
        elif len(columns) > 1:
            yield Skipped(here, "", f"it has {len(columns)} columns of vectors: name one with the option data")
        elif not keys or len(keys) > 1:
            yield Skipped(here, "", "it has no primary key of one column: name a column with the option key")
        else:
            sender = conn.execute(_SENDER, [oid, columns[0]]).fetchone()
            if sender is not None:
                yield Table(schema, name, oid, keys[0], columns[0], sender[1], (sender[2], sender[3]))


def named(object_name: str, schema: str) -> str | None:
    """The name of the table that this object is; None where no object of the store is called so.

    Raises:
        PathEscape: it names a table of another schema.
    """
    of, dot, name = (
        object_name.partition(".")
        if not object_name.startswith(schema + ".")
        else (schema, ".", object_name[len(schema) + 1 :])
    )
    if not dot:
        return None
    if of != schema or not name:
        raise PathEscape(
            f"{object_name[:200]!r} is no table of the schema {schema!r}.",
            next_step="Objects of this store are its tables, as schema.table; open another store for another schema.",
        )
    return name


def _elements(sent: bytes, kind: np.dtype[np.generic]) -> Iterator[bytes]:
    """Of an array in the binary form of `array_send`: a head, then a length (-1 for NULL) and the bytes of each element."""
    dimensions = int.from_bytes(sent[:4], "big")
    at = 12 + 8 * dimensions
    missing = np.float32("nan").tobytes()
    while at < len(sent):
        length = int.from_bytes(sent[at : at + 4], "big", signed=True)
        at += 4
        if length < 0:
            yield missing
            continue
        yield np.frombuffer(sent[at : at + length], kind).astype("<f4").tobytes()
        at += length
