"""Opens stores of kind `pgvector`; the driver is imported only then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from unsee.core.errors import InvalidValue, MissingExtra
from unsee.core.ids import StoreId
from unsee.stores.options import know

if TYPE_CHECKING:
    from unsee.stores.pgvector.store import PgVectorStore


def open_pgvector(id: StoreId, location: str, options: Mapping[str, str]) -> PgVectorStore:
    """Opens stores of kind `pgvector`.

    Raises:
        InvalidValue: an option is unknown or holds what it cannot hold, the location is no PostgreSQL URL, or holds a password.
        MissingExtra: psycopg is not installed.
    """
    know(options, kind="pgvector", known={"data", "key", "rewrite", "schema", "wait"})
    try:
        import psycopg
        from psycopg.conninfo import conninfo_to_dict

        from unsee.stores.pgvector.store import WAIT_S, PgVectorStore
    except ImportError as error:
        raise MissingExtra("postgres", needed_for="Stores of kind 'pgvector'") from error
    if not location.startswith(("postgresql://", "postgres://")):
        raise InvalidValue("The location is no PostgreSQL URL.", next_step="Write postgresql://user@host/database.")
    try:
        held = conninfo_to_dict(location)
    except psycopg.Error:
        raise InvalidValue(
            "The location cannot be read as a PostgreSQL URL.", next_step="Write postgresql://user@host/database."
        ) from None
    if "password" in held:
        raise InvalidValue(
            "The location holds a password, and locations are kept in the books.",
            next_step="Leave it out, and put it into PGPASSWORD or a file that PGPASSFILE names.",
        )
    if (rewrite := options.get("rewrite", "full")) not in {"full", "none"}:
        raise InvalidValue(f"rewrite={rewrite[:40]!r} is neither full nor none.", next_step="Write full or none.")
    wait = options.get("wait", f"{WAIT_S:g}")
    if not (wait.isascii() and wait.isdigit() and int(wait) <= 86_400):
        raise InvalidValue(f"wait={wait[:40]!r} is no number of seconds up to 86400.", next_step="Write one, as 60.")
    return PgVectorStore(
        id,
        location,
        schema=options.get("schema") or "public",
        data=options.get("data") or None,
        key=options.get("key") or None,
        rewrite=rewrite == "full",
        wait_s=float(wait),
    )
