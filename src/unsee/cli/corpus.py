"""`unsee intake`, `dataset`."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unsee.cli.output import (
    MAX_DETAILS,
    as_person,
    command,
    done,
    open_workspace,
    print_json,
    progress,
    say,
    table,
    workers_option,
)
from unsee.core.ids import PersonId

if TYPE_CHECKING:
    from unsee.books.training import Dataset
    from unsee.intake.outcome import NotTaken, TakenIn

_SHOWN = 3


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--source", required=True, help="Whose photos they are.")
@click.option(
    "--metadata",
    type=click.Path(path_type=Path),
    help="CSV or JSON Lines: file, person, attributes, consent; default: photos.csv …",
)
@click.option(
    "--on-error",
    type=click.Choice(["refuse", "keep"]),
    default="refuse",
    show_default=True,
    help="A bad row of the metadata: take nothing in, or leave it out with its photo and go on.",
)
@click.option(
    "--leave-out", multiple=True, metavar="FIELD", help="An attribute of the metadata not to take in (repeat)."
)
@click.option(
    "--quarantine-days",
    type=click.IntRange(1, 365),
    help="How long photos that come through no channel are held; default: quarantine_days in unsee.toml, or 30.",
)
@as_person
@workers_option
@command
def intake(
    folder: Path,
    source: str,
    metadata: Path | None,
    on_error: str,
    leave_out: tuple[str, ...],
    quarantine_days: int | None,
    person: PersonId,
    workers: int,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Take a folder of photos in. The photos stay where they are; running it twice adds nothing.

    What lies in no registered channel of the source is recorded, but quarantined: exit code 3.
    """
    from unsee.app.intake import quarantine_of, take_in

    with progress("photos") as report:
        result = take_in(
            open_workspace(workspace),
            folder,
            source=source,
            metadata=metadata,
            person=person,
            workers=workers,
            quarantine_days=quarantine_days,
            keep_good=on_error == "keep",
            leave_out=leave_out,
            on_progress=report,
        )
    held = quarantine_of(result)
    if as_json:
        print_json(result.as_json())  # the one document; its field `quarantine` says why the exit code is not 0
    else:
        _show_intake(result)
        if held is not None:
            raise held
    if held is not None:
        sys.exit(held.exit_code)


def _show_intake(result: TakenIn) -> None:
    how = f"recorded for {result.source}, in quarantine" if result.quarantined else f"taken in for {result.source}"
    done(f"{result.new:,} photos {how}; {result.consents:,} consents.")
    for count, text in (
        (result.unchanged, "known and untouched: nothing to do"),
        (result.named, "known photos: the metadata now says who is in them"),
        (result.more_copies, "further copies of photos that are known"),
        (result.without_person, "show nobody known"),
        (result.opted_out, "carry an opt-out from training"),
    ):
        if count:
            say(f"  {count:,} {text}")
    _show_not_taken("refused", result.refused)
    _show_not_taken("REFUSED BY THE SUPPRESSION LIST", result.suppressed)
    _show_not_taken("left out", [n for n in result.left_out if n.reason != "it is the metadata file"])
    _show_not_taken("rows without a photo", result.rows_without_file)
    if result.bad_rows:
        say(f"  {len(result.bad_rows):,} bad rows of the metadata:")
        for bad in result.bad_rows[:MAX_DETAILS]:
            say(f"    line {bad.line}" + (f", field {bad.field}" if bad.field else "") + f": {bad.reason}")
        if len(result.bad_rows) > MAX_DETAILS:
            say(f"    and {len(result.bad_rows) - MAX_DETAILS:,} more (--json lists all)")
    for field in result.fields_left_out:
        say(f"  {field} is left out; the metadata file, which is recorded as it lies there, still has it")
    if result.consents_unheard:
        say(f"  {result.consents_unheard:,} consents are not heard: what they came with is in quarantine")
    for note, count in result.notes.items():
        say(f"  {count:,} × {note}")


def _show_not_taken(what: str, entries: list[NotTaken]) -> None:
    if not entries:
        return
    say(f"  {len(entries):,} {what}:")
    for reason, count in Counter(n.reason for n in entries).most_common():
        names = [n.file for n in entries if n.reason == reason]
        more = f" and {count - _SHOWN:,} more" if count > _SHOWN else ""
        say(f"    {count:,} × {reason}: {', '.join(names[:_SHOWN])}{more}")


@click.group()
def dataset() -> None:
    """Frozen sets of photos with a purpose and a Merkle root."""


@dataset.command("freeze")
@click.argument("id")
@click.option("--purpose", required=True, help="What it may be read for.")
@click.option("--source", "sources", multiple=True, help="Only of this source (repeat); default: all.")
@click.option("--of", "of", metavar="DATASET", help="Only of this dataset.")
@click.option("--without-people-of", "held_out", multiple=True, metavar="DATASET", help="Nobody who is in it (repeat).")
@click.option(
    "--drop-people", type=click.IntRange(min=0), default=0, help="Leave out so many people at random: a control."
)
@click.option("--seed", type=int, default=0, help="Of that draw.")
@click.option("--permitted-only", is_flag=True, help="Leave out what policy refuses.")
@click.option("--override-policy", is_flag=True, help="Take in what policy refuses; stands in the log for ever.")
@click.option("--reason", help="Why policy is overridden.")
@as_person
@command
def dataset_freeze(
    id: str,
    purpose: str,
    sources: tuple[str, ...],
    of: str | None,
    held_out: tuple[str, ...],
    drop_people: int,
    seed: int,
    permitted_only: bool,
    override_policy: bool,
    reason: str | None,
    person: PersonId,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Freeze a dataset. Refused as a whole where policy refuses an item, unless told otherwise."""
    from unsee.app.datasets import Override, Selection, freeze

    if override_policy and not reason:
        raise click.UsageError("--override-policy needs --reason: it is written into the log and every report.")
    if override_policy and permitted_only:
        raise click.UsageError("--permitted-only and --override-policy exclude each other.")
    frozen, decision = freeze(
        open_workspace(workspace),
        id,
        purpose=purpose,
        selection=Selection(sources, of, held_out, drop_people, seed),
        permitted_only=permitted_only,
        override=Override(person, reason or "") if override_policy else None,
        person=person,
    )
    if as_json:
        print_json({**_dataset(frozen), "refused": [r.as_json() for r in decision.refusals]})
        return
    done(f"Dataset {frozen.id} for {purpose}: {len(frozen.items):,} photos, root {frozen.root[:16]}…")
    for refusal in decision.refusals:
        say(f"  {'overridden' if frozen.override else 'left out'}: {refusal}")
    if frozen.override:
        click.secho(f"  POLICY OVERRIDDEN by {person}: {reason}", fg="yellow", bold=True)


@dataset.command("export")
@click.argument("id")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--to", required=True, metavar="RECIPIENT", help="Who gets it.")
@click.option("--purpose", default="share", show_default=True, help="What it may be used for there.")
@click.option("--basis", default="", help="On which ground, in words.")
@click.option("--agreement", help="The agreement it goes out under.")
@as_person
@command
def dataset_export(
    id: str,
    directory: Path,
    to: str,
    purpose: str,
    basis: str,
    agreement: str | None,
    person: PersonId,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Write the photos of a dataset into DIRECTORY for a recipient. In the register before the first byte leaves."""
    from unsee.app.export import Grounds, export_dataset

    with progress("photos") as report:
        made = export_dataset(
            open_workspace(workspace),
            id,
            directory,
            Grounds(to, purpose, person, basis, agreement),
            on_progress=report,
        )
    if as_json:
        print_json({"schema": "unsee/export/1", **made.as_json()})
    else:
        done(f"{made.files:,} photos of {id} lie in {directory} for {to}; {made.written:,} were written now.")
        say(f"  disclosure {made.disclosure.no}: {made.disclosure.basis}; check them with: sha256sum -c SHA256SUMS")


@dataset.command("list")
@command
def dataset_list(workspace: str | None, as_json: bool) -> None:
    """Every dataset."""
    from unsee.app.datasets import all_datasets

    rows = all_datasets(open_workspace(workspace))
    if as_json:
        print_json({"schema": "unsee/datasets/1", "datasets": [_dataset(d) for d in rows]})
    else:
        table(
            ["id", "purpose", "photos", "root", "policy"],
            [
                (d.id, d.purpose, f"{len(d.items):,}", d.root[:16] + "…", "OVERRIDDEN" if d.override else "permitted")
                for d in rows
            ],
            right=[2],
        )


def _dataset(frozen: Dataset) -> dict[str, object]:
    return {
        "schema": "unsee/dataset/1",
        "id": frozen.id,
        "purpose": frozen.purpose,
        "items": len(frozen.items),
        "root": frozen.root,
        "override": frozen.override,
        "definition": dict(frozen.definition),
        "at": frozen.at,
    }
