"""The page on writing a store is a package: installed beside unsee, opened by the command line, it passes the suite."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parents[2]
PAGE = (HOME / "docs" / "stores" / "writing-a-store.md").read_text()
STORE, PROJECT, TEST = re.findall(r"```(?:python|toml)\n(.*?)```", PAGE, flags=re.S)


@pytest.fixture
def site(tmp_path):
    """A directory as an installer leaves it: the module and its `dist-info`."""
    project = tomllib.loads(PROJECT)["project"]
    site = tmp_path / "site"
    about = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir(parents=True)
    (site / "unsee_zips.py").write_text(STORE)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = [
        line
        for group, names in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {target}" for name, target in names.items()))
    ]
    (about / "entry_points.txt").write_text("\n".join(points) + "\n")
    return site


@pytest.fixture
def run(site, tmp_path):
    """Runs Python with the package installed."""
    path = os.pathsep.join([str(site), str(HOME / "src")])

    def python(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path, "UNSEE_WORKSPACE": str(tmp_path / "ws")},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return python


def test_the_command_line_finds_the_kind_and_opens_it(run, tmp_path):
    def unsee(*words: str) -> subprocess.CompletedProcess[str]:
        return run("-c", "from unsee.cli import main; main()", *words)

    archives = tmp_path / "archives"
    archives.mkdir()
    other = tmp_path / "other"
    other.mkdir()
    with zipfile.ZipFile(archives / "2014.zip", "w") as archive:
        archive.writestr("a.jpg", b"a photo")
    assert unsee("init", str(tmp_path / "ws"), "--organisation", "Acme").returncode == 0
    added = unsee("store", "add", "zips", str(archives), "--kind", "zips", "--json")
    assert added.returncode == 0, added.stderr
    assert json.loads(added.stdout)["kind"] == "zips"
    listed = json.loads(unsee("store", "list", "--json").stdout)["stores"]
    assert [row["kind"] for row in listed if row["id"] == "zips"] == ["zips"]
    wrong = unsee("store", "add", "more", str(other), "--kind", "zips", "--option", "colour=red")
    assert wrong.returncode == 4
    assert "no option 'colour'" in wrong.stderr
    unknown = unsee("store", "add", "more", str(other), "--kind", "tapes")
    assert "zips" in unknown.stderr, "it stands among the kinds"


def test_it_passes_the_contract_suite(run, tmp_path):
    (tmp_path / "test_unsee_zips.py").write_text(TEST)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    done = run(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers", "-m", "not slow", "test_unsee_zips.py"
    )
    assert done.returncode == 0, done.stdout[-3000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) > 20


def test_the_suite_that_it_runs_can_fail(run, site, tmp_path):
    """A store that rewrites archives where they lie shows half of them to readers."""
    careless = STORE.replace(
        "shards.replace(self.location, object_name, lambda _, new: write(new, staying))",
        "write(os.open(os.path.join(self.location, object_name), os.O_WRONLY | os.O_TRUNC), staying)",
    )
    assert careless != STORE
    (site / "unsee_zips.py").write_text(careless)
    (tmp_path / "test_unsee_zips.py").write_text(TEST)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    done = run(
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--strict-markers",
        "-k",
        "system_calls or meanwhile",
        "test_unsee_zips.py",
    )
    assert done.returncode == 1
    assert "MUST" in done.stdout
