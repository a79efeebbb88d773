"""R35: the system finds every path from a person to a party, and only those, on any graph of holdings."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from unsee.core import interests
from unsee.core.approval import objection
from unsee.core.ids import PersonId, SourceId
from unsee.core.interests import Reach, attributed, paths, ring, same_name
from unsee.core.parties import Holding, Interest, Person

CLEO, EVE = PersonId("cleo"), PersonId("eve")
DAY = date(2014, 1, 1)
NAMES = ["Alpha", "Beta", "Gamma", "Delta", "Epsilon"]


def stake(organisation, person=CLEO, kind="equity"):
    return Interest("Holder", organisation, kind, DAY, person)


def holds(holder, held, kind="equity"):
    return Holding(holder, held, kind, DAY)


def names(path):
    """The organisations that a path leads through, in walking order."""
    return (path.interest.organisation, *(s.held if path.reach is Reach.DOWN else s.holder for s in path.steps))


names_of = st.sampled_from(NAMES)
stakes = st.lists(
    st.builds(stake, names_of, st.sampled_from([CLEO, EVE]), st.sampled_from(["equity", "board"])), max_size=4
)
graphs = st.lists(st.builds(holds, names_of, names_of, st.sampled_from(["equity", "board"])), max_size=9)
some_names = st.lists(names_of, min_size=1, max_size=3)


def by_brute_force(interest, holdings, goal):
    """Every simple walk from the interest's organisation to `goal`, down and up, found by trying everything."""
    found = set()

    def walk(place, steps, seen, reach):
        if place == goal and steps:
            found.add((steps, reach))
            return
        for h in set(holdings):
            start, end = (h.holder, h.held) if reach is Reach.DOWN else (h.held, h.holder)
            if start == place and end not in seen:
                walk(end, (*steps, h), seen | {end}, reach)

    if interest.organisation == goal:
        return {((), Reach.DIRECT)}
    for reach in (Reach.DOWN, Reach.UP):
        walk(interest.organisation, (), {interest.organisation}, reach)
    return found


@given(stakes, graphs, some_names)
def test_r35_exactly_the_simple_directed_paths_are_found(declared, holdings, parties):
    found = paths(CLEO, declared, holdings, parties)
    expected = {
        (i, steps, reach, goal)
        for i in declared
        if i.person == CLEO
        for goal in parties
        for steps, reach in by_brute_force(i, holdings, goal)
    }
    assert {(p.interest, p.steps, p.reach, p.party) for p in found} == expected
    assert len(found) == len(expected)
    assert [len(p.steps) for p in found] == sorted(len(p.steps) for p in found)


@given(stakes, graphs, some_names, st.randoms(use_true_random=False))
def test_the_order_of_facts_does_not_matter(declared, holdings, parties, random):
    found = paths(None, declared, holdings, parties)
    for facts in (declared, holdings, parties):
        random.shuffle(facts)
    assert paths(None, declared, holdings, parties) == found


@given(stakes, graphs, st.builds(holds, names_of, names_of), some_names)
def test_r35_a_holding_more_never_removes_a_path(declared, holdings, new, parties):
    assert set(paths(None, declared, holdings, parties)) <= set(paths(None, declared, [*holdings, new], parties))


@given(stakes, graphs, st.builds(stake, names_of), some_names)
def test_r35_an_interest_more_never_makes_an_approver_acceptable(declared, holdings, new, parties):
    def refused(known):
        return objection(CLEO, author=EVE, parties=parties, interests=known, holdings=holdings) is not None

    assert refused([*declared, new]) >= refused(declared)


def test_r35_through_a_holding_entity_down_and_through_a_subsidiary_up():
    holdings = [
        holds("Cleo Holding", "Match Group"),
        holds("Match Group", "OkCupid"),
        holds("Acme Vision", "Acme Labs"),
    ]
    down, up = stake("Cleo Holding"), stake("Acme Labs", kind="advisory")
    found = paths(CLEO, [down, up], holdings, ["OkCupid", "Acme Vision"])
    assert [(names(p), p.reach, p.party) for p in found] == [
        (("Acme Labs", "Acme Vision"), Reach.UP, "Acme Vision"),
        (("Cleo Holding", "Match Group", "OkCupid"), Reach.DOWN, "OkCupid"),
    ]
    assert str(found[1]) == (
        "cleo declared an interest (equity) in Cleo Holding, which holds (equity) Match Group, which holds (equity) OkCupid,"
        " a party to this hand-over"
    )
    assert str(found[0]).endswith("Acme Labs, which is held (equity) by Acme Vision, a party to this hand-over")


def test_directions_are_not_mixed_two_firms_of_one_shareholder_are_not_related():
    shared = [holds("Index Fund", "OkCupid"), holds("Index Fund", "Bakery")]
    assert paths(CLEO, [stake("Bakery")], shared, ["OkCupid"]) == ()
    joint = [holds("OkCupid", "Joint Venture"), holds("Bakery", "Joint Venture")]
    assert paths(CLEO, [stake("Bakery")], joint, ["OkCupid"]) == ()
    assert len(paths(CLEO, [stake("Index Fund")], shared, ["OkCupid"])) == 1


@given(
    st.sampled_from(["okcupid", " OkCupid ", "OK\tCUPID", "ＯｋＣｕｐｉｄ"]), st.sampled_from(["OkCupid", "OKCUPID"])
)
def test_r35_no_spelling_hides_an_interest(declared, party):
    wanted = party if "\t" not in declared else "Ok Cupid"
    assert same_name(declared) == same_name(wanted)
    assert paths(CLEO, [stake(declared)], [], [wanted])


def test_r35_an_interest_declared_for_the_source_is_a_path():
    declared = Interest("Cleo", "Some Holding", "equity", DAY, CLEO, SourceId("okcupid-2014"))
    (path,) = paths(None, [declared], [], ["OkCupid"], source=SourceId("okcupid-2014"))
    assert (path.reach, path.party) == (Reach.DECLARED, "okcupid-2014")
    assert paths(None, [declared], [], ["OkCupid"], source=SourceId("panel")) == ()


def test_an_interest_declared_by_name_is_that_persons():
    people = [
        Person(i, n, "t", "o", "00") for i, n in ((CLEO, "Cleo Marsh"), (EVE, "Eve"), (PersonId("cm"), "CLEO  marsh"))
    ]
    outside = Interest("cleo marsh", "OkCupid", "family", DAY)
    assert [i.person for i in attributed([outside], people)] == ["cleo", "cm"]
    own = stake("OkCupid", EVE)
    stranger = Interest("Max", "OkCupid", "equity", DAY)
    assert attributed([own, stranger], people) == [own, stranger]


def test_a_graph_with_more_paths_than_anybody_reads_ends_with_the_shortest_among_them():
    layers = 40
    wide = [
        holds(f"{n}-{a}", f"{n + 1}-{b}") for n in range(layers) for a in range(3) for b in range(3)
    ]  # 3 to the 39th paths
    ends = [holds("Start", f"0-{a}") for a in range(3)] + [holds(f"{layers}-{a}", "Goal") for a in range(3)]
    short = [holds("Start", "Shortcut"), holds("Shortcut", "Goal")]
    found = paths(CLEO, [stake("Start")], [*wide, *ends, *short], ["Goal"])
    assert len(found) == interests.LIMIT
    assert names(found[0]) == ("Start", "Shortcut", "Goal")


def test_a_long_chain_is_no_trouble():
    chain = [holds(f"{n}", f"{n + 1}") for n in range(3_000)]
    (path,) = paths(CLEO, [stake("0")], chain, ["3000"])
    assert len(path.steps) == 3_000


@given(graphs, st.builds(holds, names_of, names_of))
def test_a_ring_is_named_exactly_when_a_holding_closes_one(holdings, new):
    apart = []
    for h in holdings:  # as the books do: nothing that closes a ring is taken
        if not ring(apart, h):
            apart.append(h)
    assert all(not by_brute_force_ring(apart, n) for n in NAMES)
    closed = ring(apart, new)
    assert bool(closed) == any(by_brute_force_ring([*apart, new], n) for n in NAMES)
    if closed:
        assert closed[0] == closed[-1] == new.holder
        pairs = {(h.holder, h.held) for h in [*apart, new]}
        assert all(step in pairs for step in pairwise(closed))


def by_brute_force_ring(holdings, start):
    """Whether one can walk from `start` back to it."""
    seen, queue = set(), [start]
    while queue:
        place = queue.pop()
        for h in holdings:
            if h.holder == place and h.held not in seen:
                seen.add(h.held)
                queue.append(h.held)
    return start in seen
