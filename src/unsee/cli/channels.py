"""`unsee channel`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from unsee.cli.output import as_person, command, done, open_workspace, print_json, table
from unsee.core.ids import PersonId


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
