"""Kills a function at each system call that writes, or lets that call fail: for stores whose writing is done by native libraries.

As `unsee.testing.faults`, but one floor below: `tracing` stops the process in the kernel, so that the writes inside one commit of
SQLite, one `write_table` of Arrow, one compaction of Lance in ten threads count one by one. Which calls count: `tracing.NAMES`,
where they reach a file, a directory or a socket. Writes through a memory map are not seen, the `msync` that follows them is.

::

    for killed in kill_at_every_system_call(partial(store.erase, "a", targets), reset=make_the_world_anew):
        ...                       # look at what the kill left; resume; look again
    for failed in fail_at_every_system_call(partial(store.erase, "a", targets), reset=make_the_world_anew, error=ENOSPC):
        ...                       # look at failed.raised, failed.returned and what is left; repeat; look again

The function runs in a forked child of the helper of `faults`. The first run, which nothing befalls, tells the helper which modules
the function imports while it runs; the helper imports them too, so that each further run costs milliseconds.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NoReturn

from unsee.testing.faults import ChildFailed, Completed, Killed, When, in_helper
from unsee.testing.processes import Outcome
from unsee.testing.tracing import Decision, NotTraceable, Stop, Tracer, require_x86_64_linux, stop_at_writes

__all__ = ["Failed", "fail_at_every_system_call", "kill_at_every_system_call", "run_slowly", "stride", "system_calls"]
_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Failed:
    """The `n`-th system call did nothing and returned an error; what the function made of it."""

    n: int
    call: str
    error: int
    """The errno."""
    returned: object
    raised: BaseException | None


def system_calls(function: Callable[[], object], *, timeout_s: float = 60.0) -> tuple[str, ...]:
    """Run `function()` to its end and name the system calls that wrote, in order: `pwrite64 /the/file`.

    Threads make them in any order; counts may differ from run to run.

    Raises:
        ChildFailed: the function raised, hung or ended its process; or the kernel forbids tracing.
    """
    done: Completed = in_helper(_traced, function, 0, None, timeout_s)
    return done.calls


def run_slowly(function: Callable[[], object], *, pause_s: float, timeout_s: float = 60.0) -> tuple[str, ...]:
    """Run `function()` to its end with a pause before each system call that writes, so that others see each state between them.

    Raises:
        ChildFailed: as `system_calls`.
    """
    done: Completed = in_helper(_traced, function, 0, None, timeout_s, pause_s)
    return done.calls


def stride(calls: int, most: int) -> int:
    """An `every` with which about `most` of so many calls are tried: 1, or a prime that divides no pattern of the calls."""
    every = -(-calls // most)
    while every > 1 and any(every % divisor == 0 for divisor in range(2, every)):
        every += 1
    return max(every, 1)


def kill_at_every_system_call(
    function: Callable[[], object], *, reset: Callable[[], object], every: int = 1, timeout_s: float = 60.0
) -> Iterator[Killed]:
    """Kill `function()` before its first system call that writes, before the one `every` calls later, … and after its last one.

    Args:
        function: picklable: a top-level function, or a `functools.partial` or bound method with picklable parts.
        reset: makes the world anew; called in this process before each run.
        every: 1 for each call. A larger number samples; choose a prime, lest it falls in step with the calls.
        timeout_s: how long one run may take.
    Yields:
        Each kill, once the child, its threads and its own children are dead.
    Raises:
        ChildFailed: the function raised, hung or ended otherwise; it makes no call that counts; or the kernel forbids tracing.
    """
    _first_run(function, reset, timeout_s)
    n = 1
    while isinstance(outcome := _killed(function, reset, n, "before", timeout_s), Killed):
        yield outcome
        n += every
    for _ in range(_TRIES):  # threads make a few calls more or fewer
        outcome = _killed(function, reset, len(outcome.calls), "after", timeout_s)
        if isinstance(outcome, Killed):
            yield outcome
            return
    raise ChildFailed(f"{function!r} makes another number of calls each time: does each run start from the same world?")


def fail_at_every_system_call(
    function: Callable[[], object],
    *,
    reset: Callable[[], object],
    error: int = errno.ENOSPC,
    every: int = 1,
    timeout_s: float = 60.0,
) -> Iterator[Failed]:
    """Let the first system call that writes fail with `error`, then the one `every` calls later, … each in a run of its own.

    The call is not executed: the disk is full, the file is read-only, the device fails, the peer is gone. The next call works.

    Args:
        function, reset, every, timeout_s: as `kill_at_every_system_call`.
        error: an errno.
    Yields:
        What the function returned or raised.
    Raises:
        ChildFailed: it hung or ended its process; it makes no call that counts; or the kernel forbids tracing.
    """
    _first_run(function, reset, timeout_s)
    n = 1
    while True:
        reset()
        outcome: Failed | Completed = in_helper(_traced, function, n, error, timeout_s)
        if isinstance(outcome, Completed):
            return
        yield outcome
        n += every


def _first_run(function: Callable[[], object], reset: Callable[[], object], timeout_s: float) -> None:
    reset()
    if not system_calls(function, timeout_s=timeout_s):
        raise ChildFailed(f"{function!r} makes no system call that writes: nothing was tested")


def _killed(
    function: Callable[[], object], reset: Callable[[], object], n: int, when: When, timeout_s: float
) -> Killed | Completed:
    reset()
    outcome: Killed | Completed = in_helper(_traced, function, n, when, timeout_s)
    return outcome


def _traced(
    function: Callable[[], object], n: int, fault: When | int | None, timeout_s: float, pause_s: float = 0.0
) -> Killed | Completed | Failed | str:
    """In the helper: one run, with a fault at its n-th call; text where the run is no test."""
    try:
        require_x86_64_linux()
        return _Run(function, n, fault, pause_s).result(timeout_s)
    except NotTraceable as error:
        return str(error)


class _Run:
    """One child, traced to its end."""

    def __init__(self, function: Callable[[], object], n: int, fault: When | int | None, pause_s: float) -> None:
        self.function, self.n, self.fault, self.pause_s = function, n, fault, pause_s
        self.calls: list[str] = []
        self.hung = False

    def result(self, timeout_s: float) -> Killed | Completed | Failed | str:
        report = os.memfd_create("report")
        waiting, go = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(go)
            _live(self.function, waiting, report)
        os.close(waiting)
        tracer = Tracer(child, self.decide)

        def too_long(signal_number: int, frame: object) -> None:
            del signal_number, frame
            self.hung = True
            tracer.kill()

        try:
            tracer.seize()
            os.write(go, b"!")
            signal.signal(signal.SIGALRM, too_long)
            signal.setitimer(signal.ITIMER_REAL, timeout_s)
            status = tracer.follow()
            signal.setitimer(signal.ITIMER_REAL, 0)
            return f"the child took more than {timeout_s} s" if self.hung else self.judge(status, report)
        except BaseException:
            tracer.kill()
            os.kill(child, signal.SIGKILL)
            raise
        finally:
            os.close(go)
            os.close(report)

    def decide(self, stop: Stop) -> Decision:
        self.calls.append(stop.call)
        time.sleep(self.pause_s)
        if len(self.calls) != self.n or self.fault is None:
            return "run"
        if isinstance(self.fault, int):
            return self.fault
        return "kill before" if self.fault == "before" else "kill after"

    def judge(self, status: int, report: int) -> Killed | Completed | Failed | str:
        """What the run was, from how the child ended and what it wrote down."""
        reached = self.fault is not None and len(self.calls) >= self.n > 0
        if reached and not isinstance(self.fault, int) and self.fault is not None:
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
                return Killed(self.n, self.fault, self.calls[self.n - 1])
            return f"the child should have died at {self.calls[self.n - 1]!r}, but ended with status {status}"
        written = os.pread(report, os.fstat(report).st_size, 0)
        if not written:
            return f"the child said nothing and ended with status {status}"
        outcome = Outcome.read(written)
        _import_too(outcome.modules)
        if reached and isinstance(self.fault, int):
            return Failed(self.n, self.calls[self.n - 1], self.fault, outcome.returned, outcome.raised)
        return Completed(tuple(self.calls)) if outcome.raised is None else "the function failed:\n" + outcome.words


def _import_too(modules: Sequence[str]) -> None:
    """What the function imported while it ran, for the children to come."""
    for name in modules:
        if name not in sys.modules:
            with suppress(Exception):
                importlib.import_module(name)


def _live(function: Callable[[], object], waiting: int, report: int) -> NoReturn:
    """The child's life."""
    os.read(waiting, 1)
    os.write(report, Outcome.of(function, first=stop_at_writes))
    os._exit(0)
