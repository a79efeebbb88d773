"""Takes directories away that hold nothing any more: their names may name people."""

from __future__ import annotations

import os
from collections.abc import Iterable

from unsee.stores import beneath
from unsee.stores.names import ROOT, component


def remove_empty(location: str, object_names: Iterable[str]) -> tuple[str, ...]:
    """Remove those of the directories that are empty, and the directories above that this empties, never the root; the names."""
    gone: list[str] = []
    # Deepest first, so that a directory is judged after those below it.
    waiting = sorted(set(object_names) - {ROOT}, key=lambda name: (-name.count("/"), name))
    while waiting:
        name = waiting.pop(0)
        above, _, last = name.rpartition("/")
        if _remove(location, above or ROOT, last):
            gone.append(name)
            if above and above not in waiting:
                waiting = sorted([*waiting, above], key=lambda n: (-n.count("/"), n))
    return tuple(gone)


def _remove(location: str, above: str, last: str) -> bool:
    try:
        with beneath.directory(location, above) as directory:
            if directory is None:
                return False
            os.rmdir(component(last), dir_fd=directory)
            os.fsync(directory)
    except OSError:  # it holds something, is gone, or may not be removed: in each case it stays as it is
        return False
    return True
