"""The files below a root as raw bytes: for the search for residue, which trusts no format."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from unsee.core.errors import PathEscape
from unsee.stores import beneath
from unsee.stores.contract import RawPart, Skipped
from unsee.stores.names import ROOT, below, spell
from unsee.stores.removal import kind, why

PIECE_BYTES = 4 << 20
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def parts(location: str) -> Iterator[RawPart | Skipped]:
    """Every regular file at or below `location`, a directory or a single file, by name; links are not followed.

    What cannot be opened or listed is `Skipped`. Memory: one piece and the names of one directory.

    Raises:
        StoreUnreachable: there is nothing at `location`.
    """
    if (path := Path(location)).is_file():
        yield from _look(str(path.parent), ROOT, path.name) or ()
        return
    beneath.require_root(location)
    pending = [ROOT]
    while pending:
        object_name = pending.pop()
        try:
            with beneath.directory(location, object_name) as directory:
                if directory is None:
                    continue  # taken away since it was listed: it is not there any more
                with os.scandir(directory) as entries:
                    names = sorted(entry.name for entry in entries)
        except (OSError, PathEscape) as error:
            yield Skipped(object_name, "", f"the directory cannot be listed: {why(error)}")
            continue
        inner = []
        for name in names:
            found = _look(location, object_name, name)
            if found is None:
                inner.append(name)
            else:
                yield from found
        pending.extend(below(object_name, name) for name in reversed(inner))


def _look(location: str, object_name: str, name: str) -> list[RawPart | Skipped] | None:
    """The part that this entry is; None where it is a directory."""
    selector = spell(os.fsencode(name))
    try:
        with beneath.directory(location, object_name) as directory:
            if directory is None:
                return []
            seen = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if stat.S_ISDIR(seen.st_mode):
                return None
            if not stat.S_ISREG(seen.st_mode):
                return [Skipped(object_name, selector, f"{kind(seen)}, not a regular file")]
            file = os.open(name, _FLAGS, dir_fd=directory)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return []
        return [Skipped(object_name, selector, why(error))]
    return [RawPart(f"{object_name}/{selector}", _pieces(file))]


def _pieces(file: int) -> Iterator[bytes]:
    with os.fdopen(file, "rb", buffering=0) as opened:
        while piece := opened.read(PIECE_BYTES):
            yield piece
