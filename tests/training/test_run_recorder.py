"""Runs on record: what went in before the body runs, what came out when it returns, and no model where it does not."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from small_corpus import DANA, PANEL, TRAIN, Corpus
from unsee.books import training
from unsee.core.canonical import digest
from unsee.core.errors import AlreadyExists, Incomplete
from unsee.core.ids import ModelId, RunId
from unsee.core.lineage import Edge, Node
from unsee.training.recorder import Recording, environment, file_digests, record_run


def recorded(corpus: Corpus, name: str, *, model: str | None = None):
    ws = corpus.ws
    return record_run(
        ws.books,
        run=RunId(f"run-{name}"),
        model=ModelId(model or name),
        purpose=TRAIN,
        recipe={"kind": "few-files", "epochs": 3},
        inputs=[Node("dataset", "faces-panel"), Node("model", "rec-panel")],
        person=DANA,
        directory=ws.models / (model or name),
    )


def write(recording: Recording) -> dict[str, bytes]:
    contents = {"weights.bin": b"w" * 1000, "deep/er/state.bin": b"s", "empty.txt": b""}
    for name, data in contents.items():
        path = recording.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return contents


def test_a_run_that_returns_leaves_a_model_with_the_digest_of_every_file(small: Corpus) -> None:
    with recorded(small, "good") as recording:
        contents = write(recording)
        recording.notes["loss"] = "0.125"
    with small.ws.books.read() as conn:
        run, model = training.run(conn, RunId("run-good")), training.model(conn, ModelId("good"))
        edges = training.all_edges(conn)
    expected = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    assert dict(model.files) == expected == file_digests(small.ws.models / "good")
    assert model.digest == digest(expected)
    assert (model.run, model.kind, model.object_name, model.destroyed_by) == ("run-good", "few-files", "good", None)
    assert run.cost is not None
    assert run.cost["loss"] == "0.125"
    assert float(run.cost["cpu_s"]) >= 0
    assert float(run.cost["wall_s"]) >= 0
    assert run.ended_at is not None
    assert (run.purpose, run.person, dict(run.recipe)) == (TRAIN, "dana", {"kind": "few-files", "epochs": 3})
    node = Node("run", "run-good")
    assert {
        Edge(Node("dataset", "faces-panel"), node, "trained-on"),
        Edge(Node("model", "rec-panel"), node, "trained-on"),
        Edge(node, Node("model", "good"), "made-by"),
    } <= set(edges)


def test_the_beginning_is_on_record_while_the_body_runs(small: Corpus) -> None:
    with recorded(small, "slow") as recording:
        other = Corpus(small.root)
        assert other.sql("SELECT ended_at, cost FROM runs WHERE id = 'run-slow'") == [(None, None)]
        assert other.sql("SELECT above FROM lineage WHERE below = 'run-slow' ORDER BY above") == [
            ("faces-panel",),
            ("rec-panel",),
        ]
        assert other.facts()[-1] == "RunStarted"
        write(recording)
    assert small.facts()[-1] == "ModelMade"


def test_a_body_that_raises_leaves_the_run_without_end_and_no_model(small: Corpus) -> None:
    with pytest.raises(ZeroDivisionError), recorded(small, "bad") as recording:
        write(recording)
        1 / 0  # noqa: B018  # the body's own fault
    assert small.sql("SELECT ended_at FROM runs WHERE id = 'run-bad'") == [(None,)]
    assert small.sql("SELECT id FROM models WHERE id = 'bad'") == []
    assert small.facts()[-1] == "RunStarted"


def test_a_body_that_leaves_nothing_has_made_no_model(small: Corpus) -> None:
    with pytest.raises(Incomplete, match="left no file"), recorded(small, "void"):
        pass
    assert small.sql("SELECT ended_at FROM runs WHERE id = 'run-void'") == [(None,)]


def test_a_killed_run_stays_on_record_and_its_files_are_a_stray(small: Corpus) -> None:
    code = f"""
import os, signal, sys
sys.path[:0] = [{str(Path(__file__).parents[1])!r}, {str(Path(__file__).parent)!r}]
from pathlib import Path
from small_corpus import Corpus
from test_run_recorder import recorded, write
with recorded(Corpus(Path({str(small.root)!r})), "killed") as recording:
    write(recording)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    child = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert child.returncode == -9, child.stderr.decode()
    assert small.sql("SELECT ended_at, cost FROM runs WHERE id = 'run-killed'") == [(None, None)]
    assert small.sql("SELECT id FROM models WHERE id = 'killed'") == []
    small.open_order(PANEL)
    summary = small.plan().directory.summary
    assert summary["strays"] == ["killed", "unfinished"]
    assert "run-killed" in summary["reach"]["runs"], "its inputs are known, so the order reaches it"


def test_names_are_given_once(small: Corpus) -> None:
    with recorded(small, "one") as recording:
        write(recording)
    with pytest.raises(AlreadyExists), recorded(small, "one"):
        pytest.fail("the body ran")
    with pytest.raises(AlreadyExists), recorded(small, "two", model="one") as recording:
        write(recording)
    assert small.sql("SELECT ended_at FROM runs WHERE id = 'run-two'") == [(None,)]
    assert small.sql("SELECT count(*) FROM models WHERE id = 'one'") == [(1,)]


def test_the_environment_says_what_the_result_may_depend_on(small: Corpus) -> None:
    with recorded(small, "env") as recording:
        write(recording)
    (text,) = small.sql("SELECT environment FROM runs WHERE id = 'run-env'")[0]
    told = json.loads(str(text))
    assert told == json.loads(json.dumps({**environment(), "directory": "env"}))
    assert told["python"] == sys.version.split()[0]
    assert told["cores"] == os.cpu_count()
    assert set(told["packages"]) == {"torch", "numpy", "opencv-contrib-python-headless"}
    assert told["packages"]["numpy"][0].isdigit()
