"""From what a certificate says to its claims: one sentence, one value, one ground each. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from typing import Any

from unsee.attest.content import CertificateContent, ClassOutcome, ModelOutcome, Place, Recipient
from unsee.core.canonical import digest
from unsee.core.evidence import Assurance, Claim, Ground, assurance_of
from unsee.core.orders import OrderKind

RECOMPUTABLE, OBSERVED, ATTESTED = Ground.RECOMPUTABLE, Ground.OBSERVED, Ground.ATTESTED
_NAMED = 4
UNSIGNED = "nobody yet: the printed form awaits a person's signature"
OATH = "I declare under penalty of perjury under the laws of the United States of America that the foregoing is true and correct."


def claims_of(content: CertificateContent) -> tuple[Claim, ...]:
    """Every claim of the certificate, in the order in which it prints them."""
    return (*_ordered(content), *_done(content), *_left(content), *_people(content))


def assurance_reached(outcome: ClassOutcome) -> Assurance | None:
    """The level that the weakest erased item reaches; None where nothing was erased or one item reaches none (R6)."""
    levels = {assurance_of(gone) for gone, count in outcome.erased.items() if count}
    if not levels or None in levels:
        return None
    return min(level for level in levels if level is not None)


def _ordered(content: CertificateContent) -> Iterator[Claim]:
    order, summary = content.order, content.plan_summary
    yield Claim(
        "order",
        RECOMPUTABLE,
        f"The log shows that order {order.id} of {order.authority} was opened against source {order.source}"
        + (
            "."
            if order.kind is OrderKind.INSTRUMENT
            else f", for {int(order.selector['items']):,} items past their time."
        ),
        order.as_json(),
    )
    yield Claim(
        "scope",
        OBSERVED,
        "The operator's books count the scope of the order as the plan states it, by class of data.",
        {o.data_class: o.scope for o in content.outcomes},
    )
    yield Claim(
        "plan",
        RECOMPUTABLE,
        f"Plan {content.plan_id}, made by {summary['author']}, has this digest; it is the plan embedded beside this statement.",
        {"id": content.plan_id, "author": summary["author"], "sha256": digest(summary)},
    )
    if "conflicts" in summary:
        paths = [str(path["words"]) for path in summary["conflicts"]]
        none = "The operator's books hold no declared interest that leads to a party of the hand-over"
        yield Claim(
            "interests",
            OBSERVED,
            _listing("The operator's books hold these interests that lead to a party of the hand-over", none, paths),
            summary["conflicts"],
        )
    for person, approval in content.approvals:
        yield Claim(
            f"approval/{person.id}",
            RECOMPUTABLE,
            f"{person.name}, {person.title}, {person.organisation}, signed the plan's digest.",
            {
                "person": person.id,
                "name": person.name,
                "title": person.title,
                "organisation": person.organisation,
                "public_key": person.public_key,
                "signature": approval.signature,
                "at": approval.at,
            },
        )


def _done(content: CertificateContent) -> Iterator[Claim]:
    for outcome in content.outcomes:
        yield _outcome(outcome)
    before, after = content.retained_set.root_before, content.retained_set.root_after
    yield Claim(
        "retained-set",
        OBSERVED,
        f"The {content.retained_set.items:,} items that had to stay have the same Merkle root before and after."
        if before == after
        else f"The {content.retained_set.items:,} items that had to stay changed: their roots before and after differ.",
        asdict(content.retained_set),
    )
    for place in content.places:
        yield _place(place)
    yield Claim(
        "methods",
        OBSERVED,
        f"Erased by: {'; '.join(dict.fromkeys(m.technique for m in content.methods))}.",
        [asdict(m) for m in content.methods],
    )
    for model in content.models:
        yield _model(model)
    yield _evaluation(content)
    yield _deadlines(content)


def _outcome(outcome: ClassOutcome) -> Claim:
    erased = {gone.step: count for gone, count in sorted(outcome.erased.items()) if count}
    level = assurance_reached(outcome)
    total = sum(erased.values())
    rest = [f"{n:,} {word}" for n, word in ((outcome.absent, "were absent already"), (outcome.retained, "are retained"),
                                            (outcome.failed, "failed")) if n]  # fmt: skip
    return Claim(
        f"outcome/{outcome.data_class}",
        OBSERVED,
        f"Of {outcome.scope:,} in class {outcome.data_class}, {total:,} were erased"
        + "".join(f", {r}" for r in rest)
        + ".",
        {
            "class": outcome.data_class,
            "scope": outcome.scope,
            "erased": total,
            "gone": erased,
            "absent": outcome.absent,
            "retained": outcome.retained,
            "failed": outcome.failed,
            "assurance": None if level is None else str(level),
            "verified": outcome.verified,
        },
    )


def _place(place: Place) -> Claim:
    found = (
        f"{place.residue_found:,} of its members still show the scope"
        if place.residue_found
        else "nothing of the scope was found"
    )
    passed = f" Passed over: {place.passed_over:,}; what was not checked says why."
    return Claim(
        f"place/{place.store}",
        OBSERVED,
        f"Store {place.store} was searched again, {place.members_searched:,} members: {found}."
        + (passed if place.passed_over else ""),
        {
            "store": place.store,
            "kind": place.kind,
            "location": place.location,
            "best_gone": place.best_gone.step,
            "keeps_history": place.keeps_history,
            "limits": list(place.limits),
            "objects_searched": place.objects_searched,
            "members_searched": place.members_searched,
            "passed_over": place.passed_over,
            "residue_found": place.residue_found,
        },
    )


def _model(model: ModelOutcome) -> Claim:
    replaced = f" and replaced by {model.replaced_by.model}" if model.replaced_by else ""
    return Claim(
        f"model/{model.model}",
        OBSERVED,
        f"Model {model.model}: {model.disposition}{replaced}.",
        {
            "model": model.model,
            "sha256": model.sha256,
            "disposition": str(model.disposition),
            "evidence": None
            if model.evidence is None
            else {"letter": model.evidence.name, "claim": str(model.evidence)},
            "conditions": list(model.conditions),
            "artefacts_destroyed": model.artefacts_destroyed,
            "replaced_by": None if model.replaced_by is None else asdict(model.replaced_by),
            "explanation": model.explanation,
            "at": model.at,
        },
    )


def _evaluation(content: CertificateContent) -> Claim:
    found = content.evaluation
    if found is None:
        return Claim("evaluation", OBSERVED, "No model was evaluated before and after.", None)
    value = asdict(found)
    value["measures"] = [_plain(asdict(m)) for m in found.measures]
    return Claim(
        "evaluation",
        OBSERVED,
        f"On {found.dataset}, {found.model_before} before and {found.model_after} after measured as listed.",
        _plain(value),
    )


def _deadlines(content: CertificateContent) -> Claim:
    due = content.order.as_json()["deadlines"]
    duties = {d.duty: d for d in content.duties}
    issued = content.times.issued[:10]
    value = []
    for name, day in due.items():
        duty = duties[name]
        done = duty.done.isoformat() if duty.done else None
        met = "nothing to do" if duty.nothing_to_do else _met(day, done, issued)
        value.append({"duty": name, "due": day, "done": done, "met": met})
    late = [v["duty"] for v in value if v["met"] == "no"]
    return Claim(
        "deadlines",
        RECOMPUTABLE,
        "The due days follow from the order's effective date and profile; the days of completion are the tool's. "
        + (f"Late: {', '.join(str(n) for n in late)}." if late else "None was missed."),
        value,
    )


def _met(due: str, done: str | None, issued: str) -> str:
    if done is None:
        return "no" if issued > due else "open"
    return "yes" if done <= due else "no"


def _left(content: CertificateContent) -> Iterator[Claim]:
    word = content.operator.name
    remains = [f"{r.count:,} {r.what} in {r.where} ({r.reason})" for r in content.residuals]
    yield Claim(
        "residuals",
        OBSERVED,
        _listing("The tool knows that this remains", "The tool knows of nothing that remains", remains),
        [asdict(r) for r in content.residuals],
    )
    open_questions = [f"{n.what} ({n.reason})" for n in content.not_verified]
    yield Claim(
        "not-verified",
        ATTESTED,
        _listing("This was not checked", "The operator names nothing that was left unchecked", open_questions),
        {"by": word, "list": [asdict(n) for n in content.not_verified]},
    )
    kept = [f"{r.count:,} of class {r.data_class} for {r.agency} under {r.basis}" for r in content.retained]
    yield Claim(
        "retained",
        ATTESTED,
        _listing("The operator declares this retained", "The operator declares nothing retained", kept),
        {"by": word, "list": [asdict(r) for r in content.retained]},
    )
    pending = [f"{b.name} with {b.holds}, expires {b.expires or 'on no stated day'}" for b in content.backups]
    yield Claim(
        "backups",
        ATTESTED,
        _listing("The operator declares these backups pending", "The operator declares no backup pending", pending),
        {"by": word, "list": [_plain(asdict(b)) for b in content.backups]},
    )
    yield _third_parties(content)
    unknown = [f"{u.count:,} {u.what} ({u.reason})" for u in content.unknown_lineage]
    yield Claim(
        "unknown-lineage",
        OBSERVED,
        _listing("The books do not show where this came from", "The books show where everything came from", unknown),
        [asdict(u) for u in content.unknown_lineage],
    )
    counted = [f"{n:,} {name.replace('_', ' ')}" for name, n in asdict(content.consent).items() if n is not None]
    yield Claim(
        "consent",
        OBSERVED,
        _listing("The books count the people of the scope so", "The books count nobody's consent", counted),
        asdict(content.consent),
    )


def _third_parties(content: CertificateContent) -> Claim:
    coverage = content.sharing_coverage
    if coverage is None:
        period = "No record shows what was shared."
        some, none = "The operator declares these recipients", "The operator declares no recipient"
    else:
        period = (
            f"This rests on {coverage.records}, which cover {coverage.start} to {coverage.end}. "
            "The operator declares that every way out is in them; what they do not cover was not checked."
        )
        some, none = "The register shows these recipients", "The register shows no recipient"
    told = [f"{r.name} ({_answered(r)})" for r in content.recipients]
    return Claim(
        "third-parties",
        ATTESTED,
        _listing(some, none, told) + f" {period}",
        {
            "by": content.operator.name,
            "list": [asdict(r) for r in content.recipients],
            "coverage": None if coverage is None else _plain(asdict(coverage)),
        },
    )


def _answered(recipient: Recipient) -> str:
    if recipient.confirmed_at:
        return "confirmed"
    return "instructed, not confirmed" if recipient.instructed_at else "not confirmed"


def _people(content: CertificateContent) -> Iterator[Claim]:
    receipts, opening = content.receipts, content.log.opening
    yield Claim(
        "receipts",
        OBSERVED,
        "No receipts were made."
        if receipts is None
        else f"{receipts.count:,} people can have a receipt under this root.",
        None if receipts is None else asdict(receipts),
    )
    yield Claim(
        "log",
        RECOMPUTABLE,
        f"The log {opening.origin} stood at {opening.size:,} entries when the order was opened, and has only grown since.",
        {
            "origin": opening.origin,
            "public_key": content.log.public_key,
            "opening": {"size": opening.size, "root": opening.root.hex()},
        },
    )
    yield Claim("times", OBSERVED, "The operator's clock showed these times, UTC.", asdict(content.times))
    yield Claim("tool", OBSERVED, f"{content.tool.name} {content.tool.version} did the work.", asdict(content.tool))
    yield Claim(
        "operator",
        ATTESTED,
        f"{content.operator.organisation} signs with this key.",
        {"by": content.operator.name, **asdict(content.operator)},
    )
    if content.supplements is not None:
        yield Claim(
            "supplements", OBSERVED, "This supplements an earlier certificate.", {"sha256": content.supplements}
        )
    yield Claim(
        "declaration",
        ATTESTED,
        "The form of 28 U.S.C. §1746 is attached, unsigned. A machine's signature does not replace a person's oath.",
        {"by": UNSIGNED, "statute": "28 U.S.C. §1746", "text": OATH, "relies_on": content.declarant_basis,
         "date": "", "name": "", "title": "", "signature": ""},
    )  # fmt: skip


def _listing(some: str, none: str, things: list[str]) -> str:
    """One sentence that names the first few; the value names all."""
    more = f"; and {len(things) - _NAMED} more" if len(things) > _NAMED else ""
    return f"{some}: {'; '.join(things[:_NAMED])}{more}." if things else f"{none}."


def _plain(value: Any) -> Any:
    """Dates as text and tuples as lists, all the way down."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
