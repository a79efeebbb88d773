"""Laws of sharing: what was disclosed stays disclosed, a freeze lasts until what is frozen is confirmed, order does not matter."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from unsee.core.ids import InstructionId, ItemSet, ModelId, OrderId, PersonId, RecipientId
from unsee.core.sharing import (
    Disclosure,
    DisclosureKind,
    Instruction,
    InstructionEvent,
    Reach,
    freezes,
    received,
    unanswered,
)

ANN = PersonId("ann")
ITEMS = st.frozensets(st.integers(0, 9), max_size=6)
MODELS = st.frozensets(st.sampled_from(["m1", "m2", "m3"]), max_size=2)
WHO = st.sampled_from(["cloudy", "lab"])
ORDERS = st.sampled_from(["order-0001", "order-0002"])


@st.composite
def disclosed(draw: st.DrawFn) -> Disclosure:
    kind = draw(st.sampled_from(DisclosureKind))
    inside = kind is DisclosureKind.READER
    return Disclosure(
        kind, None if inside else RecipientId(draw(WHO)), date(2014, 1, draw(st.integers(1, 28))),
        ItemSet(draw(ITEMS)), tuple(ModelId(m) for m in sorted(draw(MODELS))), ("photo",), "share", "b", None, "c", None, ANN,
    )  # fmt: skip


@st.composite
def instructions(draw: st.DrawFn) -> Instruction:
    events = draw(st.lists(st.sampled_from(["replied", "confirmed", "forwarded"]), max_size=2))
    return Instruction(
        InstructionId("i"), OrderId(draw(ORDERS)), RecipientId(draw(WHO)), ItemSet(draw(ITEMS)),
        tuple(ModelId(m) for m in draw(MODELS)), "", None, ANN,
        events=tuple(InstructionEvent(e, None, "", ANN, "2026") for e in events),
    )  # fmt: skip


REACHES = st.dictionaries(ORDERS, st.tuples(ITEMS, MODELS), max_size=2).map(
    lambda d: [Reach(OrderId(o), ItemSet(i), frozenset(map(ModelId, m))) for o, (i, m) in d.items()]
)
DISCLOSURES = st.lists(disclosed(), max_size=5)
INSTRUCTIONS = st.lists(instructions(), max_size=4)


def outsiders_reading(told: list[Disclosure], reaches: list[Reach], sent: list[Instruction]) -> set[tuple[str, str]]:
    """Item by item and model by model: who holds something that an order reaches and nobody confirmed to be gone."""
    open_ends = set()
    for d in told:
        for r in reaches:
            held = {("item", i) for i in d.items if i in r.items} | {("model", m) for m in d.models if m in r.models}
            for kind, thing in held:
                if d.recipient and not any(
                    s.order == r.order
                    and s.recipient == d.recipient
                    and any(e.event == "confirmed" for e in s.events)
                    and thing in (s.items if kind == "item" else s.models)
                    for s in sent
                ):
                    open_ends.add((d.recipient, r.order))
    return open_ends


def pairs(found: object) -> set[tuple[str, str]]:
    return {(who, order) for who, orders in dict(found).items() for order in orders}


@given(DISCLOSURES, REACHES, INSTRUCTIONS)
def test_r17_who_is_frozen_is_what_an_outsider_reads(told, reaches, sent) -> None:
    assert pairs(freezes(told, reaches, sent)) == outsiders_reading(told, reaches, sent)


@given(DISCLOSURES, REACHES, INSTRUCTIONS, st.randoms(use_true_random=False))
def test_the_order_of_facts_does_not_matter(told, reaches, sent, chance) -> None:
    before = freezes(told, reaches, sent)
    for facts in (told, reaches, sent):
        chance.shuffle(facts)
    assert freezes(told, reaches, sent) == before


@given(DISCLOSURES, disclosed(), ITEMS, MODELS)
def test_r18_a_further_disclosure_never_turns_shared_into_not_shared(told, more, items, models) -> None:
    before, after = (received(d, ItemSet(items), map(ModelId, models)) for d in (told, [*told, more]))
    for who, got in before.items():
        assert got.items <= after[who].items
        assert set(got.models) <= set(after[who].models)


@given(DISCLOSURES, disclosed(), REACHES, INSTRUCTIONS, instructions())
def test_r17_only_a_confirmation_unfreezes(told, more, reaches, sent, further) -> None:
    frozen = pairs(freezes(told, reaches, sent))
    assert frozen <= pairs(freezes([*told, more], reaches, sent))
    unconfirmed = replace(further, events=tuple(e for e in further.events if e.event != "confirmed"))
    assert frozen == pairs(freezes(told, reaches, [*sent, unconfirmed]))
    assert pairs(freezes(told, reaches, [*sent, further])) <= frozen


@given(DISCLOSURES, REACHES)
def test_confirming_all_that_was_received_unfreezes(told, reaches) -> None:
    sent = [
        Instruction(
            InstructionId("i"), r.order, who, got.items, got.models, "", None, ANN,
            events=(InstructionEvent("confirmed", None, "", ANN, "2026"),),
        )
        for r in reaches
        for who, got in received(told, r.items, r.models).items()
    ]  # fmt: skip
    assert freezes(told, reaches, sent) == {}


@given(DISCLOSURES, REACHES, INSTRUCTIONS)
def test_who_was_sent_all_is_not_told_again(told, reaches, sent) -> None:
    for reach in reaches:
        for got in received(told, reach.items, reach.models).values():
            left = unanswered(got, reach, sent, confirmed=False)
            assert left.items <= unanswered(got, reach, sent).items


@given(disclosed())
def test_reading_inside_the_house_is_nobodys_receipt(one) -> None:
    inside = replace(one, recipient=None)
    assert received([inside], ItemSet(range(10)), [ModelId("m1"), ModelId("m2"), ModelId("m3")]) == {}
