"""A directory tree: each directory is an object, each regular file in it a member.

Objects are paths relative to the root in POSIX form (`.` for the root itself), selectors are file names; `names` says how they are
spelled. Links are never followed, neither last nor on the way. Nothing is held open between calls.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from unsee.core.errors import PathEscape, StoreError
from unsee.core.evidence import Gone
from unsee.core.ids import StoreId
from unsee.stores import beneath, emptying, overwriting, rawfiles, removal
from unsee.stores.contract import Capability, Erased, HeldVersion, Kept, Member, RawPart, Residue, Skipped, Target
from unsee.stores.names import ROOT, below, component, components, spell
from unsee.stores.options import know, truth
from unsee.stores.removal import kind, look_at, stamp, why

DEEPEST = 2048
"""Directories below each other that a scan goes down; more cannot be addressed by a path of 4,096 bytes."""
LIMITS: tuple[str, ...] = (
    "Snapshots, backups and replicas of the file system are not seen and not touched.",
    "The blocks of an erased file hold its bytes until the file system reuses or trims them; so may its journal.",
    "A solid-state disk may keep old blocks that no program can address.",
    "A process that had the file open when it was erased can read it until it closes it.",
    "File names stay in the blocks of their directory until others take their place; empty directories stay, with their names.",
    "A file that is replaced between the look at its stamp and its removal, microseconds later, is removed.",
    "A file with hard links outside the same request is kept: the other names would still hold its bytes.",
)


@dataclass(frozen=True, slots=True)
class FileStore:
    """A directory tree as a store.

    With `overwrite`, the bytes of a file are overwritten with zeros before it is removed, and D3 is claimed, on file systems that
    write in place (ext2, ext3, ext4 without data=journal, vfat, exfat). On others zeros would reach other blocks than those that
    held the bytes: the file is removed as without `overwrite`, and D2 claimed.
    """

    id: StoreId
    location: str
    overwrite: bool = False

    def capability(self) -> Capability:
        """What it can do, and what it cannot."""
        limits = LIMITS
        best = Gone.D2
        if self.overwrite:
            with beneath.directory(self.location, ROOT) as root:
                found = overwriting.file_system(os.fstat(_there(root)).st_dev)
                if overwriting.in_place(os.fstat(_there(root)).st_dev):
                    best = Gone.D3
                else:
                    system = found[0] if found else "unknown"
                    limits = (
                        f"Overwriting was asked for, but this file system ({system}) may write elsewhere.",
                        *LIMITS,
                    )
        method = (
            "overwritten with zeros, then unlinked" if best is Gone.D3 else "unlinked; the directory reached the disk"
        )
        return Capability(kind="files", best_gone=best, keeps_history=False, limits=limits, method=method)

    def scan(self) -> Iterator[Member | Skipped]:
        """Every file, directory by directory, parents first, both by name. No directory is open while the caller works.

        A directory that cannot be listed is a `Skipped` with an empty selector; so is one that a program took away or put a link
        in place of meanwhile, and one deeper than `DEEPEST`.

        Cost: one `fstatat` a file, one `openat` a component of each directory's path; memory: the largest directory's names.
        """
        beneath.require_root(self.location)
        pending = [ROOT]
        while pending:
            object_name = pending.pop()
            if object_name.count("/") >= DEEPEST:
                yield Skipped(object_name, "", f"more than {DEEPEST:,} directories deep, not looked into")
                continue
            try:
                found, inner = self._list(object_name)
            except (OSError, PathEscape) as error:
                yield Skipped(object_name, "", f"the directory cannot be listed: {why(error)}")
                continue
            yield from found
            pending.extend(below(object_name, name) for name in reversed(inner))

    def _list(self, object_name: str) -> tuple[list[Member | Skipped], list[str]]:
        with beneath.directory(self.location, object_name) as directory:
            if directory is None:
                raise FileNotFoundError(errno.ENOENT, "it went away while the store was listed")
            with os.scandir(directory) as entries:
                by_name = sorted({entry.name: entry for entry in entries}.items())
            found: list[Member | Skipped] = []
            inner: list[str] = []
            for name, entry in by_name:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        inner.append(name)
                        continue
                    seen = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # removed since the directory was read: it is not in the store
                except OSError as error:
                    found.append(Skipped(object_name, spell(os.fsencode(name)), why(error)))
                    continue
                selector = spell(os.fsencode(name))
                if stat.S_ISREG(seen.st_mode):
                    found.append(Member(object_name, selector, seen.st_size, stamp(seen)))
                else:
                    found.append(Skipped(object_name, selector, f"{kind(seen)}, not a regular file"))
        return found, inner

    def read(self, object_name: str, selector: str, *, limit_bytes: int | None = None) -> bytes:
        """The bytes of one file. A device or fifo is never opened.

        Raises:
            PathEscape: the name leads out of the store.
            StoreError: it is not there, is no regular file, is larger than `limit_bytes`, or cannot be read.
        """
        name = component(selector)
        try:
            with beneath.directory(self.location, object_name) as directory:
                if directory is None:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
                data = _read(directory, name, limit_bytes)
        except OSError as error:
            raise StoreError(
                f"{self.id}: {selector!r} in {object_name!r} cannot be read: {why(error)}.",
                next_step="Scan the store again to see what is there.",
            ) from error
        if limit_bytes is not None and len(data) > limit_bytes:
            raise StoreError(f"{self.id}: {selector!r} in {object_name!r} is larger than {limit_bytes:,} bytes.")
        return data

    def stamps(self, object_name: str, selectors: Sequence[str]) -> list[str | None]:
        """The present stamp of each file (`size-mtime_ns-inode`), None where there is no regular file of that name."""
        names = [component(selector) for selector in selectors]
        return [stamp(seen) if seen and stat.S_ISREG(seen.st_mode) else None for seen in self._look(object_name, names)]

    def erase(self, object_name: str, targets: Sequence[Target]) -> Erased:
        """Remove the files from the directory and flush the directory once.

        What cannot be removed is `Kept` with its reason and stops nothing else. A file with hard links is removed only when all
        its names are among the targets of this call; otherwise it keeps its name, because the bytes would stay reachable by the
        others, and a later call that finds the name gone could not know. When the disk does not confirm, nothing is called erased.

        Cost: `fstatat` + `unlinkat` a file; with `overwrite` two renames' worth more, the bytes, and one flush a file.
        """
        wanted: dict[bytes, Target] = {}
        doubtful: dict[bytes, Kept] = {}
        for target in targets:
            name = component(target.selector)
            if wanted.setdefault(name, target) != target:
                doubtful[name] = Kept(target.selector, "it is listed twice, with different stamps")
        for name in doubtful:
            del wanted[name]
        try:
            with beneath.directory(self.location, object_name) as directory:
                if directory is None:
                    done = Erased((), tuple(target.selector for target in wanted.values()), (), Gone.D2)
                else:
                    done = removal.remove(directory, wanted, overwrite=self.overwrite)
        except OSError as error:
            reason = f"its directory cannot be opened: {why(error)}"
            done = Erased((), (), tuple(Kept(target.selector, reason) for target in wanted.values()), Gone.D2)
        return replace(done, kept=(*done.kept, *doubtful.values())) if doubtful else done

    def probe(self, object_name: str, selectors: Sequence[str]) -> tuple[Residue, ...]:
        """Which names are there again or still, whatever they are now, and which files wait half overwritten.

        Raises:
            StoreError: the directory or an entry cannot be looked at; not seeing is not the same as not there.
        """
        names = [component(selector) for selector in selectors]
        half = below(object_name, removal.WAITING)
        left: list[Residue] = []
        for where, found in (("current", self._look(object_name, names)), (half, self._look(half, names))):
            for selector, seen in zip(selectors, found, strict=True):
                if seen is not None:
                    left.append(Residue(selector, where if stat.S_ISREG(seen.st_mode) else f"{where}: {kind(seen)}"))
        return tuple(left)

    def raw(self) -> Iterator[RawPart | Skipped]:
        """Every file, whatever it is called, what waits half overwritten included."""
        return rawfiles.parts(self.location)

    def tidy(self, object_names: Sequence[str]) -> tuple[str, ...]:
        """Remove directories that are empty, and the directories above that this empties, never the root."""
        return emptying.remove_empty(self.location, object_names)

    def history(self, object_name: str) -> tuple[HeldVersion, ...]:
        """None: plain files have no versions that this store can reach. The limits name what it cannot."""
        components(object_name)
        return ()

    def _look(self, object_name: str, names: Sequence[bytes]) -> list[os.stat_result | None]:
        try:
            with beneath.directory(self.location, object_name) as directory:
                return [look_at(directory, name) if directory is not None else None for name in names]
        except OSError as error:
            raise StoreError(
                f"{self.id}: {object_name!r} cannot be looked at: {why(error)}.",
                next_step="Give unsee the permission to search this directory, or mend the disk, and try again.",
            ) from error


def open_files(id: StoreId, location: str, options: Mapping[str, str]) -> FileStore:
    """Opens stores of kind `files`.

    Raises:
        InvalidValue: an option is unknown or holds what it cannot hold.
    """
    know(options, kind="files", known={"overwrite"})
    return FileStore(id, location, overwrite=truth(options, "overwrite"))


def _read(directory: int, name: bytes, limit_bytes: int | None) -> bytes:
    """At most one byte more than the limit, so that the caller sees that there is more."""
    seen = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if not stat.S_ISREG(seen.st_mode):
        raise OSError(errno.EINVAL, f"it is {kind(seen)}")
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, dir_fd=directory), "rb") as file:
        return file.read(-1 if limit_bytes is None else limit_bytes + 1)


def _there(directory: int | None) -> int:
    if directory is None:
        raise StoreError("The root of the store went away.", next_step="Mount or restore it and try again.")
    return directory
