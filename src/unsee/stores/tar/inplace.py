"""Erases entries of a plain shard where they lie: its cost is the bytes that go, not the shard.

One write of 512 bytes makes a void of an entry and of the extended headers before it (readers see the entry, or the void, never
half of one); flush; zeros over all bytes behind that header; flush; the void is marked done; read back. A void that is not marked
done may still hold bytes: a probe looks into it, and the next call zeroes it.

Both flushes are needed, and one of each kind is enough for all entries of a piece. Without the first, a machine that stops may come
back with zeros under a header that still names a picture. Without the second, zeros that were reported would be in memory only. The
mark needs none: where it is lost, the zeros are looked at again. What the flushes wait for is data (fdatasync(2)): the file's size
and blocks stay, and its time of change is nobody's promise.

This is done while nobody else has the shard open, in pieces of some megabytes each, so that whoever wants to open it waits a moment
and then sees a whole shard.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator, Sequence

from unsee.stores import shards
from unsee.stores.overwriting import zero_range
from unsee.stores.tar.archive import DONE, HALF
from unsee.stores.tar.headers import BLOCK, Entry, void_header

BATCH_BYTES = 64 << 20
_ZEROS = bytes(1 << 20)


def erase(file: int, entries: Sequence[Entry]) -> list[Entry]:
    """Make voids of the entries; those that were left because somebody waits to open the shard.

    Entries that are voids already are zeroed and marked.

    Raises:
        OSError: the disk failed, or did not keep the zeros (EIO). The shard is readable; the same call finishes.
    """
    left = list(entries)
    for batch in _batches(entries):
        if lease(file) != fcntl.F_WRLCK:
            return left
        for entry in batch:
            # the page that it shares with the next one must be read before zeros go into it
            shards.ahead(file, entry.end - 1, 1)
            _write(file, void_header(_inside(entry), HALF), entry.start)
        os.fdatasync(file)
        for entry in batch:
            zero_range(file, entry.start + BLOCK, entry.end)
        os.fdatasync(file)
        done = [void_header(_inside(entry), DONE) for entry in batch]
        for entry, header in zip(batch, done, strict=True):
            _write(file, header, entry.start)
        for entry, header in zip(batch, done, strict=True):
            if os.pread(file, BLOCK, entry.start) != header or not is_zero(file, entry):
                raise OSError(errno.EIO, "what was read back is not what was written")
        left = left[len(batch) :]
    return left


def lease(file: int) -> int:
    """The lease on an open file; not F_WRLCK any more once somebody waits to open it (fcntl(2), F_GETLEASE)."""
    return fcntl.fcntl(file, fcntl.F_GETLEASE)


def is_zero(file: int, entry: Entry) -> bool:
    """Whether nothing but zeros lies behind the first header of this entry."""
    at = entry.start + BLOCK
    while at < entry.end:
        piece = os.pread(file, min(len(_ZEROS), entry.end - at), at)
        if not piece or not _ZEROS.startswith(piece):
            return False
        at += len(piece)
    return True


def _batches(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        if batch and size + entry.end - entry.start > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += entry.end - entry.start
    if batch:
        yield batch


def _inside(entry: Entry) -> int:
    return entry.end - entry.start - BLOCK


def _write(file: int, data: bytes, at: int) -> None:
    if os.pwrite(file, data, at) != len(data):
        raise OSError(errno.EIO, "a header was not written as a whole")
