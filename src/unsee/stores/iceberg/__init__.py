"""Apache Iceberg tables of a catalog: each table is an object, each row a member (or all rows that share a key)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from unsee.core.errors import MissingExtra
from unsee.core.ids import StoreId

if TYPE_CHECKING:
    from unsee.stores.iceberg.store import IcebergStore


def open_iceberg(id: StoreId, location: str, options: Mapping[str, str]) -> IcebergStore:
    """Opens stores of kind `iceberg`. Options: `catalog`, `catalog_name`, `table`, `data`, `key` (see `stores.rows`), `settled_s`.

    Raises:
        InvalidValue: an option is unknown, is missing, or holds what it cannot hold.
        MissingExtra: the library `pyiceberg` is not installed.
    """
    try:
        from unsee.stores.iceberg.store import open_store
    except ImportError as error:
        raise MissingExtra("iceberg", needed_for="Stores of kind 'iceberg'") from error
    return open_store(id, location, options)
