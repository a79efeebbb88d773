"""What stands on which photos: the pure arithmetic of exposure. Sets in, counts out; the books and the clock are the caller's.

A *party* is anything whose items may go together: a source, an agreement, the people of a jurisdiction or of a group. Which
parties a dataset, a run or a model has seen is one number with a bit for each party, carried down the lineage in one walk for
all of them (R3): what was made from two inputs has seen all that either has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final

from unsee.core.ids import ItemSet, OrderId
from unsee.core.lineage import Edge, Node
from unsee.core.orders import PROFILES, Order, OrderState, Profile, profile
from unsee.core.policy import Standing

_EVERY_CLASS: Final = frozenset({"data", "embeddings", "models", "third-parties"})


@dataclass(frozen=True, slots=True)
class Cost:
    """What runs cost when they were recorded. A run whose cost nobody recorded is named in `unknown`, never counted as nothing."""

    cpu_s: Decimal = Decimal(0)
    wall_s: Decimal = Decimal(0)
    runs: int = 0
    unknown: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """As printed: seconds as decimal strings."""
        return {
            "cpu_s": str(self.cpu_s),
            "wall_s": str(self.wall_s),
            "runs": self.runs,
            "unknown": list(self.unknown),
        }


@dataclass(frozen=True, slots=True)
class Made:
    """A model as exposure sees it."""

    model: str
    run: str
    destroyed: bool = False
    deployed: bool = False


@dataclass(frozen=True, slots=True)
class Graph:
    """What was made from what, and the cost of making it."""

    edges: tuple[Edge, ...] = ()
    models: tuple[Made, ...] = ()
    costs: Mapping[str, Mapping[str, str] | None] = field(default_factory=dict)
    """Run to its recorded `cpu_s` and `wall_s`."""


@dataclass(frozen=True, slots=True)
class Fallen:
    """What could not stay as it is if a party's items went. Destroyed models cannot fall again."""

    datasets: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    deployed: tuple[str, ...] = ()
    """Those of `models` that are in use outside."""
    retraining: Cost = Cost()
    """Of the runs that made `models`."""


def carried(seeds: Mapping[Node, int], edges: Iterable[Edge]) -> dict[Node, int]:
    """For each node below a seed, the seed included: the bits of all seeds above it.

    What a node carries contains what each of its inputs carries. The order of `edges` does not matter, nor do cycles.
    Cost: O(edges · bits) at worst; near O(edges) where few paths meet.
    """
    below: dict[Node, list[Node]] = {}
    for edge in edges:
        below.setdefault(edge.above, []).append(edge.below)
    found = {node: bits for node, bits in seeds.items() if bits}
    queue = deque(found)
    waiting = set(queue)
    while queue:
        head = queue.popleft()
        waiting.discard(head)
        bits = found[head]
        for node in below.get(head, ()):
            before = found.get(node, 0)
            if bits | before != before:
                found[node] = bits | before
                if node not in waiting:
                    waiting.add(node)
                    queue.append(node)
    return found


def fallen(holds: Mapping[str, int], parties: int, graph: Graph) -> list[Fallen]:
    """What falls with each of so many parties, were that one alone to go.

    Args:
        holds: dataset to a number whose bit *i* says that it holds items of party *i*.
        parties: how many there are.
        graph: the lineage.
    """
    found = carried({Node("dataset", name): bits for name, bits in holds.items()}, graph.edges)
    datasets = sorted((node.name, bits) for node, bits in found.items() if node.kind == "dataset")
    living = [(made, found.get(Node("model", made.model), 0)) for made in graph.models if not made.destroyed]
    return [
        _fallen(
            tuple(name for name, bits in datasets if bits >> party & 1),
            sorted((made for made, bits in living if bits >> party & 1), key=lambda made: made.model),
            graph,
        )
        for party in range(parties)
    ]


def made_from(holds: Mapping[str, int], parties: int, graph: Graph) -> list[frozenset[str]]:
    """Every model that was ever made from each party's items, the destroyed ones too: a recipient may hold a copy of one."""
    found = carried({Node("dataset", name): bits for name, bits in holds.items()}, graph.edges)
    models = [(node.name, bits) for node, bits in found.items() if node.kind == "model"]
    return [frozenset(name for name, bits in models if bits >> party & 1) for party in range(parties)]


def _fallen(datasets: tuple[str, ...], models: Sequence[Made], graph: Graph) -> Fallen:
    return Fallen(
        datasets,
        tuple(m.model for m in models),
        tuple(m.model for m in models if m.deployed),
        cost_of(dict.fromkeys(m.run for m in models), graph.costs),
    )


def cost_of(runs: Collection[str], costs: Mapping[str, Mapping[str, str] | None]) -> Cost:
    """The recorded cost of these runs, added up; those without one are named."""
    known = [cost for run in runs if (cost := _recorded(costs.get(run))) is not None]
    return Cost(
        sum((cpu for cpu, _ in known), Decimal(0)),
        sum((wall for _, wall in known), Decimal(0)),
        len(runs),
        tuple(run for run in runs if _recorded(costs.get(run)) is None),
    )


def _recorded(cost: Mapping[str, str] | None) -> tuple[Decimal, Decimal] | None:
    return (Decimal(cost["cpu_s"]), Decimal(cost["wall_s"])) if cost and {"cpu_s", "wall_s"} <= cost.keys() else None


def objection(standing: Standing, today: date) -> str | None:
    """Why no use at all of a source is lawful today; None where some purpose is open. `core.policy` decides on each item.

    Legacy, a bar, or no agreement that was approved and is in force, both today and when the photos were collected.
    """
    source = standing.source
    if source.legacy:
        return "legacy: taken in without an approved agreement"
    if standing.bars:
        return min((bar.code, bar.reason) for bar in standing.bars)[1]
    if not standing.agreements:
        return "there is no agreement"
    current = [a for a in standing.agreements if a.in_force(today)]
    if not current:
        states = ", ".join(f"{a.id} is {a.state(today)}" for a in standing.agreements)
        return f"no approved agreement in force ({states})"
    if not any(a.in_force(source.collected_on) for a in current):
        return f"collected on {source.collected_on}, when no agreement was in force"
    return None


@dataclass(frozen=True, slots=True)
class Deadline:
    """The worst deadline of a party: of an order under way, or, with `order` None, the one that a profile would set today."""

    data_class: str
    on: date
    days: int
    """From today on; negative when it has passed."""
    profile: str
    order: OrderId | None = None

    def as_json(self) -> dict[str, object]:
        """As printed."""
        return {
            "class": self.data_class,
            "on": self.on.isoformat() if self.order else None,
            "days": self.days,
            "profile": self.profile,
            "order": self.order,
        }

    def __str__(self) -> str:
        if self.order is None:
            return f"none; {self.days} days under {self.profile}"
        when = f"in {self.days} days" if self.days >= 0 else f"{-self.days} days late"
        return f"{self.on} ({when}): {self.data_class}, {self.order}"


def worst_deadline(
    reached_by: Iterable[Order],
    classes: Collection[str],
    today: date,
    *,
    profiles: Mapping[str, Profile] = PROFILES,
) -> Deadline | None:
    """The nearest deadline of an order under way; where none is, the tightest that a profile would set if an order came today.

    Args:
        reached_by: the orders that reach the party.
        classes: what the party has that a deadline could be for: data, embeddings, models, third-parties.
        today: the day from which is counted, UTC.
        profiles: the deadlines that a new order could bring.
    Returns:
        None where nothing that the party has could get a deadline.
    """
    running = [
        Deadline(name, on, (on - today).days, order.profile, order.id)
        for order in reached_by
        for name, on in profile(order.profile).deadlines(order.effective).items()
        if name in _open_classes(order.state)
    ]
    possible = [
        Deadline(name, on, (on - today).days, law.id)
        for law in profiles.values()
        for name, on in law.deadlines(today).items()
        if name in classes
    ]
    return min(running or possible, key=lambda d: (d.on, d.data_class, d.profile, d.order or ""), default=None)


def _open_classes(state: OrderState) -> frozenset[str]:
    """What an order still waits for: after it was applied only word from third parties, after certification nothing."""
    if state is OrderState.OPEN:
        return _EVERY_CLASS
    return frozenset() if state is OrderState.CERTIFIED else frozenset({"third-parties"})


@dataclass(frozen=True, slots=True)
class Kept:
    """What a dataset that falls would keep if it were frozen anew without the items that go."""

    dataset: str
    purpose: str
    items: int
    kept: ItemSet
    groups: Mapping[str, tuple[int, int]]
    """Group to its items before and after; what no group holds is left out."""

    def as_json(self) -> dict[str, Any]:
        """As printed; shares are of the items before and after, None where nothing is left."""
        return {
            "dataset": self.dataset,
            "purpose": self.purpose,
            "items": self.items,
            "items_kept": len(self.kept),
            "groups": {
                name: {
                    "items": before,
                    "items_kept": after,
                    "share": share(before, self.items),
                    "share_kept": share(after, len(self.kept)),
                }
                for name, (before, after) in self.groups.items()
            },
        }


def kept(dataset: str, purpose: str, members: ItemSet, gone: ItemSet, groups: Mapping[str, ItemSet]) -> Kept:
    """What is left of a dataset without `gone`. Cost: two intersections a group."""
    rest = members - gone
    counted = {
        name: (before, rest.intersection_cardinality(items))
        for name, items in groups.items()
        if (before := members.intersection_cardinality(items))
    }
    return Kept(dataset, purpose, len(members), rest, counted)


def share(part: int, whole: int) -> float | None:
    """`part` of `whole`, rounded to 1 in 10,000; None of nothing."""
    return round(part / whole, 4) if whole else None


@dataclass(frozen=True, slots=True)
class SeenBy:
    """One model and how many of its training items came from each source: a column of the heat map."""

    model: str
    items: int
    """Items of all datasets that it was made from, through other models too; each counted once."""
    by_source: Mapping[str, int]
    destroyed: bool = False
    deployed: bool = False


def datasets_above(graph: Graph) -> dict[str, frozenset[str]]:
    """For each model the datasets that it was made from, through other models too. What made a model made all below it."""
    above = sorted({e.above.name for e in graph.edges if e.above.kind == "dataset"})
    found = carried({Node("dataset", name): 1 << n for n, name in enumerate(above)}, graph.edges)
    return {
        made.model: frozenset(above[n] for n in _bits(found.get(Node("model", made.model), 0))) for made in graph.models
    }


def _bits(number: int) -> list[int]:
    return [n for n in range(number.bit_length()) if number >> n & 1]


def percent(part: float) -> str:
    """A share for people: what is there is never said to be 0 %, and what is not all never 100 %."""
    if part == 0:
        return "0 %"
    if part < 0.01:
        return "< 1 %"
    return f"{min(round(100 * part), 99) if part < 1 else 100} %"
