"""Sources, agreements, declared interests, and the people who act: frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from unsee.core.ids import AgreementId, PersonId, SourceId


class SourceKind(StrEnum):
    """Where photos come from. Untargeted scraping is no kind: it is refused (R39)."""

    PARTNER = "partner"
    UPLOAD = "upload"
    PANEL = "panel"
    PUBLIC_DOMAIN = "public-domain"
    SYNTHETIC = "synthetic"
    ACQUIRED_DATASET = "acquired-dataset"


@dataclass(frozen=True, slots=True)
class Source:
    """One origin of photos.

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


class AgreementStatus(StrEnum):
    """The life of an agreement; each step is a fact, the last one counts."""

    DRAFT = "draft"
    IN_REVIEW = "in-review"
    APPROVED = "approved"
    REJECTED = "rejected"
    TERMINATED = "terminated"


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
