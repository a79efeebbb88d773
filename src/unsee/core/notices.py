"""The notice that a person saw before they said yes: what it told them (R29, R36)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date

from unsee.core.purposes import any_covers


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice in one language. Another text is another notice, with an id of its own: nothing is edited."""

    id: str
    language: str
    text_sha256: str
    published_on: date
    controllers: tuple[str, ...]
    purposes: tuple[str, ...]
    data_types: tuple[str, ...]
    recipients: tuple[str, ...]
    storage: str
    retention: str
    withdrawal_method: str
    separate_from_terms: bool = False
    """Whether it stands apart from terms of service: accepting broad terms is not consent (R29)."""
    sharing_disclosed: bool = False

    def states(self, purpose: str) -> bool:
        """Whether it tells of a purpose, or of one above it."""
        return any_covers(self.purposes, purpose)

    def as_json(self) -> dict[str, object]:
        """As printed."""
        return {**asdict(self), "published_on": self.published_on.isoformat()}
