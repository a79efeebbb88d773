"""Who else got it: recipients, disclosures, instructions, and the rule that freezes sharing until a recipient confirms.

Nothing here is stored as a state: who is frozen follows from what was disclosed, what orders reach and what was confirmed, in
whatever order these facts were recorded. A further disclosure or order never unfreezes anybody; only a confirmation does, and only
for what its instruction covered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from unsee.core.ids import (
    AgreementId,
    DatasetId,
    InstructionId,
    ItemSet,
    ModelId,
    OrderId,
    PersonId,
    RecipientId,
    SourceId,
)
from unsee.core.parties import Agreement, OnwardSharing
from unsee.core.purposes import any_covers, overlaps

SHARE = "share"
"""The purpose that covers giving data on."""


class DisclosureKind(StrEnum):
    """How something went out. `reader` stays in the house: the permitted reader was opened."""

    EXPORT = "export"
    SHARE = "share"
    MODEL_DELIVERY = "model-delivery"
    READER = "reader"


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody outside to whom data or models went, with what an order asks of each: name, address, phone (R15)."""

    id: RecipientId
    name: str
    address: str
    phone: str
    contact: str = ""
    category: str = "third-party"
    geography: str = ""

    def as_json(self) -> dict[str, str]:
        """As printed."""
        return {
            "id": self.id,
            "name": self.name,
            "address": self.address,
            "phone": self.phone,
            "contact": self.contact,
            "category": self.category,
            "geography": self.geography,
        }


@dataclass(frozen=True, slots=True)
class Disclosure:
    """One way out: what went to whom, when, for what, on which ground. `recipient` is None where it was read inside the house."""

    kind: DisclosureKind
    recipient: RecipientId | None
    disclosed_on: date
    items: ItemSet
    models: tuple[ModelId, ...]
    data_classes: tuple[str, ...]
    purpose: str
    basis: str
    agreement: AgreementId | None
    channel: str
    dataset: DatasetId | None
    person: PersonId
    """Who let it out, or wrote it down."""
    note: str = ""
    """That it was recorded afterwards, and what policy says to it."""
    no: int = 0
    at: str = ""
    """When it was recorded; `disclosed_on` is when it happened."""

    def as_json(self) -> dict[str, object]:
        """As printed: counts, no items."""
        return {
            "no": self.no,
            "kind": str(self.kind),
            "recipient": self.recipient,
            "on": self.disclosed_on.isoformat(),
            "items": len(self.items),
            "models": list(self.models),
            "data_classes": list(self.data_classes),
            "purpose": self.purpose,
            "basis": self.basis,
            "agreement": self.agreement,
            "channel": self.channel,
            "dataset": self.dataset,
            "by": self.person,
            "note": self.note,
            "recorded_at": self.at,
        }


@dataclass(frozen=True, slots=True)
class Reach:
    """What one order reaches: its items, and the models made from them."""

    order: OrderId
    items: ItemSet
    models: frozenset[ModelId]


@dataclass(frozen=True, slots=True)
class InstructionEvent:
    """What became of an instruction: `replied`, `confirmed`, `forwarded`."""

    event: str
    document_sha256: str | None
    note: str
    person: PersonId
    at: str


@dataclass(frozen=True, slots=True)
class Instruction:
    """What one recipient was told under one order (R16): the items and models that the pack covers, and the answers."""

    id: InstructionId
    order: OrderId
    recipient: RecipientId
    items: ItemSet
    models: tuple[ModelId, ...]
    pack_sha256: str
    due: date | None
    person: PersonId
    at: str = ""
    events: tuple[InstructionEvent, ...] = ()

    def when(self, event: str) -> str | None:
        """When that was first said of it; None where it never was."""
        return min((e.at for e in self.events if e.event == event), default=None)

    @property
    def confirmed(self) -> bool:
        """Whether the recipient's confirmation is filed."""
        return self.when("confirmed") is not None

    def as_json(self) -> dict[str, object]:
        """As printed."""
        return {
            "id": self.id,
            "order": self.order,
            "recipient": self.recipient,
            "items": len(self.items),
            "models": list(self.models),
            "pack_sha256": self.pack_sha256,
            "due": self.due.isoformat() if self.due else None,
            "by": self.person,
            "at": self.at,
            "events": [
                {"event": e.event, "document_sha256": e.document_sha256, "note": e.note, "by": e.person, "at": e.at}
                for e in self.events
            ],
        }


@dataclass(frozen=True, slots=True)
class Received:
    """What one recipient got of some items and models: the intersections, and the disclosures they come from, oldest first."""

    recipient: RecipientId
    items: ItemSet
    models: tuple[ModelId, ...]
    disclosures: tuple[Disclosure, ...]

    @property
    def data_classes(self) -> tuple[str, ...]:
        """Every class that came along."""
        return tuple(sorted({c for d in self.disclosures for c in d.data_classes}))

    @property
    def bases(self) -> tuple[str, ...]:
        """On which grounds."""
        return tuple(dict.fromkeys(d.basis for d in self.disclosures))

    @property
    def first(self) -> date:
        """The day of the first disclosure."""
        return self.disclosures[0].disclosed_on

    @property
    def last(self) -> date:
        """The day of the last one."""
        return self.disclosures[-1].disclosed_on


def received(
    disclosures: Iterable[Disclosure], items: ItemSet, models: Iterable[ModelId]
) -> dict[RecipientId, Received]:
    """Who got something of `items` or `models`, by recipient. What was read inside the house is nobody's receipt.

    A further disclosure only ever adds to the answer. Cost: one intersection for each disclosure.
    """
    wanted = frozenset(models)
    found: dict[RecipientId, list[Disclosure]] = {}
    for one in disclosures:
        if one.recipient is not None and (one.items.intersect(items) or wanted & set(one.models)):
            found.setdefault(one.recipient, []).append(one)
    return {
        who: Received(
            who,
            ItemSet.union(ItemSet(), *(d.items & items for d in mine)),
            tuple(sorted({m for d in mine for m in d.models if m in wanted})),
            tuple(sorted(mine, key=lambda d: (d.disclosed_on, d.no))),
        )
        for who, mine in sorted(found.items())
    }


@dataclass(frozen=True, slots=True)
class Open:
    """What an order still asks of a recipient: what it got and has not confirmed to be gone."""

    order: OrderId
    items: ItemSet
    models: tuple[ModelId, ...]

    def __bool__(self) -> bool:
        return bool(self.items) or bool(self.models)


def unanswered(got: Received, reach: Reach, instructions: Iterable[Instruction], *, confirmed: bool = True) -> Open:
    """What `reach` asks of a recipient, less what confirmed instructions cover; with `confirmed` off, less what any covers."""
    items, models = got.items & reach.items, set(got.models) & reach.models
    for one in instructions:
        if one.order == reach.order and one.recipient == got.recipient and (one.confirmed or not confirmed):
            items = items - one.items
            models -= set(one.models)
    return Open(reach.order, items, tuple(sorted(models)))


def freezes(
    disclosures: Iterable[Disclosure], reaches: Sequence[Reach], instructions: Sequence[Instruction]
) -> Mapping[RecipientId, tuple[OrderId, ...]]:
    """Whom sharing is frozen with, and by which orders (R17): each recipient that got something an order reaches, until it
    confirmed all of that. The order of the facts does not matter.

    Cost: one intersection for each order and disclosure.
    """
    told = list(disclosures)
    found: dict[RecipientId, list[OrderId]] = {}
    for reach in reaches:
        for who, got in received(told, reach.items, reach.models).items():
            if unanswered(got, reach, instructions):
                found.setdefault(who, []).append(reach.order)
    return {who: tuple(sorted(orders)) for who, orders in sorted(found.items())}


def letting(agreements: Iterable[Agreement], recipient: Recipient, today: date) -> tuple[Agreement, ...]:
    """The agreements that let data go on to `recipient` today: in force, for sharing, and to it and where it is.

    An agreement that lists recipients means them by id or name; one that says where the data may be wants the recipient there.
    """
    names = {recipient.id.casefold(), recipient.name.casefold()}
    found = []
    for one in agreements:
        terms = one.terms
        listed = terms.onward_sharing is OnwardSharing.LISTED and names & {n.casefold() for n in terms.recipients}
        there = not terms.geography or recipient.geography.casefold() in {g.casefold() for g in terms.geography}
        permitted = any_covers(one.purposes, SHARE) and not any(overlaps(p, SHARE) for p in one.prohibitions)
        if one.in_force(today) and permitted and there and (listed or terms.onward_sharing is OnwardSharing.ALLOWED):
            found.append(one)
    return tuple(sorted(found, key=lambda a: a.id))


def onward_bar(source: SourceId, agreements: Sequence[Agreement], recipient: Recipient, today: date) -> str | None:
    """Why photos of `source` may not go on to `recipient`, in words that are printed as they are; None where they may."""
    if letting(agreements, recipient, today):
        return None
    said = ", ".join(
        f"{a.id} says {a.terms.onward_sharing}"
        + (f" ({', '.join(a.terms.recipients)})" if a.terms.recipients else "")
        + (f" in {', '.join(a.terms.geography)}" if a.terms.geography else "")
        for a in agreements
        if a.in_force(today)
    )
    return f"{source}: no agreement in force lets it go on to {recipient.name} ({said or 'there is none'})"
