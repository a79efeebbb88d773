"""`unsee init`, `person`, `interest`, `store`, `source`, `agreement`."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import click

from unsee.cli.output import as_person, command, done, open_workspace, print_json, table
from unsee.core.ids import PersonId, SourceId

DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), default=".")
@click.option("--organisation", required=True, help="Whose workspace it is.")
@click.option("--books", metavar="URL", help="A database elsewhere; default: books.sqlite in the workspace.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def init(directory: Path, organisation: str, books: str | None, as_json: bool) -> None:
    """Make a workspace in DIRECTORY: books, keys, log."""
    from unsee.app.workspace import create

    ws = create(directory, organisation, books_url=books)
    checkpoint = ws.log.checkpoint()
    if as_json:
        print_json(
            {
                "schema": "unsee/init/1",
                "workspace": str(ws.root),
                "organisation": ws.organisation,
                "log": ws.log.origin,
                "operator_key": ws.operator_key.public.hex,
            }
        )
        return
    done(f"Workspace {directory}/ of {ws.organisation}: books, keys, log.")
    done(f"Log {checkpoint.origin}; operator key {ws.operator_key.public.fingerprint[:16]}…: publish its fingerprint.")


@click.group()
def person() -> None:
    """People who act here, each with a key."""


@person.command("add")
@click.argument("id")
@click.option("--name", required=True)
@click.option("--title", required=True)
@click.option("--organisation", help="Default: the workspace's own.")
@click.option(
    "--key-file", type=click.Path(path_type=Path), help="Where the person keeps the key; default: the workspace."
)
@command
def person_add(
    id: str,
    name: str,
    title: str,
    organisation: str | None,
    key_file: Path | None,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Add a person and make their key."""
    from unsee.app.registry import add_person

    added, path = add_person(
        open_workspace(workspace), id, name=name, title=title, organisation=organisation, key_file=key_file
    )
    if as_json:
        print_json({"schema": "unsee/person/1", "id": added.id, "public_key": added.public_key, "key_file": str(path)})
    else:
        done(f"{added.name}, {added.title} ({added.organisation}), is {added.id}; key {added.public_key[:16]}…")


@person.command("list")
@command
def person_list(workspace: str | None, as_json: bool) -> None:
    """Everybody who acts here."""
    from unsee.books import parties

    ws = open_workspace(workspace)
    with ws.books.read() as conn:
        people = parties.all_people(conn)
    if as_json:
        print_json({"schema": "unsee/people/1", "people": [_fields(p) for p in people]})
    else:
        table(["id", "name", "title", "organisation"], [(p.id, p.name, p.title, p.organisation) for p in people])


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
    from unsee.app.registry import declare_interest
    from unsee.core.parties import Interest

    ws = open_workspace(workspace)
    stake = Interest(
        holder,
        organisation,
        kind,
        _day(declared) or ws.now().date(),
        PersonId(staff) if staff else None,
        SourceId(source) if source else None,
    )
    declare_interest(ws, stake)
    if as_json:
        print_json({"schema": "unsee/interest/1", **_fields(stake)})
    else:
        done(f"{holder} declares {kind} in {organisation}" + (f", touching {source}." if source else "."))


@click.group()
def store() -> None:
    """Places where photos lie."""


@store.command("add")
@click.argument("id")
@click.argument("location")
@click.option("--kind", default="files", show_default=True)
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="A setting of that kind of store.")
@command
def store_add(
    id: str, location: str, kind: str, options: tuple[str, ...], workspace: str | None, as_json: bool
) -> None:
    """Register a place, so that every plan and verification walks it."""
    from unsee.app.registry import add_store

    settings = dict(o.partition("=")[::2] for o in options)
    name = add_store(open_workspace(workspace), id, kind=kind, location=location, options=settings)
    if as_json:
        print_json({"schema": "unsee/store/1", "id": name, "kind": kind, "location": location})
    else:
        done(f"Store {name} ({kind}) at {location}.")


@store.command("list")
@command
def store_list(workspace: str | None, as_json: bool) -> None:
    """Every place, and what erasing means there."""
    from unsee.books import places

    ws = open_workspace(workspace)
    with ws.books.read() as conn:
        rows = places.all_stores(conn)
    opened = ws.stores()
    if as_json:
        print_json(
            {
                "schema": "unsee/stores/1",
                "stores": [
                    {
                        "id": r.id,
                        "kind": r.kind,
                        "location": r.location,
                        "best_gone": str(opened[r.id].capability().best_gone),
                        "limits": list(opened[r.id].capability().limits),
                    }
                    for r in rows
                ],
            }
        )
    else:
        table(
            ["id", "kind", "erases to", "location"],
            [(r.id, r.kind, opened[r.id].capability().best_gone.step, r.location) for r in rows],
        )


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
        print_json({"schema": "unsee/source/1", **_fields(added)})
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
        print_json({"schema": "unsee/sources/1", "sources": [{**_fields(s), "items": n} for s, n in sources]})
    else:
        table(
            ["id", "kind", "issuer", "items", "legacy"],
            [(s.id, s.kind, s.issuer, f"{n:,}", "yes" if s.legacy else "") for s, n in sources],
            right=[3],
        )


@click.group()
def agreement() -> None:
    """What givers and takers agreed: no approved agreement, no use."""


@agreement.command("draft")
@click.argument("id")
@click.option("--source", "source_id", required=True)
@click.option("--document", required=True, type=click.Path(path_type=Path), help="The text; kept by digest.")
@click.option("--permits", "purposes", multiple=True, required=True, help="A purpose (repeat).")
@click.option("--prohibits", "prohibitions", multiple=True, help="A purpose (repeat).")
@click.option("--from", "begins", type=DAY, required=True)
@click.option("--until", "ends", type=DAY)
@click.option("--party", "others", multiple=True, help="A further party (repeat).")
@as_person
@command
def agreement_draft(
    id: str,
    source_id: str,
    document: Path,
    purposes: tuple[str, ...],
    prohibitions: tuple[str, ...],
    begins: datetime,
    ends: datetime | None,
    others: tuple[str, ...],
    person: PersonId,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Draft an agreement; it permits nothing until it is approved."""
    from unsee.app.registry import draft_agreement

    made = draft_agreement(
        open_workspace(workspace),
        id,
        source=source_id,
        document=document,
        purposes=purposes,
        prohibitions=prohibitions,
        valid_from=begins.date(),
        valid_until=_day(ends),
        other_parties=others,
        person=person,
    )
    if as_json:
        print_json({"schema": "unsee/agreement/1", **_fields(made)})
    else:
        term = f"from {made.valid_from}" + (f" until {made.valid_until}" if made.valid_until else "")
        done(f"Agreement {made.id} on {made.source} drafted: {', '.join(made.purposes)}, {term}.")


def _moving(verb: str, status: str, help_text: str) -> None:
    @agreement.command(verb, help=help_text)
    @click.argument("id")
    @click.option("--note", default="", help="Why.")
    @as_person
    @command
    def move(id: str, note: str, person: PersonId, workspace: str | None, as_json: bool) -> None:
        from unsee.app.registry import move_agreement
        from unsee.core.parties import AgreementStatus

        moved = move_agreement(open_workspace(workspace), id, AgreementStatus(status), person=person, note=note)
        if as_json:
            print_json({"schema": "unsee/agreement/1", **_fields(moved)})
        else:
            done(f"Agreement {moved.id} is {moved.status} by {person}.")


_moving("approve", "approved", "Approve an agreement. Refused to people with an interest in a party.")
_moving("reject", "rejected", "Reject an agreement.")
_moving("terminate", "terminated", "Terminate an agreement: what stands on it may no longer be used.")


@agreement.command("list")
@command
def agreement_list(workspace: str | None, as_json: bool) -> None:
    """Every agreement and its state."""
    from unsee.books import parties

    ws = open_workspace(workspace)
    with ws.books.read() as conn:
        rows = parties.all_agreements(conn)
    if as_json:
        print_json({"schema": "unsee/agreements/1", "agreements": [_fields(a) for a in rows]})
    else:
        table(
            ["id", "source", "status", "permits", "term"],
            [
                (a.id, a.source, a.status, ", ".join(a.purposes), f"{a.valid_from} – {a.valid_until or ''}")
                for a in rows
            ],
        )


def _day(moment: datetime | None) -> date | None:
    return moment.date() if moment else None


def _fields(value: Any) -> dict[str, Any]:
    """The fields of a frozen value as JSON."""
    from dataclasses import asdict

    return {k: v.isoformat() if isinstance(v, date) else v for k, v in asdict(value).items()}
