"""Sources, agreements, assessments, privacy policies, declared interests, and the people who act: frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final

from unsee.core.ids import AgreementId, PersonId, SourceId


class SourceKind(StrEnum):
    """Where photos come from. Untargeted scraping is no kind: it is refused (R39)."""

    PARTNER = "partner"
    UPLOAD = "upload"
    PANEL = "panel"
    PUBLIC_DOMAIN = "public-domain"
    SYNTHETIC = "synthetic"
    ACQUIRED_DATASET = "acquired-dataset"


class Scraped(StrEnum):
    """Whether photos were collected by a crawler. `untargeted` has no member: such a source is refused (R39)."""

    NO = "no"
    TARGETED = "targeted"


@dataclass(frozen=True, slots=True)
class Source:
    """One origin of photos, with the fields of the Data & Trust Alliance's Data Provenance Standards that concern it.

    `legacy` marks photos that were taken in before books were kept, or without the agreement that intake demands today:
    they may be recorded, never used.
    """

    id: SourceId
    title: str
    kind: SourceKind
    issuer: str
    """The organisation that gives."""
    collected_on: date
    data_classes: tuple[str, ...] = ("photo",)
    geography: str = "unknown"
    legacy: bool = False
    origin: str = ""
    """Where the issuer has them from, when it did not collect them itself."""
    classification: str = ""
    """How confidential the issuer holds them to be."""
    generation_method: str = ""
    """How the pictures came to be: user upload, studio, rendered …"""
    intended_purpose: str = ""
    """What the taker wants them for, in words; what is permitted stands in agreements."""
    original_purpose: str = ""
    """What they were collected for (EU AI Act art. 10(2)(b))."""
    scraped: Scraped = Scraped.NO
    retention_days: int | None = None
    """The longest time they are kept, counted from `collected_on`; None where only the schedule of their class counts."""
    registered_on: date | None = None
    """When it entered the books; None for a value that has not."""


class AgreementStatus(StrEnum):
    """The life of an agreement; each step is a fact, the last one counts.

    `expired` is never recorded: an approved agreement is expired from the day after its term ended (`Agreement.state`).
    """

    DRAFT = "draft"
    IN_REVIEW = "in-review"
    APPROVED = "approved"
    REJECTED = "rejected"
    TERMINATED = "terminated"
    EXPIRED = "expired"


MOVES: Final[Mapping[AgreementStatus, Mapping[AgreementStatus, str]]] = {
    AgreementStatus.DRAFT: {AgreementStatus.IN_REVIEW: "submit", AgreementStatus.REJECTED: "reject"},
    AgreementStatus.IN_REVIEW: {AgreementStatus.APPROVED: "approve", AgreementStatus.REJECTED: "reject"},
    AgreementStatus.APPROVED: {AgreementStatus.APPROVED: "approve", AgreementStatus.TERMINATED: "terminate"},
    AgreementStatus.REJECTED: {},
    AgreementStatus.TERMINATED: {},
    AgreementStatus.EXPIRED: {},
}
"""Where an agreement can go from each state, and the verb that takes it there. Approving what is approved is co-signing."""


class OnwardSharing(StrEnum):
    """Whether the taker may give the data on: not at all, to the listed recipients, or to anybody."""

    NONE = "none"
    LISTED = "listed"
    ALLOWED = "allowed"


@dataclass(frozen=True, slots=True)
class Party:
    """One side of an agreement (R15: name, address; and who answers for it)."""

    name: str
    role: str = ""
    address: str = ""
    contact: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """What an agreement says besides parties, purposes and term. Silence on sharing means none."""

    onward_sharing: OnwardSharing = OnwardSharing.NONE
    recipients: tuple[str, ...] = ()
    """To whom data may go, where `onward_sharing` is `listed`."""
    geography: tuple[str, ...] = ()
    """Where the data may be; empty: nothing was agreed."""
    deletion_on_termination: bool = False
    consideration: str = ""
    """What is given for the data: a price, a service, nothing."""
    recipient_category: str = ""
    """What the taker is in the words of the giver's privacy policy (R34)."""
    channel: str = ""
    """How the data is to be delivered."""
    parties: tuple[Party, ...] = ()


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the giver and the taker agreed about one source.

    `basis` is `consent` (each person's own consent is needed besides) or `no-data-subject` (nobody is shown: synthetic).
    """

    id: AgreementId
    source: SourceId
    parties: tuple[str, ...]
    purposes: tuple[str, ...]
    valid_from: date
    valid_until: date | None
    document_sha256: str
    basis: str = "consent"
    prohibitions: tuple[str, ...] = ()
    status: AgreementStatus = AgreementStatus.DRAFT
    """The last recorded step; reports print `state`, which knows of expiry."""
    terms: Terms = field(default_factory=Terms)

    def state(self, day: date) -> AgreementStatus:
        """Its state on `day`: the last recorded step, or `expired` where it was approved and its term is over."""
        over = self.valid_until is not None and self.valid_until < day
        return AgreementStatus.EXPIRED if over and self.status is AgreementStatus.APPROVED else self.status

    def in_force(self, day: date) -> bool:
        """Whether it is approved and `day` lies within its term. Its last day counts."""
        return (
            self.status is AgreementStatus.APPROVED
            and self.valid_from <= day
            and (self.valid_until is None or day <= self.valid_until)
        )


@dataclass(frozen=True, slots=True)
class Person:
    """A member of staff or an outside approver, known by an Ed25519 public key (32 bytes, hexadecimal)."""

    id: PersonId
    name: str
    title: str
    organisation: str
    public_key: str


@dataclass(frozen=True, slots=True)
class Interest:
    """A declared stake of a person in an organisation (R35)."""

    holder: str
    """Name of the person who holds it; a `Person` of the workspace is meant where `person` is given."""
    organisation: str
    kind: str
    """equity, board, family, advisory, …"""
    declared_on: date
    person: PersonId | None = None
    source: SourceId | None = None
    """The source whose hand-over it touches, where it was declared for one."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A stake of one organisation in another, along which interests reach (R35)."""

    holder: str
    held: str
    kind: str
    declared_on: date
    share: str = ""
    """How much, in percent, as it was declared; empty where nobody said."""


class AssessmentResult(StrEnum):
    """What a look at a supplier's consent evidence came to."""

    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Assessment:
    """One assessment of a supplier's consent evidence (R33)."""

    source: SourceId
    assessed_on: date
    evidence_sha256: str
    result: AssessmentResult
    next_due: date
    note: str = ""


@dataclass(frozen=True, slots=True)
class PrivacyPolicy:
    """A snapshot of the giver's privacy policy: its text by digest, and the purposes and recipients that it allows (R34)."""

    source: SourceId
    in_force_on: date
    text_sha256: str
    purposes: tuple[str, ...]
    recipient_categories: tuple[str, ...]
    url: str = ""
