"""`unsee order`, `plan`, `approve`, `apply`, `verify`."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import click

from unsee.cli.output import (
    DAY,
    as_person,
    command,
    done,
    open_workspace,
    print_json,
    progress,
    say,
    show_conflicts,
    size,
    table,
    workers_option,
)
from unsee.core.ids import PersonId


@click.group()
def order() -> None:
    """Orders that demand erasure."""


@order.command("open")
@click.option("--source", required=True, help="The source whose photos must go.")
@click.option("--profile", required=True, help="Whose deadlines and duties hold: ftc-everalbum, gdpr-17 …")
@click.option("--instrument", required=True, type=click.Path(path_type=Path), help="The document; kept by digest.")
@click.option("--authority", default="", help="Who orders it; default: the profile's citation.")
@click.option("--effective", type=DAY, help="The day from which deadlines count; default: today.")
@as_person
@command
def order_open(
    source: str,
    profile: str,
    instrument: Path,
    authority: str,
    effective: datetime | None,
    person: PersonId,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Receive an order. Its scope is blocked from any use at once."""
    from unsee.app.orders import open_order

    opened = open_order(
        open_workspace(workspace),
        source=source,
        profile_name=profile,
        instrument=instrument,
        authority=authority,
        effective=effective.date() if effective else None,
        person=person,
    )
    if as_json:
        print_json(
            {"schema": "unsee/order/1", **opened.order.as_json(), "items": opened.items, "people": opened.people}
        )
        return
    done(f"{opened.order.id} opened on {source} under {opened.order.authority}.")
    say(f"  BLOCKED from any use as of now: {opened.items:,} photos of {opened.people:,} people.")
    for what, day in opened.deadlines.items():
        say(f"  {what}: due {day}")


@order.command("show")
@click.argument("id")
@command
def order_show(id: str, workspace: str | None, as_json: bool) -> None:
    """One order: where it stands, its deadlines, its plans."""
    from unsee.app.disclosures import report_on_order
    from unsee.app.interests import conflicts
    from unsee.app.orders import plans_of
    from unsee.app.recipients import instructions_of
    from unsee.cli.recipients import instruction_line

    ws = open_workspace(workspace)
    found, plans = plans_of(ws, id)
    shared = report_on_order(ws, found.id)
    told = instructions_of(ws, found.id)
    declared = conflicts(ws, found.source)
    document = {
        "schema": "unsee/order/1",
        **found.as_json(),
        "state": found.state,
        "sharing": {**shared.as_json(), "instructions": [i.as_json() for i in told]},
        "plans": [
            {"id": p.id, "digest": p.digest, "author": p.author, "approved_by": [a.person for a in s]} for p, s in plans
        ],
        "conflicts": [path.as_json() for path in declared],
    }
    if as_json:
        print_json(document)
        return
    say(f"{found.id}: {found.state}; source {found.source}; {found.authority}")
    for what, day in found.as_json()["deadlines"].items():
        say(f"  {what}: due {day}")
    for plan_row, signed in plans:
        names = ", ".join(a.person for a in signed) or "nobody"
        say(f"  {plan_row.id} by {plan_row.author}, {plan_row.digest[:16]}…, approved by {names}")
    for obtained in shared.obtained:
        got, models = obtained.received, ", ".join(obtained.received.models)
        say(f"  recipient {obtained.recipient.id}: {len(got.items):,} items" + (f", models {models}" if models else ""))
        for sent in told:
            if sent.recipient == obtained.recipient.id:
                say(f"    {instruction_line(sent)}")
    if not shared.shared:
        say(f"  {shared.sentences()[0]}")
    show_conflicts(declared)


@order.command("list")
@command
def order_list(workspace: str | None, as_json: bool) -> None:
    """Every order."""
    from unsee.app.orders import all_orders

    rows = all_orders(open_workspace(workspace))
    if as_json:
        print_json({"schema": "unsee/orders/1", "orders": [{**o.as_json(), "state": o.state} for o in rows]})
    else:
        table(
            ["id", "source", "profile", "effective", "state"],
            [(o.id, o.source, o.profile, o.effective, o.state) for o in rows],
        )


@click.command()
@click.argument("order")
@as_person
@workers_option
@command
def plan(order: str, person: PersonId, workers: int, workspace: str | None, as_json: bool) -> None:
    """Walk the stores and write down what ORDER takes away and why. Changes nothing."""
    from unsee.app.orders import make_plan

    made = make_plan(open_workspace(workspace), order, person=person, workers=workers)
    summary = made.directory.summary
    if as_json:
        print_json({"schema": "unsee/plan/1", "id": made.row.id, "digest": made.row.digest, "summary": summary})
        return
    scope, reach, copies, search = summary["scope"], summary["reach"], summary["copies"], summary["search"]
    done(f"{made.row.id} of {order} by {person}; nothing was changed.")
    say(f"  photos      {scope['photo']:,} of {reach['people']:,} people, {size(reach['size_bytes'])}")
    others = ", ".join(f"{n:,} × {c}" for c, n in sorted(scope.items()) if c not in {"photo", "copy"} and n)
    say(f"  with them   {others or 'no other data'}")
    unrecorded = f"{copies['unrecorded']:,} that no book records"
    say(f"  copies      {copies['recorded']:,} recorded + {unrecorded}, in {summary['units']:,} objects")
    for reason, count in _gathered(copies["unrecorded_by_reason"]).items():
        say(f"              {count:,} × {reason}")
    say(f"  datasets    {', '.join(reach['datasets']) or 'none'}")
    if summary["order"]["selector"].get("documents_kept"):
        kept = summary["order"]["selector"]["documents_kept"]
        say(f"  stay        {kept:,} × document: they also name people whose photos stay")
    for model in summary["models"]:
        say(f"  model       {model['id']}: {model['disposition']} ({model['why']})")
    for stray in summary["strays"]:
        say(f"  stray       {stray}: left by an unfinished run; destroyed")
    for told in summary["recipients"]:
        models = f", models {', '.join(told['models'])}" if told["models"] else ""
        say(f"  recipient   {told['id']}: {told['items']:,} items{models}; tell it: unsee recipient instruct {order}")
    say(
        f"  kept        {summary['retained']['items']:,} photos and documents, root {summary['retained']['root'][:16]}…"
    )
    if summary["twins"]["count"]:
        twins = f"{summary['twins']['count']:,} photos of other sources show the same picture"
        say(f"  twins       {twins}; kept ({summary['twins']['rule']})")
    say(f"  searched    {search['members']:,} files; {search['read']:,} of them read, the rest known and untouched")
    for reason, count in search["not_compared"].items():
        say(f"  not compared {count:,} × {reason}")
    for one in summary["backups"]:
        say(
            f"  backup      {one['id']}: may hold {one['items']:,} of them until {one['expires_on']}; not to be restored as it is"
        )
    for path in summary["conflicts"]:
        click.echo(click.style("  CONFLICT    ", fg="yellow") + path["words"])
    say(f"  digest      {made.row.digest}")
    click.secho(f"→ Two people sign it: unsee approve {made.row.id} --as PERSON", fg="cyan")


def _gathered(by_reason: dict[str, int]) -> dict[str, int]:
    """Reasons without the distance in bits: people read kinds, the plan's parts hold each."""
    found: dict[str, int] = {}
    for reason, count in by_reason.items():
        kind = reason.split(" at distance ")[0]
        found[kind] = found.get(kind, 0) + count
    return found


@click.command()
@click.argument("plan")
@click.option("--key", type=click.Path(path_type=Path), help="The person's key file; default: the workspace's keys.")
@as_person
@command
def approve(plan: str, key: Path | None, person: PersonId, workspace: str | None, as_json: bool) -> None:
    """Sign PLAN. Needs two people who did not make it and have no interest in a party."""
    from unsee.app.orders import approve as sign

    row, count = sign(open_workspace(workspace), plan, person=person, key_file=key)
    if as_json:
        print_json(
            {"schema": "unsee/approval/1", "plan": row.id, "digest": row.digest, "by": person, "approvals": count}
        )
    else:
        done(f"{row.id} signed by {person} ({count} of 2): {row.digest[:16]}…")


@click.command()
@click.argument("plan")
@click.option("--confirm", metavar="SOURCE", help="Name the source that is erased; asked for on a terminal.")
@workers_option
@command
def apply(plan: str, confirm: str | None, workers: int, workspace: str | None, as_json: bool) -> None:
    """Carry out an approved PLAN, or go on where a killed run stopped."""
    from unsee.app import orders

    ws = open_workspace(workspace)
    source = str(orders.find_plan(ws, plan).directory.summary["source"]["id"])
    if confirm is None and sys.stdin.isatty():
        question = f"This erases every photo of {source} for good. Type the source's name: "
        click.echo(question, nl=False, err=True)
        confirm = sys.stdin.readline().strip()
    if confirm != source:
        raise click.UsageError(f"This erases for good; name what is erased: --confirm {source}")
    with progress("units") as report:
        result = orders.apply(ws, plan, workers=workers, on_progress=report)
    if as_json:
        print_json({"schema": "unsee/applied/1", **result.as_json()})
        return
    steps = ", ".join(f"{n:,} to {s}" for s, n in result.gone.items()) or "none"
    done(f"{result.erased:,} copies erased in {result.units:,} objects ({steps}).")
    if result.absent:
        say(f"  {result.absent:,} were not there any more (erased before a kill, or by someone else)")
    say(f"  models destroyed: {', '.join(result.models) or 'none'}")
    say(f"  books: {', '.join(f'{n:,} rows of {t}' for t, n in result.rows.items())} deleted")
    for place in result.may_hold:
        say(f"  may hold them still: {place}")
    for store, note in result.notes:
        say(f"  in store {store}: {note}")
    if result.without_anchors:
        say(f"  {result.without_anchors:,} were too small, or not readable, to be searched for as raw bytes")
    say(f"  suppression list: {result.suppressed:,} entries; these photos cannot come back")


@click.command()
@click.argument("order")
@workers_option
@command
def verify(order: str, workers: int, workspace: str | None, as_json: bool) -> None:
    """Look at everything again: every store walked and read, the books searched, the retained set proven untouched."""
    from unsee.app.orders import verify as look

    seen = look(open_workspace(workspace), order, workers=workers)
    if as_json:
        print_json({"schema": "unsee/verification/1", **seen.as_json()})
        return
    done(
        f"{order} verified: {seen.members:,} files read again ({size(seen.bytes_read)}); nothing of the scope was found."
    )
    say(f"  compared with {seen.suppressed:,} erased photos: bytes, pixels, near-duplicates")
    say(
        f"  books: {size(seen.raw_bytes)} searched byte by byte for {seen.needles:,} digests; the planted canary was found"
    )
    for place in seen.not_searched:
        say(f"  not searched: {place}")
    say(f"  stores asked again in fresh processes for {seen.probed:,} erased copies: none is found")
    whole = sum(s.size_bytes for s in seen.searched)
    say(
        f"  stores: {size(whole)} searched byte by byte for {seen.anchors:,} anchors of erased photos; every canary was found"
    )
    for one in seen.searched:
        for reason, count in one.not_searched.items():
            say(f"  not searched in {one.store}: {count:,} × {reason}")
    say(f"  retained: {seen.retained_items:,} photos and documents, root {seen.retained_root[:16]}… before = after")
    for finding in seen.kept[:10]:
        say(f"  kept: {finding}")
    for reason, count in seen.not_compared.items():
        say(f"  not compared: {count:,} × {reason}")
