"""`unsee backup`."""

from __future__ import annotations

from datetime import datetime

import click

from unsee.cli.output import DAY, as_person, command, done, open_workspace, print_json, say, table, workers_option
from unsee.core.ids import PersonId


@click.group()
def backup() -> None:
    """Backups and snapshots: what they hold, and until when."""


@backup.command("add")
@click.argument("id")
@click.option("--location", required=True, help="Where it lies, in words that its keeper finds it by.")
@click.option("--store", "stores", multiple=True, required=True, help="A store that it is a backup of (repeat).")
@click.option("--made", type=DAY, required=True, help="The day on which it was made.")
@click.option("--expires", type=DAY, required=True, help="The day by which it is destroyed.")
@as_person
@command
def backup_add(
    id: str,
    location: str,
    stores: tuple[str, ...],
    made: datetime,
    expires: datetime,
    person: PersonId,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Register a backup or snapshot that no store can reach into."""
    from unsee.app.backups import add

    found = add(
        open_workspace(workspace),
        id,
        location=location,
        stores=stores,
        made_on=made.date(),
        expires_on=expires.date(),
        person=person,
    )
    if as_json:
        print_json({"schema": "unsee/backup/1", **found.as_json()})
        return
    done(f"Backup {found.backup.id} of {', '.join(stores)}: may hold {found.items:,} items, until {expires:%Y-%m-%d}.")
    if found.barred:
        say(f"  {found.barred:,} of them are under {', '.join(found.orders)}: it may not be restored as it is")


@backup.command("list")
@command
def backup_list(workspace: str | None, as_json: bool) -> None:
    """Every backup, its state, and how much of it orders took away."""
    from unsee.app.backups import all_backups

    rows = all_backups(open_workspace(workspace))
    if as_json:
        print_json({"schema": "unsee/backups/1", "backups": [r.as_json() for r in rows]})
        return
    table(
        ["id", "stores", "made", "expires", "state", "items", "under orders"],
        [
            (
                r.backup.id,
                ", ".join(r.backup.stores),
                r.backup.made_on,
                r.backup.expires_on,
                r.state + (", to be erased again" if r.backup.waits else ""),
                f"{r.items:,}",
                f"{r.barred:,}",
            )
            for r in rows
        ],
    )


@backup.command("may-restore")
@click.argument("id")
@command
def backup_may_restore(id: str, workspace: str | None, as_json: bool) -> None:
    """Ask before restoring: refused where the backup may hold photos that an order erased or blocks."""
    from unsee.app.backups import require_clean

    found = require_clean(open_workspace(workspace), id)
    if as_json:
        print_json({"schema": "unsee/backup/1", **found.as_json()})
    else:
        done(f"Backup {id} holds nothing that an order took away; it may be restored.")


@backup.command("restored")
@click.argument("id")
@click.option("--store", required=True, help="The store that it was restored into.")
@as_person
@workers_option
@command
def backup_restored(id: str, store: str, person: PersonId, workers: int, workspace: str | None, as_json: bool) -> None:
    """Say that a backup was restored, and erase again what orders had erased."""
    from unsee.app.backups import restored

    again = restored(open_workspace(workspace), id, store=store, person=person, workers=workers)
    if as_json:
        document = {"store": store, "members": again.members, "read": again.read, "erased": dict(again.erased)}
        print_json({"schema": "unsee/erased-again/1", "backup": id, **document})
        return
    steps = ", ".join(f"{n:,} to {step}" for step, n in again.erased.items()) or "none"
    done(f"{id} in {store}: {again.members:,} members looked at; on the suppression list and erased again: {steps}.")


@backup.command("destroyed")
@click.argument("id")
@click.option("--note", required=True, help="How it was destroyed, and who saw it.")
@as_person
@command
def backup_destroyed(id: str, note: str, person: PersonId, workspace: str | None, as_json: bool) -> None:
    """Say that a backup is destroyed."""
    from unsee.app.backups import destroyed

    found = destroyed(open_workspace(workspace), id, person=person, note=note)
    if as_json:
        print_json({"schema": "unsee/backup/1", **found.as_json()})
    else:
        done(f"Backup {id} is destroyed, says {person}: {note}")
