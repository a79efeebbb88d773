"""Kills a function at each of its calls that write, so that a test can look at what is left and resume.

The function runs in a forked child of a small helper process, where hooks count the calls from Python into C that change files or
databases (`WRITES`), and files opened for writing. At the n-th the child sends itself SIGKILL, before the call or just after it.
The helper is a fresh interpreter with one thread, so forking it is safe and cheap (a few milliseconds), whatever threads the test
process has. Modules that the function imports while it runs are imported anew in each child; import them at the top of the module.

What the hooks cannot see: calls made by C code on its own, such as the writes inside one `sqlite3` commit or one Arrow
`write_table`. The kill comes before or after them. `unsee.testing.syscalls` sees them all.

::

    for killed in kill_everywhere(partial(store.erase, "a", targets), reset=make_the_world_anew):
        ...                       # look at what the kill left; resume; look again
"""

from __future__ import annotations

import atexit
import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, Literal

When = Literal["before", "after"]

WRITES: Final = frozenset(
    f"{owner}.{call}"
    for owner, calls in {
        "posix": "mkdir rmdir unlink remove rename replace link symlink truncate ftruncate write writev pwrite pwritev fsync "
        "fdatasync sync sendfile copy_file_range posix_fallocate utime chmod fchmod chown fchown mknod mkfifo setxattr removexattr "
        "posix_spawn",
        "_io.FileIO": "write writelines truncate close __exit__",
        "_io.BufferedWriter": "write writelines truncate flush close __exit__",
        "_io.BufferedRandom": "write writelines truncate flush close __exit__",
        "_io.TextIOWrapper": "write writelines truncate flush close __exit__",
        "mmap.mmap": "flush write",
        "_sqlite3.Connection": "execute executemany executescript commit rollback close __exit__",
        "sqlite3.Connection": "execute executemany executescript commit rollback close __exit__",
        "sqlite3.Cursor": "execute executemany executescript",
        "_posixsubprocess": "fork_exec",
    }.items()
    for call in calls.split()
)
"""The calls that count, as `module.function` or `module.Type.method`. Pass others as `watched`."""
OPEN_TO_WRITE: Final = "open to write"
"""How a file opened with a writing flag is named among the calls. It always counts."""
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass(frozen=True, slots=True)
class Killed:
    """The child died of SIGKILL at its `n`-th counted call."""

    n: int
    when: When
    call: str


@dataclass(frozen=True, slots=True)
class Completed:
    """The function returned before its n-th counted call; `calls` are those it made, in order."""

    calls: tuple[str, ...]


class ChildFailed(AssertionError):
    """The function raised, hung, or ended its process; the message holds the child's traceback."""


def run_killed_at(
    function: Callable[[], object],
    n: int,
    *,
    when: When = "before",
    watched: frozenset[str] = WRITES,
    timeout_s: float = 60.0,
) -> Killed | Completed:
    """Run `function()` in a child process that is killed at its `n`-th counted call (from 1).

    Args:
        function: picklable: a top-level function, or a `functools.partial` or bound method with picklable parts.
        n: 0 kills never, to see which calls there are.
        when: before the call has any effect, or when it has returned.
        watched: the calls that count.
        timeout_s: how long the child may take.
    Raises:
        ChildFailed: the function raised, hung, or ended otherwise.
    """
    outcome: Killed | Completed = in_helper(_fork, function, n, when, watched, timeout_s)
    return outcome


def in_helper(work: Callable[..., object], function: Callable[[], object], *request: object) -> Any:
    """`work(function, *request)`, run in the single-threaded helper process, where forking is safe and cheap; what it returns.

    Args:
        work: a top-level function. It returns a picklable value; text means that the test's `function` failed, and how.
        function: picklable.
    Raises:
        ChildFailed: `work` returned text, or the helper ended.
    """
    return _helper().run(work, function, request)


def kill_everywhere(
    function: Callable[[], object],
    *,
    reset: Callable[[], object] | None = None,
    watched: frozenset[str] = WRITES,
    timeout_s: float = 60.0,
) -> Iterator[Killed]:
    """Kill `function()` before its first counted call, before its second, … and at last after its last one.

    Args:
        reset: makes the world anew; called in this process before each run. Without it the caller does so in the loop.
    Yields:
        Each kill, once the child is dead. Ends after a run that was not killed.
    Raises:
        ChildFailed: the function raised, hung or ended otherwise; or it makes no counted call, so that nothing was tested.
    """
    n = 0
    while True:
        n += 1
        if reset is not None:
            reset()
        outcome = run_killed_at(function, n, watched=watched, timeout_s=timeout_s)
        if isinstance(outcome, Completed):
            break
        yield outcome
    if n == 1:
        raise ChildFailed(f"{function!r} makes no call that writes: nothing was tested")
    if reset is not None:
        reset()
    outcome = run_killed_at(function, n - 1, when="after", watched=watched, timeout_s=timeout_s)
    if isinstance(outcome, Completed):
        raise ChildFailed(f"{function!r} made fewer calls than before: does each run start from the same world?")
    yield outcome


class _Helper:
    """The single-threaded process that forks, seen from the test process."""

    def __init__(self) -> None:
        down, up = os.pipe(), os.pipe()
        self.lock = threading.Lock()
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"import sys; sys.path[:] = {sys.path!r}; from unsee.testing.faults import _serve; _serve({down[0]}, {up[1]})",
            ],
            pass_fds=(down[0], up[1]),
            stdin=subprocess.DEVNULL,
            # Libraries must not start threads of their own here. That forking is deprecated with threads is no news to this helper.
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        )
        os.close(down[0])
        os.close(up[1])
        self.requests = Connection(down[1], readable=False)
        self.answers = Connection(up[0], writable=False)

    def run(self, work: Callable[..., object], function: Callable[[], object], request: tuple[object, ...]) -> object:
        with self.lock:
            pickle.dumps((function, request))  # what cannot be sent is said before half of the request is on its way
            self.requests.send((str(Path.cwd()), list(sys.path)))
            self.requests.send((work, function, request))
            try:
                answer: object = self.answers.recv()
            except EOFError:
                raise ChildFailed("the helper process ended") from None
        if isinstance(answer, str):
            raise ChildFailed(answer)
        return answer

    def close(self) -> None:
        """End the helper; it leaves when its requests end."""
        self.requests.close()
        self.answers.close()
        self.process.wait()


_HELPERS: dict[int, _Helper] = {}


def _helper() -> _Helper:
    """This process's helper; a forked process gets its own."""
    helper = _HELPERS.get(os.getpid())
    if helper is None or helper.process.poll() is not None:
        helper = _HELPERS[os.getpid()] = _Helper()
        atexit.register(helper.close)
    return helper


def _serve(requests_fd: int, answers_fd: int) -> None:
    """The helper's life: fork a child for each request, and say how it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.dont_write_bytecode = True  # a write that would count
    requests, answers = Connection(requests_fd, writable=False), Connection(answers_fd, readable=False)
    while True:
        try:
            where, path = requests.recv()
        except EOFError:
            return
        sys.path[:] = path
        os.chdir(where)
        try:
            work, function, request = requests.recv()
        except Exception:
            answers.send("the function cannot be loaded in another process:\n" + traceback.format_exc())
            continue
        answers.send(work(function, *request))


def _fork(
    function: Callable[[], object], n: int, when: When, watched: frozenset[str], timeout_s: float
) -> Killed | Completed | str:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _live(function, n, when, watched, Connection(writing, readable=False))
    os.close(writing)
    with Connection(reading, writable=False) as words:
        last: Killed | Completed | str = "the child said nothing"
        hung = not words.poll(timeout_s)
        with suppress(EOFError):
            if not hung:
                last = words.recv()
    if hung:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if hung:
        return f"the child took more than {timeout_s} s"
    if isinstance(last, Killed) and not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
        return f"the child should have died at {last}, but ended with status {status}"
    return last


class _Watch:
    """Counts in the child, and kills it when its time has come."""

    def __init__(self, n: int, when: When, watched: frozenset[str], words: Connection) -> None:
        self.n, self.when, self.watched, self.words = n, when, watched, words
        self.calls: list[str] = []
        self.due: str | None = None
        self.on = True

    def profile(self, frame: object, event: str, call: Any) -> None:
        """For `sys.setprofile`."""
        del frame
        if event == "c_call":
            if (name := _name(call)) in self.watched:
                self.count(name)
        elif event in {"c_return", "c_exception"} and self.due and self.due in {OPEN_TO_WRITE, _name(call)}:
            self.kill(self.due)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """For `sys.addaudithook`: the only place that sees with which flags a file is opened."""
        if event == "open" and self.on and isinstance(arguments[2], int) and arguments[2] & _WRITING:
            self.count(OPEN_TO_WRITE)

    def count(self, name: str) -> None:
        self.calls.append(name)
        if len(self.calls) == self.n:
            if self.when == "before":
                self.kill(name)
            self.due = name

    def kill(self, name: str) -> None:
        self.on = False
        self.words.send(Killed(self.n, self.when, name))
        os.kill(os.getpid(), signal.SIGKILL)


def _live(function: Callable[[], object], n: int, when: When, watched: frozenset[str], words: Connection) -> None:
    """The child's life; never returns."""
    watch = _Watch(n, when, watched, words)
    last: Killed | Completed | str
    try:
        sys.addaudithook(watch.audit)
        threading.setprofile(watch.profile)
        sys.setprofile(watch.profile)
        try:
            function()
        finally:
            sys.setprofile(None)
            watch.on = False
        last = Completed(tuple(watch.calls))
    except BaseException:
        last = "the function failed:\n" + traceback.format_exc()
    words.send(last)
    os._exit(0)


def _name(call: Any) -> str:
    """`posix.unlink` for a function, `_io.FileIO.write` for a bound method."""
    owner = getattr(call, "__self__", None)
    if owner is None or type(owner).__name__ == "module":
        return f"{getattr(call, '__module__', '')}.{getattr(call, '__name__', '')}"
    kind = owner if isinstance(owner, type) else type(owner)
    return f"{kind.__module__}.{kind.__name__}.{call.__name__}"
