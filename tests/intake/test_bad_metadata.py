"""What is wrong with a metadata file is named by line and field; kept or refused as the user chose, never silently dropped."""

from __future__ import annotations

import csv
import io
import json
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from small_corpus import ADA, PANEL, TRAIN, Corpus, innocent
from unsee.books import retention
from unsee.core.errors import InvalidValue, MetadataError
from unsee.core.rules import DEFAULT_SCHEDULE, Entry
from unsee.intake.classes import class_of, require_kept
from unsee.intake.metadata import Metadata, leave_out, pair, read_metadata
from unsee.intake.walk import Listing

HEAD = "file,person,consent,consent_notice,consent_from,consent_until,age\n"
GOOD = "good.jpg,p1,train,n,2024-01-01,,31\n"
LONG = "x" * 10_000_000


@pytest.fixture
def write(tmp_path):
    def write(content: str | bytes, name: str = "photos.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def told(metadata: Metadata) -> list[tuple[int, str | None, str | None]]:
    return [(b.line, b.field, b.file) for b in metadata.bad]


@pytest.mark.parametrize(
    ("row", "field", "file", "words"),
    [
        ("1.jpg,p,sell-to-anyone,n,2024-01-01,,31\n", "consent", "1.jpg", "no purpose"),
        ("1.jpg,p,train,n,2024-01-02,2024-01-01,31\n", "consent_until", "1.jpg", "before it begins"),
        ("1.jpg,,train,n,2024-01-02,,31\n", "person", "1.jpg", "person"),
        ("1.jpg,p,train,n,02.01.2024,,31\n", "consent_from", "1.jpg", "YYYY-MM-DD"),
        (f"1.jpg,p,,,,,{'x' * 5000}\n", "age", "1.jpg", "4,096"),
        ("1.jpg,p,,,,,a\0b\n", "age", "1.jpg", "NUL"),
        (",p,,,,,31\n", "file", None, "empty"),
        ("1.jpg,p,,,,31\n", None, None, "6 fields"),
        (f"1.jpg,p,,,,,{LONG}\n", None, None, "longer than 1,048,576 bytes"),
        ('1.jpg,p,,,,,"a"b\n', None, None, "not CSV"),
        (b"1.jpg,p,,,,,K\xf6ln\n", None, None, "Latin-1"),
        (b'1.jpg,p,,,,,"K\xf6ln\nam Rhein"\n', None, None, "Latin-1"),
        ("good.jpg,p2,,,,,32\n", "file", "good.jpg", "described already in line 2"),
    ],
)
def test_a_bad_row_is_named_and_the_good_ones_stay(write, row, field, file, words):
    raw = row if isinstance(row, bytes) else row.encode()
    path = write((HEAD + GOOD).encode() + raw + b"last.jpg,p3,,,,,33\n")
    with pytest.raises(MetadataError) as caught:
        read_metadata(path)
    assert (caught.value.line, caught.value.field) == (3, field)
    assert words in caught.value.message
    assert str(path) in caught.value.message
    kept = read_metadata(path, keep_good=True)
    doubled = file == "good.jpg"
    assert told(kept) == [(2, "file", file)] * doubled + [(3, field, file)]
    assert words in kept.bad[-1].reason
    assert list(kept.rows) == (["last.jpg"] if doubled else ["good.jpg", "last.jpg"]), "of two rows neither is believed"


@pytest.mark.parametrize(
    ("line", "field", "file"),
    [
        ('{"file":"1.jpg","x":[1]}', "x", None),
        ('{"file":"1.jpg","age":"a\\u0000b"}', "age", "1.jpg"),
        ('{"file":"1.jpg","age":"\\ud800"}', "age", "1.jpg"),
        ("{", None, None),
        ("[]", None, None),
        ('{"age":"3"}', "file", None),
        (json.dumps({"file": "1.jpg", "age": LONG}), None, None),
    ],
)
def test_json_lines_alike(write, line, field, file):
    path = write('{"file":"good.jpg"}\n' + line + '\n{"file":"last.jpg"}\n', "photos.jsonl")
    kept = read_metadata(path, keep_good=True)
    assert told(kept) == [(2, field, file)]
    assert list(kept.rows) == ["good.jpg", "last.jpg"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"photo,age\n1.jpg,3\n", "the columns are photo, age"),
        (b"file,age,age\n", "twice"),
        ("file,age\n1.jpg,3\n".encode("utf-16"), "UTF-16"),
        ("file,age\n1.jpg,3\n".encode("utf-16-le"), "UTF-16"),
        (b"f\xefle,age\n", "Latin-1"),
        (f"file,{LONG}\n".encode(), "longer than"),
        (f"file,{'y' * 5000}\n".encode(), "longer than 4,096"),
    ],
)
def test_a_file_without_a_usable_header_is_refused_whatever_was_chosen(write, content, words):
    for keep_good in (False, True):
        with pytest.raises(MetadataError, match=words):
            read_metadata(write(content), keep_good=keep_good)


def test_a_quote_that_never_ends_takes_the_rest_with_it_and_says_so(write):
    kept = read_metadata(write(HEAD + GOOD + '1.jpg,p,,,,,"31\n2.jpg,p,,,,,3\n'), keep_good=True)
    assert list(kept.rows) == ["good.jpg"]
    assert kept.bad[0].file is None


def test_a_photo_that_a_bad_row_may_be_about_is_left_out(write):
    listing = Listing("/x", ("1.jpg", "2.jpg", "good.jpg"), ())
    named = pair(listing, read_metadata(write(HEAD + GOOD + "1.jpg,p,sell,n,2024-01-01,,\n"), keep_good=True))
    assert [(o.file, o.reason) for o in named.left_out] == [
        ("1.jpg", "its row, line 3 of the metadata, cannot be used")
    ]
    assert named.without_row == ("2.jpg",)
    nameless = pair(listing, read_metadata(write(HEAD + GOOD + "1.jpg,p\n"), keep_good=True))
    assert [o.file for o in nameless.left_out] == ["1.jpg", "2.jpg"], "it may be either"
    assert nameless.without_row == ()


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a.jpg", "b.jpg", "c.jpg", "d.jpg", "", "../e.jpg"]),
        st.sampled_from(["", "p1", "x" * 5000]),
        st.sampled_from(["", "train", "sell"]),
        st.sampled_from(["2024-01-01", "soon"]),
    ),
    max_size=8,
)


@given(ROWS, st.booleans())
def test_every_row_and_every_photo_is_somewhere(tmp_path_factory, rows, cut):
    path = tmp_path_factory.mktemp("m") / "photos.csv"
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["file", "person", "consent", "consent_from", "consent_notice"])
    writer.writerows((*row, "n") for row in rows)
    path.write_text(text.getvalue() + ("a.jpg,too short\n" if cut else ""))
    kept = read_metadata(path, keep_good=True)
    assert len(kept.rows) + len(kept.refused) + len(kept.bad) == len(rows) + cut
    listing = Listing("/x", ("a.jpg", "b.jpg", "c.jpg", "d.jpg"), ())
    paired = pair(listing, kept)
    parts = [list(paired.rows), [o.file for o in paired.left_out], list(paired.without_row)]
    assert sorted(chain(*parts)) == list(listing.files)
    assert not {b.file for b in kept.bad} & set(paired.rows)
    try:
        strict = read_metadata(path)
    except MetadataError:
        assert kept.bad
    else:
        assert (strict.rows, kept.bad) == (kept.rows, ())


@given(content=st.binary(max_size=300), name=st.sampled_from(["photos.csv", "photos.jsonl"]))
def test_random_bytes_end_in_rows_or_words(tmp_path_factory, content, name):
    path = tmp_path_factory.mktemp("m") / name
    path.write_bytes(content)
    try:
        strict = read_metadata(path)
    except MetadataError:
        strict = None
    try:
        kept = read_metadata(path, keep_good=True)
    except MetadataError as error:
        assert strict is None
        assert error.file == str(path)
    else:
        assert (strict is None) == bool(kept.bad)


@pytest.mark.parametrize("attribute", ["income", "consent-notice", "File"])
def test_r32_a_class_without_a_limit_is_refused_by_file_field_and_line(write, attribute):
    metadata = read_metadata(write(f"file,age,{attribute}\n1.jpg,3,\n2.jpg,3,x\n"))
    assert class_of(attribute) == "other"
    with pytest.raises(MetadataError) as caught:
        require_kept(metadata, DEFAULT_SCHEDULE)
    assert (caught.value.line, caught.value.field) == (3, attribute)
    assert "class 'other'" in caught.value.message
    assert ("meant?" in caught.value.message) == (attribute != "income")
    assert "unsee retention set other" in caught.value.next_step
    assert f"--leave-out {attribute}" in caught.value.next_step
    require_kept(metadata, {**DEFAULT_SCHEDULE, "other": Entry(30, "asked the council")})
    without = leave_out(metadata, [attribute])
    require_kept(without, DEFAULT_SCHEDULE)
    assert [dict(row.attributes) for row in without.rows.values()] == [{"age": "3"}, {"age": "3"}]


def test_a_field_that_is_not_there_or_is_needed_cannot_be_left_out(write):
    metadata = read_metadata(write(HEAD + GOOD))
    with pytest.raises(InvalidValue, match=r"No row of .* 'income'") as caught:
        leave_out(metadata, ["income"])
    assert caught.value.next_step == "Its attributes: age."
    with pytest.raises(InvalidValue, match="cannot be left out"):
        leave_out(metadata, ["person"])


@pytest.fixture
def delivery(small: Corpus) -> Path:
    folder = small.root / "delivery"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.jpg").write_bytes(innocent(600 + number))
    row = f"{TRAIN},notice-2024-1"
    (folder / "photos.csv").write_text(
        "file,person,consent,consent_notice,consent_from,income\n"
        f"0.jpg,a,{row},2024-01-01,high\n1.jpg,b,{row},tomorrow,low\n2.jpg,c,{row},2024-01-01,\n"
    )
    return folder


def test_an_intake_keeps_what_is_good_where_the_user_says_so(small: Corpus, delivery: Path) -> None:
    facts = small.facts()
    with pytest.raises(MetadataError, match="line 3, field 'consent_from'"):
        small.take_in(delivery, PANEL)
    with pytest.raises(MetadataError, match="line 2, field 'income'"):
        small.take_in(delivery, PANEL, keep_good=True)
    assert [f for f in small.facts()[len(facts) :] if f not in {"ChannelRegistered", "StoreRegistered"}] == []
    result = small.take_in(delivery, PANEL, keep_good=True, leave_out=["income"])
    assert (result.new, result.without_person) == (3, 1)
    assert [(b.line, b.field) for b in result.bad_rows] == [(3, "consent_from")]
    assert {n.file: n.reason for n in result.left_out}["1.jpg"] == "its row, line 3 of the metadata, cannot be used"
    assert small.sql("SELECT count(*) FROM item_attributes WHERE name = 'income'") == [(0,)]
    document = result.as_json()
    assert document["bad_rows"] == [
        {"line": 3, "field": "consent_from", "reason": "'tomorrow' is not a day as YYYY-MM-DD"}
    ]
    assert document["fields_left_out"] == ["income"]


def test_r32_an_entry_in_the_schedule_opens_the_door(small: Corpus, delivery: Path) -> None:
    with small.ws.act() as tx:
        retention.set_entry(tx, "other", Entry(90, "asked the council"), person=ADA)
    assert small.take_in(delivery, PANEL, keep_good=True).new == 3
    assert small.sql("SELECT value FROM item_attributes WHERE name = 'income'") == [("high",)]
