"""The outbox of facts: written with the act, drained into the log afterwards, kept with its salt for proofs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books.database import Tx
from unsee.books.schema import facts
from unsee.core.canonical import canonical_json

SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact as it stands in the books. `body` is canonical JSON; `fact` names its kind, `at` its time."""

    seq: int
    kind: str
    body: str
    salt: bytes
    log_index: int | None

    @property
    def entry(self) -> bytes:
        """What the log holds of it: SHA-256(salt ‖ body), 32 bytes. Destroying the salt makes the entry meaningless."""
        return hashlib.sha256(self.salt + self.body.encode()).digest()


def record(tx: Tx, kind: str, /, **body: Any) -> None:
    """Write down that something happened; `kind` is a past-tense name such as `SourceRegistered`.

    Cost: one row. The fact reaches the log when the outbox is drained.
    """
    text = canonical_json({"fact": kind, "at": tx.at, **body}).decode()
    tx.conn.execute(facts.insert().values(kind=kind, body=text, salt=tx.entropy(SALT_BYTES), at=tx.at))


def undrained(conn: Connection, limit: int = 10_000) -> list[Fact]:
    """Facts that the log does not carry yet, oldest first."""
    rows = conn.execute(sa.select(facts).where(facts.c.log_index.is_(None)).order_by(facts.c.seq).limit(limit))
    return [_fact(row) for row in rows]


def drained_count(conn: Connection) -> int:
    """How many facts the log carries: the index of the next one."""
    last = conn.execute(sa.select(sa.func.max(facts.c.log_index))).scalar()
    return 0 if last is None else int(last) + 1


def mark_drained(tx: Tx, batch: Sequence[Fact], first_index: int) -> None:
    """Remember where in the log the facts of `batch` went."""
    if not batch:
        return
    tx.conn.execute(
        sa.update(facts).where(facts.c.seq == sa.bindparam("which")).values(log_index=sa.bindparam("index")),
        [{"which": fact.seq, "index": first_index + i} for i, fact in enumerate(batch)],
    )


def find(conn: Connection, kinds: Sequence[str], **fields: str) -> list[Fact]:
    """Facts of these kinds whose body holds all of `fields`, oldest first. Cost: all facts of those kinds are read."""
    rows = conn.execute(sa.select(facts).where(facts.c.kind.in_(kinds)).order_by(facts.c.seq))
    return [fact for fact in map(_fact, rows) if _holds(fact, fields)]


def recent(conn: Connection, limit: int) -> list[Fact]:
    """The last `limit` facts, oldest first."""
    rows = conn.execute(sa.select(facts).order_by(facts.c.seq.desc()).limit(limit)).all()
    return [_fact(row) for row in reversed(rows)]


def _holds(fact: Fact, fields: Mapping[str, str]) -> bool:
    body = json.loads(fact.body)
    return all(body.get(name) == value for name, value in fields.items())


def _fact(row: sa.Row[Any]) -> Fact:
    return Fact(row.seq, row.kind, row.body, bytes(row.salt), row.log_index)
