"""Pictures of a comparison."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from unsee.core.errors import InvalidValue
from unsee.models import figures
from unsee.models.comparison import Comparison, Row
from unsee.models.evaluation import Evaluation, GroupSize, Measure
from unsee.models.figures import BAND, FONT, INK, LINE, PAPER, PLAIN, SOFT, drawable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_PX: Final = 1600
HEIGHT_PX: Final = 900

MAX_GROUPS: Final = 6
"""With more rows than this the labels would touch; the rest is named in the footnote."""

_HEADLINE: Final = (
    ("eer", "Equal error rate", "where both errors\nare equally frequent"),
    ("tar@1e-2", "Missed at FAR 1 %", "genuine pairs refused\n(1 − TAR)"),
    ("tar@1e-3", "Missed at FAR 0.1 %", "genuine pairs refused\n(1 − TAR)"),
    ("rank1", "Rank-1 misses", "nearest other photo\nis a stranger"),
)


@dataclass(frozen=True, slots=True)
class _Series:
    """How one model is drawn. Colours: Okabe and Ito's palette, told apart by shape and lightness as well."""

    name: str
    colour: str
    marker: str
    size: float


_BEFORE: Final = _Series("before", "#56606b", "o", 12.5)
_CONTROL: Final = _Series("control", "#0072b2", "D", 10.5)
_AFTER: Final = _Series("after", "#d55e00", "s", 11.5)


@dataclass(frozen=True, slots=True)
class _Mark:
    """One value to draw, in percent; `reason` says why it, or its interval, is missing."""

    value: float | None
    low: float | None
    high: float | None
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
    groups = [row for row in comparison.rows if row.before.key == "fmr"]
    if not left and not groups:
        raise InvalidValue("The comparison has no measure that the figure shows.")
    # Groups about which something is claimed come first, so that only the others give way where room is short.
    shown = sorted(groups, key=lambda row: row.before.estimate is None)[:MAX_GROUPS]
    series = [_BEFORE, _AFTER, *([_CONTROL] if any(row.control for row in comparison.rows) else [])]
    figure = figures.blank(WIDTH_PX, HEIGHT_PX)
    _title(figure, title)
    _legend(figure, series, comparison.control_label)
    _panel(
        figure.add_axes((0.185, 0.155, 0.30, 0.60)),
        [(name, hint, _marks(row, series)) for name, hint, row in left],
        series,
        "Errors, all test people",
        "error rate in %, lower is better",
    )
    sizes = {group.name: group for group in comparison.groups}
    _panel(
        figure.add_axes((0.635, 0.155, 0.33, 0.60)),
        [
            (_wrapped(row.before.group), _size(sizes[row.before.group], len(shown)), _marks(row, series))
            for row in shown
        ],
        series,
        "Strangers matched, by group",
        "false match rate among people of the group, in %",
        reference=(1.0, "all people: 1 %"),
    )
    for k, line in enumerate(_footnotes(comparison, [row for _, _, row in left] + shown, len(groups))):
        figure.text(0.025, 0.052 - 0.03 * k, line, fontsize=13, color=SOFT, va="center", family=FONT)
    figures.save(figure, path_png)


def det_curves(evaluations: Mapping[str, Evaluation], path_png: Path, *, title: str) -> None:
    """Write the detection error trade-off of up to three models: FNMR over FMR, both on logarithmic axes.

    A curve ends where no error is seen any more: the axes have no zero.

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
        if not any(fmr > 0 and fnmr > 0 for fmr, fnmr in evaluation.det):
            raise InvalidValue(f"The evaluation {name!r} has too few pairs, or too few errors, for a curve.")
    figure = figures.blank(WIDTH_PX, HEIGHT_PX)
    _title(figure, title)
    axes = figure.subplots(gridspec_kw={"left": 0.09, "right": 0.87, "top": 0.87, "bottom": 0.12})
    styles = (_BEFORE, _AFTER, _CONTROL)
    ends = []
    for (name, evaluation), style in zip(evaluations.items(), styles, strict=False):
        seen = [(100.0 * fmr, 100.0 * fnmr) for fmr, fnmr in evaluation.det if fmr > 0 and fnmr > 0]
        axes.plot([x for x, _ in seen], [y for _, y in seen], color=style.colour, linewidth=3)
        ends.append((math.log10(seen[-1][1]), *seen[-1], name, style.colour))
    axes.set_xscale("log")
    axes.set_yscale("log")
    _label_ends(axes, ends)
    for which in (axes.xaxis, axes.yaxis):
        which.set_major_formatter(lambda value, _: f"{value:g} %")
        which.set_minor_formatter(lambda _value, _: "")
    _frame(axes)
    axes.grid(axis="both", which="major", color=LINE, linewidth=1)
    axes.set_xlabel("false match rate: strangers accepted", fontsize=15, color=SOFT, family=FONT, labelpad=10)
    axes.set_ylabel("false non-match rate: own photos refused", fontsize=15, color=SOFT, family=FONT, labelpad=10)
    figures.save(figure, path_png)


def _find(comparison: Comparison, key: str) -> Row | None:
    return next((row for row in comparison.rows if (row.before.key, row.before.group) == (key, "")), None)


def _of(row: Row, series: _Series) -> Measure | None:
    return {"before": row.before, "control": row.control, "after": row.after}[series.name]


def _title(figure: Figure, title: str) -> None:
    size = 26.0 if len(title) <= 70 else max(13.0, 26.0 * 70 / len(title))
    figure.text(
        0.025, 0.94, drawable(title), fontsize=size, color=INK, weight="bold", va="center", family=FONT, **PLAIN
    )


def _wrapped(name: str) -> str:
    """A group's name on at most two lines of what fits beside the panel."""
    lines = textwrap.wrap(drawable(name), 16)
    return "\n".join(lines) if len(lines) <= 2 else f"{lines[0]}\n{lines[1][:15]}…"


def _size(group: GroupSize, rows: int) -> str:
    people = f"{group.people:,} people"
    return people if rows > 4 else f"{people}\n{group.impostor_pairs:,} pairs"


def _marks(row: Row, series: Sequence[_Series]) -> list[_Mark]:
    """In percent. A success rate is turned into its error rate, so that lower is better all over the figure."""
    flipped = row.before.kind.higher_is_better

    def error(rate: float | None) -> float | None:
        return None if rate is None else 100.0 * (1.0 - rate if flipped else rate)

    marks = []
    for measure in (_of(row, one) for one in series):
        if measure is None or measure.estimate is None:
            marks.append(_Mark(None, None, None, "no control" if measure is None else measure.reason))
            continue
        ends = (error(measure.low), error(measure.high))
        low, high = ends[::-1] if flipped else ends
        marks.append(_Mark(error(measure.estimate), low, high, measure.reason))
    return marks


def _panel(
    axes: Axes,
    entries: Sequence[tuple[str, str, Sequence[_Mark]]],
    series: Sequence[_Series],
    title: str,
    unit: str,
    *,
    reference: tuple[float, str] | None = None,
) -> None:
    """Rows of dots with intervals on one scale that begins at zero; `reference` is a value to mark and its name."""
    drawn = [bound for _, _, marks in entries for m in marks for bound in (m.value, m.high) if bound is not None]
    limit = max([*drawn, 1.5 * reference[0] if reference else 0.0, 0.1]) * 1.28
    rows = max(len(entries), 1)
    axes.set_xlim(0, limit)
    axes.set_ylim(rows - 0.5, -0.5)
    _frame(axes)
    axes.spines["left"].set_visible(False)
    axes.set_title(title, fontsize=19, color=INK, weight="bold", loc="left", pad=34, family=FONT)
    axes.set_xlabel(unit, fontsize=15, color=SOFT, family=FONT, labelpad=8, loc="left")
    axes.set_yticks([])
    axes.locator_params(axis="x", nbins=7)
    axes.grid(axis="x", color=LINE, linewidth=1)
    if reference is not None:
        value, name = reference
        axes.axvline(value, color=SOFT, linewidth=1.5, linestyle=(0, (4, 3)), zorder=1)
        axes.annotate(
            name, (value, -0.5), xytext=(0, 5), textcoords="offset points", ha="center", va="bottom",
            fontsize=13, color=SOFT, family=FONT,
        )  # fmt: skip
    if not entries:
        axes.text(0.03 * limit, 0, "no groups were given", va="center", fontsize=15, color=SOFT, family=FONT)
    decimals = 1 if max([*drawn, 0.0]) >= 2.0 else 2
    for at, (name, hint, marks) in enumerate(entries):
        _row(axes, at, name, hint, rows)
        if all(mark.value is None for mark in marks) and len({mark.reason for mark in marks}) == 1:
            said = "\n".join(textwrap.wrap(f"not claimed: {marks[0].reason}", 44))
            axes.text(
                limit * 0.015, at, said, va="center", fontsize=13, color=SOFT, style="italic", family=FONT,
                bbox={"facecolor": (BAND, PAPER)[at % 2], "edgecolor": "none", "pad": 3},
            )  # fmt: skip
            continue
        for k, (mark, style) in enumerate(zip(marks, series, strict=True)):
            _draw(axes, mark, style, at + 0.27 * (2 * k / max(len(series) - 1, 1) - 1), decimals=decimals)


def _row(axes: Axes, at: int, name: str, hint: str, rows: int) -> None:
    if at % 2 == 0:
        axes.axhspan(at - 0.5, at + 0.5, color=BAND, zorder=0)
    # Offsets in points: the same distance on paper whatever the number of rows.
    beside: dict[str, Any] = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points", "ha": "right"}
    shift = 4 if rows <= 4 else -1
    axes.annotate(
        name, (0, at), xytext=(-14, shift), va="bottom", fontsize=16.5, color=INK, family=FONT, **beside, **PLAIN
    )
    axes.annotate(hint, (0, at), xytext=(-14, shift - 8), va="top", fontsize=13, color=SOFT, family=FONT, **beside)


def _draw(axes: Axes, mark: _Mark, style: _Series, y: float, *, decimals: int) -> None:
    if mark.value is None:
        said = textwrap.shorten(f"{style.name}: {mark.reason}", 52, placeholder="…")
        axes.annotate(
            said, (0, y), xytext=(8, 0), textcoords="offset points", va="center", fontsize=12, color=style.colour,
            style="italic", family=FONT,
        )  # fmt: skip
        return
    from matplotlib.patheffects import withStroke

    end, star = mark.value, " *"
    if mark.low is not None and mark.high is not None:
        end, star = mark.high, ""
        axes.plot([mark.low, end], [y, y], color=style.colour, linewidth=4, alpha=0.5, solid_capstyle="butt", zorder=3)
    axes.plot(
        [mark.value], [y], marker=style.marker, markersize=style.size, color=style.colour, markeredgecolor=PAPER,
        markeredgewidth=1.4, zorder=4, clip_on=False,
    )  # fmt: skip
    while 0 < mark.value < 0.5 * 10.0**-decimals and decimals < 4:
        decimals += 1
    axes.annotate(
        f"{mark.value:.{decimals}f} %{star}", (end, y), xytext=(11, 0), textcoords="offset points", va="center",
        fontsize=15, color=style.colour, weight="bold", family=FONT, zorder=5,
        path_effects=[withStroke(linewidth=4, foreground=PAPER)],  # keeps the digits legible over grid and reference
    )  # fmt: skip


def _legend(figure: Figure, series: Sequence[_Series], control_label: str) -> None:
    """Names in their own colour beside their own mark, in the order of the rows."""
    from matplotlib.lines import Line2D

    said = {"before": "before", "control": f"control: {drawable(control_label)}", "after": "after"}
    handles = [
        Line2D([], [], color=s.colour, marker=s.marker, markersize=s.size, linewidth=3.2, markeredgecolor=PAPER)
        for s in series
    ]
    legend = figure.legend(
        handles, [said[s.name] for s in series], loc="center left", bbox_to_anchor=(0.018, 0.875), ncols=len(series),
        frameon=False, prop={"family": FONT, "size": 16.5, "weight": "bold"}, handlelength=1.8, columnspacing=2.2,
    )  # fmt: skip
    for text, s in zip(legend.get_texts(), series, strict=True):
        text.set_color(s.colour)
        text.set_parse_math(False)


def _footnotes(comparison: Comparison, shown: Sequence[Row], groups: int) -> list[str]:
    lines = [
        f"{comparison.people:,} held-out people, {comparison.photos:,} photos, {comparison.genuine_pairs:,} genuine and "
        f"{comparison.impostor_pairs:,} impostor pairs. Bars are 95 % intervals over people; each model was trained once."
    ]
    more = []
    if any(m and m.estimate is not None and m.low is None for r in shown for m in (r.before, r.after, r.control)):
        more.append("* no interval: see the table for the reason.")
    if groups > MAX_GROUPS:
        more.append(f"{MAX_GROUPS} of {groups} groups are shown; the table has all.")
    return [*lines, *([" ".join(more)] if more else [])]


def _frame(axes: Axes) -> None:
    axes.set_facecolor(PAPER)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(LINE)
    axes.tick_params(axis="both", which="both", colors=SOFT, labelsize=13, length=0, labelfontfamily=FONT)


def _label_ends(axes: Axes, ends: Sequence[tuple[float, float, float, str, str]]) -> None:
    """Names at the right end of their curves, moved apart where they would overlap."""
    bottom, top = (math.log10(bound) for bound in axes.get_ylim())
    room = (top - bottom) * 0.05
    lowest, last_x = -math.inf, math.nan
    for height, x, y, name, colour in sorted(ends):
        beside = abs(math.log10(x) - math.log10(last_x)) < 0.5 if lowest > -math.inf else False
        lowest, last_x = (max(height, lowest + room) if beside else height), x
        axes.annotate(
            drawable(name), (x, y), xytext=(x * 1.12, 10.0**lowest), textcoords="data", va="center", fontsize=15, color=colour,
            weight="bold", family=FONT, annotation_clip=False, **PLAIN,
        )  # fmt: skip
