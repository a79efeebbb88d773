"""`unsee retention`: how long things are kept, and what is past its time."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unsee.cli.output import DAY, as_person, command, done, open_workspace, print_json, say, table
from unsee.core.ids import PersonId

if TYPE_CHECKING:
    from unsee.app.orders import Opened
    from unsee.app.retention import Overdue


@click.group()
def retention() -> None:
    """How long each class of data is kept, and what is past its time."""


@retention.command("list")
@command
def retention_list(workspace: str | None, as_json: bool) -> None:
    """The retention schedule, to be published."""
    from unsee.app.retention import schedule

    rows = schedule(open_workspace(workspace))
    if as_json:
        entries = [
            {
                "class": r.data_class,
                "days": r.entry.days,
                "basis": r.entry.basis,
                "set_by": r.person or None,
                "at": r.at,
            }
            for r in rows
        ]
        print_json({"schema": "unsee/retention/1", "schedule": entries})
        return
    table(
        ["class", "days", "basis", "set by", "since"],
        [(r.data_class, f"{r.entry.days:,}", r.entry.basis, r.person or "default", r.at[:10]) for r in rows],
        right=[1],
    )


@retention.command("set")
@click.argument("data_class", metavar="CLASS")
@click.option("--days", type=int, required=True, help="Counted from the day of collection.")
@click.option("--basis", required=True, help="The law, contract or reason.")
@as_person
@command
def retention_set(
    data_class: str, days: int, basis: str, person: PersonId, workspace: str | None, as_json: bool
) -> None:
    """Say how long CLASS (photo, location, demographics …) is kept from now on."""
    from unsee.app.retention import set_entry

    entry = set_entry(open_workspace(workspace), data_class, days=days, basis=basis, person=person)
    if as_json:
        print_json({"schema": "unsee/retention-set/1", "class": data_class, "days": entry.days, "basis": entry.basis})
    else:
        done(f"{data_class} is kept {entry.days:,} days ({entry.basis}).")


@retention.command("due")
@click.option("--on", type=DAY, help="Look as of a day to come; default: today.")
@click.option("--open", "open_", is_flag=True, help="Open an order of kind retention for each source, on exactly that.")
@click.option("--instrument", type=click.Path(path_type=Path), help="Its document; default: the list of what is due.")
@click.option("--as", "person", envvar="UNSEE_PERSON", help="Who opens the orders (or UNSEE_PERSON).")
@command
def retention_due(
    on: datetime | None,
    open_: bool,
    instrument: Path | None,
    person: str | None,
    workspace: str | None,
    as_json: bool,
) -> None:
    """What is past its time, by which rule, since when."""
    from unsee.app.retention import open_orders, overdue

    ws = open_workspace(workspace)
    if not open_:
        found = overdue(ws, day=on.date() if on else None)
        if as_json:
            print_json({"schema": "unsee/retention-due/1", **found.as_json()})
        else:
            _show(found)
        return
    if on is not None:
        raise click.UsageError("--open opens orders on what is past its time today; leave --on out.")
    if person is None:
        raise click.UsageError("--open needs --as PERSON: who opens the orders.")
    opened = open_orders(ws, instrument=instrument, person=PersonId(person))
    if as_json:
        orders = [{**o.order.as_json(), "photos": o.items, "people": o.people} for o in opened]
        print_json({"schema": "unsee/retention-open/1", "orders": orders})
        return
    for one in opened:
        _show_opened(one)


@retention.command("forget")
@click.argument("data_class", metavar="CLASS")
@as_person
@command
def retention_forget(data_class: str, person: PersonId, workspace: str | None, as_json: bool) -> None:
    """Delete the attributes of CLASS that are past their time from the books."""
    from unsee.app.retention import forget

    rows = forget(open_workspace(workspace), data_class, person=person)
    if as_json:
        print_json({"schema": "unsee/retention-forget/1", "class": data_class, "rows": rows})
        return
    done(f"{sum(rows.values()):,} values of class {data_class} are no longer in the books.")
    say("  Metadata files in the stores hold them still, until they are due themselves.")


def _show(found: Overdue) -> None:
    say(
        f"Past its time on {found.on}:"
        if found.sources or found.attributes
        else f"Nothing is past its time on {found.on}."
    )
    for one in found.sources:
        under = f"; under {one.under}" if one.under else ""
        say(f"  {one.source}: {len(one.scope):,} items of {one.people:,} people{under}")
        for due in one.due:
            say(f"    {len(due.items):,} by {due.rule} ({due.citation}), since {due.since}")
        if one.documents_kept:
            say(f"    {one.documents_kept:,} documents stay: they also name people whose photos stay")
    for row in found.attributes:
        rules = ", ".join(dict.fromkeys(d.rule for d in row.due))
        say(f"  {row.source}: {row.rows:,} values of class {row.data_class} ({rules})")
        say(f'    "unsee retention forget {row.data_class}" takes them out of the books')


def _show_opened(one: Opened) -> None:
    done(
        f"{one.order.id} opened on {one.order.source}: {one.items:,} photos of {one.people:,} people, blocked as of now."
    )
    for what, day in one.deadlines.items():
        say(f"  {what}: due {day}")
