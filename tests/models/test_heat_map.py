"""The heat map: legible with few rows and with many, the same bytes for the same numbers, nothing left out unsaid."""

from __future__ import annotations

import html
import random
import re
from pathlib import Path

import cv2
import pytest

from unsee.core.errors import InvalidValue
from unsee.core.exposure import SeenBy
from unsee.models import heatmap
from unsee.models.heatmap import heat_map

pytest.importorskip("matplotlib")

TITLE = "How much of each model came from each source"


def seen(rows: int, columns: int) -> tuple[list[str], list[SeenBy]]:
    draw = random.Random(3)
    sources = [f"source-{n:02d}" for n in range(rows)]
    models = []
    for n in range(columns):
        counts = {s: draw.randint(1, 90_000) for s in sources if draw.random() < 0.7}
        models.append(SeenBy(f"recogniser-{n}", sum(counts.values()), counts, n % 4 == 1, n % 3 == 0))
    return sources, models


def words(path: Path) -> str:
    """All that an SVG says, from the comments that stand beside its glyphs."""
    return "\n".join(html.unescape(c) for c in re.findall(r"<!--(.*?)-->", path.read_text(), re.DOTALL))


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 2), (60, 12)])
def test_names_shares_and_units_stand_in_the_picture(tmp_path: Path, rows: int, columns: int) -> None:
    sources, models = seen(rows, columns)
    heat_map(sources, models, tmp_path / "e.svg", unlawful=sources[:1], title=TITLE)
    said = words(tmp_path / "e.svg")
    assert all(name in said for name in [TITLE, *sources[1:], f"{sources[0]}  ✗", "training items, in %"])
    assert all(m.model in said for m in models)
    assert "✗: no use is lawful today." in said
    assert ("Hatched: destroyed." in said) is (columns > 1)
    largest = max(models[0].by_source.items(), key=lambda pair: pair[1]) if models[0].by_source else None
    if largest and rows <= 3:
        assert f"{largest[1]:,}" in said, "counts stand where they fit"
    heat_map(sources, models, tmp_path / "e.png", title=TITLE)
    picture = cv2.imread(str(tmp_path / "e.png"))
    assert picture is not None
    assert picture.shape[0] >= 26 * rows, "a row is never lower than its name"


def test_more_than_fits_is_folded_and_said(tmp_path: Path) -> None:
    sources, models = seen(heatmap.MAX_ROWS + 20, heatmap.MAX_COLUMNS + 10)
    heat_map(sources, models, tmp_path / "e.svg", title=TITLE)
    said = words(tmp_path / "e.svg")
    assert "21 other sources" in said
    assert f"21 of {len(sources)} sources stand in one row." in said
    assert f"10 of {len(models)} models are left out." in said


def test_the_same_numbers_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "a.svg", "b.svg"):
        heat_map(*seen(3, 3), tmp_path / name, title=TITLE)
    for kind in ("png", "svg"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_names_are_words_and_no_formulas(tmp_path: Path) -> None:
    models = [SeenBy("a$^$b" * 20, 0, {}), SeenBy("日本", 3, {"x$": 3})]
    heat_map(["x$", "日本" * 30], models, tmp_path / "e.png", title="50 $^$ " * 30)


@pytest.mark.parametrize(
    ("sources", "models", "name"),
    [([], [SeenBy("m", 0, {})], "e.png"), (["s"], [], "e.png"), (["s"], [SeenBy("m", 0, {})], "e.pdf")],
)
def test_what_cannot_be_drawn_is_refused_with_the_next_step(tmp_path: Path, sources, models, name: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        heat_map(sources, models, tmp_path / name, title=TITLE)
    assert caught.value.next_step
    assert list(tmp_path.iterdir()) == []
