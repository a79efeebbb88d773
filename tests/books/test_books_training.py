"""Datasets, runs, models, lineage, evaluations: what was trained on what comes back as it was written."""

from __future__ import annotations

import json

import pytest
from book_writing import DANA, undone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unsee.books import facts, training
from unsee.books.training import Dataset, Model, Run
from unsee.core.errors import AlreadyExists, NotFound
from unsee.core.ids import DatasetId, ItemSet, ModelId, OrderId, RunId
from unsee.core.lineage import Edge, Node, closure

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
AT = "2026-05-01T12:00:00Z"
OVERRIDE = {"by": "dana", "reason": "as it was in 2014", "refused": [{"code": "legacy", "items": 3}]}


def a_dataset(name="faces", items=(1, 2, 3), **changes):
    fields = {
        "purpose": "train-face-recognition",
        "root": "ab" * 32,
        "override": None,
        "definition": {"sources": ["panel"], "seed": 0},
        "person": DANA,
        "at": AT,
        **changes,
    }
    return Dataset(DatasetId(name), items=ItemSet(items), **fields)


def a_run(name="run-1"):
    return Run(RunId(name), "train-face-recognition", {"epochs": 8}, {"torch": "2"}, DANA, AT, None, None)


def a_model(name="rec", run="run-1"):
    return Model(ModelId(name), RunId(run), "face-recogniser", name, "cd" * 32, {"w.bin": "ef" * 32}, AT, None)


@pytest.fixture
def tx(books):
    with undone(books) as tx:
        yield tx


def fact_of(tx):
    return json.loads(facts.recent(tx.conn, 1)[0].body)


@SHARED
@given(st.sets(st.integers(0, 2**32 - 1) | st.integers(0, 500)).map(ItemSet), st.sampled_from([None, OVERRIDE]))
def test_a_dataset_comes_back_as_it_was_frozen(books, items, override):
    with undone(books) as tx:
        frozen = a_dataset(items=items, override=override)
        training.freeze_dataset(tx, frozen)
        assert training.dataset(tx.conn, frozen.id) == frozen
        assert training.all_datasets(tx.conn) == [frozen]
        body = fact_of(tx)
        assert (body["fact"], body["items"], body["root"]) == ("DatasetFrozen", len(items), frozen.root)
        assert body["override"] == override


def test_a_dataset_is_never_changed(tx):
    training.freeze_dataset(tx, a_dataset())
    with pytest.raises(AlreadyExists, match="already a dataset 'faces'"):
        training.freeze_dataset(tx, a_dataset(items=[9]))
    assert training.dataset(tx.conn, DatasetId("faces")).items == ItemSet([1, 2, 3])


def test_a_run_and_its_model_come_back_with_their_lineage(tx):
    above = [Node("dataset", "faces"), Node("model", "base")]
    training.start_run(tx, a_run(), above)
    assert fact_of(tx)["inputs"] == ["dataset faces", "model base"]
    unended = training.run(tx.conn, RunId("run-1"))
    assert unended == a_run()
    training.end_run(tx, RunId("run-1"), {"cpu_s": "1.5", "wall_s": "2"}, a_model())
    ended = training.run(tx.conn, RunId("run-1"))
    assert (ended.ended_at, ended.cost) == (AT, {"cpu_s": "1.5", "wall_s": "2"})
    assert training.all_runs(tx.conn) == [ended]
    assert training.model(tx.conn, ModelId("rec")) == a_model()
    run = Node("run", "run-1")
    assert training.all_edges(tx.conn) == [
        Edge(above[0], run, "trained-on"),
        Edge(above[1], run, "trained-on"),
        Edge(run, Node("model", "rec"), "made-by"),
    ]
    reached = {r.node for r in closure([above[0]], training.all_edges(tx.conn))}
    assert Node("model", "rec") in reached


def test_inputs_that_can_be_read_only_once_are_on_record_whole(tx):
    inputs = [Node("dataset", "a"), Node("dataset", "b"), Node("dataset", "a")]
    training.start_run(tx, a_run(), iter(inputs))
    assert [e.above for e in training.all_edges(tx.conn)] == inputs[:2]
    assert fact_of(tx)["inputs"] == ["dataset a", "dataset b"]


def test_names_are_given_once_and_a_run_must_have_begun(tx):
    training.start_run(tx, a_run(), [])
    with pytest.raises(AlreadyExists, match="already a run 'run-1'"):
        training.start_run(tx, a_run(), [])
    with pytest.raises(NotFound, match="There is no run 'run-2'"):
        training.end_run(tx, RunId("run-2"), {}, a_model(run="run-2"))
    training.end_run(tx, RunId("run-1"), {}, a_model())
    with pytest.raises(AlreadyExists, match="already a model 'rec'"):
        training.end_run(tx, RunId("run-1"), {}, a_model())


@pytest.mark.parametrize(
    ("look", "what"), [(training.dataset, "dataset"), (training.run, "run"), (training.model, "model")]
)
def test_what_is_not_there_is_an_error(tx, look, what):
    with pytest.raises(NotFound, match=f"There is no {what} 'x'"):
        look(tx.conn, "x")


def test_r10_a_model_is_destroyed_once_and_names_its_order(tx):
    training.start_run(tx, a_run(), [])
    training.end_run(tx, RunId("run-1"), {}, a_model())
    before = len(facts.undrained(tx.conn))
    for _ in range(2):
        training.record_destruction(tx, ModelId("rec"), OrderId("order-0001"), {"files": 3})
    assert training.model(tx.conn, ModelId("rec")).destroyed_by == "order-0001"
    assert len(facts.undrained(tx.conn)) == before + 1
    assert fact_of(tx)["fact"] == "ModelDestroyed"


def test_the_last_evaluation_on_a_dataset_counts(tx):
    held_out, other = DatasetId("held-out"), DatasetId("other")
    training.add_evaluation(tx, ModelId("rec"), held_out, {"eer": "0.05"})
    training.add_evaluation(tx, ModelId("rec"), other, {"eer": "0.07"})
    training.add_evaluation(tx, ModelId("rec"), held_out, {"eer": "0.04"})
    training.add_evaluation(tx, ModelId("rec2"), held_out, {"eer": "0.01"})
    assert training.evaluations_of(tx.conn, ModelId("rec")) == {held_out: {"eer": "0.04"}, other: {"eer": "0.07"}}
