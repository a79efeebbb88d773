"""Spreads units of work over this machine's cores.

Units are idempotent: after a crash a unit may be carried out twice. A cluster engine takes the same units and yields the same
outcomes.

Worker processes are *spawned*, never forked: forking a process in which OpenCV, PyTorch or Arrow have started threads can hang in a
lock that nobody holds any more. The price is paid once a worker: a fresh interpreter (about 0.1 s) plus the imports that the
function needs (0.2 s with OpenCV, 2 s with PyTorch), all workers at the same time; for a handful of small units, `workers=1` is
faster and runs inline. As with every spawned process, a script that calls this at its top level needs `if __name__ == "__main__"`.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Literal, TypeVar

from unsee.core.errors import InvalidValue
from unsee.engine.crew import crew, failure
from unsee.engine.outcome import Done, Failed, Outcome

U = TypeVar("U")
V = TypeVar("V")


def run_units(
    function: Callable[[U], V],
    units: Iterable[U],
    *,
    workers: int,
    kind: Literal["process", "thread"] = "process",
    fresh: bool = False,
    on_done: Callable[[Outcome[U, V]], None] | None = None,
) -> Iterator[Outcome[U, V]]:
    """Carry out `function(unit)` for each unit and yield what became of it, in the order of completion.

    Args:
        function: with processes, one that can be pickled: defined at the top level of a module, or a `functools.partial` or bound
            method of such. Idempotent.
        units: may be a lazy iterator of millions; it is read on no further than the workers can take up (one unit each for
            processes, four for threads). It is read in the caller's thread.
        workers: how many at once. With 1 everything runs inline, one unit after the other, in order.
        kind: threads for work that waits or releases the interpreter lock (system calls), processes for the rest.
        fresh: with processes, that even a single worker is another process: one that remembers nothing of this one.
        on_done: called with each outcome in the caller's thread, before it is yielded: progress bars, journals.
    Yields:
        `Done(unit, value)` or `Failed(unit, error, error_type)`, one for each unit. A worker process that dies is replaced, and the
        unit it died of is tried once more and then set aside; no other unit is touched by it.
    Raises:
        InvalidValue: `workers` is below 1, or the function cannot be pickled or loaded by a worker.
        Whatever the iterator `units` or `on_done` raises.
    A KeyboardInterrupt, or closing the iterator, ends the workers: threads finish the unit they are at, processes are terminated.
    Cost: some 30 µs a unit with processes; make units that take longer than that.
    """
    if workers < 1:
        raise InvalidValue(f"Work needs at least one worker, not {workers}.", next_step="Give --workers 1 or more.")
    if workers == 1 and not (fresh and kind == "process"):
        outcomes = _inline(function, units)
    elif kind == "thread":
        outcomes = _threads(function, units, workers)
    else:
        outcomes = _processes(function, units, workers)
    return outcomes if on_done is None else _told(outcomes, on_done)


def _told(outcomes: Iterator[Outcome[U, V]], on_done: Callable[[Outcome[U, V]], None]) -> Iterator[Outcome[U, V]]:
    for outcome in outcomes:
        on_done(outcome)
        yield outcome


def _attempt(function: Callable[[U], V], unit: U) -> Outcome[U, V]:
    try:
        return Done(unit, function(unit))
    except (Exception, SystemExit) as error:
        return Failed(unit, *failure(error))


def _inline(function: Callable[[U], V], units: Iterable[U]) -> Iterator[Outcome[U, V]]:
    for unit in units:
        yield _attempt(function, unit)


def _threads(function: Callable[[U], V], units: Iterable[U], workers: int) -> Iterator[Outcome[U, V]]:
    source = iter(units)
    running: set[Future[Outcome[U, V]]] = set()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="unsee-unit")
    try:
        for unit in source:
            running.add(pool.submit(_attempt, function, unit))
            if len(running) >= 4 * workers:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _processes(function: Callable[[U], V], units: Iterable[U], workers: int) -> Iterator[Outcome[U, V]]:
    try:
        pickle.dumps(function)
    except Exception as error:
        raise InvalidValue(
            f"{function!r} cannot be sent to a worker process: {error}.",
            next_step="Define it at the top level of a module, or use threads.",
        ) from error
    return crew(function, iter(units), workers)
