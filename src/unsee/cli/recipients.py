"""`unsee recipient`, `disclosures`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unsee.cli.output import DAY, as_person, command, done, open_workspace, print_json, say, show_conflicts, table
from unsee.core.ids import PersonId, RecipientId, SourceId

if TYPE_CHECKING:
    from unsee.core.sharing import Instruction


@click.group()
def recipient() -> None:
    """Who else got it, and what they were told."""


@recipient.command("add")
@click.argument("id")
@click.option("--name", required=True)
@click.option("--address", required=True)
@click.option("--phone", required=True)
@click.option("--contact", default="", help="Whom to write to there.")
@click.option("--category", default="third-party", show_default=True, help="processor, partner, affiliate …")
@click.option("--geography", default="", help="Where it is.")
@as_person
@command
def recipient_add(
    id: str,
    name: str,
    address: str,
    phone: str,
    contact: str,
    category: str,
    geography: str,
    person: PersonId,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Add a recipient: orders ask for the name, address and phone of each."""
    from unsee.app.recipients import add
    from unsee.core.sharing import Recipient

    added = add(
        open_workspace(workspace),
        Recipient(RecipientId(id), name, address, phone, contact, category, geography),
        person=person,
    )
    if as_json:
        print_json({"schema": "unsee/recipient/1", **added.as_json()})
    else:
        done(f"{added.name}, {added.address}, {added.phone}, is {added.id} ({added.category}).")


@recipient.command("list")
@command
def recipient_list(workspace: str | None, as_json: bool) -> None:
    """Every recipient, and whether sharing with it is frozen."""
    from unsee.app.recipients import all_standings

    rows = all_standings(open_workspace(workspace))
    if as_json:
        print_json({"schema": "unsee/recipients/1", "recipients": [r.as_json() for r in rows]})
    else:
        table(
            ["id", "name", "category", "disclosures", "last", "sharing"],
            [
                (
                    r.recipient.id,
                    r.recipient.name,
                    r.recipient.category,
                    len(r.disclosures),
                    max((d.disclosed_on.isoformat() for d in r.disclosures), default="–"),
                    f"FROZEN by {', '.join(r.frozen_by)}" if r.frozen_by else "open",
                )
                for r in rows
            ],
            right=[3],
        )


@recipient.command("show")
@click.argument("id")
@command
def recipient_show(id: str, workspace: str | None, as_json: bool) -> None:
    """One recipient: what it got, what it was told, what it answered."""
    from unsee.app.disclosures import described
    from unsee.app.recipients import standing

    found = standing(open_workspace(workspace), id)
    if as_json:
        print_json({"schema": "unsee/recipient/1", **found.as_json()})
        return
    who = found.recipient
    say(
        f"{who.id}: {who.name}, {who.address}, {who.phone}; {who.category}"
        + (f"; {who.contact}" if who.contact else "")
    )
    say(f"  sharing {'FROZEN by ' + ', '.join(found.frozen_by) if found.frozen_by else 'open'}")
    for one in found.disclosures:
        say(f"  {described(one)}")
    for sent in found.instructions:
        say(f"  {instruction_line(sent)}")


@recipient.command("instruct")
@click.argument("order")
@click.option("--to", metavar="RECIPIENT", help="Only this one; default: everybody who got something of it.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Where the packs are written.")
@click.option("--reply-to", default="", help="Where answers go; default: who sends it.")
@as_person
@command
def recipient_instruct(
    order: str, to: str | None, out: Path, reply_to: str, person: PersonId, workspace: str | None, as_json: bool
) -> None:
    """Write an instruction pack for everybody who got data or models that ORDER reaches."""
    from unsee.app.recipients import instruct

    sent, told = instruct(open_workspace(workspace), order, out, to=to, reply_to=reply_to, person=person)
    if as_json:
        print_json(
            {
                "schema": "unsee/instructions/1",
                "sent": [s.as_json() for s in sent],
                "told_already": [t.as_json() for t in told],
            }
        )
        return
    for one in sent:
        what = f"{len(one.instruction.items):,} items, models: {', '.join(one.instruction.models) or 'none'}"
        due = f"; answer due {one.instruction.due}" if one.instruction.due else ""
        done(f"{one.instruction.id} for {one.instruction.recipient}: {what}{due}.")
        say(f"  {one.directory}: {', '.join(one.files)}")
    for earlier in told:
        say(f"  told already: {earlier.recipient}, {instruction_line(earlier)}")
    if not sent and not told:
        say(f"The register shows nothing of {order} going to anybody.")


@recipient.command("reply")
@click.argument("instruction")
@click.option("--document", required=True, type=click.Path(path_type=Path), help="The answer; kept by digest.")
@click.option("--confirms", is_flag=True, help="It confirms that all is deleted: sharing opens again.")
@click.option("--forward", is_flag=True, help="It was forwarded to the authority.")
@click.option("--note", default="", help="What it says, in a line.")
@as_person
@command
def recipient_reply(
    instruction: str,
    document: Path,
    confirms: bool,
    forward: bool,
    note: str,
    person: PersonId,
    workspace: str | None,
    as_json: bool,
) -> None:
    """File what a recipient answered to an INSTRUCTION."""
    from unsee.app.recipients import reply

    found = reply(
        open_workspace(workspace), instruction, document, confirms=confirms, forward=forward, note=note, person=person
    )
    if as_json:
        print_json({"schema": "unsee/instruction/1", **found.as_json()})
    else:
        done(f"{found.recipient}: {instruction_line(found)}.")


@click.group()
def disclosures() -> None:
    """Every way out; who got what, or that nobody did."""


@disclosures.command("record")
@click.option("--to", required=True, metavar="RECIPIENT", help="Who got it.")
@click.option("--kind", required=True, type=click.Choice(["share", "export", "model-delivery"]))
@click.option("--source", help="Everything of this source.")
@click.option("--dataset", help="A frozen dataset.")
@click.option("--model", help="A model.")
@click.option("--on", "day", required=True, type=DAY, help="The day it went out.")
@click.option("--purpose", required=True, help="What the recipient may use it for.")
@click.option("--basis", required=True, help="On which ground, in words.")
@click.option("--agreement", help="The agreement it went out under.")
@click.option("--channel", default="", help="How it went out.")
@click.option(
    "--data-class", "data_classes", multiple=True, help="What came along (repeat); default: all of the source."
)
@as_person
@command
def disclosures_record(
    to: str,
    kind: str,
    source: str | None,
    dataset: str | None,
    model: str | None,
    day: datetime,
    purpose: str,
    basis: str,
    agreement: str | None,
    channel: str,
    data_classes: tuple[str, ...],
    person: PersonId,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Write down what went out by other means, however long ago; also where policy would have refused it."""
    from unsee.app.disclosures import Told, described, record

    told = Told(to, kind, day.date(), purpose, basis, source, dataset, model, agreement, channel, data_classes)
    found = record(open_workspace(workspace), told, person=person)
    if as_json:
        print_json({"schema": "unsee/disclosure/1", **found.as_json()})
    else:
        done(f"Disclosure {found.no} is in the register.")
        say(f"  {described(found)}")


@disclosures.command("list")
@click.option("--source", help="Only what touches this source or models made from it.")
@click.option("--to", metavar="RECIPIENT", help="Only what this recipient got.")
@click.option("--readings", is_flag=True, help="With the openings of the permitted reader.")
@command
def disclosures_list(source: str | None, to: str | None, readings: bool, workspace: str | None, as_json: bool) -> None:
    """The register."""
    from unsee.app.disclosures import listed

    rows = listed(open_workspace(workspace), source=source, to=to, readings=readings)
    if as_json:
        print_json({"schema": "unsee/disclosures/1", "disclosures": [d.as_json() for d in rows]})
        return
    table(
        ["no", "on", "kind", "to", "items", "models", "purpose", "by"],
        [
            (
                d.no,
                d.disclosed_on,
                d.kind,
                d.recipient or "(inside)",
                f"{len(d.items):,}",
                ", ".join(d.models) or "–",
                d.purpose,
                d.person,
            )
            for d in rows
        ],
        right=[0, 4],
    )
    for d in rows:
        if "refuse" in d.note:
            say(f"  {d.no}: {d.note}")


@disclosures.command("report")
@click.option("--source", required=True, help="Whose photos are asked about.")
@command
def disclosures_report(source: str, workspace: str | None, as_json: bool) -> None:
    """Who got something of a source or of models made from it; or that the register shows nobody, and since when."""
    from unsee.app.disclosures import described, report
    from unsee.app.interests import conflicts

    ws = open_workspace(workspace)
    found = report(ws, source)
    declared = conflicts(ws, SourceId(source))
    if as_json:
        paths = [path.as_json() for path in declared]
        print_json({"schema": "unsee/disclosures-report/1", **found.as_json(), "conflicts": paths})
        return
    for obtained in found.obtained:
        who, got = obtained.recipient, obtained.received
        say(f"{who.name}, {who.address}, {who.phone} ({who.id})")
        classes, models = ", ".join(got.data_classes) or "no data", ", ".join(got.models) or "none"
        say(f"  got {len(got.items):,} items ({classes}); models: {models}")
        for one in got.disclosures:
            say(f"  {described(one)}")
    for sentence in found.sentences():
        say(sentence)
    show_conflicts(declared)


def instruction_line(one: Instruction) -> str:
    """An instruction and what became of it, in one line."""
    came = "; ".join(f"{e.event} {e.at[:10]}" for e in one.events) or "no answer yet"
    return f"{one.id} under {one.order}, sent {one.at[:10]}" + (f", due {one.due}" if one.due else "") + f": {came}"
