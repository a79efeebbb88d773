"""Channels and quarantines as the books keep them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date
from pathlib import PurePath

import pytest
from book_writing import DANA, NOW, PANEL, add, open_books, photo
from hypothesis import given, settings
from hypothesis import strategies as st

from unsee.books import agreements, channels, parties, quarantine, world
from unsee.books.database import Books
from unsee.core.channels import Channel
from unsee.core.errors import AlreadyExists, NotFound, WrongState
from unsee.core.ids import AgreementId, ItemSet, OrderId, PersonId
from unsee.core.parties import Agreement, AgreementStatus
from unsee.core.policy import decide

DROP = Channel("drop", PANEL, "sftp-drop", "/data/panel", DANA, "")
EXPIRY = date(2026, 5, 31)
PAPER = Agreement(
    AgreementId("paper"), PANEL, ("giver",), ("evaluate",), date(2024, 1, 1), None, "0" * 64, basis="no-data-subject"
)


def test_a_channel_is_added_once_and_closed_once(books: Books) -> None:
    with books.write() as tx:
        channels.add(tx, DROP)
        assert channels.admission_of(tx.conn, PANEL, PurePath("/data/panel/may")).channel == "drop"
        with pytest.raises(AlreadyExists):
            channels.add(tx, DROP)
        with pytest.raises(NotFound):
            channels.add(tx, replace(DROP, id="other", source="nowhere"))
        assert channels.close(tx, "drop", person=DANA).closed_at == tx.at
        with pytest.raises(WrongState, match="was closed on 2026-05-01"):
            channels.close(tx, "drop", person=DANA)
        with pytest.raises(NotFound):
            channels.close(tx, "nowhere", person=DANA)
        assert "was closed" in channels.admission_of(tx.conn, PANEL, PurePath("/data/panel/may")).held


def test_batches_of_one_intake_share_a_quarantine_and_others_do_not(books: Books) -> None:
    with books.write() as tx:
        first, second, third = (add(tx, photo(n)) for n in range(3))
        name = quarantine.hold(tx, PANEL, "/in", "no channel", first, person=DANA, expires_on=EXPIRY)
        again = quarantine.hold(tx, PANEL, "/in", "no channel", second, person=DANA, expires_on=date(2027, 1, 1))
        other = quarantine.hold(tx, PANEL, "/in", "no channel", third, person=PersonId("ben"), expires_on=EXPIRY)
        assert (name, again, other) == ("quarantine-0001", "quarantine-0001", "quarantine-0002")
        held = quarantine.quarantine(tx.conn, name)
        assert (held.items, held.expires_on) == (first | second, EXPIRY)
        assert quarantine.quarantined(tx.conn) == first | second | third
        quarantine.release(tx, name, person=PersonId("ada"), note="looked through")
        assert quarantine.quarantined(tx.conn) == third
        assert quarantine.released(tx.conn) == first | second
        after = quarantine.hold(tx, PANEL, "/in", "no channel", add(tx, photo(9)), person=DANA, expires_on=EXPIRY)
        assert after == "quarantine-0003", "what was decided takes nothing more in"


def test_what_was_ordered_away_stays_barred(books: Books) -> None:
    with books.write() as tx:
        items = add(tx, photo(1), photo(2))
        name = quarantine.hold(tx, PANEL, "/in", "no channel", items, person=DANA, expires_on=EXPIRY)
        held = quarantine.quarantine(tx.conn, name)
        assert [held.state(date(2026, 5, d)) for d in (30, 31)] == ["held", "expired"]
        quarantine.order_erasure(tx, name, OrderId("order-0001"), person=DANA)
        held = quarantine.quarantine(tx.conn, name)
        assert (held.state(EXPIRY), held.order, held.released) == ("erasure-ordered", "order-0001", False)
        assert quarantine.quarantined(tx.conn) == items
        with pytest.raises(NotFound):
            quarantine.release(tx, "quarantine-0009", person=DANA, note="")


def test_nothing_is_quarantined_at_first(books: Books) -> None:
    with books.read() as conn:
        assert quarantine.quarantined(conn) == quarantine.released(conn) == ItemSet()
        assert quarantine.all_quarantines(conn) == []
        assert channels.taken_in_through(conn) == {}


@settings(deadline=None)
@given(
    batches=st.lists(st.tuples(st.integers(1, 3), st.booleans(), st.booleans()), max_size=5),
)
def test_quarantine_takes_away_and_release_gives_back_and_neither_permits_more(template, tmp_path_factory, batches):
    path = shutil.copy(template, tmp_path_factory.mktemp("law") / "books.sqlite")
    books = open_books(path)
    with books.write() as tx:
        agreements.draft(tx, PAPER, person=DANA)
        agreements.move(tx, PAPER.id, AgreementStatus.APPROVED, person=DANA, note="")
    barred, number = ItemSet(), 0
    for size, held, released in batches:
        with books.write() as tx:
            new = add(tx, *(photo(number + n) for n in range(size)))
            number += size
            if held:
                name = quarantine.hold(tx, PANEL, f"/in/{number}", "why", new, person=DANA, expires_on=EXPIRY)
                if released:
                    quarantine.release(tx, name, person=PersonId("ada"), note="")
                else:
                    barred |= new
        with books.read() as conn:
            everything = parties.items_of_source(conn, PANEL)
            answer = decide("evaluate", everything, world.as_of(conn, NOW), today=NOW.date())
        assert answer.permitted == everything - barred
        assert [(r.code, r.items, r.overridable) for r in answer.refusals] == (
            [("quarantined", barred, False)] if barred else []
        )
    books.close()
