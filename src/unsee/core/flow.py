"""Purposes flow: what was made from things may be used for at most what all of those things allow."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from unsee.core.lineage import Edge, Node, Reached, closure

Purposes = frozenset[str]


def inputs(of: Iterable[Node], edges: Iterable[Edge]) -> tuple[Reached, ...]:
    """All that `of` were made from, in whole or in part, themselves first; each with the edge that leads to it.

    Cost: O(nodes + edges). The order of `edges` does not matter, and a cycle ends.
    """
    return closure(of, (Edge(e.below, e.above, e.how) for e in edges))


def unknown(of: Node, edges: Collection[Edge], own: Collection[Node]) -> tuple[Node, ...]:
    """The inputs of `of`, itself included, of which nobody can say what they were made from, nearest first.

    Known are those in `own`, and what was made from known things only. So an origin that is not in `own` is unknown, and so is all
    that was made from it; a cycle, which no lineage has, is unknown too.
    """
    every = {r.node: r for r in inputs([of], edges)}
    above: dict[Node, set[Node]] = {}
    below: dict[Node, set[Node]] = {}
    for edge in edges:
        if edge.below in every:
            above.setdefault(edge.below, set()).add(edge.above)
            below.setdefault(edge.above, set()).add(edge.below)
    known = {node for node in every if node in own}
    queue = list(known)
    while queue:
        head = queue.pop()
        for node in below.get(head, ()):
            above[node].discard(head)
            if not above[node] and node not in known:
                known.add(node)
                queue.append(node)
    return tuple(node for node in every if node not in known)


def allowed(of: Node, edges: Collection[Edge], own: Mapping[Node, Purposes]) -> Purposes:
    """The purposes for which `of` may be used: what all of its inputs allow; nothing, where one of them is unknown (R4, R13).

    Args:
        own: what a node allows by itself, such as a dataset, whose items permit it. A node without an entry adds no limit.
    """
    if unknown(of, edges, own):
        return frozenset()
    return frozenset.intersection(*(own[r.node] for r in inputs([of], edges) if r.node in own))
