"""Checks a whole certificate. The order of the checks is the order of trust: bytes, signatures, log, then what is said."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from unsee_verify import claims as rules
from unsee_verify import layout
from unsee_verify.proofs import (
    PAYLOAD_TYPE, checkpoint, consistent, fingerprint, included, leaf, pae, root, sha256, signed, unhex,
)  # fmt: skip
from unsee_verify.report import Report

STATEMENT = "@statement"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:unsee:predicate:erasure-certificate:v1"
OPENED, PLANNED, APPROVED, ISSUED = "OrderOpened", "PlanMade", "PlanApproved", "CertificateIssued"


@dataclass(slots=True)
class Certificate:
    """A certificate as far as it could be read."""

    parts: dict[str, Any]
    raw: dict[str, bytes]
    payload: bytes = b""
    id: str = ""
    subjects: dict[str, str] = field(default_factory=dict)
    claims: dict[str, dict[str, Any]] = field(default_factory=dict)
    lines: list[bytes] = field(default_factory=list)
    authentic: bool = False
    """Whether the operator's signature fits the payload."""


def check_certificate(
    data: bytes, report: Report, *, keys: Sequence[bytes] = (), pdf: bytes | None = None
) -> Certificate:
    """Every check of a certificate; findings go into `report`.

    Args:
        data: the file.
        report: where to write.
        keys: public keys that the reader trusts; the operator must sign with one of them. Empty: the key inside is used.
        pdf: the printed certificate, where it is at hand.
    """
    parts, raw = layout.parts_of(data, "certificate", report)
    found = Certificate(parts, raw)
    damaged = _read_statement(found, report)
    _check_signatures(found, keys, report)
    _check_claim_tree(found, damaged, report)
    if found.claims:
        report.claims = found.claims
        rules.check_presence(found.claims, report)
        if "plan" in parts:
            with report.guarded("plan"):
                rules.check_plan(found.claims, parts["plan"], raw["plan"], report)
            with report.guarded("approval"):
                rules.check_approvals(found.claims, parts["plan"], raw["plan"], report)
        with report.guarded("outcome"):
            rules.check_outcomes(found.claims, report)
        with report.guarded("model"):
            rules.check_models(found.claims, found.subjects, report)
        rules.check_dates(found.claims, report)
        with report.guarded("log"):
            _check_log(found, report)
        with report.guarded("pdf"):
            _check_pdf(found, pdf, report)
        rules.check_grounds(found.claims, report)
        _list_unchecked(found, report)
    return found


def _read_statement(found: Certificate, report: Report) -> list[bytes]:
    """Fill in payload, subjects and claims; returns the statement's lines as far as they can be read."""
    envelope = found.parts.get("dsseEnvelope")
    strict, lenient = layout.payload_of(envelope, found.raw.get("dsseEnvelope", b""))
    if strict is None:
        report.bad("dsseEnvelope", "its payload is not canonical base64")
    if lenient is None:
        return []
    found.payload = lenient
    found.lines, whole = layout.statement_lines(lenient)
    if not whole:
        report.bad("statement layout", "a statement is one line of head, one line a claim, and }}}")
    with report.guarded(STATEMENT):
        head = json.loads(found.lines[0] + b"}}}")
        found.id = head["predicate"]["id"]
        found.subjects = {s["name"]: s["digest"]["sha256"] for s in head["subject"]}
        if found.lines[0] != _head(head["subject"], found.id) or len(found.subjects) != len(head["subject"]):
            report.bad(STATEMENT, "type, subjects, predicate type and id are not spelled as they must be")
    for number, line in enumerate(found.lines[1:], 1):
        try:
            (name, claim), *rest = layout.strict_json(b"{" + line + b"}").items()
            if rest or name in found.claims or not isinstance(claim, dict):
                raise ValueError("not one claim")
            found.claims[name] = claim
        except (ValueError, RecursionError):
            report.bad(_named_by_tree(found, number), "its line in the statement cannot be read")
    return found.lines


def _head(subjects: Any, name: Any) -> bytes:
    c = layout.canonical
    spelled = [{"digest": {"sha256": s["digest"]["sha256"]}, "name": s["name"]} for s in subjects]
    return b'{"_type":%b,"subject":%b,"predicateType":%b,"predicate":{"id":%b,"claims":{' % (
        c(STATEMENT_TYPE), c(spelled), c(PREDICATE_TYPE), c(name),
    )  # fmt: skip


def _named_by_tree(found: Certificate, number: int) -> str:
    """The id that the claim tree gives to a line of the statement."""
    tree = found.parts.get("claimTree")
    try:
        return str(tree[number]["id"])  # type: ignore[index]  # guarded: the tree may be anything
    except (TypeError, KeyError, IndexError):
        return f"statement line {number + 1}"


def _check_signatures(found: Certificate, keys: Sequence[bytes], report: Report) -> None:
    part = "signature"
    with report.guarded(part):
        operator = rules.value(found.claims, "operator")
        own = unhex(operator["public_key"], 32)
        cards = {fingerprint(own): (own, f"{operator['name']}, {operator['organisation']}")}
        for card in found.parts["cosigners"]:
            key = unhex(card["public_key"], 32)
            said = {k: v for k, v in card.items() if k != "signature"}
            if not signed(key, unhex(card["signature"], 64), b"unsee cosigner v1\n" + layout.canonical(said)):
                report.bad("cosigners", "the card of a cosigner was changed")
            cards[fingerprint(key)] = (key, f"{card['name']}, {card['role']}, {card['organisation']}")
        envelope = found.parts["dsseEnvelope"]
        if set(envelope) != {"payload", "payloadType", "signatures"} or envelope["payloadType"] != PAYLOAD_TYPE:
            report.bad("dsseEnvelope", f"it is no DSSE envelope of {PAYLOAD_TYPE}")
        good: list[bytes] = []
        for signature in envelope["signatures"]:
            key, who = cards.get(signature["keyid"], (b"", ""))
            raw = base64.b64decode(signature["sig"], validate=True)
            spelled = set(signature) == {"keyid", "sig"} and base64.b64encode(raw).decode() == signature["sig"]
            if not who:
                report.bad(part, f"one is by key {signature['keyid']}, which nobody is named for")
            elif key in good or not spelled or not signed(key, raw, pae(found.payload)):
                report.bad(part, f"that of {who} does not fit the statement")
            else:
                good.append(key)
                report.ok(part, f"{who} signed this statement with key {fingerprint(key)}")
        for key, who in cards.values():
            if key not in good:
                report.bad(part, f"there is no good signature of {who}")
        found.authentic = own in good
        if keys and own not in keys:
            report.bad(part, f"the operator's key {fingerprint(own)} is none of the keys given with --key")
            found.authentic = False
        elif not keys:
            report.unchecked(
                "operator's key",
                f"taken from the certificate itself: compare the fingerprint {fingerprint(own)} with one that you got"
                " from the operator in another way, or give the key with --key",
            )


def _check_claim_tree(found: Certificate, lines: list[bytes], report: Report) -> None:
    """Name each claim whose line is not the one that the tree knows."""
    with report.guarded("claimTree"):
        tree = found.parts["claimTree"]
        hashes = [leaf(line).hex() for line in lines]
        ids = [STATEMENT, *found.claims]
        whole = len(tree) == len(hashes)
        fits = whole and len(ids) == len(tree)
        for number, entry in enumerate(tree):
            named = fits and entry["id"] != ids[number]
            if entry["sha256"] == (hashes[number] if whole else entry["sha256"] if entry["sha256"] in hashes else ""):
                if named or set(entry) != {"id", "sha256"}:
                    report.bad("claimTree", f"its entry {entry['id']} is spelled wrongly")
                continue
            fits = False
            if found.authentic:
                report.bad("claimTree", f"its entry for {entry['id']} does not fit the signed statement")
            else:
                report.bad(str(entry["id"]), "its line is not the one that the claim tree commits to: it was changed")
        report.check(fits, "claimTree", f"{len(hashes)} lines fit their hashes", "it does not cover this statement")


def _check_log(found: Certificate, report: Report) -> None:
    """The log has only grown, and holds order, plan, approvals and this certificate, in that order."""
    log, parts = rules.value(found.claims, "log"), found.parts
    origin, key = log["origin"], unhex(log["public_key"], 32)
    if set(parts["checkpoints"]) != {"opening", "end"}:
        report.bad("checkpoints", "there are two: opening and end")
    ends = {}
    for name in ("opening", "end"):
        with report.guarded("checkpoints"):
            ends[name] = checkpoint(parts["checkpoints"][name], origin, key)
    opening, end = ends["opening"], ends["end"]
    report.ok("log", f"two checkpoints signed by {origin}, key {fingerprint(key)}")
    if {"size": opening.size, "root": opening.root.hex()} != log["opening"]:
        report.bad("log", "the checkpoint at the opening is not the one stated")
    with report.guarded("consistency"):
        report.check(
            consistent(opening.size, opening.root, end.size, end.root, parts["consistency"]), "log",
            f"its {end.size:,} entries continue the {opening.size:,} at the opening of the order",
            "the consistency proof does not hold: the log was rewritten, or the proof was changed",
        )  # fmt: skip
    facts: list[tuple[str, int, dict[str, Any]]] = []
    for number, entry in enumerate(parts["entries"]):
        part = f"entries, number {number + 1}"
        with report.guarded(part):
            record = layout.strict_json(entry["record"].encode())
            part_hash = leaf(sha256(unhex(entry["salt"], 32) + entry["record"].encode()))
            if set(entry) != {"what", "record", "salt", "index", "proof"} or record["fact"] != entry["what"]:
                report.bad(part, "it is not the fact that it says it is")
            elif not included(part_hash, entry["index"], end.size, entry["proof"], end.root):
                report.bad(part, f"{entry['what']} is not in the log at index {entry['index']}")
            else:
                facts.append((entry["what"], entry["index"], record))
    _check_history(found, facts, opening.size, report)


def _check_history(
    found: Certificate, facts: list[tuple[str, int, dict[str, Any]]], opening_size: int, report: Report
) -> None:
    claims = found.claims
    order, plan = rules.value(claims, "order"), rules.value(claims, "plan")
    expected: list[tuple[str, str, dict[str, Any]]] = [
        ("order", OPENED, {"order": order["id"], "instrument": order}),
        ("plan", PLANNED, {"order": order["id"], "plan": plan["id"], "digest": plan["sha256"], "by": plan["author"]}),
        *(
            (f"approval/{who}", APPROVED, {"plan": plan["id"], "digest": plan["sha256"], "by": who, "signature": a["signature"]})
            for who, a in rules.family(claims, "approval").items()
        ),
        (
            "log",
            ISSUED,
            {
                "certificate": found.id,
                "order": order["id"],
                "payload_sha256": sha256(found.payload).hex(),
                "claim_tree_root": root([leaf(line) for line in found.lines]).hex(),
            },
        ),
    ]  # fmt: skip
    places = []
    for part, kind, fields in expected:
        hits = [i for what, i, r in facts if what == kind and all(r.get(k) == v for k, v in fields.items())]
        words = "this certificate" if kind == ISSUED else kind
        if report.check(bool(hits), part, f"the log holds {words}", f"no logged {kind} fits what is stated here"):
            places.append((kind, hits[0]))
    order_of = {OPENED: 0, PLANNED: 1, APPROVED: 2, ISSUED: 3}
    stages = [order_of[kind] for kind, _ in sorted(places, key=lambda p: p[1])]
    if stages != sorted(stages):
        report.bad("log", "order, plan, approvals and certificate do not stand in that order")
    if any(kind == PLANNED and index < opening_size for kind, index in places):
        report.bad("log", "the plan was logged before the checkpoint at the order's opening")


def _check_pdf(found: Certificate, pdf: bytes | None, report: Report) -> None:
    seal = found.parts["pdf"]
    if seal is None:
        if pdf is None:
            report.unchecked("pdf", "no printed certificate belongs to this one")
        else:
            report.bad("pdf", "no printed certificate belongs to this one, and one was given")
        return
    operator = unhex(rules.value(found.claims, "operator")["public_key"], 32)
    message = f"unsee pdf v1\n{sha256(found.payload).hex()}\n{seal['sha256']}".encode()
    fits = set(seal) == {"sha256", "keyid", "signature"} and seal["keyid"] == fingerprint(operator)
    fits = fits and signed(operator, unhex(seal["signature"], 64), message)
    report.check(
        fits, "pdf", "the operator sealed one printed certificate", "the operator's seal over the PDF does not fit"
    )
    if pdf is None:
        report.unchecked("pdf", "the printed certificate was not given with --pdf")
    else:
        report.check(
            sha256(pdf).hex() == seal["sha256"],
            "pdf",
            "the file given is that one",
            "the file given is another, or changed",
        )


def _list_unchecked(found: Certificate, report: Report) -> None:
    """What the operator names as unchecked, and what no file can show."""
    with report.guarded("not-verified"):
        for entry in rules.value(found.claims, "not-verified")["list"]:
            report.unchecked("named by the operator", f"{entry['what']}: {entry['reason']}")
    report.unchecked(
        "what no file can show",
        "that everything taken in was logged, and that no copy lies outside the places searched",
    )
