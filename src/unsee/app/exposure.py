"""What stands on whose photos: what would fall, what it would cost, who has it, and how lawful it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from sqlalchemy import Connection

from unsee.app.exposed import Exposed, SourceItems, all_sources, parties_by, shared_out
from unsee.app.workspace import Workspace
from unsee.books import disclosures, interests, orders, quarantine, training, world
from unsee.books.sets import union
from unsee.core.exposure import (
    Cost,
    Deadline,
    Fallen,
    Graph,
    Made,
    SeenBy,
    datasets_above,
    fallen,
    made_from,
    objection,
    worst_deadline,
)
from unsee.core.ids import DatasetId, ItemSet, RecipientId, SourceId
from unsee.core.orders import Order
from unsee.core.sharing import Disclosure
from unsee.erase import scope as scopes

EMBEDDING = "embedding"


@dataclass(frozen=True, slots=True)
class Exposure:
    """Photos that may go together, and all that stands on them."""

    name: str
    items: int
    people: int
    size_bytes: int | None
    """None: not added up, because it would take a row for each of millions of photos."""
    datasets: tuple[str, ...]
    models: tuple[str, ...]
    """Those that would fall; destroyed ones cannot fall again."""
    deployed: tuple[str, ...]
    recipients: tuple[RecipientId, ...]
    """Who ever got photos of these, or a model made from them."""
    retraining: Cost
    deadline: Deadline | None
    lawful: bool
    why: str
    unlawful: Mapping[SourceId, int]
    """Photos by source, of the sources of which no use is lawful today."""
    orders: tuple[Order, ...]
    """Those that reach these photos."""
    conflicts: tuple[str, ...]
    """Declared interests that reach a party of a hand-over (R35), in words."""
    quarantined: int

    def as_json(self) -> dict[str, object]:
        """As printed."""
        return {
            "name": self.name,
            "items": self.items,
            "people": self.people,
            "size_bytes": self.size_bytes,
            "datasets": list(self.datasets),
            "models": list(self.models),
            "deployed": list(self.deployed),
            "recipients": list(self.recipients),
            "retraining": self.retraining.as_json(),
            "deadline": self.deadline.as_json() if self.deadline else None,
            "lawful": self.lawful,
            "why": self.why,
            "unlawful": dict(self.unlawful),
            "orders": [{"order": o.id, "state": str(o.state)} for o in self.orders],
            "conflicts": list(self.conflicts),
            "quarantined": self.quarantined,
        }


def exposure(ws: Workspace, by: str = "source") -> list[Exposure]:
    """One row for each source, agreement, jurisdiction, or group of people; the unlawful first, then the most exposed.

    Args:
        ws: the workspace.
        by: one of `exposed.BY`, or `group:ATTRIBUTE`.
    Raises:
        InvalidValue: there is no such way to part the books, or nobody has that attribute.
    Cost: an intersection for each row and dataset, one walk of the lineage for all rows; by jurisdiction and group also one pass
        over the columns that say who is shown. No row is read for each photo.
    """
    with ws.books.read() as conn:
        return measure(conn, by, operator=ws.organisation, today=ws.now().date())


def measure(conn: Connection, by: str, *, operator: str, today: date) -> list[Exposure]:
    """As `exposure`, from an open view of the books. `operator` is the organisation that took the photos."""
    held = all_sources(conn)
    parties = parties_by(conn, by, held)
    reader = _Reader(conn, held, operator, today)
    rows = [
        reader.row(party, falls, models)
        for party, falls, models in zip(parties, *stands_on(conn, parties), strict=True)
    ]
    return sorted(rows, key=lambda r: (r.lawful, -len(r.models), -r.items, r.name))


def stands_on(conn: Connection, parties: Sequence[Exposed]) -> tuple[list[Fallen], list[frozenset[str]]]:
    """What falls with each party, and every model that was ever made from it. One dataset is in memory at a time."""
    graph = lineage(conn)
    closed = scopes.with_derived_each(conn, [p.items for p in parties] + [p.ever for p in parties])
    left, ever = closed[: len(parties)], closed[len(parties) :]
    holds, held = dict[str, int](), dict[str, int]()
    for name, members in training.dataset_items(conn):
        holds[name] = _bits(members, left)
        held[name] = _bits(members, ever)
    return fallen(holds, len(parties), graph), made_from(held, len(parties), graph)


def lineage(conn: Connection) -> Graph:
    """The graph of datasets, runs and models, with what the runs cost. A model is deployed while it is released."""
    deployed = training.releases(conn)
    return Graph(
        tuple(training.all_edges(conn)),
        tuple(Made(m.id, m.run, m.destroyed_by is not None, m.id in deployed) for m in training.all_models(conn)),
        {run.id: run.cost for run in training.all_runs(conn)},
    )


def recipients_of(conn: Connection, items: ItemSet, models: frozenset[str]) -> tuple[RecipientId, ...]:
    """Who ever got one of these items or models."""
    return _recipients(disclosures.outward(conn), items, models)


def _recipients(outward: Sequence[Disclosure], items: ItemSet, models: frozenset[str]) -> tuple[RecipientId, ...]:
    return tuple(
        sorted(
            {
                d.recipient
                for d in outward
                if d.recipient is not None and (d.items.intersect(items) or not models.isdisjoint(d.models))
            }
        )
    )


def _bits(members: ItemSet, parties: Sequence[ItemSet]) -> int:
    return sum(1 << n for n, party in enumerate(parties) if members.intersect(party))


class _Reader:
    """What all rows ask of the books, read once."""

    def __init__(self, conn: Connection, held: Sequence[SourceItems], operator: str, today: date) -> None:
        self._conn = conn
        self._operator = operator
        self._today = today
        self._held = held
        self._sources = {h.source.id: h.source for h in held}
        self._objections = {
            s.source.id: reason
            for s in world.standings(conn, self._today)
            if (reason := objection(s, self._today)) is not None
        }
        self._orders = [(order, orders.scope_of(conn, order.id)) for order in orders.all_orders(conn)]
        self._outward = disclosures.outward(conn)
        self._quarantined = quarantine.quarantined(conn)
        self._conflicts: dict[SourceId, tuple[str, ...]] = {}

    def row(self, party: Exposed, falls: Fallen, ever_made: frozenset[str]) -> Exposure:
        """One row."""
        recipients = _recipients(self._outward, party.ever, ever_made)
        reaching = tuple(order for order, scope in self._orders if scope.intersect(party.ever))
        gave = self._gave(party)
        unlawful = {s: count for s, count in gave.items() if s in self._objections}
        lawful, why = self._standing(party, unlawful)
        return Exposure(
            party.name,
            len(party.items),
            party.people,
            party.size_bytes,
            falls.datasets,
            falls.models,
            falls.deployed,
            recipients,
            falls.retraining,
            worst_deadline(reaching, set(self._classes(party, falls, recipients, gave)), self._today),
            lawful,
            why,
            unlawful,
            reaching,
            tuple(dict.fromkeys(words for s in gave for words in self._interests(s))),
            self._quarantined.intersection_cardinality(party.items),
        )

    def _gave(self, party: Exposed) -> dict[SourceId, int]:
        """The sources that a party is made of, and how many photos each has in it."""
        if party.source is not None:
            return {party.source: len(party.items)}
        return shared_out(party.items, self._held)

    def _standing(self, party: Exposed, unlawful: Mapping[SourceId, int]) -> tuple[bool, str]:
        if party.agreement is not None:
            state = str(party.agreement.state(self._today))
            reasons = [self._objections[s] for s in unlawful]
            said = "; ".join([state, *(r for r in reasons if party.agreement.id not in r)])
            return party.agreement.in_force(self._today) and not unlawful, said
        if party.source is not None:
            return not unlawful, self._objections.get(party.source, "approved agreement in force")
        if not unlawful:
            return True, "approved agreements in force"
        said = "; ".join(f"{s}: {self._objections[s]}" for s in sorted(unlawful))
        return False, f"{sum(unlawful.values()):,} of {len(party.items):,} photos: {said}"

    def _interests(self, source: SourceId) -> tuple[str, ...]:
        if source not in self._conflicts:
            found = interests.conflicts(self._conn, source, self._operator)
            self._conflicts[source] = tuple(str(path) for path in found)
        return self._conflicts[source]

    def _classes(
        self, party: Exposed, falls: Fallen, recipients: Sequence[RecipientId], gave: Mapping[SourceId, int]
    ) -> Iterator[str]:
        if party.items:
            yield "data"
        if party.items and any(EMBEDDING in self._sources[s].data_classes for s in gave):
            yield "embeddings"
        if falls.models:
            yield "models"
        if recipients:
            yield "third-parties"


def seen_by_models(conn: Connection, held: Sequence[SourceItems]) -> list[SeenBy]:
    """For each model, how many of its training items came from each source: every item that it ever saw, each counted once.

    Cost: a union for each different set of datasets that models were made from, and an intersection for each source in it.
    """
    graph = lineage(conn)
    above = datasets_above(graph)
    counted: dict[frozenset[str], tuple[int, Mapping[str, int]]] = {}
    for names in above.values():
        if names not in counted:
            whole = union(training.dataset(conn, DatasetId(name)).items for name in sorted(names))
            counted[names] = len(whole), {str(s): n for s, n in shared_out(whole, held).items()}
    return [SeenBy(m.model, *counted[above[m.model]], m.destroyed, m.deployed) for m in graph.models]


def plot(ws: Workspace, path: Path) -> None:
    """Draw sources by models into a PNG or SVG.

    Raises:
        MissingExtra: matplotlib is not installed.
        InvalidValue: another kind of file was named, or there is no source or model.
    """
    from unsee.models.heatmap import heat_map

    rows = exposure(ws)
    with ws.books.read() as conn:
        seen = seen_by_models(conn, all_sources(conn))
    heat_map(
        [row.name for row in rows],
        seen,
        path,
        unlawful={row.name for row in rows if not row.lawful},
        title="What each model learned from: share of its training items by source",
    )


def under(rows: Sequence[Order]) -> list[str]:
    """Orders in words: `order-0001 (open)`."""
    return [f"{order.id} ({order.state})" for order in rows]
