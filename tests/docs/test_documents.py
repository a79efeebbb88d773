"""The documents tell the truth that a machine can check: links lead somewhere, tables are the code's, no page names a machine."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import chain
from pathlib import Path
from urllib.parse import unquote

import pytest
from click.testing import CliRunner

from unsee.cli.root import root
from unsee.core.evidence import ForgettingEvidence, Gone, Ground, ModelDisposition, assurance_of

HOME = Path(__file__).resolve().parents[2]
PAGES = sorted([HOME / "README.md", HOME / "CHANGELOG.md", *(HOME / "docs").rglob("*.md")])
_FENCED = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_CODE = re.compile(r"`[^`\n]*`")
_MACHINE = re.compile(r"(?<![\w./~-])/(?:work|home|root|tmp|Users|mnt|srv|opt)/[\w.-]+|[A-Z]:\\\\|file://")


def name_of(page):
    return page.relative_to(HOME).as_posix()


def prose(page):
    """The page without code, in which brackets mean something else."""
    return _CODE.sub("", _FENCED.sub("", page.read_text("utf-8")))


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ +(.+?)\s*$", _FENCED.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def dead_links(page):
    for target in _LINK.findall(prose(page)):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / unquote(path)).resolve() if path else page
        if not there.exists() or HOME not in [there, *there.parents]:
            yield f"{target}: no such file"
        elif anchor and there.suffix == ".md" and anchor not in anchors(there):
            yield f"{target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page):
    assert list(dead_links(page)) == []


def test_a_dead_link_would_be_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "HOME", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "# A title, here\n[a](page.md) [b](gone.md) ![c](img/gone.png) [d](#a-title-here) [e](#gone)"
        " [f](https://example.org/gone) `[g](code.md)` [h](../outside.md)\n```\n[i](fenced.md)\n```\n"
    )
    (tmp_path.parent / "outside.md").touch()
    assert [dead.split(":")[0] for dead in dead_links(page)] == ["gone.md", "img/gone.png", "#gone", "../outside.md"]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_names_a_place_on_someones_machine(page):
    assert _MACHINE.findall(page.read_text("utf-8")) == []


def test_a_place_on_someones_machine_would_be_seen():
    assert _MACHINE.findall(
        "see /home/ada/unsee and `/opt/x`, not /data/faces or a/opt/b or https://example.org/opt/x"
    ) == [
        "/home/ada",
        "/opt/x",
    ]


def test_every_error_is_documented():
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", HOME / "scripts" / "document_errors.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def rows(page, heading):
    """Cells of the table rows below a heading, up to the next one."""
    text = (HOME / page).read_text("utf-8").partition(heading)[2].partition("\n## ")[0].partition("\n### ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    return [[cell.strip().strip("*`") for cell in line.strip("|").split(" | ")] for line in lines][1:]


def test_exit_codes_are_those_of_the_help():
    said = CliRunner().invoke(root, ["--help"]).output.partition("Exit codes:")[2]
    helped = {code: " ".join(words.split()) for code, words in re.findall(r"^\s+(\d+)  +(\S.*)$", said, re.MULTILINE)}
    assert helped
    assert {code: meaning.strip() for code, meaning in rows("docs/errors.md", "## Exit codes")} == helped


def test_the_glossary_has_every_step_letter_ground_and_disposition():
    steps = {step: gives for step, _meaning, gives in rows("docs/glossary.md", "### How gone an item is")}
    assert steps == {g.step: str(assurance_of(g) or "–") for g in Gone}
    letters = [letter for letter, _evidence in rows("docs/glossary.md", "### What a model may claim")]
    assert letters == [e.name for e in ForgettingEvidence]
    text = (HOME / "docs" / "glossary.md").read_text("utf-8")
    assert all(f"**{ground}**" in text for ground in Ground)
    disposition = next(line for line in text.splitlines() if line.startswith("| **disposition**"))
    assert all(str(d).split("-")[0] in disposition for d in ModelDisposition)


def test_the_glossary_says_each_word_once_and_sorts_nothing_in_twice():
    words = [
        word.strip()
        for line in (HOME / "docs" / "glossary.md").read_text("utf-8").splitlines()
        if line.startswith("| **")
        for word in line.split("**")[1].split(",")
    ]
    assert len(words) > 70
    assert sorted(words) == sorted(set(words))


def test_the_house_plan_names_every_room_and_offers_what_exists():
    source = HOME / "src" / "unsee"
    offers = dict(rows("docs/architecture.md", "# How the house is built"))
    assert set(offers) == {p.name for p in source.iterdir() if (p / "__init__.py").is_file()}
    for room, offered in offers.items():
        for name in re.findall(r"`([a-z_]+)[.`]", offered):
            assert name == "unsee" or (source / room / f"{name}.py").is_file(), f"{room} has no module {name}"


def test_decisions_are_numbered_without_gaps_and_say_context_choice_and_price():
    pages = sorted((HOME / "docs" / "adr").glob("0*.md"))
    assert [int(p.name[:4]) for p in pages] == list(range(1, len(pages) + 1))
    listed = (HOME / "docs" / "adr" / "README.md").read_text("utf-8")
    for number, page in enumerate(pages, 1):
        text = page.read_text("utf-8")
        assert re.findall(r"^#+ .+$", text, re.MULTILINE)[1:] == ["## Context", "## Choice", "## Price"]
        title = text.splitlines()[0].removeprefix(f"# {number}. ")
        assert f"| [{number}]({page.name}) | {title} |" in listed


def test_modules_that_the_documents_name_exist():
    named = set(
        chain.from_iterable(re.findall(r"`([a-z_]+\.[a-z_]+)(?:\.[A-Za-z_]+)?`", p.read_text("utf-8")) for p in PAGES)
    )
    rooms = {p.name for p in (HOME / "src" / "unsee").iterdir() if p.is_dir()}
    for name in named:
        room, module = name.split(".")
        if room in rooms:
            assert (HOME / "src" / "unsee" / room / f"{module}.py").is_file(), name
