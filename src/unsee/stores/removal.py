"""Removes files from one open directory, so ordered that a kill anywhere leaves work that the same call finishes.

Without overwriting: unlink, then flush the directory. With it, a file first moves to the directory `.unsee-erasing` beside it: no
reader ever sees it half zeroed under its own name, and after a kill the same call finds it there by its name. Then flush both
directories, zeros, flush, unlink, and at last remove `.unsee-erasing` and flush again. What waits there is listed by a scan like
any other member, and found by a probe.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from unsee.core.evidence import Gone
from unsee.stores import overwriting
from unsee.stores.contract import Erased, Kept, Target
from unsee.stores.names import spell

WAITING = ".unsee-erasing"
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a fifo",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
}


def stamp(seen: os.stat_result) -> str:
    """Changes when the bytes are replaced: size, mtime in nanoseconds, inode."""
    return f"{seen.st_size}-{seen.st_mtime_ns}-{seen.st_ino}"


def kind(seen: os.stat_result) -> str:
    """What an entry is, in words."""
    return _KINDS.get(stat.S_IFMT(seen.st_mode), "something else")


def why(error: Exception) -> str:
    """What went wrong, in the system's words and without the path, which the caller names as the books spell it."""
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)


def look_at(directory: int, name: bytes) -> os.stat_result | None:
    """The entry itself, never what it points to; None where there is none.

    Raises:
        OSError: the entry cannot be looked at.
    """
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # this file system cannot hold such a name
            return None
        raise


def remove(directory: int, wanted: Mapping[bytes, Target], *, overwrite: bool) -> Erased:
    """Remove the `wanted` names from the open `directory` and flush it. Failures are `Kept`; nothing is raised for one member."""
    work = _Removal(directory, overwrite=overwrite and overwriting.in_place(os.fstat(directory).st_dev))
    try:
        work.judge(wanted)
        work.drop_spare_links()
        work.carry_out()
        work.flush()
    finally:
        if work.waiting is not None:
            os.close(work.waiting)
    return work.outcome(wanted)


@dataclass(slots=True)
class _Removal:
    directory: int
    overwrite: bool
    zeroed: bool = True
    """Whether zeros could be written over each file that was to be overwritten: not under a reader."""
    waiting: int | None = None
    """Descriptor of `.unsee-erasing`, where it exists."""
    going: list[bytes] = field(default_factory=list)
    half_done: list[bytes] = field(default_factory=list)
    """Names that an earlier, killed call left in `.unsee-erasing`."""
    covered: list[list[bytes]] = field(default_factory=list)
    """Files with hard links, all of which are wanted: their names."""
    absent: set[bytes] = field(default_factory=set)
    kept: dict[bytes, str] = field(default_factory=dict)

    def judge(self, wanted: Mapping[bytes, Target]) -> None:
        """Sort the names by what is to be done with them; changes nothing on the disk."""
        self.waiting = _open_waiting(self.directory)
        linked: dict[tuple[int, int], list[bytes]] = {}
        counts: dict[tuple[int, int], int] = {}
        for name, target in wanted.items():
            try:
                seen = look_at(self.directory, name)
                half = look_at(self.waiting, name) if self.waiting is not None else None
            except OSError as error:
                self.kept[name] = f"it cannot be looked at: {why(error)}"
                continue
            if half is not None:
                if stat.S_ISREG(half.st_mode) and half.st_nlink == 1:
                    self.half_done.append(name)
                else:
                    self.kept[name] = f"what waits in {WAITING} under this name is not a file of its own"
                    continue
            if seen is None:
                if half is None:
                    self.absent.add(name)
            elif not stat.S_ISREG(seen.st_mode):
                self.kept[name] = f"it is {kind(seen)}, not a regular file"
            elif target.stamp is not None and target.stamp != stamp(seen):
                self.kept[name] = "it changed after it was listed"
            elif seen.st_nlink == 1:
                self.going.append(name)
            else:
                inode = (seen.st_dev, seen.st_ino)
                linked.setdefault(inode, []).append(name)
                counts[inode] = seen.st_nlink
        for inode, names in linked.items():
            others = counts[inode] - len(names)
            if others <= 0:
                self.covered.append(names)
                continue
            for name in names:
                self.kept[name] = (
                    f"it has {others} other hard link{'s' * (others > 1)} outside this request, which would still hold its bytes "
                    f"(inode {inode[1]}: find ROOT -inum {inode[1]})"
                )

    def drop_spare_links(self) -> None:
        """Of files whose every name is wanted, unlink all names but the first; that one goes the way of ordinary files."""
        for names in self.covered:
            main, *spare = names
            self.going.append(main)
            for name in spare:
                try:
                    os.unlink(name, dir_fd=self.directory)
                except FileNotFoundError:
                    pass
                except OSError as error:
                    self.kept[name] = why(error)
                    self.kept[main] = f"{spell(name)!r} could not be removed and still holds its bytes"

    def carry_out(self) -> None:
        """Remove what is going, and what an earlier call left half done."""
        self._finish(self.half_done)
        going = [name for name in self.going if name not in self.kept]
        if not self.overwrite:
            self._unlink(self.directory, going)
        elif going and self._make_waiting(going):
            self._finish([name for name in going if self._hide(name)], flush=True)
        for names in self.covered:
            if names[0] in self.kept:
                for name in names[1:]:
                    self.kept.setdefault(name, f"{spell(names[0])!r} is kept and still holds its bytes")

    def flush(self) -> None:
        """Wait until the directory is on the disk. Where the disk does not confirm, nothing counts as done."""
        try:
            if self.waiting is not None:
                try:
                    os.rmdir(WAITING, dir_fd=self.directory)
                except OSError:  # something else waits there, and stays
                    _flush(self.waiting)
            _flush(self.directory)
        except OSError as error:
            for name in (
                *self.going,
                *self.half_done,
                *self.absent,
                *(name for names in self.covered for name in names),
            ):
                self.kept.setdefault(name, f"it was removed, but the disk did not confirm: {why(error)}")

    def outcome(self, wanted: Mapping[bytes, Target]) -> Erased:
        """Every target in exactly one of the three, in the order of the request."""
        erased: list[str] = []
        absent: list[str] = []
        kept: list[Kept] = []
        for name, target in wanted.items():
            if name in self.kept:
                kept.append(Kept(target.selector, self.kept[name]))
            elif name in self.absent:
                absent.append(target.selector)
            else:
                erased.append(target.selector)
        return Erased(tuple(erased), tuple(absent), tuple(kept), Gone.D3 if self.overwrite and self.zeroed else Gone.D2)

    def _make_waiting(self, going: Iterable[bytes]) -> bool:
        try:
            if self.waiting is None:
                os.mkdir(WAITING, 0o700, dir_fd=self.directory)
                self.waiting = _open_waiting(self.directory)
        except OSError as error:
            for name in going:
                self.kept[name] = f"{WAITING} cannot be made beside it: {why(error)}"
            return False
        return self.waiting is not None

    def _hide(self, name: bytes) -> bool:
        try:
            os.rename(name, name, src_dir_fd=self.directory, dst_dir_fd=self.waiting)
        except (
            OSError
        ) as error:  # "not there" may mean that another eraser has just removed the place it should move to
            self.kept[name] = f"it cannot be moved to {WAITING}: {why(error)}"
            return False
        return True

    def _finish(self, names: list[bytes], *, flush: bool = False) -> None:
        """Zero and unlink what waits. `flush` first, after moves: zeros must not reach the disk before the new place does."""
        if not names or self.waiting is None:
            return
        try:
            if flush:
                _flush(self.waiting)
                _flush(self.directory)
            failed, read_by_others = overwriting.overwrite(self.waiting, names) if self.overwrite else ({}, set())
        except OSError as error:
            failed, read_by_others = dict.fromkeys(names, error), set()
        self.zeroed = self.zeroed and not read_by_others
        for name, failure in failed.items():
            self.kept[name] = f"it waits in {WAITING}; it could not be overwritten: {why(failure)}"
        self._unlink(self.waiting, [name for name in names if name not in failed])

    def _unlink(self, directory: int, names: Iterable[bytes]) -> None:
        unlink = os.unlink
        for name in names:
            try:
                unlink(name, dir_fd=directory)
            except FileNotFoundError:
                self.absent.add(name)  # someone else removed it just now
            except OSError as error:
                self.kept[name] = why(error)


def _open_waiting(directory: int) -> int | None:
    try:
        return os.open(WAITING, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
            return None
        raise


def _flush(directory: int) -> None:
    """fsync; where the file system does not offer it for directories, flush everything.

    Raises:
        OSError: the disk does not confirm.
    """
    try:
        os.fsync(directory)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
        os.sync()
