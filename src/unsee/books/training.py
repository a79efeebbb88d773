"""Datasets, runs, models and evaluations: what was trained on what."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books import facts
from unsee.books.database import Tx
from unsee.books.schema import datasets, evaluations, lineage, model_events, models, runs
from unsee.books.sets import unpack
from unsee.core.errors import AlreadyExists, NotFound
from unsee.core.ids import DatasetId, ItemSet, ModelId, OrderId, PersonId, RunId
from unsee.core.lineage import Edge, Node


@dataclass(frozen=True, slots=True)
class Dataset:
    """A frozen set of items with a purpose and a Merkle root."""

    id: DatasetId
    purpose: str
    items: ItemSet
    root: str
    override: Mapping[str, Any] | None
    """Who overrode the policy and why, and what it had refused; None for a lawful set."""
    definition: Mapping[str, Any]
    person: PersonId
    at: str


@dataclass(frozen=True, slots=True)
class Run:
    """One training. `cost` holds `cpu_s` and `wall_s` as decimal strings; None while it runs or when it was killed."""

    id: RunId
    purpose: str
    recipe: Mapping[str, Any]
    environment: Mapping[str, Any]
    person: PersonId
    started_at: str
    ended_at: str | None
    cost: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Model:
    """What a run left: files under one object of the models store, and a digest over their digests."""

    id: ModelId
    run: RunId
    kind: str
    object_name: str
    digest: str
    files: Mapping[str, str]
    """File name to SHA-256."""
    at: str
    destroyed_by: OrderId | None


def freeze_dataset(tx: Tx, dataset: Dataset) -> None:
    """Write a frozen dataset.

    Raises:
        AlreadyExists: the id is taken; a dataset is never changed.
    """
    if tx.conn.execute(sa.select(datasets.c.id).where(datasets.c.id == dataset.id)).first():
        raise AlreadyExists("dataset", dataset.id)
    frozen = dataset.items.copy()
    frozen.run_optimize()
    tx.conn.execute(
        datasets.insert().values(
            id=dataset.id,
            purpose=dataset.purpose,
            item_set=frozen.serialize(),
            root=dataset.root,
            size=len(frozen),
            override=json.dumps(dataset.override) if dataset.override is not None else None,
            definition=json.dumps(dataset.definition),
            person_id=dataset.person,
            at=dataset.at,
        )
    )
    facts.record(
        tx,
        "DatasetFrozen",
        dataset=dataset.id,
        purpose=dataset.purpose,
        items=len(frozen),
        root=dataset.root,
        override=dataset.override,
        by=dataset.person,
    )


def dataset(conn: Connection, dataset_id: DatasetId) -> Dataset:
    """The dataset of that id.

    Raises:
        NotFound: there is none.
    """
    row = conn.execute(sa.select(datasets).where(datasets.c.id == dataset_id)).first()
    if row is None:
        raise NotFound("dataset", dataset_id)
    return _dataset(row)


def all_datasets(conn: Connection) -> list[Dataset]:
    """Every dataset, in order of freezing."""
    return [_dataset(row) for row in conn.execute(sa.select(datasets).order_by(datasets.c.at, datasets.c.id))]


def dataset_items(conn: Connection) -> Iterator[tuple[DatasetId, ItemSet]]:
    """The items of every dataset, one dataset at a time, in order of freezing."""
    order = conn.execute(sa.select(datasets.c.id).order_by(datasets.c.at, datasets.c.id)).scalars().all()
    for name in order:
        blob = conn.execute(sa.select(datasets.c.item_set).where(datasets.c.id == name)).scalar_one()
        yield DatasetId(name), unpack(blob)


def start_run(tx: Tx, run: Run, inputs: Iterable[Node]) -> None:
    """Record that a training began, and on what. A run that never ends stays on record as such.

    Raises:
        AlreadyExists: the id is taken.
    """
    if tx.conn.execute(sa.select(runs.c.id).where(runs.c.id == run.id)).first():
        raise AlreadyExists("run", run.id)
    above = tuple(dict.fromkeys(inputs))
    tx.conn.execute(
        runs.insert().values(
            id=run.id,
            purpose=run.purpose,
            recipe=json.dumps(run.recipe),
            environment=json.dumps(run.environment),
            person_id=run.person,
            started_at=run.started_at,
            ended_at=None,
            cost=None,
        )
    )
    node = Node("run", run.id)
    add_edges(tx, [Edge(one, node, "trained-on") for one in above])
    facts.record(tx, "RunStarted", run=run.id, purpose=run.purpose, inputs=[str(n) for n in above], by=run.person)


def end_run(tx: Tx, run_id: RunId, cost: Mapping[str, str], model: Model) -> None:
    """Record that a training ended and what it left.

    Raises:
        AlreadyExists: the model's id is taken.
        NotFound: no such run began.
    """
    run(tx.conn, run_id)
    if tx.conn.execute(sa.select(models.c.id).where(models.c.id == model.id)).first():
        raise AlreadyExists("model", model.id)
    tx.conn.execute(sa.update(runs).where(runs.c.id == run_id).values(ended_at=tx.at, cost=json.dumps(dict(cost))))
    tx.conn.execute(
        models.insert().values(
            id=model.id,
            run_id=run_id,
            kind=model.kind,
            object_name=model.object_name,
            digest=model.digest,
            files=json.dumps(dict(model.files)),
            at=tx.at,
        )
    )
    add_edges(tx, [Edge(Node("run", run_id), Node("model", model.id), "made-by")])
    facts.record(tx, "ModelMade", model=model.id, run=run_id, digest=model.digest, cost=dict(cost))


def run(conn: Connection, run_id: RunId) -> Run:
    """The run of that id.

    Raises:
        NotFound: there is none.
    """
    row = conn.execute(sa.select(runs).where(runs.c.id == run_id)).first()
    if row is None:
        raise NotFound("run", run_id)
    return _run(row)


def all_runs(conn: Connection) -> list[Run]:
    """Every run, in order of beginning."""
    return [_run(row) for row in conn.execute(sa.select(runs).order_by(runs.c.started_at, runs.c.id))]


def add_edges(tx: Tx, edges: Iterable[Edge]) -> None:
    """Add edges of lineage."""
    rows = [
        {
            "above_kind": e.above.kind,
            "above": e.above.name,
            "below_kind": e.below.kind,
            "below": e.below.name,
            "how": e.how,
        }
        for e in edges
    ]
    if rows:
        tx.conn.execute(lineage.insert(), rows)


def all_edges(conn: Connection) -> list[Edge]:
    """The whole graph of datasets, runs and models: thousands of rows where items are millions."""
    return [
        Edge(Node(r.above_kind, r.above), Node(r.below_kind, r.below), r.how)
        for r in conn.execute(sa.select(lineage).order_by(lineage.c.no))
    ]


def model(conn: Connection, model_id: ModelId) -> Model:
    """The model of that id.

    Raises:
        NotFound: there is none.
    """
    for found in all_models(conn):
        if found.id == model_id:
            return found
    raise NotFound("model", model_id)


def all_models(conn: Connection) -> list[Model]:
    """Every model that ever was, in order of making; destroyed ones name their order."""
    destroyed = {
        r.model_id: r.order_id for r in conn.execute(sa.select(model_events).where(model_events.c.event == "destroyed"))
    }
    return [
        Model(
            id=r.id,
            run=r.run_id,
            kind=r.kind,
            object_name=r.object_name,
            digest=r.digest,
            files=json.loads(r.files),
            at=r.at,
            destroyed_by=destroyed.get(r.id),
        )
        for r in conn.execute(sa.select(models).order_by(models.c.at, models.c.id))
    ]


@dataclass(frozen=True, slots=True)
class Release:
    """That a model may be put to use: for which purposes, who said so, when."""

    model: ModelId
    purposes: tuple[str, ...]
    person: PersonId
    at: str


def release(tx: Tx, model_id: ModelId, purposes: Sequence[str], *, person: PersonId) -> None:
    """Record that a model was released for these purposes, in place of those of an earlier release. Whether it may be is the
    caller's question."""
    body = {"purposes": list(purposes), "by": person}
    _model_event(tx, model_id, "released", body)
    facts.record(tx, "ModelReleased", model=model_id, **body)


def withdraw(tx: Tx, model_id: ModelId, *, person: PersonId, note: str) -> None:
    """Record that a model is no longer in use."""
    body = {"by": person, "note": note}
    _model_event(tx, model_id, "withdrawn", body)
    facts.record(tx, "ModelWithdrawn", model=model_id, **body)


def releases(conn: Connection) -> dict[ModelId, Release]:
    """The models that are in use: released, and neither withdrawn nor destroyed since."""
    found: dict[ModelId, Release] = {}
    for row in conn.execute(sa.select(model_events).order_by(model_events.c.no)):
        body = json.loads(row.body)
        if row.event == "released":
            found[row.model_id] = Release(row.model_id, tuple(body["purposes"]), body["by"], row.at)
        elif row.event in {"withdrawn", "destroyed"}:
            found.pop(row.model_id, None)
    return found


def record_destruction(tx: Tx, model_id: ModelId, order_id: OrderId, body: Mapping[str, Any]) -> None:
    """Record that a model's files are gone; done twice, it is on record once."""
    present = tx.conn.execute(
        sa.select(model_events.c.no).where(model_events.c.model_id == model_id, model_events.c.event == "destroyed")
    ).first()
    if present is None:
        _model_event(tx, model_id, "destroyed", body, order=order_id)
        facts.record(tx, "ModelDestroyed", model=model_id, order=order_id)


def add_evaluation(tx: Tx, model_id: ModelId, dataset_id: DatasetId, body: Mapping[str, Any]) -> None:
    """Record an evaluation; the last one on a dataset counts."""
    tx.conn.execute(
        evaluations.insert().values(model_id=model_id, dataset_id=dataset_id, body=json.dumps(dict(body)), at=tx.at)
    )
    facts.record(tx, "ModelEvaluated", model=model_id, dataset=dataset_id)


def evaluations_of(conn: Connection, model_id: ModelId) -> dict[DatasetId, dict[str, Any]]:
    """The last evaluation of a model on each dataset."""
    rows = conn.execute(sa.select(evaluations).where(evaluations.c.model_id == model_id).order_by(evaluations.c.no))
    return {r.dataset_id: json.loads(r.body) for r in rows}


def _model_event(
    tx: Tx, model_id: ModelId, event: str, body: Mapping[str, Any], *, order: OrderId | None = None
) -> None:
    tx.conn.execute(
        model_events.insert().values(
            model_id=model_id, event=event, order_id=order, body=json.dumps(dict(body)), at=tx.at
        )
    )


def _dataset(row: sa.Row[Any]) -> Dataset:
    return Dataset(
        id=row.id,
        purpose=row.purpose,
        items=ItemSet.deserialize(bytes(row.item_set)),
        root=row.root,
        override=json.loads(row.override) if row.override else None,
        definition=json.loads(row.definition),
        person=row.person_id,
        at=row.at,
    )


def _run(row: sa.Row[Any]) -> Run:
    return Run(
        id=row.id,
        purpose=row.purpose,
        recipe=json.loads(row.recipe),
        environment=json.loads(row.environment),
        person=row.person_id,
        started_at=row.started_at,
        ended_at=row.ended_at,
        cost=json.loads(row.cost) if row.cost else None,
    )
