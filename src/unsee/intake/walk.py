"""The photos of a folder that a user hands over, and nothing outside it.

The folder is hostile: links lead out, pipes block, names are not text. What is no plain file is left out, by name and with the
reason.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from unsee.core.errors import InputError


class FolderUnreadable(InputError):
    """The folder that was handed over cannot be listed."""

    code = "INP-012"

    def __init__(self, folder: Path, why: str) -> None:
        super().__init__(f"The folder {folder} cannot be read: {why}.", next_step="Name a folder that holds photos.")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something in the folder that is no candidate, and why."""

    file: str
    reason: str
    expected: bool = False
    """A hidden file or the metadata file; the rest is worth a look."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Names of files relative to the folder, with `/`, in a stable order; and all that was left out."""

    folder: str
    files: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


def list_folder(folder: Path, *, metadata: Path | None = None) -> Listing:
    """The regular files below `folder`, sorted by name; no link is followed.

    Args:
        folder: what the user hands over; it may itself be reached through a link.
        metadata: the metadata file, which is no photo.
    Raises:
        FolderUnreadable: it is not there or not a folder.
    Cost: one `stat` for each entry; 0.3 kB of memory for each file.
    """
    try:
        root = folder.resolve(strict=True)
        if not root.is_dir():
            raise FolderUnreadable(folder, "it is not a folder")
        with os.scandir(root):
            pass
    except OSError as error:
        raise FolderUnreadable(folder, error.strerror or str(error)) from error
    itself = metadata.resolve() if metadata else None
    files: list[str] = []
    left_out: list[LeftOut] = []
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        try:
            with os.scandir(root / inside) as entries:
                found = list(entries)
        except OSError as error:
            left_out.append(LeftOut(inside, f"the folder cannot be listed: {error.strerror}"))
            continue
        for entry in found:
            name = f"{inside}/{entry.name}" if inside else entry.name
            kind = _judge(entry, itself)
            if kind is None:
                files.append(name)
            elif kind == "folder":
                waiting.append(name)
            else:
                left_out.append(LeftOut(printable(name), kind, kind in _EXPECTED))
    return Listing(str(root), tuple(sorted(files)), tuple(sorted(left_out, key=lambda one: one.file)))


_HIDDEN = "its name is hidden (it begins with a dot)"
_METADATA = "it is the metadata file"
_EXPECTED = frozenset({_HIDDEN, _METADATA})


def _judge(entry: os.DirEntry[str], metadata: Path | None) -> str | None:
    """None for a candidate, `folder` for one to go into, else why it is left out."""
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    if entry.name.startswith("."):
        return _HIDDEN
    if entry.is_symlink():
        return "it is a link; links are not followed"
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    if not entry.is_file(follow_symlinks=False):
        return "it is not a regular file"
    if metadata is not None and Path(entry.path) == metadata:
        return _METADATA
    return None


def printable(name: str) -> str:
    """The name as text that can be printed and stored: what is not UTF-8 is escaped."""
    return name.encode("utf-8", "backslashreplace").decode()


def escape_of(name: str) -> str | None:
    """Why a name out of a metadata file cannot lie inside the folder; None when it can."""
    if "\0" in name:
        return "the name holds a NUL character"
    path = PurePosixPath(name)
    if path.is_absolute():
        return "the name is an absolute path"
    if ".." in path.parts:
        return "the name leads out of the folder"
    return None


class NotReadable(OSError):
    """A file cannot be read inside its folder; the text says why."""


def read_file(folder: str, name: str, *, limit_bytes: int) -> bytes:
    """The bytes of one file of the folder, at most one more than `limit_bytes`, so that the caller sees when it is too large.

    Each part of the path is opened without following links, so a link put there after the listing leads nowhere either.

    Raises:
        NotReadable: it is not there, is no regular file, is not permitted, or its name leads out of the folder.
    """
    why = escape_of(name)
    if why is not None:
        raise NotReadable(why)
    *folders, last = PurePosixPath(name).parts or ("",)
    at = -1
    try:
        at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for part in folders:
            deeper = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = deeper
        handle = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
        with os.fdopen(handle, "rb", buffering=0):
            return _read(handle, limit_bytes)
    except NotReadable:
        raise
    except OSError as error:
        raise NotReadable(f"it cannot be read: {error.strerror}") from error
    finally:
        if at >= 0:
            os.close(at)


def _read(handle: int, limit_bytes: int) -> bytes:
    """Up to `limit_bytes` + 1 bytes of a regular file; one read where the file is as large as it says."""
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        raise NotReadable("it is not a regular file")
    expected, most = min(status.st_size, limit_bytes) + 1, limit_bytes + 1
    data = os.read(handle, expected)
    if len(data) < expected:
        return data
    parts = [data]
    while sum(map(len, parts)) < most and (more := os.read(handle, min(1 << 20, most - sum(map(len, parts))))):
        parts.append(more)
    return b"".join(parts)
