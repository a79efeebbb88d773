"""The metadata file: what it says is read exactly, and what is wrong with it is named by file, line and field."""

from __future__ import annotations

import csv
import io
import json
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsee.core.errors import MetadataError
from unsee.intake.metadata import ConsentClaim, Row, find_metadata, pair, read_metadata
from unsee.intake.walk import LeftOut, Listing

HEAD = "file,person,consent,consent_notice,consent_from,consent_until,taken,age,city\n"


@pytest.fixture
def write(tmp_path):
    def write(content: str | bytes, name: str = "photos.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def refused(path: Path) -> MetadataError:
    with pytest.raises(MetadataError) as caught:
        read_metadata(path)
    assert str(path) in caught.value.message
    return caught.value


EXPECTED = Row(
    file="a/1.jpg",
    line=2,
    person="u7",
    attributes=(("age", "31"), ("city", "Köln, „am Rhein“")),
    consent=ConsentClaim(("evaluate", "test-fairness"), "notice-3", date(2024, 5, 1), date(2026, 5, 1)),
    taken=date(2023, 12, 31),
)
ROW = 'a/1.jpg,u7,evaluate; test-fairness,notice-3,2024-05-01,2026-05-01,2023-12-31,31,"Köln, „am Rhein“"\n'


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_csv_row_says_all_of_this(write, mark, end):
    metadata = read_metadata(write(mark + (HEAD + ROW).replace("\n", end)))
    assert metadata.rows == {"a/1.jpg": EXPECTED}
    assert metadata.refused == ()


def test_json_lines_say_the_same(write):
    record = {
        "file": "a/1.jpg",
        "person": "u7",
        "consent": ["evaluate", "test-fairness"],
        "consent_notice": "notice-3",
        "consent_from": "2024-05-01",
        "consent_until": "2026-05-01",
        "taken": "2023-12-31",
        "age": 31,
        "city": "Köln, „am Rhein“",
        "nickname": None,
    }
    metadata = read_metadata(write("\n" + json.dumps(record) + "\n\n", "photos.jsonl"))
    assert metadata.rows == {"a/1.jpg": EXPECTED}


def test_json_numbers_stay_as_written_and_truth_values_are_words(write):
    text = '{"file":"1.jpg","weight":1.50,"big":12345678901234567890,"smiling":true,"glasses":false}'
    (row,) = read_metadata(write(text, "m.jsonl")).rows.values()
    assert dict(row.attributes) == {
        "weight": "1.50",
        "big": "12345678901234567890",
        "smiling": "true",
        "glasses": "false",
    }


def test_only_the_file_is_required(write):
    (row,) = read_metadata(write("file\n./x//1.jpg\n")).rows.values()
    assert row == Row(file="x/1.jpg", line=2)


def test_consent_without_an_end_has_none(write):
    text = "file,person,consent,consent_notice,consent_from\n1.jpg,p,train,n,2024-01-01\n"
    (row,) = read_metadata(write(text)).rows.values()
    assert row.consent == ConsentClaim(("train",), "n", date(2024, 1, 1), None)


def test_consent_for_one_day_begins_and_ends_on_it(write):
    text = CONSENT + "1.jpg,p,train,n,2024-01-01,2024-01-01\n"
    (row,) = read_metadata(write(text)).rows.values()
    assert row.consent == ConsentClaim(("train",), "n", date(2024, 1, 1), date(2024, 1, 1))


def test_lines_are_counted_through_quoted_line_breaks(write):
    text = 'file,note\n1.jpg,"one\ntwo\nthree"\n2.jpg,x\n'
    rows = read_metadata(write(text)).rows
    assert [row.line for row in rows.values()] == [2, 5]
    assert rows["1.jpg"].attributes == (("note", "one\ntwo\nthree"),)


@pytest.mark.parametrize("name", ["../1.jpg", "/etc/passwd", "a/../../b.jpg"])
def test_a_row_that_leads_out_is_refused_by_name_and_the_others_stay(write, name):
    metadata = read_metadata(write(f"file\n1.jpg\n{name}\n2.jpg\n"))
    assert list(metadata.rows) == ["1.jpg", "2.jpg"]
    ((file, line),) = [(one.file, one.line) for one in metadata.refused]
    assert (file, line) == (name, 3)


def test_a_nul_in_a_name_is_refused_by_name(write):
    metadata = read_metadata(write(json.dumps({"file": "a\0.jpg"}), "m.jsonl"))
    assert "NUL" in metadata.refused[0].reason


CONSENT = "file,person,consent,consent_notice,consent_from,consent_until\n"


@pytest.mark.parametrize(
    ("text", "line", "field", "words"),
    [
        ("", None, None, "empty"),
        ("person,age\nx,1\n", 1, "file", "missing"),
        ("file,age,age\n", 1, "age", "twice"),
        ("file,,age\n", 1, None, "column 2"),
        ("file,age\n1.jpg\n", 2, None, "1 fields"),
        ("file\n1.jpg\n2.jpg,3\n", 3, None, "2 fields"),
        ("file,age\n,3\n", 2, "file", "empty"),
        ("file\n1.jpg\n2.jpg\n./1.jpg\n", 4, "file", "line 2"),
        ('file\n"1.jpg\n', 2, None, "not CSV"),
        (f"file,age\n1.jpg,{'x' * 4097}\n", 2, "age", "4,096"),
        (f"file\n{'x' * (1 << 20)}y\n", 2, None, "1,048,576"),
        (CONSENT + "1.jpg,p,sell-to-anyone,n,2024-01-01,\n", 2, "consent", "train-face-recognition"),
        (CONSENT + "1.jpg,,train,n,2024-01-01,\n", 2, "person", "person"),
        (CONSENT + "1.jpg,p,train,,2024-01-01,\n", 2, "consent_notice", "notice"),
        (CONSENT + "1.jpg,p,train,n,,\n", 2, "consent_from", "first day"),
        (CONSENT + "1.jpg,p,train,n,01.02.2024,\n", 2, "consent_from", "YYYY-MM-DD"),
        (CONSENT + "1.jpg,p,train,n,20240102,\n", 2, "consent_from", "YYYY-MM-DD"),
        (CONSENT + "1.jpg,p,train,n,2024-02-30,\n", 2, "consent_from", "YYYY-MM-DD"),
        (CONSENT + "1.jpg,p,train,n,2024-01-02,2024-01-01\n", 2, "consent_until", "before it begins"),
        ("file,taken\n1.jpg,yesterday\n", 2, "taken", "YYYY-MM-DD"),
    ],
)
def test_a_broken_csv_is_named_by_line_and_field(write, text, line, field, words):
    error = refused(write(text))
    assert (error.line, error.field) == (line, field)
    assert words in error.message


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        ("[1]", None, "object"),
        ('"1.jpg"', None, "object"),
        ("{", None, "not JSON"),
        ("[" * 100_000, None, "not JSON"),
        ('{"file":"1.jpg","x":NaN}', None, "not JSON"),
        ('{"age":1}', "file", "missing"),
        ('{"file":"1.jpg","file":"2.jpg"}', "file", "twice"),
        ('{"file":"1.jpg","x":[1]}', "x", "neither"),
        ('{"file":"1.jpg","x":{"y":1}}', "x", "neither"),
        ('{"file":"1.jpg","consent":[true]}', "consent", "neither"),
        ('{"file":"1.jpg","x":"\\ud800"}', "x", "surrogate"),
        ('{"file":"1.jpg","' + "x" * 5000 + '":1}', "x" * 80, "4,096"),
        (json.dumps({"file": "1.jpg", **{f"a{n}": n for n in range(300)}}), None, "301 fields"),
    ],
)
def test_broken_json_lines_are_named_by_line_and_field(write, text, field, words):
    error = refused(write('{"file":"0.jpg"}\n' + text + "\n", "photos.jsonl"))
    assert (error.line, error.field) == (2, field)
    assert words in error.message


@pytest.mark.parametrize(("name", "line"), [("photos.csv", 3), ("photos.jsonl", 3)])
def test_a_wrong_encoding_names_the_line(write, name, line):
    good = b"file\n1.jpg\n" if name.endswith("csv") else b'{"file":"1.jpg"}\n{"file":"2.jpg"}\n'
    error = refused(write(good + "Köln".encode("latin-1") + b"\n", name))
    assert error.line == line
    assert "UTF-8" in error.message


def test_utf_16_is_recognised(write):
    assert "UTF-16" in refused(write("file\n1.jpg\n".encode("utf-16"))).message


def test_a_file_that_is_not_there_is_named(tmp_path):
    refused(tmp_path / "nowhere.csv")
    with pytest.raises(MetadataError, match="nowhere"):
        find_metadata(tmp_path, tmp_path / "nowhere.csv")


def test_the_metadata_file_is_found_in_the_folder(write, tmp_path):
    assert find_metadata(tmp_path) is None
    one = write("", "metadata.jsonl")
    assert find_metadata(tmp_path) == one
    named = write("", "people.csv")
    assert find_metadata(tmp_path, named) == named
    write("", "photos.csv")
    with pytest.raises(MetadataError, match=r"photos\.csv, metadata\.jsonl"):
        find_metadata(tmp_path)


def test_nothing_of_either_side_is_lost_when_rows_and_files_meet(write):
    metadata = read_metadata(write("file,age\n1.jpg,3\n../x.jpg,4\ngone.jpg,5\nlink.jpg,6\n"))
    listing = Listing("/x", ("1.jpg", "extra.jpg"), (LeftOut("link.jpg", "it is a link"),))
    paired = pair(listing, metadata)
    assert list(paired.rows) == ["1.jpg"]
    assert paired.without_row == ("extra.jpg",)
    assert [(one.file, one.line) for one in paired.refused] == [("../x.jpg", 3), ("gone.jpg", 4), ("link.jpg", 5)]
    assert paired.refused[2].reason == "it is a link"
    assert pair(listing, None).without_row == listing.files


_WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)


@given(
    rows=st.lists(
        st.tuples(st.text("abcdefgh0123", min_size=1, max_size=8), _WORDS), max_size=12, unique_by=lambda row: row[0]
    )
)
def test_what_was_written_is_read(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("m") / "photos.csv"
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["file", "note"])
    writer.writerows(rows)
    path.write_bytes(text.getvalue().encode())
    read = read_metadata(path).rows
    assert {file: dict(row.attributes).get("note", "") for file, row in read.items()} == {
        f: note.strip() for f, note in rows
    }


@given(content=st.binary(max_size=300), name=st.sampled_from(["photos.csv", "photos.jsonl"]))
def test_random_bytes_are_read_or_refused_by_line(tmp_path_factory, content, name):
    path = tmp_path_factory.mktemp("m") / name
    path.write_bytes(content)
    try:
        read_metadata(path)
    except MetadataError as error:
        assert error.file == str(path)
