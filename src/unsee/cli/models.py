"""`unsee train`, `evaluate`, `compare`, `model`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unsee.cli.output import as_person, command, done, open_workspace, print_json, progress, say, table
from unsee.core.ids import PersonId

if TYPE_CHECKING:
    from collections.abc import Callable

    from unsee.models.comparison import Comparison
    from unsee.models.evaluation import Measure
    from unsee.training.face_recogniser import Progress


@click.command()
@click.argument("model")
@click.option("--dataset", required=True, help="A frozen dataset.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the recipe (repeat): epochs=8, seed=7 …",
)
@as_person
@command
def train(
    model: str, dataset: str, settings: tuple[str, ...], person: PersonId, workspace: str | None, as_json: bool
) -> None:
    """Train a face recogniser named MODEL on what the permitted reader yields."""
    from unsee.app.training import read_recipe
    from unsee.app.training import train as carry_out

    ws = open_workspace(workspace)
    recipe = read_recipe(settings)
    with progress("photos") as report:

        def after_epoch(at: Progress) -> None:
            report("epochs", at.epoch * at.photos, at.epochs * at.photos)

        made = carry_out(ws, model, dataset=dataset, recipe=recipe, person=person, on_progress=after_epoch)
    if as_json:
        print_json(
            {
                "schema": "unsee/train/1",
                "model": made.model.id,
                "run": made.model.run,
                "digest": made.model.digest,
                "files": dict(made.model.files),
                "photos": made.trained.photos,
                "people": made.trained.people,
                "losses": [f"{loss:.4f}" for loss in made.trained.losses],
                "cost": dict(made.cost),
            }
        )
        return
    done(
        f"Model {made.model.id}: {made.trained.photos:,} photos of {made.trained.people:,} people, "
        f"{made.trained.parameters:,} parameters, loss {made.trained.losses[0]:.2f} → {made.trained.losses[-1]:.2f}."
    )
    cost = f"{made.cost['wall_s']} s, {made.cost['cpu_s']} cpu-s"
    say(f"  {made.model.run}: {cost}; {len(made.model.files)} files, digest {made.model.digest[:16]}…")


@click.command()
@click.argument("model")
@click.option("--on", required=True, metavar="DATASET", help="A dataset of held-out people.")
@click.option("--group-by", default="tone", show_default=True, help="The attribute that makes the groups.")
@command
def evaluate(model: str, on: str, group_by: str, workspace: str | None, as_json: bool) -> None:
    """Measure MODEL on held-out people: TAR@FAR, EER, rank-1, and errors by group."""
    from unsee.app.training import evaluate as measure
    from unsee.models.comparison import cell
    from unsee.models.evaluation import Evaluation

    result = measure(open_workspace(workspace), model, on=on, group_by=group_by)
    found = Evaluation.from_json(result)
    if as_json:
        print_json(
            {"schema": "unsee/evaluate/1", "model": model, "on": on, "evaluation": found.as_json(replicates=False)}
        )
        return
    done(f"{model} on {on}: {found.people} people, {found.photos:,} photos, {found.impostor_pairs:,} impostor pairs.")
    claimed = [m for m in found.measures if m.estimate is not None]
    table(["measure", "value (95 % interval)"], [(m.label, cell(m)) for m in claimed])
    for one in found.measures:
        if one.estimate is None:
            say(f"  not claimed: {one.label}: {one.reason}")


@click.command()
@click.argument("before")
@click.argument("after")
@click.option("--control", help="A model trained without as many random people.")
@click.option("--on", required=True, metavar="DATASET", help="The dataset that all of them were evaluated on.")
@click.option("--plot", type=click.Path(path_type=Path), help="Write the picture (PNG).")
@click.option("--title", default="", help="Of the picture.")
@click.option("--report", type=click.Path(path_type=Path), help="Write the comparison (JSON).")
@command
def compare(
    before: str,
    after: str,
    control: str | None,
    on: str,
    plot: Path | None,
    report: Path | None,
    title: str,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Accuracy and group differences of two models on the same people, with intervals."""
    from unsee.app.training import compare as measure

    found = measure(
        open_workspace(workspace), before, after, control=control, on=on, plot=plot, report=report, title=title
    )
    if as_json:
        print_json(found.as_json())
        return
    _show_comparison(found)
    if plot:
        done(f"Picture: {plot}")


def _show_comparison(found: Comparison) -> None:
    """A table that fits a terminal: what cannot be claimed stands below it once, with its reason."""
    from unsee.models.comparison import quantity, signed

    with_control = any(row.control is not None for row in found.rows)
    lines: list[tuple[str, ...]] = []
    unclaimed: dict[str, list[str]] = {}
    for row in found.rows:
        unit = row.before.kind.unit
        if row.before.estimate is None or row.after.estimate is None:
            unclaimed.setdefault(row.before.reason or row.after.reason, []).append(row.before.label)
            continue
        change = "" if row.change.difference is None else signed(row.change.difference, unit)
        if row.change.low is not None and row.change.high is not None:
            change += f" [{signed(row.change.low, unit)}, {signed(row.change.high, unit)}]"
        cells = [
            "" if m is None or m.estimate is None else quantity(m.estimate, unit) + _bracket(m, quantity)
            for m in (row.before, row.after, *([row.control] if with_control else []))
        ]
        lines.append((row.before.label, cells[0], cells[1], change, *cells[2:]))
    table(["measure", "before", "after", "difference [95 %]", *(["control"] if with_control else [])], lines)
    for reason, labels in unclaimed.items():
        say(f"  not claimed: {', '.join(labels)}: {reason}")
    say("")
    for sentence in found.summary:
        if "not compared" not in sentence:
            say(f"  {sentence}")


def _bracket(measure: Measure, quantity: Callable[[float, str], str]) -> str:
    if measure.low is None or measure.high is None:
        return ""
    low, high = (
        quantity(v, measure.kind.unit).removesuffix(" %").removesuffix("×") for v in (measure.low, measure.high)
    )
    return f" [{low}, {high}]"


@click.group()
def model() -> None:
    """Models, and what they have seen."""


@model.command("deliver")
@click.argument("id")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--to", required=True, metavar="RECIPIENT", help="Who gets it.")
@click.option("--purpose", required=True, help="What it may be used for there.")
@click.option("--basis", default="", help="On which ground, in words.")
@click.option("--agreement", help="The agreement it goes out under.")
@as_person
@command
def model_deliver(
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
    """Copy a model's files into DIRECTORY for a recipient: only what it may be used for, and a release."""
    from unsee.app.export import Grounds, deliver_model

    made = deliver_model(open_workspace(workspace), id, directory, Grounds(to, purpose, person, basis, agreement))
    if as_json:
        print_json({"schema": "unsee/delivery/1", **made.as_json()})
    else:
        done(
            f"{made.files:,} files of model {id} lie in {directory} for {to}, to {purpose}; {made.written:,} written now."
        )
        say(f"  disclosure {made.disclosure.no}: {made.disclosure.basis}; check them with: sha256sum -c SHA256SUMS")


@model.command("list")
@command
def model_list(workspace: str | None, as_json: bool) -> None:
    """Every model that ever was."""
    from unsee.app.training import all_models
    from unsee.app.uses import in_use

    ws = open_workspace(workspace)
    used = in_use(ws)
    rows: list[dict[str, Any]] = [
        {
            "id": m.id,
            "run": m.run,
            "trained_on": list(inputs),
            "digest": m.digest,
            "at": m.at,
            "destroyed_by": m.destroyed_by,
            "released_for": list(used[m.id].purposes) if m.id in used else [],
        }
        for m, inputs in all_models(ws)
    ]
    if as_json:
        print_json({"schema": "unsee/models/1", "models": rows})
    else:
        table(
            ["id", "trained on", "made", "digest", "state"],
            [
                (
                    r["id"],
                    ", ".join(r["trained_on"]),
                    r["at"],
                    r["digest"][:16] + "…",
                    _state(r),
                )
                for r in rows
            ],
        )


def _state(row: dict[str, Any]) -> str:
    if row["destroyed_by"]:
        return f"DESTROYED under {row['destroyed_by']}"
    return f"in use for {', '.join(row['released_for'])}" if row["released_for"] else "kept"
