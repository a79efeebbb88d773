"""Opens directories below a root, one component at a time, so that no link is followed on the way, however the tree changes.

`openat` with `O_NOFOLLOW | O_DIRECTORY` for each component: a link put in place of a directory a moment ago is seen as a link.
The root itself is the user's choice and may be a link.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from unsee.core.errors import PathEscape, StoreUnreachable
from unsee.stores.names import components, spell

_READ = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PASS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
"""For directories on the way: passing through needs search permission only."""


@contextmanager
def directory(location: str, object_name: str) -> Iterator[int | None]:
    """A descriptor of the directory `object_name` below the root `location`; None where there is no such directory.

    Raises:
        PathEscape: the name leads out, or a link stands on the way.
        StoreUnreachable: the root is not there or cannot be opened.
        OSError: a directory below the root cannot be opened (permission, too many open files, a failing disk).
    Cost: one `openat` for each component.
    """
    parts = components(object_name)
    current = _root(location, _READ if not parts else _PASS)
    try:
        for depth, part in enumerate(parts, start=1):
            flags = (_READ if depth == len(parts) else _PASS) | os.O_NOFOLLOW
            try:
                following = os.open(part, flags, dir_fd=current)
            except OSError as error:
                if error.errno in {errno.ENOENT, errno.ENAMETOOLONG}:
                    break
                if error.errno not in {errno.ENOTDIR, errno.ELOOP}:
                    raise
                _refuse_link(part, current, object_name)
                break
            os.close(current)
            current = following
        else:
            yield current
            return
        yield None
    finally:
        os.close(current)


def require_root(location: str) -> None:
    """Nothing, where the root is there.

    Raises:
        StoreUnreachable: it is not.
    """
    os.close(_root(location, _PASS))


def _root(location: str, flags: int) -> int:
    try:
        return os.open(location, flags)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise StoreUnreachable(
            f"The root {location!r} cannot be opened: {why}.",
            next_step="Mount or restore it and try again; an absent root is never taken for an empty store.",
        ) from error


def _refuse_link(part: bytes, above: int, object_name: str) -> None:
    """Raises PathEscape where `part` is a link; anything else that is no directory means that the object is absent."""
    try:
        mode = os.stat(part, dir_fd=above, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(mode):
        raise PathEscape(
            f"{object_name!r} leads through the symbolic link {spell(part)!r}.",
            next_step="Links are never followed. Register the place it points to as a store of its own.",
        )
