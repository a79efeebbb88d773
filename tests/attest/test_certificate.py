"""What a certificate says, refuses to say, and how it is spelled."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import example_certificate as example
import pytest

from unsee.attest import certificate
from unsee.attest.bundle import Cosigner, bundle, cosign, envelope_of, log_evidence
from unsee.attest.claims import assurance_reached
from unsee.attest.content import ClassOutcome, Duty, LogIdentity, ModelOutcome, Replacement, Subject
from unsee.attest.dsse import Envelope
from unsee.attest.notes import Checkpoint
from unsee.core import merkle
from unsee.core.errors import ApprovalRefused, Conflict, InvalidValue, Tampered
from unsee.core.evidence import Assurance, ForgettingEvidence, Gone, ModelDisposition

IDENTITY = LogIdentity(example.key("log").public.hex, Checkpoint(example.ORIGIN, 301, bytes(32)))
CONTENT = example.content(IDENTITY)


def test_it_is_an_in_toto_statement_with_one_line_a_claim() -> None:
    statement = certificate.build(CONTENT)
    parsed = json.loads(statement.payload)
    assert parsed["_type"] == "https://in-toto.io/Statement/v1"
    assert parsed["predicateType"] == "urn:unsee:predicate:erasure-certificate:v1"
    assert {s["name"] for s in parsed["subject"]} == {"retained-set", "model/recogniser-2026"}
    claims = parsed["predicate"]["claims"]
    lines = statement.payload.decode().split("\n")
    assert len(lines) == len(claims) + 3
    for line, (name, claim) in zip(lines[1:], claims.items(), strict=False):
        assert json.loads("{" + line.rstrip(",") + "}") == {name: claim}
        assert claim["id"] == name
        assert set(claim) == {"id", "ground", "statement", "value"}
    assert statement.claim_tree_root == merkle.root(statement.lines).hex()
    assert statement.payload == certificate.build(CONTENT).payload


def test_residuals_and_not_verified_are_there_even_when_empty() -> None:
    bare = replace(
        CONTENT,
        residuals=(),
        not_verified=(),
        retained=(),
        backups=(),
        recipients=(),
        unknown_lineage=(),
        evaluation=None,
        sharing_coverage=None,
        receipts=None,
        outcomes=tuple(ClassOutcome(n, c, {Gone.D2: c}) for n, c in example.SUMMARY["scope"].items()),
        places=(replace(CONTENT.places[0], residue_found=0),),
    )
    claims = json.loads(certificate.build(bare).payload)["predicate"]["claims"]
    assert claims["residuals"]["value"] == []
    assert claims["not-verified"]["value"]["list"] == []
    assert claims["evaluation"]["value"] is None
    assert claims["third-parties"]["statement"].endswith("No record shows what was shared.")


def test_r22_the_declaration_is_left_for_a_person() -> None:
    claim = json.loads(certificate.build(CONTENT).payload)["predicate"]["claims"]["declaration"]
    assert claim["ground"] == "attested"
    assert [claim["value"][f] for f in ("date", "name", "title", "signature")] == ["", "", "", ""]
    assert "penalty of perjury" in claim["value"]["text"]


def test_it_never_says_proof_of_deletion() -> None:
    assert b"proof of deletion" not in certificate.build(CONTENT).payload.lower()


@pytest.mark.parametrize(
    ("erased", "level"),
    [
        ({Gone.D2: 1}, Assurance.L1),
        ({Gone.D3: 1, Gone.D4: 2}, Assurance.L2),
        ({Gone.D2: 1, Gone.D3: 5}, Assurance.L1),
        ({Gone.D1: 1, Gone.D3: 5}, None),
        ({Gone.D5: 1}, None),
        ({Gone.D2: 0}, None),
        ({}, None),
    ],
)
def test_r6_the_weakest_item_sets_the_level(erased: dict[Gone, int], level: Assurance | None) -> None:
    assert assurance_reached(ClassOutcome("photo", 0, erased)) is level


def outcomes(**changes: Any) -> tuple[ClassOutcome, ...]:
    return (replace(CONTENT.outcomes[0], **changes), *CONTENT.outcomes[1:])


def models(**changes: Any) -> tuple[ModelOutcome, ...]:
    return (replace(CONTENT.models[0], **changes), *CONTENT.models[1:])


def summary(**changes: Any) -> dict[str, Any]:
    return {**example.SUMMARY, **changes}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"outcomes": outcomes(absent=9)}, "class photo: .* make 6001"),
        ({"outcomes": outcomes(absent=-1)}, "class photo"),
        ({"outcomes": outcomes(retained=0, absent=10)}, "retained: what is listed of class photo"),
        ({"retained": (replace(CONTENT.retained[0], data_class="voice"), *CONTENT.retained)}, "class voice has no outcome"),
        ({"outcomes": (*CONTENT.outcomes, CONTENT.outcomes[0])}, "outcomes: photo is there 2 times"),
        ({"outcomes": CONTENT.outcomes[:3]}, "scope by class is not the plan's"),
        ({"residuals": ()}, "failed and no residual"),
        ({"models": models(replaced_by=None)}, "names its replacement"),
        ({"models": models(disposition=ModelDisposition.UNLEARNED, evidence=None)}, "evidence letter"),
        ({"models": models(disposition=ModelDisposition.INFEASIBLE)}, "demands an explanation"),
        ({"models": CONTENT.models[:1]}, "exactly one disposition"),
        ({"models": (*CONTENT.models, CONTENT.models[0])}, "there 2 times"),
        ({"models": models(replaced_by=Replacement("m", "beef"))}, "64 hexadecimal digits"),
        ({"plan_summary": {k: v for k, v in example.SUMMARY.items() if k != "interests"}}, "key 'interests' is missing"),
        ({"plan_summary": summary(order={})}, "its order is not o-0001"),
        ({"duties": CONTENT.duties[:2]}, "each needs one entry"),
        ({"methods": (replace(CONTENT.methods[0], nist="shred"),)}, "'shred' is none of"),
        ({"times": replace(CONTENT.times, verified="2026-11-01T00:00:00Z")}, "before the step"),
        ({"times": replace(CONTENT.times, verified="yesterday")}, "times.verified"),
        ({"operator": replace(CONTENT.operator, public_key="x")}, "operator"),
        ({"other_subjects": (Subject("retained-set", "0" * 64),)}, "subjects: retained-set is there 2 times"),
        (
            {"evaluation": replace(CONTENT.evaluation, measures=(replace(CONTENT.evaluation.measures[0], before="91 %"),))},
            "no decimal",
        ),
    ],
)  # fmt: skip
def test_no_certificate_contradicts_itself(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        certificate.build(replace(CONTENT, **changes))


def test_r35_two_approvals_none_interested_none_the_author() -> None:
    dana, marc = CONTENT.approvals
    with pytest.raises(ApprovalRefused, match="has 1 approval"):
        certificate.build(replace(CONTENT, approvals=(dana,)))
    with pytest.raises(ApprovalRefused, match="approved this plan already"):
        certificate.build(replace(CONTENT, approvals=(dana, dana)))
    authored = summary(author="dana")
    with pytest.raises(ApprovalRefused, match="made this plan"):
        certificate.build(example.content(IDENTITY, authored))
    stake = {"person": "marc", "holder": "Marc Delacroix", "organisation": "humor rainbow inc.", "kind": "board"}
    with pytest.raises(ApprovalRefused, match="declared an interest"):
        certificate.build(example.content(IDENTITY, summary(interests=[stake])))
    with pytest.raises(Tampered, match="does not fit plan"):
        certificate.build(replace(CONTENT, plan_summary=summary(note="swapped after the approval")))
    borrowed = (replace(marc[0], public_key=dana[0].public_key), marc[1])
    with pytest.raises(Tampered):
        certificate.build(replace(CONTENT, approvals=(dana, borrowed)))


def test_deadlines_say_what_was_missed() -> None:
    late = (Duty("data", date(2027, 1, 1)), Duty("embeddings", None, nothing_to_do=True), Duty("models", None))
    claim = json.loads(certificate.build(replace(CONTENT, duties=late)).payload)["predicate"]["claims"]["deadlines"]
    assert [row["met"] for row in claim["value"]] == ["no", "nothing to do", "open"]
    assert "Late: data" in claim["statement"]


def test_r10_unlearned_with_evidence_may_stand() -> None:
    unlearned = models(disposition=ModelDisposition.UNLEARNED, evidence=ForgettingEvidence.D, replaced_by=None)
    claims = json.loads(certificate.build(replace(CONTENT, models=unlearned)).payload)["predicate"]["claims"]
    assert claims["model/recogniser-2014"]["value"]["evidence"]["letter"] == "D"


def test_the_file_has_one_part_a_line(tmp_path: Path) -> None:
    data = example.example_certificate(tmp_path / "log")
    assert data == example.example_certificate(tmp_path / "again")
    lines = data.decode().split("\n")
    assert lines[0] == "{"
    assert lines[-2:] == ["}", ""]
    assert [json.loads("{" + line.rstrip(",") + "}") for line in lines[1:-2]]
    payload = base64.b64decode(json.loads(data)["dsseEnvelope"]["payload"])
    assert json.loads(envelope_of(data))["payload"] == base64.b64encode(payload).decode()
    with pytest.raises(InvalidValue):
        envelope_of(b"{}")


def test_the_log_commits_to_payload_and_claims(tmp_path: Path) -> None:
    data = json.loads(example.example_certificate(tmp_path / "log"))
    payload = base64.b64decode(data["dsseEnvelope"]["payload"])
    record = json.loads(data["entries"][-1]["record"])
    assert record["fact"] == "CertificateIssued"
    assert record["payload_sha256"] == hashlib.sha256(payload).hexdigest()
    leaves = [bytes.fromhex(entry["sha256"]) for entry in data["claimTree"]]
    assert record["claim_tree_root"] == merkle.root_of_hashes(leaves).hex()


def test_an_auditor_can_sign_beside_the_operator(tmp_path: Path) -> None:
    data = example.example_certificate(tmp_path / "log")
    auditor = Cosigner("Ada Auditor", "Partner", "Audit & Söhne", "auditor")
    signed = cosign(data, auditor, example.key("auditor"))
    assert len(json.loads(signed)["dsseEnvelope"]["signatures"]) == 2
    with pytest.raises(Conflict):
        cosign(signed, auditor, example.key("auditor"))
    with pytest.raises(InvalidValue):
        cosign(b"[]", auditor, example.key("auditor"))


def test_an_envelope_over_something_else_is_not_bundled(tmp_path: Path) -> None:
    story = example.begin(tmp_path / "log")
    statement = certificate.build(example.content(story.identity))
    evidence = log_evidence(story.log, story.opening_note, story.identity.opening.size, story.records)
    with pytest.raises(Tampered):
        bundle(statement, Envelope(b"other"), plan_summary=example.SUMMARY, log=evidence, pdf=None)
