"""What an order reaches: items and all that was made from them, each with the reason it is in (R1–R3)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from unsee.books import derived, items, orders, parties, training
from unsee.core.ids import ItemSet, OrderId, SourceId
from unsee.core.lineage import Node, Reached, closure
from unsee.core.orders import Order, OrderKind


@dataclass(frozen=True, slots=True)
class Scope:
    """The closed set that an order reaches. `reached` holds datasets, runs and models, nearest first."""

    items: ItemSet
    reached: tuple[Reached, ...]

    def names(self, kind: str) -> tuple[str, ...]:
        """Ids of the reached nodes of one kind: dataset, run or model."""
        return tuple(r.node.name for r in self.reached if r.node.kind == kind)


def items_of_source(conn: Connection, source: SourceId) -> ItemSet:
    """All items of the source and everything derived from them."""
    return with_derived(conn, parties.items_of_source(conn, source))


def with_derived(conn: Connection, chosen: ItemSet) -> ItemSet:
    """Items and everything derived from them, generation by generation."""
    scope = fresh = chosen
    while fresh:
        fresh = items.children_of(conn, fresh) - scope
        scope = scope | fresh
    return scope


def with_derived_each(conn: Connection, chosen: Sequence[ItemSet]) -> list[ItemSet]:
    """As `with_derived`, for many sets at once: one pass over the columns of parents a generation."""
    scopes, fresh = list(chosen), list(chosen)
    while any(fresh):
        fresh = [new - scope for new, scope in zip(derived.children_of_each(conn, fresh), scopes, strict=True)]
        scopes = [scope | new for scope, new in zip(scopes, fresh, strict=True)]
    return scopes


def items_of_order(conn: Connection, order: Order) -> ItemSet:
    """What an order reaches today, less what is erased already: all of its source, or the items that it was opened for.

    It differs from the scope on record where something joined since the order was opened.
    """
    whole = order.kind is OrderKind.INSTRUMENT
    scope = items_of_source(conn, order.source) if whole else with_derived(conn, orders.scope_of(conn, order.id))
    return scope - orders.erased(conn)


def resolve(conn: Connection, scope_items: ItemSet) -> Scope:
    """Close a set of items over datasets, runs and models. Cost: one intersection a dataset and a walk of a small graph."""
    return resolve_each(conn, [scope_items])[0]


def resolve_each(conn: Connection, scopes: Sequence[ItemSet]) -> list[Scope]:
    """As `resolve`, for many sets of items at once: each dataset is read once, and one lies in memory at a time."""
    seeds: list[list[Node]] = [[] for _ in scopes]
    for name, held in training.dataset_items(conn):
        for mine, scope in zip(seeds, scopes, strict=True):
            if held.intersect(scope):
                mine.append(Node("dataset", name))
    edges = training.all_edges(conn)
    return [Scope(scope, closure(mine, edges)) for scope, mine in zip(scopes, seeds, strict=True)]


def untouched(conn: Connection, scope_items: ItemSet, erased: ItemSet) -> ItemSet:
    """What stays: every item ever taken in, less the scope and what earlier orders erased."""
    every = ItemSet.union(ItemSet(), *(parties.items_of_source(conn, s.id) for s in parties.all_sources(conn)))
    return every - scope_items - erased


def order_name(number: int) -> OrderId:
    """`order-0001`, …"""
    return OrderId(f"order-{number:04d}")


def digest_of(scope: ItemSet) -> str:
    """Hexadecimal SHA-256 of a set of items, the same however it was built."""
    canonical = scope.copy()
    canonical.run_optimize()
    return hashlib.sha256(canonical.serialize()).hexdigest()
