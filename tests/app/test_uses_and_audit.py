"""What models may be used for, releasing them, and what an audit finds: through the books, over the small corpus."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from small_corpus import ADA, DANA, OKCUPID, PANEL, TRAIN, Corpus, draft
from unsee.app import audit, uses
from unsee.books import consents, residents, shown, training
from unsee.core.consent import Consent, ConsentState
from unsee.core.errors import InvalidValue, NotFound, PolicyRefusal, UnknownPurpose, WrongState
from unsee.core.ids import ItemSet, ModelId, SubjectNo
from unsee.core.lineage import Edge, Node
from unsee.core.parties import AgreementStatus


def permit_use(small: Corpus, *, people: bool = True) -> None:
    """The panel agrees to verification as well, and its people do."""
    draft(small, "agreement-use", PANEL, "use-model")
    small.sql(
        "INSERT INTO agreement_events (agreement_id, status, person_id, note, at) VALUES (?, ?, 'ada', '', ?)",
        "agreement-use",
        str(AgreementStatus.APPROVED),
        "2024-01-01T00:00:00Z",
    )
    if people:
        say(small, "use-model", ConsentState.GIVEN, datetime(2024, 1, 1, tzinfo=UTC))


def say(small: Corpus, purpose: str, state: ConsentState, at: datetime) -> None:
    with small.ws.books.write() as tx:
        consents.record(tx, [Consent(who, purpose, state, "notice-2024-1", at, at) for who in panel_people(small)])


def panel_people(small: Corpus) -> list[SubjectNo]:
    rows = small.sql("SELECT s.no FROM subjects s JOIN sources o ON o.no = s.source_no WHERE o.id = ?", PANEL)
    return [SubjectNo(int(str(no))) for (no,) in rows]


def codes(objections: tuple[uses.Objection, ...]) -> set[tuple[str, str | None, int]]:
    return {(o.code, o.source, o.items) for o in objections}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_model_may_be_used_for_what_all_of_its_inputs_allow(small: Corpus) -> None:
    assert codes(uses.may_use(small.ws, "rec-panel", "verify-1-to-1").objections) == {("purpose-not-agreed", PANEL, 4)}
    permit_use(small)
    answer = uses.may_use(small.ws, "rec-panel", "verify-1-to-1")
    assert answer.allowed
    assert answer.items == 4
    assert answer.inputs == ("run run-rec-panel-1", "dataset faces-panel")
    mixed = uses.may_use(small.ws, "rec-2014", "verify-1-to-1")
    assert codes(mixed.objections) == {("legacy", OKCUPID, 12)}


def test_an_override_is_no_permission(small: Corpus) -> None:
    permit_use(small)
    (objection,) = uses.may_use(small.ws, "rec-2014", "verify-1-to-1").objections
    assert objection.overridden
    assert str(objection).endswith("(12 of 12 items of okcupid-2014; overridden when it was frozen)")


def test_r10_what_was_destroyed_or_learned_from_what_was_erased_is_said(small: Corpus) -> None:
    small.ready().apply()
    found = uses.may_use(small.ws, "rec-2014", "verify-1-to-1").objections
    assert {(o.code, o.through) for o in found} >= {("destroyed", "model rec-2014"), ("erased", "dataset faces-2014")}


def test_r13_a_model_on_a_base_of_unknown_origin_may_be_used_for_nothing(small: Corpus) -> None:
    permit_use(small)
    edge = Edge(Node("model", "acquired"), Node("run", "run-rec-panel-1"), "fine-tuned-from")
    with small.ws.books.write() as tx:
        training.add_edges(tx, [edge])
    (objection,) = uses.may_use(small.ws, "rec-panel", "verify-1-to-1").objections
    assert (objection.code, objection.through) == ("unknown-lineage", "model acquired")


def test_a_release_needs_every_purpose_and_a_withdrawal_takes_it_out_of_use(small: Corpus) -> None:
    permit_use(small)
    before = small.facts()
    with pytest.raises(PolicyRefusal, match="share: nothing was released") as caught:
        uses.release(small.ws, "rec-panel", ["verify-1-to-1", "share"], person=ADA)
    assert {o.code for o in caught.value.details} == {"purpose-not-agreed"}
    assert small.facts() == before
    uses.release(small.ws, "rec-panel", ["verify-1-to-1", "verify-1-to-1", "identify-1-to-n"], person=ADA)
    with small.ws.books.read() as conn:
        assert training.releases(conn)[ModelId("rec-panel")].purposes == ("verify-1-to-1", "identify-1-to-n")
    uses.withdraw(small.ws, "rec-panel", person=ADA, note="superseded")
    with small.ws.books.read() as conn:
        assert training.releases(conn) == {}
    with pytest.raises(WrongState):
        uses.withdraw(small.ws, "rec-panel", person=ADA, note="again")
    assert small.facts()[len(before) :] == ["ModelReleased", "ModelWithdrawn"]


def test_names_and_purposes_are_checked(small: Corpus) -> None:
    with pytest.raises(NotFound):
        uses.may_use(small.ws, "nothing", "verify-1-to-1")
    with pytest.raises(UnknownPurpose):
        uses.may_use(small.ws, "rec-panel", "world-domination")
    with pytest.raises(NotFound):
        uses.release(small.ws, "rec-panel", ["verify-1-to-1"], person=ADA.__class__("nobody"))
    with pytest.raises(NotFound):
        uses.why(small.ws, 10_000, TRAIN)


def test_why_says_reason_and_way(small: Corpus) -> None:
    item = int(
        str(
            small.sql("SELECT min(i.id) FROM items i JOIN sources s ON s.no = i.source_no WHERE s.id = ?", OKCUPID)[0][
                0
            ]
        )
    )
    found = uses.why(small.ws, item, TRAIN)
    assert found.refusal is not None
    assert found.refusal.code == "legacy"
    assert (found.way.source, found.way.person, found.datasets) == (OKCUPID, DANA, ("faces-2014",))
    assert found.models == (("rec-2014", None),)
    small.ready()
    after = uses.why(small.ws, item, TRAIN)
    assert after.refusal is not None
    assert (after.refusal.code, after.orders) == ("blocked", ("order-0001",))


def run_audit(small: Corpus, **asked: object) -> audit.Audit:
    return audit.audit(small.ws, **{"day": None, "rules_file": None, "purpose": None, **asked})


def test_an_audit_finds_what_falls_with_its_reason_and_changes_nothing(small: Corpus) -> None:
    small.ws.books.close()
    books = small.root / "ws" / "books.sqlite"
    before = digest(books)
    found = run_audit(small)
    assert [(d.id, [(r.code, len(r.items)) for r in d.refusals], d.overridden) for d in found.datasets] == [
        ("faces-2014", [("legacy", 12)], True)
    ]
    assert [(b.kind, b.id, b.reason) for b in found.below] == [
        ("run", "run-rec-2014-1", "trained-on dataset faces-2014"),
        ("model", "rec-2014", "made-by run run-rec-2014-1"),
    ]
    assert found.judged == (2, 2, 2)
    small.close()
    assert digest(books) == before


def test_a_withdrawal_makes_a_released_model_fall_and_it_comes_first(small: Corpus) -> None:
    permit_use(small)
    uses.release(small.ws, "rec-panel", ["verify-1-to-1"], person=ADA)
    assert run_audit(small).releases == ()
    say(small, "any", ConsentState.WITHDRAWN, small.ws.now())
    found = run_audit(small)
    assert [(r.model, r.purpose, codes(r.objections)) for r in found.releases] == [
        ("rec-panel", "verify-1-to-1", {("no-consent", PANEL, 4)})
    ]
    assert {d.id for d in found.datasets} == {"faces-2014", "faces-panel"}
    assert list(found.as_json())[4:6] == ["findings", "releases"]


def test_proposed_rules_are_tried_out_and_other_days_are_judged(small: Corpus) -> None:
    rules = small.root / "proposed.toml"
    rules.write_text('schema = "unsee/rules/1"\n[schedule.photo]\ndays = 30\nbasis = "proposed"\n')
    found = run_audit(small, rules_file=rules)
    assert [(d.id, [(r.code, len(r.items)) for r in d.refusals]) for d in found.datasets] == [
        ("faces-2014", [("kept-too-long", 4), ("legacy", 12)]),
        ("faces-panel", [("kept-too-long", 4)]),
    ]
    assert [d.id for d in run_audit(small, day=date(2124, 1, 1)).datasets] == ["faces-2014", "faces-panel"]
    early = run_audit(small, day=date(2023, 1, 1))
    assert {r.code for d in early.datasets if d.id == "faces-panel" for r in d.refusals} == {"no-agreement"}
    wide = run_audit(small, purpose="share")
    assert {(d.id, d.refusals[-1].code) for d in wide.datasets} >= {("faces-panel", "purpose-not-agreed")}
    rules.write_text("x")
    with pytest.raises(InvalidValue):
        run_audit(small, rules_file=rules)


def test_r30_an_illinois_release_counts_only_when_it_came_before_the_photo(small: Corpus) -> None:
    people = ItemSet(panel_people(small))
    with small.ws.books.write() as tx:
        residents.add(tx, "US-IL", people)
        assert len(shown.items_of_subjects(tx.conn, people)) == 4

    def refusals() -> set[str]:
        return {r.code for d in run_audit(small).datasets if d.id == "faces-panel" for r in d.refusals}

    def released(at: datetime) -> None:
        with small.ws.books.write() as tx:
            consents.record(
                tx,
                [Consent(SubjectNo(no), TRAIN, ConsentState.GIVEN, "release", at, at, released=True) for no in people],
            )

    assert refusals() == {"no-written-release"}
    released(datetime(2025, 1, 1, tzinfo=UTC))
    assert refusals() == {"no-written-release"}, "the photos were collected on 2024-02-01"
    released(datetime(2024, 1, 31, tzinfo=UTC))
    assert refusals() == set()
