"""`unsee source`, `interest`, `organisation`."""

from __future__ import annotations

from datetime import datetime

import click

from unsee.cli.output import DAY, command, day, done, open_workspace, print_json, table
from unsee.core.canonical import fields
from unsee.core.ids import PersonId, SourceId


@click.group()
def source() -> None:
    """Where photos come from."""


@source.command("add")
@click.argument("id")
@click.option("--kind", required=True, help="partner, upload, panel, public-domain, synthetic, acquired-dataset")
@click.option("--title", help="Default: the id.")
@click.option("--issuer", required=True, help="The organisation that gives.")
@click.option("--collected", type=DAY, required=True, help="The day on which the photos were handed over.")
@click.option("--data-class", "classes", multiple=True, help="photo, location, demographics … (repeat)")
@click.option("--geography", default="unknown", show_default=True, help="Where the people live, as far as known.")
@click.option("--legacy", is_flag=True, help="Taken in before books were kept: recorded, never used.")
@command
def source_add(
    id: str,
    kind: str,
    title: str | None,
    issuer: str,
    collected: datetime,
    classes: tuple[str, ...],
    geography: str,
    legacy: bool,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Register a source."""
    from unsee.app.registry import add_source

    added = add_source(
        open_workspace(workspace),
        id,
        title=title or id,
        kind=kind,
        issuer=issuer,
        collected_on=collected.date(),
        data_classes=classes,
        geography=geography,
        legacy=legacy,
    )
    if as_json:
        print_json({"schema": "unsee/source/1", **fields(added)})
    else:
        note = "; LEGACY: no approved agreement, may be recorded, never used" if legacy else ""
        done(f"Source {added.id}: {added.kind} of {added.issuer}, {', '.join(added.data_classes)}{note}.")


@source.command("list")
@command
def source_list(workspace: str | None, as_json: bool) -> None:
    """Every source and its items."""
    from unsee.books import parties

    ws = open_workspace(workspace)
    with ws.books.read() as conn:
        sources = [(s, len(parties.items_of_source(conn, s.id))) for s in parties.all_sources(conn)]
    if as_json:
        print_json({"schema": "unsee/sources/1", "sources": [{**fields(s), "items": n} for s, n in sources]})
    else:
        table(
            ["id", "kind", "issuer", "items", "legacy"],
            [(s.id, s.kind, s.issuer, f"{n:,}", "yes" if s.legacy else "") for s, n in sources],
            right=[3],
        )


@click.group()
def interest() -> None:
    """Declared interests of people in organisations."""


@interest.command("declare")
@click.option("--holder", required=True, help="Name of the person who holds it.")
@click.option("--organisation", required=True, help="What it is a stake in.")
@click.option("--kind", required=True, help="equity, board, family, advisory …")
@click.option("--person", "staff", help="The id of the holder, when they act here.")
@click.option("--source", help="The source whose hand-over it touches.")
@click.option("--declared", type=DAY, help="When; default: today.")
@command
def interest_declare(
    holder: str,
    organisation: str,
    kind: str,
    staff: str | None,
    source: str | None,
    declared: datetime | None,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Declare an interest. Nobody approves alone where they have one."""
    from unsee.app.interests import declare
    from unsee.core.parties import Interest

    ws = open_workspace(workspace)
    stake = Interest(
        holder,
        organisation,
        kind,
        day(declared) or ws.now().date(),
        PersonId(staff) if staff else None,
        SourceId(source) if source else None,
    )
    declare(ws, stake)
    if as_json:
        print_json({"schema": "unsee/interest/1", **fields(stake)})
    else:
        done(f"{holder} declares {kind} in {organisation}" + (f", touching {source}." if source else "."))
