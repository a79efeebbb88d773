"""Both databases agree: the same random history, written to both, leaves the same world, the same answers and the same facts."""

from __future__ import annotations

import shutil
from datetime import date, timedelta

import pytest
from book_writing import DANA, NOW, a_source, photo, url_of
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from unsee.books import (
    agreements,
    batches,
    consents,
    facts,
    items,
    orders,
    parties,
    quarantine,
    residents,
    training,
    world,
)
from unsee.books.database import Books
from unsee.core.consent import Consent, ConsentState
from unsee.core.errors import UnseeError
from unsee.core.ids import AgreementId, DatasetId, ItemSet, OrderId, SourceId
from unsee.core.orders import Order, OrderState
from unsee.core.parties import Agreement, AgreementStatus
from unsee.core.policy import decide

SOURCES = [SourceId(name) for name in ("panel", "a-b", "ab", "a.b")]  # the order of bytes is not that of every language
PURPOSES = ["train", "train-face-recognition", "evaluate", "any"]
PEOPLE = [b"%032d" % n for n in range(5)]
MOMENTS = [NOW + timedelta(days=days) for days in (-400, 0, 1, 900)]

source = st.sampled_from(SOURCES)
purpose = st.sampled_from(PURPOSES)
few = st.lists(st.integers(0, 11), max_size=6)
day = st.integers(-500, 500)
photos = st.tuples(st.integers(0, 20), st.none() | st.integers(0, 4), st.integers(0, 1))
words = st.tuples(st.integers(0, 4), purpose, st.sampled_from(ConsentState), day, st.none() | day, st.booleans())
ACT = st.one_of(
    st.tuples(st.just("register"), source, st.booleans()),
    st.tuples(st.just("agree"), source, purpose, st.sampled_from(AgreementStatus), st.integers(0, 2)),
    st.tuples(st.just("take in"), source, st.lists(photos, max_size=4)),
    st.tuples(st.just("say"), source, st.lists(words, max_size=4)),
    st.tuples(st.just("live"), st.sampled_from(["US-IL", "US-TX", "EU"]), few),
    st.tuples(st.just("hold"), source, few),
    st.tuples(st.just("order"), source, few, st.booleans()),
    st.tuples(st.just("freeze"), purpose, few),
    st.tuples(st.just("fail"), source),
)


class Broken(Exception):
    """Something in the middle of an act."""


def act(tx, what, *with_what):
    """One act of a history, of the public functions of the books."""
    if what == "register":
        name, legacy = with_what
        parties.register_source(tx, a_source(name, legacy=legacy, geography="US-IL" if legacy else "IE"))
    elif what == "agree":
        name, allowed, status, number = with_what
        agreement = AgreementId(f"agreement-{name}-{number}".replace(".", "-"))
        if agreement not in {a.id for a in agreements.all_agreements(tx.conn)}:
            term = (date(2024, 1, 1), date(2026, 12, 31) if number else None)
            agreements.draft(
                tx, Agreement(agreement, name, ("giver", "taker"), (allowed,), *term, "0" * 64), person=DANA
            )
        agreements.move(tx, agreement, status, person=DANA, note="")
    elif what == "take in":
        name, photos = with_what
        people = items.subject_numbers(tx, name, [PEOPLE[p] for _, p, _ in photos if p is not None])
        known = items.known_sha256(tx.conn, name, [photo(f"{name} {n}").sha256 for n, _, _ in photos])
        new = {
            n: photo(f"{name} {n}", None if p is None else people[PEOPLE[p]], signals=signal)
            for n, p, signal in photos
            if photo(f"{name} {n}").sha256 not in known
        }
        batches.add_batch(tx, name, list(new.values()), counts={"new": len(new)}, person=DANA)
    elif what == "say":
        name, words = with_what
        people = items.subject_numbers(tx, name, [PEOPLE[p] for p, *_ in words])
        consents.record(
            tx,
            [
                Consent(
                    people[PEOPLE[p]],
                    about,
                    state,
                    "notice-1",
                    NOW + timedelta(days=said),
                    NOW + timedelta(days=said),
                    None if ends is None else NOW + timedelta(days=max(said, ends)),
                    released=released,
                )
                for p, about, state, said, ends, released in words
            ],
        )
    elif what == "live":
        jurisdiction, who = with_what
        residents.add(tx, jurisdiction, ItemSet(n + 1 for n in who))
    elif what == "hold":
        name, which = with_what
        held = parties.items_of_source(tx.conn, name) & ItemSet(which)
        quarantine.hold(tx, name, "drop", "by mail", held, person=DANA, expires_on=date(2026, 6, 1))
    elif what == "order":
        name, which, carried_out = with_what
        number = OrderId(f"order-{orders.next_order_number(tx.conn):04d}")
        scope = parties.items_of_source(tx.conn, name) & ItemSet(which)
        orders.open_order(tx, Order(number, name, "gdpr-17", "DPA", "o.pdf", "a" * 64, NOW.date(), DANA), scope)
        if carried_out:
            orders.move_order(tx, number, OrderState.APPLIED, {"rows": items.forget_content(tx, scope)})
    elif what == "freeze":
        allowed, which = with_what
        number = len(training.all_datasets(tx.conn))
        body = (DatasetId(f"set-{number}"), allowed, ItemSet(which), "0" * 64, None, {"n": number}, DANA, tx.at)
        training.freeze_dataset(tx, training.Dataset(*body))
    elif what == "fail":
        facts.record(tx, "NeverHappened")
        consents.record(tx, [Consent(1, "train", ConsentState.GIVEN, "n", NOW, NOW)])
        raise Broken


def live(url, history):
    """Write a history, act by act, and tell all that the books answer then."""
    books = Books.open(url, clock=lambda: NOW, entropy=bytes)
    outcomes = []
    for step in history:
        try:
            with books.write() as tx:
                act(tx, *step)
            outcomes.append("")
        except (UnseeError, Broken) as error:
            outcomes.append(str(error))
    with books.read() as conn:
        held = ItemSet(range(batches.next_item_id(conn)))
        answers = [
            (seen, {purpose: decide(purpose, held, seen, today=moment.date()) for purpose in PURPOSES})
            for moment in MOMENTS
            for seen in [world.as_of(conn, moment)]
        ]
        told = [(f.kind, f.body) for f in facts.recent(conn, 10_000)]
        people = [items.items_showing(conn, [ItemSet([n])])[0] for n in range(1, 40)]
        root = items.commitment(conn, held)
        frozen = training.all_datasets(conn)
    books.close()
    return outcomes, answers, told, people, root, frozen


@pytest.fixture
def fresh(server, template, database_template, tmp_path):
    """The URLs of two equal books, made anew at each call."""
    made = []

    def pair():
        path = tmp_path / f"{len(made)}.sqlite"
        made.append(server.make(database_template))
        return url_of(shutil.copy(template, path)), server.url(made[-1])

    yield pair
    for name in made:
        server.drop(name)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(history=st.lists(ACT, max_size=14))
@example(
    history=[
        ("register", SourceId("ab"), False),
        ("register", SourceId("a-b"), False),
        ("agree", SourceId("ab"), "train", AgreementStatus.APPROVED, 0),
        ("take in", SourceId("ab"), [(0, 0, 0), (1, 1, 0), (2, None, 1)]),
        ("fail", SourceId("ab")),
        ("say", SourceId("ab"), [(0, "train", ConsentState.GIVEN, -10, None, False)]),
        ("say", SourceId("ab"), [(1, "any", ConsentState.GIVEN, -9, None, True)]),
        ("say", SourceId("ab"), [(1, "train", ConsentState.WITHDRAWN, -8, None, False)]),
        ("live", "US-IL", [0]),
        ("take in", SourceId("a-b"), [(0, 0, 0)]),
        ("order", SourceId("ab"), [2], True),
        ("freeze", "train", [0, 1]),
    ]
)
def test_the_same_history_leaves_the_same_books_on_both(fresh, history):
    on_sqlite, on_postgres = (live(url, history) for url in fresh())
    for one, other in zip(on_sqlite, on_postgres, strict=True):
        assert one == other


def test_a_history_that_differs_is_told_apart(fresh):
    one, other = fresh()
    taken = ("take in", SOURCES[0], [(0, None, 0)])
    assert live(one, [taken])[1:] != live(other, [taken, ("order", SOURCES[0], [0], True)])[1:]
