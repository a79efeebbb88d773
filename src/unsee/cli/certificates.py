"""`unsee certify`, `receipt`, `log`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from unsee.cli.output import as_person, command, done, open_workspace, print_json, say, table
from unsee.core.ids import PersonId


@click.command()
@click.argument("order")
@click.option("--out", type=click.Path(path_type=Path), help="Directory; default: reports/ORDER in the workspace.")
@click.option("--before", metavar="MODEL", help="A destroyed model whose accuracy is set beside …")
@click.option("--after", metavar="MODEL", help="… that of the model which replaces it.")
@click.option("--control", metavar="MODEL", help="Trained without as many random people.")
@click.option("--on", metavar="DATASET", help="The dataset that all of them were evaluated on.")
@click.option("--receipts", is_flag=True, help="Write everybody's receipt too; without it they are derived on request.")
@click.option("--basis", default="own knowledge", show_default=True, help="What the person who will sign relies on.")
@as_person
@command
def certify(
    order: str,
    out: Path | None,
    before: str | None,
    after: str | None,
    control: str | None,
    on: str | None,
    receipts: bool,
    basis: str,
    person: PersonId,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Write the signed certificate of ORDER, its readable PDF, and the root of everybody's receipts."""
    from unsee.app.certification import Measured, Request
    from unsee.app.certification import certify as issue
    from unsee.app.training import compare

    ws = open_workspace(workspace)
    given = [before, after, on]
    if any(given) and not all(given):
        raise click.UsageError("--before, --after and --on go together.")
    directory = out or ws.root / "reports" / order
    measured, plot = None, None
    if before and after and on:
        measured = Measured(before, after, on, control)
        directory.mkdir(parents=True, exist_ok=True)
        plot = directory / "before-after.png"
        compare(ws, before, after, control=control, on=on, plot=plot, report=None, title=f"Before and after {order}")
    made = issue(ws, Request(order, person, directory, measured, plot, receipts, basis))
    if as_json:
        print_json(
            {
                "schema": "unsee/certified/1",
                "certificate": str(made.certificate),
                "pdf": str(made.pdf) if made.pdf else None,
                "receipts": made.receipts,
                "payload_sha256": made.payload_sha256,
                "operator_key_fingerprint": made.operator_key,
            }
        )
        return
    done(f"{made.certificate}")
    if made.pdf:
        done(f"{made.pdf}: for people; the declaration waits for a person's signature")
    else:
        say('  no PDF: it needs the extra "report" (pip install "unsee[report]")')
    where = f"in {made.receipts_directory}/" if made.receipts_directory else "derived on request: unsee receipt"
    done(f"{made.receipts:,} receipts {where}")
    say(f"  operator key {made.operator_key}")
    say("  The plan's file names, its journal and the digests put aside were destroyed.")


@click.command()
@click.argument("order")
@click.option("--subject", required=True, help="The id under which the source knew the person.")
@click.option("--out", type=click.Path(path_type=Path), help="A file; default: stdout.")
@command
def receipt(order: str, subject: str, out: Path | None, workspace: str | None, as_json: bool) -> None:
    """One person's receipt: outcome and proof, no face data."""
    from unsee.app.certification import receipt as derive
    from unsee.attest.durable import write_file

    text = derive(open_workspace(workspace), order, person=subject)
    if out is None:
        click.echo(text.decode(), nl=False)
        return
    write_file(out, text)
    if as_json:
        print_json({"schema": "unsee/receipt-written/1", "file": str(out)})
    else:
        done(f"{out}")


@click.group()
def log() -> None:
    """The transparency log."""


@log.command("show")
@click.option("--last", type=click.IntRange(min=1), default=20, show_default=True, help="How many facts.")
@command
def log_show(last: int, workspace: str | None, as_json: bool) -> None:
    """The newest facts, and the signed checkpoint over all."""
    from unsee.app.logbook import recent

    ws = open_workspace(workspace)
    found = recent(ws.books, last)
    checkpoint = ws.log.checkpoint()
    if as_json:
        print_json(
            {
                "schema": "unsee/log/1",
                "origin": checkpoint.origin,
                "size": checkpoint.size,
                "root": checkpoint.root.hex(),
                "facts": [{"index": f.log_index, **json.loads(f.body)} for f in found],
            }
        )
        return
    rows = []
    for fact in found:
        body = json.loads(fact.body)
        moment = body.pop("at")
        body.pop("fact")
        rows.append((fact.log_index, moment, fact.kind, _brief(body)))
    table(["entry", "at", "fact", ""], rows, right=[0])
    signer = ws.log.public_key.fingerprint[:16]
    say(f"{checkpoint.origin}: {checkpoint.size:,} entries, root {checkpoint.root.hex()[:16]}…, signed by {signer}…")


def _brief(body: dict[str, object]) -> str:
    text = ", ".join(f"{k} {v}" for k, v in body.items() if isinstance(v, str | int) and v not in ("", None))
    return text if len(text) <= 90 else text[:89] + "…"
