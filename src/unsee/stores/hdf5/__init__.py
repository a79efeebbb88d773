"""HDF5 files as objects; their datasets, or the rows of one of them, as members. Needs `h5py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec

from unsee.core.errors import InvalidValue, MissingExtra, StoreError
from unsee.core.ids import StoreId
from unsee.stores import shards, writers
from unsee.stores.contract import Member, Skipped
from unsee.stores.options import know, truth
from unsee.stores.rowfiles import FAILURES, Going, RowFile, RowFileStore
from unsee.stores.rows import RowShape

LIMITS: tuple[str, ...] = (
    "Snapshots, backups and replicas of the file system, and copies of the file elsewhere, are not seen and not touched.",
    "The blocks of a replaced file hold its bytes until the file system reuses or trims them.",
    "A solid-state disk may keep old blocks that no program can address.",
    "A process that had the file open when it was replaced reads the old one until it closes it.",
    "A file that a program has open for writing is kept: what that program writes would be lost.",
    "What programs deleted before stays in the free space of a file until a member goes from it, which writes the file anew.",
    "Soft and external links are kept as they are and never followed; a link to a dataset that went leads nowhere.",
    "Files with references, dimension scales, virtual datasets, storage in other files or committed types are refused by name.",
    "HDF5 reads the file in this process; members are bounded, the library is not isolated.",
)


@dataclass(frozen=True, slots=True)
class Hdf5Format:
    """How `rowfiles` reads and rewrites HDF5. Without `data` each dataset is a member, with it each row of that dataset."""

    data: str = ""
    key: str = ""
    kind: str = "hdf5"
    suffixes: tuple[str, ...] = (".h5", ".hdf5", ".hdf", ".he5")
    prefixes: tuple[str, ...] = ()
    infixes: tuple[str, ...] = ()
    limits: tuple[str, ...] = LIMITS
    part: str = "stretch"
    method: str = "file written anew without the datasets or rows"
    timed: bool = True

    @contextmanager
    def open(self, file: int) -> Iterator[RowFile]:
        """The file behind a descriptor.

        Raises:
            StoreError: it holds what cannot be copied, or not the datasets that the options name.
            OSError: HDF5 cannot read it, or somebody writes to it.
        """
        from unsee.stores.hdf5.copying import reading
        from unsee.stores.hdf5.members import Datasets, Rows

        try:
            with reading(file) as opened:
                yield Rows(file, opened, self.data, self.key) if self.data else Datasets(file, opened)
        except (RuntimeError, LookupError, TypeError) as error:  # what h5py makes of a damaged file, besides OSError
            raise StoreError(f"HDF5 cannot read or copy it: {error}") from error

    def renew_beside(self, location: str, object_name: str) -> None:
        """Nothing: no other file tells of this one."""


class Hdf5Store(RowFileStore):
    """A directory tree of HDF5 files."""

    __slots__ = ()

    def _list(self, name: str) -> Iterator[Member | Skipped]:
        yield from RowFileStore._list(self, name)
        links: Mapping[str, str] = {}
        try:
            with shards.opened(self.location, name) as file:
                if file is not None:
                    with self.format.open(file) as opened:
                        links = getattr(opened, "links", links)
        except FAILURES:
            return  # said above
        for link, leads in links.items():
            yield Skipped(name, link, leads)

    def _replace(self, object_name: str, write: Callable[[int, int], None], going: Going) -> bool:
        """Only while nobody has the old file open for writing."""
        del going

        def alone(old: int, new: int) -> None:
            writers.keep_out(old)
            write(old, new)

        return shards.replace(self.location, object_name, alone, zero=self.zero, last=writers.still_out)


def open_hdf5(id: StoreId, location: str, options: Mapping[str, str]) -> Hdf5Store:
    """Opens stores of kind `hdf5`.

    Raises:
        InvalidValue: an option is unknown or holds what it cannot hold.
        MissingExtra: h5py is not installed.
    """
    know(options, kind="hdf5", known={"data", "key", "zero"})
    data, key = (options.get(name, "").strip("/") for name in ("data", "key"))
    if key and not data:
        raise InvalidValue("key= names rows, and data= says of which dataset.", next_step="Write data=DATASET too.")
    if find_spec("h5py") is None:
        raise MissingExtra("hdf5", needed_for="Stores of kind 'hdf5'")
    shape = RowShape("data", "key" if key or not data else None)
    return Hdf5Store(id, location, Hdf5Format(data, key), shape, truth(options, "zero"))


__all__: Sequence[str] = ("Hdf5Format", "Hdf5Store", "open_hdf5")
