"""Which folder is which giver's: the rules of channels (R35)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsee.core.channels import KINDS, PERSONAL, Admission, Channel, admission, conflict, refused_kind
from unsee.core.ids import PersonId, SourceId
from unsee.core.parties import Source, SourceKind

FOLDERS = st.lists(st.sampled_from("abc"), max_size=3).map(lambda parts: PurePath("/", *parts))
SOURCES = st.sampled_from(["one", "two", "three"]).map(SourceId)


@st.composite
def channels(draw: st.DrawFn) -> list[Channel]:
    """Channels as they can come to be: each registered past the rule of conflict; some closed afterwards."""
    made: list[Channel] = []
    for number, (source, location) in enumerate(draw(st.lists(st.tuples(SOURCES, FOLDERS), max_size=8))):
        if conflict(source, location, made, used={c.id for c in made}) is None:
            made.append(Channel(f"c{number}", source, "folder", str(location), PersonId("dana"), "2026-01-01"))
    closed = draw(st.sets(st.sampled_from([c.id for c in made])) if made else st.just(set()))
    return [replace(c, closed_at="2026-02-01") if c.id in closed else c for c in made]


def a_source(name: str, kind: SourceKind = SourceKind.PARTNER, *, legacy: bool = False) -> Source:
    return Source(SourceId(name), name, kind, "Giver", date(2024, 1, 1), legacy=legacy)


@given(channels(), FOLDERS)
def test_r35_a_folder_is_admitted_for_one_giver_at_most(known: list[Channel], folder: PurePath) -> None:
    through = {s: admission(a_source(s), folder, known).channel for s in ("one", "two", "three")}
    assert sum(c is not None for c in through.values()) <= 1
    for source, name in through.items():
        for channel in known:
            if channel.id == name:
                assert (channel.source, channel.closed_at, channel.holds(folder)) == (source, None, True)


@given(channels(), FOLDERS)
def test_r35_photos_of_a_partner_come_through_a_channel_or_are_held(known: list[Channel], folder: PurePath) -> None:
    found = admission(a_source("one"), folder, known)
    assert (found.channel is None) == bool(found.held)


@given(channels(), FOLDERS, st.data())
def test_closing_a_channel_never_lets_more_in(known: list[Channel], folder: PurePath, data: st.DataObject) -> None:
    still = data.draw(st.sets(st.sampled_from([c.id for c in known])) if known else st.just(set()))
    fewer = [c if c.id in still else replace(c, closed_at="2026-03-01") for c in known]
    before, after = admission(a_source("one"), folder, known), admission(a_source("one"), folder, fewer)
    assert before.channel is not None or after.channel is None


def test_synthetic_and_legacy_photos_need_no_channel_but_take_nobody_elses() -> None:
    theirs = [Channel("c1", SourceId("one"), "folder", "/data/one", PersonId("dana"), "2026-01-01")]
    rendered = a_source("rendered", SourceKind.SYNTHETIC)
    assert admission(rendered, PurePath("/data/mine"), theirs) == Admission()
    assert "belongs to channel c1 of one" in admission(rendered, PurePath("/data/one/x"), theirs).held
    assert "belongs to channel c1 of one" in admission(rendered, PurePath("/data"), theirs).held
    assert admission(a_source("old", legacy=True), PurePath("/data/one"), theirs) == Admission()


def test_the_reason_says_what_is_wrong() -> None:
    folder, one = PurePath("/data/one"), a_source("one")
    mine = Channel("c1", SourceId("one"), "folder", "/data/one", PersonId("dana"), "2026-01-01")
    assert admission(one, folder, []).held == "it came through no registered channel of one"
    assert admission(one, folder, [replace(mine, closed_at="2026-02-03T00:00:00Z")]).held == (
        "channel c1 of one was closed on 2026-02-03"
    )
    inner = replace(mine, id="c2", location="/data/one/new")
    assert admission(one, PurePath("/data/one/new/x"), [mine, inner]).channel == "c2", "the innermost one"


def test_a_closed_channel_keeps_its_place_once_something_came_through_it() -> None:
    closed = Channel("c1", SourceId("one"), "folder", "/data/one", PersonId("dana"), "2026-01-01", "2026-02-01")
    assert conflict(SourceId("two"), PurePath("/data"), [closed], used=set()) is None
    assert conflict(SourceId("two"), PurePath("/data"), [closed], used={"c1"}) == closed
    assert conflict(SourceId("one"), PurePath("/data"), [closed], used={"c1"}) is None


@pytest.mark.parametrize("kind", KINDS)
def test_r35_a_kind_is_allowed_or_refused_as_personal(kind: str) -> None:
    personal = kind in {"email", "messenger", "personal-drive", "private-link"}
    assert refused_kind(kind) == (f"{kind}, {PERSONAL}" if personal else None)


def test_an_unknown_kind_is_none() -> None:
    assert refused_kind("pigeon") == "'pigeon' is no kind of channel"
