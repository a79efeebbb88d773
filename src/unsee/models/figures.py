"""What every picture of the house is drawn with: paper, ink, a font, one way to write a file.

matplotlib is imported when a picture is drawn, on its own canvas: no global state is touched. Same numbers, same matplotlib: same
bytes. Fonts are the ones that matplotlib brings, and no date or version is written.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from unsee.core.errors import MissingExtra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI: Final = 100
PAPER: Final = "#ffffff"
INK: Final = "#1f2328"
SOFT: Final = "#5b6570"
LINE: Final = "#dfe3e8"
BAND: Final = "#f6f7f9"
FONT: Final = "DejaVu Sans"
PLAIN: Final[dict[str, Any]] = {"parse_math": False}
"""For words that users chose: a dollar sign is a dollar sign."""


def blank(width_px: int, height_px: int) -> Figure:
    """An empty sheet.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as missing:
        raise MissingExtra("report", needed_for="Drawing a figure") from missing
    figure = Figure(figsize=(width_px / DPI, height_px / DPI), dpi=DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    return figure


def drawable(text: str) -> str:
    """`text` with an empty box for each character that the font lacks, instead of a warning for each."""
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont(FONT)).get_charmap()
    return "".join(letter if ord(letter) in known else "□" for letter in text)


def save(figure: Figure, path: Path) -> None:
    """Write a PNG, or an SVG where the name ends so: without date or version, beside the target and renamed over it."""
    drawn = io.BytesIO()
    if path.suffix.lower() == ".svg":
        from matplotlib import rc_context

        with rc_context({"svg.hashsalt": "unsee"}):  # else the ids in the file are drawn at random
            figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None}, facecolor=PAPER)
    else:
        figure.savefig(
            drawn, format="png", dpi=DPI, metadata={"Software": None}, facecolor=PAPER, pil_kwargs={"optimize": True}
        )
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(drawn.getvalue())
            out.flush()
            os.fsync(out.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
