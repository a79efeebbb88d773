"""Which photos of a source are past their time, and by which rule: a limit on keeping, or an agreement that ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from unsee.core.ids import AgreementId, ItemSet, SourceId
from unsee.core.parties import Agreement, AgreementStatus, SourceKind
from unsee.core.policy import NO_DATA_SUBJECT, Standing, World, limits
from unsee.core.rules import PHOTO, past


@dataclass(frozen=True, slots=True)
class Due:
    """Items of one source that should be gone, by one rule. `since` is the first day on which they should have been."""

    source: SourceId
    rule: str
    citation: str
    since: date
    items: ItemSet

    def as_json(self) -> dict[str, Any]:
        """As printed and as an order names it; counts only."""
        return {
            "rule": self.rule,
            "citation": self.citation,
            "since": self.since.isoformat(),
            "items": len(self.items),
        }


def shows_nobody(standing: Standing) -> bool:
    """Whether a source's photos show nobody who exists: it is synthetic, or all that was agreed about it says so."""
    bases = {a.basis for a in standing.agreements}
    return standing.source.kind is SourceKind.SYNTHETIC or bases == {NO_DATA_SUBJECT}


def kept_too_long(standing: Standing, world: World, today: date, data_class: str = PHOTO) -> Iterator[Due]:
    """The items for which the time of one class of data is over, limit by limit; nothing where nobody is shown (R31)."""
    source = standing.source
    if shows_nobody(standing):
        return
    for limit in limits(standing, world, data_class):
        if past(source.collected_on, limit.days, today):
            since = source.collected_on + timedelta(days=limit.days + 1)
            yield Due(source.id, limit.rule, f"{limit.days:,} days: {limit.citation}", since, limit.items)


def agreement_over(standing: Standing, ended_on: Mapping[AgreementId, date], today: date) -> Iterator[Due]:
    """All of a source, where an agreement that demands deletion at its end is over and no other one is in force.

    `ended_on`: the day on which each terminated agreement was.
    """
    if any(a.in_force(today) for a in standing.agreements):
        return
    for agreement in standing.agreements:
        over = _over(agreement, ended_on, today)
        if agreement.terms.deletion_on_termination and over is not None and over <= today:
            words = f"{agreement.id} is {agreement.state(today)} and demands deletion at its end"
            yield Due(standing.source.id, "agreement", words, over, standing.items)


def scope_of(due: Sequence[Due], photos: ItemSet, documents: ItemSet) -> ItemSet:
    """What an order on these has to reach: the items, and the source's documents where no photo of it would be left.

    A document names the people of many photos; where some of them stay, it stays too.
    """
    wanted = ItemSet.union(ItemSet(), *(d.items for d in due))
    return (wanted & (photos | documents)) | (ItemSet() if photos - wanted else documents) if wanted else ItemSet()


def _over(agreement: Agreement, ended_on: Mapping[AgreementId, date], today: date) -> date | None:
    """The first day after its end."""
    state = agreement.state(today)
    if state is AgreementStatus.EXPIRED and agreement.valid_until is not None:
        return agreement.valid_until + timedelta(days=1)
    return ended_on.get(agreement.id) if state is AgreementStatus.TERMINATED else None
