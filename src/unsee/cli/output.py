"""What every command shares: options, errors, tables, progress, one JSON document."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unsee.core.errors import StoreError, UnseeError
from unsee.core.ids import PersonId

if TYPE_CHECKING:
    from unsee.app.workspace import Workspace
    from unsee.core.interests import Path as Conflict

DAY = click.DateTime(["%Y-%m-%d"])
MAX_DETAILS = 20
Progress = Callable[[str, int, int], None]

as_person = click.option(
    "--as",
    "person",
    envvar="UNSEE_PERSON",
    required=True,
    callback=lambda _c, _p, value: PersonId(value),
    help="Who acts: the id of a person of this workspace (or UNSEE_PERSON).",
)
workers_option = click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=lambda: os.cpu_count() or 1,
    help="Processes or threads; default: all cores.",
)


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command `--workspace` and `--json`; errors of the house become a message and their exit code.

    The function gets `workspace` (a name or None) and `as_json` as keyword arguments.
    """

    @click.option(
        "--workspace", "-w", metavar="DIR", help="The workspace; default: UNSEE_WORKSPACE, or the nearest above here."
    )
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except UnseeError as error:
            show_error(error, as_json=bool(kwargs.get("as_json")))
            sys.exit(error.exit_code)
        except Exception as error:
            known = _known(error)
            if known is None:
                raise
            show_error(known, as_json=bool(kwargs.get("as_json")))
            sys.exit(known.exit_code)

    return wrapped


def _known(error: Exception) -> UnseeError | None:
    """What the system refused (disk full, no permission), as an error of the house; None for a defect."""
    if isinstance(error, OSError):
        what = f" {error.filename}" if error.filename else ""
        return StoreError(
            f"{error.strerror or error}:{what}.", next_step="Mend the cause and run the same command again."
        )
    from sqlalchemy.exc import OperationalError

    if isinstance(error, OperationalError):
        return StoreError(
            f"The books cannot be used: {error.orig}.", next_step="Mend the cause and run the same command again."
        )
    return None


def open_workspace(named: str | None) -> Workspace:
    """The workspace that a command works on."""
    from unsee.app.workspace import find_workspace

    return find_workspace(named, Path.cwd())


def show_error(error: UnseeError, *, as_json: bool) -> None:
    """Say what happened, to which thing, what to do next: on stderr for people, as a document on stdout for programs."""
    if as_json:
        print_json(error.as_json())
        return
    click.secho(f"{error.code} ", fg="red", bold=True, nl=False, err=True)
    click.echo(error.message, err=True)
    for detail in error.details[:MAX_DETAILS]:
        click.echo(f"  · {detail}", err=True)
    if len(error.details) > MAX_DETAILS:
        click.echo(f"  · and {len(error.details) - MAX_DETAILS:,} more (--json lists all)", err=True)
    if error.next_step:
        click.secho(f"→ {error.next_step}", fg="cyan", err=True)


def day(moment: datetime | None) -> date | None:
    """The day of an option of type `DAY`."""
    return moment.date() if moment else None


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def table(header: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[int] = ()) -> None:
    """A plain table on stdout: columns by their widest cell; `right` aligns those columns to the right."""
    cells = [[str(c) for c in header], *([str(c) for c in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    for number, row in enumerate(cells):
        line = "  ".join(
            c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        click.secho(line.rstrip(), bold=number == 0)


def say(text: str) -> None:
    """A line of data on stdout."""
    click.echo(text)


def done(text: str) -> None:
    """A line that says what was done, on stdout."""
    click.echo(click.style("✓ ", fg="green") + text)


def show_conflicts(found: Iterable[Conflict]) -> None:
    """Every declared conflict, on a line of its own, in the words that every report uses (R35)."""
    for path in found:
        click.echo(click.style("  CONFLICT    ", fg="yellow") + str(path))


def size(count: int) -> str:
    """Bytes for people."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


@contextmanager
def progress(what: str) -> Iterator[Progress]:
    """A bar on stderr with rate and remaining time; nothing when stderr is no terminal. Ctrl-C passes through."""
    if not sys.stderr.isatty():
        yield lambda _name, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Any) -> Text:
            return Text(f"{task.speed:,.0f}/s" if task.speed else "")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda _name, done_, total: bar.update(task, completed=done_, total=total)
