"""What was made from what: the closure against reachability by hand, on random graphs with cycles."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from unsee.core.lineage import Edge, Node, closure

nodes = st.builds(Node, st.sampled_from(["dataset", "run", "model"]), st.sampled_from("abcd"))
edges = st.builds(Edge, nodes, nodes, st.sampled_from(["trained-on", "made-by"]))
graphs = st.lists(edges, max_size=40)


def reachable(seeds, graph):
    found = set(seeds)
    while fresh := {e.below for e in graph if e.above in found} - found:
        found |= fresh
    return found


def distances(seeds, graph):
    found = dict.fromkeys(seeds, 0)
    step = 0
    while fresh := {e.below for e in graph if e.above in found} - set(found):
        step += 1
        found |= dict.fromkeys(fresh, step)
    return found


@given(st.sets(nodes), graphs)
def test_r3_the_closure_is_everything_that_can_be_reached_each_once(seeds, graph):
    reached = [r.node for r in closure(seeds, graph)]
    assert len(reached) == len(set(reached))
    assert set(reached) == reachable(seeds, graph)


@given(st.sets(nodes), graphs, st.randoms(use_true_random=False))
def test_the_order_of_edges_and_seeds_does_not_matter(seeds, graph, random):
    shuffled, several = list(graph), sorted(seeds) * 2
    random.shuffle(shuffled)
    random.shuffle(several)
    assert closure(several, shuffled) == closure(seeds, graph)


@given(st.sets(nodes), graphs)
def test_seeds_come_first_and_each_reason_is_an_edge_from_something_nearer(seeds, graph):
    reached = closure(seeds, graph)
    assert [r.node for r in reached[: len(seeds)]] == sorted(seeds)
    far = distances(seeds, graph)
    for r in reached:
        if r.node in seeds:
            assert r.through is None
            assert r.reason == "holds items of the scope"
        else:
            assert r.through in graph
            assert r.through.below == r.node
            assert far[r.through.above] == far[r.node] - 1
            assert r.reason == f"{r.through.how} {r.through.above.kind} {r.through.above.name}"
    assert [far[r.node] for r in reached] == sorted(far.values())


@given(st.sets(nodes), graphs, edges)
def test_more_lineage_never_reaches_less(seeds, graph, edge):
    assert {r.node for r in closure(seeds, graph)} <= {r.node for r in closure(seeds, [*graph, edge])}


def test_a_model_of_a_model_is_reached():
    def made(above, below, how):
        return Edge(Node(*above), Node(*below), how)

    graph = [
        made(("run", "r2"), ("model", "m2"), "made-by"),
        made(("model", "m1"), ("run", "r2"), "trained-on"),
        made(("run", "r1"), ("model", "m1"), "made-by"),
        made(("dataset", "d1"), ("run", "r1"), "trained-on"),
        made(("dataset", "d2"), ("run", "r3"), "trained-on"),
    ]
    told = {str(r.node): r.reason for r in closure([Node("dataset", "d1")], graph)}
    assert told == {
        "dataset d1": "holds items of the scope",
        "run r1": "trained-on dataset d1",
        "model m1": "made-by run r1",
        "run r2": "trained-on model m1",
        "model m2": "made-by run r2",
    }
