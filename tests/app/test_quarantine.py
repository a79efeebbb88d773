"""Photos that came by no channel: recorded, reached by every order, used by nobody until an independent reviewer lets them go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from small_corpus import ADA, BEN, CLEO, DANA, MEMBERS, OKCUPID, PANEL, TRAIN, Corpus, innocent
from unsee.app import channels, intake, interests, quarantine
from unsee.app.workspace import Workspace, open_workspace
from unsee.books import parties
from unsee.books.quarantine import quarantined
from unsee.core.errors import (
    AlreadyExists,
    ApprovalRefused,
    BlockedByOrder,
    InvalidValue,
    NotFound,
    PolicyRefusal,
    Refused,
    WrongState,
)
from unsee.core.ids import ItemSet, PersonId, SourceId
from unsee.core.parties import Interest

ROWS = "file,person,consent,consent_notice,consent_from\n"


@pytest.fixture
def gift(small: Corpus) -> Path:
    """Three photos of a person who says yes to training, in a folder that is nobody's channel."""
    folder = small.root / "by mail"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(innocent(200 + number))
    rows = "".join(f"{n}.jpg,newcomer,{TRAIN},notice-2024-1,2024-01-01\n" for n in range(3))
    (folder / "photos.csv").write_text(ROWS + rows)
    return folder


def hold(small: Corpus, folder: Path, source: str = PANEL) -> intake.TakenIn:
    return small.take_in(folder, source, channel=False)


def test_r35_what_came_by_no_channel_is_recorded_and_used_by_nobody(small: Corpus, gift: Path) -> None:
    result = hold(small, gift)
    assert (result.new, result.documents, result.quarantined) == (3, 1, 4)
    assert (result.consents, result.consents_unheard) == (0, 1), "one person, one purpose"
    assert result.held is not None
    assert result.held.reason == "it came through no registered channel of consented-panel"
    refusal = intake.quarantine_of(result)
    assert refusal is not None
    assert refusal.exit_code == 3
    assert "quarantine-0001" in refusal.message
    with pytest.raises(PolicyRefusal) as caught:
        small.freeze("panel-again", PANEL)
    assert {d.code: len(d.items) for d in caught.value.details} == {"quarantined": 3}
    with pytest.raises(BlockedByOrder, match="in quarantine until a reviewer releases it"):
        small.freeze("panel-again", PANEL, override=True)
    assert len(small.freeze("panel-again", PANEL, permitted_only=True).items) == 4
    assert "ItemsQuarantined" in small.facts()


def test_an_order_reaches_what_is_in_quarantine(small: Corpus, gift: Path) -> None:
    hold(small, gift)
    opened = small.open_order(PANEL)
    with small.ws.books.read() as conn:
        assert quarantined(conn) <= parties.items_of_source(conn, SourceId(PANEL))
    assert opened.items == 7


def test_the_same_folder_again_adds_nothing_and_still_says_that_it_is_held(small: Corpus, gift: Path) -> None:
    first = hold(small, gift)
    again = hold(small, gift)
    assert (again.new, again.unchanged, again.quarantined) == (0, 3, 0)
    assert again.held == first.held
    assert len(quarantine.all_quarantines(small.ws)) == 1


def test_released_photos_are_usable_exactly_when_everything_else_permits(small: Corpus, gift: Path) -> None:
    hold(small, gift)
    listed = quarantine.release(small.ws, "quarantine-0001", person=ADA, note="asked the giver")
    assert (listed.state, listed.photos, listed.documents) == ("released", 3, 1)
    with pytest.raises(PolicyRefusal) as caught:
        small.freeze("panel-again", PANEL)
    assert {d.code: len(d.items) for d in caught.value.details} == {"no-consent": 3}, "its consents were never heard"
    again = hold(small, gift)
    assert (again.new, again.consents, again.consents_unheard, again.held) == (0, 1, 0, None)
    assert len(small.freeze("panel-again", PANEL).items) == 7


def test_a_release_covers_what_was_looked_at_and_no_more(small: Corpus, gift: Path) -> None:
    hold(small, gift)
    quarantine.release(small.ws, "quarantine-0001", person=ADA, note="asked the giver")
    (gift / "9.jpg").write_bytes(innocent(300))
    with (gift / "photos.csv").open("a") as file:
        file.write(f"9.jpg,another,{TRAIN},notice-2024-1,2024-01-01\n")
    again = hold(small, gift)
    assert (again.new, again.consents) == (1, 0)
    assert again.held is not None
    assert again.held.id == "quarantine-0002"


def test_a_word_from_quarantine_opens_no_photo_that_is_known(small: Corpus, gift: Path) -> None:
    """The metadata of a hand-over by mail says that a known person consents, and names a person in a photo that showed nobody."""
    (member,) = {line.split(",")[1] for line in (small.corpus / "members" / "photos.csv").read_text().splitlines()[1:]}
    with pytest.raises(PolicyRefusal):
        small.freeze("twins", MEMBERS)
    (gift / "photos.csv").write_text(ROWS + f"0.jpg,{member},share,notice-2024-1,2024-01-01\n")
    before = small.rows("consents", "no")
    hold(small, gift, MEMBERS)
    assert small.rows("consents", "no") == before
    twins = small.corpus / "members" / "twins"
    (twins / "photos.csv").write_text(ROWS + f"same-bytes.jpg,{member},{TRAIN},notice-2024-1,2024-01-01\n")
    channels.close_channel(small.ws, channels.all_channels(small.ws)[-1].channel.id, person=ADA)
    people = small.rows("items", "id, subject_no")
    result = hold(small, twins, MEMBERS)
    assert (result.named, result.consents_unheard) == (0, 1)
    assert result.held is not None
    assert "was closed" in result.held.reason
    assert set(people) <= set(small.rows("items", "id, subject_no"))


def test_r35_who_may_release(small: Corpus, gift: Path) -> None:
    hold(small, gift)
    interests.declare(
        small.ws, Interest("Cleo", "Panel Ltd", "advisory", datetime(2020, 1, 1, tzinfo=UTC).date(), CLEO)
    )
    for person, why in ((DANA, "brought these photos in"), (CLEO, "declared an interest")):
        with pytest.raises(ApprovalRefused, match=why):
            quarantine.release(small.ws, "quarantine-0001", person=person, note="fine by me")
    with pytest.raises(InvalidValue):
        quarantine.release(small.ws, "quarantine-0001", person=ADA, note=" ")
    with pytest.raises(NotFound):
        quarantine.release(small.ws, "quarantine-0001", person=PersonId("nobody"), note="x")
    with pytest.raises(NotFound):
        quarantine.release(small.ws, "quarantine-0009", person=ADA, note="x")
    assert quarantine.show(small.ws, "quarantine-0001").state == "held"
    quarantine.release(small.ws, "quarantine-0001", person=BEN, note="asked the giver")
    with pytest.raises(WrongState, match="is released since"):
        quarantine.release(small.ws, "quarantine-0001", person=ADA, note="again")


def later(ws: Workspace, days: int) -> Workspace:
    ws.books._clock = lambda: datetime.now(UTC) + timedelta(days=days)
    return ws


def test_its_time_runs_out(small: Corpus, gift: Path) -> None:
    small.take_in(gift, PANEL, channel=False, quarantine_days=5)
    assert quarantine.expired(later(small.ws, 4)) == []
    (due,) = quarantine.expired(later(small.ws, 5))
    assert due.quarantine.id == "quarantine-0001"
    with pytest.raises(WrongState, match="to be erased"):
        quarantine.release(later(small.ws, 5), "quarantine-0001", person=ADA, note="too late")


def test_r31_what_expires_becomes_an_order_that_erases_the_files(small: Corpus, gift: Path) -> None:
    small.take_in(gift, PANEL, channel=False, quarantine_days=5)
    files = sorted(gift.iterdir())
    assert quarantine.open_orders(small.ws, person=DANA) == []
    (act,) = quarantine.open_orders(later(small.ws, 6), person=DANA)
    assert act.opened is not None
    assert (act.quarantines, act.opened.items, act.opened.order.kind) == (("quarantine-0001",), 3, "retention")
    assert quarantine.show(small.ws, "quarantine-0001").state == "erasure-ordered"
    assert quarantine.open_orders(later(small.ws, 7), person=DANA) == []
    with pytest.raises(WrongState, match="erasure-ordered"):
        quarantine.release(small.ws, "quarantine-0001", person=ADA, note="changed my mind")
    with pytest.raises(PolicyRefusal) as caught:
        small.freeze("panel-again", PANEL)
    assert {d.code: len(d.items) for d in caught.value.details} == {"blocked": 3}
    small.plan()
    small.approve()
    small.apply()
    assert small.verify().passed
    assert [f for f in files if f.exists()] == []
    assert sorted(small.corpus.glob("panel/**/*.jpg")) != []
    assert quarantine.show(small.ws, "quarantine-0001").state == "erased"
    assert len(small.freeze("panel-again", PANEL).items) == 4


def test_what_an_order_took_away_is_not_due(small: Corpus, gift: Path) -> None:
    small.take_in(gift, PANEL, channel=False, quarantine_days=5)
    small.open_order(PANEL)
    (act,) = quarantine.open_orders(later(small.ws, 6), person=DANA)
    assert (act.opened, act.why_not) == (None, "consented-panel is under order-0001, which comes first")
    small.plan()
    small.approve()
    small.apply()
    assert quarantine.show(small.ws, "quarantine-0001").state == "erased"
    assert quarantine.expired(later(small.ws, 6)) == []


def test_the_workspace_says_how_long(small: Corpus, gift: Path) -> None:
    settings = small.root / "ws" / "unsee.toml"
    text = settings.read_text()
    settings.write_text(text + "quarantine_days = 7\n")
    held = hold(small, gift).held
    assert held is not None
    assert held.expires_on == datetime.now(UTC).date() + timedelta(days=7)
    for wrong in ("0", "'long'", "true", "366"):
        settings.write_text(text + f"quarantine_days = {wrong}\n")
        with pytest.raises(InvalidValue, match="quarantine_days"):
            open_workspace(small.root / "ws")


def test_what_then_comes_through_a_channel_waits_for_the_release(small: Corpus, gift: Path) -> None:
    hold(small, gift)
    small.open_channel(gift, PANEL)
    (gift / "photos.csv").write_text((gift / "photos.csv").read_text() + "\n")
    for photo in gift.glob("*.jpg"):
        photo.touch()
    result = small.take_in(gift, PANEL)
    assert (result.new, result.consents) == (0, 1), "the channel's metadata is heard"
    assert result.notes["photo that is in quarantine already and stays there until it is released"] == 3
    assert result.held is not None
    quarantine.release(small.ws, "quarantine-0001", person=ADA, note="asked the giver")
    assert len(small.freeze("panel-again", PANEL).items) == 7


def test_a_killed_intake_leaves_whole_batches_each_of_them_held(
    small: Corpus, gift: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unsee.intake.take_in.BATCH_FILES", 1)

    class Killed(BaseException):
        pass

    def die(_what: str, done: int, _total: int) -> None:
        if done == 2:
            raise Killed

    with pytest.raises(Killed):
        intake.take_in(small.ws, gift, source=PANEL, metadata=None, person=DANA, workers=1, on_progress=die)
    with small.ws.books.read() as conn:
        new = parties.items_of_source(conn, SourceId(PANEL)) - ItemSet(range(22))
        held = quarantined(conn)
    assert (len(new), held) == (1, new)
    result = hold(small, gift)
    assert (result.new, result.unchanged, result.documents) == (2, 1, 1)
    (listed,) = quarantine.all_quarantines(small.ws)
    assert (listed.photos, listed.documents) == (3, 1), "the second half joins the first"


def test_the_counts_of_the_list_add_up(small: Corpus, gift: Path) -> None:
    hold(small, gift)
    other = small.root / "by mail too"
    other.mkdir()
    for number in range(2):
        (other / f"{number}.jpg").write_bytes(innocent(700 + number))
    hold(small, other, MEMBERS)
    quarantine.release(small.ws, "quarantine-0002", person=ADA, note="asked the giver")
    rows = quarantine.all_quarantines(small.ws)
    assert [(r.state, r.photos, r.documents) for r in rows] == [("held", 3, 1), ("released", 2, 0)]
    with small.ws.books.read() as conn:
        assert len(quarantined(conn)) == sum(r.photos + r.documents for r in rows if r.state == "held")
    through = {r.channel.source: r.items for r in channels.all_channels(small.ws)}
    assert through == {PANEL: 5, MEMBERS: 5}, "four photos and a document each, as the corpus was made"


def test_r35_a_personal_channel_is_refused_by_kind(small: Corpus, gift: Path) -> None:
    with pytest.raises(Refused, match="email, a personal channel"):
        channels.add_channel(small.ws, "mail", source=PANEL, kind="email", location=gift, person=ADA)
    with pytest.raises(InvalidValue, match="no kind of channel") as caught:
        channels.add_channel(small.ws, "mail", source=PANEL, kind="pigeon", location=gift, person=ADA)
    assert "email" not in caught.value.next_step


def test_a_channel_has_one_source_and_a_place_that_is_there(small: Corpus, gift: Path) -> None:
    channels.add_channel(small.ws, "drop", source=PANEL, kind="sftp-drop", location=gift, person=ADA)
    (gift / "sub").mkdir()
    with pytest.raises(InvalidValue, match="overlaps channel drop of consented-panel"):
        channels.add_channel(small.ws, "drop-2", source=MEMBERS, kind="folder", location=gift / "sub", person=ADA)
    with pytest.raises(AlreadyExists):
        channels.add_channel(small.ws, "drop", source=PANEL, kind="folder", location=gift, person=ADA)
    with pytest.raises(NotFound, match="folder"):
        channels.add_channel(small.ws, "x", source=PANEL, kind="folder", location=gift / "no", person=ADA)
    with pytest.raises(NotFound, match="source"):
        channels.add_channel(small.ws, "x", source="nowhere", kind="folder", location=gift, person=ADA)
    assert hold(small, gift, PANEL).held is None
    (gift / "new.jpg").write_bytes(innocent(400))
    other = hold(small, gift, MEMBERS)
    assert other.held is not None
    assert other.held.reason == "the folder belongs to channel drop of consented-panel, not of members-2024"


def test_legacy_photos_need_no_channel(small: Corpus, gift: Path) -> None:
    assert hold(small, gift, OKCUPID).held is None


def test_one_file_has_one_giver_touched_or_not(small: Corpus) -> None:
    folder = small.corpus / "okcupid" / "part-000"
    before = small.rows("copies", "item_id, object_no, selector")
    for photo in sorted(folder.glob("*.jpg"))[:2]:
        photo.touch()
    result = small.take_in(folder, PANEL)
    assert (result.new, result.more_copies, result.unchanged) == (0, 0, 0)
    assert {n.reason for n in result.refused} == {"it is on record as another source's; one file has one giver"}
    assert len(result.refused) == len(list(folder.glob("*.jpg")))
    assert small.rows("copies", "item_id, object_no, selector") == before
