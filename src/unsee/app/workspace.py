"""A workspace: one directory with books, keys, log, models, plans, and a small configuration file.

::

    unsee.toml            organisation, where the books are, quarantine_days
    books.sqlite          the catalogue
    keys/                 operator.pem, pseudonym.key, suppression.key, receipts.key, people/*.pem   (0700 / 0600)
    log/                  the transparency log (C2SP tlog-tiles)
    models/<model>/       weights and everything else that a run left
    plans/<plan>/         summary, targets, journal
    instruments/          the documents of orders and agreements, by digest
"""

from __future__ import annotations

import os
import re
import secrets
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from unsee.attest.keys import SigningKey
from unsee.attest.log import Log
from unsee.books import facts, places, retention
from unsee.books.database import Books, Tx
from unsee.core.errors import InputError, InvalidValue, NotFound, WorkspaceExists
from unsee.core.ids import PersonId, StoreId
from unsee.stores.contract import Store
from unsee.stores.registry import open_store

if TYPE_CHECKING:
    from unsee.match.suppression import SuppressionKey

CONFIG = "unsee.toml"
MAX_QUARANTINE_DAYS = 365
"""Quarantine is for looking, not for keeping."""
ENVIRONMENT = "UNSEE_WORKSPACE"
MODELS_STORE = StoreId("models")


@dataclass(frozen=True)
class Workspace:
    """One workspace, opened. Rooms get what they need from here; they never look for files on their own."""

    root: Path
    organisation: str
    books_url: str
    quarantine_days: int = 30
    """How long photos that came through no channel are held before they are to be erased: `quarantine_days` in `unsee.toml`."""

    @cached_property
    def books(self) -> Books:
        """The catalogue."""
        return Books.open(self.books_url)

    @cached_property
    def operator_key(self) -> SigningKey:
        """Signs the log's checkpoints and certificates."""
        return SigningKey.load(self.root / "keys" / "operator.pem")

    @cached_property
    def suppression_key(self) -> SuppressionKey:
        """Opens and extends the suppression list."""
        from unsee.match.suppression import SuppressionKey  # decoders of pictures, which few commands need

        return SuppressionKey.load(self.root / "keys" / "suppression.key")

    @cached_property
    def log(self) -> Log:
        """The transparency log."""
        return Log.open(self.root / "log", origin_of(self.organisation), self.operator_key)

    @property
    def plans(self) -> Path:
        """Where plans lie."""
        return self.root / "plans"

    @property
    def models(self) -> Path:
        """Where models lie."""
        return self.root / "models"

    def secret(self, name: str) -> bytes:
        """32 secret bytes of this workspace: `pseudonym` or `receipts`.

        Raises:
            NotFound: the key file is not there.
        """
        try:
            return bytes.fromhex((self.root / "keys" / f"{name}.key").read_text().strip())
        except FileNotFoundError:
            raise NotFound(
                "key", name, next_step="Restore the keys directory of the workspace from its backup."
            ) from None

    def person_key_path(self, person: PersonId) -> Path:
        """Where a person's private key lies when they keep it in the workspace."""
        return self.root / "keys" / "people" / f"{person}.pem"

    def stores(self) -> dict[StoreId, Store]:
        """Every registered store, opened."""
        with self.books.read() as conn:
            rows = places.all_stores(conn)
        return {row.id: open_store(row.id, row.kind, row.location, row.options) for row in rows}

    def models_store(self) -> Store:
        """The store that holds the models of this workspace."""
        return open_store(MODELS_STORE, "files", str(self.models), {})

    def now(self) -> datetime:
        """The workspace's clock, UTC."""
        return self.books.now()

    @contextmanager
    def act(self) -> Iterator[Tx]:
        """One write transaction; when it is committed, the facts it recorded are carried into the log."""
        with self.books.write() as tx:
            yield tx
        self.drain()

    def drain(self) -> None:
        """Carry facts that the log does not hold yet into it. Idempotent: a crash in between doubles nothing."""
        from unsee.app import logbook

        logbook.drain(self.books, self.log)


def create(root: Path, organisation: str, *, books_url: str | None = None) -> Workspace:
    """Make a workspace in `root`, which does not hold one yet.

    Raises:
        WorkspaceExists: it does, or the books belong to another one.
        InputError: the organisation has no name.
        StoreUnreachable: the books cannot be made at `books_url`; nothing else was made either.
    """
    from unsee.match.suppression import SuppressionKey

    if not organisation.strip():
        raise InputError("A workspace belongs to an organisation.", next_step="Name it with --organisation.")
    if (root / CONFIG).exists():
        raise WorkspaceExists(f"There is a workspace in {root} already.", next_step="Choose another directory.")
    root.mkdir(parents=True, exist_ok=True)
    url = books_url or f"sqlite:///{(root / 'books.sqlite').resolve()}"
    _begin_books(url)
    for name in ("models", "plans", "instruments", "reports"):
        (root / name).mkdir(exist_ok=True)
    for directory in (root / "keys", root / "keys" / "people"):
        directory.mkdir(mode=0o700, exist_ok=True)
    for name in ("pseudonym", "receipts"):
        _write_secret(root / "keys" / f"{name}.key", secrets.token_bytes(32).hex() + "\n")
    SuppressionKey.create(root / "keys" / "suppression.key")
    operator = SigningKey.generate(secrets.token_bytes)
    operator.save(root / "keys" / "operator.pem")
    Log.create(root / "log", origin_of(organisation), operator)
    # Written last: a directory with this file is a whole workspace.
    text = f"organisation = {_toml(organisation)}\n" + (f"books = {_toml(books_url)}\n" if books_url else "")
    aside = root / f".{CONFIG}.partial"
    aside.touch(mode=0o600)  # the books' URL may hold a password
    aside.write_text(text)
    aside.replace(root / CONFIG)
    return open_workspace(root)


def _begin_books(url: str) -> None:
    books = Books.open(url, create=True)
    try:
        with books.write() as tx:
            # Another workspace's log carries their facts; a second log would lack them for ever.
            if facts.drained_count(tx.conn):
                raise WorkspaceExists(
                    "These books belong to a workspace already.",
                    next_step="Name a database of its own, or work in that workspace.",
                )
            retention.start(tx)
    finally:
        books.close()


def open_workspace(root: Path) -> Workspace:
    """The workspace in `root`.

    Raises:
        NotFound: there is none.
        InvalidValue: a setting of it is none.
    """
    path = root / CONFIG
    if not path.is_file():
        raise NotFound(
            "workspace", str(root), where="", next_step='Make one with "unsee init", or name one with --workspace.'
        )
    settings = tomllib.loads(path.read_text())
    days = settings.get("quarantine_days", 30)
    if type(days) is not int or not 1 <= days <= MAX_QUARANTINE_DAYS:
        raise InvalidValue(
            f"{path}: quarantine_days is {days!r}.",
            next_step=f"Set it to a number of days from 1 to {MAX_QUARANTINE_DAYS}.",
        )
    return Workspace(
        root.resolve(),
        str(settings["organisation"]),
        str(settings.get("books") or f"sqlite:///{(root / 'books.sqlite').resolve()}"),
        days,
    )


def find_workspace(named: str | None, start: Path) -> Workspace:
    """The workspace that is named, or the one of the environment, or the nearest at or above `start`.

    Raises:
        NotFound: there is none.
    """
    chosen = named or os.environ.get(ENVIRONMENT)
    if chosen:
        return open_workspace(Path(chosen))
    for directory in (start, *start.parents):
        if (directory / CONFIG).is_file():
            return open_workspace(directory)
    raise NotFound(
        "workspace at or above",
        str(start),
        where="",
        next_step='Make one with "unsee init", or name one with --workspace.',
    )


def _write_secret(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def origin_of(organisation: str) -> str:
    """The log's name in its checkpoints: `unsee/` and the organisation in a–z, 0–9 and hyphens."""
    return "unsee/" + ("-".join(re.findall("[a-z0-9]+", organisation.lower())) or "workspace")


def _toml(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
