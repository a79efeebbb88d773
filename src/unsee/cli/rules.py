"""`unsee rules`: what the law of each place asks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unsee.cli.output import command, open_workspace, print_json, say, table

if TYPE_CHECKING:
    from unsee.core.rules import Jurisdiction

rules_option = click.option(
    "--rules",
    "rules_file",
    type=click.Path(path_type=Path),
    help='Proposed rules (TOML, as "unsee rules export" writes them) in place of those in force.',
)


@click.group()
def rules() -> None:
    """What the law of each place asks, as data with citations."""


@rules.command("list")
@rules_option
@command
def rules_list(rules_file: Path | None, workspace: str | None, as_json: bool) -> None:
    """Every jurisdiction whose rules are known."""
    from unsee.app.rules import rule_book

    book = rule_book(open_workspace(workspace), rules_file)
    if as_json:
        print_json({"schema": "unsee/rules/1", "jurisdictions": [_as_json(p) for p in book.jurisdictions]})
        return
    table(
        ["id", "rules", "written release", "asked apart", "photos kept", "prohibits"],
        [
            (
                p.id,
                p.name,
                "yes" if p.written_release else "",
                "yes" if p.separate_from_terms else "",
                f"{p.retention_days['photo']:,} days" if "photo" in p.retention_days else "",
                ", ".join(p.prohibited),
            )
            for p in book.jurisdictions
        ],
    )


@rules.command("show")
@click.argument("jurisdiction")
@rules_option
@command
def rules_show(jurisdiction: str, rules_file: Path | None, workspace: str | None, as_json: bool) -> None:
    """One jurisdiction, by its id or by a place that it covers, with the source of each rule."""
    from unsee.app.rules import jurisdiction as find
    from unsee.app.rules import rule_book

    place = find(rule_book(open_workspace(workspace), rules_file), jurisdiction)
    if as_json:
        print_json({"schema": "unsee/rules-show/1", **_as_json(place)})
        return
    say(f"{place.id}: {place.name}")
    words = {
        "written_release": "only a consent with a written release counts",
        "separate_from_terms": "only a consent that was asked apart from other terms counts",
        "retention_days": ", ".join(f"{c} kept at most {n:,} days" for c, n in sorted(place.retention_days.items())),
        "prohibited": f"prohibited: {', '.join(place.prohibited)}",
    }
    for rule, citation in place.citations.items():
        say(f"  {words[rule]}  [{citation}]")
    if place.covers:
        say(f"  covers {', '.join(place.covers)}")
    if place.note:
        say(f"  {place.note}")


@rules.command("export")
@command
def rules_export(workspace: str | None, as_json: bool) -> None:
    """The rules in force and the retention schedule, as a TOML file for `--rules`."""
    from unsee.app.rules import rule_book
    from unsee.core.rulefile import to_toml

    text = to_toml(rule_book(open_workspace(workspace)))
    if as_json:
        print_json({"schema": "unsee/rules-export/1", "toml": text})
    else:
        click.echo(text, nl=False)


def _as_json(place: Jurisdiction) -> dict[str, Any]:
    return {
        "id": place.id,
        "name": place.name,
        "covers": list(place.covers),
        "written_release": place.written_release,
        "separate_from_terms": place.separate_from_terms,
        "retention_days": dict(place.retention_days),
        "prohibited": list(place.prohibited),
        "citations": dict(place.citations),
        "note": place.note,
    }
