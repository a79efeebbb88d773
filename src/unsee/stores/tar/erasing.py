"""One shard, from the look at its targets to the indexes beside it."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from unsee.core.errors import PathEscape
from unsee.core.evidence import Gone
from unsee.stores import beneath, overwriting, shards
from unsee.stores.contract import Erased, Kept, Target
from unsee.stores.names import ROOT, component
from unsee.stores.removal import why
from unsee.stores.tar import archive, indexes, inplace, rewriting, sources
from unsee.stores.tar.archive import Listing
from unsee.stores.tar.headers import Broken, Entry
from unsee.stores.tar.resolving import Resolved, resolve
from unsee.stores.tar.spelling import selected


def erase(location: str, object_name: str, wanted: Mapping[str, Target], *, compact: bool) -> Erased:
    """Take the members out. What cannot be done is `Kept`; only names that lead out, and an absent root, are raised."""
    work = _Work(location, object_name, wanted)
    try:
        sweep(location, object_name)
        if not wanted:
            return work.outcome()
        if compact or sources.packing(object_name) or not work.in_place():
            work.rewrite()
        work.bring_indexes_in_line()
    except (OSError, Broken) as error:
        work.fail(f"the shard: {why(error)}")
    return work.outcome()


def compact(location: str, object_name: str) -> int:
    """Rewrite a shard without its voids; how many bytes it became smaller.

    Raises:
        OSError: it is not there (ENOENT), has other names (EMLINK), or cannot be replaced.
        Broken: it cannot be read to its end.
    """
    sweep(location, object_name)
    with shards.opened(location, object_name) as file:
        if file is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        if others := shards.other_names(file):
            raise OSError(errno.EMLINK, _linked(others))
        listing = archive.listing(file, sources.packing(object_name))
        before, stamp = os.fstat(file).st_size, shards.stamp_of(file)
    if listing.broken is not None:
        raise listing.broken
    if listing.voids:
        copy = _Copy(sources.packing(object_name), listing, [], stamp)
        half = [(void.start, void.end) for void in listing.voids if void.name != archive.DONE]
        shards.replace(location, object_name, copy, zero=bool(half), ranges=None if copy.how else half)
    work = _Work(location, object_name, {})
    work.bring_indexes_in_line()
    with shards.opened(location, object_name) as file:
        return before - os.fstat(file).st_size if file is not None else 0


def sweep(location: str, object_name: str) -> None:
    """Remove what a killed replacement of the shard, or of an index of it, left beside them.

    Raises:
        PathEscape, StoreUnreachable: as `shards.opened`.
        OSError: it cannot be removed.
    """
    above, name = shards.split(object_name)
    with beneath.directory(location, above) as directory:
        if directory is not None:
            shards.sweep(directory, name)
    for index in indexes.beside(location, object_name):
        above, name = shards.split(index)
        with beneath.directory(location, above) as directory:
            if directory is not None:
                shards.sweep(directory, name)


def tidy(location: str, object_names: Sequence[str]) -> tuple[str, ...]:
    """Remove shards that hold nothing but voids; a shard that a list of wids names stays, for its readers would miss it."""
    beneath.require_root(location)
    gone: list[str] = []
    for object_name in dict.fromkeys(object_names):
        try:
            with shards.opened(location, object_name) as file:
                if file is None:
                    continue
                listing = archive.listing(file, sources.packing(object_name))
            lists = [
                index for index in indexes.beside(location, object_name) if indexes.means(location, index, object_name)
            ]
            if not (listing.by_name or listing.skipped or listing.broken or lists):
                _remove(location, object_name)
                gone.append(object_name)
                gone += _remove_empty_above(location, object_name)
        except OSError:  # it stays as it is; tidying is no erasure
            continue
    return tuple(gone)


@dataclass(slots=True)
class _Work:
    location: str
    object_name: str
    wanted: Mapping[str, Target]
    erased: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    kept: dict[str, str] = field(default_factory=dict)
    gone: Gone = Gone.D3
    """As long as every way that was taken wrote zeros over the bytes."""

    def in_place(self) -> bool:
        """Erase where the bytes lie; False where that is not for this shard now, and it must be rewritten."""
        with ExitStack() as stack:
            try:
                file = stack.enter_context(shards.opened(self.location, self.object_name, writing=True))
            except PermissionError:  # a shard that may not be written to may be replaced where its directory may
                return False
            if file is None:
                self.absent.update(self.wanted)
                return True
            if others := shards.other_names(file):
                self.fail(_linked(others))
                return True
            if not stack.enter_context(shards.alone(file)):
                return False
            found = resolve(file, "", self.wanted)
            left = inplace.erase(file, _with_voids(file, found, self.wanted))
        if left:  # somebody waits to open it: what is left goes by rewriting
            self.erased.update(found.going)
            return False
        self._take(found)
        if not self._writes_in_place():
            self.gone = Gone.D2
        return True

    def rewrite(self) -> None:
        """Put a copy without the targets in the shard's place."""
        how = sources.packing(self.object_name)
        with shards.opened(self.location, self.object_name) as file:
            if file is None:
                self.absent.update(self.wanted)
                return
            if others := shards.other_names(file):
                self.fail(_linked(others))
                return
            found = resolve(file, how, self.wanted, by_hints=False)
            stamp = shards.stamp_of(file)
        listing = found.listing or Listing()
        if (found.going or found.half) and listing.broken is not None:
            reason = f"the shard cannot be rewritten, because it cannot be read to its end: {listing.broken}"
            self.kept.update(dict.fromkeys(found.going, reason))
            found.going.clear()
        elif found.going or found.half:
            copy = _Copy(how, listing, found.entries(), stamp)
            if not shards.replace(
                self.location, self.object_name, copy, zero=True, ranges=None if how else copy.ranges()
            ):
                self.gone = Gone.D2
        self._take(found)

    def bring_indexes_in_line(self) -> None:
        """The indexes of the shard, where it has some. Members that one still names are kept."""
        if not indexes.beside(self.location, self.object_name):
            return
        names = {selected(s).name: s for s in self.wanted if s not in self.kept}
        with shards.opened(self.location, self.object_name) as file:
            if file is None:
                return
            listing = archive.listing(file, sources.packing(self.object_name))
        if listing.broken is not None:  # what stays is not known
            return
        for problem in indexes.update(self.location, self.object_name, listing, names):
            for name in problem.names:
                for selector in (s for s in self.wanted if selected(s).name == name and s not in self.kept):
                    self.kept[selector] = (
                        f"its bytes are gone from the shard, but not its index {problem.index!r}: {problem.reason}"
                    )

    def fail(self, reason: str) -> None:
        """Keep every target that is not settled."""
        for selector in self.wanted:
            if selector not in self.kept:
                self.kept[selector] = reason

    def outcome(self) -> Erased:
        """Every target in exactly one of the three, in the order of the request."""
        return Erased(
            tuple(s for s in self.wanted if s in self.erased and s not in self.kept),
            tuple(s for s in self.wanted if s not in self.erased and s not in self.kept),
            tuple(Kept(s, self.kept[s]) for s in self.wanted if s in self.kept),
            self.gone if self.erased else Gone.D2,
        )

    def _take(self, found: Resolved) -> None:
        self.erased.update(found.going)
        self.absent.update(found.absent)
        self.kept.update(found.kept)

    def _writes_in_place(self) -> bool:
        above, _name = shards.split(self.object_name)
        with beneath.directory(self.location, above) as directory:
            return directory is not None and overwriting.in_place(os.fstat(directory).st_dev)


@dataclass(frozen=True, slots=True)
class _Copy:
    """For `shards.replace`."""

    how: str
    listing: Listing
    going: list[Entry]
    stamp: str

    def ranges(self) -> list[tuple[int, int]]:
        """What goes, where it lies in a plain shard."""
        return [(entry.start, entry.end) for entry in (*self.going, *self.listing.voids)]

    def __call__(self, old: int, new: int) -> None:
        if shards.stamp_of(old) != self.stamp:
            raise OSError(errno.EBUSY, "it was written to while it was read")
        rewriting.copy_without(old, new, self.how, self.listing, self.going)


def _with_voids(file: int, found: Resolved, wanted: Mapping[str, Target]) -> list[Entry]:
    """What goes, and the voids that a killed call may have left with bytes in them: marked so, or where an absent target lay."""
    every = {entry.start: entry for entry in (*found.entries(), *found.half)}
    for selector in found.absent:
        place = (wanted[selector].stamp or "").partition("@")[2].rstrip("+")
        void = archive.void_at(file, int(place)) if place.isdecimal() else None
        if void is not None and not inplace.is_zero(file, void):
            every[void.start] = void
    return sorted(every.values(), key=lambda entry: entry.start)


def _linked(others: int) -> str:
    return f"the shard has {others} other hard link{'s' * (others > 1)}, which would still hold its bytes"


def _remove(location: str, object_name: str) -> None:
    above, name = shards.split(object_name)
    with beneath.directory(location, above) as directory:
        if directory is not None:
            for beside in indexes.beside(location, object_name):
                if beside.endswith(".idx"):
                    os.unlink(component(beside.rpartition("/")[2]), dir_fd=directory)
            os.unlink(name, dir_fd=directory)
            os.fsync(directory)


def _remove_empty_above(location: str, object_name: str) -> list[str]:
    gone: list[str] = []
    name = object_name.rpartition("/")[0]
    while name:
        above, _, last = name.rpartition("/")
        with suppress(PathEscape), beneath.directory(location, above or ROOT) as directory:
            if directory is None:
                break
            try:
                os.rmdir(component(last), dir_fd=directory)
            except OSError:  # it holds something, or may not be removed
                break
            os.fsync(directory)
        gone.append(name)
        name = above
    return gone
