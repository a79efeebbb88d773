"""Writing a file so that a kill at any instruction leaves either the old one or the new one."""

from __future__ import annotations

import os
from pathlib import Path


def write_file(path: Path, data: bytes, *, mode: int = 0o644, replace: bool = True) -> None:
    """Put `data` at `path`: temporary file in the same directory, fsync, rename, fsync of the directory.

    Args:
        path: where; its directory is made when it is not there.
        data: all of the file.
        mode: permission bits, set before the first byte is written.
        replace: whether a file that is there already gives way.
    Raises:
        FileExistsError: `replace` is off and something is there; it is untouched.
    """
    make_directory(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        os.fchmod(descriptor, mode)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        if replace:
            temporary.replace(path)
        else:
            os.link(temporary, path)  # fails where something is there, which a rename would not
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def make_directory(path: Path) -> None:
    """Make `path` and what is missing above it, and see that the new names have reached the disk."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for directory in reversed(missing):
        directory.mkdir(exist_ok=True)
        sync_directory(directory.parent)


def sync_directory(path: Path) -> None:
    """See that the names in a directory have reached the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
