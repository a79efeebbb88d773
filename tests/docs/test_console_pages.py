"""The pages on the books show what the commands really print: each page is run, top to bottom, and compared."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parents[2]
_SPEC = importlib.util.spec_from_file_location("refresh_pages", HOME / "scripts" / "refresh_pages.py")
refresh = importlib.util.module_from_spec(_SPEC)
sys.modules["refresh_pages"] = refresh
_SPEC.loader.exec_module(refresh)


@pytest.mark.parametrize("page", refresh.PAGES, ids=lambda page: page.stem)
def test_a_page_shows_what_its_commands_print(page):
    assert refresh.difference(page) == ""


@pytest.fixture
def page(tmp_path):
    made = tmp_path / "page.md"
    made.write_text(
        "# A page\n\n<!-- setup\n$ there=$PWD; echo unseen > file\n-->\n\n```console\n$ cat file; date -u +%F\nunseen\n2020-01-01\n"
        "$ ls missing 2>/dev/null  # exit 2\n$ echo one \\\n> two; echo $there\none two\n/data\n```\n\nProse.\n"
    )
    return made


def test_a_page_that_tells_the_truth_passes(page):
    before = page.read_text()
    assert refresh.difference(page) == ""
    assert "".join(f"{line}\n" for part in refresh.pieces(before) for line in (*part.lines, *part.printed)) == before


@pytest.mark.parametrize(
    ("old", "new"), [("one two\n", "one three\n"), ("\nunseen\n", "\n"), ("Prose.", "$ no command\nProse.")]
)
def test_an_output_that_is_not_the_commands_own_is_seen(page, old, new):
    page.write_text(page.read_text().replace(old, new))
    assert bool(refresh.difference(page)) is (old != "Prose.")


@pytest.mark.parametrize(
    ("old", "new"), [("# exit 2", ""), ("cat file; date", "cat gone && date"), ("cat file", "exit 0; cat file")]
)
def test_a_command_that_exits_otherwise_breaks_the_page(page, old, new):
    page.write_text(page.read_text().replace(old, new))
    with pytest.raises(refresh.PageBroken):
        refresh.difference(page)


def test_refreshing_writes_what_the_commands_print(page):
    page.write_text(page.read_text().replace("one two\n", "anything\n"))
    page.write_text(refresh.run(page))
    assert refresh.difference(page) == ""
    assert "\none two\n/data\n" in page.read_text()
