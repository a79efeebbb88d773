"""Opens a store by its kind. Other packages add kinds by the entry point group `unsee.stores`.

An entry point's name is the kind; it loads a callable `(id, location, options) -> Store`. Built-in kinds are not replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Protocol

from unsee.core.errors import NotFound, StoreError
from unsee.core.ids import StoreId
from unsee.stores.contract import Store

GROUP = "unsee.stores"
_NO_OPTIONS: Mapping[str, str] = MappingProxyType({})


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
        MissingExtra: the kind needs a library that is not installed.
        StoreError: another package offers the kind, and it cannot be loaded.
    """
    if kind in _BUILT_IN:
        return _built_in(kind)(id, location, options)
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


def _built_in(kind: str) -> Opener:
    """The opener of a built-in kind; its module, and the library it needs, are imported only now.

    Raises:
        MissingExtra: the library is not installed.
    """
    module, _, name = _BUILT_IN[kind].partition(":")
    opener: Opener = getattr(import_module(module), name)
    return opener


_BUILT_IN: Mapping[str, str] = MappingProxyType(
    {
        "arrow": "unsee.stores.arrow:open_arrow",
        "delta": "unsee.stores.delta:open_delta",
        "faiss": "unsee.stores.vectors.store:open_faiss",
        "files": "unsee.stores.files:open_files",
        "hdf5": "unsee.stores.hdf5:open_hdf5",
        "lance": "unsee.stores.lance:open_lance",
        "lmdb": "unsee.stores.lmdb:open_lmdb",
        "iceberg": "unsee.stores.iceberg:open_iceberg",
        "parquet": "unsee.stores.parquet:open_parquet",
        "s3": "unsee.stores.s3:open_s3",
        "tar": "unsee.stores.tar:open_tar",
        "tfrecord": "unsee.stores.tfrecord:open_tfrecord",
        "pgvector": "unsee.stores.pgvector.opening:open_pgvector",
        "usearch": "unsee.stores.vectors.store:open_usearch",
        "vault": "unsee.stores.vault:open_vault",
    }
)
"""Kind to `module:function`. The function is an `Opener`."""
