"""Indexes beside record files: where each record begins. Renewed when records go.

The package `tfrecord` writes a line `offset size` for each record, which can be written anew from the file alone. MXNet writes
`key<tab>offset`; which key is whose is known only while both files are there. So that index is written first, under a hidden
name that holds the number of the new file's inode, and takes its place after the records did; the next call finishes that.
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import pairwise

from unsee.core.errors import StoreError
from unsee.stores import beneath, shards

_ENDINGS = (".idx", ".index", ".tfindex")
_LARGEST = 1 << 30
_BY_PLACE = re.compile(rb"(?:\d{1,20} \d{1,20}\n)+\Z")
_BY_KEY = re.compile(rb"(?:[^\t\n]{1,100}\t\d{1,20}\n)+\Z")


def beside(object_name: str) -> list[str]:
    """The names that an index of this file may have."""
    above, slash, name = object_name.rpartition("/")
    stems = dict.fromkeys([name, name.rpartition(".")[0] or name])
    return [f"{above}{slash}{stem}{ending}" for stem in stems for ending in _ENDINGS]


def read(location: str, name: str) -> bytes | None:
    """An index as it lies there; None where there is none.

    Raises:
        StoreError: it is too large to be one.
    """
    with shards.opened(location, name) as file:
        if file is None:
            return None
        if os.fstat(file).st_size > _LARGEST:
            raise StoreError(f"its index {name!r} is larger than {_LARGEST:,} bytes")
        with os.fdopen(os.dup(file), "rb") as reading:
            reading.seek(0)
            return reading.read()


def by_place(location: str, object_name: str, bounds: Sequence[int]) -> None:
    """Write the indexes of `offset size` anew, where they do not fit the file."""
    lines = b"".join(b"%d %d\n" % (s, e - s) for s, e in pairwise(bounds))
    for name in beside(object_name):
        old = read(location, name)
        if old is not None and old != lines and _BY_PLACE.match(old):
            shards.replace(location, name, lambda _, new: _write(new, lines))


def keyed(location: str, object_name: str) -> tuple[str, bytes] | None:
    """MXNet's index of this file, and its name."""
    for name in beside(object_name):
        found = read(location, name)
        if found and _BY_KEY.match(found):
            return name, found
    return None


def without(data: bytes, moved: Mapping[int, int | None]) -> bytes:
    """MXNet's index with the records where they now begin, and without those that went.

    Raises:
        StoreError: it names a place where no record began.
    """
    lines = []
    for line in data.splitlines():
        key, _, offset = line.rpartition(b"\t")
        if int(offset) not in moved:
            raise StoreError(f"its index names byte {int(offset):,}, where no record begins; it is of another file")
        place = moved[int(offset)]
        if place is not None:
            lines.append(b"%s\t%d\n" % (key, place))
    return b"".join(lines)


def stage(location: str, name: str, inode: int, data: bytes) -> None:
    """Write the index that fits the file with this inode, on the disk, under the name where it waits."""
    above, last = shards.split(name)
    with beneath.directory(location, above) as directory:
        if directory is None:
            return
        waiting = _waiting(last, inode)
        with suppress(FileNotFoundError):
            os.unlink(waiting, dir_fd=directory)
        seen = os.stat(last, dir_fd=directory, follow_symlinks=False)
        file = os.open(waiting, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory)
        try:
            _write(file, data)
            os.fchmod(file, seen.st_mode & 0o7777)
            with suppress(PermissionError):  # another user's file: only root gives files away
                os.fchown(file, seen.st_uid, seen.st_gid)
            os.fsync(file)
        finally:
            os.close(file)


def settle(location: str, object_name: str, inode: int) -> None:
    """Put the index that waits for the file with this inode in its place, and remove those that wait for others."""
    for name in beside(object_name):
        above, last = shards.split(name)
        with beneath.directory(location, above) as directory:
            if directory is None:
                return
            before = _waiting(last, -1).removesuffix(b"-1")
            found = [one for one in os.listdir(directory) if os.fsencode(one).startswith(before)]  # noqa: PTH208  a descriptor
            for one in found:
                if os.fsencode(one) == _waiting(last, inode):
                    os.rename(one, last, src_dir_fd=directory, dst_dir_fd=directory)
                else:
                    os.unlink(one, dir_fd=directory)
            if found:
                os.fsync(directory)


def moves(old: array[int], new: array[int], kept: Sequence[bool]) -> dict[int, int | None]:
    """Where each record of the old file begins in the new one; None for those that went."""
    places = iter(new)
    return {start: next(places) if stays else None for start, stays in zip(old, kept, strict=False)}


def _waiting(name: bytes, inode: int) -> bytes:
    return shards.BESIDE + name + b".for-" + str(inode).encode()


def _write(file: int, data: bytes) -> None:
    with os.fdopen(os.dup(file), "wb") as writing:
        writing.write(data)
