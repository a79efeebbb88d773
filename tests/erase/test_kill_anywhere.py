"""An apply that is killed at any moment and run again ends as if nothing had happened."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Any

import kill_targets
import pytest

from small_corpus import OKCUPID, ORDER, PLAN, Corpus, copy_of, holders, marker
from unsee.app import orders
from unsee.books.quarantine import quarantined
from unsee.core.errors import BlockedByOrder, NotFound, UnseeError
from unsee.testing.faults import WRITES, Completed, Killed, run_killed_at

SHARDS = 4
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["unsee.app.orders", "unsee.app.intake", "unsee.replace.folder", "pyarrow.parquet"])


def tree(place: Path) -> dict[str, str]:
    """Every entry below a place: what it is, and the digest of what it holds."""
    found = {}
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place).as_posix()
        if path.is_symlink():
            found[name] = f"link {path.readlink().name}"
        elif path.is_dir():
            found[name] = "directory"
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def state(corpus: Corpus) -> dict[str, Any]:
    """Everything that an erasure leaves, without times, salts and nonces."""
    bodies = [json.loads(str(body)) for (body,) in corpus.sql("SELECT body FROM facts WHERE kind = 'OrderApplied'")]
    tables = {
        name: corpus.rows(name, columns)
        for name, columns in {
            "items": "id, source_no, subject_no, batch_no, kind, signals, size_bytes",
            "digests": "item_id, sha256, pixels, pdq",
            "copies": "item_id, object_no, selector, size_bytes",
            "objects": "no, store_no, name",
            "item_attributes": "item_id, name, value",
            "subject_attributes": "subject_no, name, value",
            "suppression": "order_id, sha_mac, pixel_mac",
            "order_events": "order_id, state",
            "model_events": "model_id, event, order_id",
            "models": "id, digest",
            "datasets": "id, root, size",
        }.items()
    }
    return {
        "corpus": tree(corpus.corpus),
        "mirror": tree(corpus.mirror),
        "model files": tree(corpus.root / "ws" / "models"),
        "facts": corpus.facts(),
        "applied": [body["rows"] for body in bodies],
        "log": corpus.ws.log.checkpoint().size,
        **tables,
    }


_SECOND = {"copies": "selector", "digests": "sha256", "item_attributes": "name", "subject_attributes": "name"}


class Story:
    """One plan on a fresh copy, what must be gone, and what must stay as it is."""

    def __init__(self, built: Corpus, root: Path) -> None:
        self.corpus = copy_of(built, root).ready()
        self.markers = {path: marker(path) for path in self.corpus.scope_files()}
        twins = {marker(p) for p in self.corpus.kept_files()}
        self.markers = {path: piece for path, piece in self.markers.items() if piece not in twins}
        self.kept = {path: path.read_bytes() for path in self.corpus.kept_files()}
        mine = "SELECT {} FROM items JOIN sources ON sources.no = source_no WHERE sources.id = 'okcupid-2014'"
        keys = {
            "copies": "item_id",
            "digests": "item_id",
            "item_attributes": "item_id",
            "subject_attributes": "subject_no",
        }
        self.rows: dict[str, int] = {}
        for table, key in keys.items():
            chosen = {
                row[0] for row in self.corpus.sql(mine.format("subject_no" if key == "subject_no" else "items.id"))
            }
            self.rows[table] = sum(row[0] in chosen for row in self.corpus.rows(table, f"{key}, {_SECOND[table]}"))
        assert all(self.rows.values())

    def require_kept(self) -> None:
        """What stays is byte for byte as it was, whenever one looks."""
        for path, data in self.kept.items():
            assert path.read_bytes() == data, f"{path} was touched"

    def finish(self, expected: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the same command to its end: the order is carried out, to the last byte, once, and said to be."""
        corpus = self.corpus
        applied = corpus.apply()
        assert applied.erased + applied.absent == 23
        assert (applied.units, applied.suppressed, applied.models) == (7, 13, ("rec-2014",))
        assert applied.rows == self.rows
        assert list(holders(self.markers, corpus.corpus, corpus.mirror)) == []
        self.require_kept()
        ended = state(corpus)
        assert not (corpus.root / "ws" / "models" / "rec-2014").exists()
        assert not (corpus.root / "ws" / "models" / "unfinished").exists()
        assert len(ended["suppression"]) == 13
        assert len(set(ended["suppression"])) == 13
        if expected is not None:
            for key, value in expected.items():
                assert ended[key] == value, key
        assert corpus.verify().passed
        return ended


@pytest.fixture(scope="module")
def never_killed(built_corpus: Corpus, quick_place: Path) -> tuple[list[str], dict[str, Any]]:
    """Every boundary that the journal passes, in order, and the state at the end."""
    story = Story(built_corpus, quick_place / "never-killed")
    assert len(story.markers) == len(story.corpus.scope_files()) - 2, "the marker search looks for all but the twin's"
    assert list(holders(story.markers, story.corpus.corpus, story.corpus.mirror)), (
        "the marker search finds what is there"
    )
    boundaries: list[str] = []
    story.corpus.apply(at_boundary=boundaries.append)
    return boundaries, story.finish()


def kill_at(boundary: str, root: Path) -> None:
    child = _FORKS.Process(target=kill_targets.apply_until, args=(root, boundary))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL, f"{boundary}: the child ended with {child.exitcode}"


@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_kill_at_any_journal_boundary_changes_nothing_about_the_end(
    shard: int, built_corpus: Corpus, never_killed: tuple[list[str], dict[str, Any]], quick: Path
) -> None:
    boundaries, ended = never_killed
    assert len(boundaries) == len(set(boundaries)) >= 36
    for boundary in boundaries[shard::SHARDS]:
        root = quick / "small"
        story = Story(built_corpus, root)
        kill_at(boundary, root)
        story.require_kept()
        with pytest.raises(UnseeError):  # never readable again, neither during nor after
            story.corpus.freeze("set-y", OKCUPID, override=True)
        story.finish(ended)
        story.corpus.close()
        shutil.rmtree(root)


def test_kills_in_a_row_are_survived_too(
    built_corpus: Corpus, never_killed: tuple[list[str], dict[str, Any]], quick: Path
) -> None:
    boundaries, ended = never_killed
    story = Story(built_corpus, quick / "small")
    for boundary in boundaries[2::6]:
        kill_at(boundary, story.corpus.root)
    story.finish(ended)


def test_applying_again_what_is_done_does_nothing_again(
    built_corpus: Corpus, never_killed: tuple[list[str], dict[str, Any]], quick: Path
) -> None:
    _boundaries, ended = never_killed
    story = Story(built_corpus, quick / "small")
    first = story.corpus.apply()
    assert story.corpus.apply() == first
    assert (first.erased, first.absent, first.units, first.suppressed) == (23, 0, 7, 13)
    story.finish(ended)


SAMPLED = pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.slow)])
"""Kill at each seventh call that writes in the fast suite, at each one in the whole suite."""


def survive(built: Corpus, root: Path, n: int, ended: dict[str, Any], *, watched: frozenset[str] = WRITES) -> bool:
    """Kill an apply at its n-th call that writes, resume; False when there are not so many."""
    story = Story(built, root)
    outcome = run_killed_at(partial(kill_targets.apply_plan, root), n, watched=watched)
    story.require_kept()
    try:
        story.finish(ended)
    except AssertionError as error:
        raise AssertionError(f"after {outcome}: {error}") from error
    story.corpus.close()
    shutil.rmtree(root)
    return isinstance(outcome, Killed)


def test_a_kill_at_some_system_calls_changes_nothing_about_the_end(
    built_corpus: Corpus, never_killed: tuple[list[str], dict[str, Any]], quick: Path
) -> None:
    Story(built_corpus, quick / "counted")
    counted = run_killed_at(partial(kill_targets.apply_plan, quick / "counted"), 0)
    assert isinstance(counted, Completed)
    assert len(counted.calls) > 150
    step = len(counted.calls) // 12
    for n in range(1 + step // 2, len(counted.calls), step):
        assert survive(built_corpus, quick / "small", n, never_killed[1])


def test_a_kill_before_a_directory_is_removed_leaves_none_of_them_behind(
    built_corpus: Corpus, never_killed: tuple[list[str], dict[str, Any]], quick: Path
) -> None:
    n = 1
    while survive(built_corpus, quick / "small", n, never_killed[1], watched=frozenset({"posix.rmdir"})):
        n += 3
    assert n > 9
    assert "by-name" not in never_killed[1]["mirror"]
    assert {name.split("/")[0] for name in never_killed[1]["model files"]} == {"rec-panel"}


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_kill_at_any_system_call_changes_nothing_about_the_end(
    shard: int, built_corpus: Corpus, never_killed: tuple[list[str], dict[str, Any]], quick: Path
) -> None:
    n = shard + 1
    while survive(built_corpus, quick / "small", n, never_killed[1]):
        n += SHARDS
    assert n > 150


@SAMPLED
def test_a_killed_plan_counts_for_nothing_and_the_next_one_is_whole(
    every: int, built_corpus: Corpus, quick: Path
) -> None:
    whole = copy_of(built_corpus, quick / "whole")
    whole.open_order()
    units = list(whole.plan().directory.units())
    n, seen = 1 - every, set()
    while True:
        n += every
        root = quick / "small"
        corpus = copy_of(built_corpus, root)
        corpus.open_order()
        before = {place: tree(place) for place in (corpus.corpus, corpus.mirror, root / "ws" / "models")}
        outcome = run_killed_at(partial(kill_targets.make_plan, root), n)
        assert {place: tree(place) for place in before} == before
        known = corpus.sql("SELECT id, digest FROM plans")
        seen.add(len(known))
        try:
            assert orders.find_plan(corpus.ws, ORDER).row.digest == known[0][1]
        except NotFound:
            assert known == []
        again = corpus.plan()
        assert again.row.id == (PLAN if not known else "plan-0001-2")
        assert [len(u.targets) for u in again.directory.units()] == [len(u.targets) for u in units]
        corpus.close()
        shutil.rmtree(root)
        if isinstance(outcome, Completed):
            break
    assert n > 20
    assert seen == {0, 1}


@SAMPLED
@pytest.mark.parametrize("channel", [True, False], ids=["through a channel", "into quarantine"])
def test_a_killed_intake_leaves_whole_batches_and_the_next_one_takes_the_rest(
    every: int, channel: bool, built_corpus: Corpus, quick: Path
) -> None:
    def prepared(root: Path) -> Corpus:
        corpus = copy_of(built_corpus, root)
        fresh = corpus.corpus / "fresh"
        shutil.copytree(corpus.corpus / "panel", fresh / "panel")
        for number, path in enumerate(sorted(fresh.rglob("*.jpg"))):
            path.write_bytes(path.read_bytes() + bytes([number]))  # other bytes: new items
        (fresh / "panel" / "photos.csv").rename(fresh / "photos.csv")
        text = (fresh / "photos.csv").read_text().replace("part-", "panel/part-")
        (fresh / "photos.csv").write_text(text)
        if channel:
            corpus.open_channel(fresh, "consented-panel")
        return corpus

    def content(corpus: Corpus) -> list[Any]:
        return [
            corpus.rows(table, columns)
            for table, columns in {
                "items": "id, source_no, subject_no, batch_no, kind, size_bytes",
                "digests": "item_id, sha256",
                "copies": "item_id, selector, size_bytes",
                "batches": "no, source_no, counts, first_item, item_count, root, channel_id",
                "consents": "subject_no, subject_set, terms_no",
                "quarantines": "id, source_no, item_set",
                "item_attributes": "item_id, name, value",
                "sources": "no, item_set, document_set",
            }.items()
        ]

    whole = prepared(quick / "whole")
    taken = whole.take_in(whole.corpus / "fresh", "consented-panel", channel=channel)
    assert (taken.new, taken.documents, taken.unchanged) == (4, 1, 0)
    assert taken.quarantined == (0 if channel else 5)
    expected = content(whole)
    n, halves = 1 - every, set()
    while True:
        n += every
        root = quick / "small"
        corpus = prepared(root)
        target = kill_targets.take_in if channel else kill_targets.take_in_by_mail
        outcome = run_killed_at(partial(target, root), n)
        for number, first, count in corpus.sql("SELECT no, first_item, item_count FROM batches"):
            assert corpus.sql("SELECT count(*), min(id) FROM items WHERE batch_no = ?", number) == [(count, first)]
        assert corpus.sql("SELECT count(*) FROM items") == corpus.sql("SELECT count(*) FROM digests")
        halves.add(corpus.sql("SELECT count(*) FROM items")[0][0])
        with corpus.ws.books.read() as conn:
            assert len(quarantined(conn)) == (0 if channel else corpus.sql("SELECT count(*) FROM items")[0][0] - 23)
        corpus.take_in(corpus.corpus / "fresh", "consented-panel", channel=channel)
        assert content(corpus) == expected, f"after {outcome}"
        assert corpus.ws.log.checkpoint().size == len(corpus.facts())
        corpus.close()
        shutil.rmtree(root)
        if isinstance(outcome, Completed):
            break
    assert halves == {23, 27, 28}, "before, between photos and document, after"


@SAMPLED
def test_a_killed_freeze_leaves_a_whole_set_or_none(every: int, built_corpus: Corpus, quick: Path) -> None:
    n, seen = 1 - every, set()
    while True:
        n += every
        root = quick / "small"
        corpus = copy_of(built_corpus, root)
        outcome = run_killed_at(partial(kill_targets.freeze, root), n)
        rows = corpus.sql("SELECT size FROM datasets WHERE id = 'set-x'")
        told = [json.loads(str(body)) for (body,) in corpus.sql("SELECT body FROM facts WHERE kind = 'DatasetFrozen'")]
        assert len([body for body in told if body["dataset"] == "set-x"]) == len(rows)
        assert rows in ([], [(16,)])
        seen.add(len(rows))
        corpus.ws.drain()
        assert corpus.ws.log.checkpoint().size == len(corpus.facts())
        corpus.close()
        shutil.rmtree(root)
        if isinstance(outcome, Completed):
            break
    assert seen == {0, 1}


def test_between_the_kill_and_the_resumption_nothing_reads_the_scope(small: Corpus) -> None:
    small.ready()
    kill_at("acted:erase:2", small.root)
    with pytest.raises(BlockedByOrder, match="blocks any use"):
        small.open_dataset("faces-2014")
