"""What a certificate says, as plain values: the one thing that `app` fills. Times are UTC, `2026-11-23T19:57:00Z`.

Measurements are decimal strings, because whoever signs a number has to spell it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from unsee.attest.notes import Checkpoint
from unsee.core.approval import Approval
from unsee.core.evidence import ForgettingEvidence, Gone, ModelDisposition
from unsee.core.orders import Order
from unsee.core.parties import Person


@dataclass(frozen=True, slots=True)
class ClassOutcome:
    """What became of one class of data (photo, location, demographics, embedding, copy …).

    `scope` must equal the sum of `erased`, `absent`, `retained` and `failed`. `erased` counts by step of the ladder.
    """

    data_class: str
    scope: int
    erased: Mapping[Gone, int]
    absent: int = 0
    """Not there when the eraser came."""
    retained: int = 0
    """Kept; each with its basis in `CertificateContent.retained`."""
    failed: int = 0
    verified: str = ""
    """How the erased were looked for again, in one sentence."""


@dataclass(frozen=True, slots=True)
class RetainedSet:
    """The commitment to what had to stay: its Merkle root before and after."""

    items: int
    root_before: str
    root_after: str


@dataclass(frozen=True, slots=True)
class Place:
    """One store that was searched; `limits` repeats its capability word by word."""

    store: str
    kind: str
    location: str
    best_gone: Gone
    keeps_history: bool
    limits: tuple[str, ...]
    objects_searched: int
    members_searched: int
    passed_over: int = 0
    """Links, devices and unreadable members, which are listed in `not_verified` or `residuals`."""
    residue_found: int = 0
    """Members of the scope that the verification still found."""


@dataclass(frozen=True, slots=True)
class Method:
    """How one kind of thing was erased, in the words of NIST SP 800-88 r2 (`clear`, `purge`, `destroy`, or `none`)."""

    applies_to: str
    technique: str
    nist: str
    tool: str
    verification: str


@dataclass(frozen=True, slots=True)
class Replacement:
    """A model that exists in place of one that went; `sha256` is over its weights and becomes a subject."""

    model: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ModelOutcome:
    """The one disposition of one affected model (R10)."""

    model: str
    sha256: str
    """Of the weights as they were."""
    disposition: ModelDisposition
    evidence: ForgettingEvidence | None
    conditions: tuple[str, ...] = ()
    artefacts_destroyed: int = 0
    replaced_by: Replacement | None = None
    explanation: str = ""
    """Demanded where the disposition is infeasible or outside the model scope."""
    at: str | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """One number before and after, as decimal strings; intervals are (low, high)."""

    metric: str
    group: str
    before: str
    after: str
    before_interval: tuple[str, str] | None = None
    after_interval: tuple[str, str] | None = None
    control: str | None = None
    """The same number after losing as many random photos: what the size alone costs."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Accuracy and group differences before and after (R14)."""

    dataset: str
    model_before: str
    model_after: str
    measures: tuple[Measure, ...]
    interval: str = "95 % bootstrap over people"
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Residual:
    """Something that is known to remain."""

    what: str
    count: int
    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class NotVerified:
    """Something that nobody looked at."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class Retained:
    """Something that stays because an agency, law or order requires it (R25)."""

    data_class: str
    count: int
    basis: str
    agency: str
    reason: str


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that may still hold bytes of the scope (R7)."""

    name: str
    holds: str
    expires: date | None
    handling: str


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody to whom data or models went (R15), and what they answered (R16)."""

    name: str
    address: str
    phone: str
    received: str
    instructed_at: str | None = None
    response: str = ""
    confirmed_at: str | None = None


@dataclass(frozen=True, slots=True)
class Coverage:
    """The period and the records that a statement on sharing rests on (R18)."""

    start: date
    end: date
    records: str


@dataclass(frozen=True, slots=True)
class UnknownLineage:
    """Something whose origin the books do not show (R4)."""

    what: str
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class ConsentCounts:
    """People of the scope, counted (R24); None where the books do not know."""

    notified: int | None = None
    consented: int | None = None
    declined: int | None = None
    silent: int | None = None
    asked_for_deletion: int | None = None
    asked_questions: int | None = None


@dataclass(frozen=True, slots=True)
class Duty:
    """One class of the order's deadlines (`data`, `embeddings`, `models`, `third-parties`) and the day it was met."""

    duty: str
    done: date | None
    nothing_to_do: bool = False


@dataclass(frozen=True, slots=True)
class Times:
    """When it happened, each not before the one above it."""

    order_opened: str
    planned: str
    apply_started: str
    apply_ended: str
    verified: str
    issued: str


@dataclass(frozen=True, slots=True)
class Operator:
    """Who signs for the organisation, and the Ed25519 public key (hexadecimal) that signs the envelope."""

    organisation: str
    name: str
    title: str
    public_key: str


@dataclass(frozen=True, slots=True)
class Tool:
    """What did the work."""

    name: str
    version: str
    python: str
    platform: str


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """The log, its public key (hexadecimal), and the checkpoint that stood when the order was opened."""

    public_key: str
    opening: Checkpoint


@dataclass(frozen=True, slots=True)
class ReceiptsRoot:
    """The Merkle root over everybody's receipts."""

    count: int
    root: str


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that exists afterwards, by digest."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class CertificateContent:
    """All that a certificate says. No field has a default that could hide an omission: say "none" with an empty tuple."""

    id: str
    order: Order
    plan_id: str
    plan_summary: Mapping[str, Any]
    """The plan's canonical summary; its digest is what approvers signed. See docs/certificate.md for the keys it needs."""
    approvals: tuple[tuple[Person, Approval], ...]
    outcomes: tuple[ClassOutcome, ...]
    retained_set: RetainedSet
    places: tuple[Place, ...]
    methods: tuple[Method, ...]
    models: tuple[ModelOutcome, ...]
    evaluation: Evaluation | None
    residuals: tuple[Residual, ...]
    not_verified: tuple[NotVerified, ...]
    retained: tuple[Retained, ...]
    backups: tuple[Backup, ...]
    recipients: tuple[Recipient, ...]
    sharing_coverage: Coverage | None
    unknown_lineage: tuple[UnknownLineage, ...]
    consent: ConsentCounts
    duties: tuple[Duty, ...]
    times: Times
    operator: Operator
    tool: Tool
    log: LogIdentity
    receipts: ReceiptsRoot | None
    declarant_basis: str
    """What the person who will sign the declaration relies on: own knowledge, or named experts (R23)."""
    supplements: str | None
    """SHA-256 of the payload of the certificate that this one supplements (R27); None for a first one."""
    other_subjects: tuple[Subject, ...] = ()
