"""The README's commands: the first screen is the demo's own story; the session on one's own photos runs here as it stands."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from unsee.replace.folder import ConsentSpec, FolderSpec, write_folder

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BIN = Path(sys.executable).parent


def commands(block: str) -> list[str]:
    return [line[2:].split(" #")[0].strip() for line in block.splitlines() if line.startswith("$ ")]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize(("block", "count"), [(0, 10), (2, 6)], ids=["the first screen", "the books"])
def test_every_command_shown_is_one_of_the_demo(block: int, count: int) -> None:
    story = (ROOT / "scripts" / "demo.py").read_text()
    joined = re.sub(r"[\"']\s*\n\s*f?[\"']", "", story)  # strings that go on in the next line
    shown = commands(blocks("console")[block])
    assert len(shown) == count
    for command in shown:
        assert command in joined, command


def test_the_make_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"^make ([a-z-]+)", "\n".join(blocks("sh")), flags=re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    spec = FolderSpec(
        seed=5,
        tones={"light": 2, "dark": 2},
        photos_per_person=2,
        consent=ConsentSpec(("evaluate",), "notice-1", date(2024, 1, 15)),
    )
    write_folder(spec, tmp_path / "faces" / "panel", workers=1)
    return tmp_path / "faces"


def test_the_session_on_ones_own_photos_runs_as_it_stands(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "agreement.pdf").write_bytes(b"the agreement")
    session = commands(blocks("console")[1])
    where = tmp_path
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("UNSEE_PERSON", None)
    for command in session:
        text, _, change = command.replace("/data/faces", str(photos)).partition(" && cd ")
        text = text.replace("--document agreement.pdf", f"--document {tmp_path / 'agreement.pdf'}")
        ended = subprocess.run(
            shlex.split(text), cwd=where, env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, (command, ended.stdout, ended.stderr)
        if change:
            where /= change
    told = subprocess.run(
        ["unsee", "exposure", "--json"], cwd=where, env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(told.stdout)["rows"][0]["items"] == 8
    code = blocks("python")[0].replace("    ...", "    print(sample.item, len(sample.data), sample.person)")
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert len(ended.stdout.splitlines()) == 8
