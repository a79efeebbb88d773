"""Pictures of a comparison. matplotlib is imported when a picture is drawn, on its own canvas: no global state is touched.

Same numbers, same matplotlib: same bytes. Fonts are the ones that matplotlib brings, and no date or version is written.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from unsee.core.errors import InvalidValue, MissingExtra
from unsee.models.comparison import Comparison, Row, quantity
from unsee.models.evaluation import Evaluation, Measure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_PX: Final = 1600
HEIGHT_PX: Final = 900
_DPI: Final = 100

_PAPER: Final = "#ffffff"
_INK: Final = "#1f2328"
_SOFT: Final = "#5b6570"
_LINE: Final = "#dfe3e8"
_BAND: Final = "#f6f7f9"
_FONT: Final = "DejaVu Sans"

_HEADLINE: Final = (
    ("eer", "Equal error rate", "as many strangers matched\nas own photos missed"),
    ("tar@1e-2", "Missed at FAR 1 %", "own photo not recognised\n(1 − TAR)"),
    ("tar@1e-3", "Missed at FAR 0.1 %", "own photo not recognised\n(1 − TAR)"),
    ("rank1", "Rank-1 misses", "nearest other photo\nis a stranger"),
)


@dataclass(frozen=True, slots=True)
class _Series:
    """How one model is drawn. Colours: Okabe and Ito's palette, told apart by shape and lightness as well."""

    name: str
    colour: str
    marker: str
    size: float


_BEFORE: Final = _Series("before", "#56606b", "o", 11.0)
_CONTROL: Final = _Series("control", "#0072b2", "D", 9.5)
_AFTER: Final = _Series("after", "#d55e00", "s", 10.5)


@dataclass(frozen=True, slots=True)
class _Mark:
    """One value to draw, in percent; `reason` stands in its place when there is none."""

    value: float | None
    low: float | None
    high: float | None
    text: str
    reason: str


def before_after(comparison: Comparison, path_png: Path, *, title: str) -> None:
    """Write the figure of a comparison: error rates of all test people left, false matches by group right.

    1600 × 900 px on white. Every value is labelled and carries its 95 % interval; one that may not be claimed carries
    its reason. The file appears complete or not at all.

    Raises:
        MissingExtra: matplotlib is not installed.
        InvalidValue: the comparison holds none of the measures that the figure shows.
    """
    left = [(name, hint, row) for key, name, hint in _HEADLINE if (row := _find(comparison, key)) is not None]
    right = [row for row in comparison.rows if row.before.key == "fmr"]
    if not left and not right:
        raise InvalidValue("The comparison has no measure that the figure shows.")
    series = [_BEFORE, *([_CONTROL] if any(row.control for row in comparison.rows) else []), _AFTER]
    figure = _figure()
    figure.text(0.04, 0.945, title, fontsize=23, color=_INK, weight="bold", va="center", family=_FONT)
    _legend(figure, series, comparison.control_label)
    panels = figure.subplots(
        1, 2, gridspec_kw={"left": 0.145, "right": 0.975, "top": 0.755, "bottom": 0.125, "wspace": 0.36}
    )
    _panel(
        panels[0],
        [
            (name, hint, [_mark(_of(row, s), flipped=row.before.kind.higher_is_better) for s in series])
            for name, hint, row in left
        ],
        series,
        "Errors, all test people",
        "share of comparisons or searches (%), lower is better",
    )
    sizes = {group.name: group for group in comparison.groups}
    _panel(
        panels[1],
        [
            (
                row.before.group,
                f"{sizes[row.before.group].people:,} people\n{sizes[row.before.group].impostor_pairs:,} pairs",
                [_mark(_of(row, s), flipped=False) for s in series],
            )
            for row in right
        ],
        series,
        "Strangers taken for the same person, by group",
        "false match rate within the group (%), one threshold at overall FMR 1 %",
        reference=1.0,
    )
    figure.text(0.04, 0.03, _footnote(comparison), fontsize=12.5, color=_SOFT, va="center", family=_FONT)
    _save(figure, path_png)


def det_curves(evaluations: Mapping[str, Evaluation], path_png: Path, *, title: str) -> None:
    """Write the detection error trade-off of up to three models: FNMR over FMR, both on logarithmic axes.

    Args:
        evaluations: name to print → evaluation, drawn in this order.
        path_png: where to; the file appears complete or not at all.
        title: printed above.

    Raises:
        MissingExtra: matplotlib is not installed.
        InvalidValue: none or more than three evaluations, or one without a measurable point.
    """
    if not 1 <= len(evaluations) <= 3:
        raise InvalidValue(f"The figure shows one to three curves, not {len(evaluations)}.")
    for name, evaluation in evaluations.items():
        if not evaluation.det:
            raise InvalidValue(f"The evaluation {name!r} has too few impostor pairs for a curve.")
    figure = _figure()
    figure.text(0.04, 0.945, title, fontsize=23, color=_INK, weight="bold", va="center", family=_FONT)
    axes = figure.subplots(gridspec_kw={"left": 0.09, "right": 0.87, "top": 0.87, "bottom": 0.12})
    styles = (_BEFORE, _AFTER) if len(evaluations) == 2 else (_BEFORE, _CONTROL, _AFTER)
    floor = min(1.0 / evaluation.genuine_pairs for evaluation in evaluations.values())
    ends = []
    for (name, evaluation), style in zip(evaluations.items(), styles, strict=False):
        fmr = [100.0 * point[0] for point in evaluation.det]
        fnmr = [100.0 * max(point[1], floor) for point in evaluation.det]
        axes.plot(fmr, fnmr, color=style.colour, linewidth=3)
        ends.append((math.log10(fnmr[-1]), fmr[-1], fnmr[-1], name, style.colour))
    axes.set_xscale("log")
    axes.set_yscale("log")
    _label_ends(axes, ends)
    for which in (axes.xaxis, axes.yaxis):
        which.set_major_formatter(lambda value, _: f"{value:g} %")
        which.set_minor_formatter(lambda _value, _: "")
    _frame(axes)
    axes.grid(axis="both", which="major", color=_LINE, linewidth=1)
    axes.set_xlabel("false match rate: strangers accepted", fontsize=15, color=_SOFT, family=_FONT, labelpad=10)
    axes.set_ylabel("false non-match rate: own photos refused", fontsize=15, color=_SOFT, family=_FONT, labelpad=10)
    _save(figure, path_png)


def _figure() -> Figure:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as missing:
        raise MissingExtra("report", needed_for="Drawing a figure") from missing
    figure = Figure(figsize=(WIDTH_PX / _DPI, HEIGHT_PX / _DPI), dpi=_DPI, facecolor=_PAPER)
    FigureCanvasAgg(figure)
    return figure


def _find(comparison: Comparison, key: str) -> Row | None:
    return next((row for row in comparison.rows if (row.before.key, row.before.group) == (key, "")), None)


def _of(row: Row, series: _Series) -> Measure | None:
    return {"before": row.before, "control": row.control, "after": row.after}[series.name]


def _mark(measure: Measure | None, *, flipped: bool) -> _Mark:
    """In percent; `flipped` turns a success rate into its error rate, so that lower is better all over the figure."""
    if measure is None or measure.estimate is None:
        return _Mark(None, None, None, "", "" if measure is None else measure.reason)

    def error(rate: float | None) -> float | None:
        return None if rate is None else 100.0 * (1.0 - rate if flipped else rate)

    low, high = error(measure.low), error(measure.high)
    value = error(measure.estimate)
    rate = 1.0 - measure.estimate if flipped else measure.estimate
    text = quantity(rate, "rate") + ("" if low is not None else " *")
    return _Mark(value, high if flipped else low, low if flipped else high, text, "")


def _panel(
    axes: Axes,
    entries: Sequence[tuple[str, str, Sequence[_Mark]]],
    series: Sequence[_Series],
    title: str,
    unit: str,
    *,
    reference: float | None = None,
) -> None:
    """Rows of dots with intervals on one scale that begins at zero."""
    tops = [bound for _, _, marks in entries for m in marks for bound in (m.value, m.high) if bound is not None]
    limit = max([*tops, 1.5 * (reference or 0.0), 0.1]) * 1.2
    axes.set_xlim(0, limit)
    axes.set_ylim(len(entries) - 0.5, -0.5)
    _frame(axes)
    axes.spines["left"].set_visible(False)
    axes.set_title(title, fontsize=18, color=_INK, weight="bold", loc="left", pad=18, family=_FONT, x=0.0)
    axes.set_xlabel(unit, fontsize=13.5, color=_SOFT, family=_FONT, labelpad=10)
    axes.set_yticks([])
    axes.grid(axis="x", color=_LINE, linewidth=1)
    step = 0.54 / max(len(series) - 1, 1)
    for at, (name, hint, marks) in enumerate(entries):
        if at % 2 == 0:
            axes.axhspan(at - 0.5, at + 0.5, color=_BAND, zorder=0)
        across = axes.get_yaxis_transform()
        axes.text(
            -0.02, at - 0.16, name, transform=across, ha="right", va="center", fontsize=15, color=_INK, family=_FONT
        )
        axes.text(
            -0.02, at + 0.17, hint, transform=across, ha="right", va="center", fontsize=11.5, color=_SOFT, family=_FONT
        )
        for k, (mark, style) in enumerate(zip(marks, series, strict=True)):
            _draw(axes, mark, style, at - 0.27 + k * step, limit)
    if reference is not None:
        axes.axvline(reference, color=_SOFT, linewidth=1.3, linestyle=(0, (4, 3)), zorder=1)


def _draw(axes: Axes, mark: _Mark, style: _Series, y: float, limit: float) -> None:
    if mark.value is None:
        if mark.reason:
            said = f"{style.name}: not claimed ({mark.reason.partition(';')[0]})"
            axes.text(limit * 0.012, y, said, va="center", fontsize=11.5, color=_SOFT, style="italic", family=_FONT)
        return
    end = mark.value
    if mark.low is not None and mark.high is not None:
        end = min(mark.high, limit)
        axes.plot(
            [mark.low, end], [y, y], color=style.colour, linewidth=3.2, alpha=0.55, solid_capstyle="butt", zorder=3
        )
    axes.plot(
        [mark.value], [y], marker=style.marker, markersize=style.size, color=style.colour, markeredgecolor=_PAPER,
        markeredgewidth=1.4, zorder=4, clip_on=False,
    )  # fmt: skip
    axes.annotate(
        mark.text, (end, y), xytext=(10, 0), textcoords="offset points", va="center", fontsize=13.5,
        color=style.colour, weight="bold", family=_FONT, zorder=5,
    )  # fmt: skip


def _legend(figure: Figure, series: Sequence[_Series], control_label: str) -> None:
    """Names in their own colour beside their own mark, in the order of the rows."""
    from matplotlib.lines import Line2D

    said = {"before": "before", "control": f"control: {control_label}", "after": "after"}
    handles = [
        Line2D([], [], color=s.colour, marker=s.marker, markersize=s.size, linewidth=3.2, markeredgecolor=_PAPER)
        for s in series
    ]
    legend = figure.legend(
        handles, [said[s.name] for s in series], loc="center left", bbox_to_anchor=(0.034, 0.885), ncols=len(series),
        frameon=False, prop={"family": _FONT, "size": 15, "weight": "bold"}, handlelength=1.8, columnspacing=2.2,
    )  # fmt: skip
    for text, s in zip(legend.get_texts(), series, strict=True):
        text.set_color(s.colour)


def _footnote(comparison: Comparison) -> str:
    text = (
        f"{comparison.people:,} held-out people, {comparison.photos:,} photos, {comparison.genuine_pairs:,} genuine and "
        f"{comparison.impostor_pairs:,} impostor pairs. Lines: 95 % intervals over people; one training each."
    )
    shown = {key for key, _, _ in _HEADLINE} | {"fmr"}
    lacking = any(
        m is not None and m.estimate is not None and m.low is None
        for row in comparison.rows
        if row.before.key in shown
        for m in (row.before, row.after, row.control)
    )
    return text + ("  * no interval: too few errors or people." if lacking else "")


def _frame(axes: Axes) -> None:
    axes.set_facecolor(_PAPER)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_LINE)
    axes.tick_params(axis="both", which="both", colors=_SOFT, labelsize=13, length=0, labelfontfamily=_FONT)


def _label_ends(axes: Axes, ends: Sequence[tuple[float, float, float, str, str]]) -> None:
    """Names at the right end of their curves, moved apart where they would overlap."""
    bottom, top = (math.log10(bound) for bound in axes.get_ylim())
    room = (top - bottom) * 0.05
    lowest = -math.inf
    for height, x, y, name, colour in sorted(ends):
        placed = max(height, lowest + room)
        lowest = placed
        axes.annotate(
            name, (x, y), xytext=(x * 1.12, 10.0**placed), textcoords="data", va="center", fontsize=15, color=colour,
            weight="bold", family=_FONT, annotation_clip=False,
        )  # fmt: skip


def _save(figure: Figure, path: Path) -> None:
    """PNG without date or version, written beside the target and renamed over it."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_DPI, metadata={"Software": None}, facecolor=_PAPER)
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
