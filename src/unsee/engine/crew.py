"""Worker processes, each with one unit at a time: when one dies it is known which unit it died of, and the others go on.

The pool of the standard library breaks as a whole when a worker dies, does not say of which unit, and its workers outlive a parent
that is killed. Here each worker has a pipe of its own: it ends when the pipe closes, so nothing is left behind a kill -9 of the
parent but the units in work, which end by themselves.
"""

from __future__ import annotations

import os
import pickle
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

from unsee.core.errors import InvalidValue
from unsee.engine.outcome import Done, Failed, Outcome

U = TypeVar("U")

ATTEMPTS = 2
"""How often a unit is begun when its worker dies of it."""
_PATIENCE_S = 5.0
_ONE_THREAD_EACH = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")


@dataclass(frozen=True, slots=True)
class _Try(Generic[U]):
    unit: U
    begun: int = 0


class _Died(Exception):
    """The worker is gone."""


class _Worker(Generic[U]):
    """The parent's end of one worker."""

    def __init__(self, function: Callable[[U], Any]) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.loaded = False
        with suppress(OSError):  # it ended at once: `answer` finds out
            self.pipe.send(function)

    def begin(self, unit: U) -> None:
        """Hand over a unit.

        Raises:
            _Died: nobody is there to take it.
            Whatever pickling the unit raises; the worker is still idle then.
        """
        try:
            self.pipe.send(unit)
        except OSError as error:
            raise _Died from error

    def answer(self) -> tuple[Any, ...] | None:
        """What it sends: (value,) or (error, error_type, trace); None where it only says that it is ready.

        Raises:
            _Died: it ended without an answer.
            InvalidValue: it cannot load the function.
        """
        try:
            message: tuple[Any, ...] = self.pipe.recv()
        except (EOFError, OSError) as error:
            if not self.loaded:
                raise _unloadable(f"it ended while it started, {self.epitaph()}") from error
            raise _Died from error
        except Exception as error:
            return failure(error)
        if self.loaded:
            return message
        if message:
            raise _unloadable(message[0])
        self.loaded = True
        return None

    def epitaph(self) -> str:
        """How it ended."""
        self.process.join(_PATIENCE_S)
        code = self.process.exitcode
        if code is not None and code < 0:
            with suppress(ValueError):
                return f"killed by {signal.Signals(-code).name}"
        return f"exit code {code}"


def crew(function: Callable[[U], Any], units: Iterator[U], workers: int) -> Iterator[Outcome[U, Any]]:
    """Carry out `function` on each unit with so many processes. See `local.run_units`."""
    idle: list[_Worker[U]] = []
    busy: dict[_Worker[U], _Try[U]] = {}
    again: deque[_Try[U]] = deque()
    outcomes: list[Outcome[U, Any]] = []
    try:
        while True:
            while len(busy) < workers and (attempt := _next(again, units)):
                worker = idle.pop() if idle else _Worker(function)
                busy[worker] = attempt
                try:
                    worker.begin(attempt.unit)
                except _Died:  # while it was idle: not of this unit
                    _bury(worker, busy)
                    again.append(attempt)
                except Exception as error:
                    outcomes.append(Failed(attempt.unit, *failure(error)))
                    del busy[worker]
                    idle.append(worker)
            yield from outcomes  # after the workers have new work, so that they do not wait for the caller
            outcomes.clear()
            if not busy:
                return
            ready = connection.wait([worker.pipe for worker in busy])
            for worker in [worker for worker in busy if worker.pipe in ready]:
                try:
                    answer = worker.answer()
                except _Died:
                    attempt, epitaph = busy[worker], _bury(worker, busy)
                    if attempt.begun + 1 < ATTEMPTS:
                        again.append(_Try(attempt.unit, attempt.begun + 1))
                    else:
                        text = f"its worker died {ATTEMPTS} times, {epitaph}"
                        outcomes.append(Failed(attempt.unit, text, "WorkerDied"))
                    continue
                if answer is not None:
                    idle.append(worker)
                    unit = busy.pop(worker).unit
                    outcomes.append(Done(unit, answer[0]) if len(answer) == 1 else Failed(unit, *answer))
    finally:
        _dismiss(idle, at_once=False)
        _dismiss(list(busy), at_once=True)


def _bury(worker: _Worker[U], busy: dict[_Worker[U], _Try[U]]) -> str:
    """Take a dead worker off the list; how it ended.

    Raises:
        InvalidValue: it never came to life.
    """
    while not worker.loaded:
        worker.answer()
    epitaph = worker.epitaph()
    del busy[worker]
    _dismiss([worker], at_once=True)
    return epitaph


def _next(again: deque[_Try[U]], units: Iterator[U]) -> _Try[U] | None:
    if again:
        return again.popleft()
    for unit in units:
        return _Try(unit)
    return None


def _dismiss(workers: list[_Worker[U]], *, at_once: bool) -> None:
    for worker in workers:
        worker.pipe.close()
        if at_once:
            worker.process.terminate()
    for worker in workers:
        worker.process.join(_PATIENCE_S)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.process.close()


def _unloadable(why: str) -> InvalidValue:
    return InvalidValue(
        f"A worker process cannot load the function: {why}.",
        next_step="Define it at the top level of a module that a fresh interpreter can import.",
    )


def failure(error: BaseException) -> tuple[str, str, str]:
    """Message, class name and traceback of an error, all text, because not every exception can be pickled."""
    return str(error) or repr(error), type(error).__name__, "".join(traceback.format_exception(error))


def _serve(pipe: Connection) -> None:
    """A worker's life. Ctrl-C is the parent's business; each worker is one core's worth."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in _ONE_THREAD_EACH:
        os.environ.setdefault(name, "1")
    with suppress(EOFError, OSError):  # the parent closed the pipe, or is gone
        try:
            function = pipe.recv()
        except Exception as error:
            pipe.send(failure(error))
            return
        pipe.send(())
        while True:
            _serve_one(pipe, function)


def _serve_one(pipe: Connection, function: Callable[[Any], Any]) -> None:
    try:
        unit = pipe.recv()
    except (EOFError, OSError):
        raise
    except Exception as error:
        pipe.send(failure(error))
        return
    try:
        answer = pickle.dumps((function(unit),))
    except (Exception, SystemExit) as error:
        answer = pickle.dumps(failure(error))
    pipe.send_bytes(answer)
