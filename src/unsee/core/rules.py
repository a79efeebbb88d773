"""What the law of each place asks of photos of faces, as data with citations; and how long each class of data is kept.

A rule is a field of a `Jurisdiction`; `core.policy` applies every field in the same way for every jurisdiction, so a new law is a
new value here or in a file that `unsee --rules` reads, never a branch in the code. This is engineering input, not legal advice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from types import MappingProxyType
from typing import Final

PHOTO: Final = "photo"
"""The data class whose limit policy and retention apply to photos."""

CITED: Final = ("written_release", "separate_from_terms", "retention_days", "prohibited")
"""The rules of a jurisdiction: each that it sets names its citation."""


@dataclass(frozen=True, slots=True)
class Entry:
    """How long one class of data is kept, counted from the day of collection, and what that rests on."""

    days: int
    basis: str


@dataclass(frozen=True, slots=True)
class Jurisdiction:
    """The rules of one place. A rule that it does not set is at its default and has no citation."""

    id: str
    name: str
    covers: tuple[str, ...] = ()
    """Further codes that mean this jurisdiction: the member states of a union."""
    written_release: bool = False
    """Only a consent with a written release counts, whatever else the use rests on (R30)."""
    separate_from_terms: bool = False
    """Only a consent that was asked apart from other matters counts (R29)."""
    retention_days: Mapping[str, int] = field(default_factory=dict)
    """The longest time that each class of data may be kept, in days from its collection (R31)."""
    prohibited: tuple[str, ...] = ()
    """Purposes that nobody's consent opens."""
    citations: Mapping[str, str] = field(default_factory=dict)
    """For each rule that is set, its source: keys are those of `CITED`."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class RuleBook:
    """The jurisdictions that are known, and the retention schedule by data class. An empty one asks nothing."""

    jurisdictions: tuple[Jurisdiction, ...] = ()
    schedule: Mapping[str, Entry] = field(default_factory=dict)

    def jurisdiction(self, code: str) -> Jurisdiction | None:
        """The jurisdiction of a code: its own id, one that it covers, or that of the wider place (`DE-BY` lies in `DE`).

        Codes are read without regard to case. None: no rules are known for it.
        """
        place = code.strip().upper()
        while place:
            for one in self.jurisdictions:
                if place == one.id.upper() or place in one.covers:
                    return one
            place = place.rpartition("-")[0]
        return None


def past(collected_on: date, days: int, today: date) -> bool:
    """Whether what was collected then has been kept longer than `days`; the last day still counts as kept in time."""
    return today > collected_on + timedelta(days=days)


_EU = (
    *("AT", "BE", "BG", "HR", "CY", "CZ", "DK", "EE", "FI", "FR", "DE", "GR", "HU", "IE", "IT", "LV", "LT", "LU"),
    *("MT", "NL", "PL", "PT", "RO", "SK", "SI", "ES", "SE"),
    *("IS", "LI", "NO"),  # GDPR holds in the whole EEA (EEA Joint Committee Decision 154/2018)
)

NONE: Final = Jurisdiction("none", "No rule beyond agreement and consent", note="What counts where no other one does.")

JURISDICTIONS: Final = (
    Jurisdiction(
        "US-IL",
        "Illinois: Biometric Information Privacy Act (BIPA)",
        written_release=True,
        retention_days=MappingProxyType({"photo": 1095, "embedding": 1095}),
        citations=MappingProxyType(
            {
                "written_release": "740 ILCS 14/15(b)(3)",
                "retention_days": "740 ILCS 14/15(a)",
            }
        ),
        note="The law counts three years from the last interaction, and less where the purpose is met before; "
        "here they count from the day of collection, which is never later.",
    ),
    Jurisdiction(
        "US-TX",
        "Texas: Capture or Use of Biometric Identifier (CUBI)",
        retention_days=MappingProxyType({"photo": 365, "embedding": 365}),
        citations=MappingProxyType({"retention_days": "Tex. Bus. & Com. Code 503.001(c)(3)"}),
        note="The law counts one year from the end of the purpose; here it counts from the day of collection, which is never "
        "later.",
    ),
    Jurisdiction(
        "EU",
        "European Union and EEA: General Data Protection Regulation",
        covers=_EU,
        separate_from_terms=True,
        prohibited=("mass-surveillance",),
        citations=MappingProxyType(
            {
                "separate_from_terms": "Regulation (EU) 2016/679, art. 6(1)(a), 7(2) and 9(2)(a)",
                "prohibited": "Regulation (EU) 2024/1689, art. 5(1)(h)",
            }
        ),
        note="Art. 5(1)(e) sets no number of days; the retention schedule does.",
    ),
    NONE,
)

DEFAULT_SCHEDULE: Final[Mapping[str, Entry]] = MappingProxyType(
    {
        "photo": Entry(1825, "In the default schedule: at most five years (FTC v. Rite Aid)"),
        "document": Entry(1825, "In the default schedule: as long as the photos that it names"),
        "exif": Entry(1825, "In the default schedule: as long as the photos"),
        "demographics": Entry(1825, "In the default schedule: as long as the photos"),
        "location": Entry(365, "In the default schedule: one year (FTC X-Mode: never indefinite)"),
        "embedding": Entry(1095, "In the default schedule: three years (740 ILCS 14/15(a))"),
    }
)
"""What new books start with; migration 0002 gives the same to books that were there before."""

DEFAULT: Final = RuleBook(JURISDICTIONS, DEFAULT_SCHEDULE)
