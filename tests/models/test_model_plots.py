import builtins
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from simulated_people import embeddings

from unsee.core.errors import InvalidValue, MissingExtra
from unsee.models import plots
from unsee.models.comparison import Comparison, compare
from unsee.models.evaluation import Evaluation
from unsee.models.verification import evaluate

pytest.importorskip("matplotlib")


def _evaluate(noise: float, pull: float = 0.0, groups: dict[int, str] | None = None, people: int = 60) -> Evaluation:
    rows, who, own = embeddings(1, people=people, noise=noise, pull=(pull, 0.0, 0.0))
    names = own if groups is None else groups
    return evaluate(rows, who, names, rng=np.random.default_rng(5), resamples=40, min_group_people=10)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(_evaluate(0.8), _evaluate(0.9, 0.5), _evaluate(0.9))


def _inked(path: Path) -> np.ndarray:
    """Where the picture is not paper: (h, w) bool."""
    picture = cv2.imread(str(path))
    assert picture.shape == (plots.HEIGHT_PX, plots.WIDTH_PX, 3)
    return (picture.astype(int) < 235).any(axis=2)


def test_the_same_numbers_make_the_same_bytes(comparison: Comparison, tmp_path: Path) -> None:
    one, other = tmp_path / "one.png", tmp_path / "other.png"
    plots.before_after(comparison, one, title="Before and after")
    plots.before_after(comparison, other, title="Before and after")
    assert one.read_bytes() == other.read_bytes()
    for stamp in (b"Software", b"matplotlib", b"tIME", b"Creation"):
        assert stamp not in one.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.png", "other.png"], "no temporary file is left"


def test_nothing_touches_the_edge(comparison: Comparison, tmp_path: Path) -> None:
    plots.before_after(comparison, tmp_path / "p.png", title="Face recogniser before and after deleting a source")
    ink = _inked(tmp_path / "p.png")
    margin = 12
    assert ink[margin:-margin, margin:-margin].any()
    for edge in (ink[:margin], ink[-margin:], ink[:, :margin], ink[:, -margin:]):
        assert not edge.any()


def test_each_model_is_drawn_in_its_colour(comparison: Comparison, tmp_path: Path) -> None:
    def colours(of: Comparison) -> set[tuple[int, int, int]]:
        plots.before_after(of, tmp_path / "p.png", title="t")
        pixels = cv2.imread(str(tmp_path / "p.png"))[300:, 280:780].reshape(-1, 3)
        return {(int(r), int(g), int(b)) for b, g, r in np.unique(pixels, axis=0)}

    grey, orange, blue = (0x56, 0x60, 0x6B), (0xD5, 0x5E, 0x00), (0x00, 0x72, 0xB2)
    assert {grey, orange, blue} <= colours(comparison)
    without = colours(compare(_evaluate(0.8), _evaluate(0.9)))
    assert {grey, orange} <= without
    assert blue not in without


def test_any_names_and_any_gaps_can_be_drawn(tmp_path: Path) -> None:
    """No warning (they are errors here) for formula signs, missing glyphs, long names, unclaimed and many groups."""
    names = ["$x_$", "日本語", "a group with a name that goes on and on", "e", "f", "g", "h", "i"]
    groups = {p: names[p % 8] for p in range(100)} | dict.fromkeys(range(100, 104), "few")
    odd = [_evaluate(noise, groups=groups, people=104) for noise in (0.05, 0.9, 0.3)]
    plots.before_after(compare(*odd, control_label="a $^$ sign"), tmp_path / "p.png", title="50 $^$ and 日本 " * 6)
    plots.before_after(compare(_evaluate(0.9, groups={}), _evaluate(0.9, groups={})), tmp_path / "q.png", title="none")
    small = _evaluate(0.9, people=6)
    plots.before_after(compare(small, small), tmp_path / "r.png", title="few")
    assert all(_inked(tmp_path / f"{n}.png").any() for n in "pqr")


def test_det_curves(tmp_path: Path) -> None:
    three = {"before": _evaluate(0.8), "after": _evaluate(0.9, 0.5), "control": _evaluate(0.9)}
    plots.det_curves(three, tmp_path / "p.png", title="Trade-off")
    plots.det_curves(three, tmp_path / "q.png", title="Trade-off")
    assert (tmp_path / "p.png").read_bytes() == (tmp_path / "q.png").read_bytes()
    assert _inked(tmp_path / "p.png").any()
    with pytest.raises(InvalidValue, match="one to three"):
        plots.det_curves({}, tmp_path / "no.png", title="t")
    with pytest.raises(InvalidValue, match="'perfect' has too few"):
        plots.det_curves({"perfect": _evaluate(0.05)}, tmp_path / "no.png", title="t")
    assert not (tmp_path / "no.png").exists()


def test_a_failed_write_leaves_the_old_picture(comparison: Comparison, tmp_path: Path, monkeypatch) -> None:
    target = tmp_path / "p.png"
    target.write_bytes(b"the old picture")

    def torn(_handle: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", torn)
    with pytest.raises(OSError, match="disk full"):
        plots.before_after(comparison, target, title="t")
    assert target.read_bytes() == b"the old picture"
    assert [p.name for p in tmp_path.iterdir()] == ["p.png"]


def test_without_matplotlib_the_extra_is_named(comparison: Comparison, tmp_path: Path, monkeypatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object, **more: object) -> object:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"unsee\[report\]"):
        plots.before_after(comparison, tmp_path / "p.png", title="t")
    assert not (tmp_path / "p.png").exists()


def test_importing_the_measures_does_not_import_matplotlib() -> None:
    import subprocess

    said = subprocess.run(
        [sys.executable, "-c", "import sys, unsee.models.plots, unsee.models.verification; print('matplotlib' in sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout.strip() == "False"
