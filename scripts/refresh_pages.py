"""Pages whose console blocks are real: runs the commands of each page, top to bottom, and writes what they print into it.

A page's commands run in one shell, in an empty directory of their own, with this checkout's `unsee`. In a block fenced as `console`
a line that begins with `$ ` is a command (lines that begin with `> ` go on with it), and the lines below it are what it prints. A
comment `<!-- setup` … `-->` holds commands that run unseen. A command that ends in `# exit 3` must exit with 3, every other with 0.

    python scripts/refresh_pages.py docs/books/parties.md     # write what the commands print now
    python scripts/refresh_pages.py --check                   # say where a page and its commands differ; exit 1
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs" / "books").glob("*.md"))
PLACE = "/data"
"""What a page calls the directory in which its commands ran."""
_EXIT = re.compile(r"\s#\s*exit (\d+)\s*$")
_VOLATILE = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)"), "<time>"),
    (re.compile(r"\d{4}-\d\d-\d\d"), "<day>"),
    (re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b"), "<digest>"),
    (re.compile(r"[A-Za-z0-9+/_-]{40,}=*"), "<text>"),
    (re.compile(r"\b\d+(\.\d+)? (cpu-)?s\b"), "<seconds>"),
    (re.compile(r"\b\d[\d,.]* (k|M|G)?B\b"), "<bytes>"),
    (re.compile(r"\b\d[\d,]* anchors\b"), "<anchors>"),
    # a key under which a short file has no anchor is drawn now and then
    (re.compile(r"^ *\d[\d,]* were too small, or not readable, to be searched for as raw bytes\n", re.MULTILINE), ""),
    (re.compile(r"[ \t]+"), " "),
)


@dataclass
class Piece:
    """Lines of a page: prose, or one command with what it prints. Only shown pieces of commands are written anew."""

    lines: list[str]
    command: str = ""
    shown: bool = True
    printed: list[str] = field(default_factory=list)


class PageBroken(Exception):
    """A command did not exit as the page says."""


def pieces(text: str) -> Iterator[Piece]:
    """The page, taken apart; joined again they are the page."""
    inside = ""
    current: Piece | None = None
    for line in text.splitlines():
        if inside and (line.startswith("```") if inside == "console" else line.strip() == "-->"):
            if current:
                yield current
            inside, current = "", None
            yield Piece([line])
        elif inside and line.startswith("$ "):
            if current:
                yield current
            current = Piece([line], command=line[2:], shown=inside == "console")
        elif inside and current and line.startswith("> ") and not current.printed:
            current.lines.append(line)
            current.command += "\n" + line[2:]
        elif inside and current:
            current.printed.append(line)
        else:
            if line.strip() in {"```console", "<!-- setup"}:
                inside = "console" if line.startswith("```") else "setup"
            yield Piece([line])
    if current:
        yield current


def run(page: Path) -> str:
    """The page with what its commands print now.

    Raises:
        PageBroken: one exits with another code than the page says.
    """
    parts = list(pieces(page.read_text("utf-8")))
    commands = [p for p in parts if p.command]
    mark = secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="unsee-page-") as place:
        script = "".join(f"{p.command}\nprintf '\\n%s %d\\n' {mark} $?\n" for p in commands)
        ran = subprocess.run(
            ["bash", "-s"],
            input=script,
            cwd=place,
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        printed = ran.stdout.replace(os.path.realpath(place), PLACE).replace(place, PLACE)
    answers = re.split(rf"\n{mark} (\d+)\n", printed)
    for number, part in enumerate(commands):
        if 2 * number + 1 >= len(answers):
            raise PageBroken(f"{page.name}: the shell ended at $ {part.command}")
        output, code = answers[2 * number], int(answers[2 * number + 1])
        wanted = int(found[1]) if (found := _EXIT.search(part.command)) else 0
        if code != wanted:
            raise PageBroken(f"{page.name}: exit {code}, not {wanted}, of $ {part.command}\n{output}")
        if part.shown:
            part.printed = [line.rstrip() for line in output.rstrip("\n").split("\n")] if output.strip() else []
    return "\n".join(line for part in parts for line in (*part.lines, *part.printed)) + "\n"


def alike(text: str) -> str:
    """The text without what differs from day to day: days, times, digests, durations."""
    for pattern, name in _VOLATILE:
        text = pattern.sub(name, text)
    return text


def difference(page: Path) -> str:
    """How the page and its commands differ, as a diff; empty when they agree."""
    old, new = alike(page.read_text("utf-8")).splitlines(), alike(run(page)).splitlines()
    return "\n".join(difflib.unified_diff(old, new, f"{page.name} as it stands", "as its commands print", lineterm=""))


def _environment() -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("UNSEE_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**inherited, "PATH": path, "COLUMNS": "120", "LC_ALL": "C.UTF-8", "PYTHONWARNINGS": "default"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else "")
    parser.add_argument("pages", nargs="*", type=Path, help="default: all of docs/books")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    status = 0
    for page in arguments.pages or PAGES:
        try:
            if not arguments.check:
                page.write_text(run(page), "utf-8")
            elif found := difference(page):
                print(found)
                status = 1
        except PageBroken as broken:
            print(broken, file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
