"""Looks at a shard again with fresh eyes: its own reader, Python's `tarfile`, its indexes, and what killed calls leave."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from unsee.stores import shards
from unsee.stores.contract import RawPart, Residue, Skipped
from unsee.stores.removal import why
from unsee.stores.tar import archive, indexes, inplace, sources
from unsee.stores.tar.headers import Broken, Source
from unsee.stores.tar.listings import Names
from unsee.stores.tar.spelling import selected

_PIECE = 1 << 20


def residue(location: str, object_name: str, selectors: Sequence[str]) -> tuple[Residue, ...]:
    """What is still there of these members.

    Raises:
        PathEscape, StoreUnreachable: as `shards.opened`.
        OSError: the shard or an index cannot be read.
        Broken: the shard cannot be read to its end, and one of them was not found before that.
    """
    wanted = {selector: selected(selector) for selector in dict.fromkeys(selectors)}
    left: list[Residue] = []
    unseen = dict(wanted)
    how = sources.packing(object_name)
    if shards.left_over(location, object_name):
        left += [Residue(selector, "a left-over of a killed call beside the shard") for selector in wanted]
    with shards.opened(location, object_name) as file:
        if file is None:
            return tuple(left)
        names = [one.name for one in wanted.values() if one.digest is not None]
        listing = archive.listing(file, how, tell_apart=names)
        for selector, one in wanted.items():
            if listing.find(one):
                left.append(Residue(selector, "current"))
                del unseen[selector]
        if unseen and listing.broken is not None:
            raise listing.broken
        half = [v.start for v in listing.voids if v.name != archive.DONE and (how or not inplace.is_zero(file, v))]
        if half:
            left += [Residue(selector, f"a half-erased entry at byte {half[0]:,}") for selector in unseen]
        with sources.source(file, how) as source:
            others = _as_tarfile_reads(source)
    for selector, one in unseen.items():
        if one.digest is None and one.name in others:
            left.append(Residue(selector, "current, as Python's tarfile reads the shard"))
    return (*left, *_in_indexes(location, object_name, listing, {one.name: s for s, one in unseen.items()}))


def unpacked(location: str, object_name: str) -> Iterator[RawPart | Skipped]:
    """The unpacked bytes of a packed shard; where they end early, why, after them."""
    failed: list[str] = []

    def pieces(source: Source) -> Iterator[bytes]:
        try:
            while piece := source.read(_PIECE):
                yield piece
        except Broken as error:
            failed.append(str(error))

    with ExitStack() as stack:
        try:
            file = stack.enter_context(shards.opened(location, object_name))
            if file is None:
                return
            source = stack.enter_context(sources.source(file, sources.packing(object_name)))
        except OSError as error:
            yield Skipped(object_name, "", f"it cannot be unpacked: {why(error)}")
            return
        yield RawPart(f"unpacked {object_name if '/' in object_name else './' + object_name}", pieces(source))
    for reason in failed:
        yield Skipped(object_name, "", reason)


def _as_tarfile_reads(source: Source) -> set[bytes]:
    """Names of the files and hard links that Python's reader shows, as far as it comes."""
    names: set[bytes] = set()
    try:
        with tarfile.open(fileobj=_File(source), mode="r|") as reader:
            for member in reader:
                if member.isreg() or member.islnk():
                    names.add(member.name.encode("utf-8", "surrogateescape"))
                reader.members = []  # type: ignore[attr-defined]  # it would keep them all
    except (tarfile.TarError, Broken, ValueError, EOFError):
        pass  # what it cannot read it does not show; the strict reader went to the end
    return names


def _in_indexes(location: str, object_name: str, listing: archive.Listing, gone: dict[bytes, str]) -> Iterator[Residue]:
    names = Names.of(gone, (one.entry.name for some in listing.by_name.values() for one in some))
    if names.words:
        for index in indexes.beside(location, object_name):
            for name in sorted(names.found_in(indexes.read(location, index))):
                yield Residue(gone[name], f"its name in the index {index}")


class _File(io.RawIOBase):
    """What `tarfile` reads a stream from."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._source.read(size if size >= 0 else 1 << 62)
