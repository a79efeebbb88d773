"""The laws of policy over random worlds, against an outsider's reading of its rules; and each refusal in its words."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsee.core.errors import UnknownPurpose
from unsee.core.ids import AgreementId, ItemSet, OrderId, SourceId
from unsee.core.parties import Agreement, AgreementStatus, Source, SourceKind
from unsee.core.policy import Bar, Standing, World, decide, summary
from unsee.core.purposes import PARENT
from unsee.core.rules import CITED, JURISDICTIONS, Entry, Jurisdiction, RuleBook

TODAY = date(2026, 5, 1)
DAYS = [date(2013, 1, 1), date(2014, 6, 1), date(2025, 12, 31), TODAY, date(2026, 5, 2), date(2030, 1, 1)]
HARD = {"erased", "blocked", "quarantined", "suppressed", "unknown-source"}
PLACES = ["AA", "BB", "UU", "none"]
CITATIONS = dict.fromkeys(CITED, "a law")

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

    def rules():
        return RuleBook(
            tuple(
                Jurisdiction(
                    name,
                    name,
                    covers=("CC", "DD") if name == "UU" else (),
                    written_release=random.random() < 0.5,
                    separate_from_terms=random.random() < 0.5,
                    retention_days=mostly({}, {"photo": random.choice([0, 150, 5000])}, {"embedding": 0}),
                    prohibited=mostly((), (random.choice(sorted(PARENT)),)),
                    citations=CITATIONS,
                )
                for name in PLACES
            ),
            mostly({}, {"photo": Entry(random.choice([200, 5000]), "b")}, {"location": Entry(0, "b")}),
        )

    def share_of(given):
        return {purpose: items & some(0.7) for purpose, items in given.items()}

    owner = [random.choice([0, 0, 1, 2, 3]) for _ in range(20)]
    standings = []
    for n in range(random.choice([1, 2, 3])):
        name = SourceId(f"source-{n}")
        source = Source(name, "t", SourceKind.PARTNER, "giver", mostly(DAYS[1], *DAYS), legacy=mostly(False, True))
        source = replace(source, geography=mostly("unknown", "AA", "cc", "DD-1", "ZZ"))
        items = ItemSet([i for i, whose in enumerate(owner) if whose == n])
        standings.append(
            Standing(
                source,
                items,
                tuple(agreement(name) for _ in range(mostly(random.choice([1, 2]), 0, 3))),
                mostly((), (Bar("overdue", "o"),), (Bar("z", "z"), Bar("a", "a"))),
            )
        )
    consented = {purpose: some() for purpose in random.sample(["any", *PARENT], random.choice([0, 1, 2, 3]))}
    return World(
        standings=tuple(standings),
        consented=consented,
        released=share_of(consented),
        separate=share_of(consented),
        residents={place: some(0.3) for place in random.sample(["AA", "BB", "CC", "DD-1", "ZZ", "none"], 2)},
        rules=rules(),
        quarantined=mostly(ItemSet(), some(0.3)),
        blocked={OrderId(f"order-000{n}"): some(0.2) for n in range(mostly(0, 1, 2))},
        suppressed=mostly(ItemSet(), some(0.3)),
        opted_out=mostly(ItemSet(), some(0.3)),
        erased=mostly(ItemSet(), some(0.3)),
    )


worlds = st.integers(0, 2**32).map(world_of)


def permitted(purpose, candidates, world):
    return decide(purpose, candidates, world, today=TODAY).permitted


# An outsider's reading of the rules, item by item; slow, and sharing no code with the decision but the tree itself.


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


def known_place(code, rules):
    """The rules of a code, of those that it is covered by, or of the place that it is a part of."""
    parts = code.upper().split("-")
    for n in range(len(parts), 0, -1):
        for one in rules.jurisdictions:
            if "-".join(parts[:n]) in {one.id.upper(), *one.covers}:
                return one
    return None


def places_of(item, source, world):
    lives = [known_place(code, world.rules) for code, items in world.residents.items() if item in items]
    lives = [place for place in lives if place] or [known_place(source.geography, world.rules)]
    return [place for place in lives if place]


def protected(item, purpose, basis, source, world):
    """Whether the law of the person's place is kept, and the consent that it asks for is there."""

    def says_yes(consents):
        return any(item in items for given, items in consents.items() if given in line_of(purpose))

    places = places_of(item, source, world)
    kept = (TODAY - source.collected_on).days
    limits = [place.retention_days["photo"] for place in places if "photo" in place.retention_days]
    limits += [world.rules.schedule["photo"].days] if "photo" in world.rules.schedule else []
    barred = [purpose_ for place in places for purpose_ in place.prohibited]
    return (
        all(kept <= limit for limit in limits)
        and not any(p in line_of(purpose) or purpose in line_of(p) for p in barred)
        and (basis != "consent" or says_yes(world.consented))
        and (says_yes(world.released) or not any(place.written_release for place in places))
        and (basis != "consent" or says_yes(world.separate) or not any(p.separate_from_terms for p in places))
    )


def may_be_used(item, purpose, world):
    hard = [world.erased, world.suppressed, world.quarantined, *world.blocked.values()]
    if any(item in items for items in hard):
        return False
    own = [s for s in world.standings if item in s.items]
    if not own or own[0].source.legacy or own[0].bars:
        return False
    fitting = [a for a in own[0].agreements if allows(a, purpose, own[0].source.collected_on)]
    bases = {a.basis for a in fitting}
    if not any(b == "no-data-subject" or protected(item, purpose, b, own[0].source, world) for b in bases):
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
    barred = ItemSet.union(world.erased, world.suppressed, world.quarantined, *world.blocked.values()) & candidates
    lifted = ItemSet.union(decision.permitted, *(r.items for r in decision.refusals if r.overridable))
    assert not barred & lifted


def stricter(rules, purpose):
    """The same rules with one of them tightened, and with a jurisdiction where there was none."""
    days = rules.schedule["photo"].days - 100 if "photo" in rules.schedule else 100
    yield replace(rules, schedule={**rules.schedule, "photo": Entry(days, "a new schedule")})
    for n, place in enumerate(rules.jurisdictions):
        for tightened in (
            replace(place, written_release=True),
            replace(place, separate_from_terms=True),
            replace(place, prohibited=(*place.prohibited, purpose)),
            replace(
                place, retention_days={**place.retention_days, "photo": place.retention_days.get("photo", 400) - 1}
            ),
        ):
            yield replace(rules, jurisdictions=(*rules.jurisdictions[:n], tightened, *rules.jurisdictions[n + 1 :]))


@settings(max_examples=400)
@given(worlds, purposes, candidate_sets, item_sets, st.data())
def test_no_new_fact_against_a_use_permits_more(world, purpose, candidates, some, data):
    worse = [
        replace(world, consented={p: items - some for p, items in world.consented.items()}),  # a withdrawal, an expiry
        replace(world, blocked={**world.blocked, OrderId("order-0009"): some}),
        replace(world, released={p: items - some for p, items in world.released.items()}),
        replace(world, separate={p: items - some for p, items in world.separate.items()}),
        replace(world, quarantined=world.quarantined | some),
        replace(world, suppressed=world.suppressed | some),
        *(replace(world, rules=rules) for rules in stricter(world.rules, data.draw(purposes))),
        replace(world, opted_out=world.opted_out | some),
        replace(world, erased=world.erased | some),
    ]
    for place, standing in enumerate(world.standings):

        def with_standing(place=place, standing=standing, **changes):
            return replace(
                world, standings=(*world.standings[:place], replace(standing, **changes), *world.standings[place + 1 :])
            )

        worse.append(with_standing(source=replace(standing.source, legacy=True)))
        worse.append(with_standing(bars=(*standing.bars, Bar("policy-contradicts", "the privacy policy forbids it"))))
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

    other = replace(
        world,
        standings=shuffled(
            replace(s, agreements=shuffled(s.agreements), bars=shuffled(s.bars)) for s in world.standings
        ),
        rules=replace(world.rules, jurisdictions=shuffled(world.rules.jurisdictions)),
        **{
            name: dict(shuffled(getattr(world, name).items()))
            for name in ("consented", "released", "separate", "residents", "blocked")
        },
    )
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


# The laws of places, in the words that people read.

ASKED = replace(CONTRACT, basis="consent", purposes=("any",))
ONE = ItemSet([1])


def refused(purpose="train", *, collected=date(2026, 1, 1), **facts):
    source = replace(OKCUPID, collected_on=collected, geography=facts.pop("geography", "US"))
    contract = facts.pop("contract", ASKED)
    world = World((Standing(source, ONE, (contract,)),), rules=RuleBook(JURISDICTIONS), **facts)
    return [(r.code, r.reason) for r in decide(purpose, ONE, world, today=TODAY).refusals]


def test_r30_in_illinois_only_a_written_release_counts_also_for_what_was_received_in_trade():
    agreed = {"consented": {"train": ONE}, "residents": {"US-IL": ONE}}
    words = "okcupid-2014: no written release in force that covers train; US-IL asks for one (740 ILCS 14/15(b)(3))"
    assert refused(**agreed) == [("no-written-release", words)]
    assert refused(**agreed, released={"train": ONE}) == []
    assert refused(**agreed, contract=replace(ASKED, basis="other")) == [("no-written-release", words)]
    assert refused(**agreed, contract=replace(ASKED, basis="no-data-subject")) == []


def test_r29_in_the_union_consent_stands_apart_from_other_terms():
    agreed = {"consented": {"train": ONE}, "geography": "DE-BY"}
    assert [code for code, _ in refused(**agreed)] == ["consent-not-separate"]
    assert refused(**agreed, separate={"train": ONE}) == []
    assert [code for code, _ in refused("mass-surveillance", **agreed)] == ["prohibited-here"]


@pytest.mark.parametrize(("place", "days"), [("US-TX", 365), ("US-IL", 1095)])
def test_r31_the_last_day_of_a_limit_counts(place, days):
    agreed = {"consented": {"train": ONE}, "released": {"train": ONE}, "residents": {place: ONE}}
    collected = TODAY - timedelta(days=days)
    agreed["contract"] = replace(ASKED, valid_from=date(2000, 1, 1))
    assert refused(**agreed, collected=collected) == []
    ((code, reason),) = refused(**agreed, collected=collected - timedelta(days=1))
    assert code == "kept-too-long"
    assert f"{place} keeps photo {days:,} days (" in reason


def test_a_person_is_protected_where_they_live_and_else_where_the_source_is():
    agreed = {"consented": {"train": ONE}}
    assert refused(**agreed, geography="US-IL", residents={"none": ONE}) == []
    assert refused(**agreed, geography="US-IL", residents={"atlantis": ONE})[0][0] == "no-written-release"
    both = refused(**agreed, residents={"DE": ONE, "US-IL": ONE}, released={"train": ONE})
    assert [code for code, _ in both] == ["consent-not-separate"], (
        "who is recorded in two places has the rights of both"
    )
