"""Lance datasets and LanceDB databases: see `store`. Only the opener imports this package, because it needs the library `lance`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from unsee.core.errors import InvalidValue, MissingExtra
from unsee.core.ids import StoreId
from unsee.stores import rows
from unsee.stores.contract import Store
from unsee.stores.options import know

HISTORY = ("tags", "none")


def open_lance(id: StoreId, location: str, options: Mapping[str, str]) -> Store:
    """A store of kind `lance`. Options: `data=COLUMN`, `key=COLUMN` (see `rows`), `history=tags` or `history=none`.

    Raises:
        InvalidValue: an option is unknown or holds what it cannot hold.
        MissingExtra: the library is not installed.
    """
    know(options, kind="lance", known={*rows.OPTIONS, "history"})
    keep = options.get("history", "tags")
    if keep not in HISTORY:
        raise InvalidValue(
            f"history={keep[:40]!r} is neither tags nor none.", next_step="Write history=tags or history=none."
        )
    shape = rows.options(options)
    if find_spec("lance") is None:
        raise MissingExtra("lance", needed_for="Stores of kind 'lance'")
    from unsee.stores.lance.store import LanceStore

    return LanceStore(id, location, shape=shape, keep_tags=keep == "tags")
