"""Who else got it: the register, what it says of some items, and what stands against letting more out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time

from sqlalchemy import Connection

from unsee.app.workspace import Workspace
from unsee.books import agreements, orders, parties, recipients, training, world
from unsee.books import disclosures as register
from unsee.books.database import stamp
from unsee.core import flow
from unsee.core.errors import InputError, InvalidValue, SharingFrozen
from unsee.core.ids import AgreementId, DatasetId, ItemSet, ModelId, OrderId, PersonId, RecipientId, SourceId
from unsee.core.lineage import Edge, Node, closure
from unsee.core.policy import decide
from unsee.core.purposes import known
from unsee.core.sharing import (
    SHARE,
    Disclosure,
    DisclosureKind,
    Reach,
    Received,
    Recipient,
    freezes,
    received,
    unanswered,
)

_AFTERWARDS = "recorded afterwards"


@dataclass(frozen=True, slots=True)
class Told:
    """A way out that went by other means, as somebody writes it down: exactly one of source, dataset, model."""

    to: str
    kind: str
    on: date
    purpose: str
    basis: str
    source: str | None = None
    dataset: str | None = None
    model: str | None = None
    agreement: str | None = None
    channel: str = ""
    data_classes: tuple[str, ...] = ()


def record(ws: Workspace, told: Told, *, person: PersonId) -> Disclosure:
    """Write down what went out by other means, however long ago.

    History is recorded also where policy would have refused it; then the entry says so for ever.

    Raises:
        NotFound: no such recipient, source, dataset, model, agreement or person.
        InvalidValue: a kind or day that cannot be.
        InputError: not exactly one thing is named, or it does not go with the kind.
    """
    kind = _kind(told)
    purpose = known(told.purpose)
    with ws.act() as tx:
        conn = tx.conn
        parties.person(conn, person)
        recipient = recipients.recipient(conn, RecipientId(told.to))
        if told.on > tx.now.date():
            raise InvalidValue(f"{told.on} is not over yet; what goes out today is recorded as it goes.")
        agreement = agreements.agreement(conn, AgreementId(told.agreement)).id if told.agreement else None
        items, models, classes = _things(conn, told)
        subject = items if kind is not DisclosureKind.MODEL_DELIVERY else items_behind(conn, models)
        purposes = [purpose] if kind is DisclosureKind.MODEL_DELIVERY else [SHARE, purpose]
        reasons = objections(conn, purposes, subject, datetime.combine(told.on, time.max, UTC))
        frozen = frozen_recipients(conn, recipient.id).get(recipient.id, ())
        reasons += [f"sharing with {recipient.id} is frozen by {order}" for order in frozen]
        note = f"{_AFTERWARDS}; policy would refuse: {'; '.join(reasons)}" if reasons else _AFTERWARDS
        disclosure = Disclosure(
            kind=kind,
            recipient=recipient.id,
            disclosed_on=told.on,
            items=items,
            models=models,
            data_classes=tuple(dict.fromkeys(told.data_classes)) or classes,
            purpose=purpose,
            basis=told.basis,
            agreement=agreement,
            channel=told.channel or "not through this tool",
            dataset=DatasetId(told.dataset) if told.dataset else None,
            person=person,
            note=note,
        )
        return replace(disclosure, no=register.record(tx, disclosure), at=tx.at)


def listed(ws: Workspace, *, source: str | None, to: str | None, readings: bool) -> list[Disclosure]:
    """The register: what went out, or of one source, or to one recipient; with `readings`, openings of the reader too.

    Raises:
        NotFound: no such source or recipient.
    """
    with ws.books.read() as conn:
        recipient = recipients.recipient(conn, RecipientId(to)).id if to else None
        found = register.outward(conn, recipient=recipient)
        if readings and recipient is None:
            found = sorted([*found, *register.openings(conn)], key=lambda d: d.no)
        if source is not None:
            mine = parties.items_of_source(conn, SourceId(source))
            models = models_from(conn, mine)
            found = [d for d in found if d.items.intersect(mine) or models & set(d.models)]
    return found


@dataclass(frozen=True, slots=True)
class Obtained:
    """What one recipient got of the things asked about."""

    recipient: Recipient
    received: Received

    def as_json(self) -> dict[str, object]:
        """As printed: counts, no items."""
        got = self.received
        return {
            "recipient": self.recipient.as_json(),
            "items": len(got.items),
            "models": list(got.models),
            "data_classes": list(got.data_classes),
            "first": got.first.isoformat(),
            "last": got.last.isoformat(),
            "bases": list(got.bases),
            "disclosures": [d.as_json() for d in got.disclosures],
        }


@dataclass(frozen=True, slots=True)
class Statement:
    """Who got something of `what`, or that the register shows nobody (R15, R18): with its period and what it rests on."""

    what: str
    obtained: tuple[Obtained, ...]
    coverage: register.Coverage
    openings: Mapping[DatasetId, int]
    """How often each dataset that holds some of it was read inside the house."""
    organisation: str

    @property
    def shared(self) -> bool:
        """Whether the register shows any recipient."""
        return bool(self.obtained)

    @property
    def rests_on(self) -> str:
        """The records that were looked through."""
        counts = self.coverage.counts
        outward = counts[DisclosureKind.EXPORT] + counts[DisclosureKind.SHARE]
        return (
            f"the register of disclosures (exports and shares: {outward:,}; model deliveries: "
            f"{counts[DisclosureKind.MODEL_DELIVERY]:,}; openings of the permitted reader: {counts[DisclosureKind.READER]:,}), "
            f"the log at {self.coverage.log_entries:,} entries"
        )

    @property
    def not_checked(self) -> str:
        """What the statement does not cover."""
        return (
            f"what went out before {self.coverage.since[:10]}, unless somebody wrote it down afterwards; "
            "copies that were made outside of this tool"
        )

    def sentences(self) -> tuple[str, ...]:
        """The statement in words: what the register shows, what the operator declares, what was not checked."""
        period = f"from {self.coverage.since} to {self.coverage.until}"
        names = ", ".join(g.recipient.name for g in self.obtained)
        inside = sum(self.openings.values())
        return (
            f"The register shows that {names} got something of {self.what}, or a model made from it."
            if self.shared
            else f"NOT SHARED: the register shows nothing of {self.what}, and no model made from it, going to anybody {period}.",
            f"This rests on {self.rests_on}, {period}.",
            f"Openings of datasets that hold some of it, inside the house: {inside:,}.",
            f"{self.organisation} declares that every way out is in the register.",
            f"Not checked: {self.not_checked}.",
        )

    def as_json(self) -> dict[str, object]:
        """As `unsee disclosures report --json` prints it."""
        return {
            "what": self.what,
            "shared": self.shared,
            "recipients": [g.as_json() for g in self.obtained],
            "coverage": {
                "since": self.coverage.since,
                "until": self.coverage.until,
                "counts": dict(self.coverage.counts),
                "log_entries": self.coverage.log_entries,
            },
            "openings": dict(self.openings),
            "statement": list(self.sentences()),
        }


def report(ws: Workspace, source: str) -> Statement:
    """Who got something of a source or a model made from it, or that the register shows nobody (R18; GDPR art. 19).

    Raises:
        NotFound: no such source.
    Cost: one intersection for each disclosure, dataset and opened dataset.
    """
    with ws.books.read() as conn:
        return statement(ws, conn, f"source {source}", parties.items_of_source(conn, SourceId(source)))


def statement(ws: Workspace, conn: Connection, what: str, items: ItemSet) -> Statement:
    """The same of any items, such as an order's scope."""
    found = received(register.outward(conn), items, models_from(conn, items))
    return Statement(
        what,
        tuple(Obtained(recipients.recipient(conn, who), got) for who, got in found.items()),
        register.coverage(conn, stamp(ws.now())),
        register.openings_of(conn, items),
        ws.organisation,
    )


def reach_of(conn: Connection, order: OrderId) -> Reach:
    """What one order reaches.

    Raises:
        NotFound: there is no such order.
    """
    scope = orders.scope_of(conn, order)
    return Reach(order, scope, models_from(conn, scope))


def report_on_order(ws: Workspace, order: OrderId) -> Statement:
    """`of_order`, on its own.

    Raises:
        NotFound: there is no such order.
    """
    with ws.books.read() as conn:
        return of_order(ws, conn, order)


def of_order(ws: Workspace, conn: Connection, order: OrderId) -> Statement:
    """Who got something that an order reaches: of its scope as it was received, not of its source."""
    return statement(ws, conn, f"what {order} reaches", orders.scope_of(conn, order))


def told_on(conn: Connection, order: OrderId, shared: Statement) -> date | None:
    """The day on which the last recipient was told of all that it got; None where some were not, or there are none."""
    reach, sent = reach_of(conn, order), recipients.all_instructions(conn, order)
    if not shared.obtained or any(unanswered(g.received, reach, sent, confirmed=False) for g in shared.obtained):
        return None
    return max(date.fromisoformat(i.at[:10]) for i in sent)


def described(one: Disclosure) -> str:
    """A disclosure in one line, for lists and papers."""
    what = ", ".join([f"{len(one.items):,} items"] * bool(one.items) + [f"model {m}" for m in one.models])
    note = f"; {one.note}" if one.note else ""
    return f"{one.disclosed_on} {one.kind}: {what or 'nothing'} for {one.purpose} ({one.basis}){note}"


def require_unfrozen(conn: Connection, recipient: RecipientId) -> None:
    """Pass where nothing freezes sharing with `recipient` (R17).

    Raises:
        SharingFrozen: an order reaches what it got, and its confirmation is not filed.
    """
    frozen = frozen_recipients(conn, recipient).get(recipient, ())
    if frozen:
        raise SharingFrozen(
            f"Sharing with {recipient} is frozen: {', '.join(frozen)} reaches what it got, and it has not confirmed.",
            next_step=f'Tell it with "unsee recipient instruct {frozen[0]}", file its answer with '
            '"unsee recipient reply … --confirms".',
        )


def frozen_recipients(conn: Connection, recipient: RecipientId | None = None) -> dict[RecipientId, tuple[OrderId, ...]]:
    """Whom sharing is frozen with, and by which orders; or only whether `recipient` is among them.

    Cost: one intersection for each order and disclosure.
    """
    told = register.outward(conn, recipient=recipient)
    return dict(freezes(told, reaches(conn), recipients.all_instructions(conn)))


def reaches(conn: Connection) -> list[Reach]:
    """What each order reaches: its scope as it was received, and the models made from it. Datasets and lineage are read once."""
    lineage = _Lineage.of(conn)
    return [Reach(order, scope, lineage.models_from(scope)) for order, scope in orders.blocked(conn).items()]


def models_from(conn: Connection, items: ItemSet) -> frozenset[ModelId]:
    """Every model that learned from some of `items`, directly or through another model (R3)."""
    return _Lineage.of(conn).models_from(items)


def items_behind(conn: Connection, models: Iterable[ModelId]) -> ItemSet:
    """All items that these models stand on.

    Raises:
        NotFound: no such model.
    """
    for model in models:
        training.model(conn, model)
    above = flow.inputs([Node("model", m) for m in models], training.all_edges(conn))
    names = {r.node.name for r in above if r.node.kind == "dataset"}
    return ItemSet.union(ItemSet(), *(training.dataset(conn, DatasetId(n)).items for n in sorted(names)))


def objections(conn: Connection, purposes: Sequence[str], items: ItemSet, moment: datetime) -> list[str]:
    """What policy has against these uses of `items` at `moment`, by what the books know today; empty where nothing."""
    view = world.as_of(conn, moment)
    found = [str(r) for p in dict.fromkeys(purposes) for r in decide(p, items, view, today=moment.date()).refusals]
    return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class _Lineage:
    datasets: tuple[training.Dataset, ...]
    edges: tuple[Edge, ...]

    @classmethod
    def of(cls, conn: Connection) -> _Lineage:
        return cls(tuple(training.all_datasets(conn)), tuple(training.all_edges(conn)))

    def models_from(self, items: ItemSet) -> frozenset[ModelId]:
        seeds = [Node("dataset", d.id) for d in self.datasets if d.items.intersect(items)]
        return frozenset(ModelId(r.node.name) for r in closure(seeds, self.edges) if r.node.kind == "model")


def _kind(told: Told) -> DisclosureKind:
    allowed = [k for k in DisclosureKind if k is not DisclosureKind.READER]
    if told.kind not in allowed:
        raise InvalidValue(f"{told.kind!r} is no kind of disclosure.", next_step="Kinds: " + ", ".join(allowed) + ".")
    if sum(x is not None for x in (told.source, told.dataset, told.model)) != 1:
        raise InputError("A disclosure is of one thing.", next_step="Name a --source, a --dataset or a --model.")
    if (told.model is not None) != (told.kind == DisclosureKind.MODEL_DELIVERY):
        raise InputError(f"A {told.kind} is not of that thing.", next_step="A model goes with --kind model-delivery.")
    return DisclosureKind(told.kind)


def _things(conn: Connection, told: Told) -> tuple[ItemSet, tuple[ModelId, ...], tuple[str, ...]]:
    if told.model is not None:
        return ItemSet(), (training.model(conn, ModelId(told.model)).id,), ()
    if told.source is not None:
        giver = parties.source(conn, SourceId(told.source))
        return parties.items_of_source(conn, giver.id), (), giver.data_classes
    items = training.dataset(conn, DatasetId(told.dataset or "")).items
    return items, (), ("photo", *register.classes_in_files(conn, items))
