"""Keeps programs from writing to a file while it is replaced: what they write afterwards would go to the old one, and be lost."""

from __future__ import annotations

import fcntl
import signal

from unsee.core.errors import StoreError

_F_SETSIG = 10
"""fcntl(2) on Linux; the module `fcntl` has no name for it."""


def keep_out(file: int) -> None:
    """Nothing, where no program has the file open for writing; from now on one that opens it so waits, 45 s at most.

    By a read lease (fcntl(2), F_SETLEASE). A program that had the file open for writing would go on writing to the old one,
    and what it writes would be lost.

    Raises:
        StoreError: somebody has, or the file system cannot say.
    """
    try:
        fcntl.fcntl(file, _F_SETSIG, signal.SIGURG)  # told of a waiting writer by a signal that nobody minds
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        raise StoreError(
            "a program has it open for writing, and what it writes while it is replaced would be lost; "
            "close it there (those that only read can open it for reading only), and try again"
        ) from None
    except OSError as error:
        raise StoreError(
            f"whether a program has the file open for writing cannot be seen here: {error.strerror}"
        ) from error


def still_out(file: int) -> None:
    """Nothing, where the lease was not broken.

    Raises:
        StoreError: a program opens the file for writing: it would get the old one.
    """
    if fcntl.fcntl(file, fcntl.F_GETLEASE) != fcntl.F_RDLCK:
        raise StoreError("a program opened the file for writing meanwhile; try again when it is done")
