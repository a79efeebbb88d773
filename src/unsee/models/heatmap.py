"""The picture of exposure: sources down, models across; how much of what a model learned from came from each source.

The scale is one hue whose lightness falls steadily, so that it reads the same with and without colour vision and in grey print;
what is not in a model at all is left white.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from unsee.core.errors import InvalidValue
from unsee.core.exposure import SeenBy, percent
from unsee.models import figures
from unsee.models.figures import FONT, INK, LINE, PAPER, PLAIN, SOFT, drawable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

MAX_ROWS: Final = 60
"""More sources than this are folded into one row, the ones with the fewest training items."""
MAX_COLUMNS: Final = 60
"""More models than this are not drawn; the caption says how many are left out."""

_LEFT_PX: Final = 330
_RIGHT_PX: Final = 190
_TITLE_PX: Final = 92
_CAPTION_PX: Final = 96
_WIDEST_PX: Final = 1700
_NARROWEST_PX: Final = 920
_LOWEST_PX: Final = 200
"""The scale beside the grid needs so much."""
_UPRIGHT_BELOW_PX: Final = 150
"""In columns narrower than this, names of models stand aslant."""
_NAME: Final = 30


@dataclass(frozen=True, slots=True)
class _Grid:
    """What is drawn: rows of counts, one for each source, and the size of a cell in pixels."""

    sources: Sequence[str]
    models: Sequence[SeenBy]
    counts: Sequence[Sequence[int]]
    cell_width_px: int
    cell_height_px: int

    @property
    def top_share(self) -> float:
        """Where the scale ends: the largest share, rounded up to a number that reads well."""
        pairs = [(count, m.items) for row in self.counts for count, m in zip(row, self.models, strict=True) if m.items]
        largest = max((count / items for count, items in pairs), default=0.0)
        return next(t for t in (0.05, 0.1, 0.25, 0.5, 1.0) if largest <= t)

    @property
    def labels_px(self) -> int:
        return 190 if self.cell_width_px < _UPRIGHT_BELOW_PX else 84

    @property
    def grid_px(self) -> int:
        return self.cell_height_px * len(self.sources)

    @property
    def width_px(self) -> int:
        return _LEFT_PX + self.cell_width_px * len(self.models) + _RIGHT_PX

    @property
    def height_px(self) -> int:
        return _TITLE_PX + self.labels_px + self.grid_px + _CAPTION_PX


def heat_map(
    sources: Sequence[str], models: Sequence[SeenBy], path: Path, *, unlawful: Collection[str] = (), title: str
) -> None:
    """Write the heat map: PNG, or SVG where the name ends in `.svg`. The file appears complete or not at all.

    The share of a cell is of all training items of its model, in percent; the count stands below it where it fits. Models that
    were destroyed are hatched. The picture grows with its rows, so that names stay legible.

    Args:
        sources: rows, from above.
        models: columns, from the left.
        path: where to.
        unlawful: sources to mark: no use of them is lawful today.
        title: printed above.
    Raises:
        MissingExtra: matplotlib is not installed.
        InvalidValue: the name ends in neither `.png` nor `.svg`, or there is no source or no model to draw.
    """
    if path.suffix.lower() not in {".png", ".svg"}:
        raise InvalidValue(f"{path.name} is neither a PNG nor an SVG.", next_step="End the name in .png or .svg.")
    if not sources or not models:
        raise InvalidValue(
            "There is nothing to draw: the books hold no " + ("source." if not sources else "model."),
            next_step='The table ("unsee exposure") shows what there is.',
        )
    grid = _grid(sources, models)
    figure = figures.blank(grid.width_px, grid.height_px)
    scale = _scale()
    axes = figure.add_axes(
        (
            _LEFT_PX / grid.width_px,
            _CAPTION_PX / grid.height_px,
            grid.cell_width_px * len(grid.models) / grid.width_px,
            grid.grid_px / grid.height_px,
        )
    )
    _cells(axes, grid, scale)
    _names(axes, grid, unlawful)
    _legend(figure, grid, scale)
    _words(figure, grid, title, _caption(grid, len(sources), len(models), unlawful))
    figures.save(figure, path)


def _grid(sources: Sequence[str], models: Sequence[SeenBy]) -> _Grid:
    drawn = models[:MAX_COLUMNS]
    names, rows = list(sources), [[m.by_source.get(s, 0) for m in drawn] for s in sources]
    if len(sources) > MAX_ROWS:
        largest = sorted(range(len(rows)), key=lambda n: -sum(rows[n]))[: MAX_ROWS - 1]
        folded = [n for n in range(len(rows)) if n not in set(largest)]
        names = [names[n] for n in sorted(largest)] + [f"{len(folded)} other sources"]
        rows = [rows[n] for n in sorted(largest)] + [[sum(rows[n][c] for n in folded) for c in range(len(drawn))]]
    room = _WIDEST_PX - _LEFT_PX - _RIGHT_PX
    width = max(34, min(200, room // len(drawn)), (_NARROWEST_PX - _LEFT_PX - _RIGHT_PX) // len(drawn))
    height = max(26, min(96, 720 // len(names)), _LOWEST_PX // len(names))
    return _Grid(names, drawn, rows, width, height)


def _scale() -> Colormap:
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    blues = colormaps["Blues"]
    return ListedColormap([blues(0.1 + 0.9 * n / 255) for n in range(256)])  # the lightest is still no white


def _cells(axes: Axes, grid: _Grid, scale: Colormap) -> None:
    from matplotlib.patches import Rectangle

    axes.set_xlim(0, len(grid.models))
    axes.set_ylim(len(grid.sources), 0)
    axes.set_facecolor(PAPER)
    top = grid.top_share
    two_lines = grid.cell_width_px >= 84 and grid.cell_height_px >= 46
    for y, row in enumerate(grid.counts):
        for x, (count, model) in enumerate(zip(row, grid.models, strict=True)):
            part = count / model.items if model.items else 0.0
            shade = part / top
            axes.add_patch(
                Rectangle(
                    (x, y), 1, 1, facecolor=scale(shade) if count else PAPER, edgecolor=LINE, linewidth=1,
                    hatch="//" if model.destroyed else None,
                )
            )  # fmt: skip
            if not count or grid.cell_width_px < 44:
                continue
            said = percent(part) + (f"\n{count:,}" if two_lines else "")
            text = axes.text(
                x + 0.5, y + 0.5, said, ha="center", va="center", fontsize=15 if two_lines else 11.5, family=FONT,
                color=PAPER if shade > 0.55 else INK, linespacing=1.35,
            )  # fmt: skip
            if model.destroyed:
                text.set_bbox({"facecolor": scale(shade), "edgecolor": "none", "pad": 2})


def _names(axes: Axes, grid: _Grid, unlawful: Collection[str]) -> None:
    size = 15 if grid.cell_height_px >= 40 else 11.5
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0, pad=8)
    axes.set_yticks([n + 0.5 for n in range(len(grid.sources))])
    axes.set_yticklabels(
        [_short(s) + ("  ✗" if s in unlawful else "") for s in grid.sources], fontsize=size, color=INK, family=FONT
    )
    upright = grid.cell_width_px < _UPRIGHT_BELOW_PX
    axes.xaxis.tick_top()
    axes.set_xticks([n + 0.5 for n in range(len(grid.models))])
    axes.set_xticklabels(
        [_model(m, upright=upright) for m in grid.models], fontsize=15 if not upright else min(15, grid.cell_width_px / 3),
        color=INK, family=FONT, rotation=45 if upright else 0, ha="left" if upright else "center",
        rotation_mode="anchor" if upright else "default",
    )  # fmt: skip
    for label in (*axes.get_yticklabels(), *axes.get_xticklabels()):
        label.set_parse_math(False)
    axes.set_ylabel("source", fontsize=15, color=SOFT, family=FONT, labelpad=12)


def _model(model: SeenBy, *, upright: bool) -> str:
    state = "destroyed" if model.destroyed else "deployed" if model.deployed else ""
    name, count = _short(model.model), f"{model.items:,} items"
    if upright:
        return f"{name} ({state})" if state else name
    return "\n".join([name[:20], *([state] if state else []), count])


def _legend(figure: Figure, grid: _Grid, scale: Colormap) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    height = min(grid.grid_px, 420)
    beside = figure.add_axes(
        (
            1 - 140 / grid.width_px,
            1 - (_TITLE_PX + grid.labels_px + height) / grid.height_px,
            22 / grid.width_px,
            height / grid.height_px,
        )
    )
    bar = figure.colorbar(ScalarMappable(Normalize(0, 100 * grid.top_share), scale), cax=beside)
    bar.outline.set_visible(False)
    bar.set_ticks([round(25 * grid.top_share * n, 2) for n in range(5)])
    beside.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    beside.tick_params(length=0, labelsize=13, labelcolor=SOFT, labelfontfamily=FONT)
    bar.set_label("share of the model's\ntraining items, in %", fontsize=13, color=SOFT, family=FONT, labelpad=8)


def _words(figure: Figure, grid: _Grid, title: str, caption: Sequence[str]) -> None:
    room = (grid.width_px - 40) / 0.62
    size = max(13.0, min(24.0, room / max(len(title), 1) * 0.66))
    top = 1 - 44 / grid.height_px
    figure.text(
        24 / grid.width_px, top, drawable(title), fontsize=size, color=INK, weight="bold", va="center", family=FONT, **PLAIN
    )  # fmt: skip
    for k, line in enumerate(caption):
        figure.text(
            24 / grid.width_px, (54 - 24 * k) / grid.height_px, line, fontsize=12, color=SOFT, va="center", family=FONT
        )


def _caption(grid: _Grid, sources: int, models: int, unlawful: Collection[str]) -> list[str]:
    notes = ["Rows: sources. Columns: models, oldest first. White: no item of that source."]
    if any(m.destroyed for m in grid.models):
        notes.append("Hatched: destroyed.")
    if any(s in unlawful for s in grid.sources):
        notes.append("✗: no use is lawful today.")
    if sources > MAX_ROWS:
        notes.append(f"{sources - MAX_ROWS + 1} of {sources} sources stand in one row.")
    if models > MAX_COLUMNS:
        notes.append(f"{models - MAX_COLUMNS} of {models} models are left out.")
    return [notes[0], " ".join(notes[1:])]


def _short(name: str) -> str:
    text = drawable(name)
    return text if len(text) <= _NAME else text[: _NAME - 1] + "…"
