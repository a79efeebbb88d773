"""The journal of one apply: what was begun, what came of it. A plain SQLite table, fsynced at each step.

Each unit is journalled twice: its intent before it acts, its outcome after it has acted and reached the disk. A killed run
leaves units with an intent and no outcome; they are idempotent and are done again.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

Boundary = Callable[[str], None]
"""Called after each step that was made durable, with a name such as `intent:erase:7`: progress, and where tests kill."""


def _silent(_name: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Entry:
    """The last word on one unit: `intent` or `done`, and its outcome; of an intent, what the unit is about."""

    unit: str
    state: str
    outcome: Mapping[str, Any]


class Journal:
    """The journal at `path`, made where it is not there. Safe to use from several threads of one process."""

    def __init__(self, path: Path, *, at_boundary: Boundary = _silent) -> None:
        self._conn = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._conn.execute("PRAGMA journal_mode=WAL")
        self._conn.execute("PRAGMA synchronous=FULL")
        self._conn.execute(
            "CREATE TABLE IF NOT EXISTS units (unit TEXT PRIMARY KEY, state TEXT NOT NULL, outcome TEXT NOT NULL)"
        )
        self._lock = threading.Lock()
        self._at_boundary = at_boundary

    def entries(self) -> dict[str, Entry]:
        """Everything journalled so far, by unit."""
        with self._lock:
            rows = self._conn.execute("SELECT unit, state, outcome FROM units ORDER BY rowid").fetchall()
        return {unit: Entry(unit, state, json.loads(outcome)) for unit, state, outcome in rows}

    def intend(self, unit: str, about: Mapping[str, Any] = MappingProxyType({})) -> None:
        """Journal that `unit` is about to act, and what a resumption must know that the act destroys. Durable when it returns."""
        self._write(unit, "intent", about)

    def conclude(self, unit: str, outcome: Mapping[str, Any]) -> None:
        """Journal what came of `unit`. Durable when it returns."""
        self._write(unit, "done", outcome)

    def acted(self, unit: str) -> None:
        """Pass the boundary between acting and journalling the outcome."""
        self._at_boundary(f"acted:{unit}")

    def close(self) -> None:
        """Give back the file."""
        self._conn.close()

    def _write(self, unit: str, state: str, outcome: Mapping[str, Any]) -> None:
        with self._lock:
            self._conn.execute(
                "INSERT INTO units (unit, state, outcome) VALUES (?, ?, ?) "
                "ON CONFLICT (unit) DO UPDATE SET state = excluded.state, outcome = excluded.outcome",
                (unit, state, json.dumps(dict(outcome), sort_keys=True)),
            )
        self._at_boundary(f"{state}:{unit}")
