"""Erases entries of a plain shard where they lie: its cost is the bytes that go, not the shard.

One write of 512 bytes makes a void of an entry and of the extended headers before it (readers see the entry, or the void, never
half of one); flush; zeros over all bytes behind that header; flush; the void is marked done; read back. A void that is not marked
done may still hold bytes: a probe looks into it, and the next call zeroes it.

This is done while nobody else has the shard open, in pieces of some megabytes each, so that whoever wants to open it waits a moment
and then sees a whole shard.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator, Sequence

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
            _write(file, void_header(_inside(entry), HALF), entry.start)
        os.fsync(file)
        for entry in batch:
            zero_range(file, entry.start + BLOCK, entry.end)
        os.fsync(file)
        for entry in batch:  # the mark may reach the disk later: without it the zeros are looked at, or written again
            _write(file, void_header(_inside(entry), DONE), entry.start)
        for entry in batch:
            _look_again(file, entry)
        left = left[len(batch) :]
    return left


def lease(file: int) -> int:
    """The lease on an open file; not F_WRLCK any more once somebody waits to open it (fcntl(2), F_GETLEASE)."""
    return fcntl.fcntl(file, fcntl.F_GETLEASE)


def is_zero(file: int, entry: Entry) -> bool:
    """Whether nothing but zeros lies behind the first header of this entry."""
    return all(not any_byte for any_byte in _differences(file, entry))


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


def _look_again(file: int, entry: Entry) -> None:
    if os.pread(file, BLOCK, entry.start) != void_header(_inside(entry), DONE) or not is_zero(file, entry):
        raise OSError(errno.EIO, "what was read back is not what was written")


def _differences(file: int, entry: Entry) -> Iterator[bool]:
    at = entry.start + BLOCK
    while at < entry.end:
        piece = os.pread(file, min(len(_ZEROS), entry.end - at), at)
        if not piece:
            yield True
            return
        yield piece != _ZEROS[: len(piece)]
        at += len(piece)
