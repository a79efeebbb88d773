"""Orders: who demands erasure of what, by when. Profiles are data with their citation."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from unsee.core.errors import NotFound
from unsee.core.evidence import Assurance
from unsee.core.ids import OrderId, PersonId, SourceId


class ModelScope(StrEnum):
    """What an order demands of models (R10)."""

    DESTROY = "destroy"
    DESTROY_UNLESS_INFEASIBLE = "destroy-unless-infeasible"
    NO_FUTURE_USE = "no-future-use"


@dataclass(frozen=True, slots=True)
class Profile:
    """Deadlines in days for each class, as one body of law sets them; None where it sets none.

    With `one_month` the law counts a calendar month: a deadline then ends with that month where this is earlier than its days.
    """

    id: str
    citation: str
    data_days: int | None
    embeddings_days: int | None
    models_days: int | None
    third_parties_days: int | None
    model_scope: ModelScope = ModelScope.DESTROY
    assurance: Assurance = Assurance.L1
    one_month: bool = False

    def deadlines(self, effective: date) -> dict[str, date]:
        """The last day for each class that has one, counted from the order's effective date."""
        days = {
            "data": self.data_days,
            "embeddings": self.embeddings_days,
            "models": self.models_days,
            "third-parties": self.third_parties_days,
        }
        limit = _month_after(effective) if self.one_month else date.max
        return {name: min(effective + timedelta(days=n), limit) for name, n in days.items() if n is not None}


def _month_after(day: date) -> date:
    """The day of the same number in the next month, or its last day (Regulation (EEC) 1182/71, art. 3(2)(c))."""
    year, month = day.year + day.month // 12, day.month % 12 + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


_ROWS: Final = (
    Profile("ftc-everalbum", "In re Everalbum, FTC C-4743, part III", 30, 90, 90, None),
    Profile(
        "ftc-ring", "US v. Ring, 1:23-cv-01549", 30, 90, 90, None, model_scope=ModelScope.DESTROY_UNLESS_INFEASIBLE
    ),
    Profile("ftc-rite-aid", "FTC v. Rite Aid, 2:23-cv-05023", 45, 45, 45, 60),
    Profile("ftc-ww", "US v. Kurbo and WW, 3:22-cv-00946", 30, None, 90, None),
    Profile("ftc-edmodo", "US v. Edmodo, 3:23-cv-02495", 60, None, 90, None),
    Profile("ftc-cambridge-analytica", "In re Cambridge Analytica, FTC 182-3107", 10, None, 10, 10),
    Profile("ftc-avast", "In re Avast", 20, None, 20, 20),
    Profile("ftc-mobilewalla", "In re Mobilewalla, FTC C-4811", 90, None, 120, 90),
    Profile("gdpr-17", "GDPR art. 17, 12(3) and 19", 30, 30, 30, 30, one_month=True),
    Profile("ccpa-105", "Cal. Civ. Code 1798.105, 1798.130", 45, 45, None, 45),
    # What is past its time is late already: the house gives itself a month, and three for models that have to be trained anew.
    Profile("retention", "Retention schedule; GDPR art. 5(1)(e); 740 ILCS 14/15(a)", 30, 30, 90, 30),
)
PROFILES: Final[Mapping[str, Profile]] = MappingProxyType({p.id: p for p in _ROWS})


def profile(name: str) -> Profile:
    """The profile of that name.

    Raises:
        NotFound: there is none; the error lists them.
    """
    try:
        return PROFILES[name]
    except KeyError:
        raise NotFound("order profile", name, where="", next_step="Profiles: " + ", ".join(PROFILES) + ".") from None


class OrderKind(StrEnum):
    """What an order rests on, and so what it reaches."""

    INSTRUMENT = "instrument"
    """A document that demands all of a source; what the source gives while the order is open is reached too."""
    RETENTION = "retention"
    """The time of some items of a source is over: those items, and what was derived from them."""


class OrderState(StrEnum):
    """Where an order stands; each step is a fact."""

    OPEN = "open"
    APPLIED = "applied"
    VERIFIED = "verified"
    CERTIFIED = "certified"


@dataclass(frozen=True, slots=True)
class Order:
    """A demand to erase a source, or some items of it. `selector` says how those were chosen, for people and certificates."""

    id: OrderId
    source: SourceId
    profile: str
    authority: str
    instrument_name: str
    instrument_sha256: str
    effective: date
    opened_by: PersonId
    state: OrderState = OrderState.OPEN
    kind: OrderKind = OrderKind.INSTRUMENT
    selector: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reaches(self) -> str:
        """What it demands, for people."""
        if self.kind is OrderKind.INSTRUMENT:
            return f"everything from source “{self.source}”"
        return f"what was past its time of source “{self.source}” ({int(self.selector['items']):,} items)"

    def as_json(self) -> dict[str, Any]:
        """JSON without floats: the part of a plan and a certificate that names the order."""
        law = profile(self.profile)
        return {
            "id": self.id,
            "selector": {"source": self.source, **self._chosen()},
            "profile": self.profile,
            "citation": law.citation,
            "authority": self.authority,
            "instrument": {"name": self.instrument_name, "sha256": self.instrument_sha256},
            "effective": self.effective.isoformat(),
            "deadlines": {k: d.isoformat() for k, d in law.deadlines(self.effective).items()},
            "model_scope": str(law.model_scope),
            "assurance": str(law.assurance),
        }

    def _chosen(self) -> dict[str, Any]:
        return {} if self.kind is OrderKind.INSTRUMENT else {"kind": str(self.kind), **self.selector}
