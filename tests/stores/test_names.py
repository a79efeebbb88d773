import json
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from unsee.core.errors import PathEscape
from unsee.stores.names import component, components, spell, unspell

# Any bytes, and bytes made of what is delicate: backslashes, escapes, cut UTF-8, controls.
PIECES = [
    b"\\",
    b"x",
    b"61",
    b"ff",
    b"\xff",
    b"\xc3",
    b"\xa4",
    "ä".encode(),
    b"\n",
    b"\x7f",
    b"\xc2\x85",
    b"\xed\xb2\x80",
    b".",
    b"/",
]
FILE_NAMES = st.one_of(
    st.binary(max_size=40),
    st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join),
    st.text(max_size=20).map(lambda t: t.encode("utf-8", "ignore")),
)


@given(FILE_NAMES)
@example(b"\\xff")
@example("\u202egpj.exe".encode())
def test_every_name_comes_back_from_its_spelling(name):
    assert unspell(spell(name)) == name


@given(FILE_NAMES)
def test_a_spelling_is_plain_text_for_every_format(name):
    spelling = spell(name)
    assert spelling.encode("utf-8").decode("utf-8") == spelling
    assert json.loads(json.dumps(spelling)) == spelling
    assert not [
        c
        for c in spelling
        if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"}
        or unicodedata.bidirectional(c) in {"RLO", "LRO", "RLE", "LRE", "PDF", "RLI", "LRI", "FSI", "PDI"}
    ]


@given(st.text(max_size=20))
def test_a_spelling_names_one_file_or_none(text):
    try:
        name = unspell(text)
    except ValueError:
        return
    assert spell(name) == text


@given(FILE_NAMES, FILE_NAMES)
def test_two_names_have_two_spellings(one, other):
    assert (spell(one) == spell(other)) == (one == other)


@pytest.mark.parametrize(
    "name", ["IMG_0001.JPG", "Ömer & Zoë (2014).jpg", "写真.png", "a%20b~1.jpeg", "👩‍👧.webp", " lead.jpg"]
)
def test_ordinary_names_are_spelled_as_they_are(name):
    assert spell(name.encode()) == name


@pytest.mark.parametrize(
    ("name", "spelling"),
    [
        (b"a\xffb", "a\\xffb"),
        (b"a\\b", "a\\\\b"),
        (b"line\nbreak", "line\\x0abreak"),
        ("\u202eevil".encode(), "\\xe2\\x80\\xaeevil"),
    ],
)
def test_odd_names_are_spelled_with_escapes(name, spelling):
    assert spell(name) == spelling


def test_sqlite_and_parquet_hold_the_spelling_of_any_bytes(tmp_path):
    import sqlite3

    import pyarrow as pa
    from pyarrow import parquet

    names = [bytes([b]) * 3 for b in range(1, 256)] + [bytes([b, 0x80]) for b in range(1, 256)]
    spelled = [spell(n) for n in names]
    with sqlite3.connect(":memory:") as db:
        db.execute("create table t (n text)")
        db.executemany("insert into t values (?)", [(s,) for s in spelled])
        back = [row[0] for row in db.execute("select n from t order by rowid")]
    db.close()
    parquet.write_table(pa.table({"n": spelled}), tmp_path / "t.parquet")
    assert [unspell(s) for s in back] == names
    assert [unspell(s) for s in parquet.read_table(tmp_path / "t.parquet")["n"].to_pylist()] == names


@pytest.mark.parametrize(
    "bad",
    [
        "",
        ".",
        "..",
        "a/b",
        "/",
        "nul\0",
        "\\x00",
        "\\x2f",
        "\\x2e",
        "\\x2e\\x2e",
        "\\x61",
        "\\",
        "a\\",
        "\\xFF",
        "\\xf",
        "\udcff",
        "a\nb",
    ],
)
def test_what_is_no_entry_of_a_directory_is_refused_by_name(bad):
    with pytest.raises(PathEscape) as caught:
        component(bad)
    assert repr(bad) in caught.value.message


@pytest.mark.parametrize("bad", ["", "/", "/etc", "a/", "a//b", "./a", "a/.", "../a", "a/../b", "..", "\\x2e\\x2e/a"])
def test_objects_are_paths_below_the_root(bad):
    with pytest.raises(PathEscape):
        components(bad)


def test_the_root_is_a_dot():
    assert components(".") == ()
    assert components("a/b\\x0a") == (b"a", b"b\n")
