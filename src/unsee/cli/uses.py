"""`unsee may-use`, `why`, `audit`, and `unsee model release`, `withdraw`."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unsee.cli.models import model
from unsee.cli.output import DAY, as_person, command, done, open_workspace, print_json, say
from unsee.cli.rules import rules_option
from unsee.core.ids import PersonId

if TYPE_CHECKING:
    from unsee.app.audit import Audit

REFUSED = 3
"""The exit code of a rule that says no."""


@click.command("may-use")
@click.argument("model")
@click.option("--purpose", required=True, help="What it is to be used for: verify-1-to-1, identify-1-to-n …")
@command
def may_use(model: str, purpose: str, workspace: str | None, as_json: bool) -> None:
    """Whether MODEL may be used for a purpose: what all of its inputs allow. Exit code 0 for yes, 3 for no."""
    from unsee.app.uses import may_use as ask

    answer = ask(open_workspace(workspace), model, purpose)
    if as_json:
        print_json({"schema": "unsee/may-use/1", **answer.as_json()})
    else:
        say(
            f"{'YES' if answer.allowed else 'NO'}: {model} may {'' if answer.allowed else 'not '}be used for {purpose}."
        )
        for objection in answer.objections:
            say(f"  {objection}")
        say(f"  It stands on {answer.items:,} items through {', '.join(answer.inputs) or 'nothing on record'}.")
    sys.exit(0 if answer.allowed else REFUSED)


@click.command()
@click.argument("item", type=int)
@click.option("--purpose", required=True, help="What it is to be used for.")
@command
def why(item: int, purpose: str, workspace: str | None, as_json: bool) -> None:
    """Why ITEM (its number) may or may not be used for a purpose, and its way through the books."""
    from unsee.app.uses import why as ask

    answer = ask(open_workspace(workspace), item, purpose)
    if as_json:
        print_json({"schema": "unsee/why/1", **answer.as_json()})
        return
    refusal, way = answer.refusal, answer.way
    if refusal is None:
        say(f"YES: item {item} may be used for {purpose}.")
    else:
        say(f"NO: item {item} may not be used for {purpose}: {refusal.code}: {refusal.reason}.")
    by = f"through channel {way.channel}" if way.channel else "through no channel"
    what = "a document" if way.document else "a photo"
    say(f"  came in     {what} of {way.source}, batch {way.batch}, {way.at}, by {way.person}, {by}")
    say(f"  in datasets {', '.join(answer.datasets) or 'none'}")
    models = [f"{name} (destroyed under {order})" if order else name for name, order in answer.models]
    say(f"  in models   {', '.join(models) or 'none'}")
    say(f"  in orders   {', '.join(answer.orders) or 'none'}")
    if answer.gone is not None:
        say(f"  gone        {answer.gone}")


@model.command("release")
@click.argument("name", metavar="MODEL")
@click.option("--purpose", "purposes", multiple=True, required=True, help="What it may be used for (repeat).")
@as_person
@command
def model_release(name: str, purposes: tuple[str, ...], person: PersonId, workspace: str | None, as_json: bool) -> None:
    """Put MODEL to use for purposes that all of its inputs allow; in place of an earlier release."""
    from unsee.app.uses import release

    released = release(open_workspace(workspace), name, purposes, person=person)
    if as_json:
        print_json({"schema": "unsee/model-release/1", "model": name, "purposes": list(released)})
    else:
        done(f"{name} is released for {', '.join(released)}.")


@model.command("withdraw")
@click.argument("name", metavar="MODEL")
@click.option("--note", required=True, help="Why.")
@as_person
@command
def model_withdraw(name: str, note: str, person: PersonId, workspace: str | None, as_json: bool) -> None:
    """Take MODEL out of use."""
    from unsee.app.uses import withdraw

    withdraw(open_workspace(workspace), name, person=person, note=note)
    if as_json:
        print_json({"schema": "unsee/model-withdraw/1", "model": name})
    else:
        done(f"{name} is out of use.")


@click.command()
@click.option("--as-of", type=DAY, help="Judge as of the end of this day, past or to come; default: now.")
@rules_option
@click.option("--purpose", help="Judge every dataset for this purpose, not for its own.")
@click.option("--fail-on-findings", is_flag=True, help="Exit with 3 where anything would fall.")
@command
def audit(
    as_of: datetime | None,
    rules_file: Path | None,
    purpose: str | None,
    fail_on_findings: bool,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Judge all datasets, runs and models again, and list what would fall. Nothing changes."""
    from unsee.app.audit import audit as judge

    found = judge(
        open_workspace(workspace), day=as_of.date() if as_of else None, rules_file=rules_file, purpose=purpose
    )
    if as_json:
        print_json({"schema": "unsee/audit/1", **found.as_json()})
    else:
        _show(found)
    sys.exit(REFUSED if fail_on_findings and found.findings else 0)


def _show(found: Audit) -> None:
    datasets, runs, models = found.judged
    under = "the rules in force" if found.rules == "in force" else f"the rules of {found.rules}"
    say(f"As of {found.as_of}, under {under}: {datasets} datasets, {runs} runs, {models} models judged.")
    if not found.findings:
        say("  Nothing would fall.")
    for release in found.releases:
        say(f"  IN USE   {release.model} for {release.purpose}")
        for objection in release.objections:
            say(f"             {objection}")
    for dataset in found.datasets:
        refused = sum(len(r.items) for r in dataset.refusals)
        over = "; frozen with an override" if dataset.overridden else ""
        say(f"  dataset  {dataset.id} for {dataset.purpose}: {refused:,} of {dataset.items:,} items{over}")
        for refusal in dataset.refusals:
            say(f"             {refusal}")
    for below in found.below:
        say(f"  {below.kind:<8} {below.id}: {below.reason}")
