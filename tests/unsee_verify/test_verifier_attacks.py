"""Attacks that must fail, each by its name. A liar with the operator's key is the strongest of them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import example_certificate as example
import pytest

from unsee.attest import certificate
from unsee.attest.bundle import Cosigner, cosign
from unsee.attest.certificate import STATEMENT_ID, lay_out
from unsee.attest.claims import claims_of
from unsee.attest.content import Subject
from unsee.attest.receipts import derive
from unsee.core.canonical import canonical_json
from unsee.core.evidence import Claim, Ground
from unsee.core.merkle import leaf_hash
from unsee.core.orders import PROFILES
from unsee_verify.certificate import check_certificate
from unsee_verify.claims import DAYS, DUTIES
from unsee_verify.cli import main
from unsee_verify.receipt import check_receipt
from unsee_verify.report import Report

Claims = dict[str, Claim]


def forged(
    directory: Path,
    edit: Callable[[Claims], None] = lambda claims: None,
    *,
    subjects: list[Subject] | None = None,
    order: str = "o-0001",
    **changes: Any,
) -> bytes:
    """A certificate whose claims the operator edited before logging, signing and bundling it properly."""
    story = example.begin(directory)
    content = replace(example.content(story.identity), **changes)
    claims = {c.id: c for c in claims_of(content)}
    edit(claims)
    named = subjects or [
        Subject("retained-set", content.retained_set.root_after),
        Subject("model/recogniser-2026", example.fixed("recogniser-2026")),
    ]
    return story.issue(lay_out("c-0001", order, named, claims.values()))[0]


def value(claims: Claims, name: str, **fields: Any) -> None:
    claims[name] = replace(claims[name], value={**claims[name].value, **fields})


def broken(data: bytes, **options: Any) -> dict[str, str]:
    report = Report()
    check_certificate(data, report, **options)
    return told(report)


def told(report: Report) -> dict[str, str]:
    """What broke, by part."""
    found: dict[str, str] = {}
    for finding in report.broken:
        found[finding.part] = "; ".join(filter(None, (found.get(finding.part), finding.text)))
    return found


def parts_of(data: bytes) -> dict[str, Any]:
    return dict(json.loads(data))


def spelled(parts: dict[str, Any]) -> bytes:
    lines = [canonical_json(name) + b":" + canonical_json(part) for name, part in parts.items()]
    return b"{\n" + b",\n".join(lines) + b"\n}\n"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return example.example_certificate(tmp_path_factory.mktemp("sound") / "log")


def test_the_example_is_sound(sound: bytes, tmp_path: Path) -> None:
    assert broken(sound) == {}
    assert broken(forged(tmp_path / "log")) == {}


def test_edited_claim(sound: bytes) -> None:
    parts = parts_of(sound)
    payload = base64.b64decode(parts["dsseEnvelope"]["payload"])
    edited = payload.replace(b'"members_searched":8612', b'"members_searched":9999')
    assert edited != payload
    parts["dsseEnvelope"]["payload"] = base64.b64encode(edited).decode()
    found = broken(spelled(parts))
    assert "was changed" in found["place/thumbs"]
    assert "does not fit the statement" in found["signature"] or "no good signature" in found["signature"]
    assert not [name for name in found if name.startswith(("place/lake", "outcome/"))]


def test_edited_claim_with_its_tree_entry_made_to_fit(sound: bytes) -> None:
    parts = parts_of(sound)
    payload = base64.b64decode(parts["dsseEnvelope"]["payload"])
    edited = payload.replace(b'"members_searched":8612', b'"members_searched":9999')
    parts["dsseEnvelope"]["payload"] = base64.b64encode(edited).decode()
    for entry, line in zip(parts["claimTree"], edited.split(b"\n"), strict=False):
        entry["sha256"] = leaf_hash(line.removesuffix(b",")).hex()
    assert {"signature", "log"} <= set(broken(spelled(parts)))


@pytest.mark.parametrize(
    "name",
    ["residuals", "not-verified", "retained", "backups", "third-parties", "unknown-lineage", "declaration", "operator",
     "order", "plan", "log", "times", "scope", "retained-set", "evaluation", "consent", "receipts", "methods", "tool",
     "deadlines"],
)  # fmt: skip
def test_dropped_field_even_when_signed(tmp_path: Path, name: str) -> None:
    assert "missing" in broken(forged(tmp_path / "log", lambda claims: claims.pop(name) and None))[name]


def test_residuals_that_are_no_list(tmp_path: Path) -> None:
    def edit(claims: Claims) -> None:
        claims["residuals"] = replace(claims["residuals"], value="none")
        value(claims, "not-verified", list=None)

    assert {"residuals", "not-verified"} <= set(broken(forged(tmp_path / "log", edit)))


def test_failures_without_a_residual(tmp_path: Path) -> None:
    def edit(claims: Claims) -> None:
        claims["residuals"] = replace(claims["residuals"], value=[])

    assert "no residual is named" in broken(forged(tmp_path / "log", edit))["residuals"]


def test_swapped_plan(sound: bytes) -> None:
    parts = parts_of(sound)
    parts["plan"]["scope"]["photo"] = 60
    found = broken(spelled(parts))
    assert "another digest" in found["plan"]
    assert {"approval/dana", "approval/marc"} <= set(found)


def test_swapped_plan_that_the_operator_signs_for(tmp_path: Path) -> None:
    """The certificate names another plan than the one that was logged and approved."""
    story = example.begin(tmp_path / "log")
    other = {**example.SUMMARY, "note": "smaller"}
    statement = certificate.build(example.content(story.identity, other))
    found = broken(story.issue(statement, summary=other)[0])
    assert "no logged PlanMade" in found["plan"]
    assert "no logged PlanApproved" in found["approval/dana"]


def test_certificate_for_another_order(tmp_path: Path) -> None:
    def edit(claims: Claims) -> None:
        value(claims, "order", id="o-0002")

    found = broken(forged(tmp_path / "log", edit))
    assert "for another order" in found["order"]
    other = example.begin(tmp_path / "other", earlier=7)
    statement = certificate.build(example.content(other.identity))
    data = parts_of(other.issue(statement)[0])
    mine = parts_of(example.example_certificate(tmp_path / "mine"))
    mine["entries"], mine["checkpoints"], mine["consistency"] = (
        data["entries"],
        data["checkpoints"],
        data["consistency"],
    )
    assert "no logged CertificateIssued" in broken(spelled(mine))["log"]


def test_key_substitution(sound: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A whole certificate made with the attacker's key holds together; the key that the reader brings unmasks it."""
    story = example.begin(tmp_path / "log")
    mallory = replace(example.content(story.identity).operator, public_key=example.key("mallory").public.hex)
    content = replace(example.content(story.identity), operator=mallory)
    data, _ = story.issue(certificate.build(content), signer="mallory")
    path = tmp_path / "certificate.json"
    path.write_bytes(data)
    assert main([str(path)]) == 0
    assert example.key("mallory").public.fingerprint in capsys.readouterr().out
    assert main([str(path), "--key", example.key("operator").public.hex]) == 1
    assert "none of the keys given with --key" in capsys.readouterr().out
    assert broken(sound, keys=[example.key("mallory").public.raw]) != {}
    assert broken(sound, keys=[example.key("mallory").public.raw, example.key("operator").public.raw]) == {}


def test_signature_by_somebody_else(tmp_path: Path) -> None:
    story = example.begin(tmp_path / "log")
    statement = certificate.build(example.content(story.identity))
    assert "signature" in broken(story.issue(statement, signer="mallory")[0])


def test_two_approvals_with_one_key(tmp_path: Path) -> None:
    def edit(claims: Claims) -> None:
        dana = claims["approval/dana"].value
        value(claims, "approval/marc", public_key=dana["public_key"], signature=dana["signature"])

    found = broken(forged(tmp_path / "log", edit))
    assert "does not fit" in found["approval/marc"] or "key of dana" in found["approval/marc"]
    assert "two people are needed" in found["approval"]


def test_one_approval(tmp_path: Path) -> None:
    data = forged(tmp_path / "log", lambda claims: claims.pop("approval/marc") and None)
    assert "1 approval(s)" in broken(data)["approval"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"author": "dana"}, "an author does not approve"),
        ({"interests": [{"person": "dana", "holder": "D. W.", "organisation": "FACELAB INC.", "kind": "equity"}]}, "equity"),
        ({"interests": [{"person": None, "holder": "dana whitfield", "organisation": "Facelab Inc.", "kind": "board"}]}, "board"),
        ({"conflicts": [{"person": "dana", "holder": "D. W.", "words": "dana owns a fund that owns Facelab"}]}, "a fund that owns"),
        ({"conflicts": [{"person": None, "holder": "Dana WHITFIELD", "words": "a board seat above"}]}, "a board seat above"),
    ],
)  # fmt: skip
def test_r35_approval_by_the_author_or_an_interested_person(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    summary = {**example.SUMMARY, **changes}
    story = example.begin(tmp_path / "log", summary=summary)
    content = example.content(story.identity, summary)
    statement = lay_out("c-0001", "o-0001", [
        Subject("retained-set", content.retained_set.root_after),
        Subject("model/recogniser-2026", example.fixed("recogniser-2026")),
    ], claims_of(content))  # fmt: skip
    found = broken(story.issue(statement, summary=summary)[0])
    assert words in found["approval/dana"]
    assert set(found) == {"approval/dana"}


def test_r35_a_certificate_that_leaves_out_or_changes_a_conflict_of_its_plan(tmp_path: Path) -> None:
    conflict = {"person": "felix", "holder": "Felix Founder", "words": "felix holds shares of Humor Rainbow Inc."}
    summary = {**example.SUMMARY, "conflicts": [conflict]}
    story = example.begin(tmp_path / "log", summary=summary)
    content = example.content(story.identity, summary)
    subjects = [
        Subject("retained-set", content.retained_set.root_after),
        Subject("model/recogniser-2026", example.fixed("recogniser-2026")),
    ]
    claims = claims_of(content)
    assert [c.value for c in claims if c.id == "interests"] == [[conflict]]
    whole = lay_out("c-0001", "o-0001", subjects, claims)
    assert broken(story.issue(whole, summary=summary)[0]) == {}
    silent = lay_out("c-0001", "o-0001", subjects, tuple(c for c in claims if c.id != "interests"))
    assert "not those of the plan" in broken(story.issue(silent, summary=summary)[0])["interests"]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("outcome/photo", {"erased": 5991}),
        ("outcome/photo", {"gone": {"D2": 5000}}),
        ("outcome/photo", {"gone": {"D3": 5990}}),
        ("outcome/photo", {"absent": 9, "failed": -1}),
        ("outcome/location", {"assurance": "L2"}),
        ("outcome/photo", {"class": "location"}),
        ("model/age-2016", {"disposition": "destroyed and retrained"}),
        ("model/age-2016", {"disposition": "unlearned", "evidence": None}),
        ("model/age-2016", {"disposition": "infeasible"}),
        ("model/recogniser-2014", {"replaced_by": None}),
        ("model/recogniser-2014", {"replaced_by": {"model": "recogniser-2026", "sha256": "0" * 64}}),
        ("retained-set", {"root_before": "0" * 64}),
        ("retained", {"list": []}),
        ("times", {"verified": "2026-11-01T00:00:00Z"}),
        ("times", {"issued": "2026-11-5"}),
        ("log", {"opening": {"size": 301, "root": "0" * 64}}),
        ("log", {"public_key": "0" * 64}),
        ("plan", {"author": "somebody"}),
        ("plan", {"id": "p-0002"}),
    ],
)
def test_a_claim_that_does_not_add_up_is_named_even_when_signed(
    tmp_path: Path, name: str, fields: dict[str, Any]
) -> None:
    found = broken(forged(tmp_path / "log", lambda claims: value(claims, name, **fields)))
    assert name in found or (name == "log" and "checkpoints" in found)


def test_r10_a_model_without_or_beside_the_plan(tmp_path: Path) -> None:
    def edit(claims: Claims) -> None:
        extra = claims.pop("model/age-2016")
        claims["model/gift"] = replace(extra, id="model/gift", value={**extra.value, "model": "gift"})

    assert {"model/age-2016", "model/gift"} <= set(broken(forged(tmp_path / "log", edit)))


def test_moved_deadline(tmp_path: Path) -> None:
    def edit(claims: Claims) -> None:
        rows = [dict(row) for row in claims["deadlines"].value]
        rows[0]["due"] = "2027-12-02"
        claims["deadlines"] = replace(claims["deadlines"], value=rows)

    assert "do not follow" in broken(forged(tmp_path / "log", edit))["deadlines"]


def test_missed_deadline_said_to_be_met(tmp_path: Path) -> None:
    def edit(claims: Claims) -> None:
        rows = [dict(row) for row in claims["deadlines"].value]
        rows[0]["done"] = "2027-12-02"
        claims["deadlines"] = replace(claims["deadlines"], value=rows)

    assert "met is 'no', not 'yes'" in broken(forged(tmp_path / "log", edit))["deadlines"]


def test_the_verifier_knows_the_profiles_of_the_tool() -> None:
    assert {
        name: (p.data_days, p.embeddings_days, p.models_days, p.third_parties_days) for name, p in PROFILES.items()
    } == DAYS
    assert DUTIES == ("data", "embeddings", "models", "third-parties")


def test_an_observed_claim_that_calls_itself_recomputable(tmp_path: Path) -> None:
    def edit(claims: Claims) -> None:
        claims["methods"] = replace(claims["methods"], ground=Ground.RECOMPUTABLE)
        claims["order"] = replace(claims["order"], ground=Ground.ATTESTED)

    found = broken(forged(tmp_path / "log", edit))
    assert {"methods", "order"} <= set(found)


def test_certificate_that_was_never_logged(tmp_path: Path) -> None:
    story = example.begin(tmp_path / "log")
    statement = certificate.build(example.content(story.identity))
    assert "no logged CertificateIssued" in broken(story.issue(statement, log_it=False)[0])["log"]


def test_rewritten_log(sound: bytes, tmp_path: Path) -> None:
    """Another history, signed by the same log: it does not continue the checkpoint at the opening of the order."""
    story = example.begin(tmp_path / "log", earlier=301)
    other = parts_of(story.issue(certificate.build(example.content(story.identity)))[0])
    parts = parts_of(sound)
    parts["checkpoints"]["end"] = other["checkpoints"]["end"]
    found = broken(spelled(parts))
    assert "the log was rewritten" in found["log"]
    assert "entries, number 1" in found


def test_facts_in_another_order(tmp_path: Path) -> None:
    """The certificate is logged before the plan was approved."""
    story = example.begin(tmp_path / "log")
    statement = certificate.build(example.content(story.identity))
    issued = story.fact("CertificateIssued", **statement.issued_fields())
    late = [r for r in story.records if r.what == "PlanApproved"]
    story.records = [r for r in story.records if r not in late]
    for record in late:
        fields = json.loads(record.record)
        story.fact("PlanApproved", **{k: v for k, v in fields.items() if k not in {"fact", "at"}})
    assert issued in story.records
    assert "do not stand in that order" in broken(story.issue(statement, log_it=False)[0])["log"]


def test_cosigner_renamed_or_cut_off(sound: bytes) -> None:
    data = cosign(sound, Cosigner("Ada Auditor", "Partner", "Audit & Söhne", "auditor"), example.key("auditor"))
    assert broken(data) == {}
    parts = parts_of(data)
    parts["cosigners"][0]["name"] = "Eve"
    assert "cosigners" in broken(spelled(parts))
    parts = parts_of(data)
    parts["cosigners"] = []
    assert "nobody is named for" in broken(spelled(parts))["signature"]
    parts = parts_of(data)
    parts["dsseEnvelope"]["signatures"].pop()
    assert "no good signature of Ada" in broken(spelled(parts))["signature"]
    parts = parts_of(data)
    parts["dsseEnvelope"]["signatures"].append(parts["dsseEnvelope"]["signatures"][0])
    assert "signature" in broken(spelled(parts))


def test_another_pdf(tmp_path: Path, sound: bytes) -> None:
    story = example.begin(tmp_path / "log")
    data, _ = story.issue(certificate.build(example.content(story.identity)), pdf=lambda s, e: b"%PDF of the truth")
    assert broken(data) == {}
    assert broken(data, pdf=b"%PDF of the truth") == {}
    assert "another, or was changed" in broken(data, pdf=b"%PDF of a lie")["pdf"]
    assert "pdf" in broken(sound, pdf=b"%PDF of the truth")
    parts = parts_of(data)
    parts["pdf"]["sha256"] = "0" * 64
    assert "pdf" in broken(spelled(parts))


def payload_digest(data: bytes) -> str:
    return hashlib.sha256(base64.b64decode(parts_of(data)["dsseEnvelope"]["payload"])).hexdigest()


def receipt_findings(receipt: bytes, data: bytes) -> dict[str, str]:
    report = Report()
    check_receipt(receipt, check_certificate(data, report), report)
    return told(report)


def test_replayed_receipt(sound: bytes, tmp_path: Path) -> None:
    """A receipt of one certificate, shown beside another: of another order, of a later one, of one without receipts."""
    digest = payload_digest(sound)
    mine = example.example_receipt(2, digest)
    assert receipt_findings(mine, sound) == {}
    assert "another certificate" in receipt_findings(example.example_receipt(2, "0" * 64), sound)["receipt"]
    other = derive(example.RECEIPT_KEY, example.receipts(order="o-0002"), example.people()[2], payload_sha256=digest)
    assert "root" in receipt_findings(other, sound)["receipt"] or "order" in receipt_findings(other, sound)["receipt"]
    none = forged(tmp_path / "log", receipts=None)
    assert "states no receipts" in receipt_findings(mine, none)["receipt"]


def test_receipt_of_somebody_else_made_mine(sound: bytes) -> None:
    digest = payload_digest(sound)
    mine, hers = (parts_of(example.example_receipt(n, digest)) for n in (2, 5))
    for part in ("receipt", "proof"):
        assert "receipt" in receipt_findings(spelled({**mine, part: hers[part]}), sound)
    for index in range(example.receipts().count):
        moved = {**mine, "proof": {**mine["proof"], "index": index}}
        if index != mine["proof"]["index"]:
            assert "receipt" in receipt_findings(spelled(moved), sound)


@pytest.mark.parametrize(
    "hostile",
    [b"[" * 30 + b"]" * 30, b"1e5", b"1.0", b"NaN", b"-0", b"9" * 5000, b'"\\ud800"', b'"\\u0041"', b'{"a":1,"a":2}', b"\xff",
     b'{"b":1,"a":2}', b"[1, 2]", b"[" * 200_000],
)  # fmt: skip
@pytest.mark.parametrize("part", ["plan", "entries", "claimTree", "checkpoints", "pdf"])
def test_deep_nesting_floats_and_other_spellings(sound: bytes, part: str, hostile: bytes) -> None:
    lines = sound.split(b"\n")
    for number, line in enumerate(lines):
        if line.startswith(b'"%b":' % part.encode()):
            lines[number] = b'"%b":' % part.encode() + hostile + (b"" if part == "pdf" else b",")
    assert part in broken(b"\n".join(lines))


@pytest.mark.parametrize("thing", [None, 0, "x", [], {}, [[]], [{}], [None], {"a": None}, [[{}] * 3]])
@pytest.mark.parametrize("part", [
    "mediaType", "dsseEnvelope", "claimTree", "plan", "checkpoints", "consistency", "entries", "cosigners",
])  # fmt: skip
def test_parts_of_any_shape_end_as_findings(sound: bytes, part: str, thing: Any) -> None:
    if part == "cosigners" and thing == []:
        return
    parts = parts_of(sound)
    parts[part] = thing
    assert broken(spelled(parts))


@pytest.mark.parametrize("thing", [None, 0, "x", [], {}, [[]], [{}], {"list": [{}]}, {"by": [], "list": {}}])
def test_claims_of_any_shape_end_as_findings(tmp_path: Path, thing: Any) -> None:
    for name in [c.id for c in claims_of(example.content(example.begin(tmp_path / "names").identity))]:

        def edit(claims: Claims, name: str = name) -> None:
            claims[name] = replace(claims[name], value=thing)

        report = Report()
        check_certificate(forged(tmp_path / f"{name.replace('/', '-')}-log", edit), report)
        "\n".join(report.lines())


def test_oversized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sound: bytes) -> None:
    monkeypatch.setattr("unsee_verify.cli.LIMIT_BYTES", len(sound) - 1)
    (tmp_path / "c.json").write_bytes(sound)
    assert main([str(tmp_path / "c.json")]) == 2


def test_names_cannot_paint_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def edit(claims: Claims) -> None:
        for name in claims:
            claims[name] = replace(claims[name], statement="\x1b[2J\u202eevil\x00\n\u2714 signature: fine")

    path = tmp_path / "c.json"
    path.write_bytes(forged(tmp_path / "log", edit))
    for arguments in ([], ["--json"]):
        main([str(path), *arguments])
        out = capsys.readouterr().out
        assert not {"\x1b", "\u202e", "\x00"} & set(out)
        assert "\n\u2714 signature: fine" not in out


def test_json_report_has_a_schema(tmp_path: Path, sound: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(sound)
    assert main([str(path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["schema"] == "unsee-verify/report/1"
    assert report["verdict"] == "holds"
    assert {c["by"] for c in report["attested"] if c["id"] == "third-parties"} == {"Olga Petrova"}
    path.write_bytes(sound.replace(b'"size"', b'"sice"').replace(b"PlanMade", b"PlanFade"))
    assert main([str(path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["verdict"] == "broken"


def test_the_head_of_the_statement_is_fixed(tmp_path: Path) -> None:
    data = forged(tmp_path / "log", subjects=[Subject("retained-set", "0" * 64)])
    assert {"retained-set", "model/recogniser-2014"} <= set(broken(data))
    assert STATEMENT_ID == "@statement"


def test_claim_that_stands_twice(tmp_path: Path) -> None:
    """Of two claims with one id, a reader might see the one and a verifier check the other."""
    story = example.begin(tmp_path / "log")
    claims = claims_of(example.content(story.identity))
    named = [
        Subject("retained-set", example.fixed("retained")),
        Subject("model/recogniser-2026", example.fixed("recogniser-2026")),
    ]
    twice = lay_out("c-0001", "o-0001", named, [*claims, replace(claims[0], statement="another sentence")])
    assert "twice" in broken(story.issue(twice)[0])["order"]


def test_envelope_of_another_type(sound: bytes) -> None:
    parts = parts_of(sound)
    parts["dsseEnvelope"]["payloadType"] = "application/json"
    assert "no DSSE envelope of" in broken(spelled(parts))["dsseEnvelope"]


def test_opening_checkpoint_from_after_the_plan(tmp_path: Path) -> None:
    """Whoever takes the "opening" checkpoint late could have rewritten the log before it."""
    story = example.begin(tmp_path / "log")
    story.identity, story.opening_note = replace(story.identity, opening=story.log.checkpoint()), story.log.note()
    data, _ = story.issue(certificate.build(example.content(story.identity)))
    assert "before the checkpoint at the order's opening" in broken(data)["log"]
