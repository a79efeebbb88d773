"""Freezing, training: what policy refuses is refused at every door, and what an order blocks at all of them at once."""

from __future__ import annotations

import json
from datetime import date

import pytest

from small_corpus import ADA, CLEO, DANA, MEMBERS, OKCUPID, PANEL, TRAIN, Corpus, draft
from unsee.app import agreements, datasets, interests, orders, registry
from unsee.app import training as trainings
from unsee.core.errors import (
    AlreadyExists,
    ApprovalRefused,
    BlockedByOrder,
    InputError,
    InvalidName,
    InvalidValue,
    NotFound,
    PolicyRefusal,
    StoreUnreachable,
    Tampered,
    UnknownPurpose,
    WrongState,
)
from unsee.core.parties import AgreementStatus, Interest
from unsee.training.recipe import Recipe


def codes(refusal: PolicyRefusal | BlockedByOrder) -> dict[str, int]:
    return {d.code: len(d.items) for d in refusal.details}


def test_a_set_is_refused_whole_with_every_reason_counted(small: Corpus) -> None:
    before = small.facts()
    with pytest.raises(PolicyRefusal) as caught:
        small.freeze("all")
    assert codes(caught.value) == {"legacy": 12, "no-consent": 2}
    assert "14 of 20 items may not be used" in caught.value.message
    assert "--permitted-only" in caught.value.next_step
    assert small.sql("SELECT id FROM datasets WHERE id = 'all'") == []
    assert small.facts() == before


def test_permitted_only_leaves_the_refused_ones_out(small: Corpus) -> None:
    frozen = small.freeze("lawful", permitted_only=True)
    assert len(frozen.items) == 6
    assert frozen.override is None
    assert len(small.open_dataset("lawful")) == 6


def test_an_override_takes_them_in_on_the_record(small: Corpus) -> None:
    frozen = small.freeze("everything", override=True)
    assert len(frozen.items) == 20
    assert frozen.override is not None
    assert frozen.override["by"] == DANA
    assert {r["code"]: r["items"] for r in frozen.override["refused"]} == {"legacy": 12, "no-consent": 2}
    body = json.loads(str(small.sql("SELECT body FROM facts WHERE kind = 'DatasetFrozen' ORDER BY seq DESC")[0][0]))
    assert body["override"] == json.loads(json.dumps(frozen.override))


def test_a_lawful_set_carries_no_override_though_one_was_offered(small: Corpus) -> None:
    assert small.freeze("panel-again", PANEL, override=True).override is None


def test_an_order_blocks_at_every_door_at_once(small: Corpus) -> None:
    small.open_dataset("faces-2014")
    small.open_order()
    with pytest.raises(BlockedByOrder):
        small.open_dataset("faces-2014")
    with pytest.raises(BlockedByOrder) as caught:
        small.freeze("again", OKCUPID, PANEL, override=True)
    assert codes(caught.value) == {"blocked": 12}
    assert "No override lifts this" in caught.value.message
    with pytest.raises(PolicyRefusal) as refused:
        small.freeze("again", OKCUPID, PANEL)
    assert codes(refused.value) == {"blocked": 12}
    with pytest.raises(BlockedByOrder):
        trainings.train(
            small.ws, "rec-new", dataset="faces-2014", recipe=Recipe(), person=DANA, on_progress=lambda _p: None
        )
    assert small.sql("SELECT id FROM runs WHERE id LIKE '%rec-new%'") == [], "not even a run began"
    with pytest.raises(BlockedByOrder):
        small.take_in(small.corpus / "okcupid", OKCUPID)
    with pytest.raises(InputError, match="would be empty"):
        small.freeze("again", OKCUPID, permitted_only=True)
    assert len(small.freeze("again", OKCUPID, PANEL, permitted_only=True).items) == 4


def test_after_the_erasure_sets_are_made_of_what_is_left_without_a_word(small: Corpus) -> None:
    small.ready().apply()
    frozen = small.freeze("left", OKCUPID, PANEL)
    assert len(frozen.items) == 4
    assert frozen.override is None
    with pytest.raises(InputError, match="would be empty"):
        small.freeze("nothing", OKCUPID)


def test_nobody_of_another_set_is_in_a_held_out_one(small: Corpus) -> None:
    with pytest.raises(InputError, match="would be empty"):
        small.freeze("held-out", PANEL, purpose="evaluate", without_people_of=("faces-2014",))
    held_out = small.freeze(
        "held-out", MEMBERS, purpose="evaluate", permitted_only=True, without_people_of=("faces-2014",)
    )
    assert len(held_out.items) == 2


def test_a_control_leaves_out_as_many_people_at_random_and_the_same_each_time(small: Corpus) -> None:
    def control(name: str, seed: int, drop: int = 2) -> set[int]:
        chosen = datasets.Selection(sources=(OKCUPID, PANEL), drop_people=drop, seed=seed)
        override = datasets.Override(DANA, "control")
        frozen, _ = datasets.freeze(
            small.ws, name, purpose=TRAIN, selection=chosen, permitted_only=False, override=override, person=DANA
        )
        return set(frozen.items)

    first = control("one", 1)
    assert len(first) in {10, 11, 12}
    assert control("two", 1) == first
    assert any(control(f"other-{seed}", seed) != first for seed in range(2, 8))
    with pytest.raises(InputError, match="7 people cannot be left out of 6"):
        control("too-many", 1, drop=7)


def test_names_purposes_and_people_are_checked_before_anything_is_written(small: Corpus) -> None:
    before = small.facts()
    with pytest.raises(UnknownPurpose):
        small.freeze("x", PANEL, purpose="world-domination")
    with pytest.raises(InvalidName):
        small.freeze("../x", PANEL)
    with pytest.raises(AlreadyExists):
        small.freeze("faces-panel", PANEL)
    with pytest.raises(NotFound):
        small.freeze("x", "nowhere")
    with pytest.raises(NotFound):
        small.freeze("x", PANEL, without_people_of=("nothing",))
    assert small.facts() == before


def test_the_root_of_a_set_is_over_its_items(small: Corpus) -> None:
    one, two = small.freeze("one", PANEL), small.freeze("two", PANEL)
    assert one.root == two.root
    assert small.freeze("three", permitted_only=True).root != one.root


def test_a_model_that_was_destroyed_or_changed_is_not_used(small: Corpus) -> None:
    assert trainings.require_model(small.ws, "rec-2014").id == "rec-2014"
    (small.ws.models / "rec-panel" / "weights.bin").write_bytes(b"other")
    with pytest.raises(Tampered, match="rec-panel"):
        trainings.require_model(small.ws, "rec-panel")
    small.ready().apply()
    with pytest.raises(WrongState, match="destroyed under order-0001"):
        trainings.require_model(small.ws, "rec-2014")
    with pytest.raises(AlreadyExists):
        trainings.train(
            small.ws, "rec-2014", dataset="faces-panel", recipe=Recipe(), person=DANA, on_progress=lambda _p: None
        )


def test_an_order_on_nothing_or_on_an_unknown_source_is_refused(small: Corpus) -> None:
    with pytest.raises(NotFound):
        small.open_order("nowhere")
    with pytest.raises(NotFound, match="order profile"):
        orders.open_order(
            small.ws,
            source=PANEL,
            profile_name="law-of-the-sea",
            instrument=small.document,
            authority="",
            effective=None,
            person=DANA,
        )
    small.document.write_bytes(b"")
    with pytest.raises(InputError, match="is empty"):
        small.open_order()
    assert small.sql("SELECT count(*) FROM orders") == [(0,)]


def test_an_order_says_what_it_blocks_and_until_when(small: Corpus) -> None:
    opened = small.open_order()
    assert (opened.items, opened.people) == (12, 4)
    assert set(opened.deadlines) == {"data", "embeddings", "models"}
    kept = sorted(p.name for p in (small.root / "ws" / "instruments").iterdir())
    assert f"{opened.order.instrument_sha256}.pdf" in kept


def test_registering_refuses_what_it_must(small: Corpus) -> None:
    ws = small.ws
    fields = {"title": "x", "issuer": "X", "collected_on": date(2024, 1, 1), "data_classes": [], "geography": "EU"}
    with pytest.raises(InvalidValue, match="scraping"):
        registry.add_source(ws, "crawl", kind="scraped", legacy=False, **fields)
    with pytest.raises(InvalidValue, match="no kind of source"):
        registry.add_source(ws, "crawl", kind="gift", legacy=False, **fields)
    with pytest.raises(AlreadyExists):
        registry.add_source(ws, PANEL, kind="panel", legacy=False, **fields)
    with pytest.raises(StoreUnreachable):
        registry.add_store(ws, "far", kind="files", location=str(small.root / "not there"), options={})
    with pytest.raises(AlreadyExists):
        registry.add_store(ws, "models", kind="files", location=str(small.root / "outside"), options={})
    with pytest.raises(AlreadyExists):
        registry.add_person(ws, "ada", name="Ada", title="x", organisation=None, key_file=None)
    with pytest.raises(NotFound):
        interests.declare(ws, Interest("X", "Y", "equity", date(2024, 1, 1), orders.PersonId("nobody")))


def test_an_interested_person_approves_no_agreement(small: Corpus) -> None:
    draft(small, "more-okcupid", OKCUPID, TRAIN)
    agreements.move(small.ws, "more-okcupid", AgreementStatus.IN_REVIEW, person=DANA, note="")
    with pytest.raises(ApprovalRefused, match="OkCupid, a party"):
        agreements.move(small.ws, "more-okcupid", AgreementStatus.APPROVED, person=CLEO, note="")
    assert (
        agreements.move(small.ws, "more-okcupid", AgreementStatus.APPROVED, person=ADA, note="").status
        == AgreementStatus.APPROVED
    )
    with pytest.raises(WrongState, match="is approved; it cannot become rejected"):
        agreements.move(small.ws, "more-okcupid", AgreementStatus.REJECTED, person=ADA, note="")


def test_every_fact_is_in_the_log_once_and_in_order(small: Corpus) -> None:
    small.ready().apply()
    small.verify()
    rows = small.sql("SELECT seq, log_index FROM facts ORDER BY seq")
    assert [index for _seq, index in rows] == list(range(len(rows)))
    assert small.ws.log.checkpoint().size == len(rows)
