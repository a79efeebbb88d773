"""A whole certificate of a made-up order, with fixed keys, salts and times. For tests only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from unsee.attest import certificate
from unsee.attest.approvals import sign_approval
from unsee.attest.bundle import LogEvidence, LoggedRecord, PdfSeal, bundle, log_evidence
from unsee.attest.certificate import Statement
from unsee.attest.content import (
    Backup,
    CertificateContent,
    ClassOutcome,
    ConsentCounts,
    Coverage,
    Duty,
    Evaluation,
    LogIdentity,
    Measure,
    Method,
    ModelOutcome,
    NotVerified,
    Operator,
    Place,
    ReceiptsRoot,
    Recipient,
    Replacement,
    Residual,
    Retained,
    RetainedSet,
    Times,
    Tool,
    UnknownLineage,
)
from unsee.attest.dsse import Envelope
from unsee.attest.keys import SigningKey
from unsee.attest.log import Log, commit
from unsee.attest.receipts import OrderTerms, PersonOutcome, Receipts, derive, gather
from unsee.core.approval import Approval
from unsee.core.canonical import canonical_json, digest
from unsee.core.evidence import ForgettingEvidence, Gone, ModelDisposition
from unsee.core.ids import OrderId, PersonId, SourceId
from unsee.core.orders import Order
from unsee.core.parties import Person

ORIGIN = "log.facelab.example/unsee"
RECEIPT_KEY = hashlib.sha256(b"receipts").digest()


def key(name: str) -> SigningKey:
    """A key that is the same in every run."""
    return SigningKey.generate(lambda n: hashlib.sha256(b"test key of " + name.encode()).digest()[:n])


def fixed(name: str) -> str:
    """A digest that is the same in every run."""
    return hashlib.sha256(name.encode()).hexdigest()


ORDER = Order(
    id=OrderId("o-0001"),
    source=SourceId("okcupid-2014"),
    profile="ftc-everalbum",
    authority="Federal Trade Commission",
    instrument_name="order.pdf",
    instrument_sha256=fixed("order.pdf"),
    effective=date(2026, 11, 2),
    opened_by=PersonId("olga"),
)
PEOPLE = {
    "dana": Person(
        PersonId("dana"), "Dana Whitfield", "Data protection officer", "Facelab Inc.", key("dana").public.hex
    ),
    "marc": Person(PersonId("marc"), "Marc Delacroix", "External auditor", "Audit & Söhne", key("marc").public.hex),
}
SUMMARY: dict[str, Any] = {
    "schema": "unsee/plan/1",
    "id": "p-0001",
    "order": ORDER.as_json(),
    "author": "olga",
    "made_at": "2026-11-03T09:00:00Z",
    "parties": ["Humor Rainbow Inc.", "Facelab Inc."],
    "interests": [
        {"person": "felix", "holder": "Felix Founder", "organisation": "Humor Rainbow Inc.", "kind": "equity"}
    ],
    "scope": {"photo": 6000, "location": 6000, "demographics": 6000, "copy": 412},
    "models": [{"id": "recogniser-2014"}, {"id": "age-2016"}],
}


def people() -> list[PersonOutcome]:
    """Eleven people with a receipt."""
    return [
        PersonOutcome(
            hashlib.sha256(b"person %d" % n).digest(),
            "partly-erased" if n == 3 else "erased",
            {"photo": {"erased": 20 + n, "absent": 0, "retained": 2 if n == 3 else 0, "failed": 0}},
            "litigation hold 3:26-cv-00996" if n == 3 else "",
        )
        for n in range(11)
    ]


def terms(certificate_id: str = "c-0001", order: str = "o-0001") -> OrderTerms:
    return OrderTerms(
        order=order,
        certificate=certificate_id,
        controller="Facelab Inc., 1 Main St, Dallas",
        request_date="2026-11-02",
        decided_at="2026-11-05",
        model_effect="Two models were destroyed; one was retrained without your photos.",
        model_effect_at="2026-11-04",
        backup_expiry="2026-12-31",
        recipients_told=("Cloudy GmbH",),
        suppressed=True,
        complaint_route="ftc.gov/complaint",
    )


def receipts(certificate_id: str = "c-0001", order: str = "o-0001") -> Receipts:
    return gather(RECEIPT_KEY, terms(certificate_id, order), people())


def approval(person: str, summary: dict[str, Any]) -> tuple[Person, Approval]:
    who = PEOPLE[person]
    return who, Approval(who.id, sign_approval(key(person), digest(summary), who.id), "2026-11-03T10:00:00Z")


def content(log: LogIdentity, summary: dict[str, Any] = SUMMARY) -> CertificateContent:
    """The story of the demo, in small."""
    found = receipts()
    return CertificateContent(
        id="c-0001",
        order=ORDER,
        plan_id="p-0001",
        plan_summary=summary,
        approvals=(approval("dana", summary), approval("marc", summary)),
        outcomes=(
            ClassOutcome(
                "photo", 6000, {Gone.D2: 5990}, absent=8, retained=2, verified="Every store was walked again."
            ),
            ClassOutcome("location", 6000, {Gone.D1: 6000}, verified="The rows were counted again."),
            ClassOutcome("demographics", 6000, {Gone.D1: 6000}, verified="The rows were counted again."),
            ClassOutcome(
                "copy", 412, {Gone.D2: 411}, failed=1, verified="Near-copies were searched by perceptual hash."
            ),
        ),
        retained_set=RetainedSet(8200, fixed("retained"), fixed("retained")),
        places=(
            Place(
                "lake",
                "files",
                "/srv/photos",
                Gone.D2,
                False,
                ("Does not see snapshots of the file system below it.", "Does not reach bytes that a device remapped."),
                311,
                14200,
                passed_over=3,
                residue_found=1,
            ),
            Place("thumbs", "files", "/srv/thumbs", Gone.D2, False, ("Does not see snapshots below it.",), 40, 8612),
        ),
        methods=(
            Method("loose files", "unlink, directory fsynced", "none", "unsee 0.1.0", "walked again and looked up"),
            Method("model weights", "overwritten once, then unlinked", "clear", "unsee 0.1.0", "walked again"),
        ),
        models=(
            ModelOutcome(
                "recogniser-2014",
                fixed("recogniser-2014"),
                ModelDisposition.RETRAINED,
                ForgettingEvidence.E,
                ("Retrained from nothing on the retained set; the replay was not byte-equal.",),
                7,
                Replacement("recogniser-2026", fixed("recogniser-2026")),
                at="2026-11-04T12:00:00Z",
            ),
            ModelOutcome("age-2016", fixed("age-2016"), ModelDisposition.DESTROYED, ForgettingEvidence.E, (), 3),
        ),
        evaluation=Evaluation(
            "held-out-2014",
            "recogniser-2014",
            "recogniser-2026",
            (
                Measure("TAR@FAR=1e-3", "all", "0.912", "0.874", ("0.897", "0.925"), ("0.856", "0.891"), "0.901"),
                Measure(
                    "TAR@FAR=1e-3", "skin tone I–II", "0.931", "0.921", ("0.912", "0.949"), ("0.9", "0.94"), "0.925"
                ),
                Measure(
                    "TAR@FAR=1e-3", "skin tone V–VI", "0.893", "0.801", ("0.87", "0.916"), ("0.77", "0.83"), "0.88"
                ),
                Measure("EER", "all", "0.031", "0.042", ("0.027", "0.035"), ("0.037", "0.047"), "0.034"),
                Measure("rank-1", "all", "0.958", "0.931", None, None, None),
            ),
            remarks=("The control loses as many photos, drawn at random.",),
        ),
        residuals=(Residual("near-copy", 1, "lake: tmp/IMG_0042.jpg", "the file is read-only to the operator"),),
        not_verified=(
            NotVerified("employees' laptops", "no store is registered for them"),
            NotVerified("device remapping", "out of reach of any tool above the disk"),
        ),
        retained=(
            Retained("photo", 2, "litigation hold 3:26-cv-00996", "N.D. Tex.", "evidence; any other use is barred"),
        ),
        backups=(Backup("tape 2026-10", "photos of 2014", date(2026, 12, 31), "expires; erased again on restore"),),
        recipients=(
            Recipient(
                "Cloudy GmbH", "Weg 1, Köln", "+49 221 000", "600 photos", "2026-11-03T11:00:00Z", "deleted", None
            ),
        ),
        sharing_coverage=Coverage(date(2019, 1, 1), date(2026, 11, 5), "disclosure register and egress log"),
        unknown_lineage=(UnknownLineage("model attic.pt", 1, "found on disk, no run is recorded"),),
        consent=ConsentCounts(notified=0, consented=0, declined=0, silent=211, asked_for_deletion=14),
        duties=(
            Duty("data", date(2026, 11, 4)),
            Duty("embeddings", None, nothing_to_do=True),
            Duty("models", date(2026, 11, 4)),
        ),
        times=Times(
            "2026-11-02T08:00:00Z",
            "2026-11-03T09:00:00Z",
            "2026-11-04T08:00:00Z",
            "2026-11-04T12:30:00Z",
            "2026-11-05T07:00:00Z",
            "2026-11-05T09:00:00Z",
        ),
        operator=Operator("Facelab Inc.", "Olga Petrova", "Head of data", key("operator").public.hex),
        tool=Tool("unsee", "0.1.0", "3.11.2", "Linux x86_64"),
        log=log,
        receipts=ReceiptsRoot(found.count, found.root.hex()),
        declarant_basis="own knowledge, and the report of Marc Delacroix, external auditor",
        supplements=None,
    )


@dataclass
class Example:
    """A log in which the story of one order lies, and what was made of it."""

    log: Log
    identity: LogIdentity
    opening_note: str
    records: list[LoggedRecord]

    def fact(self, kind: str, **fields: Any) -> LoggedRecord:
        """Write one fact into the log as the books' outbox would."""
        size = self.log.checkpoint().size
        record = canonical_json({"fact": kind, "at": "2026-11-05T09:00:00Z", **fields})
        salt = hashlib.sha256(b"salt %d" % size).digest()
        self.log.append([commit(salt, record)])
        self.records.append(LoggedRecord(kind, record.decode(), salt, size))
        return self.records[-1]

    def issue(
        self,
        statement: Statement,
        *,
        summary: dict[str, Any] = SUMMARY,
        pdf: Callable[[Statement, Envelope], bytes] | None = None,
        log_it: bool = True,
        signer: str = "operator",
    ) -> tuple[bytes, bytes | None]:
        """Log, sign and bundle a statement; returns certificate.json and the PDF."""
        if log_it:
            self.fact("CertificateIssued", **statement.issued_fields())
        envelope = Envelope(statement.payload).signed_by(key(signer))
        printed = pdf(statement, envelope) if pdf else None
        seal = PdfSeal.of(statement, printed, key(signer)) if printed is not None else None
        evidence: LogEvidence = log_evidence(self.log, self.opening_note, self.identity.opening.size, self.records)
        return bundle(statement, envelope, plan_summary=summary, log=evidence, pdf=seal), printed


def begin(directory: Path, *, summary: dict[str, Any] = SUMMARY, earlier: int = 300) -> Example:
    """A log with `earlier` other entries, then the order, the plan and its approvals."""
    log = Log.create(directory, ORIGIN, key("log"))
    log.append([hashlib.sha256(b"other %d" % n).digest() for n in range(earlier)])
    example = Example(log, LogIdentity("", log.checkpoint()), "", [])
    order = summary["order"]
    example.fact("OrderOpened", order=order["id"], instrument=order, items=sum(summary["scope"].values()), by="olga")
    example.identity = LogIdentity(log.public_key.hex, log.checkpoint())
    example.opening_note = log.note()
    example.fact("PlanMade", plan="p-0001", order=order["id"], digest=digest(summary), by=summary["author"])
    for person in ("dana", "marc"):
        signed = approval(person, summary)[1]
        example.fact("PlanApproved", plan="p-0001", digest=digest(summary), by=person, signature=signed.signature)
    return example


def example_certificate(directory: Path, **changes: Any) -> bytes:
    """A whole certificate.json, without a PDF."""
    example = begin(directory)
    statement = certificate.build(replace(content(example.identity), **changes))
    return example.issue(statement)[0]


def example_receipt(person: int, payload_sha256: str) -> bytes:
    return derive(RECEIPT_KEY, receipts(), people()[person], payload_sha256=payload_sha256)
