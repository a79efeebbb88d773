"""What one evaluation of a model on held-out people found, as a value that can be stored and compared later.

What is stored, and why. To compare two models with an interval on the *difference*, the resamples must be paired: the
same people drawn for both. So each measure carries its bootstrap replicates, and the evaluation carries two digests:
of the test people (numbers, photo counts, groups) and of the draws. Equal digests mean that replicate k of both
evaluations speaks of the same people. No embedding, score, photo or per-person error is kept.

What that still reveals: someone who knows the draws, or a seed and the number of people to repeat them, could solve the
replicates for an error share per test person (by position, not by name). The draws are therefore not stored, only their
digest; a seed that is printed or fixed in code undoes that. Keep the full form beside the test labels, under the same
retention; publish the `Comparison` or the short form, which have no replicates.

All numbers are rounded to eight decimals when they are measured and written as decimal strings, so that the JSON is
lossless and can be signed (`core.canonical` refuses floats).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from unsee.core.errors import InvalidValue, NotFound

SCHEMA: Final = "unsee/evaluation/1"
DECIMALS: Final = 8

UNBOUNDED: Final = "unbounded"
"""How an interval that has no upper bound is written."""

_UNUSABLE: Final = "-"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a measure is called, in what it is counted (rate: 0..1; ratio; index), and whether higher is better."""

    label: str
    unit: str
    higher_is_better: bool


KINDS: Final[Mapping[str, Kind]] = {
    "eer": Kind("Equal error rate (EER)", "rate", False),
    "tar@1e-2": Kind("True accept rate at FAR 1 %", "rate", True),
    "tar@1e-3": Kind("True accept rate at FAR 0.1 %", "rate", True),
    "tar@1e-4": Kind("True accept rate at FAR 0.01 %", "rate", True),
    "rank1": Kind("Rank-1 identification rate", "rate", True),
    "fmr": Kind("False match rate (FMR)", "rate", False),
    "fnmr": Kind("False non-match rate (FNMR)", "rate", False),
    "fmr_max_min": Kind("Highest ÷ lowest group FMR", "ratio", False),
    "fmr_max_geomean": Kind("Highest group FMR ÷ geometric mean", "ratio", False),
    "fnmr_max_min": Kind("Highest ÷ lowest group FNMR", "ratio", False),
    "fnmr_max_geomean": Kind("Highest group FNMR ÷ geometric mean", "ratio", False),
    "fdr": Kind("Fairness discrepancy rate (FDR; 1 is equal)", "index", True),
    "garbe": Kind("GARBE (0 is equal, 1 is one group with all errors)", "index", False),
}
"""Every measure, in the order in which reports print them. Those of one group: fmr, fnmr."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One number, its 95 % interval and its bootstrap replicates; or the reason why there is none.

    `estimate` is None when it cannot be measured or may not be claimed; `low` and `high` are None when there is no
    interval; `reason` says why in either case and is empty otherwise. `high` may be infinite: no upper bound.
    `replicates` are in the order of the draws, None where a draw allowed no value. `group` is empty for all people.
    """

    key: str
    group: str
    estimate: float | None
    low: float | None
    high: float | None
    reason: str
    replicates: tuple[float | None, ...]

    @property
    def kind(self) -> Kind:
        """What the number is."""
        return KINDS[self.key]

    @property
    def label(self) -> str:
        """The measure's name, with the group where it is of one."""
        return self.kind.label + (f", group “{self.group}”" if self.group else "")

    def as_json(self, *, replicates: bool = True) -> dict[str, Any]:
        """Decimal strings; replicates as one string, blank-separated, to keep the file small."""
        value: dict[str, Any] = {
            "key": self.key,
            "group": self.group,
            "estimate": number(self.estimate),
            "low": number(self.low),
            "high": number(self.high),
            "reason": self.reason,
        }
        if replicates:
            value["replicates"] = " ".join(_UNUSABLE if r is None else str(number(r)) for r in self.replicates)
        return value


@dataclass(frozen=True, slots=True)
class GroupSize:
    """How much evidence there is about a group. `suppressed` says why nothing is claimed about it; empty if something is.

    `photos_failed` counts photos that gave no embedding (failure to enrol); None when nobody recorded them.
    """

    name: str
    people: int
    photos: int
    genuine_pairs: int
    impostor_pairs: int
    photos_failed: int | None
    suppressed: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One model on one set of held-out people.

    `threshold` is the one threshold of all group measures: the lowest with overall FMR at most 1 %; None if that could
    not be measured. `det` holds points (FMR, FNMR) of the detection error trade-off, FMR ascending. `notes` say what was
    left out, and of whom.
    """

    people: int
    photos: int
    photos_failed: int | None
    people_without_group: int
    genuine_pairs: int
    impostor_pairs: int
    min_group_people: int
    resamples: int
    threshold: float | None
    groups: tuple[GroupSize, ...]
    measures: tuple[Measure, ...]
    det: tuple[tuple[float, float], ...]
    notes: tuple[str, ...]
    people_digest: str
    draws_digest: str

    def measure(self, key: str, group: str = "") -> Measure:
        """The measure `key`, of `group` or of all people.

        Raises:
            NotFound: the evaluation has none of that name.
        """
        for found in self.measures:
            if (found.key, found.group) == (key, group):
                return found
        raise NotFound(
            "measure", key + (f" of group {group}" if group else ""), next_step="Measures: " + ", ".join(KINDS)
        )

    def as_json(self, *, replicates: bool = True) -> dict[str, Any]:
        """Lossless with `replicates`; without, what a report needs and nothing that could be solved for a person."""
        return {
            "schema": SCHEMA,
            "people": self.people,
            "photos": self.photos,
            "photos_failed": self.photos_failed,
            "people_without_group": self.people_without_group,
            "genuine_pairs": self.genuine_pairs,
            "impostor_pairs": self.impostor_pairs,
            "min_group_people": self.min_group_people,
            "resamples": self.resamples,
            "threshold": number(self.threshold),
            "groups": [
                {
                    "name": g.name,
                    "people": g.people,
                    "photos": g.photos,
                    "genuine_pairs": g.genuine_pairs,
                    "impostor_pairs": g.impostor_pairs,
                    "photos_failed": g.photos_failed,
                    "suppressed": g.suppressed,
                }
                for g in self.groups
            ],
            "measures": [m.as_json(replicates=replicates) for m in self.measures],
            "det": [[number(fmr), number(fnmr)] for fmr, fnmr in self.det],
            "notes": list(self.notes),
            "people_digest": self.people_digest,
            "draws_digest": self.draws_digest,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Evaluation:
        """The evaluation that `as_json()` wrote.

        Raises:
            InvalidValue: another schema, or a field is missing or cannot be read; the field is named.
        """
        if value.get("schema") != SCHEMA:
            raise InvalidValue(
                f"This is no evaluation: its schema is {str(value.get('schema'))[:80]!r}, not {SCHEMA!r}.",
                next_step="Evaluate the model again with this version.",
            )
        return cls(
            people=_whole(value, "people"),
            photos=_whole(value, "photos"),
            photos_failed=_maybe_whole(value, "photos_failed"),
            people_without_group=_whole(value, "people_without_group"),
            genuine_pairs=_whole(value, "genuine_pairs"),
            impostor_pairs=_whole(value, "impostor_pairs"),
            min_group_people=_whole(value, "min_group_people"),
            resamples=_whole(value, "resamples"),
            threshold=_decimal(value, "threshold"),
            groups=tuple(_group(g) for g in _list(value, "groups")),
            measures=tuple(_measure(m) for m in _list(value, "measures")),
            det=tuple(_point(p) for p in _list(value, "det")),
            notes=tuple(str(note) for note in _list(value, "notes")),
            people_digest=_text(value, "people_digest"),
            draws_digest=_text(value, "draws_digest"),
        )


def rounded(value: float) -> float:
    """To `DECIMALS`: what is measured is what is written."""
    return value if math.isinf(value) else round(float(value), DECIMALS) + 0.0  # + 0.0 turns −0.0 into 0.0


def number(value: float | None) -> str | None:
    """A decimal string that reads back as the same float, `unbounded` for infinity, None for None."""
    if value is None:
        return None
    if math.isinf(value):
        return UNBOUNDED
    text = f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _measure(value: Any) -> Measure:
    key = _text(value, "key")
    if key not in KINDS:
        raise InvalidValue(f"The evaluation holds a measure {key[:80]!r} that this version does not know.")
    texts = value.get("replicates")
    if not isinstance(texts, str):
        raise InvalidValue(
            f"The measure {key!r} has no replicates: this is the short form of an evaluation.",
            next_step="Read the full form; the short one is for reports.",
        )
    return Measure(
        key=key,
        group=_text(value, "group"),
        estimate=_decimal(value, "estimate"),
        low=_decimal(value, "low"),
        high=_decimal(value, "high"),
        reason=_text(value, "reason"),
        replicates=tuple(None if t == _UNUSABLE else _parse(t, f"replicates of {key}") for t in texts.split()),
    )


def _group(value: Any) -> GroupSize:
    return GroupSize(
        name=_text(value, "name"),
        people=_whole(value, "people"),
        photos=_whole(value, "photos"),
        genuine_pairs=_whole(value, "genuine_pairs"),
        impostor_pairs=_whole(value, "impostor_pairs"),
        photos_failed=_maybe_whole(value, "photos_failed"),
        suppressed=_text(value, "suppressed"),
    )


def _point(value: Any) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise InvalidValue("The evaluation's field 'det' holds pairs [FMR, FNMR] only.")
    return _parse(value[0], "det"), _parse(value[1], "det")


def _field(value: Any, field: str) -> Any:
    if not isinstance(value, Mapping) or field not in value:
        raise InvalidValue(f"The evaluation lacks the field {field!r}.", next_step="Evaluate the model again.")
    return value[field]


def _unreadable(field: str, found: object) -> InvalidValue:
    return InvalidValue(
        f"The evaluation's field {field!r} cannot hold {str(found)[:80]!r}.", next_step="Evaluate the model again."
    )


def _text(value: Any, field: str) -> str:
    found = _field(value, field)
    if not isinstance(found, str):
        raise _unreadable(field, found)
    return found


def _whole(value: Any, field: str) -> int:
    found = _field(value, field)
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise _unreadable(field, found)
    return found


def _maybe_whole(value: Any, field: str) -> int | None:
    return None if _field(value, field) is None else _whole(value, field)


def _list(value: Any, field: str) -> Sequence[Any]:
    found = _field(value, field)
    if not isinstance(found, list):
        raise _unreadable(field, found)
    return found


def _decimal(value: Any, field: str) -> float | None:
    found = _field(value, field)
    return None if found is None else _parse(found, field)


def _parse(text: Any, field: str) -> float:
    if text == UNBOUNDED:
        return math.inf
    try:
        parsed = float(text) if isinstance(text, str) else math.nan
    except ValueError:
        parsed = math.nan
    if not math.isfinite(parsed):
        raise _unreadable(field, text)
    return parsed
