"""Delta Lake tables below a directory: each table is an object, each row a member (or all rows that share a key)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from unsee.core.errors import MissingExtra
from unsee.core.ids import StoreId

if TYPE_CHECKING:
    from unsee.stores.delta.store import DeltaStore


def open_delta(id: StoreId, location: str, options: Mapping[str, str]) -> DeltaStore:
    """Opens stores of kind `delta`. Options: `data`, `key` (see `stores.rows`), `settled_s`.

    Raises:
        InvalidValue: an option is unknown or holds what it cannot hold.
        MissingExtra: the library `deltalake` is not installed.
    """
    try:
        from unsee.stores.delta.store import open_store
    except ImportError as error:
        raise MissingExtra("delta", needed_for="Stores of kind 'delta'") from error
    return open_store(id, location, options)
