"""Two independent people sign a plan, or it is not carried out. Refusals are on the record."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from small_corpus import ADA, BEN, CLEO, DANA, MEMBERS, OKCUPID, PLAN, Corpus
from unsee.app import interests, orders, registry
from unsee.attest.approvals import sign_approval
from unsee.attest.keys import SigningKey
from unsee.core.errors import ApprovalRefused, NotFound, Tampered
from unsee.core.ids import PersonId
from unsee.core.parties import Interest


@pytest.fixture
def planned(small: Corpus) -> Corpus:
    small.open_order()
    small.plan()
    return small


def refusals(corpus: Corpus) -> list[dict[str, str]]:
    """The logged refusals, oldest first."""
    rows = corpus.sql("SELECT body FROM facts WHERE kind = 'ApprovalRefused' AND log_index IS NOT NULL ORDER BY seq")
    return [json.loads(str(body)) for (body,) in rows]


def sign(corpus: Corpus, person: PersonId, key_file: Path | None = None) -> int:
    return orders.approve(corpus.ws, PLAN, person=person, key_file=key_file)[1]


def test_two_independent_people_are_enough_and_one_is_not(planned: Corpus) -> None:
    kept = {p: p.read_bytes() for p in planned.scope_files()}
    with pytest.raises(ApprovalRefused, match="0 of 2 approvals"):
        planned.apply()
    assert sign(planned, ADA) == 1
    with pytest.raises(ApprovalRefused, match="1 of 2 approvals"):
        planned.apply()
    assert {p: p.read_bytes() for p in planned.scope_files()} == kept
    assert "ApplyStarted" not in planned.facts()
    assert sign(planned, BEN) == 2
    assert planned.apply().failures == ()


@pytest.mark.parametrize(
    ("person", "because"),
    [(DANA, "an author does not approve"), (CLEO, "declared an interest (equity) in OkCupid")],
)
def test_author_and_interested_person_are_refused_on_the_record(
    planned: Corpus, person: PersonId, because: str
) -> None:
    with pytest.raises(ApprovalRefused) as caught:
        sign(planned, person)
    assert because in caught.value.message
    (fact,) = refusals(planned)
    assert (fact["by"], fact["plan"]) == (person, PLAN)
    assert because in fact["reason"]
    assert planned.sql("SELECT count(*) FROM approvals") == [(0,)]


def test_nobody_signs_twice(planned: Corpus) -> None:
    sign(planned, ADA)
    with pytest.raises(ApprovalRefused, match="approved this plan already"):
        sign(planned, ADA)
    assert planned.sql("SELECT person_id FROM approvals") == [("ada",)]
    assert [fact["by"] for fact in refusals(planned)] == ["ada"]
    with pytest.raises(ApprovalRefused, match="1 of 2"):
        planned.apply()


def test_an_interest_declared_after_the_signature_takes_it_back(planned: Corpus) -> None:
    planned.approve()
    interests.declare(planned.ws, Interest("Ben", "okcupid", "family", date(2026, 1, 1), BEN))
    with pytest.raises(ApprovalRefused, match="1 of 2"):
        planned.apply()


def test_an_interest_in_the_operator_counts_and_one_elsewhere_does_not(planned: Corpus) -> None:
    interests.declare(planned.ws, Interest("Ada", "Panel Ltd", "advisory", date(2026, 1, 1), ADA))
    assert sign(planned, ADA) == 1
    interests.declare(planned.ws, Interest("Ben", "ACME vision", "equity", date(2026, 1, 1), BEN))
    with pytest.raises(ApprovalRefused, match="a party to this hand-over"):
        sign(planned, BEN)


def test_a_key_of_somebody_else_is_no_signature(planned: Corpus) -> None:
    with pytest.raises(Tampered, match="not the one that ada is known by"):
        sign(planned, ADA, planned.ws.person_key_path(BEN))
    with pytest.raises(NotFound):
        sign(planned, PersonId("nobody"), planned.ws.person_key_path(BEN))
    assert planned.sql("SELECT count(*) FROM approvals") == [(0,)]


def test_a_key_that_a_person_keeps_elsewhere_signs(planned: Corpus) -> None:
    own = planned.root / "eve.pem"
    registry.add_person(planned.ws, "eve", name="Eve", title="Auditor", organisation="Audit Co", key_file=own)
    assert sign(planned, PersonId("eve"), own) == 1


def test_a_signature_forged_in_the_database_is_tampering(planned: Corpus) -> None:
    planned.approve()
    stranger = SigningKey.generate(lambda n: b"\x07" * n)
    digest = str(planned.sql("SELECT digest FROM plans")[0][0])
    planned.sql("UPDATE approvals SET signature = ? WHERE person_id = 'ben'", sign_approval(stranger, digest, BEN))
    with pytest.raises(Tampered, match=f"approval of {PLAN} by ben"):
        planned.apply()


def test_a_signature_moved_to_another_person_or_plan_is_tampering(planned: Corpus) -> None:
    sign(planned, ADA)
    (signature,) = planned.sql("SELECT signature FROM approvals")[0]
    planned.sql(
        "INSERT INTO approvals (plan_id, person_id, signature, at) VALUES (?, 'ben', ?, '2026-01-01T00:00:00Z')",
        PLAN,
        signature,
    )
    with pytest.raises(Tampered):
        planned.apply()
    planned.sql("DELETE FROM approvals WHERE person_id = 'ben'")
    planned.plan()
    planned.sql("UPDATE approvals SET plan_id = 'plan-0001-2'")
    with pytest.raises(Tampered):
        planned.apply("plan-0001-2")


def test_a_signature_inserted_for_the_author_does_not_hold(planned: Corpus) -> None:
    """Whoever can write into the database and has the author's key still finds the rule in the way."""
    sign(planned, ADA)
    digest = str(planned.sql("SELECT digest FROM plans")[0][0])
    key = SigningKey.load(planned.ws.person_key_path(DANA))
    planned.sql(
        "INSERT INTO approvals (plan_id, person_id, signature, at) VALUES (?, 'dana', ?, '2026-01-01T00:00:00Z')",
        PLAN,
        sign_approval(key, digest, DANA),
    )
    with pytest.raises(ApprovalRefused, match="1 of 2"):
        planned.apply()


def test_a_person_whose_key_was_swapped_in_the_books_has_not_approved(planned: Corpus) -> None:
    planned.approve()
    planned.sql("UPDATE people SET public_key = (SELECT public_key FROM people WHERE id = 'cleo') WHERE id = 'ben'")
    with pytest.raises(Tampered):
        planned.apply()


def test_approving_an_order_signs_its_newest_plan(planned: Corpus) -> None:
    planned.plan()
    row, count = orders.approve(planned.ws, "order-0001", person=ADA, key_file=None)
    assert (row.id, count) == ("plan-0001-2", 1)


def test_parties_of_every_agreement_of_the_source_count(small: Corpus) -> None:
    small.open_order(MEMBERS)
    small.plan()
    assert "Members Inc" in orders.find_plan(small.ws, PLAN).directory.summary["parties"]
    assert "OkCupid" not in orders.find_plan(small.ws, PLAN).directory.summary["parties"]
    assert sign(small, CLEO) == 1, f"an interest in {OKCUPID}'s giver does not bar from another source's plan"
