"""Speed and memory against a peer or a physical limit, side by side in one run.

A module of this package whose name does not begin with `_` is a benchmark when it has::

    def run(scale: float) -> Table | list[Table]

`scale` 1 is the default size, about a minute on two cores; 0.01 must work too, and is what the tests run. The function makes its
own input (in `scratch()`, on a real disk), runs each peer and ours in turn, and returns `Table`s. Absolute numbers move with the
machine: what counts is the ratio to the `reference` line of the same run. Where there is no peer, goals may be absolute
(`at_most_s`, `at_most_bytes`). Nothing here asserts; a missed goal is printed as missed.

`python -m bench` runs all, `python -m bench erase_files --scale 10` one. A module may end with
`if __name__ == "__main__": main(run)`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Line:
    """One way to do the work. Goals are None where there is none."""

    what: str
    seconds: float
    amount: float
    """Units of work done: files, images, items, bytes."""
    at_most_ratio: float | None = None
    """Goal: at most so many times the reference's seconds for one unit."""
    at_most_s: float | None = None
    peak_bytes: int | None = None
    at_most_bytes: int | None = None

    @property
    def each_s(self) -> float:
        """Seconds for one unit."""
        return self.seconds / self.amount if self.amount else float("nan")


@dataclass(frozen=True)
class Table:
    """Lines that did the same work. `unit` in the plural: files. The first line is the reference unless one is named."""

    title: str
    unit: str
    lines: Sequence[Line]
    reference: str = ""
    notes: Sequence[str] = ()

    @property
    def base(self) -> Line:
        """The line that ratios refer to."""
        return next((line for line in self.lines if line.what == self.reference), self.lines[0])

    def ratio(self, line: Line) -> float:
        """Seconds for one unit over those of the reference: below 1 is faster."""
        return line.each_s / self.base.each_s if self.base.each_s else float("nan")

    def verdict(self, line: Line) -> str:
        """`met` or `missed`, with the goal; empty without one."""
        goals: list[tuple[str, bool]] = []
        if line.at_most_ratio is not None:
            goals.append((f"≤ {line.at_most_ratio:g}×", self.ratio(line) <= line.at_most_ratio))
        if line.at_most_s is not None:
            goals.append((f"≤ {line.at_most_s:g} s", line.seconds <= line.at_most_s))
        if line.at_most_bytes is not None and line.peak_bytes is not None:
            goals.append((f"≤ {line.at_most_bytes / 1e6:,.0f} MB", line.peak_bytes <= line.at_most_bytes))
        return ", ".join(f"{text} {'met' if met else 'MISSED'}" for text, met in goals)

    def text(self) -> str:
        """As printed."""
        head = ("", "seconds", f"{self.unit}/s", "ratio", "peak MB", "goal")
        rows = [
            (
                line.what,
                f"{line.seconds:.2f}",
                f"{line.amount / line.seconds:,.0f}" if line.seconds else "-",
                f"{self.ratio(line):.2f}",
                f"{line.peak_bytes / 1e6:,.0f}" if line.peak_bytes is not None else "",
                self.verdict(line),
            )
            for line in self.lines
        ]
        widths = [max(len(row[n]) for row in (head, *rows)) for n in range(len(head))]
        body = [
            "  ".join(
                cell.ljust(w) if n in {0, 5} else cell.rjust(w)
                for n, (cell, w) in enumerate(zip(row, widths, strict=True))
            )
            for row in (head, *rows)
        ]
        return "\n".join(
            [self.title, *(f"  {line.rstrip()}" for line in body), *(f"  note: {note}" for note in self.notes)]
        )


Run = Callable[[float], "Table | list[Table]"]


def timed(what: str, work: Callable[[], object], *, amount: float = 1, at_most_ratio: float | None = None) -> Line:
    """Do the work once and time it."""
    start = time.perf_counter()
    work()
    return Line(what, time.perf_counter() - start, amount, at_most_ratio=at_most_ratio)


def peak_rss_bytes() -> int:
    """Largest resident size of this process so far. On Linux of the program that it runs, not of the one that started it, too:
    what `getrusage` says begins with the peak of the parent.
    """
    with suppress(OSError), Path("/proc/self/status").open() as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory for the input, in UNSEE_BENCH_DIR (or the system's place for temporary files); removed afterwards."""
    path = Path(tempfile.mkdtemp(prefix="unsee-bench-", dir=os.environ.get("UNSEE_BENCH_DIR")))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def show(tables: Iterable[Table]) -> None:
    for table in tables:
        print(table.text(), end="\n\n", flush=True)


def main(run: Run) -> None:
    """For `python -m bench.<module>`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", type=float, default=1.0)
    show(as_list(run(parser.parse_args().scale)))


def as_list(tables: Table | list[Table]) -> list[Table]:
    return tables if isinstance(tables, list) else [tables]


def as_json(name: str, tables: Iterable[Table]) -> str:
    """One JSON document a table, with its ratios and verdicts."""
    return "\n".join(
        json.dumps(
            {
                "schema": "unsee/bench/1",
                "bench": name,
                **asdict(table),
                "ratios": {line.what: round(table.ratio(line), 4) for line in table.lines},
                "goals": {line.what: table.verdict(line) for line in table.lines if table.verdict(line)},
            }
        )
        for table in tables
    )
