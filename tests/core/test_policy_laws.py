"""The laws of policy over random worlds, against an outsider's reading of its rules; and each refusal in its words."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsee.core.errors import UnknownPurpose
from unsee.core.ids import AgreementId, ItemSet, OrderId, SourceId
from unsee.core.parties import Agreement, AgreementStatus, Source, SourceKind
from unsee.core.policy import Standing, World, decide, summary
from unsee.core.purposes import PARENT

TODAY = date(2026, 5, 1)
DAYS = [date(2013, 1, 1), date(2014, 6, 1), date(2025, 12, 31), TODAY, date(2026, 5, 2), date(2030, 1, 1)]
HARD = {"erased", "blocked", "suppressed", "unknown-source"}

purposes = st.sampled_from(sorted(PARENT))
item_sets = st.sets(st.integers(0, 19)).map(ItemSet)
candidate_sets = st.just(ItemSet(range(22))) | item_sets


def world_of(seed):
    """A random world: up to three sources that share out most of 20 items, most of what lets a use through, some of what bars it.

    Drawn from one seed, because a draw for each field spends the examples on worlds in which nothing is permitted.
    """
    random = Random(seed)

    def mostly(usual, *others):
        return usual if random.random() < 0.8 else random.choice(others)

    def some(share=0.5):
        return ItemSet([i for i in range(20) if random.random() < share])

    def agreement(source):
        return Agreement(
            id=AgreementId(random.choice("abcdef")),
            source=source,
            parties=("giver", "taker"),
            purposes=tuple(random.sample(["any", "any", "train", "use-model", *PARENT], random.choice([1, 1, 2]))),
            prohibitions=tuple(random.sample(sorted(PARENT), random.choice([0, 1]))),
            valid_from=mostly(DAYS[0], *DAYS),
            valid_until=mostly(None, *DAYS),
            document_sha256="0" * 64,
            basis=random.choice(["consent", "no-data-subject"]),
            status=mostly(AgreementStatus.APPROVED, *AgreementStatus),
        )

    owner = [random.choice([0, 0, 1, 2, 3]) for _ in range(20)]
    standings = []
    for n in range(random.choice([1, 2, 3])):
        name = SourceId(f"source-{n}")
        source = Source(name, "t", SourceKind.PARTNER, "giver", mostly(DAYS[1], *DAYS), legacy=mostly(False, True))
        items = ItemSet([i for i, whose in enumerate(owner) if whose == n])
        standings.append(
            Standing(source, items, tuple(agreement(name) for _ in range(mostly(random.choice([1, 2]), 0, 3))))
        )
    return World(
        standings=tuple(standings),
        consented={purpose: some() for purpose in random.sample(["any", *PARENT], random.choice([0, 1, 2, 3]))},
        blocked={OrderId(f"order-000{n}"): some(0.2) for n in range(mostly(0, 1, 2))},
        suppressed=mostly(ItemSet(), some(0.3)),
        opted_out=mostly(ItemSet(), some(0.3)),
        erased=mostly(ItemSet(), some(0.3)),
    )


worlds = st.integers(0, 2**32).map(world_of)


def permitted(purpose, candidates, world):
    return decide(purpose, candidates, world, today=TODAY).permitted


# An outsider's reading of the five rules, item by item; slow, and sharing no code with the decision but the tree itself.


def line_of(purpose):
    line = {purpose}
    while (purpose := PARENT[purpose]) is not None:
        line.add(purpose)
    return line


def allows(agreement, purpose, collected):
    return (
        agreement.status == "approved"
        and any(p in line_of(purpose) for p in agreement.purposes)
        and not any(p in line_of(purpose) or purpose in line_of(p) for p in agreement.prohibitions)
        and all(agreement.valid_from <= d for d in (TODAY, collected))
        and all(agreement.valid_until is None or d <= agreement.valid_until for d in (TODAY, collected))
    )


def may_be_used(item, purpose, world):
    if item in world.erased or item in world.suppressed or any(item in b for b in world.blocked.values()):
        return False
    own = [s for s in world.standings if item in s.items]
    if not own or own[0].source.legacy:
        return False
    fitting = [a for a in own[0].agreements if allows(a, purpose, own[0].source.collected_on)]
    consents = any(item in items for given, items in world.consented.items() if given in line_of(purpose))
    if not any(a.basis != "consent" or consents for a in fitting):
        return False
    trains = "train" in line_of(purpose) or purpose in line_of("train")
    return not (trains and item in world.opted_out)


@settings(max_examples=1000)
@given(worlds, purposes, candidate_sets)
def test_what_is_permitted_is_what_the_rules_say_item_by_item(world, purpose, candidates):
    assert set(permitted(purpose, candidates, world)) == {i for i in candidates if may_be_used(i, purpose, world)}


@given(worlds, purposes, candidate_sets)
def test_permitted_and_refusals_part_the_candidates(world, purpose, candidates):
    before = candidates.copy()
    decision = decide(purpose, candidates, world, today=TODAY)
    parts = [decision.permitted, *(r.items for r in decision.refusals)]
    assert sum(map(len, parts)) == len(candidates)
    assert ItemSet.union(ItemSet(), *parts) == candidates == before
    assert decision.refused == candidates - decision.permitted
    assert all(r.items and r.reason for r in decision.refusals)


@given(worlds, purposes, candidate_sets)
def test_r5_no_override_lifts_a_block_an_erasure_or_a_suppression(world, purpose, candidates):
    decision = decide(purpose, candidates, world, today=TODAY)
    assert all(r.overridable == (r.code not in HARD) for r in decision.refusals)
    barred = ItemSet.union(world.erased, world.suppressed, *world.blocked.values()) & candidates
    lifted = ItemSet.union(decision.permitted, *(r.items for r in decision.refusals if r.overridable))
    assert not barred & lifted


@settings(max_examples=400)
@given(worlds, purposes, candidate_sets, item_sets, st.data())
def test_no_new_fact_against_a_use_permits_more(world, purpose, candidates, some, data):
    worse = [
        replace(world, consented={p: items - some for p, items in world.consented.items()}),  # a withdrawal, an expiry
        replace(world, blocked={**world.blocked, OrderId("order-0009"): some}),
        replace(world, suppressed=world.suppressed | some),
        replace(world, opted_out=world.opted_out | some),
        replace(world, erased=world.erased | some),
    ]
    for place, standing in enumerate(world.standings):

        def with_standing(place=place, standing=standing, **changes):
            return replace(
                world, standings=(*world.standings[:place], replace(standing, **changes), *world.standings[place + 1 :])
            )

        worse.append(with_standing(source=replace(standing.source, legacy=True)))
        for n, agreement in enumerate(standing.agreements):
            others = (*standing.agreements[:n], *standing.agreements[n + 1 :])
            worse += [
                with_standing(agreements=others),
                with_standing(agreements=(*others, replace(agreement, status=AgreementStatus.TERMINATED))),
                with_standing(agreements=(*others, replace(agreement, valid_until=date(2013, 1, 2)))),
                with_standing(
                    agreements=(
                        *others,
                        replace(agreement, prohibitions=(*agreement.prohibitions, data.draw(purposes))),
                    )
                ),
            ]
    now = permitted(purpose, candidates, world)
    for world_after in worse:
        assert permitted(purpose, candidates, world_after) <= now


@given(worlds, candidate_sets)
def test_what_is_permitted_for_a_purpose_is_permitted_for_those_below_it(world, candidates):
    for child, parent in PARENT.items():
        if parent is not None:
            assert permitted(parent, candidates, world) <= permitted(child, candidates, world)


@settings(max_examples=400)
@given(worlds, purposes, candidate_sets, st.randoms(use_true_random=False))
def test_the_order_of_sources_and_agreements_does_not_matter(world, purpose, candidates, random):
    def shuffled(values):
        values = list(values)
        random.shuffle(values)
        return tuple(values)

    other = replace(world, standings=shuffled(replace(s, agreements=shuffled(s.agreements)) for s in world.standings))
    one, two = (decide(purpose, candidates, w, today=TODAY) for w in (world, other))
    assert one.permitted == two.permitted
    assert {(r.code, tuple(r.items)) for r in one.refusals} == {(r.code, tuple(r.items)) for r in two.refusals}


@given(worlds, purposes, item_sets, item_sets)
def test_each_item_is_judged_by_itself(world, purpose, one, other):
    assert permitted(purpose, one | other, world) == permitted(purpose, one, world) | permitted(purpose, other, world)


@given(item_sets, purposes)
def test_without_facts_nothing_is_permitted(candidates, purpose):
    decision = decide(purpose, candidates, World(()), today=TODAY)
    assert not decision.permitted
    assert [r.code for r in decision.refusals] == (["unknown-source"] if candidates else [])


def test_a_purpose_that_is_not_in_the_tree_is_an_error():
    with pytest.raises(UnknownPurpose, match="train-face-recognition"):
        decide("world-domination", ItemSet([1]), World(()), today=TODAY)


# Stories: each reason in the words that people read.

OKCUPID = Source(SourceId("okcupid-2014"), "t", SourceKind.PARTNER, "OkCupid", date(2014, 9, 1))
CONTRACT = Agreement(
    AgreementId("contract"),
    OKCUPID.id,
    ("OkCupid", "Clarifai"),
    ("train",),
    date(2014, 1, 1),
    None,
    "0" * 64,
    basis="no-data-subject",
    status=AgreementStatus.APPROVED,
)


@pytest.mark.parametrize(
    ("source", "contracts", "code", "reason"),
    [
        ({"legacy": True}, [CONTRACT], "legacy", "okcupid-2014: taken in as legacy, without an approved agreement"),
        ({}, [], "no-agreement", "okcupid-2014: there is no agreement"),
        (
            {},
            [replace(CONTRACT, status=AgreementStatus.DRAFT)],
            "not-approved",
            "okcupid-2014: no approved agreement (contract is draft)",
        ),
        (
            {},
            [replace(CONTRACT, purposes=("evaluate",))],
            "purpose-not-agreed",
            "okcupid-2014: agreed for evaluate, not for train-face-recognition",
        ),
        (
            {},
            [replace(CONTRACT, prohibitions=("train-face-recognition",))],
            "purpose-not-agreed",
            "okcupid-2014: agreed for train, not for train-face-recognition",
        ),
        (
            {},
            [replace(CONTRACT, valid_until=date(2026, 4, 30))],
            "not-in-force",
            "okcupid-2014: no agreement for train-face-recognition is in force on 2026-05-01",
        ),
        (
            {"collected_on": date(2013, 12, 31)},
            [CONTRACT],
            "not-in-force-at-collection",
            "okcupid-2014: collected on 2013-12-31, when no agreement for train-face-recognition was in force",
        ),
        (
            {},
            [replace(CONTRACT, basis="consent")],
            "no-consent",
            "okcupid-2014: no consent in force that covers train-face-recognition",
        ),
    ],
)
def test_a_refusal_says_which_source_and_why(source, contracts, code, reason):
    standing = Standing(replace(OKCUPID, **source), ItemSet(range(5)), tuple(contracts))
    decision = decide("train-face-recognition", ItemSet(range(5)), World((standing,)), today=TODAY)
    assert [(r.code, r.reason, len(r.items)) for r in decision.refusals] == [(code, reason, 5)]


def test_r29_the_last_day_of_a_term_counts():
    standing = Standing(OKCUPID, ItemSet([1]), (replace(CONTRACT, valid_until=TODAY),))
    assert permitted("train", ItemSet([1]), World((standing,))) == ItemSet([1])
    day_after = decide("train", ItemSet([1]), World((standing,)), today=date(2026, 5, 2))
    assert [r.code for r in day_after.refusals] == ["not-in-force"]


def test_r29_a_prohibition_of_a_part_bars_the_whole():
    standing = Standing(
        OKCUPID, ItemSet([1]), (replace(CONTRACT, purposes=("any",), prohibitions=("mass-surveillance",)),)
    )
    world = World((standing,))
    assert permitted("identify-1-to-n", ItemSet([1]), world) == ItemSet([1])
    assert not permitted("mass-surveillance", ItemSet([1]), world)
    assert not permitted("use-model", ItemSet([1]), world)


def test_an_opt_out_of_training_bars_training_and_no_other_use():
    standing = Standing(OKCUPID, ItemSet([1, 2]), (replace(CONTRACT, purposes=("any",)),))
    world = World((standing,), opted_out=ItemSet([2]))
    assert permitted("evaluate", ItemSet([1, 2]), world) == ItemSet([1, 2])
    for purpose in ("train-face-recognition", "train", "any"):
        assert permitted(purpose, ItemSet([1, 2]), world) == ItemSet([1])


def test_a_refusal_is_printed_with_counts_largest_first():
    blocked = {OrderId("order-0001"): ItemSet(range(1200))}
    standing = Standing(OKCUPID, ItemSet(range(3)), ())
    decision = decide("train", ItemSet(range(1202)), World((standing,), blocked=blocked), today=TODAY)
    assert summary(decision.refusals) == (
        "blocked: 1,200 items: order order-0001 blocks any use; unknown-source: 2 items: no source is recorded for these items"
    )
    assert decision.refusals[0].as_json() == {
        "code": "blocked",
        "reason": "order order-0001 blocks any use",
        "items": 1200,
        "overridable": False,
    }
