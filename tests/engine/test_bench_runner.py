"""The benchmarks run at a hundredth of their size, and their tables say what they mean. No time is asserted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from bench import Line, Table, as_json  # noqa: E402  the benchmarks are no installed package


def test_a_ratio_is_time_for_one_unit_over_that_of_the_reference():
    table = Table(
        "t", "files", [Line("ours", 1.0, 100, at_most_ratio=0.5), Line("peer", 4.0, 200, at_most_s=3)], reference="peer"
    )
    assert [table.ratio(line) for line in table.lines] == [0.5, 1.0]
    assert [table.verdict(line) for line in table.lines] == ["≤ 0.5× met", "≤ 3 s MISSED"]
    assert "≤ 3 s MISSED" in table.text()
    assert "100" in table.text()


def test_goals_for_memory_are_absolute():
    line = Line("plan", 1.0, 3_000_000, peak_bytes=1_500_000_000, at_most_bytes=2_000_000_000)
    assert Table("t", "items", [line]).verdict(line) == "≤ 2,000 MB met"


def test_as_json_is_a_document_a_table():
    document = json.loads(as_json("x", [Table("t", "files", [Line("ours", 1.0, 2)])]))
    assert (document["schema"], document["ratios"]) == ("unsee/bench/1", {"ours": 1.0})


def bench(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_erase_files_runs():
    done = bench("erase_files", "--scale", "0.01")
    assert done.returncode == 0, done.stderr
    for line in ("rm -rf", "FileStore, 2 threads", "FileStore.scan", "ratio"):
        assert line in done.stdout


@pytest.mark.slow
def test_books_runs():
    done = bench("books", "--scale", "0.001")
    assert done.returncode == 0, done.stderr
    for line in (
        "bulk.insert",
        "add_columns",
        "resolve the partner's scope",
        "exposure of all sources",
        "digest look-ups",
    ):
        assert line in done.stdout
