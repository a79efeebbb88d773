"""R33–R35, R39, R29 through the use cases: who may agree to what, what stops it, and where every conflict is repeated."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from small_corpus import ADA, BEN, CLEO, DANA, MEMBERS, OKCUPID, PANEL, RESEARCH, TRAIN, Corpus, agree, draft, policy
from unsee.app import agreements, interests, orders, registry, sources, suppliers
from unsee.books import world
from unsee.core.errors import ApprovalRefused, InputError, InvalidValue, NotFound, PolicyRefusal, WrongState
from unsee.core.ids import AgreementId, PersonId, SourceId
from unsee.core.parties import AgreementStatus, Holding, Interest, OnwardSharing, Terms
from unsee.core.policy import decide

DAY = date(2020, 1, 1)
REVIEW, APPROVED, REJECTED, TERMINATED = (
    AgreementStatus(s) for s in ("in-review", "approved", "rejected", "terminated")
)


def move(corpus: Corpus, name: str, status: AgreementStatus, person: PersonId) -> AgreementStatus:
    return agreements.move(corpus.ws, name, status, person=person, note="").status


def hold(corpus: Corpus, holder: str, held: str, share: str = "") -> None:
    interests.declare_holding(corpus.ws, Holding(holder, held, "equity", DAY, share), person=DANA)


def facts_of(corpus: Corpus, kind: str) -> list[dict[str, str]]:
    rows = corpus.sql("SELECT body FROM facts WHERE kind = ? AND log_index IS NOT NULL ORDER BY seq", kind)
    return [json.loads(str(body)) for (body,) in rows]


def partner(corpus: Corpus, **changes: object) -> str:
    fields = {
        "title": "x", "kind": "partner", "issuer": "Giver Ltd", "collected_on": date(2024, 2, 1), "data_classes": ["photo"],
        "geography": "unknown", "legacy": False, **changes,
    }  # fmt: skip
    return registry.add_source(corpus.ws, "giver", **fields).id  # type: ignore[arg-type]


def use(corpus: Corpus, source: str, day: date) -> dict[str, int]:
    """What policy says of a source on a day: items by the reason of their refusal."""
    with corpus.ws.books.read() as conn:
        then = world.as_of(conn, datetime(day.year, day.month, day.day, 12, tzinfo=UTC))
    items = next(s.items for s in then.standings if s.source.id == source)
    return {r.code: len(r.items) for r in decide(TRAIN, items, then, today=day).refusals}


# The life of an agreement.


def test_an_agreement_goes_through_a_review_and_says_what_can_be_done(small: Corpus) -> None:
    draft(small, "more", PANEL, "share")
    with pytest.raises(WrongState, match="more is draft; it cannot become approved") as caught:
        move(small, "more", APPROVED, ADA)
    assert caught.value.next_step == 'What can be done: "unsee agreement submit more", "unsee agreement reject more".'
    move(small, "more", REVIEW, DANA)
    with pytest.raises(WrongState, match="is in-review; it cannot become terminated"):
        move(small, "more", TERMINATED, ADA)
    move(small, "more", APPROVED, ADA)
    move(small, "more", TERMINATED, BEN)
    with pytest.raises(WrongState, match="is terminated; it cannot become approved") as caught:
        move(small, "more", APPROVED, ADA)
    assert "draft a new one" in caught.value.next_step
    life = agreements.report(small.ws, "more").life
    assert [(s.status, s.person) for s in life] == [
        ("draft", "dana"), ("in-review", "dana"), ("approved", "ada"), ("terminated", "ben"),
    ]  # fmt: skip


def test_r35_the_drafter_is_not_the_sole_approver_and_may_co_sign(small: Corpus) -> None:
    draft(small, "more", PANEL, "share")
    move(small, "more", REVIEW, DANA)
    with pytest.raises(ApprovalRefused, match="dana drafted this agreement; its drafter is not its sole approver"):
        move(small, "more", APPROVED, DANA)
    move(small, "more", APPROVED, ADA)
    move(small, "more", APPROVED, DANA)
    with pytest.raises(ApprovalRefused, match="ada has approved this agreement already"):
        move(small, "more", APPROVED, ADA)
    assert [f["by"] for f in facts_of(small, "ApprovalRefused")] == ["dana", "ada"]


def test_r35_a_conflicted_person_comes_after_an_independent_one_and_the_conflict_is_recorded(small: Corpus) -> None:
    hold(small, "Cleo Capital", "Panel Ltd", "40")
    interests.declare(small.ws, Interest("Cleo", "cleo  CAPITAL", "equity", DAY, CLEO))
    draft(small, "more", PANEL, "share")
    move(small, "more", REVIEW, DANA)
    path = "which holds (equity, 40 %) Panel Ltd, a party to this hand-over"
    with pytest.raises(ApprovalRefused, match="Ask an independent person") as caught:
        move(small, "more", APPROVED, CLEO)
    assert path in caught.value.message
    (refusal,) = facts_of(small, "ApprovalRefused")
    assert (refusal["agreement"], refusal["by"]) == ("more", "cleo")
    assert path in refusal["reason"]
    assert agreements.report(small.ws, "more").state is REVIEW
    move(small, "more", APPROVED, ADA)
    move(small, "more", APPROVED, CLEO)
    (signed,) = facts_of(small, "ConflictRecorded")
    assert (signed["by"], path in signed["reason"]) == ("cleo", True)


def test_r35_an_interest_declared_by_name_alone_bars_too(small: Corpus) -> None:
    interests.declare(small.ws, Interest("ADA", "Panel Ltd", "family", DAY))
    draft(small, "more", PANEL, "share")
    move(small, "more", REVIEW, DANA)
    with pytest.raises(ApprovalRefused, match="ada declared an interest"):
        move(small, "more", APPROVED, ADA)


def test_an_agreement_whose_term_ended_is_expired_everywhere(small: Corpus) -> None:
    agreements.draft(
        small.ws, "short", source=PANEL, document=small.document, purposes=[TRAIN], prohibitions=[],
        valid_from=date(2024, 1, 1), valid_until=date(2024, 12, 31), person=DANA,
    )  # fmt: skip
    agree(small, "short")
    assert agreements.report(small.ws, "short").as_json()["state"] == "expired"
    assert {r.agreement.id: r.state for r in agreements.all_reports(small.ws)}["short"] == "expired"
    assert (AgreementId("short"), "expired") in [
        (a.id, s) for a, s in sources.source_report(small.ws, PANEL).agreements
    ]
    with pytest.raises(WrongState, match="short is expired"):
        move(small, "short", TERMINATED, ADA)


def test_what_an_agreement_says_of_sharing_does_not_contradict_itself(small: Corpus) -> None:
    for terms in (Terms(OnwardSharing.LISTED), Terms(OnwardSharing.NONE, ("A lab",))):
        with pytest.raises(InvalidValue, match="of onward sharing"):
            draft(small, "more", PANEL, "share", terms=terms)


# Holdings and reports.


def test_r35_a_holding_that_closes_a_ring_is_an_error_that_names_it(small: Corpus) -> None:
    hold(small, "A", "B")
    hold(small, "B", "C")
    with pytest.raises(InvalidValue, match="closes the ring c → A → B → C"):
        hold(small, "c", "A")
    with pytest.raises(InvalidValue, match="closes the ring A → a"):
        hold(small, "A", "a")
    for share in ("0", "101", "most", "NaN", "-3"):
        with pytest.raises(InvalidValue, match="no share in percent"):
            hold(small, "A", "D", share)
    with pytest.raises(NotFound):
        interests.declare_holding(small.ws, Holding("A", "E", "equity", DAY), person=PersonId("nobody"))
    named = {o.name: [h.held for h in o.holds] for o in interests.organisations(small.ws)}
    assert (named["A"], named["B"], named["C"]) == (["B"], ["C"], [])


def test_r35_every_later_report_carries_the_conflict(small: Corpus) -> None:
    words = "cleo declared an interest (equity) in OkCupid, a party to this hand-over"
    draft(small, "more", OKCUPID, "share")
    assert words in [str(p) for p in agreements.report(small.ws, "more").conflicts]
    assert words in [str(p) for p in sources.source_report(small.ws, OKCUPID).conflicts]
    assert words in [str(p) for p in interests.paths_of(small.ws, "cleo", source=OKCUPID)]
    assert interests.paths_of(small.ws, "ada", source=OKCUPID) == ()
    assert words in [str(p) for p in interests.conflicts(small.ws, SourceId(OKCUPID))]
    assert interests.conflicts(small.ws, SourceId(MEMBERS)) == ()
    small.open_order()
    assert words in [c["words"] for c in small.plan().directory.summary["conflicts"]]


def test_r35_an_interest_through_a_holding_bars_from_a_plan(small: Corpus) -> None:
    small.open_order()
    small.plan()
    hold(small, "Ada Family Trust", "OkCupid")
    interests.declare(small.ws, Interest("Ada", "Ada Family Trust", "family", DAY, ADA))
    with pytest.raises(ApprovalRefused, match="Ada Family Trust, which holds"):
        orders.approve(small.ws, "plan-0001-1", person=ADA, key_file=None)


# Assessments.


def assess(corpus: Corpus, source: str, on: date, result: str = "passed", due: date | None = None) -> None:
    suppliers.record_assessment(
        corpus.ws, source, on=on, evidence=corpus.document, result=result, next_due=due, note="", person=DANA
    )


def test_r33_an_overdue_assessment_blocks_intake_and_what_was_never_assessed_is_barred(small: Corpus) -> None:
    today = small.ws.now().date()
    late = today + timedelta(days=31)
    assert "not-assessed" not in use(small, PANEL, today)
    assert use(small, PANEL, late) == {"not-assessed": 5}
    assert use(small, MEMBERS, late) == use(small, MEMBERS, today), "whoever collects the photos itself has no supplier"
    assess(small, PANEL, today)
    assert "not-assessed" not in use(small, PANEL, late)
    small.sql("UPDATE assessments SET assessed_on = '2024-01-01', next_due = '2025-01-01'")
    with pytest.raises(
        PolicyRefusal, match="the assessment of its supplier was due on 2025-01-01; nothing was taken in"
    ):
        small.take_in(small.corpus / "panel", PANEL)
    (duty,) = suppliers.assessment_duties(small.ws, due_only=True)
    assert (duty.source, duty.bars_use, duty.next_due) == (PANEL, None, date(2025, 1, 1))
    assess(small, PANEL, today, "failed")
    assert use(small, PANEL, today) == {"not-assessed": 5}
    assert sources.source_report(small.ws, PANEL).bars[0].code == "not-assessed"


def test_r33_an_assessment_is_dated_and_yearly(small: Corpus, tmp_path: Path) -> None:
    today = small.ws.now().date()
    with pytest.raises(InvalidValue, match="still to come"):
        assess(small, PANEL, today + timedelta(days=1))
    for due in (today, date(today.year + 2, 1, 1)):
        with pytest.raises(InvalidValue, match="cannot be due on"):
            assess(small, PANEL, today, due=due)
    with pytest.raises(InvalidValue, match="no result of an assessment"):
        assess(small, PANEL, today, "fine")
    with pytest.raises(NotFound):
        assess(small, "nobody", today)
    small.document.write_bytes(b"")
    with pytest.raises(InputError, match="is empty"):
        assess(small, PANEL, today)
    assert facts_of(small, "SupplierAssessed") == []


# Privacy policies.


def test_r34_a_partner_needs_a_policy_that_allows_what_is_agreed(small: Corpus) -> None:
    source = partner(small)
    draft(small, "deal", source, TRAIN, "share", terms=RESEARCH)
    move(small, "deal", REVIEW, DANA)
    with pytest.raises(ApprovalRefused, match="there is no snapshot of the giver's privacy policy"):
        move(small, "deal", APPROVED, ADA)
    policy(small, source, TRAIN)
    policy(small, source, "any", in_force=date(2024, 2, 2))
    with pytest.raises(ApprovalRefused, match="2010-01-01 allows train-face-recognition, not share"):
        move(small, "deal", APPROVED, ADA)
    assert suppliers.check_privacy_policy(small.ws, source).contradicted
    assert "allows" in facts_of(small, "ApprovalRefused")[-1]["reason"]
    move(small, "deal", REJECTED, ADA)
    draft(small, "deal-2", source, TRAIN, terms=RESEARCH)
    agree(small, "deal-2")
    assert not any(
        reasons for a, _s, reasons in suppliers.check_privacy_policy(small.ws, source).agreements if a.id == "deal-2"
    )


def test_r34_a_contradiction_that_is_found_later_bars_use(small: Corpus) -> None:
    today = small.ws.now().date()
    before = use(small, PANEL, today)
    policy(small, PANEL, "evaluate", in_force=date(2023, 1, 1))
    assert use(small, PANEL, today) == {"privacy-policy": 5}
    assert "privacy-policy" not in before
    assert "2023-01-01 allows evaluate" in sources.source_report(small.ws, PANEL).bars[0].reason
    assert [p.in_force_on for p in suppliers.all_privacy_policies(small.ws)] == [date(2023, 1, 1)]


# Sources.


def test_r39_untargeted_scraping_is_refused_and_targeted_is_on_record(small: Corpus) -> None:
    with pytest.raises(InvalidValue, match="Untargeted scraping"):
        partner(small, scraped="untargeted")
    with pytest.raises(InvalidValue, match="says not whether"):
        partner(small, scraped="perhaps")
    with pytest.raises(InvalidValue, match="kept for 0 days"):
        partner(small, retention_days=0)
    with pytest.raises(InvalidValue, match="a day to come"):
        partner(small, collected_on=date(2999, 1, 1))
    partner(small, scraped="targeted", retention_days=365, origin="its members", original_purpose="dating")
    found = sources.source_report(small.ws, "giver").as_json()
    assert (found["scraped"], found["retention_days"], found["origin"]) == ("targeted", 365, "its members")
    assert found["registered_on"] == small.ws.now().date().isoformat()


def test_a_source_is_shown_with_what_it_holds(small: Corpus) -> None:
    seen = sources.source_report(small.ws, OKCUPID)
    assert (seen.items, seen.people, seen.erased, seen.duty.next_due) == (13, 4, 0, None)
    small.ready().apply()
    gone = sources.source_report(small.ws, OKCUPID)
    assert (gone.items, gone.people, gone.erased, gone.size_bytes) == (0, 0, 13, 0)
