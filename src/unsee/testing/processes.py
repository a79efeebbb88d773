"""Other processes for tests: fresh interpreters, children without privileges, and what became of a function there."""

from __future__ import annotations

import ctypes
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from unsee.testing.faults import ChildFailed, in_helper

T = TypeVar("T")

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_CAPABILITY_VERSION_3 = 0x20080522  # capset(2), linux/capability.h
_OVER_PERMISSIONS = 0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


class FreshProcess:
    """A new interpreter, which remembers nothing of this one. It runs one function at a time; use it as a context manager."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        down, up = os.pipe(), os.pipe()
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"import sys; sys.path[:] = {sys.path!r}; "
                f"from unsee.testing.processes import _serve; _serve({down[0]}, {up[1]})",
            ],
            pass_fds=(down[0], up[1]),
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONWARNINGS": "ignore", **(environment or {})},
        )
        os.close(down[0])
        os.close(up[1])
        self._requests = Connection(down[1], readable=False)
        self._answers = Connection(up[0], writable=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._requests.close()
        self._answers.close()
        self._process.kill()
        self._process.wait()

    def start(self, function: Callable[[], object]) -> None:
        """Begin to run a picklable function there; `answer` waits for its end."""
        self._requests.send_bytes(pickle.dumps(function))

    def ended(self) -> bool:
        """Whether the function, or the process, has ended; `answer` then returns or raises at once."""
        return self._answers.poll()

    def answer(self, timeout_s: float = 120.0) -> Any:
        """What the function returned.

        Raises:
            ChildFailed: it raised, hung or ended the process.
        """
        if not self._answers.poll(timeout_s):
            raise ChildFailed(f"the process took more than {timeout_s} s")
        try:
            outcome = Outcome.read(self._answers.recv_bytes())
        except EOFError:
            raise ChildFailed("the process ended") from None
        if outcome.raised is not None:
            raise ChildFailed("the function failed:\n" + outcome.words)
        return outcome.returned


def in_fresh_process(function: Callable[[], T], *, timeout_s: float = 120.0) -> T:
    """`function()`, run by a new interpreter; what it returns.

    Raises:
        ChildFailed: it raised, hung or ended the process.
    """
    with FreshProcess() as process:
        process.start(function)
        answer: T = process.answer(timeout_s)
    return answer


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a function in another process."""

    modules: tuple[str, ...]
    """Those that it imported while it ran."""
    returned: object
    raised: BaseException | None
    words: str
    """The traceback."""

    @classmethod
    def of(cls, function: Callable[[], object], *, first: Callable[[], None] | None = None) -> bytes:
        """Run it here, after `first`, and say how it ended in bytes that `read` takes."""
        before = set(sys.modules)
        returned: object = None
        raised: BaseException | None = None
        words = ""
        try:
            if first is not None:
                first()
            returned = function()
        except BaseException as error:
            raised, words = error, traceback.format_exc()
        modules = tuple(name for name in sys.modules if name not in before)
        try:
            whole = pickle.dumps((modules, returned, raised, words))
            pickle.loads(whole)  # noqa: S301  exceptions whose arguments differ from their constructor's fail only here
        except Exception:
            raised = ChildFailed(words or f"the function returned {returned!r}, which cannot be pickled")
            return pickle.dumps((modules, None, raised, str(raised)))
        return whole

    @classmethod
    def read(cls, written: bytes) -> Outcome:
        """What `of` wrote."""
        return cls(*pickle.loads(written))  # noqa: S301  from a process of our own


def as_an_ordinary_user(function: Callable[[], object], *, timeout_s: float = 60.0) -> Outcome:
    """Run a picklable function in a child to which permissions apply even where the test runs as root.

    The child keeps its user, so it still owns its files, and gives up the capabilities that overrule read and write permissions.
    """
    written: bytes = in_helper(_unprivileged, function, timeout_s)
    return Outcome.read(written)


def read_only(root: Path) -> Callable[[], None]:
    """Take the permission to write from everything at and below `root`; the function that gives it back."""
    everything = [root, *root.rglob("*")] if root.is_dir() else [root]
    modes = [(path, path.stat().st_mode) for path in everything if not path.is_symlink()]
    for path, mode in modes:
        path.chmod(mode & ~0o222)

    def undo() -> None:
        for path, mode in modes:
            with suppress(FileNotFoundError):
                path.chmod(mode)

    return undo


def _unprivileged(function: Callable[[], object], timeout_s: float) -> bytes | str:
    """In the helper."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with Connection(writing, readable=False) as words:
            words.send_bytes(Outcome.of(function, first=_give_up_privileges))
        os._exit(0)
    os.close(writing)
    try:
        with Connection(reading, writable=False) as words, suppress(EOFError):
            if not words.poll(timeout_s):
                os.kill(child, 9)
                return f"the child took more than {timeout_s} s"
            return words.recv_bytes()
        return "the child said nothing"
    finally:
        os.waitpid(child, 0)


def _give_up_privileges() -> None:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice, for the numbers from 32 on
    if _LIBC.capget(header, sets) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    for n in range(3):
        sets[n] &= ~_OVER_PERMISSIONS
    if _LIBC.capset(header, sets) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _serve(requests_fd: int, answers_fd: int) -> None:
    """The fresh process's life."""
    requests, answers = Connection(requests_fd, writable=False), Connection(answers_fd, readable=False)
    with suppress(EOFError):
        while True:
            written = requests.recv_bytes()
            answers.send_bytes(Outcome.of(lambda sent=written: pickle.loads(sent)()))  # type: ignore[misc]  # noqa: S301
