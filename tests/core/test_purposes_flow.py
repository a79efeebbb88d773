"""A purpose never widens through a model: over random lineage graphs, cycles and unknown origins included."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from unsee.core.flow import allowed, inputs, unknown
from unsee.core.lineage import Edge, Node
from unsee.core.purposes import PARENT

NODES = [Node(kind, str(n)) for kind in ("dataset", "run", "model") for n in range(4)]
edges = st.lists(st.builds(Edge, st.sampled_from(NODES), st.sampled_from(NODES), st.just("made")), max_size=20)
purposes = st.frozensets(st.sampled_from(sorted(PARENT)))
own = st.dictionaries(st.sampled_from(NODES[:6]), purposes)


@given(edges, own)
def test_r29_a_purpose_never_widens_through_a_model(graph, limits):
    for edge in graph:
        assert allowed(edge.below, graph, limits) <= allowed(edge.above, graph, limits)


@given(edges, own, st.sampled_from(NODES), purposes)
def test_a_limit_that_is_tightened_and_an_input_that_is_added_never_widen(graph, limits, node, some):
    tighter = {**limits, node: limits[node] & some} if node in limits else limits
    for one in NODES:
        now = allowed(one, graph, limits)
        assert allowed(one, graph, tighter) <= now
        # Of what nobody knows the origin of, an edge is no input added, but knowledge: it may allow more.
        if not unknown(one, graph, limits):
            assert allowed(one, [*graph, Edge(node, one, "made")], limits) <= now


@given(edges, own, st.randoms(use_true_random=False))
def test_the_order_of_edges_does_not_matter(graph, limits, random):
    shuffled = random.sample(graph, len(graph))
    assert all(allowed(n, graph, limits) == allowed(n, shuffled, limits) for n in NODES)


@given(edges, own, st.sampled_from(NODES))
def test_it_is_what_every_input_allows_that_has_something_to_say(graph, limits, node):
    """An outsider's reading: walk up by hand."""
    above, queue = set(), [node]
    while queue:
        head = queue.pop()
        if head not in above:
            above.add(head)
            queue += [e.above for e in graph if e.below == head]
    assert {r.node for r in inputs([node], graph)} == above
    known = set(limits)
    for _ in NODES:  # what was made from known things only, as often as it takes
        known |= {n for n in NODES if (ins := {e.above for e in graph if e.below == n}) and ins <= known}
    expected = set(PARENT) if above <= known else set()
    for one in above & set(limits):
        expected &= limits[one]
    assert allowed(node, graph, limits) == expected


def test_r13_a_model_that_nobody_knows_the_origin_of_may_be_used_for_nothing():
    data, run, base, model = Node("dataset", "d"), Node("run", "r"), Node("model", "base"), Node("model", "m")
    graph = [Edge(data, run, "trained-on"), Edge(run, model, "made-by")]
    may = {data: frozenset({"evaluate", "verify-1-to-1"})}
    assert allowed(model, graph, may) == {"evaluate", "verify-1-to-1"}
    assert allowed(model, [*graph, Edge(base, run, "fine-tuned-from")], may) == frozenset()
    known = {**may, base: frozenset({"verify-1-to-1", "share"})}
    assert allowed(model, [*graph, Edge(base, run, "fine-tuned-from")], known) == {"verify-1-to-1"}
