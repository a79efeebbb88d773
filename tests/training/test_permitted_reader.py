"""The permitted reader: nothing is read that policy does not permit today, and what is read is what was taken in."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from small_corpus import ADA, MEMBERS, OKCUPID, PANEL, TRAIN, Corpus, innocent
from unsee.app import agreements
from unsee.books import consents
from unsee.core.consent import Consent, ConsentState
from unsee.core.errors import BlockedByOrder, NotFound, PolicyRefusal, StoreError, Tampered
from unsee.core.ids import SubjectNo
from unsee.core.parties import AgreementStatus


def opened(corpus: Corpus) -> list[dict[str, object]]:
    rows = corpus.sql("SELECT body FROM facts WHERE kind = 'ReaderOpened' AND log_index IS NOT NULL ORDER BY seq")
    return [json.loads(str(body)) for (body,) in rows]


def panel_photos(corpus: Corpus) -> list[Path]:
    return sorted((corpus.corpus / "panel").rglob("*.jpg"))


def test_what_is_read_is_every_photo_of_the_set_with_its_person(small: Corpus) -> None:
    reader = small.open_dataset("faces-2014")
    samples = list(reader)
    assert len(samples) == len(reader) == 16
    assert [s.item for s in samples] == sorted(s.item for s in samples)
    files = [*(small.corpus / "okcupid").rglob("*.jpg"), *panel_photos(small)]
    assert {s.data for s in samples} == {p.read_bytes() for p in files}
    people = dict(small.sql("SELECT id, subject_no FROM items"))
    assert {s.item: s.person for s in samples} == {s.item: people[s.item] for s in samples}
    assert [s.item for s in reader] == [s.item for s in samples], "each iteration starts anew"


def test_each_opening_is_a_fact_in_the_log(small: Corpus) -> None:
    small.open_dataset("faces-2014")
    small.open_dataset("faces-panel")
    facts = opened(small)
    assert [(f["dataset"], f["purpose"], f["items"], f["overridden"]) for f in facts] == [
        ("faces-2014", TRAIN, 16, True),
        ("faces-panel", TRAIN, 4, False),
    ]


def test_another_purpose_than_the_sets_own_is_refused(small: Corpus) -> None:
    with pytest.raises(PolicyRefusal, match=f"was frozen for {TRAIN}, not for evaluate"):
        small.open_dataset("faces-panel", "evaluate")
    small.freeze("panel-evaluate", PANEL, purpose="evaluate")
    assert len(small.open_dataset("panel-evaluate", "test-fairness")) == 4, "a purpose below the set's own is covered"
    assert [f["dataset"] for f in opened(small)] == ["panel-evaluate"], "what was refused was not opened"
    with pytest.raises(NotFound):
        small.open_dataset("nothing")


def test_a_set_whose_agreement_ended_is_read_no_more(small: Corpus) -> None:
    small.open_dataset("faces-panel")
    agreements.move(small.ws, f"agreement-{PANEL}", AgreementStatus.TERMINATED, person=ADA, note="they called it off")
    with pytest.raises(PolicyRefusal, match="may no longer be read") as caught:
        small.open_dataset("faces-panel")
    assert [(d.code, len(d.items)) for d in caught.value.details] == [("not-approved", 4)]


def test_a_withdrawn_consent_bars_the_set(small: Corpus) -> None:
    (subject,) = small.sql("SELECT subject_no FROM items WHERE id = 14")[0]
    assert isinstance(subject, int)
    with small.ws.books.write() as tx:
        day = datetime(2024, 6, 1, tzinfo=UTC)
        word = Consent(SubjectNo(subject), TRAIN, ConsentState.WITHDRAWN, "letter", day, day)
        consents.record(tx, [word])
    with pytest.raises(PolicyRefusal) as caught:
        small.open_dataset("faces-panel")
    assert [(d.code, len(d.items)) for d in caught.value.details] == [("no-consent", 2)]
    assert "no consent in force" in caught.value.message


def test_what_an_order_blocks_is_not_read_whatever_the_override_says(small: Corpus) -> None:
    small.open_dataset("faces-2014")
    small.open_order()
    with pytest.raises(BlockedByOrder, match="order order-0001 blocks any use") as caught:
        small.open_dataset("faces-2014")
    assert [(d.code, len(d.items)) for d in caught.value.details] == [("blocked", 12)]
    assert len(small.open_dataset("faces-panel")) == 4, "other sets are read as before"


def test_what_was_erased_is_not_read(small: Corpus) -> None:
    small.ready().apply()
    with pytest.raises(BlockedByOrder, match="already erased"):
        small.open_dataset("faces-2014")


def test_bytes_that_are_not_those_of_the_intake_are_not_handed_out(small: Corpus) -> None:
    path = panel_photos(small)[1]
    path.write_bytes(innocent(3))
    reader = small.open_dataset("faces-panel")
    with pytest.raises(Tampered, match=path.name):
        list(reader)


def test_a_missing_file_is_named(small: Corpus) -> None:
    path = panel_photos(small)[1]
    path.unlink()
    with pytest.raises(StoreError, match=path.name):
        list(small.open_dataset("faces-panel"))


def test_another_sound_copy_serves_where_one_is_lost_or_spoiled(small: Corpus) -> None:
    first, second, *_ = panel_photos(small)
    again = small.corpus / "panel-again"
    again.mkdir()
    expected = {p.read_bytes() for p in panel_photos(small)}
    for path in (first, second):
        (again / path.name).write_bytes(path.read_bytes())
    small.take_in(again, PANEL)
    first.unlink()
    second.write_bytes(innocent(4))
    assert {s.data for s in small.open_dataset("faces-panel")} == expected


def test_a_reader_reads_no_other_sources_twin(small: Corpus) -> None:
    """An item is read at its own places: the twin of another source may be lawful, it is not this item."""
    twin = small.corpus / "members" / "twins" / "same-bytes.jpg"
    original = next(p for p in (small.corpus / "okcupid").rglob("*.jpg") if p.read_bytes() == twin.read_bytes())
    original.unlink()
    with pytest.raises(StoreError):
        list(small.open_dataset("faces-2014"))
    digest = hashlib.sha256(twin.read_bytes()).digest()
    assert len(small.sql("SELECT 1 FROM digests WHERE sha256 = ?", digest)) == 2
    assert {OKCUPID, MEMBERS} <= {str(row[0]) for row in small.sql("SELECT id FROM sources")}
