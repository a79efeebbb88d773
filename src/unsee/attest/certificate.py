"""The signed statement: an in-toto Statement v1 whose predicate is a list of claims, each alone on its line.

docs/certificate.md specifies every byte. The layout is fixed so that after one changed byte a verifier can still say which
claim broke, even when the text is no JSON any more.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

from unsee.attest.approvals import approval_fits
from unsee.attest.claims import claims_of
from unsee.attest.content import CertificateContent, Subject
from unsee.attest.keys import PublicKey
from unsee.core import merkle
from unsee.core.approval import NEEDED, objection
from unsee.core.canonical import canonical_json, digest
from unsee.core.errors import ApprovalRefused, InvalidValue, Tampered
from unsee.core.evidence import Claim, ModelDisposition
from unsee.core.ids import PersonId
from unsee.core.parties import Holding, Interest

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "urn:unsee:predicate:erasure-certificate:v1"
STATEMENT_ID: Final = "@statement"
"""The id of the first line in the claim tree: type, subjects and certificate id."""
NIST_TERMS: Final = ("clear", "purge", "destroy", "none")
PLAN_KEYS: Final = ("order", "author", "parties", "interests", "scope", "models")
_CLOSING = b"}}}"
_HEX = re.compile(r"[0-9a-f]{64}")
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?(e-?[0-9]+)?")
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Statement:
    """A payload, ready to be signed, with its lines (statement first, then one a claim) and the ids of the claims."""

    certificate: str
    order: str
    payload: bytes
    ids: tuple[str, ...]
    lines: tuple[bytes, ...]

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the payload."""
        return hashlib.sha256(self.payload).hexdigest()

    @property
    def claim_tree(self) -> list[dict[str, str]]:
        """Id and leaf hash (RFC 6962) of each line."""
        return [
            {"id": name, "sha256": merkle.leaf_hash(line).hex()}
            for name, line in zip(self.ids, self.lines, strict=True)
        ]

    @property
    def claim_tree_root(self) -> str:
        """Root over the lines, hexadecimal."""
        return merkle.root(self.lines).hex()

    def issued_fields(self) -> dict[str, str]:
        """What the fact `CertificateIssued` says, besides its kind and time: the log commits to this statement with it."""
        return {
            "certificate": self.certificate,
            "order": self.order,
            "payload_sha256": self.sha256,
            "claim_tree_root": self.claim_tree_root,
        }


def build(content: CertificateContent) -> Statement:
    """The statement over `content`. The same content gives the same bytes.

    Raises:
        InvalidValue: the content contradicts itself or omits something; the field is named.
        ApprovalRefused: the plan lacks two people who may approve it.
        Tampered: an approval's signature does not fit the plan.
    """
    _check(content)
    return lay_out(content.id, content.order.id, _subjects(content), claims_of(content))


def lay_out(certificate: str, order: str, subjects: Iterable[Subject], claims: Iterable[Claim]) -> Statement:
    """The bytes of a statement, one line a claim."""
    named = [{"digest": {"sha256": s.sha256}, "name": s.name} for s in subjects]
    head = b'{"_type":%b,"subject":%b,"predicateType":%b,"predicate":{"id":%b,"claims":{' % (
        canonical_json(STATEMENT_TYPE),
        canonical_json(named),
        canonical_json(PREDICATE_TYPE),
        canonical_json(certificate),
    )
    spelled = [(c.id, canonical_json(c.id) + b":" + canonical_json(c.as_json())) for c in claims]
    body = b",\n".join(line for _, line in spelled)
    return Statement(
        certificate,
        order,
        head + b"\n" + body + b"\n" + _CLOSING + b"\n",
        (STATEMENT_ID, *(name for name, _ in spelled)),
        (head, *(line for _, line in spelled)),
    )


def _subjects(content: CertificateContent) -> list[Subject]:
    """What exists afterwards: consumers match an in-toto subject by its digest."""
    models = [Subject(f"model/{m.replaced_by.model}", m.replaced_by.sha256) for m in content.models if m.replaced_by]
    return [Subject("retained-set", content.retained_set.root_after), *dict.fromkeys(models), *content.other_subjects]


# ---- what a certificate must not say


def _check(content: CertificateContent) -> None:
    _check_counts(content)
    _check_models(content)
    _check_plan(content)
    _check_approvals(content)
    _check_words(content)
    _unique("claims", [c.id for c in claims_of(content)])
    for subject in _subjects(content):
        if not _HEX.fullmatch(subject.sha256):
            raise _no(f"subject {subject.name}", "its digest is not 64 hexadecimal digits")
    _unique("subjects", [s.name for s in _subjects(content)])


def _check_counts(content: CertificateContent) -> None:
    _unique("outcomes", [o.data_class for o in content.outcomes])
    kept: Counter[str] = Counter()
    for entry in content.retained:
        kept[entry.data_class] += entry.count
    for outcome in content.outcomes:
        numbers = [outcome.scope, outcome.absent, outcome.retained, outcome.failed, *outcome.erased.values()]
        total = sum(outcome.erased.values()) + outcome.absent + outcome.retained + outcome.failed
        if min(numbers) < 0 or total != outcome.scope:
            raise _no(
                f"outcomes, class {outcome.data_class}",
                f"erased, absent, retained and failed make {total}, the scope holds {outcome.scope}",
            )
        if kept.pop(outcome.data_class, 0) != outcome.retained:
            raise _no("retained", f"what is listed of class {outcome.data_class} does not make {outcome.retained}")
        if outcome.failed and not content.residuals:
            raise _no("residuals", f"{outcome.failed} of class {outcome.data_class} failed and no residual is named")
    if kept:
        raise _no("retained", f"class {next(iter(kept))} has no outcome")
    for place in content.places:
        if place.residue_found and not content.residuals:
            raise _no("residuals", f"store {place.store} still holds {place.residue_found} and no residual is named")


def _check_models(content: CertificateContent) -> None:
    _unique("models", [m.model for m in content.models])
    for model in content.models:
        name, disposition = f"models, {model.model}", model.disposition
        if disposition is ModelDisposition.RETRAINED and model.replaced_by is None:
            raise _no(name, "a retrained model names its replacement")
        if disposition is ModelDisposition.UNLEARNED and model.evidence is None:
            raise _no(name, "an unlearned model carries its evidence letter (R10)")
        if disposition in {ModelDisposition.INFEASIBLE, ModelDisposition.OUT_OF_SCOPE} and not model.explanation:
            raise _no(name, f"{disposition} demands an explanation (R10)")


def _check_plan(content: CertificateContent) -> None:
    summary = content.plan_summary
    for key in PLAN_KEYS:
        if key not in summary:
            raise _no("plan_summary", f"the key {key!r} is missing; docs/certificate.md lists what a plan must state")
    if summary["order"] != content.order.as_json():
        raise _no("plan_summary", f"its order is not {content.order.id} as this certificate states it")
    if summary["scope"] != {o.data_class: o.scope for o in content.outcomes}:
        raise _no("outcomes", "the scope by class is not the plan's")
    planned = sorted(str(m["id"]) for m in summary["models"])
    if planned != sorted(m.model for m in content.models):
        raise _no("models", f"the plan names {planned}; each of them needs exactly one disposition (R10)")
    due = set(content.order.as_json()["deadlines"])
    if {d.duty for d in content.duties} != due or len(content.duties) != len(due):
        raise _no("duties", f"the order sets deadlines for {sorted(due)}; each needs one entry")


def _check_approvals(content: CertificateContent) -> None:
    plan = digest(content.plan_summary)
    seen: list[PersonId] = []
    for person, approval in content.approvals:
        against = objection(
            person.id,
            author=content.plan_summary["author"],
            parties=content.plan_summary["parties"],
            interests=[
                Interest(i["holder"], i["organisation"], i["kind"], content.order.effective, i["person"])
                for i in content.plan_summary["interests"]
            ],
            holdings=[
                Holding(h["holder"], h["held"], h["kind"], content.order.effective)
                for h in content.plan_summary.get("holdings", ())
            ],
            already=seen,
        )
        if against is not None:
            raise ApprovalRefused(f"{against}.", next_step="Have another person approve the plan.")
        if person.id != approval.person:
            raise _no(f"approvals, {person.id}", f"the signature beside it is of {approval.person}")
        if not approval_fits(PublicKey.from_hex(person.public_key), plan, person.id, approval.signature):
            raise Tampered(
                f"The approval of {person.id} does not fit plan {content.plan_id}.",
                next_step="The plan changed after it was approved, or the key is not this person's.",
            )
        seen.append(person.id)
    _unique("approvals: keys", [p.public_key for p, _ in content.approvals])
    if len(seen) < NEEDED:
        raise ApprovalRefused(
            f"Plan {content.plan_id} has {len(seen)} approval(s); {NEEDED} are needed.",
            next_step="Have another person approve the plan.",
        )


def _check_words(content: CertificateContent) -> None:
    for method in content.methods:
        if method.nist not in NIST_TERMS:
            raise _no(f"methods, {method.applies_to}", f"{method.nist!r} is none of {', '.join(NIST_TERMS)}")
    for measure in content.evaluation.measures if content.evaluation else ():
        numbers = [measure.before, measure.after, *(measure.before_interval or ()), *(measure.after_interval or ())]
        for number in [*numbers, *([measure.control] if measure.control is not None else [])]:
            if not _DECIMAL.fullmatch(number):
                raise _no(f"evaluation, {measure.metric} of {measure.group}", f"{number!r} is no decimal number")
    last = ""
    for name, moment in asdict(content.times).items():
        try:
            datetime.strptime(moment, _TIME)
        except ValueError:
            raise _no(f"times.{name}", f"{moment!r} is not written as 2026-11-23T19:57:00Z") from None
        if moment < last:
            raise _no(f"times.{name}", f"{moment} lies before the step that it follows ({last})")
        last = moment
    for name, text in (("retained_set", content.retained_set.root_before), ("operator", content.operator.public_key)):
        if not _HEX.fullmatch(text):
            raise _no(name, "a root or key is not 64 hexadecimal digits")


def _unique(field: str, names: list[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise _no(field, f"{name} is there {count} times")


def _no(field: str, why: str) -> InvalidValue:
    return InvalidValue(f"No certificate can be made: {field}: {why}.", next_step="Mend the facts, then certify again.")
