"""Writes zeros over the bytes of files, and knows where that reaches the blocks that held them.

Only file systems that write in place count; copy-on-write ones (btrfs, ZFS, overlay, XFS with shared extents) write the zeros
elsewhere and keep the old blocks.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from collections.abc import Sequence
from pathlib import Path

IN_PLACE = frozenset({"ext2", "ext3", "ext4", "vfat", "msdos", "exfat"})
_MOUNTS = Path("/proc/self/mountinfo")
_VIEW = memoryview(bytes(1 << 20))
"""Zeros, of which a slice is no copy."""
_OPEN_AT_ONCE = 64
_F_SETSIG = 10
"""fcntl(2) on Linux; the module `fcntl` has no name for it."""


def file_system(device: int, mounts: str | None = None) -> tuple[str, frozenset[str]] | None:
    """Kind and options of the file system with this device number (`st_dev`); None where the system does not say.

    Args:
        device: `st_dev` of a *directory*: overlay file systems show that of a lower layer for files.
        mounts: text in the format of /proc/self/mountinfo (proc(5)); read from there when not given.
    """
    if mounts is None:
        try:
            mounts = _MOUNTS.read_text(errors="surrogateescape")
        except OSError:
            return None
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        left, right = before.split(), after.split()
        if len(left) > 5 and len(right) > 2 and left[2] == wanted:
            return right[0], frozenset(left[5].split(",")) | frozenset(right[2].split(","))
    return None


def in_place(device: int, mounts: str | None = None) -> bool:
    """Whether zeros written to a file land on the blocks that held its bytes, and on no journal beside them.

    ext4 with `data=journal` writes every byte twice, and the journal keeps the old ones: not in place.
    """
    found = file_system(device, mounts)
    return found is not None and found[0] in IN_PLACE and "data=journal" not in found[1]


def claim(file: int) -> bool:
    """Whether nobody else has the file open; from now on whoever opens it waits, until it is closed here or 45 s have passed.

    By a write lease (fcntl(2), F_SETLEASE), which counts memory maps too. False as well where the file system has no leases, or
    the file belongs to another user: not knowing is not being alone.
    """
    try:
        fcntl.fcntl(file, _F_SETSIG, signal.SIGURG)  # told of a waiting reader by a signal that nobody minds
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except OSError:
        return False
    return True


def overwrite(directory: int, names: Sequence[bytes]) -> tuple[dict[bytes, OSError], set[bytes]]:
    """Write zeros over the data of each file and wait until they are on the disk; holes stay holes.

    Returns what failed, and how; and the files that somebody may have open, which are left as they are: a reader would see zeros
    in the middle of a picture.

    Cost: the bytes of the files plus one flush each; 64 files are open at once, so that their flushes share the disk's queue.
    """
    failed: dict[bytes, OSError] = {}
    read_by_others: set[bytes] = set()
    for start in range(0, len(names), _OPEN_AT_ONCE):
        files: list[tuple[bytes, int]] = []
        try:
            for name in names[start : start + _OPEN_AT_ONCE]:
                try:
                    file = open_for_writing(directory, name)
                    files.append((name, file))
                    if claim(file):
                        zero(file)
                    else:
                        read_by_others.add(name)
                except OSError as error:
                    failed[name] = error
            for name, file in files:
                try:
                    os.fsync(file)
                except OSError as error:
                    failed[name] = error
        finally:
            for _, file in files:
                os.close(file)
    return failed, read_by_others


def open_for_writing(directory: int, name: bytes) -> int:
    """A descriptor that takes zeros; a file that is read-only for its owner is made writable first.

    Raises:
        OSError: it cannot be opened, or belongs to another user.
    """
    flags = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(name, os.O_WRONLY | flags, dir_fd=directory)
    except PermissionError:  # photos in archives are often read-only; their owner may change that
        reading = os.open(name, os.O_RDONLY | flags, dir_fd=directory)
        try:
            os.fchmod(reading, 0o600)
        finally:
            os.close(reading)
        return os.open(name, os.O_WRONLY | flags, dir_fd=directory)


def zero(file: int) -> None:
    """Write zeros over the data of an open file; holes stay holes. The caller flushes."""
    size, position = os.fstat(file).st_size, 0
    while position < size:
        try:
            start = os.lseek(file, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        position = min(os.lseek(file, start, os.SEEK_HOLE), size)
        zero_range(file, start, position)


def zero_range(file: int, start: int, end: int) -> None:
    """Write zeros from `start` up to `end`. The caller flushes."""
    while start < end:
        start += os.pwrite(file, _VIEW[: end - start], start)
