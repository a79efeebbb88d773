"""`unsee agreement`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unsee.cli.output import DAY, as_person, command, day, done, open_workspace, print_json, say, show_conflicts, table
from unsee.core.canonical import fields
from unsee.core.ids import PersonId

if TYPE_CHECKING:
    from unsee.core.parties import Party


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
@click.option(
    "--party",
    "others",
    multiple=True,
    metavar="NAME|ROLE|ADDRESS|CONTACT",
    help="A party; what is unknown is left out.",
)
@click.option("--onward-sharing", type=click.Choice(["none", "listed", "allowed"]), default="none", show_default=True)
@click.option("--recipient", "recipients", multiple=True, help="To whom the data may go, when listed (repeat).")
@click.option("--geography", multiple=True, help="Where the data may be (repeat).")
@click.option("--delete-on-termination", is_flag=True, help="The data goes when the agreement ends.")
@click.option("--consideration", default="", help="What is given for the data.")
@click.option("--recipient-category", default="", help="What the taker is, in the words of the giver's privacy policy.")
@click.option("--delivery", default="", help="How the data is to be delivered.")
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
    onward_sharing: str,
    recipients: tuple[str, ...],
    geography: tuple[str, ...],
    delete_on_termination: bool,
    consideration: str,
    recipient_category: str,
    delivery: str,
    person: PersonId,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Draft an agreement; it permits nothing until it is approved."""
    from unsee.app.agreements import draft
    from unsee.core.parties import OnwardSharing, Terms

    made = draft(
        open_workspace(workspace),
        id,
        source=source_id,
        document=document,
        purposes=purposes,
        prohibitions=prohibitions,
        valid_from=begins.date(),
        valid_until=day(ends),
        person=person,
        terms=Terms(
            OnwardSharing(onward_sharing),
            recipients,
            geography,
            delete_on_termination,
            consideration,
            recipient_category,
            delivery,
            tuple(_party(text) for text in others),
        ),
    )
    if as_json:
        print_json({"schema": "unsee/agreement/1", **fields(made)})
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
        from unsee.app import agreements
        from unsee.core.parties import AgreementStatus

        ws = open_workspace(workspace)
        moved = agreements.move(ws, id, AgreementStatus(status), person=person, note=note)
        own = [path for path in agreements.report(ws, id).conflicts if path.interest.person == person]
        if as_json:
            print_json({"schema": "unsee/agreement/1", **fields(moved), "conflicts": [path.as_json() for path in own]})
        else:
            done(f"Agreement {moved.id} is {moved.status} by {person}.")
            show_conflicts(own)


_moving("submit", "in-review", "Submit a draft for review.")
_moving(
    "approve",
    "approved",
    "Approve an agreement, or co-sign it. Its drafter, and people with an interest in a party, come after an independent one.",
)
_moving("reject", "rejected", "Reject an agreement.")
_moving("terminate", "terminated", "Terminate an agreement: what stands on it may no longer be used.")


@agreement.command("show")
@click.argument("id")
@command
def agreement_show(id: str, workspace: str | None, as_json: bool) -> None:
    """One agreement: its terms, its life, and every declared conflict."""
    from unsee.app.agreements import report

    found = report(open_workspace(workspace), id)
    if as_json:
        print_json({"schema": "unsee/agreement/1", **found.as_json()})
        return
    agreed, terms = found.agreement, found.agreement.terms
    say(f"{agreed.id}: {found.state}; source {agreed.source}; {found.term}")
    details = {p.name: ", ".join(filter(None, [p.role, p.address, p.contact])) for p in terms.parties}
    for name in agreed.parties:
        say(f"  party       {name}" + (f" ({details[name]})" if details.get(name) else ""))
    say(f"  permits     {', '.join(agreed.purposes)}")
    say(f"  prohibits   {', '.join(agreed.prohibitions) or 'nothing further'}")
    say(f"  sharing     {terms.onward_sharing}" + (f": {', '.join(terms.recipients)}" if terms.recipients else ""))
    for label, text in (
        ("geography", ", ".join(terms.geography)),
        ("for", terms.consideration),
        ("taker is", terms.recipient_category),
        ("delivery", terms.channel),
        ("at its end", "the data is deleted" if terms.deletion_on_termination else ""),
    ):
        if text:
            say(f"  {label:<11} {text}")
    say(f"  document    sha256 {agreed.document_sha256}")
    for step in found.life:
        say(f"  {step.at[:10]}  {step.status} by {step.person}" + (f": {step.note}" if step.note else ""))
    show_conflicts(found.conflicts)


@agreement.command("list")
@command
def agreement_list(workspace: str | None, as_json: bool) -> None:
    """Every agreement and its state."""
    from unsee.app.agreements import all_reports

    rows = all_reports(open_workspace(workspace))
    if as_json:
        print_json({"schema": "unsee/agreements/1", "agreements": [r.as_json() for r in rows]})
    else:
        table(
            ["id", "source", "state", "permits", "term", "conflicts"],
            [
                (
                    r.agreement.id,
                    r.agreement.source,
                    r.state,
                    ", ".join(r.agreement.purposes),
                    r.term,
                    len(r.conflicts) or "",
                )
                for r in rows
            ],
        )


def _party(text: str) -> Party:
    """`NAME|ROLE|ADDRESS|CONTACT`, of which all but the name may be missing."""
    from unsee.core.parties import Party

    parts = [part.strip() for part in text.split("|")]
    if not parts[0] or len(parts) > 4:
        raise click.BadParameter(f"{text!r} is not NAME|ROLE|ADDRESS|CONTACT", param_hint="--party")
    return Party(*parts)
