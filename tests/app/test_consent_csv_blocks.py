"""A CSV list is read by the block where nothing is odd, and row by row where something is: both ways say the same."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from unsee.app import consent_rows
from unsee.app.consent_columns import plain_seconds, text_array
from unsee.app.consent_rows import REQUIRED, Problem, read_rows
from unsee.core.errors import MetadataError

FIELDS = st.text(st.sampled_from("abé €;\u2028\x0b\x85 \t\0NULL0-:"), max_size=4) | st.sampled_from(
    ["", "null", "NaN", "2024-02-01"]
)
ROWS = st.lists(FIELDS, min_size=5, max_size=5).map(",".join)
ODD = st.sampled_from(
    ["", "a,b", "a,b,c,d,e,f", '"q,x",b,c,d,e', '"two\nlines",b,c,d,e', 'a"b,c,d,e,f', "a\rb,c,d,e,f", " ,,,,"]
)
LINES = st.lists(st.tuples(ROWS | ROWS | ROWS | ODD, st.sampled_from(["\n", "\n", "\r\n"])), max_size=8)


def read(data: bytes, *, blocks: bool, size: int) -> tuple[list[tuple[int, ...]], list[Problem]]:
    """Rows (line and fields) and problems, with blocks of `size` bytes or row by row."""
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        file.write(data)
        file.flush()
        problems: list[Problem] = []
        rows: list[tuple[int, ...]] = []
        plain = consent_rows._plain if blocks else lambda _block, _header: None
        with mock.patch.object(consent_rows, "_plain", plain), mock.patch.object(consent_rows, "_BLOCK", size):
            try:
                for chunk in read_rows(Path(file.name), "csv", problems.append):
                    columns = [chunk.columns[name].to_pylist() for name in REQUIRED]
                    rows.extend(zip(chunk.lines.tolist(), *columns, strict=True))
            except MetadataError as error:  # the file as a whole, such as one that looks like UTF-16
                return [], [Problem(0, "", error.message.replace(file.name, ""))]
    return rows, sorted(problems, key=repr)


@settings(max_examples=300, deadline=None)
@given(lines=LINES, last=st.booleans(), size=st.sampled_from([1, 20, 1 << 20]))
def test_by_the_block_it_is_what_row_by_row_says(lines: list[tuple[str, str]], last: bool, size: int) -> None:
    text = ",".join(REQUIRED) + "\n" + "".join(line + end for line, end in lines)
    data = (text if last else text.rstrip("\r\n")).encode()
    assert read(data, blocks=True, size=size) == read(data, blocks=False, size=1 << 20)


def test_a_plain_list_does_go_by_the_block() -> None:
    block = b"a,b,c,d,e\nf,g,h,i,j"
    columns = consent_rows._plain(block, list(REQUIRED))
    assert columns is not None
    assert [c.to_pylist() for c in columns] == [["a", "f"], ["b", "g"], ["c", "h"], ["d", "i"], ["e", "j"]]


def test_times_in_the_plain_spelling_are_understood_at_once_and_others_left() -> None:
    texts = text_array(["2024-02-01T10:00:00Z", "2024-02-01", "", "1999-12-31T23:59:59Z", "2024-02-01T10:00:00+01:00"])
    found, spelled = plain_seconds(texts)
    assert spelled.tolist() == [True, False, False, True, False]
    assert found[spelled].tolist() == [1_706_781_600, 946_684_799]
    assert not plain_seconds(text_array(["2024-02-31T10:00:00Z", "2024-02-01T10:00:00Z"]))[1].any()
