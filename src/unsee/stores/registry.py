"""Opens a store by its kind. Other packages add kinds by the entry point group `unsee.stores`.

An entry point's name is the kind; it loads a callable `(id, location, options) -> Store`. Built-in kinds are not replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Protocol

from unsee.core.errors import InvalidValue, NotFound, StoreError
from unsee.core.ids import StoreId
from unsee.stores.contract import Store
from unsee.stores.files import FileStore

GROUP = "unsee.stores"
_NO_OPTIONS: Mapping[str, str] = MappingProxyType({})
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Opener(Protocol):
    """Makes a store of one kind."""

    def __call__(self, id: StoreId, location: str, options: Mapping[str, str]) -> Store:
        """The store; touches nothing at `location` yet.

        Raises:
            InvalidValue: an option is unknown or holds what it cannot hold.
        """


def open_store(id: StoreId, kind: str, location: str, options: Mapping[str, str] = _NO_OPTIONS) -> Store:
    """The store of this kind at `location`.

    Raises:
        NotFound: no such kind; the error lists the kinds.
        InvalidValue: an option is unknown or holds what it cannot hold.
        StoreError: another package offers the kind, and it cannot be loaded.
    """
    if kind in _BUILT_IN:
        return _BUILT_IN[kind](id, location, options)
    for point in entry_points(group=GROUP, name=kind):
        try:
            opener: Opener = point.load()
        except Exception as error:
            package = point.dist.name if point.dist else point.value
            raise StoreError(
                f"The store kind {kind!r} of {package!r} cannot be loaded: {error}.",
                next_step=f"Reinstall {package!r}, or mend its entry point in the group {GROUP!r}.",
            ) from error
        return opener(id, location, options)
    raise NotFound("store kind", kind, where="", next_step="Kinds: " + ", ".join(kinds()) + ".")


def kinds() -> tuple[str, ...]:
    """All kinds that can be opened here, sorted: built-in ones and those of other packages."""
    return tuple(sorted({*_BUILT_IN, *(point.name for point in entry_points(group=GROUP))}))


def _files(id: StoreId, location: str, options: Mapping[str, str]) -> Store:
    _know(options, kind="files", known={"overwrite"})
    spelled = options.get("overwrite", "false")
    if spelled.casefold() not in _TRUTH:
        raise InvalidValue(f"overwrite={spelled[:40]!r} is neither true nor false.", next_step="Write true or false.")
    return FileStore(id, location, overwrite=_TRUTH[spelled.casefold()])


def _know(options: Mapping[str, str], *, kind: str, known: set[str]) -> None:
    if unknown := sorted(set(options) - known):
        raise InvalidValue(
            f"Stores of kind {kind!r} have no option {unknown[0][:80]!r}.",
            next_step="Options: " + ", ".join(sorted(known)) + ".",
        )


_BUILT_IN: Mapping[str, Opener] = MappingProxyType({"files": _files})
