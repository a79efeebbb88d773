"""Planning: every copy that nobody recorded is found with its reason, lawful twins are listed and kept, and nothing changes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from small_corpus import DANA, MEMBERS, OKCUPID, TRAIN, Corpus, innocent, reencoded
from unsee.app import registry
from unsee.core.errors import InvalidValue, StoreUnreachable
from unsee.core.ids import ModelId, RunId
from unsee.core.lineage import Node
from unsee.erase.plandir import PlanDirectory, Target
from unsee.training.recorder import record_run


@pytest.fixture
def opened(small: Corpus) -> Corpus:
    small.open_order()
    return small


def targets(directory: PlanDirectory) -> dict[str, Target]:
    """Every target by `store:object/selector`."""
    return {f"{u.store}:{u.object}/{t.selector}": t for u in directory.units() for t in u.targets}


def photos(corpus: Corpus) -> list[Path]:
    return sorted((corpus.corpus / "okcupid" / "part-000").iterdir())


def test_everything_that_must_go_is_a_target_and_nothing_else(opened: Corpus) -> None:
    found = targets(opened.plan().directory)
    expected = set()
    for path in opened.scope_files():
        store = "mirror" if path.is_relative_to(opened.mirror) else "corpus"
        inside = path.relative_to(opened.mirror if store == "mirror" else opened.corpus)
        expected.add(f"{store}:{inside.parent.as_posix()}/{inside.name}")
    assert set(found) == expected


def test_each_copy_comes_with_its_reason(opened: Corpus) -> None:
    first, second, *_ = photos(opened)
    (opened.corpus / "deep" / "er").mkdir(parents=True)
    with Image.open(second) as picture:
        turned = picture.transpose(Image.Transpose.ROTATE_90)
        turned.save(opened.corpus / "deep" / "er" / "turned.png")
        picture.save(opened.mirror / "same-pixels.png")
    found = targets(opened.plan().directory)
    assert found[f"corpus:okcupid/part-000/{first.name}"].reason == "recorded copy of an item in scope"
    assert found["corpus:okcupid/photos.csv"].reason == "recorded copy of an item in scope"
    reasons = {
        "corpus:loose/holiday.jpg": "identical bytes",
        "corpus:old-backup/photos.csv": "identical bytes",
        "mirror:by-name/jane doe/m1.jpg": "identical bytes",
        "mirror:./same-pixels.png": "same pixels",
        "corpus:loose/thumb.jpg": "near-duplicate at distance",
        "corpus:deep/er/turned.png": "near-duplicate at distance",
    }
    for place, reason in reasons.items():
        assert found[place].reason.startswith(f"unrecorded copy: {reason}"), place
        assert found[place].item >= 0
    assert "rotated" in found["corpus:deep/er/turned.png"].reason or "°" in found["corpus:deep/er/turned.png"].reason


def test_lawful_twins_are_listed_and_kept(opened: Corpus) -> None:
    summary = opened.plan().directory.summary
    assert summary["twins"]["count"] == 2
    assert {t["reason"].split(" at ")[0] for t in summary["twins"]["sample"]} == {"identical bytes", "near-duplicate"}
    opened.approve()
    opened.apply()
    twins = sorted((opened.corpus / "members" / "twins").iterdir())
    assert [p.name for p in twins] == ["re-encoded.jpg", "same-bytes.jpg"]
    seen = opened.verify()
    assert seen.residue == ()
    kept = {f.where: f.reason for f in seen.kept}
    assert set(kept) == {"corpus:members/twins/re-encoded.jpg", "corpus:members/twins/same-bytes.jpg"}
    assert all("listed in the plan (rule keep-lawful)" in reason for reason in kept.values())
    assert "identical bytes" in kept["corpus:members/twins/same-bytes.jpg"]


def test_an_order_on_the_twins_source_leaves_the_other_sources_photos(small: Corpus) -> None:
    small.open_order(MEMBERS)
    small.plan()
    small.approve()
    small.apply()
    assert small.verify().passed
    assert not (small.corpus / "members").exists()
    assert len(photos(small)) == 6, f"the photos of {OKCUPID} stay: they are items of their own"
    # An unrecorded copy belongs to nobody who could vouch for it, so it goes with the order that it matches.
    assert not (small.corpus / "loose" / "holiday.jpg").exists()


def test_what_cannot_be_compared_is_counted_by_reason_and_left(opened: Corpus) -> None:
    summary = opened.plan().directory.summary
    missed = summary["search"]["not_compared"]
    assert missed["a symbolic link, not a regular file"] == 1
    assert sum(count for reason, count in missed.items() if reason.startswith("damaged JPEG")) == 1
    assert sum(count for reason, count in missed.items() if reason.startswith("it is no picture")) == 2
    assert summary["search"]["members"] == 36
    assert summary["search"]["recorded_unchanged"] == 23
    assert summary["search"]["read"] == 13


def test_a_link_out_of_the_store_is_never_followed(opened: Corpus) -> None:
    (opened.corpus / "deeper").symlink_to(opened.root / "outside", target_is_directory=True)
    outside = opened.root / "outside" / "elsewhere.jpg"
    before = outside.read_bytes()
    found = targets(opened.plan().directory)
    assert not [place for place in found if "elsewhere" in place or "deeper" in place or "link" in place]
    opened.approve()
    opened.apply()
    assert outside.read_bytes() == before
    assert (opened.corpus / "loose" / "link.jpg").is_symlink()


def fingerprint(corpus: Corpus) -> dict[str, str]:
    """Every file of stores, models and workspace but the plans, byte for byte with its stamp; the books by their content."""
    found = {}
    for path in sorted(corpus.root.rglob("*")):
        inside = path.relative_to(corpus.root).as_posix()
        if inside.startswith(("ws/plans", "ws/books.sqlite", "ws/log")) or not path.is_file() or path.is_symlink():
            continue
        seen = path.stat()
        found[inside] = f"{hashlib.sha256(path.read_bytes()).hexdigest()} {seen.st_mtime_ns} {seen.st_ino}"
    for table, columns in {
        "items": "id, source_no, subject_no",
        "copies": "item_id, object_no, selector, stamp",
        "digests": "item_id, sha256, pixels, pdq",
        "objects": "no, store_no, name",
        "orders": "id, scope",
        "order_events": "no, state",
        "suppression": "no",
        "models": "id, digest",
        "model_events": "no",
        "consents": "no, terms_no",
    }.items():
        found[f"table {table}"] = repr(corpus.rows(table, columns))
    return found


def test_planning_changes_nothing(opened: Corpus) -> None:
    before, facts = fingerprint(opened), opened.facts()
    opened.plan()
    assert fingerprint(opened) == before
    assert opened.facts() == [*facts, "PlanMade"]


def test_two_plans_of_one_world_hold_the_same_targets(opened: Corpus) -> None:
    one, two = opened.plan().directory, opened.plan().directory
    assert targets(one) == targets(two)
    names = ("scope", "reach", "copies", "units", "parts", "models", "strays", "retained", "search", "twins")
    assert {n: one.summary[n] for n in names} == {n: two.summary[n] for n in names}
    assert one.digest != two.digest, "each plan is its own: approvals of one are none of the other"


def test_a_moved_file_is_found_where_it_lies_now(opened: Corpus) -> None:
    first = photos(opened)[0]
    first.rename(opened.mirror / "moved.jpg")
    found = targets(opened.plan().directory)
    assert found["mirror:./moved.jpg"].reason == "unrecorded copy: identical bytes"
    opened.approve()
    assert opened.apply().absent == 1
    assert opened.verify().passed


def test_a_store_that_is_not_there_stops_the_plan(opened: Corpus) -> None:
    opened.mirror.rename(opened.root / "unmounted")
    with pytest.raises(StoreUnreachable):
        opened.plan()
    assert opened.sql("SELECT count(*) FROM plans") == [(0,)]


def test_a_large_picture_and_a_bomb_stop_nothing(opened: Corpus) -> None:
    wide = Image.fromarray(np.zeros((9_000, 9_000), np.uint8))
    wide.save(opened.mirror / "bomb.png", compress_level=9)
    (opened.mirror / "cut.jpg").write_bytes(photos(opened)[0].read_bytes()[:-700])
    plan = opened.plan().directory
    assert "mirror:./bomb.png" not in targets(plan)
    opened.approve()
    opened.apply()
    assert (opened.mirror / "bomb.png").exists()


def test_a_stray_model_directory_and_a_loose_file_are_named(opened: Corpus) -> None:
    (opened.ws.models / "loose.bin").write_bytes(b"x")
    summary = opened.plan().directory.summary
    assert summary["strays"] == [".", "unfinished"]
    opened.approve()
    opened.apply()
    assert sorted(p.name for p in opened.ws.models.iterdir()) == ["rec-panel"]
    assert opened.verify().passed


def test_a_run_under_way_on_what_stays_keeps_its_directory_and_one_on_the_scope_does_not(small: Corpus) -> None:
    class Killed(BaseException):
        """What ends a run without a word."""

    for name, dataset in (("lawful", "faces-panel"), ("unlawful", "faces-2014")):
        ws = small.ws
        with (
            pytest.raises(Killed),
            record_run(
                ws.books,
                run=RunId(f"run-{name}-1"),
                model=ModelId(name),
                purpose=TRAIN,
                recipe={"kind": "few-files"},
                inputs=[Node("dataset", dataset)],
                person=DANA,
                directory=ws.models / name,
            ),
        ):
            for place in (name, f".{name}.partial"):
                (ws.models / place).mkdir()
                (ws.models / place / "half.bin").write_bytes(b"half of a model")
            raise Killed
    small.open_order()
    assert small.plan().directory.summary["strays"] == [".unlawful.partial", "unfinished", "unlawful"]
    small.approve()
    small.apply()
    assert sorted(p.name for p in small.ws.models.iterdir()) == [".lawful.partial", "lawful", "rec-panel"]
    assert small.verify().passed


def test_innocent_pictures_are_never_targets(opened: Corpus) -> None:
    for seed in range(40):
        (opened.mirror / f"innocent-{seed}.jpg").write_bytes(innocent(1000 + seed))
    assert not [place for place in targets(opened.plan().directory) if "innocent" in place]


@pytest.mark.parametrize(("side", "quality"), [(64, 60), (96, 30), (112, 95), (224, 75)])
def test_re_encoded_copies_of_many_sizes_are_found(opened: Corpus, side: int, quality: int) -> None:
    for path in photos(opened):
        (opened.mirror / f"copy-of-{path.name}").write_bytes(reencoded(path, side=side, quality=quality))
    found = [place for place in targets(opened.plan().directory) if "copy-of" in place]
    assert len(found) == 6


def test_a_store_overlapping_another_is_refused(small: Corpus) -> None:
    with pytest.raises(InvalidValue, match="overlaps store corpus"):
        registry.add_store(small.ws, "again", kind="files", location=str(small.corpus / "loose"), options={})
