"""The laws of exposure: nothing gets lost on the way down the lineage, parties add up, what is unknown is never nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from unsee.core.exposure import (
    Cost,
    Deadline,
    Graph,
    Made,
    carried,
    cost_of,
    datasets_above,
    fallen,
    kept,
    percent,
    share,
    worst_deadline,
)
from unsee.core.ids import ItemSet, OrderId, PersonId, SourceId
from unsee.core.lineage import Edge, Node, closure
from unsee.core.orders import PROFILES, Order, OrderState

TODAY = date(2026, 5, 1)
_DATASETS = [f"d{n}" for n in range(4)]
_MODELS = [f"m{n}" for n in range(5)]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Each model is made by one run, from datasets and from models that were there before."""
    edges, costs = [], {}
    for n, model in enumerate(_MODELS):
        above = draw(st.sets(st.sampled_from([*_DATASETS, *_MODELS[:n]]), max_size=3))
        run = Node("run", f"run-{model}")
        edges += [Edge(Node("dataset" if a in _DATASETS else "model", a), run, "trained-on") for a in sorted(above)]
        edges.append(Edge(run, Node("model", model), "made-by"))
        costs[run.name] = draw(
            st.sampled_from(
                [None, {}, {"cpu_s": "1.5"}, {"cpu_s": "2.25", "wall_s": "1"}, {"cpu_s": "0", "wall_s": "0"}]
            )
        )
    made = [Made(m, f"run-{m}", draw(st.booleans()), draw(st.booleans())) for m in _MODELS]
    return Graph(tuple(draw(st.permutations(edges))), tuple(made), costs)


items = st.sets(st.integers(0, 30)).map(ItemSet)
contents = st.fixed_dictionaries(dict.fromkeys(_DATASETS, items))


def falls(graph: Graph, held: dict[str, ItemSet], gone: ItemSet):
    return fallen({name: int(members.intersect(gone)) for name, members in held.items()}, 1, graph)[0]


@given(graphs(), contents, st.lists(items, min_size=1, max_size=5))
def test_all_parties_at_once_is_each_party_alone(
    graph: Graph, held: dict[str, ItemSet], parties: list[ItemSet]
) -> None:
    bits = {n: sum(1 << i for i, p in enumerate(parties) if members.intersect(p)) for n, members in held.items()}
    assert fallen(bits, len(parties), graph) == [falls(graph, held, p) for p in parties]


@given(graphs(), contents, items)
def test_r3_what_falls_is_the_closure_that_an_order_would_reach(graph: Graph, held, gone: ItemSet) -> None:
    result = falls(graph, held, gone)
    seeds = [Node("dataset", name) for name, members in held.items() if members.intersect(gone)]
    reached = {r.node for r in closure(seeds, graph.edges)}
    destroyed = {m.model for m in graph.models if m.destroyed}
    assert set(result.datasets) == {n.name for n in reached if n.kind == "dataset"}
    assert set(result.models) == {n.name for n in reached if n.kind == "model"} - destroyed
    assert set(result.deployed) == set(result.models) & {m.model for m in graph.models if m.deployed}


@given(graphs(), contents, items, items)
def test_without_two_is_without_their_union_in_any_order(graph: Graph, held, one: ItemSet, other: ItemSet) -> None:
    both = falls(graph, held, one | other)
    assert both == falls(graph, held, other | one)
    apart = falls(graph, held, one), falls(graph, held, other)
    for name in ("datasets", "models", "deployed"):
        assert set(getattr(both, name)) == set(getattr(apart[0], name)) | set(getattr(apart[1], name))
    for name, members in held.items():
        twice = kept(name, "p", kept(name, "p", members, one, {}).kept, other, {})
        assert twice.kept == kept(name, "p", members, one | other, {}).kept


@given(graphs(), contents)
def test_a_model_has_seen_all_that_its_inputs_have_seen(graph: Graph, held: dict[str, ItemSet]) -> None:
    seeds = {Node("dataset", name): 1 << n for n, name in enumerate(held)}
    found = carried(seeds, graph.edges)
    for edge in graph.edges:
        assert found.get(edge.below, 0) & found.get(edge.above, 0) == found.get(edge.above, 0)
    above = datasets_above(graph)
    for made in graph.models:
        assert above[made.model] == {n for k, n in enumerate(held) if found.get(Node("model", made.model), 0) >> k & 1}
        for edge in graph.edges:
            if edge.below == Node("run", made.run) and edge.above.kind == "model":
                assert above[edge.above.name] <= above[made.model]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd"))))
def test_a_circle_in_the_lineage_ends(pairs: list[tuple[str, str]]) -> None:
    edges = [Edge(Node("model", a), Node("model", b), "fine-tuned-from") for a, b in pairs]
    found = carried({Node("model", "a"): 1}, edges)
    assert set(found) == {r.node for r in closure([Node("model", "a")], edges)}


@given(graphs(), st.sets(st.sampled_from([f"run-{m}" for m in _MODELS])))
def test_a_cost_that_nobody_recorded_is_named_and_never_counted_as_nothing(graph: Graph, runs: set[str]) -> None:
    total = cost_of(sorted(runs), graph.costs)
    assert total.runs == len(runs)
    assert set(total.unknown) == {r for r in runs if not (graph.costs[r] or {}).keys() >= {"cpu_s", "wall_s"}}
    known = [graph.costs[r] for r in runs if r not in total.unknown]
    assert total.cpu_s == sum((Decimal(c["cpu_s"]) for c in known if c), Decimal(0))
    assert total.wall_s == sum((Decimal(c["wall_s"]) for c in known if c), Decimal(0))


def test_a_run_of_two_models_is_done_again_once() -> None:
    edges = [Edge(Node("dataset", "d"), Node("run", "r"), "trained-on")]
    edges += [Edge(Node("run", "r"), Node("model", m), "made-by") for m in "ab"]
    graph = Graph(tuple(edges), (Made("a", "r"), Made("b", "r")), {"r": {"cpu_s": "3", "wall_s": "2"}})
    assert fallen({"d": 1}, 1, graph)[0].retraining == Cost(Decimal(3), Decimal(2), 1)


@given(items, items, st.lists(st.integers(0, 3), min_size=31, max_size=31))
def test_groups_that_part_a_dataset_add_up_before_and_after(members: ItemSet, gone: ItemSet, of: list[int]) -> None:
    groups = {f"g{g}": ItemSet([i for i in range(31) if of[i] == g]) for g in range(4)}
    result = kept("d", "evaluate", members, gone, groups)
    assert sum(before for before, _ in result.groups.values()) == result.items == len(members)
    assert sum(after for _, after in result.groups.values()) == len(result.kept)
    assert result.kept == members - gone
    shares = [g["share"] for g in result.as_json()["groups"].values()]
    assert abs(sum(shares) - 1) < 1e-3 if len(members) else not shares


def an_order(number: int, days_ago: int, profile: str, state: OrderState) -> Order:
    effective = TODAY - timedelta(days=days_ago)
    return Order(
        OrderId(f"order-{number:04d}"), SourceId("s"), profile, "a", "i", "0" * 64, effective, PersonId("p"), state
    )


orders = st.lists(
    st.tuples(st.integers(0, 200), st.sampled_from(sorted(PROFILES)), st.sampled_from(list(OrderState))), max_size=5
).map(lambda rows: [an_order(n, *row) for n, row in enumerate(rows)])


@given(orders, st.sets(st.sampled_from(["data", "embeddings", "models", "third-parties"])), st.randoms())
def test_the_worst_deadline_is_the_nearest_one_under_way(found: list[Order], classes: set[str], random) -> None:
    worst = worst_deadline(found, classes, TODAY)
    shuffled = list(found)
    random.shuffle(shuffled)
    assert worst_deadline(shuffled, classes, TODAY) == worst
    assert worst_deadline([o for o in found if o.state is not OrderState.CERTIFIED], classes, TODAY) == worst
    opened = [
        on for o in found if o.state is OrderState.OPEN for on in PROFILES[o.profile].deadlines(o.effective).values()
    ]
    if opened:
        assert worst is not None
        assert worst.order is not None
        assert worst.on <= min(opened)
    if worst is not None and worst.order is None:
        assert worst.days == min(
            (on - TODAY).days for p in PROFILES.values() for c, on in p.deadlines(TODAY).items() if c in classes
        )
    if worst is not None:
        assert worst.days == (worst.on - TODAY).days


def test_a_deadline_says_what_it_is_for() -> None:
    running = an_order(7, 40, "ftc-everalbum", OrderState.OPEN)
    late = worst_deadline([running], {"data"}, TODAY)
    assert str(late) == "2026-04-21 (10 days late): data, order-0007"
    assert late == Deadline("data", date(2026, 4, 21), -10, "ftc-everalbum", OrderId("order-0007"))
    told = worst_deadline([replace(running, profile="ftc-avast", state=OrderState.VERIFIED)], {"data"}, TODAY)
    assert told is not None
    assert told.data_class == "third-parties"
    assert str(worst_deadline([], {"data", "models"}, TODAY)) == "none; 10 days under ftc-cambridge-analytica"
    assert worst_deadline([], (), TODAY) is None


def test_a_share_of_nothing_is_no_number() -> None:
    assert share(0, 0) is None
    assert share(1, 3) == 0.3333


def test_a_share_is_never_rounded_to_nothing_or_to_all() -> None:
    assert [percent(x) for x in (1.0, 0.999, 0.5, 0.011, 0.0001, 0)] == ["100 %", "99 %", "50 %", "1 %", "< 1 %", "0 %"]
