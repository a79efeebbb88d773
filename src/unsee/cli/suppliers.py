"""`unsee assessment`, `privacy-policy`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from unsee.cli.output import DAY, as_person, command, day, done, open_workspace, print_json, say, table
from unsee.core.canonical import fields
from unsee.core.ids import PersonId


@click.group()
def assessment() -> None:
    """Whether suppliers' consent evidence was looked at, and when it is due."""


@assessment.command("record")
@click.argument("source")
@click.option("--on", type=DAY, required=True, help="The day of the assessment.")
@click.option("--evidence", required=True, type=click.Path(path_type=Path), help="What was looked at; kept by digest.")
@click.option("--result", required=True, help="passed or failed")
@click.option("--next-due", type=DAY, help="Default, and latest: a year after.")
@click.option("--note", default="", help="What was found.")
@as_person
@command
def assessment_record(
    source: str,
    on: datetime,
    evidence: Path,
    result: str,
    next_due: datetime | None,
    note: str,
    person: PersonId,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Record an assessment of the supplier of SOURCE: within 30 days of registration, then every year."""
    from unsee.app.suppliers import record_assessment

    made = record_assessment(
        open_workspace(workspace),
        source,
        on=on.date(),
        evidence=evidence,
        result=result,
        next_due=day(next_due),
        note=note,
        person=person,
    )
    if as_json:
        print_json({"schema": "unsee/assessment/1", **fields(made)})
    else:
        done(f"Supplier of {source} assessed on {made.assessed_on}: {made.result}; the next is due on {made.next_due}.")


@assessment.command("list")
@click.option("--due", is_flag=True, help="Only those due within 30 days, and the overdue.")
@command
def assessment_list(due: bool, workspace: str | None, as_json: bool) -> None:
    """Every supplier: when it was assessed, when it is due, and what is barred meanwhile."""
    from unsee.app.suppliers import assessment_duties

    duties = assessment_duties(open_workspace(workspace), due_only=due)
    if as_json:
        print_json({"schema": "unsee/assessments/1", "sources": [d.as_json() for d in duties]})
        return
    table(
        ["source", "assessed", "result", "next due", "barred"],
        [
            (
                d.source,
                d.last.assessed_on if d.last else "never",
                d.last.result if d.last else "",
                d.next_due or "",
                f"use: {d.bars_use}" if d.bars_use else f"intake: {d.bars_intake}" if d.bars_intake else "",
            )
            for d in duties
        ],
    )


@click.group()
def privacy_policy() -> None:
    """What givers told their users: snapshots, held against agreements."""


@privacy_policy.command("add")
@click.argument("source")
@click.option("--text", required=True, type=click.Path(path_type=Path), help="The policy's text; kept by digest.")
@click.option("--in-force", type=DAY, required=True, help="The day from which it held.")
@click.option("--url", default="", help="Where it was published.")
@click.option("--purpose", "purposes", multiple=True, help="A purpose that it allows (repeat).")
@click.option("--recipient-category", "categories", multiple=True, help="A recipient that it names (repeat).")
@as_person
@command
def privacy_policy_add(
    source: str,
    text: Path,
    in_force: datetime,
    url: str,
    purposes: tuple[str, ...],
    categories: tuple[str, ...],
    person: PersonId,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Keep a snapshot of the giver's privacy policy. The one in force at collection decides; later ones widen nothing."""
    from unsee.app.suppliers import add_privacy_policy

    made = add_privacy_policy(
        open_workspace(workspace),
        source,
        text=text,
        in_force=in_force.date(),
        purposes=purposes,
        recipient_categories=categories,
        url=url,
        person=person,
    )
    if as_json:
        print_json({"schema": "unsee/privacy-policy/1", **fields(made)})
        return
    allows, tells = ", ".join(made.purposes) or "nothing", ", ".join(made.recipient_categories) or "nobody"
    done(f"Privacy policy of {source} in force since {made.in_force_on}: allows {allows}; names {tells}.")


@privacy_policy.command("list")
@command
def privacy_policy_list(workspace: str | None, as_json: bool) -> None:
    """Every snapshot."""
    from unsee.app.suppliers import all_privacy_policies

    held = all_privacy_policies(open_workspace(workspace))
    if as_json:
        print_json({"schema": "unsee/privacy-policies/1", "privacy_policies": [fields(p) for p in held]})
    else:
        table(
            ["source", "in force", "allows", "recipients", "sha256"],
            [
                (
                    p.source,
                    p.in_force_on,
                    ", ".join(p.purposes),
                    ", ".join(p.recipient_categories),
                    f"{p.text_sha256[:16]}…",
                )
                for p in held
            ],
        )


@privacy_policy.command("check")
@click.argument("source")
@command
def privacy_policy_check(source: str, workspace: str | None, as_json: bool) -> None:
    """Hold the agreements about SOURCE against the policy that was in force when its photos were collected."""
    from unsee.app.suppliers import check_privacy_policy

    seen = check_privacy_policy(open_workspace(workspace), source)
    if as_json:
        print_json({"schema": "unsee/privacy-policy-check/1", **seen.as_json()})
        return
    if seen.decides is not None:
        say(f"Collected on {seen.source.collected_on}: the policy in force since {seen.decides.in_force_on} decides.")
    else:
        wanted = "one is needed" if seen.needed else "none is needed for this kind of source"
        say(f"Collected on {seen.source.collected_on}: no snapshot was in force; {wanted}.")
    for agreement, state, reasons in seen.agreements:
        say(f"  {agreement.id} ({state}): " + ("contradicted" if reasons else "nothing stands against it"))
        for reason in reasons:
            say(f"    · {reason}")
