"""What a model, or one item, may be used for; releasing models. A model may be used for at most what all of its inputs allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection

from unsee.app.workspace import Workspace
from unsee.books import orders, parties, training, world
from unsee.books.training import Dataset, Model, Release, Run
from unsee.books.ways import Way, way_of
from unsee.core import flow
from unsee.core.errors import PolicyRefusal, WrongState
from unsee.core.evidence import Gone
from unsee.core.ids import ItemSet, ModelId, OrderId, PersonId
from unsee.core.lineage import Edge, Node, closure
from unsee.core.policy import Refusal, World, decide
from unsee.core.purposes import known


@dataclass(frozen=True, slots=True)
class Objection:
    """One reason why a model may not be used: some items of a source in a dataset, or something about the model itself."""

    code: str
    reason: str
    through: str
    """The dataset, run or model that it comes from, as `kind name`."""
    source: str | None = None
    items: int = 0
    of: int = 0
    """So many items of this source are in the dataset."""
    overridden: bool = False
    """The dataset was frozen over the policy's refusal: that let it be trained on, it permits no use."""

    def as_json(self) -> dict[str, Any]:
        """As printed; counts only."""
        return {
            "code": self.code,
            "reason": self.reason,
            "through": self.through,
            "source": self.source,
            "items": self.items,
            "of": self.of,
            "overridden": self.overridden,
        }

    def __str__(self) -> str:
        share = f"{self.items:,} of {self.of:,} items" + (f" of {self.source}" if self.source else "")
        counted = f" ({share}{'; overridden when it was frozen' if self.overridden else ''})" if self.of else ""
        return f"{self.code}: {self.through}: {self.reason}{counted}"


@dataclass(frozen=True, slots=True)
class MayUse:
    """The answer whether a model may be used for a purpose, and what it rests on."""

    model: str
    purpose: str
    objections: tuple[Objection, ...]
    inputs: tuple[str, ...]
    """All that it was made from, as `kind name`, nearest first."""
    items: int
    """Distinct items in the datasets among them."""

    @property
    def allowed(self) -> bool:
        """Whether nothing stands against it."""
        return not self.objections

    def as_json(self) -> dict[str, Any]:
        """As printed."""
        return {
            "model": self.model,
            "purpose": self.purpose,
            "allowed": self.allowed,
            "objections": [o.as_json() for o in self.objections],
            "inputs": list(self.inputs),
            "items": self.items,
        }


@dataclass(frozen=True)
class Judge:
    """What models may be used for, in one world: `edges` is the lineage of all datasets, runs and models."""

    world: World
    today: date
    datasets: Mapping[str, Dataset]
    runs: Mapping[str, Run]
    models: Mapping[str, Model]
    edges: Sequence[Edge]

    @classmethod
    def reading(cls, conn: Connection, facts: World, today: date) -> Judge:
        """A judge over what the books hold."""
        return cls(
            facts,
            today,
            {d.id: d for d in training.all_datasets(conn)},
            {r.id: r for r in training.all_runs(conn)},
            {m.id: m for m in training.all_models(conn)},
            training.all_edges(conn),
        )

    def may_use(self, model: str, purpose: str) -> MayUse:
        """Whether `model` may be used for `purpose`: every item of every dataset that it stands on has to permit it."""
        node = Node("model", model)
        above = flow.inputs([node], self.edges)
        found: list[Objection] = []
        for name in [r.node.name for r in above if r.node.kind == "model"]:
            destroyed = self.models[name].destroyed_by if name in self.models else None
            if destroyed is not None:
                found.append(Objection("destroyed", f"it was destroyed under {destroyed}", f"model {name}"))
        items = ItemSet()
        seen = [self.datasets[r.node.name] for r in above if r.node.kind == "dataset" and r.node.name in self.datasets]
        for dataset in seen:
            items |= dataset.items
            found.extend(self._dataset(dataset, purpose))
        own = {Node("dataset", d.id) for d in seen}
        found.extend(
            Objection("unknown-lineage", "nothing on record says what it was made from", str(one))
            for one in flow.unknown(node, self.edges, own)
            if not any(e.below == one for e in self.edges)
        )
        return MayUse(model, purpose, tuple(found), tuple(str(r.node) for r in above[1:]), len(items))

    def _dataset(self, dataset: Dataset, purpose: str) -> list[Objection]:
        refusals = list(decide(purpose, dataset.items, self.world, today=self.today).refusals)
        # What a file reserves against training is not undone by using the model for something else.
        trained = decide(dataset.purpose, dataset.items, self.world, today=self.today).refusals
        refusals += [r for r in trained if r.code == "opted-out" and all(q.code != r.code for q in refusals)]
        return [objection for refusal in refusals for objection in self._by_source(dataset, refusal)]

    def _by_source(self, dataset: Dataset, refusal: Refusal) -> list[Objection]:
        found = []
        left = refusal.items
        for standing in self.world.standings:
            mine = refusal.items & standing.items
            if mine:
                left = left - mine
                found.append(
                    self._objection(dataset, refusal, standing.source.id, mine, dataset.items & standing.items)
                )
        if left:
            found.append(self._objection(dataset, refusal, None, left, dataset.items))
        return found

    def _objection(
        self, dataset: Dataset, refusal: Refusal, source: str | None, items: ItemSet, of: ItemSet
    ) -> Objection:
        overridden = dataset.override is not None
        return Objection(
            refusal.code, refusal.reason, f"dataset {dataset.id}", source, len(items), len(of), overridden=overridden
        )


def may_use(ws: Workspace, model: str, purpose: str) -> MayUse:
    """Whether a model may be used for a purpose today, and why not.

    Raises:
        NotFound: no such model.
        UnknownPurpose: no such purpose.
    Cost: a decision for each dataset that the model stands on; no item is looked at by itself.
    """
    known(purpose)
    now = ws.now()
    with ws.books.read() as conn:
        training.model(conn, ModelId(model))
        return Judge.reading(conn, world.as_of(conn, now), now.date()).may_use(model, purpose)


def release(ws: Workspace, model: str, purposes: Sequence[str], *, person: PersonId) -> tuple[str, ...]:
    """Put a model to use for these purposes, each of which all of its inputs have to allow; in place of an earlier release.

    Raises:
        PolicyRefusal: a purpose is not allowed; `details` says why, and nothing is released.
        NotFound, UnknownPurpose: no such model, person or purpose.
    """
    wanted = tuple(dict.fromkeys(known(p) for p in purposes))
    with ws.act() as tx:
        parties.person(tx.conn, person)
        model_id = training.model(tx.conn, ModelId(model)).id
        judge = Judge.reading(tx.conn, world.as_of(tx.conn, tx.now), tx.now.date())
        answers = [judge.may_use(model, purpose) for purpose in wanted]
        refused = [a for a in answers if not a.allowed]
        if refused:
            raise PolicyRefusal(
                f"Model {model} may not be used for {', '.join(a.purpose for a in refused)}: nothing was released.",
                next_step=f'See "unsee may-use {model} --purpose {refused[0].purpose}".',
                details=[o for a in refused for o in a.objections],
            )
        training.release(tx, model_id, wanted, person=person)
    return wanted


def withdraw(ws: Workspace, model: str, *, person: PersonId, note: str) -> None:
    """Take a model out of use.

    Raises:
        NotFound: no such model or person.
        WrongState: it is not in use.
    """
    with ws.act() as tx:
        parties.person(tx.conn, person)
        model_id = training.model(tx.conn, ModelId(model)).id
        if model_id not in training.releases(tx.conn):
            raise WrongState(f"Model {model} is not in use.", next_step='See "unsee model list".')
        training.withdraw(tx, model_id, person=person, note=note)


def in_use(ws: Workspace) -> Mapping[ModelId, Release]:
    """The models that are in use, and what for."""
    with ws.books.read() as conn:
        return training.releases(conn)


@dataclass(frozen=True, slots=True)
class Why:
    """Why one item may or may not be used for a purpose, and what became of it."""

    way: Way
    purpose: str
    refusal: Refusal | None
    """None: it may be used."""
    orders: tuple[OrderId, ...]
    """Every order whose scope it is in."""
    datasets: tuple[str, ...]
    models: tuple[tuple[str, str | None], ...]
    """Models that learned from it, each with the order that destroyed it or None."""
    gone: Gone | None = None
    """How gone it is, where an order was carried out on it: the weakest of its copies (R6)."""

    def as_json(self) -> dict[str, Any]:
        """As printed."""
        return {
            "item": self.way.item,
            "purpose": self.purpose,
            "permitted": self.refusal is None,
            "code": self.refusal.code if self.refusal else None,
            "reason": self.refusal.reason if self.refusal else None,
            "way": {
                "source": self.way.source,
                "batch": self.way.batch,
                "at": self.way.at,
                "by": self.way.person,
                "channel": self.way.channel,
                "kind": "document" if self.way.document else "photo",
            },
            "orders": list(self.orders),
            "gone": self.gone.step if self.gone else None,
            "datasets": list(self.datasets),
            "models": [{"id": name, "destroyed_by": order} for name, order in self.models],
        }


def why(ws: Workspace, item: int, purpose: str) -> Why:
    """Say why one item may or may not be used today, and its way into datasets and models.

    Raises:
        NotFound: no item has that number.
        UnknownPurpose: no such purpose.
    """
    known(purpose)
    now = ws.now()
    with ws.books.read() as conn:
        way = way_of(conn, item)
        one = ItemSet([item])
        facts = world.as_of(conn, now)
        refusals = decide(purpose, one, facts, today=now.date()).refusals
        holding = sorted(d.id for d in training.all_datasets(conn) if item in d.items)
        reached = closure([Node("dataset", name) for name in holding], training.all_edges(conn))
        destroyed = {m.id: m.destroyed_by for m in training.all_models(conn)}
        in_orders = tuple(order for order, items in sorted(facts.blocked.items()) if item in items)
        steps = [Gone[s] for o in in_orders for s, gone in orders.gone_of(conn, o).items() if item in gone]
    return Why(
        way,
        purpose,
        refusals[0] if refusals else None,
        in_orders,
        tuple(holding),
        tuple((r.node.name, destroyed.get(ModelId(r.node.name))) for r in reached if r.node.kind == "model"),
        steps[0] if steps else None,
    )
