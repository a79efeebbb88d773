"""Training, evaluating and comparing face recognisers."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection

from unsee.app.workspace import Workspace
from unsee.attest.durable import write_file
from unsee.books import items, parties, training
from unsee.core.errors import AlreadyExists, InputError, Tampered, WrongState
from unsee.core.ids import DatasetId, ModelId, PersonId, RunId, slug
from unsee.core.lineage import Node
from unsee.training import face_recogniser
from unsee.training.face_recogniser import Progress, Trained
from unsee.training.reader import NOBODY, Reader, open_reader
from unsee.training.recipe import Recipe
from unsee.training.recorder import file_digests, record_run


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A model that was made, and what it cost."""

    model: training.Model
    trained: Trained
    cost: Mapping[str, str]


def train(
    ws: Workspace,
    name: str,
    *,
    dataset: str,
    recipe: Recipe,
    person: PersonId,
    on_progress: Callable[[Progress], None],
) -> TrainedModel:
    """Train a face recogniser on a frozen dataset; run, recipe, environment and model are recorded.

    Raises:
        PolicyRefusal, BlockedByOrder: the reader refuses the dataset.
        AlreadyExists: there is or was a model of that name; a name is never given twice.
        InputError: some of its photos show nobody known.
        MissingExtra: torch is not installed.
    """
    model_id = ModelId(slug(name, what="model"))
    with ws.books.read() as conn:
        parties.person(conn, person)
        if any(m.id == model_id for m in training.all_models(conn)):
            raise AlreadyExists("model", model_id)
        run_id = _free_run(conn, model_id)
    reader = open_dataset(ws, dataset, "train-face-recognition", person=person)
    nameless = len(reader) - len(reader.people)
    if nameless:
        raise InputError(
            f"{nameless:,} photos of dataset {dataset} show nobody known; a recogniser learns from labelled people.",
            next_step="Give their people in the metadata file, or freeze a dataset without them.",
        )
    with record_run(
        ws.books,
        run=run_id,
        model=model_id,
        purpose="train-face-recognition",
        recipe={"kind": "face-recogniser", **recipe.as_json()},
        inputs=[Node("dataset", reader.dataset.id)],
        person=person,
        directory=ws.models / model_id,
    ) as recording:
        trained = face_recogniser.train(reader, recipe, recording.directory, progress=on_progress)
    ws.drain()
    with ws.books.read() as conn:
        return TrainedModel(training.model(conn, model_id), trained, training.run(conn, run_id).cost or {})


def evaluate(ws: Workspace, name: str, *, on: str, group_by: str) -> dict[str, Any]:
    """Measure a model on held-out people and record it: TAR@FAR, EER, rank-1, and errors by group.

    Raises:
        WrongState: the model was destroyed, or has seen some of these people.
        Tampered: its files are not those that were recorded.
        PolicyRefusal: the dataset may not be used to evaluate.
        InputError: too few people, or nobody has the attribute `group_by`.
    """
    model = require_model(ws, name)
    with ws.books.read() as conn:
        seen = _people_of_model(conn, model.id)
    reader = open_dataset(ws, on, "test-fairness")
    overlap = seen & {int(p) for p in reader.people.values()}
    if overlap:
        raise WrongState(
            f"Model {name} was trained on {len(overlap)} of the people in {on}; they are not held out.",
            next_step=f'Freeze another set with "--without-people-of {" ".join(_datasets_of(ws, model.id))}".',
        )
    with ws.books.read() as conn:
        groups = {int(no): value for no, value in items.subject_attribute(conn, group_by).items()}
    samples = [s for s in reader if s.person is not None]
    people = np.array([int(s.person or 0) for s in samples])
    if not set(people.tolist()) & set(groups):
        raise InputError(
            f"Nobody in {on} has the attribute {group_by!r}.", next_step="Name another one with --group-by."
        )
    embeddings = face_recogniser.embed(ws.models / model.object_name, (s.data for s in samples))
    from unsee.models.verification import evaluate as measure

    result = measure(embeddings, people, groups, rng=np.random.default_rng(_draw_seed(ws))).as_json()
    with ws.act() as tx:
        training.add_evaluation(tx, model.id, DatasetId(on), {"group_by": group_by, "evaluation": result})
    return result


def compare(
    ws: Workspace,
    before: str,
    after: str,
    *,
    control: str | None,
    on: str,
    plot: Path | None,
    report: Path | None,
    title: str = "",
) -> Any:
    """Compare recorded evaluations of two models, and of a control, on the same people; a `Comparison`.

    Works when the first model is long destroyed: its evaluation holds no photo and no embedding.

    Raises:
        NotFound: no such model or dataset.
        WrongState: a model was not evaluated on the dataset.
        MissingExtra: a plot was asked for, and matplotlib is not installed.
    """
    from unsee.models.comparison import compare as measure

    comparison = measure(
        evaluation_of(ws, before, on),
        evaluation_of(ws, after, on),
        evaluation_of(ws, control, on) if control else None,
    )
    if plot is not None:
        from unsee.models.plots import before_after

        before_after(comparison, plot, title=title or f"{before} → {after}")
    if report is not None:
        write_file(report, json.dumps(comparison.as_json(), indent=2, ensure_ascii=False).encode())
    return comparison


def evaluation_of(ws: Workspace, model: str, on: str) -> Any:
    """The last recorded evaluation of a model on a dataset; an `Evaluation`.

    Raises:
        WrongState: there is none.
    """
    from unsee.models.evaluation import Evaluation

    with ws.books.read() as conn:
        training.model(conn, ModelId(model))
        training.dataset(conn, DatasetId(on))
        found = training.evaluations_of(conn, ModelId(model)).get(DatasetId(on))
    if found is None:
        raise WrongState(
            f"Model {model} was never evaluated on {on}.", next_step=f'Run "unsee evaluate {model} --on {on}".'
        )
    return Evaluation.from_json(found["evaluation"])


def open_dataset(ws: Workspace, name: str, purpose: str, *, person: PersonId = NOBODY) -> Reader:
    """Open a dataset through the permitted reader; the opening stands in the register of disclosures."""
    with ws.books.read() as conn:
        dataset = training.dataset(conn, DatasetId(name))
    stores = ws.stores()
    with ws.act() as tx:
        return open_reader(tx, dataset, purpose, stores, person=person)


def require_model(ws: Workspace, name: str) -> training.Model:
    """The model of that name, present and with the files that were recorded.

    Raises:
        NotFound, WrongState, Tampered: it is not there, was destroyed, or was changed.
    """
    with ws.books.read() as conn:
        model = training.model(conn, ModelId(name))
    if model.destroyed_by is not None:
        raise WrongState(f"Model {name} was destroyed under {model.destroyed_by}.")
    if file_digests(ws.models / model.object_name) != dict(model.files):
        raise Tampered(
            f"The files of model {name} are not those that its run left.", next_step="Restore them, or train it again."
        )
    return model


def all_models(ws: Workspace) -> list[tuple[training.Model, tuple[str, ...]]]:
    """Every model that ever was, in order of making, with the names of what its run was given: datasets and models."""
    with ws.books.read() as conn:
        above: dict[str, set[str]] = {}
        for edge in training.all_edges(conn):
            if edge.below.kind == "run":
                above.setdefault(edge.below.name, set()).add(edge.above.name)
        return [(m, tuple(sorted(above.get(m.run, ())))) for m in training.all_models(conn)]


def read_recipe(settings: Sequence[str]) -> Recipe:
    """The default recipe with `name=value` settings.

    Raises:
        InputError: a setting is not of that form, or names no field.
    """
    fields: dict[str, Any] = Recipe().as_json()
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator or key not in fields or key == "schema":
            raise InputError(
                f"{setting!r} sets nothing.",
                next_step="Settings: " + ", ".join(k for k in fields if k != "schema") + ".",
            )
        fields[key] = int(value) if isinstance(fields[key], int) and value.lstrip("-").isdigit() else value
    return Recipe.from_json(fields)


def _draw_seed(ws: Workspace) -> int:
    """The same in every evaluation of a workspace, so that two models are compared pair by pair; and secret, because who knows the
    draws could solve the stored replicates for an error share of each test person."""
    return int.from_bytes(hmac.digest(ws.secret("pseudonym"), b"unsee evaluation draws 1", "sha256")[:16])


def _free_run(conn: Connection, model: ModelId) -> RunId:
    taken = {r.id for r in training.all_runs(conn)}
    number = 1
    while RunId(f"run-{model[:50]}-{number}") in taken:
        number += 1
    return RunId(f"run-{model[:50]}-{number}")


def _people_of_model(conn: Connection, model: ModelId) -> set[int]:
    people: set[int] = set()
    for name in _inputs(conn, model):
        people |= set(items.people_in(conn, training.dataset(conn, DatasetId(name)).items))
    return people


def _datasets_of(ws: Workspace, model: ModelId) -> list[str]:
    with ws.books.read() as conn:
        return sorted(_inputs(conn, model))


def _inputs(conn: Connection, model: ModelId) -> set[str]:
    above: dict[Node, set[Node]] = {}
    for edge in training.all_edges(conn):
        above.setdefault(edge.below, set()).add(edge.above)
    found: set[str] = set()
    waiting = [Node("model", model)]
    while waiting:
        for node in above.get(waiting.pop(), ()):
            if node.kind == "dataset":
                found.add(node.name)
            waiting.append(node)
    return found
