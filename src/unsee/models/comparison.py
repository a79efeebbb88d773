"""Before and after: what a model lost, which group pays for it, and whether losing any other data would have cost as much.

Two evaluations of the same people, resampled by the same draws, are compared replicate by replicate, so that what makes
the test people easy or hard cancels out. The control is a model trained after the removal of as much data chosen at
random: it separates "less data" from "less of these people" (see `after_against_control`).

The sentences never say more than the interval: a change is named only where the 95 % interval of the difference excludes
zero, otherwise "no difference can be shown".
"""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass
from typing import Any, Final

from unsee.core.errors import InvalidValue
from unsee.models.evaluation import KINDS, Evaluation, GroupSize, Measure, number, rounded
from unsee.models.intervals import interval

SCHEMA: Final = "unsee/comparison/1"

CONTROL: Final = "a random removal of the same size"
"""What the control is called in sentences, unless the caller knows better."""

_NOTES: Final = (
    "Intervals are 95 % each, by resampling test people; they are not widened for the number of measures looked at.",
    "Each model was trained once: how much a result varies from training to training is not in the intervals.",
    "Each model has its own threshold, the lowest with overall FMR at most 1 %; group rates are at that one threshold.",
)


@dataclass(frozen=True, slots=True)
class Change:
    """A difference with its paired 95 % interval, or the reason why there is none. `caveat` qualifies the interval."""

    difference: float | None
    low: float | None
    high: float | None
    reason: str
    caveat: str = ""

    @property
    def direction(self) -> int:
        """1 where a rise is shown, −1 where a fall is shown, 0 where nothing can be shown."""
        if self.low is not None and self.low > 0:
            return 1
        return -1 if self.high is not None and self.high < 0 else 0

    def as_json(self) -> dict[str, Any]:
        """Decimal strings; `shown` is rise, fall or nothing."""
        return {
            "difference": number(self.difference),
            "low": number(self.low),
            "high": number(self.high),
            "reason": self.reason,
            "caveat": self.caveat,
            "shown": ("nothing", "rise", "fall")[self.direction],
        }


@dataclass(frozen=True, slots=True)
class Row:
    """One measure of the models. `change` is after − before; the other differences are None without a control."""

    before: Measure
    after: Measure
    control: Measure | None
    change: Change
    control_change: Change | None
    after_against_control: Change | None

    def as_json(self) -> dict[str, Any]:
        """The row without replicates."""
        return {
            "key": self.before.key,
            "group": self.before.group,
            "label": self.before.label,
            "unit": self.before.kind.unit,
            "before": self.before.as_json(replicates=False),
            "after": self.after.as_json(replicates=False),
            "control": None if self.control is None else self.control.as_json(replicates=False),
            "change": self.change.as_json(),
            "control_change": None if self.control_change is None else self.control_change.as_json(),
            "after_against_control": None
            if self.after_against_control is None
            else self.after_against_control.as_json(),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Every measure of two or three models on the same people. Safe to publish: it holds no replicates."""

    rows: tuple[Row, ...]
    groups: tuple[GroupSize, ...]
    people: int
    photos: int
    genuine_pairs: int
    impostor_pairs: int
    resamples: int
    control_label: str
    notes: tuple[str, ...]

    @property
    def summary(self) -> tuple[str, ...]:
        """One or two sentences a measure, in plain words, in the order of the rows."""
        return self.sentences(KINDS)

    def sentences(self, keys: Container[str]) -> tuple[str, ...]:
        """The summary of the measures named by `keys` only: what fits a page."""
        return tuple(s for row in self.rows if row.before.key in keys for s in _sentences(row, self.control_label))

    def row(self, key: str, group: str = "") -> Row:
        """The row of one measure.

        Raises:
            InvalidValue: the comparison has none of that name.
        """
        for row in self.rows:
            if (row.before.key, row.before.group) == (key, group):
                return row
        raise InvalidValue(f"The comparison has no measure {key!r}" + (f" of group {group!r}." if group else "."))

    def as_json(self) -> dict[str, Any]:
        """For certificates and `--json`: no floats, no replicates."""
        return {
            "schema": SCHEMA,
            "people": self.people,
            "photos": self.photos,
            "genuine_pairs": self.genuine_pairs,
            "impostor_pairs": self.impostor_pairs,
            "resamples": self.resamples,
            "control_label": self.control_label,
            "groups": [
                {
                    "name": g.name,
                    "people": g.people,
                    "photos": g.photos,
                    "genuine_pairs": g.genuine_pairs,
                    "impostor_pairs": g.impostor_pairs,
                    "suppressed": g.suppressed,
                }
                for g in self.groups
            ],
            "rows": [row.as_json() for row in self.rows],
            "summary": list(self.summary),
            "notes": list(self.notes),
        }


def compare(
    before: Evaluation, after: Evaluation, control: Evaluation | None = None, *, control_label: str = CONTROL
) -> Comparison:
    """Every measure before and after, with paired intervals of the differences.

    Args:
        before: the model that was destroyed.
        after: the model that replaces it.
        control: a model trained without as much randomly chosen data, on the same recipe; None when there is none.
        control_label: what the control is, as the sentences call it.
    Raises:
        InvalidValue: the evaluations are not of the same people and groups, not resampled by the same draws, or made
            with different rules: their difference would have no interval, and no meaning.
    """
    others = [("after", after)] + ([("control", control)] if control is not None else [])
    for name, other in others:
        _must_pair(before, other, name)
    rows = []
    for k, measure in enumerate(before.measures):
        new, third = after.measures[k], None if control is None else control.measures[k]
        rows.append(
            Row(
                before=measure,
                after=new,
                control=third,
                change=_change(measure, new, ("before", "after")),
                control_change=None if third is None else _change(measure, third, ("before", "the control")),
                after_against_control=None if third is None else _change(third, new, ("the control", "after")),
            )
        )
    return Comparison(
        rows=tuple(rows),
        groups=before.groups,
        people=before.people,
        photos=before.photos,
        genuine_pairs=before.genuine_pairs,
        impostor_pairs=before.impostor_pairs,
        resamples=before.resamples,
        control_label=control_label,
        notes=tuple(dict.fromkeys((*_NOTES, *before.notes, *after.notes, *(control.notes if control else ())))),
    )


def table(comparison: Comparison) -> tuple[tuple[str, ...], ...]:
    """The rows as text, the header first: measure, before, after, difference, and with a control two columns more.

    Each value carries its interval in brackets; a value that is not given carries its reason.
    """
    with_control = any(row.control is not None for row in comparison.rows)
    header: tuple[str, ...] = ("measure", "before", "after", "difference")
    lines = [header + (("control", "after − control") if with_control else ())]
    for row in comparison.rows:
        unit = row.before.kind.unit
        line: tuple[str, ...] = (row.before.label, cell(row.before), cell(row.after), _change_cell(row.change, unit))
        if row.control is not None and row.after_against_control is not None:
            line += (cell(row.control), _change_cell(row.after_against_control, unit))
        lines.append(line)
    return tuple(lines)


def cell(measure: Measure) -> str:
    """A value with its interval, `4.1 % (3.5 to 4.8 %)`, or `—` with the reason."""
    unit = measure.kind.unit
    if measure.estimate is None:
        return f"— ({measure.reason})"
    text = quantity(measure.estimate, unit)
    if measure.low is None or measure.high is None:
        return f"{text} (no interval: {measure.reason})"
    if unit == "rate":
        return f"{text} ({quantity(measure.low, unit).removesuffix(' %')} to {quantity(measure.high, unit)})"
    return f"{text} ({quantity(measure.low, unit)} to {quantity(measure.high, unit)})"


def quantity(value: float, unit: str) -> str:
    """A rate in percent (two decimals below 1 %), a ratio with ×, an index with three decimals."""
    if math.isinf(value):
        return "unbounded"
    if unit == "rate":
        percent = 100.0 * value
        return f"{percent:.{2 if 0 < percent < 0.995 or 99.05 < percent < 100 else 1}f} %"
    return f"{value:.2f}×" if unit == "ratio" else f"{value:.3f}"


def signed(value: float, unit: str) -> str:
    """A difference with its sign: percentage points for a rate, plain otherwise. Never rounds to a bare zero."""
    if math.isinf(value):
        return "unbounded"
    scaled, decimals = (100.0 * value, 1) if unit == "rate" else (value, 2 if unit == "ratio" else 3)
    while scaled != 0 and round(abs(scaled), decimals) == 0 and decimals < 6:
        decimals += 1
    return f"{scaled:+.{decimals}f}".replace("-", "−") if scaled else "0"


def _must_pair(before: Evaluation, other: Evaluation, name: str) -> None:
    if before.people_digest != other.people_digest:
        raise InvalidValue(
            f"The evaluations before ({before.people} people) and {name} ({other.people} people) are not of the same "
            "people with the same photos and groups.",
            next_step="Evaluate both models on one frozen set of held-out people.",
        )
    if before.draws_digest != other.draws_digest:
        raise InvalidValue(
            f"The evaluations before and {name} are of the same people but were resampled by different draws.",
            next_step="Evaluate both models with a fresh generator of the same seed and as many resamples.",
        )
    rules = [[(m.key, m.group) for m in e.measures] + [("people", str(e.min_group_people))] for e in (before, other)]
    if rules[0] != rules[1]:
        raise InvalidValue(
            f"The evaluations before and {name} were made with different rules or versions.",
            next_step="Evaluate both models with the same version and settings.",
        )


def _change(first: Measure, second: Measure, names: tuple[str, str]) -> Change:
    """`second` − `first`. With an interval where at least one of them has one: see the caveat."""
    both = ((first, names[0]), (second, names[1]))
    if first.estimate is None or second.estimate is None:
        return Change(None, None, None, _reasons([(m, name) for m, name in both if m.estimate is None]))
    difference = rounded(second.estimate - first.estimate)
    shaky = [(m, name) for m, name in both if m.low is None]
    if len(shaky) == 2 or not first.replicates or not second.replicates:
        return Change(difference, None, None, _reasons(shaky) or "no resamples")
    draws = [
        math.nan if a is None or b is None or (math.isinf(a) and math.isinf(b)) else b - a
        for a, b in zip(first.replicates, second.replicates, strict=True)
    ]
    bounds = interval(difference, draws)
    if bounds is None:
        return Change(difference, None, None, "too many of the resamples allow no difference")
    # One side with the errors of very few people understates its own part of the uncertainty; the reader is told.
    caveat = f"{shaky[0][1]}, {shaky[0][0].reason}: its part of the uncertainty is understated" if shaky else ""
    return Change(difference, rounded(bounds[0]), rounded(bounds[1]), "", caveat)


def _reasons(lacking: list[tuple[Measure, str]]) -> str:
    """Why each of the two lacks something; said once where it is the same."""
    if len({m.reason for m, _ in lacking}) == 1 and len(lacking) == 2:
        return lacking[0][0].reason
    return "; ".join(f"{name}: {m.reason}" for m, name in lacking)


def _sentences(row: Row, control_label: str) -> list[str]:
    change, unit, label = row.change, row.before.kind.unit, row.before.label
    if change.difference is None or row.before.estimate is None or row.after.estimate is None:
        return [f"{label}: not compared ({change.reason})."]
    old, new = quantity(row.before.estimate, unit), quantity(row.after.estimate, unit)
    if change.low is None:
        return [f"{label}: {old} before, {new} after; no difference can be shown ({change.reason})."]
    if change.direction == 0:
        said = [f"{label}: no difference can be shown ({old} before, {new} after; {_bracket(change, unit)})."]
    else:
        verb = "rose" if change.direction > 0 else "fell"
        said = [f"{label} {verb} from {old} to {new} ({_bracket(change, unit)})."]
    beyond = row.after_against_control
    if change.direction != 0 and beyond is not None and row.control is not None:
        said.append(_beside_control(row.control, change, beyond, control_label))
    return said


def _beside_control(control: Measure, change: Change, beyond: Change, control_label: str) -> str:
    unit = control.kind.unit
    word = "rise" if change.direction > 0 else "fall"
    if control.estimate is None or beyond.low is None:
        return f"Whether {control_label} would have done the same cannot be said ({beyond.reason})."
    value = quantity(control.estimate, unit)
    if beyond.direction == change.direction:
        return f"This {word} is greater than after {control_label} ({value}; {_bracket(beyond, unit)})."
    if beyond.direction == 0:
        return f"It cannot be told apart from {control_label} ({value}; {_bracket(beyond, unit)})."
    return f"This {word} is smaller than after {control_label} ({value}; {_bracket(beyond, unit)})."


def _bracket(change: Change, unit: str) -> str:
    if change.difference is None or change.low is None or change.high is None:
        return change.reason
    points = " points" if unit == "rate" else ""
    said = (
        f"difference {signed(change.difference, unit)}{points}, "
        f"95 % interval {signed(change.low, unit)} to {signed(change.high, unit)}"
    )
    return f"{said}; {change.caveat}" if change.caveat else said


def _change_cell(change: Change, unit: str) -> str:
    if change.difference is None:
        return f"— ({change.reason})"
    points = " points" if unit == "rate" else ""
    text = f"{signed(change.difference, unit)}{points}"
    if change.low is None or change.high is None:
        return f"{text} (no interval: {change.reason})"
    return f"{text} ({signed(change.low, unit)} to {signed(change.high, unit)})"
