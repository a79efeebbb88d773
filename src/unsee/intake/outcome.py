"""What an intake did: every file of the folder counted once, every row of the metadata that fits no file as well."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from unsee.books.quarantine import Quarantine
from unsee.core.ids import SourceId
from unsee.intake.metadata import BadRow


@dataclass(frozen=True, slots=True)
class NotTaken:
    """A file or row that was not taken in, and why."""

    file: str
    reason: str

    def as_json(self) -> dict[str, str]:
        """As printed."""
        return {"file": self.file, "reason": self.reason}


@dataclass
class TakenIn:
    """What an intake did. Every file of the folder is counted once, every row of the metadata that fits no file as well."""

    source: SourceId
    new: int = 0
    more_copies: int = 0
    """Files with the bytes of a photo that this source has already: another copy, no new item."""
    unchanged: int = 0
    """Recorded before and not settled since: not read again."""
    suppressed: list[NotTaken] = field(default_factory=list)
    refused: list[NotTaken] = field(default_factory=list)
    left_out: list[NotTaken] = field(default_factory=list)
    rows_without_file: list[NotTaken] = field(default_factory=list)
    named: int = 0
    """Known photos whose person a changed metadata file names for the first time."""
    without_person: int = 0
    opted_out: int = 0
    consents: int = 0
    documents: int = 0
    """Metadata files that were recorded for the first time."""
    batches: int = 0
    notes: Counter[str] = field(default_factory=Counter)
    """Signals that were there and could not be read, by reason."""
    bad_rows: list[BadRow] = field(default_factory=list)
    """Rows of the metadata that break its format; the photos that they may be about are among `left_out`."""
    fields_left_out: list[str] = field(default_factory=list)
    quarantined: int = 0
    """Of the items taken in, documents too: how many went into quarantine."""
    consents_unheard: int = 0
    """Consents that the metadata of a quarantined hand-over states: they count once it is released and taken in again."""
    held: Quarantine | None = None
    """The quarantine that holds photos of this folder."""

    def as_json(self) -> dict[str, object]:
        """As printed."""
        return {
            "schema": "unsee/intake/1",
            "source": self.source,
            "new": self.new,
            "more_copies": self.more_copies,
            "unchanged": self.unchanged,
            "suppressed": [n.as_json() for n in self.suppressed],
            "refused": [n.as_json() for n in self.refused],
            "left_out": [n.as_json() for n in self.left_out],
            "rows_without_file": [n.as_json() for n in self.rows_without_file],
            "named": self.named,
            "without_person": self.without_person,
            "opted_out": self.opted_out,
            "consents": self.consents,
            "documents": self.documents,
            "batches": self.batches,
            "notes": dict(self.notes),
            "bad_rows": [b.as_json() for b in self.bad_rows],
            "fields_left_out": self.fields_left_out,
            "quarantined": self.quarantined,
            "consents_unheard": self.consents_unheard,
            "quarantine": None
            if self.held is None
            else {
                "id": self.held.id,
                "reason": self.held.reason,
                "items": len(self.held.items),
                "expires_on": self.held.expires_on.isoformat(),
            },
        }
