"""What the store sees when it opens one index: its ids, under the names by which the books know them."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from unsee.stores import beneath, shards
from unsee.stores.names import ROOT, spell
from unsee.stores.vectors import sidecar
from unsee.stores.vectors.opened import Format, Labels, Opened, Rows, Unfit

STAGED = b".unsee-ids."
"""Begins the name of a side-car that waits for its index to be replaced."""
_DECIMAL = re.compile(r"0|-?[1-9][0-9]{0,19}")


@dataclass(frozen=True)
class Look:
    """An index and the side-car that belongs to it."""

    opened: Opened
    stamp: str
    """Of the index file, as `shards.stamp_of` gives it."""
    other_names: int
    beside: sidecar.ByRow | sidecar.ById | None
    staged: bool
    """The side-car that fits the index still waits under its other name: a call was killed between the two."""

    @cached_property
    def _by_name(self) -> Mapping[str, list[int]]:
        found: dict[str, list[int]] = {}
        if isinstance(self.beside, sidecar.ByRow):
            for row, name in enumerate(self.beside.names):
                found.setdefault(name, []).append(row)
        return found

    def selectors(self) -> Iterator[str]:
        """Each member once: names in the order of their first row, or ids ascending."""
        if isinstance(self.beside, sidecar.ByRow):
            yield from self._by_name
        else:
            yield from map(str, self.opened.labels.tolist())

    def labels(self, selectors: Sequence[str]) -> tuple[Labels, Rows]:
        """The ids in the index that these selectors stand for, and for each the place of its selector among them; none where one
        is absent."""
        kind = self.opened.labels.dtype
        if isinstance(self.beside, sidecar.ByRow):
            rows = [self._by_name.get(selector, ()) for selector in selectors]
            owners = np.repeat(np.arange(len(rows)), np.asarray([len(held) for held in rows], np.intp))
            return np.fromiter((row for held in rows for row in held), kind, len(owners)), owners
        labels, owners = _numbers(selectors, np.iinfo(kind))
        held = self.opened.holds(labels)
        return labels[held], owners[held]

    def present(self, selectors: Sequence[str]) -> list[str | None]:
        """The stamp of each member, None where it is absent."""
        labels, owners = self.labels(selectors)
        found: list[str | None] = [None] * len(selectors)
        for owner, stamp in zip(owners.tolist(), self.opened.stamps(labels), strict=True):
            before = found[owner]
            found[owner] = stamp if before is None else f"{before}-{stamp}"
        return found

    def sizes(self, selectors: Sequence[str]) -> list[int]:
        """How long the vectors of each member are."""
        labels, owners = self.labels(selectors)
        each = np.asarray(self.opened.sizes(labels), np.int64)
        return [int(size) for size in np.bincount(owners, each, len(selectors))]

    def vectors(self, selector: str) -> bytes | None:
        """The vectors of a member, one after the other; None where it is absent."""
        labels, _ = self.labels([selector])
        return b"".join(self.opened.vectors(label) for label in labels.tolist()) if len(labels) else None

    def noted(self, selector: str) -> bool:
        """Whether a side-car by id still has an entry for it."""
        return isinstance(self.beside, sidecar.ById) and selector in self.beside.entries


def look(location: str, object_name: str, kind: Format, beside: str | None) -> Look | None:
    """Open an index and its side-car; None where there is no such file.

    Raises:
        Unfit: either is damaged, or they do not fit each other.
        OSError, PathEscape, StoreUnreachable: as `shards.opened`.
    """
    with shards.opened(location, object_name) as file:
        if file is None:
            return None
        stamp, links = shards.stamp_of(file), shards.other_names(file)
        opened = kind.load(file)
    held, staged = (None, False) if beside is None else _beside(location, beside, opened)
    return Look(opened, stamp, links, held, staged)


def _numbers(selectors: Sequence[str], kind: np.iinfo[Any]) -> tuple[Labels, Rows]:
    """The numbers among the selectors as they are spelled here, and the place of each."""
    try:
        found = np.fromiter(map(int, selectors), kind.dtype, len(selectors))
        if all(map(str.__eq__, map(str, found.tolist()), selectors)):
            return found, np.arange(len(found))
    except (ValueError, OverflowError):
        pass  # something among them is no number of this size
    places, numbers = [], []
    for place, selector in enumerate(selectors):
        if _DECIMAL.fullmatch(selector) and kind.min <= int(selector) <= kind.max:
            places.append(place)
            numbers.append(int(selector))
    return np.asarray(numbers, kind.dtype), np.asarray(places, np.intp)


def _staged_name(beside: str) -> str:
    """Where a side-car waits."""
    above, name = shards.split(beside)
    spelled = spell(STAGED + name)
    return spelled if above == ROOT else f"{above}/{spelled}"


def _beside(location: str, beside: str, opened: Opened) -> tuple[sidecar.ByRow | sidecar.ById | None, bool]:
    rows = len(opened.labels) if opened.positional else None
    counts = []
    for place, staged in ((beside, False), (_staged_name(beside), True)):
        data = _bytes(location, place)
        if data is None:
            continue
        held = sidecar.parse(data, os.path.splitext(beside)[1], rows)  # noqa: PTH122  a name in the store, not a path here
        if isinstance(held, sidecar.ById):
            if opened.positional:
                raise Unfit(f"its side-car {beside!r} has entries by id, and the index has no ids")
            return held, False
        if rows is None:
            raise Unfit(f"its side-car {beside!r} names rows, and the index holds ids")
        if len(held.names) == rows:
            return held, staged
        counts.append(len(held.names))
    if not counts:
        raise Unfit(f"its side-car {beside!r} is not there")
    raise Unfit(f"its side-car {beside!r} has {counts[0]:,} names for {rows:,} vectors")


def _bytes(location: str, place: str) -> bytes | None:
    with shards.opened(location, place) as file:
        if file is None:
            return None
        with os.fdopen(os.dup(file), "rb") as reading:
            return reading.read()


def stage(location: str, beside: str, data: bytes) -> None:
    """Write the side-car that fits the index to come, on the disk, under the name where it waits."""
    above, name = shards.split(beside)
    waiting = STAGED + name
    with beneath.directory(location, above) as opened:
        directory = _there(opened)
        seen = os.stat(name, dir_fd=directory, follow_symlinks=False)
        with suppress(FileNotFoundError):
            os.unlink(waiting, dir_fd=directory)
        file = os.open(waiting, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory)
        with os.fdopen(file, "wb") as writing:
            writing.write(data)
            writing.flush()
            os.fchmod(file, stat.S_IMODE(seen.st_mode))
            with suppress(PermissionError):  # another user's file: only root gives files away
                os.fchown(file, seen.st_uid, seen.st_gid)
            os.fsync(file)


def take_stage(location: str, beside: str) -> None:
    """Put the side-car that waits in its place."""
    above, name = shards.split(beside)
    with beneath.directory(location, above) as opened:
        directory = _there(opened)
        os.rename(STAGED + name, name, src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)


def clear_stage(location: str, beside: str) -> None:
    """Remove a side-car that waits for an index that was not replaced."""
    above, name = shards.split(beside)
    with beneath.directory(location, above) as directory, suppress(FileNotFoundError):
        os.unlink(STAGED + name, dir_fd=_there(directory))


def _there(directory: int | None) -> int:
    if directory is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return directory
