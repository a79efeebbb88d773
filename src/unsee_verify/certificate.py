"""Checks a whole certificate. The order of the checks is the order of trust: bytes, signatures, log, then what is said."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from unsee_verify import proofs
from unsee_verify.claims import RULES, check_grounds
from unsee_verify.layout import Certificate, canonical, claim_of, parts_of, payload_of, statement_lines, strict_json
from unsee_verify.proofs import fingerprint, leaf, sha256, signed, unhex
from unsee_verify.report import Report

STATEMENT = "@statement"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:unsee:predicate:erasure-certificate:v1"
OPENED, PLANNED, APPROVED, ISSUED = STAGES = ("OrderOpened", "PlanMade", "PlanApproved", "CertificateIssued")
_Facts = list[tuple[str, int, dict[str, Any]]]


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
    c = Certificate(*parts_of(data, "certificate", report))
    whole, c.payload = payload_of(c.parts.get("dsseEnvelope"), c.raw.get("dsseEnvelope", b""))
    if not whole:
        report.bad("dsseEnvelope", "its payload is not canonical base64")
    _read_statement(c, report)
    report.claims = c.claims
    with report.guarded("signature"):
        _check_signatures(c, keys, report)
    with report.guarded("claimTree"):
        _check_claim_tree(c, report)
    for part, rule in RULES:
        with report.guarded(part):
            rule(c, report)
    with report.guarded("log"):
        _check_log(c, report)
    with report.guarded("pdf"):
        _check_pdf(c, pdf, report)
    check_grounds(c, report)
    with report.guarded("not-verified"):
        for entry in c.value("not-verified")["list"]:
            report.unchecked("named by the operator", f"{entry['what']}: {entry['reason']}")
    words = (
        "that everything taken in was logged; that no copy lies elsewhere; that the operator shows everybody one log"
    )
    report.unchecked("what no file can show", words)
    return c


def _read_statement(c: Certificate, report: Report) -> None:
    """Fill in subjects and claims as far as they can be read."""
    c.lines, whole = statement_lines(c.payload)
    if not whole:
        report.bad("statement layout", "a statement is one line of head, one line a claim, and }}}")
    with report.guarded(STATEMENT):
        head = json.loads(c.lines[0] + b"}}}")
        c.id = head["predicate"]["id"]
        c.subjects = {s["name"]: s["digest"]["sha256"] for s in head["subject"]}
        spelled = [{"digest": {"sha256": digest}, "name": name} for name, digest in c.subjects.items()]
        expected = b'{"_type":%b,"subject":%b,"predicateType":%b,"predicate":{"id":%b,"claims":{' % tuple(
            map(canonical, (STATEMENT_TYPE, spelled, PREDICATE_TYPE, c.id))
        )
        if c.lines[0] != expected or not isinstance(c.id, str):
            report.bad(STATEMENT, "type, subjects, predicate type and id are not spelled as they must be")
    for number, line in enumerate(c.lines[1:], 1):
        try:
            name, claim = claim_of(line)
        except (ValueError, RecursionError) as error:
            report.bad(_named_by_tree(c, number), f"its line in the statement cannot be read: {str(error)[:80]}")
            continue
        if name in c.claims:
            report.bad(name, "this claim is there twice")
        c.claims[name] = claim


def _named_by_tree(c: Certificate, number: int) -> str:
    """The id that the claim tree gives to a line of the statement."""
    try:
        return str(c.parts["claimTree"][number]["id"])
    except (TypeError, KeyError, IndexError):
        return f"statement, line {number + 1}"


def _check_signatures(c: Certificate, keys: Sequence[bytes], report: Report) -> None:
    operator = c.value("operator")
    own = unhex(operator["public_key"], 32)
    cards = {fingerprint(own): (own, f"{operator['name']}, {operator['organisation']}")}
    if type(c.parts["cosigners"]) is not list:
        report.bad("cosigners", "this part must be a list")
    for card in c.parts["cosigners"]:
        key, said = unhex(card["public_key"], 32), {k: v for k, v in card.items() if k != "signature"}
        if not signed(key, unhex(card["signature"], 64), b"unsee cosigner v1\n" + canonical(said)) or key == own:
            report.bad("cosigners", "the card of a cosigner was changed")
        cards[fingerprint(key)] = (key, f"{card['name']}, {card['role']}, {card['organisation']}")
    envelope = c.parts["dsseEnvelope"]
    if set(envelope) != {"payload", "payloadType", "signatures"} or envelope["payloadType"] != proofs.PAYLOAD_TYPE:
        report.bad("dsseEnvelope", f"it is no DSSE envelope of {proofs.PAYLOAD_TYPE}")
    good: list[bytes] = []
    for signature in envelope["signatures"]:
        key, who = cards.get(signature["keyid"], (b"", ""))
        raw = base64.b64decode(signature["sig"], validate=True)
        spelled = set(signature) == {"keyid", "sig"} and base64.b64encode(raw).decode() == signature["sig"]
        if not who:
            report.bad("signature", f"one is by key {signature['keyid']}, which nobody is named for")
        elif key in good or not spelled or not signed(key, raw, proofs.pae(c.payload)):
            report.bad("signature", f"that of {who} does not fit the statement")
        else:
            good.append(key)
            report.ok("signature", f"{who} signed this statement with key {fingerprint(key)}")
    for key, who in cards.values():
        if key not in good:
            report.bad("signature", f"there is no good signature of {who}")
    c.authentic = own in good and (not keys or own in keys)
    if keys and own not in keys:
        report.bad("signature", f"the operator's key {fingerprint(own)} is none of the keys given with --key")
    elif not keys:
        words = "was taken from the certificate itself: compare it with what the operator told you in another way, or use --key"
        report.unchecked("operator's key", f"fingerprint {fingerprint(own)} {words}")


def _check_claim_tree(c: Certificate, report: Report) -> None:
    """Name each claim whose line is not the one that the tree knows."""
    tree, hashes = c.parts["claimTree"], [leaf(line).hex() for line in c.lines]
    whole = len(tree) == len(
        hashes
    )  # a damaged line break makes two lines one; then only whole lines can be found again
    named = False
    for number, entry in enumerate(tree):
        if (entry["sha256"] == hashes[number]) if whole else (entry["sha256"] in hashes):
            continue
        named = True
        if c.authentic:
            report.bad("claimTree", f"its entry for {entry['id']} does not fit the signed statement")
        else:
            report.bad(str(entry["id"]), "its line is not the one that the claim tree commits to: it was changed")
    ids = [STATEMENT, *c.claims]
    expected = [{"id": name, "sha256": digest} for name, digest in zip(ids, hashes, strict=False)]
    if tree == expected and len(ids) == len(hashes):
        report.ok("claimTree", f"{len(hashes)} lines fit their hashes")
    elif not named:
        report.bad("claimTree", "it is not the tree over these lines")


def _check_log(c: Certificate, report: Report) -> None:
    """The log has only grown, and holds order, plan, approvals and this certificate, in that order."""
    log, notes = c.value("log"), c.parts["checkpoints"]
    origin, key = log["origin"], unhex(log["public_key"], 32)
    ends: list[tuple[int, bytes]] = []
    with report.guarded("checkpoints"):
        if set(notes) != {"opening", "end"}:
            report.bad("checkpoints", "there are two: opening and end")
        ends = [proofs.checkpoint(notes[name], origin, key) for name in ("opening", "end")]
    if not ends:
        return report.bad("log", "nothing can be shown to be in it: a checkpoint is damaged")
    (old_size, old_root), (size, root) = ends
    report.ok("log", f"two checkpoints signed by {origin}, key {fingerprint(key)}")
    if log["opening"] != {"size": old_size, "root": old_root.hex()}:
        report.bad("log", "the checkpoint at the opening is not the one stated")
    with report.guarded("consistency"):
        grown = proofs.consistent(old_size, old_root, size, root, c.parts["consistency"])
        words = f"its {size:,} entries continue the {old_size:,} at the opening of the order"
        report.check(grown, "log", words, "the consistency proof fails: the log was rewritten, or the proof changed")
    facts: _Facts = []
    for number, entry in enumerate(c.parts["entries"], 1):
        part = f"entries, number {number}"
        with report.guarded(part):
            text = entry["record"].encode()
            record, held = strict_json(text), leaf(sha256(unhex(entry["salt"], 32) + text))
            if set(entry) != {"what", "record", "salt", "index", "proof"} or record["fact"] != entry["what"]:
                report.bad(part, "it is not the fact that it says it is")
            elif not proofs.included(held, entry["index"], size, entry["proof"], root):
                report.bad(part, f"{entry['what']} is not in the log at index {entry['index']}")
            else:
                facts.append((entry["what"], entry["index"], record))
    return _check_history(c, facts, old_size, report)


def _check_history(c: Certificate, facts: _Facts, opening_size: int, report: Report) -> None:
    order, plan = c.value("order"), c.value("plan")
    about = {"plan": plan["id"], "digest": plan["sha256"]}
    tree = proofs.root([leaf(line) for line in c.lines]).hex()
    this = {
        "certificate": c.id,
        "order": order["id"],
        "payload_sha256": sha256(c.payload).hex(),
        "claim_tree_root": tree,
    }
    expected: list[tuple[str, str, dict[str, Any]]] = [
        ("order", OPENED, {"order": order["id"], "instrument": order}),
        ("plan", PLANNED, {**about, "order": order["id"], "by": plan["author"]}),
        *((f"approval/{who}", APPROVED, {**about, "by": who, "signature": a["signature"]})
          for who, a in c.family("approval").items()),
        ("log", ISSUED, this),
    ]  # fmt: skip
    places: list[tuple[int, int]] = []
    for part, kind, fields in expected:
        hits = [i for what, i, r in facts if what == kind and all(r.get(k) == v for k, v in fields.items())]
        words = "this certificate" if kind == ISSUED else "it"
        if report.check(bool(hits), part, f"the log holds {words}", f"no logged {kind} fits what is stated here"):
            places.append((hits[0], STAGES.index(kind)))
    stages = [stage for _, stage in sorted(places)]
    if stages != sorted(stages):
        report.bad("log", "order, plan, approvals and certificate do not stand in that order")
    if any(stage == 1 and index < opening_size for index, stage in places):
        report.bad("log", "the plan was logged before the checkpoint at the order's opening")


def _check_pdf(c: Certificate, pdf: bytes | None, report: Report) -> None:
    seal = c.parts["pdf"]
    if seal is None:
        if pdf is not None:
            report.bad("pdf", "no printed certificate belongs to this one, and one was given")
        return report.unchecked("pdf", "no printed certificate belongs to this one")
    operator = unhex(c.value("operator")["public_key"], 32)
    message = f"unsee pdf v1\n{sha256(c.payload).hex()}\n{seal['sha256']}".encode()
    fits = set(seal) == {"sha256", "keyid", "signature"} and seal["keyid"] == fingerprint(operator)
    fits = fits and signed(operator, unhex(seal["signature"], 64), message)
    report.check(fits, "pdf", "the operator sealed one printed certificate", "the operator's seal on it does not fit")
    if pdf is None:
        return report.unchecked("pdf", "the printed certificate was not given with --pdf")
    same = sha256(pdf).hex() == seal["sha256"]
    report.check(same, "pdf", "the file given is that one", "the file given is another, or was changed")
    return None
