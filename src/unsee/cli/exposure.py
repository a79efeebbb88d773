"""`unsee exposure`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unsee.cli.output import command, done, open_workspace, print_json, say, size, table

if TYPE_CHECKING:
    from unsee.app.exposure import Exposure
    from unsee.app.without import KeptSet, Without
    from unsee.core.exposure import Cost, Deadline

_GROUPS_SHOWN = 12


@click.command()
@click.option(
    "--by",
    default="source",
    show_default=True,
    metavar="WHAT",
    help="source, agreement, jurisdiction, or group:ATTRIBUTE of the people shown, such as group:tone.",
)
@click.option(
    "--without", "gone", multiple=True, metavar="SOURCE", help="What if this source went (repeat)? Nothing changes."
)
@click.option(
    "--plot", type=click.Path(path_type=Path), help="Draw sources by models: FILE.png or FILE.svg (extra 'report')."
)
@command
def exposure(by: str, gone: tuple[str, ...], plot: Path | None, workspace: str | None, as_json: bool) -> None:
    """What stands on whose photos: people, datasets, models, recipients, cost, deadline, standing.

    With --without, what would fall if these sources went, and what each dataset would keep; --by then says how its shares are
    counted.
    """
    if gone and plot:
        raise click.UsageError("--plot draws the books as they are, not as they would be: leave --without out.")
    ws = open_workspace(workspace)
    if gone:
        from unsee.app.without import without

        found = without(ws, gone, by)
        if as_json:
            print_json({"schema": "unsee/exposure-without/1", "by": by, **found.as_json()})
        else:
            _show_without(found, by)
        return
    from unsee.app import exposure as measured

    rows = measured.exposure(ws, by)
    if plot:
        measured.plot(ws, plot)
    if as_json:
        print_json({"schema": "unsee/exposure/2", "by": by, "rows": [r.as_json() for r in rows]})
        return
    _show(rows, by)
    if plot:
        done(f"Picture: {plot}")


def _show(rows: Sequence[Exposure], by: str) -> None:
    from unsee.app.exposure import under

    table(
        [by, "photos", "people", "bytes", "datasets", "models", "deployed", "recipients", "retraining", "deadline"],
        [
            (
                r.name,
                f"{r.items:,}",
                f"{r.people:,}",
                "?" if r.size_bytes is None else size(r.size_bytes),
                len(r.datasets),
                len(r.models),
                len(r.deployed),
                len(r.recipients),
                _cost(r.retraining),
                _deadline(r.deadline),
            )
            for r in rows
        ],
        right=range(1, 8),
    )
    say("")
    for r in rows:
        say(f"{r.name}: {'lawful' if r.lawful else 'NOT LAWFUL'}: {r.why}")
        for label, names in (
            ("models that fall", r.models),
            ("deployed", r.deployed),
            ("recipients", r.recipients),
            ("under", under(r.orders)),
            ("deadline", [str(r.deadline)] if r.deadline and r.deadline.order else []),
            ("cost unknown of", r.retraining.unknown),
        ):
            if names:
                say(f"  {label}: {', '.join(names)}")
        for words in r.conflicts:
            say(f"  conflict of interest: {words}")
        if r.quarantined:
            say(f"  {r.quarantined:,} in quarantine")
    possible = sorted({r.deadline.profile for r in rows if r.deadline and not r.deadline.order})
    if possible:
        say(f"Deadlines in brackets: no order is under way; so many days would {', '.join(possible)} leave.")
    if any(r.size_bytes is None for r in rows):
        say("Bytes marked ? were not added up: it would take reading millions of rows.")


def _deadline(worst: Deadline | None) -> str:
    if worst is None:
        return "–"
    return f"{worst.on} {worst.order}" if worst.order else f"({worst.days} days)"


def _cost(cost: Cost) -> str:
    if not cost.runs:
        return "–"
    known = f"{cost.cpu_s} cpu-s, {cost.wall_s} s"
    if not cost.unknown:
        return known
    missing = f"{len(cost.unknown)} of {cost.runs} runs unknown"
    return missing if len(cost.unknown) == cost.runs else f"{known}, {missing}"


def _show_without(found: Without, by: str) -> None:
    from unsee.app.without import NOT_COMPUTED

    say(
        f"Without {', '.join(found.sources)}: {found.items:,} photos of {found.people:,} people go. Nothing was changed."
    )
    say("")
    if found.datasets:
        table(
            ["dataset that falls", "for", "items", "kept", "people", "kept", "lawful of the kept"],
            [
                (
                    d.kept.dataset,
                    d.kept.purpose,
                    f"{d.kept.items:,}",
                    f"{len(d.kept.kept):,}",
                    f"{d.people:,}",
                    f"{d.people_kept:,}",
                    f"{d.lawful_kept:,}",
                )
                for d in found.datasets
            ],
            right=[2, 3, 4, 5, 6],
        )
        for d in found.datasets:
            say(f"  {d.kept.dataset} by {by}: {_shares(d)}")
    else:
        say("No dataset falls.")
    falls = found.falls
    say(f"Models that fall: {', '.join(falls.models) or 'none'}")
    say(f"  to be withdrawn, because deployed: {', '.join(falls.deployed) or 'none'}")
    say(f"  retraining: {_cost(falls.retraining)}")
    if falls.retraining.unknown:
        say(f"  cost unknown of: {', '.join(falls.retraining.unknown)}")
    say(f"Recipients to be told: {', '.join(found.recipients) or 'none on record'}")
    for line in NOT_COMPUTED:
        say(line)


def _shares(d: KeptSet) -> str:
    from unsee.core.exposure import percent

    left = len(d.kept.kept)
    said = [
        f"{name} {percent(before / d.kept.items)} → {percent(after / left) if left else 'nothing left'}"
        for name, (before, after) in d.kept.groups.items()
    ]
    more = len(said) - _GROUPS_SHOWN
    return ", ".join(said[:_GROUPS_SHOWN]) + (f" and {more:,} more (--json lists all)" if more > 0 else "")
