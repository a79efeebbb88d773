"""`unsee source`, `interest`, `organisation`."""

from __future__ import annotations

from datetime import datetime

import click

from unsee.cli.output import (
    DAY,
    as_person,
    command,
    day,
    done,
    open_workspace,
    print_json,
    say,
    show_conflicts,
    size,
    table,
)
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
@click.option("--origin", default="", help="Where the issuer has them from, when it did not collect them itself.")
@click.option("--classification", default="", help="How confidential the issuer holds them to be.")
@click.option("--generation-method", default="", help="How the pictures came to be: uploaded, studio, rendered …")
@click.option("--intended-purpose", default="", help="What they are wanted for, in words.")
@click.option("--original-purpose", default="", help="What they were collected for.")
@click.option("--scraped", default="no", show_default=True, help="no or targeted; untargeted scraping is refused.")
@click.option("--retention-days", type=int, help="The longest time they are kept, counted from the day of collection.")
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
    origin: str,
    classification: str,
    generation_method: str,
    intended_purpose: str,
    original_purpose: str,
    scraped: str,
    retention_days: int | None,
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
        origin=origin,
        classification=classification,
        generation_method=generation_method,
        intended_purpose=intended_purpose,
        original_purpose=original_purpose,
        scraped=scraped,
        retention_days=retention_days,
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
    from unsee.app.sources import all_sources

    sources = all_sources(open_workspace(workspace))
    if as_json:
        print_json({"schema": "unsee/sources/1", "sources": [{**fields(s), "items": n} for s, n in sources]})
    else:
        table(
            ["id", "kind", "issuer", "items", "legacy"],
            [(s.id, s.kind, s.issuer, f"{n:,}", "yes" if s.legacy else "") for s, n in sources],
            right=[3],
        )


@source.command("show")
@click.argument("id")
@command
def source_show(id: str, workspace: str | None, as_json: bool) -> None:
    """One source: its fields, its papers, what bars it, every declared conflict, and what it holds."""
    from unsee.app.sources import source_report

    found = source_report(open_workspace(workspace), id)
    if as_json:
        print_json({"schema": "unsee/source/1", **found.as_json()})
        return
    one = found.source
    say(f"{one.id}: {one.kind} of {one.issuer}" + ("; LEGACY: recorded, never used" if one.legacy else ""))
    for label, text in (
        ("title", one.title if one.title != one.id else ""),
        ("collected", f"{one.collected_on}, registered {one.registered_on or 'on a day unknown'}"),
        ("classes", ", ".join(one.data_classes)),
        ("geography", one.geography),
        ("origin", one.origin),
        ("class", one.classification),
        ("made by", one.generation_method),
        ("wanted for", one.intended_purpose),
        ("made for", one.original_purpose),
        ("scraped", one.scraped),
        ("kept", f"{one.retention_days:,} days at most" if one.retention_days else ""),
    ):
        if text:
            say(f"  {label:<11} {text}")
    say(
        f"  holds       {found.items:,} photos and documents of {found.people:,} people, {size(found.size_bytes)}; "
        f"{found.opted_out:,} opted out; {found.erased:,} erased"
    )
    say("  agreements  " + (", ".join(f"{a.id} ({state})" for a, state in found.agreements) or "none"))
    say("  channels    " + (", ".join(f"{c.id} ({c.kind})" for c in found.channels if not c.closed_at) or "none"))
    if found.duty.next_due is not None:
        last = found.duty.last
        seen = f"{last.result} on {last.assessed_on}" if last else "never"
        say(f"  assessed    {seen}; next due {found.duty.next_due}")
    for policy in found.policies:
        say(f"  policy      in force since {policy.in_force_on}, sha256 {policy.text_sha256[:16]}…")
    if found.duty.bars_intake is not None:
        say(f"  CLOSED      nothing more is taken in: {found.duty.bars_intake}")
    for bar in found.bars:
        say(f"  BARRED      {bar.code}: {bar.reason}")
    show_conflicts(found.conflicts)


@click.group()
def organisation() -> None:
    """Which organisation holds which: interests reach along holdings."""


@organisation.command("hold")
@click.argument("holder")
@click.argument("held")
@click.option("--kind", default="equity", show_default=True, help="equity, board, fund …")
@click.option("--share", default="", help="Percent, where it is known.")
@click.option("--declared", type=DAY, help="When; default: today.")
@as_person
@command
def organisation_hold(
    holder: str,
    held: str,
    kind: str,
    share: str,
    declared: datetime | None,
    person: PersonId,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Declare that HOLDER has a stake in HELD."""
    from unsee.app.interests import declare_holding
    from unsee.core.parties import Holding

    ws = open_workspace(workspace)
    holding = Holding(holder, held, kind, day(declared) or ws.now().date(), share)
    declare_holding(ws, holding, person=person)
    if as_json:
        print_json({"schema": "unsee/holding/1", **fields(holding)})
    else:
        done(f"{holder} holds {held} ({kind}" + (f", {share} %)." if share else ")."))


@organisation.command("list")
@command
def organisation_list(workspace: str | None, as_json: bool) -> None:
    """Every organisation that a source, an interest or a holding names."""
    from unsee.app.interests import organisations

    rows = organisations(open_workspace(workspace))
    if as_json:
        print_json({"schema": "unsee/organisations/1", "organisations": [o.as_json() for o in rows]})
        return
    table(
        ["organisation", "holds", "interests", "gave"],
        [
            (
                o.name,
                ", ".join(f"{h.held} ({h.kind}{f' {h.share} %' if h.share else ''})" for h in o.holds),
                ", ".join(f"{i.person or i.holder} ({i.kind})" for i in o.interests),
                ", ".join(o.sources),
            )
            for o in rows
        ],
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


@interest.command("list")
@command
def interest_list(workspace: str | None, as_json: bool) -> None:
    """Every declared interest."""
    from unsee.app.interests import all_interests

    rows = all_interests(open_workspace(workspace))
    if as_json:
        print_json({"schema": "unsee/interests/1", "interests": [fields(i) for i in rows]})
    else:
        table(
            ["holder", "person", "organisation", "kind", "declared", "source"],
            [(i.holder, i.person or "", i.organisation, i.kind, i.declared_on, i.source or "") for i in rows],
        )


@interest.command("paths")
@click.argument("person")
@click.option("--source", "source_id", required=True, help="Whose parties are looked for.")
@command
def interest_paths(person: str, source_id: str, workspace: str | None, as_json: bool) -> None:
    """Every path from PERSON to either party of a source's hand-over, along interests and holdings."""
    from unsee.app.interests import paths_of

    found = paths_of(open_workspace(workspace), person, source=source_id)
    if as_json:
        print_json(
            {
                "schema": "unsee/paths/1",
                "person": person,
                "source": source_id,
                "paths": [path.as_json() for path in found],
            }
        )
        return
    if not found:
        say(f"No declared interest leads from {person} to a party of {source_id}.")
    for path in found:
        say(str(path))
