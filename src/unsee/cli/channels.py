"""`unsee channel`, `quarantine`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unsee.cli.output import as_person, command, done, open_workspace, print_json, say, table
from unsee.core.ids import PersonId

if TYPE_CHECKING:
    from unsee.app.quarantine import Listed


@click.group()
def channel() -> None:
    """The registered ways by which a source's photos come in."""


@channel.command("add")
@click.argument("id")
@click.option("--source", required=True, help="Whose photos come this way; a channel belongs to one source.")
@click.option("--kind", required=True, help="folder, sftp-drop, bucket, upload-form, courier")
@click.option(
    "--location",
    type=click.Path(path_type=Path),
    required=True,
    help="The folder in which deliveries arrive, or to which they are mounted.",
)
@as_person
@command
def channel_add(
    id: str, source: str, kind: str, location: Path, person: PersonId, workspace: str | None, as_json: bool
) -> None:
    """Register a channel. Personal ones (e-mail, messengers, somebody's own drive) are refused."""
    from unsee.app.channels import add_channel

    made = add_channel(open_workspace(workspace), id, source=source, kind=kind, location=location, person=person)
    if as_json:
        print_json({"schema": "unsee/channel/1", **asdict(made)})
    else:
        done(f"Channel {made.id} ({made.kind}) of {made.source} at {made.location}.")


@channel.command("list")
@command
def channel_list(workspace: str | None, as_json: bool) -> None:
    """Every channel, and how much came through it."""
    from unsee.app.channels import all_channels

    rows = all_channels(open_workspace(workspace))
    if as_json:
        print_json({"schema": "unsee/channels/1", "channels": [{**asdict(r.channel), "items": r.items} for r in rows]})
    else:
        table(
            ["id", "source", "kind", "items", "state", "location"],
            [
                (
                    r.channel.id,
                    r.channel.source,
                    r.channel.kind,
                    f"{r.items:,}",
                    f"closed {r.channel.closed_at[:10]}" if r.channel.closed_at else "open",
                    r.channel.location,
                )
                for r in rows
            ],
            right=[3],
        )


@channel.command("close")
@click.argument("id")
@as_person
@command
def channel_close(id: str, person: PersonId, workspace: str | None, as_json: bool) -> None:
    """Close a channel: what comes this way from now on is quarantined."""
    from unsee.app.channels import close_channel

    closed = close_channel(open_workspace(workspace), id, person=person)
    if as_json:
        print_json({"schema": "unsee/channel/1", **asdict(closed)})
    else:
        done(f"Channel {closed.id} of {closed.source} is closed.")


@click.group()
def quarantine() -> None:
    """What came through no channel: recorded, barred from use, released by a reviewer or erased on expiry."""


@quarantine.command("list")
@command
def quarantine_list(workspace: str | None, as_json: bool) -> None:
    """Every quarantine, the decided ones too."""
    from unsee.app.quarantine import all_quarantines

    _print(all_quarantines(open_workspace(workspace)), as_json=as_json)


@quarantine.command("show")
@click.argument("id")
@command
def quarantine_show(id: str, workspace: str | None, as_json: bool) -> None:
    """One quarantine: where its photos came from, why they are held, what was decided."""
    from unsee.app.quarantine import show

    found = show(open_workspace(workspace), id)
    if as_json:
        print_json({"schema": "unsee/quarantine/1", **found.as_json()})
        return
    held = found.quarantine
    say(f"{held.id}: {found.photos:,} photos and {found.documents:,} documents of {held.source}, {found.state}")
    say(f"  reason    {held.reason}")
    say(f"  folder    {held.folder}")
    say(f"  taken in  {held.at} by {held.person}")
    say(f"  expires   {held.expires_on}")
    for event in held.events:
        order = f" ({event.order})" if event.order else ""
        say(f"  {event.at}  {event.event}{order} by {event.person}" + (f": {event.note}" if event.note else ""))


@quarantine.command("release")
@click.argument("id")
@click.option("--note", required=True, help="What was looked at, and why the photos may be used.")
@as_person
@command
def quarantine_release(id: str, note: str, person: PersonId, workspace: str | None, as_json: bool) -> None:
    """Let photos go. Refused to who brought them in, and to people with an interest in a party."""
    from unsee.app.quarantine import release

    ws = open_workspace(workspace)
    found = release(ws, id, person=person, note=note)
    if as_json:
        print_json({"schema": "unsee/quarantine/1", **found.as_json()})
        return
    held = found.quarantine
    done(
        f"{found.photos:,} photos of {held.source} are released from {held.id} by {person}; every other rule still holds."
    )
    if found.documents:
        say(f"  To hear the consents that came with them: unsee intake {held.folder} --source {held.source}")


@quarantine.command("due")
@click.option("--open", "opening", is_flag=True, help="Open an order of kind retention for them, one a source.")
@click.option("--as", "person", envvar="UNSEE_PERSON", help="Who opens (or UNSEE_PERSON); needed with --open.")
@command
def quarantine_due(opening: bool, person: str | None, workspace: str | None, as_json: bool) -> None:
    """The quarantines whose time is over: their photos are to be erased, by order, plan, approvals and apply."""
    from unsee.app.quarantine import expired, open_orders

    ws = open_workspace(workspace)
    if not opening:
        _print(expired(ws), as_json=as_json)
        return
    if not person:
        raise click.UsageError("--open needs --as: an order says who opened it.")
    acts = open_orders(ws, person=PersonId(person))
    if as_json:
        print_json({"schema": "unsee/quarantine-orders/1", "sources": [a.as_json() for a in acts]})
        return
    for act in acts:
        names = ", ".join(act.quarantines)
        if act.opened is None:
            say(f"  {names}: nothing was opened; {act.why_not}")
        else:
            done(
                f"{act.opened.order.id} on {act.source}: {act.opened.items:,} photos of {names}, blocked from any use."
            )
            say(f"  unsee plan {act.opened.order.id}")
    if not acts:
        say("Nothing is due.")


def _print(rows: list[Listed], *, as_json: bool) -> None:
    if as_json:
        print_json({"schema": "unsee/quarantines/1", "quarantines": [r.as_json() for r in rows]})
        return
    table(
        ["id", "source", "photos", "state", "expires", "reason"],
        [
            (
                r.quarantine.id,
                r.quarantine.source,
                f"{r.photos:,}",
                r.state,
                r.quarantine.expires_on,
                r.quarantine.reason,
            )
            for r in rows
        ],
        right=[2],
    )
