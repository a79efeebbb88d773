"""Writes a shard anew without some of its entries: blocks are copied raw, nothing is archived again."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator

from unsee.stores import shards
from unsee.stores.tar import archive, sources
from unsee.stores.tar.archive import Listing
from unsee.stores.tar.headers import Broken, Entry, Source

_PIECE = 1 << 20


def copy_without(old: int, new: int, how: str, listing: Listing, going: Iterable[Entry]) -> None:
    """Copy the shard in `old` to the empty `new`, but for the entries that go and the voids; then read it again.

    Raises:
        OSError: the disk is full or failed; EIO where the copy does not hold just what stays.
        Broken: a packed shard changed while it was read.
    """
    drop = sorted({(e.start, e.end) for e in (*going, *listing.voids)})
    if how:
        with sources.source(old, how) as source, sources.packer(new, how) as packed:
            for piece in _pieces(source, drop):
                packed.write(piece)
    else:
        at = 0
        for start, end in drop:
            shards.copy_range(old, new, at, start - at)
            at = end
        shards.copy_range(old, new, at, os.fstat(old).st_size - at)
    starts = {start for start, _end in drop}
    again = archive.listing(new, how)
    if again.broken is not None or _shown(again, frozenset()) != _shown(listing, starts):
        raise OSError(errno.EIO, "the copy does not hold just what was to stay")


def _pieces(source: Source, drop: list[tuple[int, int]]) -> Iterator[bytes]:
    for start, end in drop:
        while source.position < start:
            piece = source.read(min(_PIECE, start - source.position))
            if not piece:
                raise Broken(source.position, "it ended before it did when it was listed")
            yield piece
        source.skip(end - source.position)
    while piece := source.read(_PIECE):
        yield piece


def _shown(listing: Listing, without: Iterable[int]) -> list[tuple[bytes, str]]:
    gone = set(without)
    held = [one for some in listing.by_name.values() for one in some if one.entry.start not in gone]
    return [(one.entry.name, one.digest) for one in sorted(held, key=lambda one: one.entry.start)]
