"""The small graph of what was made from what, and its closure. Nodes are typed names: `item-set`, `dataset`, `run`, `model`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """One thing with lineage. `kind` is dataset, run or model; `name` its id."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """`below` was made, in whole or in part, from `above`."""

    above: Node
    below: Node
    how: str
    """trained-on, made, fine-tuned-from, …"""


@dataclass(frozen=True, slots=True)
class Reached:
    """A node in the closure and the edge by which it was first reached; None for a seed."""

    node: Node
    through: Edge | None

    @property
    def reason(self) -> str:
        """Why it is in, for people."""
        return "holds items of the scope" if self.through is None else f"{self.through.how} {self.through.above}"


def closure(seeds: Iterable[Node], edges: Iterable[Edge]) -> tuple[Reached, ...]:
    """Everything made in whole or in part from the seeds (R3), seeds first, each node once, nearest reason kept.

    Cost: O(nodes + edges). The order of `edges` does not change which nodes are reached.
    """
    below: dict[Node, list[Edge]] = {}
    for edge in edges:
        below.setdefault(edge.above, []).append(edge)
    reached: dict[Node, Reached] = {}
    queue: deque[Reached] = deque(Reached(seed, None) for seed in sorted(set(seeds)))
    while queue:
        head = queue.popleft()
        if head.node in reached:
            continue
        reached[head.node] = head
        queue.extend(Reached(edge.below, edge) for edge in sorted(below.get(head.node, ())))
    return tuple(reached.values())
