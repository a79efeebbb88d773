"""The certificate for people: one page that says it all, then the tables, the limits, and the oath that a person signs.

The signed envelope travels inside as an attachment. The same statement gives the same bytes. Needs the extra `report`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from unsee.attest.certificate import Statement
from unsee.attest.claims import OATH, assurance_reached, claims_of
from unsee.attest.content import CertificateContent
from unsee.attest.dsse import Envelope
from unsee.attest.page import Sheet, Tone
from unsee.core.canonical import canonical_json
from unsee.core.evidence import Claim, Gone, Ground

ATTACHMENT: Final = "certificate.dsse.json"
_GROUND: Final = {
    Ground.RECOMPUTABLE: ("recomputable", Tone.GOOD),
    Ground.OBSERVED: ("observed", Tone.PLAIN),
    Ground.ATTESTED: ("a person's word", Tone.WARN),
}
_NIST: Final = {
    "clear": "clear",
    "purge": "purge",
    "destroy": "destroy",
    "none": "none: a deletion, which the standard does not count as sanitisation",
}


def render(content: CertificateContent, statement: Statement, envelope: Envelope, *, plot: Path | None = None) -> bytes:
    """The PDF of a certificate.

    Args:
        content: what the statement was built from.
        statement: the statement itself; its digest is printed on every page.
        envelope: the signed envelope, which is attached as `certificate.dsse.json`.
        plot: a PNG that shows the evaluation before and after.
    Cost: about a second, most of it the fonts.
    """
    issued = datetime.strptime(content.times.issued, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    sheet = Sheet(
        title=f"Erasure certificate {content.id}",
        author=content.operator.organisation,
        created=issued,
        footer=f"{content.id}  ·  statement SHA-256 {statement.sha256[:32]}…",
    )
    _summary(sheet, content, statement)
    _erased(sheet, content)
    _models(sheet, content, plot)
    _remains(sheet, content)
    _people(sheet, content)
    _how_to_check(sheet, content, statement, envelope)
    _claims(sheet, claims_of(content))
    _declaration(sheet, content, statement)
    sheet.attach(ATTACHMENT, canonical_json(envelope.as_json()), "The signed statement (DSSE, in-toto)")
    return sheet.finish()


# ---- page one


def _summary(sheet: Sheet, content: CertificateContent, statement: Statement) -> None:
    order = content.order
    sheet.title("Erasure certificate", f"{content.id}  ·  issued {_moment(content.times.issued)}")
    law = order.as_json()
    sheet.answer(
        "What was ordered",
        f"{order.authority} ordered the erasure of {order.reaches}, with what was derived from it"
        f" ({order.instrument_name}; effective {order.effective}; {law['citation']}).",
    )
    scope, erased = _total(content, "scope"), sum(sum(o.erased.values()) for o in content.outcomes)
    rest = [f"{n:,} {w}" for n, w in ((_total(content, "absent"), "were absent already"),
            (_total(content, "retained"), "are retained on a stated basis"), (_total(content, "failed"), "could not be erased"))
            if n]  # fmt: skip
    classes = ", ".join(f"{o.data_class} {o.scope:,}" for o in content.outcomes)
    sheet.answer(
        "What was erased",
        f"{erased:,} of {scope:,} things in scope ({classes})"
        + "".join(f"; {r}" for r in rest)
        + ". "
        + _assurance(content),
    )
    sheet.answer(
        "From where",
        ", ".join(f"{p.store} ({p.kind})" for p in content.places)
        + f". All were searched again afterwards: {sum(p.members_searched for p in content.places):,} members are in them now,"
        + f" {sum(p.residue_found for p in content.places):,} of the scope, {sum(p.passed_over for p in content.places):,} passed"
        + f" over. The {content.retained_set.items:,} items that had to stay "
        + ("have the same Merkle root before and after." if _untouched(content) else "CHANGED: their roots differ."),
    )
    sheet.answer("Which models", _model_words(content))
    sheet.answer("What remains, and why", _remaining_words(content))
    names = " and ".join(person.name for person, _ in content.approvals)
    sheet.answer(
        "Who says so",
        f"{content.operator.name}, {content.operator.title}, for {content.operator.organisation} as its operator. {names}"
        f" approved the plan. {content.tool.name} {content.tool.version} did the work and observed it."
        " No person has sworn to it yet: the declaration waits for a signature.",
    )
    claims = claims_of(content)
    counts = {g: sum(1 for c in claims if c.ground is g) for g in Ground}
    sheet.box(
        f"This certificate makes {len(claims)} claims. {counts[Ground.RECOMPUTABLE]} can be recomputed by anybody,"
        f" {counts[Ground.OBSERVED]} were observed by the operator's tool, {counts[Ground.ATTESTED]} rest on a person's word;"
        " each is marked so. It shows what was done and looked at. It does not show that no copy exists elsewhere."
    )
    sheet.small(f"Statement SHA-256 {statement.sha256}")
    sheet.small(f"Operator's key {_fingerprint(content.operator.public_key)}")


def _assurance(content: CertificateContent) -> str:
    words = {
        "L1": "not retrievable in the normal course of business (L1)",
        "L2": "not retrievable by physical or technical means (L2)",
        "none": "no level, because copies below the current view were not ruled out",
    }
    by_level: dict[str, list[str]] = {}
    for outcome in content.outcomes:
        if sum(outcome.erased.values()):
            by_level.setdefault(str(assurance_reached(outcome) or "none"), []).append(outcome.data_class)
    reached = "; ".join(f"{', '.join(names)}: {words[level]}" for level, names in sorted(by_level.items()))
    return f"Assurance reached: {reached}." if reached else ""


def _model_words(content: CertificateContent) -> str:
    if not content.models:
        return "No model had learned from the scope."
    return " ".join(
        f"{m.model}: {m.disposition}" + (f", replaced by {m.replaced_by.model}" if m.replaced_by else "") + "."
        for m in content.models
    )


def _remaining_words(content: CertificateContent) -> str:
    parts = [f"{r.count:,} {r.what}: {r.reason}" for r in content.residuals]
    parts += [f"{r.count:,} of class {r.data_class} retained: {r.basis}" for r in content.retained]
    parts += [
        f"backup {b.name}, " + (f"until {b.expires}" if b.expires else "no expiry stated") for b in content.backups
    ]
    parts += [f"{u.count:,} {u.what}: {u.reason}" for u in content.unknown_lineage]
    known = "; ".join(parts[:6]) + (f"; and {len(parts) - 6} more" if len(parts) > 6 else "")
    open_words = (
        f" {len(content.not_verified)} things were not checked; they are listed." if content.not_verified else ""
    )
    return (f"{known}." if parts else "Nothing that the tool knows of.") + open_words


# ---- the tables


def _erased(sheet: Sheet, content: CertificateContent) -> None:
    sheet.page()
    sheet.heading("The order")
    law = content.order.as_json()
    sheet.facts(
        [
            ("Order", content.order.id),
            ("Authority", content.order.authority),
            ("Instrument", f"{content.order.instrument_name}, SHA-256 {content.order.instrument_sha256}"),
            ("Profile", f"{content.order.profile}: {law['citation']}"),
            ("Effective", str(content.order.effective)),
            ("Model scope", str(law["model_scope"])),
            ("Assurance asked", str(law["assurance"])),
        ]
    )
    duties = {d.duty: d for d in content.duties}
    sheet.table(
        ["Duty", "Due", "Done"],
        [
            (name, day, "nothing to do" if duties[name].nothing_to_do else str(duties[name].done or "open"))
            for name, day in law["deadlines"].items()
        ],
        [3, 2, 3],
    )
    sheet.heading("What became of each class")
    sheet.table(
        ["Class", "Scope", "Erased", "Absent", "Retained", "Failed", "Ladder", "Level"],
        [
            (o.data_class, f"{o.scope:,}", f"{sum(o.erased.values()):,}", f"{o.absent:,}", f"{o.retained:,}", f"{o.failed:,}",
             ", ".join(f"{g.step} {n:,}" for g, n in sorted(o.erased.items()) if n) or "–", str(assurance_reached(o) or "none"))
            for o in content.outcomes
        ],
        [3, 2, 2, 2, 2, 2, 4, 2],
        right=range(1, 6),
    )  # fmt: skip
    sheet.note(
        "Ladder: D0 unreferenced, D1 gone from the current view, D2 gone from all versions that the store can reach, D3 bytes"
        " overwritten or trimmed, D4 key destroyed, D5 out of reach. D2 gives level L1; D3 and D4 give L2."
    )
    sheet.heading("Places searched, and what they cannot show")
    sheet.table(
        ["Store", "Kind", "Location", "Members now", "Passed over", "Still found"],
        [
            (p.store, p.kind, p.location, f"{p.members_searched:,}", f"{p.passed_over:,}", f"{p.residue_found:,}")
            for p in content.places
        ],
        [3, 2, 5, 2, 2, 2],
        right=range(3, 6),
    )
    by_step: dict[Gone, list[str]] = {}
    by_limit: dict[str, list[str]] = {}
    for place in content.places:
        by_step.setdefault(place.best_gone, []).append(place.store)
        for limit in place.limits:
            by_limit.setdefault(limit, []).append(place.store)
    sheet.list_or_none(
        "How far each store can go at best", [f"{', '.join(names)}: {step}" for step, names in by_step.items()], ""
    )
    by_stores: dict[tuple[str, ...], list[str]] = {}
    for limit, names in by_limit.items():
        by_stores.setdefault(tuple(dict.fromkeys(names)), []).append(limit)
    for stores, limits in sorted(by_stores.items(), key=lambda entry: -len(entry[0])):
        sheet.list_or_none(f"Limits of {', '.join(stores)}", limits, "")
    sheet.heading("Methods, in the words of NIST SP 800-88 r2")
    sheet.table(
        ["Applies to", "Technique", "Term"],
        [(m.applies_to, m.technique, _NIST[m.nist]) for m in content.methods],
        [4, 6, 5],
    )
    looked: dict[str, list[str]] = {}
    for method in content.methods:
        looked.setdefault(method.verification, []).append(method.applies_to)
    sheet.list_or_none(
        "Looked at afterwards", [f"{', '.join(applies)}: {words}" for words, applies in looked.items()], "nothing"
    )


def _models(sheet: Sheet, content: CertificateContent, plot: Path | None) -> None:
    sheet.heading("Models: exactly one disposition each")
    if not content.models:
        sheet.text("No model had learned from the scope.")
    for model in content.models:
        said = [
            "" if model.evidence is None else f"Evidence {model.evidence}.",
            f"Replaced by {model.replaced_by.model}, SHA-256 {model.replaced_by.sha256}." if model.replaced_by else "",
            f"{model.artefacts_destroyed:,} files destroyed.",
            *model.conditions,
            model.explanation,
            f"Weights as they were: SHA-256 {model.sha256}.",
        ]
        sheet.item(f"{model.model}: {model.disposition}", " ".join(filter(None, said)))
    found = content.evaluation
    if found is None:
        return
    sheet.heading("Accuracy and group differences, before and after", keep_mm=60)
    sheet.text(
        f"On {found.dataset}: {found.model_before} before, {found.model_after} after. Intervals: {found.interval}."
    )
    if plot is not None:
        sheet.picture(plot)
    control = any(m.control is not None for m in found.measures)
    sheet.table(
        ["Measure", "Group", "Before", "After", *(["Control"] if control else [])],
        [
            (m.metric, m.group, _interval(m.before, m.before_interval), _interval(m.after, m.after_interval),
             *([m.control or "–"] if control else []))
            for m in found.measures
        ],
        [11, 4, 9, 9, *([3] if control else [])],
        right=range(2, 5),
    )  # fmt: skip
    for remark in found.remarks:
        sheet.note(remark)


def _interval(value: str, interval: tuple[str, str] | None) -> str:
    return value if interval is None else f"{value}  [{interval[0]}, {interval[1]}]"


def _remains(sheet: Sheet, content: CertificateContent) -> None:
    sheet.heading("What remains")
    sheet.list_or_none(
        "Residuals", [f"{r.count:,} {r.what} in {r.where}: {r.reason}" for r in content.residuals], "none is known"
    )
    sheet.list_or_none(
        "Retained, with its basis",
        [f"{r.count:,} of class {r.data_class}: {r.basis} ({r.agency}); {r.reason}" for r in content.retained],
        "nothing",
    )
    sheet.list_or_none(
        "Backups pending",
        [f"{b.name}, {b.holds}; " + (f"expires {b.expires}" if b.expires else "no expiry stated") + f"; {b.handling}"
         for b in content.backups],
        "none is declared",
    )  # fmt: skip
    sheet.list_or_none(
        "Unknown lineage", [f"{u.count:,} {u.what}: {u.reason}" for u in content.unknown_lineage], "none is known"
    )
    sheet.heading("What was not checked")
    sheet.list_or_none("", [f"{n.what}: {n.reason}" for n in content.not_verified], "the operator names nothing")


def _people(sheet: Sheet, content: CertificateContent) -> None:
    sheet.heading("Third parties and people")
    sheet.list_or_none(
        "Recipients",
        [f"{r.name}, {r.address}, {r.phone}: {r.received}. Instructed {_moment(r.instructed_at)}; confirmed"
         f" {_moment(r.confirmed_at)}. {r.response}" for r in content.recipients],
        "none is declared",
    )  # fmt: skip
    coverage = content.sharing_coverage
    sheet.note(
        "No record shows what was shared."
        if coverage is None
        else f"Rests on {coverage.records}, which cover {coverage.start} to {coverage.end}."
    )
    consent = content.consent
    names = ("notified", "consented", "declined", "silent", "asked_for_deletion", "asked_questions")
    counted = [(n.replace("_", " "), getattr(consent, n)) for n in names]
    sheet.text(
        "People of the scope: " + ", ".join(f"{n} {'not known' if v is None else f'{v:,}'}" for n, v in counted) + "."
    )
    if content.receipts is not None:
        sheet.text(
            f"Receipts: {content.receipts.count:,} people can each have one; Merkle root over them {content.receipts.root}."
        )


def _how_to_check(sheet: Sheet, content: CertificateContent, statement: Statement, envelope: Envelope) -> None:
    sheet.heading("How to check this")
    sheet.text(
        "Take certificate.json, which comes with this document, to a machine of your own and run"
        " “unsee-verify certificate.json --key FILE --pdf FILE”. It needs no connection and shares no code with the tool"
        " that made this. Compare the operator's key with what the operator told you in another way. The signed statement is"
        f" attached to this document as {ATTACHMENT}."
    )
    sheet.facts(
        [
            ("Statement", f"SHA-256 {statement.sha256}"),
            ("Operator's key", f"{_fingerprint(content.operator.public_key)} (SHA-256 of the raw Ed25519 key)"),
            ("Signatures", ", ".join(f"key {s.keyid[:16]}…" for s in envelope.signatures)),
            ("Log", f"{content.log.opening.origin}, key {_fingerprint(content.log.public_key)}"),
            ("Log at opening", f"{content.log.opening.size:,} entries, root {content.log.opening.root.hex()}"),
            (
                "Retained set",
                f"root {content.retained_set.root_before} before, {content.retained_set.root_after} after",
            ),
            *[
                (f"Approval: {p.name}", f"{p.title}, {p.organisation}; key {p.public_key}")
                for p, _ in content.approvals
            ],
            (
                "Tool",
                f"{content.tool.name} {content.tool.version}, Python {content.tool.python}, {content.tool.platform}",
            ),
        ]
    )


def _declaration(sheet: Sheet, content: CertificateContent, statement: Statement) -> None:
    sheet.heading("Declaration under 28 U.S.C. §1746", keep_mm=95)
    sheet.text(f"I have read certificate {content.id}, whose statement has the SHA-256 {statement.sha256}.")
    sheet.text(f"I rely on: {content.declarant_basis}.")
    sheet.text(OATH)
    sheet.text("Executed on the date below.")
    sheet.lines_to_sign(["Date", "Full name", "Title", "Signature"])
    sheet.note("Left blank on purpose. A machine's signature does not replace a person's oath.")


def _claims(sheet: Sheet, claims: Sequence[Claim]) -> None:
    sheet.page()
    sheet.heading("Every claim, and what it rests on")
    for claim in claims:
        word, tone = _GROUND[claim.ground]
        by = claim.value.get("by") if claim.ground is Ground.ATTESTED and isinstance(claim.value, dict) else None
        sheet.claim(claim.id, claim.statement, f"word of {by}" if by and len(by) < 24 else word, tone)


# ---- small words


def _total(content: CertificateContent, field: str) -> int:
    return sum(int(getattr(o, field)) for o in content.outcomes)


def _untouched(content: CertificateContent) -> bool:
    return content.retained_set.root_before == content.retained_set.root_after


def _fingerprint(public_key: str) -> str:
    return hashlib.sha256(bytes.fromhex(public_key)).hexdigest()


def _moment(text: str | None) -> str:
    return "not yet" if text is None else text.replace("T", " ").removesuffix("Z")[:16] + " UTC"
