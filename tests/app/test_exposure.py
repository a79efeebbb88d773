"""Exposure and what-if over the small corpus: what stands on whose photos, and what would fall."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from small_corpus import ADA, DANA, MEMBERS, OKCUPID, PANEL, TRAIN, Corpus, draft
from unsee.app import agreements, disclosures, exposed, recipients
from unsee.app.exposure import Exposure, exposure, plot, under
from unsee.app.without import without
from unsee.books import assessments, items, residents, training
from unsee.core.errors import InvalidValue, NotFound
from unsee.core.ids import ItemSet, ModelId, RecipientId, SourceId
from unsee.core.orders import PROFILES
from unsee.core.parties import AgreementStatus, Assessment, AssessmentResult
from unsee.core.sharing import Recipient

GREY = RecipientId("grey-labs")


def rows(small: Corpus, by: str = "source") -> dict[str, Exposure]:
    return {row.name: row for row in exposure(small.ws, by)}


def share(small: Corpus) -> None:
    """Grey Labs got the model of 2014, and so a part of both sources in it."""
    recipients.add(small.ws, Recipient(GREY, "Grey Labs", "1 Road", "+1 555 0100"), person=DANA)
    told = disclosures.Told(str(GREY), "model-delivery", date(2026, 1, 5), TRAIN, "a deal", model="rec-2014")
    disclosures.record(small.ws, told, person=DANA)


def test_exposure_counts_what_falls_with_each_source(small: Corpus) -> None:
    found = rows(small)
    okcupid, panel, members = found[OKCUPID], found[PANEL], found[MEMBERS]
    assert (okcupid.items, okcupid.people, okcupid.lawful) == (12, 4, False)
    assert okcupid.why == "legacy: taken in without an approved agreement"
    assert (okcupid.datasets, okcupid.models) == (("faces-2014",), ("rec-2014",))
    assert panel.models == ("rec-2014", "rec-panel")
    assert (panel.lawful, panel.items) == (True, 4)
    assert (members.models, members.datasets, members.retraining.runs) == ((), (), 0)
    assert okcupid.retraining.runs == 1
    assert panel.retraining.wall_s >= okcupid.retraining.wall_s
    assert okcupid.size_bytes == sum(p.stat().st_size for p in (small.corpus / "okcupid").rglob("*.jpg"))
    assert next(iter(exposure(small.ws))).name == OKCUPID, "the unlawful come first"
    assert any("OkCupid" in words for words in okcupid.conflicts), "R35: the conflict stands on every report"


def test_an_order_is_named_with_its_nearest_deadline_until_nothing_is_left(small: Corpus) -> None:
    before = rows(small)[OKCUPID].deadline
    assert before is not None
    assert (before.order, before.profile) == (None, "ftc-cambridge-analytica")
    small.ready()
    found = rows(small)
    assert under(found[OKCUPID].orders) == ["order-0001 (open)"]
    assert found[PANEL].orders == ()
    deadline = found[OKCUPID].deadline
    assert deadline is not None
    assert (deadline.order, deadline.days) == ("order-0001", PROFILES["ftc-everalbum"].data_days)
    small.apply()
    after = rows(small)
    assert (after[OKCUPID].items, after[OKCUPID].models, after[PANEL].models) == (0, (), ("rec-panel",))
    assert (after[OKCUPID].people, after[OKCUPID].size_bytes, after[OKCUPID].deadline) == (0, 0, None)


def test_r15_who_got_a_model_is_exposed_with_every_source_in_it_even_when_it_is_destroyed(small: Corpus) -> None:
    share(small)
    assert [rows(small)[s].recipients for s in (OKCUPID, PANEL, MEMBERS)] == [(GREY,), (GREY,), ()]
    small.ready().apply()
    assert rows(small)[OKCUPID].recipients == (GREY,), "the copy out there was not destroyed"


def test_a_released_model_is_deployed_and_would_be_withdrawn(small: Corpus) -> None:
    with small.ws.act() as tx:
        training.release(tx, ModelId("rec-2014"), [TRAIN], person=DANA)
    assert [rows(small)[s].deployed for s in (OKCUPID, PANEL, MEMBERS)] == [("rec-2014",), ("rec-2014",), ()]
    assert without(small.ws, [OKCUPID]).as_json()["withdraw"] == ["rec-2014"]
    with small.ws.act() as tx:
        training.withdraw(tx, ModelId("rec-2014"), person=DANA, note="")
    assert rows(small)[OKCUPID].deployed == ()


def test_r33_what_bars_a_source_is_its_standing(small: Corpus) -> None:
    assert rows(small)[PANEL].lawful
    with small.ws.act() as tx:
        failed = Assessment(SourceId(PANEL), tx.now.date(), "0" * 64, AssessmentResult.FAILED, tx.now.date())
        assessments.record(tx, failed, person=DANA)
    barred = rows(small)[PANEL]
    assert (barred.lawful, "assess" in barred.why) == (False, True), barred.why
    assert not rows(small, "agreement")["agreement-consented-panel"].lawful


def test_by_agreement_each_has_its_own_state_and_what_has_none_is_said(small: Corpus) -> None:
    draft(small, "second", PANEL, "evaluate")
    found = rows(small, "agreement")
    assert found["agreement-consented-panel"].lawful
    assert (found["second"].items, found["second"].lawful, found["second"].why) == (4, False, "draft")
    nothing = found[exposed.NO_AGREEMENT]
    assert (nothing.items, nothing.people, nothing.lawful) == (12, 4, False)
    agreements.move(small.ws, "agreement-consented-panel", AgreementStatus.TERMINATED, person=ADA, note="")
    ended = rows(small, "agreement")["agreement-consented-panel"]
    assert (ended.lawful, ended.why.split(";")[0]) == (False, "terminated")
    assert "no approved agreement in force" in rows(small)[PANEL].why


def test_by_jurisdiction_and_by_group(small: Corpus) -> None:
    with small.ws.act() as tx:
        people = items.people_in(tx.conn, ItemSet(range(3)))
        residents.add(tx, "US-IL", people)
    found = rows(small, "jurisdiction")
    assert found["US-IL"].people == len(people) > 0
    assert sum(r.items for r in found.values()) == 20
    unlawful = f"{12 - found['US-IL'].items} of {found['US'].items} photos: {OKCUPID}: legacy"
    assert found["US"].why.startswith(unlawful)
    tones = rows(small, "group:tone")
    assert {"dark", "light", "mid"} <= tones.keys()
    assert tones["dark"].items == 9
    assert (tones[exposed.NOBODY_KNOWN].items, tones[exposed.NOBODY_KNOWN].people) == (2, 0)
    assert tones["mid"].lawful
    with pytest.raises(InvalidValue, match="shoe-size") as caught:
        exposure(small.ws, "group:shoe-size")
    assert "tone" in caught.value.next_step
    with pytest.raises(InvalidValue, match="group:ATTRIBUTE"):
        exposure(small.ws, "colour")


def test_bytes_that_would_take_too_many_rows_are_not_guessed(small: Corpus, monkeypatch) -> None:
    monkeypatch.setattr(exposed, "ROWS_AT_MOST", 0)
    found = rows(small, "group:tone")
    assert found["dark"].size_bytes is None
    assert rows(small)[OKCUPID].size_bytes


def test_without_a_source_says_what_falls_and_what_stays_and_changes_nothing(small: Corpus) -> None:
    share(small)
    facts, tables = small.facts(), small.rows("model_events", "model_id, event")
    found = without(small.ws, [OKCUPID])
    assert (found.items, found.people) == (12, 4)
    (kept,) = found.datasets
    assert (kept.kept.dataset, kept.kept.items, len(kept.kept.kept)) == ("faces-2014", 16, 4)
    assert (kept.people, kept.people_kept, kept.lawful_kept) == (6, 2, 4)
    assert kept.kept.groups == {PANEL: (4, 4), OKCUPID: (12, 0)}
    assert found.falls.models == ("rec-2014",)
    assert found.recipients == (GREY,)
    assert "twins" in " ".join(found.as_json()["not_computed"])
    assert (small.facts(), small.rows("model_events", "model_id, event")) == (facts, tables)
    by_tone = without(small.ws, [OKCUPID], "group:tone").datasets[0].kept.as_json()["groups"]
    assert by_tone["dark"] == {"items": 9, "items_kept": 0, "share": 0.5625, "share_kept": 0.0}
    assert by_tone["mid"]["share_kept"] == 1.0
    with pytest.raises(NotFound, match="nobody"):
        without(small.ws, [PANEL, "nobody"])


def test_without_two_is_without_both_in_any_order(small: Corpus) -> None:
    one = without(small.ws, [OKCUPID, PANEL])
    assert one == without(small.ws, [PANEL, OKCUPID, PANEL])
    assert {d.kept.dataset: len(d.kept.kept) for d in one.datasets} == {"faces-2014": 0, "faces-panel": 0}
    assert set(one.falls.models) == {"rec-2014", "rec-panel"}
    assert one.datasets[0].kept.as_json()["groups"][PANEL]["share_kept"] is None
    assert without(small.ws, [MEMBERS]).datasets == ()


def test_the_picture_says_what_each_model_learned_from(small: Corpus, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    small.ready().apply()
    plot(small.ws, tmp_path / "exposure.svg")
    said = "\n".join(re.findall(r"<!--(.*?)-->", (tmp_path / "exposure.svg").read_text(), re.DOTALL))
    for words in (f"{OKCUPID}  ✗", PANEL, "rec-2014", "75 %", "25 %", "100 %", "Hatched: destroyed."):
        assert words in said, words
