"""Objects that are one file each (a tar shard, a Parquet file, an index): finding, opening and replacing them safely.

A shard is replaced by a new file: written beside it under a name that no reader lists, flushed, renamed over it, the directory
flushed. Whoever opens the shard sees the old file or the new one, never half of one; whoever had it open reads the old one to its
end. A killed call leaves at most the file beside it, which the next call removes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from unsee.core.errors import PathEscape
from unsee.stores import beneath, overwriting
from unsee.stores.contract import Skipped
from unsee.stores.names import ROOT, below, component, components
from unsee.stores.removal import kind, why

BESIDE = b".unsee-erasing."
"""Begins the names of files that a replacement writes. Format readers and shells pass over names that begin with a dot."""
OLD = b".unsee-replaced."
"""Begins the name under which a replaced file waits for its bytes to be zeroed."""
_COPY_BYTES = 1 << 30


def split(object_name: str) -> tuple[str, bytes]:
    """The directory of an object, as `beneath.directory` takes it, and the name of its file.

    Raises:
        PathEscape: the name leads out of the store, or is the root's.
    """
    parts = components(object_name)
    if not parts:
        raise PathEscape(
            f"{object_name!r} is the root of the store, not a file in it.",
            next_step="Objects of this store are files; name one as a scan lists it.",
        )
    above, _, last = object_name.rpartition("/")
    return above or ROOT, component(last)


def find(
    location: str, suffixes: Sequence[str], *, prefixes: Sequence[str] = (), infixes: Sequence[str] = ()
) -> Iterator[str | Skipped]:
    """The files below the root whose names end so, begin so, or hold such a piece, in a stable order.

    Hidden names are passed over, links are never followed.
    A link, a device or a directory with such a name is `Skipped`, and so is a directory that cannot be listed.

    Raises:
        StoreUnreachable: the root is not there.
    """
    beneath.require_root(location)
    endings = tuple(suffix.encode() for suffix in suffixes)
    beginnings = tuple(prefix.encode() for prefix in prefixes)
    pieces = tuple(infix.encode() for infix in infixes)
    pending = [ROOT]
    while pending:
        object_name = pending.pop()
        inner: list[str] = []
        found: list[str | Skipped] = []
        try:
            with beneath.directory(location, object_name) as directory:
                if directory is None:
                    continue
                with os.scandir(directory) as entries:
                    by_name = sorted({entry.name: entry for entry in entries}.items())
                for name, entry in by_name:
                    raw = os.fsencode(name)
                    if raw.startswith(b"."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        inner.append(name)
                    elif raw.endswith(endings) or raw.startswith(beginnings) or any(piece in raw for piece in pieces):
                        seen = entry.stat(follow_symlinks=False)
                        place = below(object_name, name)
                        found.append(
                            place
                            if stat.S_ISREG(seen.st_mode)
                            else Skipped(place, "", f"{kind(seen)}, not a regular file")
                        )
        except (OSError, PathEscape) as error:
            found.append(Skipped(object_name, "", f"the directory cannot be listed: {why(error)}"))
        yield from found
        pending.extend(below(object_name, name) for name in reversed(inner))


@contextmanager
def opened(location: str, object_name: str, *, writing: bool = False) -> Iterator[int | None]:
    """A descriptor of the file that is this object; None where there is no such file.

    Raises:
        PathEscape: the name leads out, or a link stands on the way or in its place.
        StoreUnreachable: the root is not there.
        OSError: it cannot be opened, or is no regular file (EINVAL).
    """
    above, name = split(object_name)
    with beneath.directory(location, above) as directory:
        if directory is None:
            yield None
            return
        file = _open(directory, name, object_name, writing=writing)
        if file is None:
            yield None
            return
        try:
            yield file
        finally:
            os.close(file)


def _open(directory: int, name: bytes, object_name: str, *, writing: bool) -> int | None:
    flags = (os.O_RDWR if writing else os.O_RDONLY) | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        file = os.open(name, flags, dir_fd=directory)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENAMETOOLONG}:
            return None
        if error.errno == errno.ELOOP:
            raise PathEscape(
                f"{object_name!r} is a symbolic link.",
                next_step="Links are never followed. Register the place it points to as a store of its own.",
            ) from None
        if error.errno != errno.EWOULDBLOCK or not stat.S_ISREG(os.stat(name, dir_fd=directory).st_mode):
            raise
        # somebody erases in it, alone: wait, as other readers do
        file = os.open(name, flags & ~os.O_NONBLOCK, dir_fd=directory)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, f"it is {kind(os.stat(name, dir_fd=directory, follow_symlinks=False))}")
    return file


@contextmanager
def alone(file: int) -> Iterator[bool]:
    """Whether nobody else has the file open (`overwriting.claim`); while the block runs, whoever opens it waits."""
    if not overwriting.claim(file):
        yield False
        return
    try:
        yield True
    finally:
        with suppress(OSError):
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def other_names(file: int) -> int:
    """How many hard links the file has besides the one that it was opened by."""
    return max(0, os.fstat(file).st_nlink - 1)


def replace(
    location: str,
    object_name: str,
    write: Callable[[int, int], None],
    *,
    zero: bool = False,
    ranges: Sequence[tuple[int, int]] | None = None,
    last: Callable[[int], None] | None = None,
) -> bool:
    """Put a new file in the place of a shard: `write(old, new)` fills it from two descriptors; whether zeros reached the old bytes.

    Keeps mode and owner. When this returns the new file is on the disk. With `zero`, and on a file system that writes in place,
    the old file's bytes are overwritten before it is removed, and True is returned, but for a file that somebody has open.
    Where only some stretches of it must go, `ranges` (start, end) names them, and the rest is left to the file system.
    `last(old)` is called right before the new file takes its place, and may still raise.

    Raises:
        OSError: the file is gone (ENOENT), the disk is full or does not confirm; the shard is as it was.
        PathEscape, StoreUnreachable: as `opened`.
        Whatever `write` or `last` raises; the shard is as it was.
    """
    above, name = split(object_name)
    with beneath.directory(location, above) as directory:
        if directory is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        sweep(directory, name)
        old = _open(directory, name, object_name, writing=False)
        if old is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        try:
            seen = os.fstat(old)
            keep = zero and overwriting.in_place(os.fstat(directory).st_dev)
            _write_beside(directory, name, old, seen, write)
            try:
                if keep:
                    os.link(name, OLD + name, src_dir_fd=directory, dst_dir_fd=directory)
                if last is not None:
                    last(old)
                os.rename(BESIDE + name, name, src_dir_fd=directory, dst_dir_fd=directory)
            except BaseException:
                with suppress(OSError):
                    sweep(directory, name)
                raise
            os.fsync(directory)
        finally:
            os.close(old)
        return _zero_old(directory, name, ranges) if keep else False


def sweep(directory: int, name: bytes) -> None:
    """Remove what a killed replacement of this file left beside it, the old file's bytes zeroed where they waited for that."""
    with suppress(FileNotFoundError):
        os.unlink(BESIDE + name, dir_fd=directory)
    _zero_old(directory, name)


def sweep_object(location: str, object_name: str) -> None:
    """`sweep` for an object by its name, and on the disk when it returns; nothing where its directory is absent.

    Raises:
        OSError: what is left cannot be removed.
        PathEscape, StoreUnreachable: as `opened`.
    """
    above, name = split(object_name)
    with beneath.directory(location, above) as directory:
        if directory is not None:
            sweep(directory, name)
            os.fsync(directory)


def left_over(location: str, object_name: str) -> bool:
    """Whether a killed replacement left something beside this file: a call of `erase` removes it."""
    above, name = split(object_name)
    with beneath.directory(location, above) as directory:
        if directory is None:
            return False
        for beside in (BESIDE + name, OLD + name):
            with suppress(FileNotFoundError):
                os.stat(beside, dir_fd=directory, follow_symlinks=False)
                return True
    return False


def copy_range(source: int, target: int, start: int, length: int) -> None:
    """Append `length` bytes of `source` from `start` on to `target`, in the kernel where it can.

    Raises:
        OSError: the disk is full; EIO where the source ends before.
    """
    while length:
        moved = _copy_some(source, target, start, min(length, _COPY_BYTES))
        if not moved:
            raise OSError(errno.EIO, "the file ended while it was copied")
        start, length = start + moved, length - moved


def ahead(file: int, start: int, length: int) -> None:
    """Ask the system to read these bytes while the caller does something else: the disk then takes many requests at a time."""
    with suppress(OSError):  # a hint
        os.posix_fadvise(file, start, length, os.POSIX_FADV_WILLNEED)


def _copy_some(source: int, target: int, start: int, length: int) -> int:
    try:
        return os.copy_file_range(source, target, length, offset_src=start)
    except OSError as error:
        if error.errno not in {errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EBADF}:
            raise
    return os.write(target, os.pread(source, min(length, 1 << 20), start))


def _write_beside(
    directory: int, name: bytes, old: int, seen: os.stat_result, write: Callable[[int, int], None]
) -> None:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    new = os.open(BESIDE + name, flags, 0o600, dir_fd=directory)
    try:
        write(old, new)
        os.fchmod(new, stat.S_IMODE(seen.st_mode))
        with suppress(PermissionError):  # another user's file: only root gives files away
            os.fchown(new, seen.st_uid, seen.st_gid)
        os.fsync(new)
    except BaseException:
        with suppress(OSError):
            os.unlink(BESIDE + name, dir_fd=directory)
        raise
    finally:
        os.close(new)


def _zero_old(directory: int, name: bytes, ranges: Sequence[tuple[int, int]] | None = None) -> bool:
    """Zero and remove the file that waits under its old name; whether zeros reached bytes that nobody else had open."""
    waiting = OLD + name
    try:
        seen = os.stat(waiting, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    try:
        current = os.stat(name, dir_fd=directory, follow_symlinks=False)
        still_current = (current.st_dev, current.st_ino) == (seen.st_dev, seen.st_ino)
    except FileNotFoundError:
        still_current = False
    done = False
    if not still_current:  # a kill between the link and the rename leaves two names of the shard itself
        done = _zero_unless_read(directory, waiting, ranges)
    os.unlink(waiting, dir_fd=directory)
    os.fsync(directory)
    return done


def _zero_unless_read(directory: int, waiting: bytes, ranges: Sequence[tuple[int, int]] | None) -> bool:
    """Readers that still have the old file open are to see it whole: its bytes are then left to the file system."""
    file = overwriting.open_for_writing(directory, waiting)
    try:
        with alone(file) as nobody_reads:
            if not nobody_reads:
                return False
            if ranges is None:
                overwriting.zero(file)
            for start, end in ranges or ():
                overwriting.zero_range(file, start, end)
            os.fsync(file)
            return True
    finally:
        os.close(file)


def stamp_of(file: int) -> str:
    """Changes when the whole file is replaced or written to: size, mtime in nanoseconds, inode."""
    seen = os.fstat(file)
    return f"{seen.st_size}-{seen.st_mtime_ns}-{seen.st_ino}"
