"""Taking folders in: twice adds nothing, what is refused is named and stops nothing, what was erased does not come back."""

from __future__ import annotations

import csv
import io
import shutil
import struct
import zlib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image

from small_corpus import (
    ADA,
    DANA,
    MEMBERS,
    OKCUPID,
    ORDER,
    PANEL,
    RESEARCH,
    TRAIN,
    Corpus,
    agree,
    draft,
    innocent,
    policy,
    reencoded,
)
from unsee.app import agreements, intake, orders, registry
from unsee.books import assessments, residents, retention
from unsee.core.errors import BlockedByOrder, MetadataError, NotFound, PolicyRefusal
from unsee.core.ids import ItemSet, SourceId
from unsee.core.parties import AgreementStatus, Assessment, AssessmentResult
from unsee.core.rules import Entry
from unsee.intake.outcome import TakenIn

XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/"
plus:DataMining="http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED-AIMLTRAINING"/></rdf:RDF></x:xmpmeta>"""


@pytest.fixture
def fresh(small: Corpus) -> Path:
    """A folder with three pictures, in no store that is registered."""
    folder = small.root / "Fresh Photos"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(innocent(100 + number))
    return folder


def write_rows(folder: Path, *rows: dict[str, str], name: str = "photos.csv") -> Path:
    with (folder / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, sorted({key for row in rows for key in row}))
        writer.writeheader()
        writer.writerows(rows)
    return folder / name


def counts(result: TakenIn) -> tuple[int, int, int]:
    return result.new, result.more_copies, result.unchanged


def reasons(entries: list[intake.TakenIn] | list[object]) -> dict[str, str]:
    return {e.file: e.reason for e in entries}


def table_sizes(corpus: Corpus) -> dict[str, int]:
    names = ("items", "digests", "copies", "objects", "item_attributes", "subject_attributes", "subjects", "consents")
    return {name: int(str(corpus.sql(f"SELECT count(*) FROM {name}")[0][0])) for name in names}  # noqa: S608


def test_twice_adds_nothing(small: Corpus) -> None:
    before, facts = table_sizes(small), small.facts()
    for folder, source, photos in (("okcupid", OKCUPID, 12), ("panel", PANEL, 4), ("members", MEMBERS, 4)):
        result = small.take_in(small.corpus / folder, source)
        assert counts(result) == (0, 0, photos)
        assert (result.batches, result.documents, result.consents) == (0, 0, 0)
    assert table_sizes(small) == before
    assert small.facts() == facts


def test_a_folder_in_no_store_becomes_one_named_after_it(small: Corpus, fresh: Path) -> None:
    assert counts(small.take_in(fresh, PANEL)) == (3, 0, 0)
    assert small.sql("SELECT id, location FROM stores ORDER BY no")[-1] == ("fresh-photos", str(fresh))
    other = small.root / "elsewhere" / "fresh photos"
    shutil.copytree(fresh, other)
    assert counts(small.take_in(other, PANEL)) == (0, 3, 0)
    assert small.sql("SELECT id FROM stores ORDER BY no")[-1] == ("fresh-photos-2",)


def test_a_copy_in_another_folder_is_another_copy_and_no_new_item(small: Corpus, fresh: Path) -> None:
    small.take_in(fresh, PANEL)
    shutil.copytree(fresh, small.corpus / "again")
    before = table_sizes(small)
    assert counts(small.take_in(small.corpus / "again", PANEL)) == (0, 3, 0)
    after = table_sizes(small)
    assert after["items"] == before["items"]
    assert after["copies"] == before["copies"] + 3
    assert counts(small.take_in(small.corpus / "again", PANEL)) == (0, 0, 3)


def test_the_same_bytes_twice_in_one_folder_are_one_item_with_two_copies(small: Corpus, fresh: Path) -> None:
    shutil.copy(fresh / "0.jpg", fresh / "9.jpg")
    assert counts(small.take_in(fresh, PANEL)) == (3, 1, 0)


def test_the_same_bytes_of_two_sources_are_two_items(small: Corpus, fresh: Path) -> None:
    small.take_in(fresh, PANEL)
    shutil.copytree(fresh, small.corpus / "theirs")
    assert counts(small.take_in(small.corpus / "theirs", MEMBERS)) == (3, 0, 0)


def test_a_changed_file_is_read_again_and_its_place_holds_the_new_item(small: Corpus, fresh: Path) -> None:
    small.take_in(fresh, PANEL)
    (fresh / "1.jpg").write_bytes(innocent(500))
    assert counts(small.take_in(fresh, PANEL)) == (1, 0, 2)
    rows = small.sql("SELECT item_id FROM copies WHERE selector = '1.jpg'")
    assert len(rows) == 1
    (fresh / "2.jpg").touch()
    assert counts(small.take_in(fresh, PANEL)) == (0, 1, 2), "touched: read again, the same item"


def bomb() -> bytes:
    """A PNG of a few hundred bytes that claims 60,000 × 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(100_000)))
        + chunk(b"IEND", b"")
    )


def test_what_is_refused_is_named_with_its_reason_and_stops_nothing(small: Corpus, fresh: Path) -> None:
    (fresh / "cut.jpg").write_bytes(innocent(7)[:900])
    (fresh / "text.jpg").write_text("Dear Sir or Madam")
    (fresh / "bomb.png").write_bytes(bomb())
    (fresh / "empty.jpg").touch()
    (fresh / "link.jpg").symlink_to(small.root / "outside" / "elsewhere.jpg")
    (fresh / ".hidden.jpg").write_bytes(innocent(8))
    write_rows(
        fresh,
        {"file": "0.jpg", "person": "a"},
        {"file": "../outside/elsewhere.jpg", "person": "b"},
        {"file": "/etc/passwd", "person": "c"},
        {"file": "link.jpg", "person": "d"},
        {"file": "gone.jpg", "person": "e"},
    )
    result = small.take_in(fresh, PANEL)
    assert counts(result) == (3, 0, 0)
    refused = reasons(result.refused)
    assert set(refused) == {"cut.jpg", "text.jpg", "bomb.png", "empty.jpg"}
    assert "no picture of a known format" in refused["text.jpg"]
    assert "60,000" in refused["bomb.png"] or "pixels" in refused["bomb.png"]
    left = reasons(result.left_out)
    assert "links are not followed" in left["link.jpg"]
    assert "hidden" in left[".hidden.jpg"]
    missing = reasons(result.rows_without_file)
    assert missing["../outside/elsewhere.jpg"] == "the name leads out of the folder"
    assert missing["/etc/passwd"] == "the name is an absolute path"
    assert missing["gone.jpg"] == "there is no such file in the folder"
    assert set(missing) == {"../outside/elsewhere.jpg", "/etc/passwd", "link.jpg", "gone.jpg"}
    assert result.without_person == 2
    assert counts(small.take_in(fresh, PANEL)) == (0, 0, 3), "what was refused is looked at again, and refused again"


def test_the_metadata_file_is_an_item_of_its_own(small: Corpus, fresh: Path) -> None:
    write_rows(fresh, {"file": "0.jpg", "person": "a", "age": "31", "nickname": "al"})
    with small.ws.act() as tx:
        retention.set_entry(tx, "other", Entry(365, "decided in May"), person=ADA)
    result = small.take_in(fresh, PANEL)
    assert (result.new, result.documents) == (3, 1)
    assert "it is the metadata file" in reasons(result.left_out)["photos.csv"]
    (row,) = small.sql("SELECT item_id FROM copies WHERE selector = 'photos.csv' AND item_id > 22")
    assert small.sql("SELECT kind, subject_no FROM items WHERE id = ?", row[0]) == [(1, None)]
    assert small.sql("SELECT name, value FROM subject_attributes WHERE name = 'age' ORDER BY subject_no")[-1] == (
        "age",
        "31",
    )
    assert small.sql("SELECT value FROM item_attributes WHERE name = 'nickname'") == [("al",)]


def test_a_metadata_file_outside_of_the_store_is_told(small: Corpus, fresh: Path) -> None:
    inside = write_rows(fresh, {"file": "0.jpg", "person": "a"})
    outside = small.root / "people.csv"
    inside.rename(outside)
    result = small.take_in(fresh, PANEL, metadata=outside)
    assert (result.new, result.documents, result.without_person) == (3, 0, 2)
    assert list(result.notes) == ["the metadata file people.csv lies outside of the store and is not recorded"]


def test_a_consent_that_ends_before_it_begins_is_refused_by_file_and_line(small: Corpus, fresh: Path) -> None:
    row = {"consent": TRAIN, "consent_notice": "n", "consent_from": "2024-01-01", "person": "a"}
    write_rows(
        fresh, {**row, "file": "0.jpg", "consent_until": ""}, {**row, "file": "1.jpg", "consent_until": "2023-01-01"}
    )
    before = table_sizes(small)
    with pytest.raises(MetadataError) as caught:
        small.take_in(fresh, PANEL)
    assert (caught.value.line, caught.value.field) == (3, "consent_until")
    assert "photos.csv, line 3" in caught.value.message
    assert table_sizes(small) == before, "nothing was taken in"


def test_consent_and_person_come_from_the_metadata(small: Corpus, fresh: Path) -> None:
    row = {"consent": f"{TRAIN};evaluate", "consent_notice": "n-1", "consent_from": "2024-01-01"}
    write_rows(fresh, *({**row, "file": f"{n}.jpg", "person": "a" if n < 2 else "b"} for n in range(3)))
    result = small.take_in(fresh, PANEL)
    assert (result.consents, result.without_person) == (4, 0), "two people, two purposes each"
    assert small.take_in(fresh, PANEL).consents == 0
    small.freeze("consented", PANEL)


def test_r30_a_release_and_where_people_live_come_from_the_metadata(small: Corpus, fresh: Path) -> None:
    row = {"consent": TRAIN, "consent_notice": "n-1", "consent_from": "2024-01-01", "person": "a"}
    write_rows(fresh, {**row, "file": "0.jpg", "consent_release": "AB" * 32, "jurisdiction": "us-il"})
    small.take_in(fresh, PANEL)
    records = small.sql("SELECT subject_no, release_sha256 FROM consent_records")
    with small.ws.books.read() as conn:
        assert residents.residents(conn)["US-IL"] == ItemSet([records[0][0]])
    assert records[0][1] == "ab" * 32


@pytest.mark.parametrize(("field", "value"), [("consent_release", "abc"), ("jurisdiction", "Ireland!")])
def test_a_release_or_a_place_that_is_none_is_refused(small: Corpus, fresh: Path, field: str, value: str) -> None:
    row = {"consent": TRAIN, "consent_notice": "n-1", "consent_from": "2024-01-01", "person": "a"}
    write_rows(fresh, {**row, "file": "0.jpg", field: value})
    with pytest.raises(MetadataError) as caught:
        small.take_in(fresh, PANEL)
    assert (caught.value.line, caught.value.field) == (2, field)


def test_a_consent_that_begins_tomorrow_is_not_heard_today(small: Corpus, fresh: Path) -> None:
    row = {"consent": TRAIN, "consent_notice": "n-1", "consent_from": "2999-01-01", "person": "a"}
    write_rows(fresh, {**row, "file": "0.jpg"})
    result = small.take_in(fresh, PANEL)
    assert result.consents == 0
    assert [n for n in result.notes if "begins in the future" in n]


def test_a_consent_that_the_metadata_tells_later_is_heard_though_no_photo_changed(small: Corpus, fresh: Path) -> None:
    write_rows(fresh, *({"file": f"{n}.jpg", "person": "a"} for n in range(2)))
    small.take_in(fresh, PANEL)
    with pytest.raises(PolicyRefusal):
        small.freeze("too-early", PANEL)
    row = {"consent": TRAIN, "consent_notice": "n-1", "consent_from": "2024-01-01"}
    write_rows(fresh, *({**row, "file": f"{n}.jpg", "person": "a" if n < 2 else "c", "sex": "f"} for n in range(3)))
    result = small.take_in(fresh, PANEL)
    assert counts(result) == (0, 0, 3)
    assert (result.consents, result.named, result.documents) == (2, 1, 1), "two people; one photo had nobody"
    small.freeze("in-time", PANEL)
    again = small.take_in(fresh, PANEL)
    assert (again.consents, again.named, again.documents) == (0, 0, 0)


def test_a_photo_keeps_the_person_that_it_was_first_given(small: Corpus, fresh: Path) -> None:
    write_rows(fresh, {"file": "0.jpg", "person": "a"})
    small.take_in(fresh, PANEL)
    before = small.rows("items", "id, subject_no")
    write_rows(fresh, {"file": "0.jpg", "person": "somebody else"})
    result = small.take_in(fresh, PANEL)
    assert result.named == 0
    assert sum(result.notes.values()) == 1
    assert [r for r in small.rows("items", "id, subject_no") if r in before] == before


def with_xmp(data: bytes) -> bytes:
    held = io.BytesIO()
    with Image.open(io.BytesIO(data)) as picture:
        picture.save(held, "JPEG", quality=88, xmp=XMP)
    return held.getvalue()


def test_a_machine_readable_opt_out_is_recorded_and_bars_from_training_only(small: Corpus, fresh: Path) -> None:
    row = {"consent": f"{TRAIN};evaluate", "consent_notice": "n-1", "consent_from": "2024-01-01", "person": "a"}
    write_rows(fresh, *({**row, "file": f"{n}.jpg"} for n in range(3)))
    (fresh / "1.jpg").write_bytes(with_xmp(innocent(101)))
    assert small.take_in(fresh, MEMBERS).opted_out == 1
    with pytest.raises(PolicyRefusal) as caught:
        small.freeze("members-train", MEMBERS)
    assert [(d.code, len(d.items)) for d in caught.value.details] == [("no-consent", 2), ("opted-out", 1)]
    with pytest.raises(PolicyRefusal) as caught:
        small.freeze("members-evaluate", MEMBERS, purpose="evaluate")
    assert [(d.code, len(d.items)) for d in caught.value.details] == [("no-consent", 2)]


def test_a_source_without_an_approved_agreement_takes_nothing_in(small: Corpus, fresh: Path) -> None:
    registry.add_source(
        small.ws,
        "new-partner",
        title="new",
        kind="partner",
        issuer="New Ltd",
        collected_on=date(2026, 1, 1),
        data_classes=[],
        geography="EU",
        legacy=False,
    )
    before = table_sizes(small)
    with pytest.raises(PolicyRefusal, match="no approved agreement in force"):
        small.take_in(fresh, "new-partner")
    policy(small, "new-partner", TRAIN)
    draft(small, "new-deal", "new-partner", TRAIN, terms=RESEARCH)
    with pytest.raises(PolicyRefusal, match="new-deal is draft"):
        small.take_in(fresh, "new-partner")
    agree(small, "new-deal")
    assert table_sizes(small) == before
    assert counts(small.take_in(fresh, "new-partner")) == (3, 0, 0)
    agreements.move(small.ws, "new-deal", AgreementStatus.TERMINATED, person=ADA, note="over")
    with pytest.raises(PolicyRefusal, match="new-deal is terminated"):
        small.take_in(fresh, "new-partner")


def test_a_legacy_source_is_recorded_and_never_used(small: Corpus, fresh: Path) -> None:
    assert counts(small.take_in(fresh, OKCUPID)) == (3, 0, 0)
    with pytest.raises(PolicyRefusal) as caught:
        small.freeze("old", OKCUPID, purpose="evaluate")
    assert [(d.code, len(d.items)) for d in caught.value.details] == [("legacy", 15)]


def test_an_unknown_source_person_or_folder_is_named(small: Corpus, fresh: Path) -> None:
    with pytest.raises(NotFound, match="'nowhere'"):
        small.take_in(fresh, "nowhere")
    with pytest.raises(NotFound, match="folder"):
        small.take_in(small.root / "no such folder", PANEL)
    with pytest.raises(NotFound, match="'nobody'"):
        intake.take_in(
            small.ws,
            fresh,
            source=PANEL,
            metadata=None,
            person=orders.PersonId("nobody"),
            workers=1,
            on_progress=lambda *_: None,
        )


def test_what_was_erased_comes_back_through_no_door(small: Corpus) -> None:
    back = small.root / "back"
    (back / "as-they-were").mkdir(parents=True)
    (back / "re-encoded").mkdir()
    originals = sorted((small.corpus / "okcupid").rglob("*.jpg"))
    for path in originals:
        shutil.copy(path, back / "as-they-were" / path.name)
        (back / "re-encoded" / path.name).write_bytes(reencoded(path, side=90, quality=65))
    shutil.copy(small.corpus / "okcupid" / "photos.csv", back / "list.csv")
    (back / "new.jpg").write_bytes(innocent(31))
    small.ready().apply()
    with pytest.raises(BlockedByOrder, match=ORDER):
        small.take_in(back, OKCUPID)
    assert small.verify().passed
    assert small.sql("SELECT id FROM stores") == [("corpus",), ("mirror",)], "what is refused leaves no trace"
    result = small.take_in(back, PANEL)
    assert counts(result) == (1, 0, 0)
    assert {p.name for p in originals} == {Path(n.file).name for n in result.suppressed}
    assert len(result.suppressed) == 24
    by_folder = {n.file: n.reason for n in result.suppressed}
    assert all("identical bytes" in reason for file, reason in by_folder.items() if file.startswith("as-they-were"))
    assert all("near-duplicate" in reason for file, reason in by_folder.items() if file.startswith("re-encoded"))
    assert reasons(result.refused).keys() == {"list.csv"}
    assert small.sql("SELECT count(*) FROM digests") == [(11,)]


def test_a_suppressed_metadata_file_does_not_come_back_either(small: Corpus, fresh: Path) -> None:
    paper = (small.corpus / "okcupid" / "photos.csv").read_bytes()
    small.ready().apply()
    (fresh / "photos.csv").write_bytes(paper)
    result = small.take_in(fresh, PANEL)
    assert result.documents == 0
    assert reasons(result.suppressed) == {"photos.csv": "on the suppression list (identical bytes)"}


def test_an_order_that_comes_in_meanwhile_shuts_the_door(small: Corpus, fresh: Path) -> None:
    """Otherwise photos would join the source after its scope was closed, and be in no plan."""

    def meanwhile(_what: str, done: int, _total: int) -> None:
        if done == 3:  # examined, not written yet
            Corpus(small.root).open_order(PANEL)

    before = table_sizes(small)
    with pytest.raises(BlockedByOrder, match=f"Source {PANEL} is under {ORDER}"):
        intake.take_in(small.ws, fresh, source=PANEL, metadata=None, person=DANA, workers=1, on_progress=meanwhile)
    assert table_sizes(small) == before
    small.plan()
    small.approve()
    small.apply()
    assert small.verify().passed


def test_r33_an_overdue_or_failed_assessment_of_the_supplier_takes_nothing_more_in(small: Corpus, fresh: Path) -> None:
    ws = small.ws
    ws.books._clock = lambda: datetime.now(UTC) + timedelta(days=31)

    def again() -> TakenIn:
        return intake.take_in(
            ws, fresh, source=PANEL, metadata=None, person=DANA, workers=1, on_progress=lambda *_: None
        )

    before = table_sizes(small)
    with pytest.raises(PolicyRefusal, match="the first assessment of its supplier was due on"):
        again()
    assert table_sizes(small) == before
    today = ws.now().date()
    for number, (result, words) in enumerate((("failed", "failed"), ("passed", ""))):
        made = Assessment(
            SourceId(PANEL), today + timedelta(days=number), "0" * 64, AssessmentResult(result), date(2099, 1, 1)
        )
        ws.books._clock = lambda number=number: datetime.now(UTC) + timedelta(days=31 + number)
        with ws.act() as tx:
            assessments.record(tx, made, person=ADA)
        if words:
            with pytest.raises(PolicyRefusal, match=words):
                again()
    assert again().new == 3


def test_r32_a_source_is_not_registered_with_a_class_that_has_no_limit(small: Corpus) -> None:
    with pytest.raises(PolicyRefusal, match="no entry for income") as caught:
        registry.add_source(
            small.ws,
            "payers",
            title="payers",
            kind="upload",
            issuer="New Ltd",
            collected_on=date(2026, 1, 1),
            data_classes=["photo", "income"],
            geography="EU",
            legacy=False,
        )
    assert "unsee retention set" in caught.value.next_step
