"""A plan is carried out exactly as it was approved, in the world it was made for; otherwise nothing is erased, or it is said."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from small_corpus import MEMBERS, OKCUPID, ORDER, PANEL, PLAN, Corpus, innocent, reencoded
from unsee.app import orders
from unsee.books import items
from unsee.core.errors import BlockedByOrder, NotFound, StalePlan, Tampered, UnitsFailed, WorkspaceBusy, WrongState
from unsee.core.ids import SourceId
from unsee.erase.plandir import Unit


def everything(corpus: Corpus) -> dict[Path, bytes]:
    """Every file of stores and models."""
    places = (corpus.corpus, corpus.mirror, corpus.root / "ws" / "models")
    return {p: p.read_bytes() for place in places for p in sorted(place.rglob("*")) if p.is_file()}


def require_stale(corpus: Corpus, *named: str) -> StalePlan:
    """An apply is refused as stale, names what moved, and has not touched anything."""
    before = everything(corpus)
    with pytest.raises(StalePlan) as caught:
        corpus.apply()
    told = " ".join([caught.value.message, *map(str, caught.value.details)])
    for name in named:
        assert name in told
    assert everything(corpus) == before
    assert corpus.sql("SELECT count(*) FROM suppression") == [(0,)]
    assert "unsee plan" in caught.value.next_step
    return caught.value


def some_scoped(corpus: Corpus) -> Path:
    return sorted((corpus.corpus / "okcupid" / "part-001").iterdir())[0]


def test_a_file_that_appeared_makes_a_plan_stale_and_a_new_plan_takes_it_in(small: Corpus) -> None:
    small.ready()
    shutil.copy(some_scoped(small), small.mirror / "new.jpg")
    require_stale(small, "1 members appeared", "mirror:./new.jpg")
    assert small.plan().row.id == "plan-0001-2"
    small.approve("plan-0001-2")
    small.apply("plan-0001-2")
    assert not (small.mirror / "new.jpg").exists()
    assert small.verify().passed


def test_even_an_innocent_file_that_appeared_makes_a_plan_stale(small: Corpus) -> None:
    small.ready()
    (small.corpus / "new-folder").mkdir()
    (small.corpus / "new-folder" / "hill.jpg").write_bytes(innocent(77))
    require_stale(small, "corpus:new-folder/hill.jpg")


@pytest.mark.parametrize("recorded", [True, False])
def test_a_scoped_file_that_was_rewritten_makes_a_plan_stale(small: Corpus, *, recorded: bool) -> None:
    small.ready()
    path = some_scoped(small) if recorded else small.corpus / "loose" / "holiday.jpg"
    path.write_bytes(reencoded(path))
    require_stale(small, path.name)


def test_a_retained_file_that_was_rewritten_makes_a_plan_stale(small: Corpus) -> None:
    small.ready()
    path = small.corpus / "members" / "twins" / "re-encoded.jpg"
    path.write_bytes(path.read_bytes())
    require_stale(small, "members/twins/re-encoded.jpg")


def test_an_item_that_joined_the_source_makes_a_plan_stale(small: Corpus) -> None:
    small.ready()
    with pytest.raises(BlockedByOrder, match="nothing is taken in"):  # the usual door is shut
        small.take_in(small.corpus / "okcupid", OKCUPID)
    new = items.NewItem(b"s" * 32, b"p" * 32, b"q" * 32, 90, 10, 10, 99, 0, None)
    with small.ws.books.write() as tx:
        items.add_batch(tx, SourceId(OKCUPID), [new], counts={}, person=orders.PersonId("dana"))
    require_stale(small, "1 items joined")


def test_a_model_trained_on_the_scope_after_planning_makes_a_plan_stale(small: Corpus) -> None:
    small.ready()
    small.train("rec-late", "faces-2014")  # past the permitted reader, which would refuse
    require_stale(small, "model rec-late")


def test_what_happens_elsewhere_makes_no_plan_stale(small: Corpus) -> None:
    small.ready()
    small.take_in(small.corpus / "panel", PANEL)
    small.freeze("faces-panel-2", PANEL)
    small.train("rec-panel-2", "faces-panel-2")
    assert small.apply().failures == ()
    assert small.verify().passed


def spoil(path: Path, at: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["summary.json", "targets-00000.parquet", "examined.parquet"])
def test_a_part_with_one_flipped_bit_is_refused_and_nothing_is_erased(small: Corpus, name: str) -> None:
    small.ready()
    before = everything(small)
    spoil(small.ws.plans / PLAN / name, at=40)
    with pytest.raises(Tampered):
        small.apply()
    assert everything(small) == before


def test_a_missing_part_is_tampering(small: Corpus) -> None:
    small.ready()
    (small.ws.plans / PLAN / "targets-00000.parquet").unlink()
    with pytest.raises(Tampered, match=r"targets-00000\.parquet of the plan is missing"):
        small.apply()


def test_a_missing_plan_is_not_found(small: Corpus) -> None:
    small.ready()
    shutil.rmtree(small.ws.plans / PLAN)
    with pytest.raises(NotFound):
        small.apply()


def test_a_summary_that_was_rewritten_whole_is_refused_by_its_digest(small: Corpus) -> None:
    small.ready()
    path = small.ws.plans / PLAN / "summary.json"
    path.write_text(path.read_text().replace('"units":7', '"units":0'))
    with pytest.raises(Tampered, match="summary"):
        small.apply()


def test_retained_that_was_spoiled_is_refused_by_the_verification(small: Corpus) -> None:
    small.ready().apply()
    spoil(small.ws.plans / PLAN / "retained.roaring")
    with pytest.raises(Tampered, match=r"retained\.roaring"):
        small.verify()


def test_a_file_that_changes_after_the_check_is_kept_with_its_reason_and_the_books_keep_its_rows(small: Corpus) -> None:
    small.ready()
    path = some_scoped(small)
    edited = innocent(12)

    def meanwhile(boundary: str) -> None:
        if boundary == "done:suppress":  # the plan was checked, the erasing has not begun
            path.write_bytes(edited)

    with pytest.raises(UnitsFailed) as caught:
        small.apply(at_boundary=meanwhile)
    (failure,) = caught.value.details
    assert (failure.selector, failure.reason) == (path.name, "it changed after it was listed")
    assert path.read_bytes() == edited
    left = [p for p in small.scope_files() if p.exists()]
    assert left == [path], "all others are gone"
    selectors = {row[0] for row in small.rows("copies", "selector")}
    assert path.name in selectors
    assert small.facts().count("OrderApplied") == 0
    with pytest.raises(WrongState, match="was not carried out yet"):
        small.verify()
    with pytest.raises(UnitsFailed):  # the same command says the same again
        small.apply()
    path.unlink()
    applied = small.apply()
    assert applied.failures == ()
    assert (applied.erased, applied.absent) == (22, 1), "what the first call erased is not called absent now"
    assert applied.by_store == {"corpus": {"D2": 21}, "mirror": {"D2": 1}}
    assert small.verify().passed


def test_a_file_with_another_name_outside_is_kept_until_that_name_is_gone(small: Corpus) -> None:
    path = some_scoped(small)
    other = small.root / "outside" / "hard-link.jpg"
    other.hardlink_to(path)
    small.ready()
    with pytest.raises(UnitsFailed) as caught:
        small.apply()
    assert [d.selector for d in caught.value.details] == [path.name]
    assert "hard link" in caught.value.details[0].reason
    other.unlink()
    done = small.apply()
    assert (done.erased, done.absent, small.apply()) == (23, 0, done)
    assert not path.exists()
    assert small.verify().passed


def test_what_was_left_undone_can_be_planned_anew(small: Corpus) -> None:
    """A first plan stops half-way, models destroyed; a second one finishes, and still answers for those models."""
    small.ready()
    path = some_scoped(small)

    def meanwhile(boundary: str) -> None:
        if boundary == "done:suppress":
            path.write_bytes(reencoded(path))

    with pytest.raises(UnitsFailed):
        small.apply(at_boundary=meanwhile)
    again = small.plan()
    assert [(m["id"], m["disposition"]) for m in again.directory.summary["models"]] == [("rec-2014", "destroyed")]
    small.approve(again.row.id)
    small.apply(again.row.id)
    assert not path.exists()
    assert small.verify().passed
    assert small.facts().count("ModelDestroyed") == 1
    assert small.facts().count("SuppressionExtended") == 1


def test_an_edited_file_in_a_scoped_place_goes_with_its_reason(small: Corpus) -> None:
    path = some_scoped(small)
    path.write_bytes(innocent(13))
    broken = sorted((small.corpus / "okcupid" / "part-001").iterdir())[1]
    broken.write_bytes(broken.read_bytes()[:-900])
    small.ready()
    planned = orders.find_plan(small.ws, PLAN).directory
    reasons = {t.selector: t.reason for u in planned.units() if u.object == "okcupid/part-001" for t in u.targets}
    why = "changed since it was taken in, in the place of an item in scope"
    assert reasons[path.name] == why
    assert len(reasons) == 6
    assert small.apply().failures == ()
    assert not path.exists()
    assert small.verify().passed


def test_only_one_process_applies_a_plan(small: Corpus) -> None:
    small.ready()

    def meanwhile(boundary: str) -> None:
        if boundary == "done:suppress":
            with pytest.raises(WorkspaceBusy):
                Corpus(small.root).apply()

    assert small.apply(at_boundary=meanwhile).failures == ()


def test_of_two_plans_the_one_that_was_carried_out_is_verified(small: Corpus) -> None:
    small.ready()
    small.plan()
    small.approve("plan-0001-2")
    small.apply()
    with pytest.raises(WrongState, match="was carried out by plan-0001-1"):
        small.apply("plan-0001-2")
    assert small.verify().passed
    with pytest.raises(WrongState, match="carried out already"):
        small.plan()


def test_units_hold_whole_directories_and_each_target_once(small: Corpus) -> None:
    small.open_order()
    units: list[Unit] = list(small.plan().directory.units())
    places = [(u.store, u.object) for u in units]
    assert len(places) == len(set(places)) == 7
    targets: list[Any] = [(u.store, u.object, t.selector) for u in units for t in u.targets]
    assert len(targets) == len(set(targets)) == 23
    assert [u.number for u in units] == list(range(7))


def test_a_second_order_on_a_source_waits_for_the_first(small: Corpus) -> None:
    small.open_order()
    with pytest.raises(WrongState, match=f"under {ORDER} already"):
        small.open_order()
    assert small.open_order(MEMBERS).order.id == "order-0002"
