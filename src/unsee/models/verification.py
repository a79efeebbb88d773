"""How well a recogniser tells held-out people apart, for all of them and group by group, with intervals.

`evaluate` takes embeddings and returns numbers; it reads no photo and keeps no embedding. The definitions of scores,
thresholds and rates are in `scores`, of the differences between groups in `fairness`.

Intervals are 95 % bootstrap intervals that resample *people*, not pairs: pairs of one person share that person's photos,
and treating them as independent makes intervals several times too narrow. Within each resample everything is done anew,
the threshold at FMR 1 % included. They speak of the choice of test people. The randomness of training is not in them:
that takes several trainings.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from unsee.core.canonical import digest
from unsee.core.errors import InvalidValue
from unsee.models import fairness
from unsee.models.evaluation import Evaluation, GroupSize, Measure, rounded
from unsee.models.intervals import UNUSABLE_SHARE, interval, resample_people
from unsee.models.scores import (
    FloatArray,
    IntArray,
    Operating,
    PairScores,
    Weighted,
    eer,
    group_pairs,
    group_rates,
    operate,
    score_pairs,
)

FARS: Final = ("1e-2", "1e-3", "1e-4")
GROUP_FAR: Final = "1e-2"
"""The overall FMR at which the one threshold of all group measures is set."""

ERRORS_NEEDED: Final = 30
"""A rate is measured where at least this many errors are expected (Doddington's rule of 30, NIST 2000)."""

MIN_GROUP_PEOPLE: Final = 20
MIN_ERRING_PEOPLE: Final = 5
RESAMPLES: Final = 1000
DET_POINTS_A_DECADE: Final = 12

_OVERALL: Final = ("eer", *(f"tar@{far}" for far in FARS), "rank1")
_DIFFERENTIALS: Final = ("fmr_max_min", "fmr_max_geomean", "fnmr_max_min", "fnmr_max_geomean", "fdr", "garbe")


def evaluate(
    embeddings: npt.NDArray[np.floating],
    people: npt.NDArray[np.integer],
    groups: Mapping[int, str] | Sequence[str | None],
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    min_group_people: int = MIN_GROUP_PEOPLE,
    failed: Sequence[int] | None = None,
) -> Evaluation:
    """Verification and identification of held-out people, overall and per group.

    Two models are compared on the same `people` and `groups` with generators of the same seed: then their resamples are
    paired (see `comparison`). The order of the rows does not matter.

    Args:
        embeddings: (n, d) float, unit norm, one row a photo.
        people: (n,) int, the person of each photo.
        groups: the group of each person, or a label for each photo; a person without one (absent, None or "") counts
            in the overall measures only and is reported.
        rng: a fresh generator; it decides who is drawn.
        resamples: bootstrap resamples; 0 for none (no intervals).
        min_group_people: no rate of a smaller group is given, and no interval at all for fewer people.
        failed: the person of each photo in which no face was found, so that failures to enrol are seen per group; None
            when nobody recorded them.
    Returns:
        Every measure of `evaluation.KINDS`; one that cannot be measured or claimed has its reason instead of a number.
    Raises:
        InvalidValue: the inputs do not fit together (see `score_pairs`), a person has two groups, or a count is negative.
    Cost: O(n²·d) for the scores; each resample O(n² · max(EER, 1 %)). 1,200 photos with 1,000 resamples: seconds.
    """
    if resamples < 0 or min_group_people < 2:
        raise InvalidValue("An evaluation needs resamples ≥ 0 and groups of at least two people.")
    pairs = score_pairs(np.asarray(embeddings), np.asarray(people))
    panel = _panel(pairs, np.asarray(people), groups, min_group_people, failed)
    draws = resample_people(len(pairs.people), resamples, rng)
    point_weights = Weighted.of(pairs, np.ones(len(pairs.people), dtype=np.int64), reach=len(pairs.impostor))
    point = _all_rates(point_weights, panel)
    reach = int(1.5 * max(point.overall[0], float(GROUP_FAR)) * len(pairs.impostor)) + 1000
    repeats = [_all_rates(Weighted.of(pairs, weights, reach=reach), panel) for weights in draws]
    people_digest = digest(
        [[int(p), int(k), name] for p, k, name in zip(pairs.people, pairs.photos, panel.labels, strict=True)]
    )
    measurable = len(pairs.impostor) * float(GROUP_FAR) >= ERRORS_NEEDED
    return Evaluation(
        people=len(pairs.people),
        photos=int(pairs.photos.sum()),
        photos_failed=None if failed is None else len(failed),
        people_without_group=int((panel.group < 0).sum()),
        genuine_pairs=len(pairs.genuine),
        impostor_pairs=len(pairs.impostor),
        min_group_people=min_group_people,
        resamples=resamples,
        threshold=rounded(point.at.threshold) if measurable else None,
        groups=panel.sizes,
        measures=tuple(_measures(pairs, panel, point, repeats)),
        det=_det(point_weights),
        notes=_notes(pairs, panel, failed),
        people_digest=people_digest,
        draws_digest=hashlib.sha256(people_digest.encode() + draws.astype("<i8").tobytes()).hexdigest(),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Panel:
    """Who is in which group: `group` (P,) indexes `sizes`, −1 for none; `claimed` are the groups that are large enough."""

    group: IntArray
    labels: tuple[str, ...]
    sizes: tuple[GroupSize, ...]
    claimed: IntArray
    min_people: int


@dataclass(frozen=True, slots=True, eq=False)
class _Rates:
    """What one weighting of the people gives: `overall` in the order of `_OVERALL`; rates of each group."""

    overall: tuple[float, ...]
    points: tuple[Operating, ...]
    fmr: FloatArray
    fnmr: FloatArray

    @property
    def at(self) -> Operating:
        """The one threshold of the group measures."""
        return self.points[FARS.index(GROUP_FAR)]


def _all_rates(weighted: Weighted, panel: _Panel) -> _Rates:
    points = tuple(operate(weighted, float(far)) for far in FARS)
    probes = float((weighted.weights * weighted.pairs.probes).sum())
    hits = float((weighted.weights * weighted.pairs.hits).sum())
    fmr, fnmr = group_rates(weighted, points[FARS.index(GROUP_FAR)], panel.group, len(panel.sizes))
    # The gallery of a rank-1 search stays that of all people: a resample holds fewer different people, in whom it is
    # easier to find someone, and would show a rate that is too high.
    rank1 = hits / probes if probes else math.nan
    return _Rates((eer(weighted), *(p.tar for p in points), rank1), points, fmr, fnmr)


def _panel(
    pairs: PairScores,
    people: npt.NDArray[np.integer],
    groups: Mapping[int, str] | Sequence[str | None],
    min_people: int,
    failed: Sequence[int] | None,
) -> _Panel:
    label = _label_of_each(people, groups)
    labels = tuple(label.get(int(p), "") for p in pairs.people)
    failed_in = [label.get(int(p), "") for p in failed or ()]
    names = sorted({name for name in (*labels, *failed_in) if name})
    number = {name: k for k, name in enumerate(names)}
    group = np.array([number.get(name, -1) for name in labels], dtype=np.int64)
    impostors, genuine = group_pairs(pairs, np.ones(len(labels)), group, len(names))
    sizes = []
    for k, name in enumerate(names):
        inside = group == k
        count = int(inside.sum())
        suppressed = ""
        if count < min_people:
            suppressed = f"{count} {_people(count)} in this group; at least {min_people} are needed to claim anything"
        elif genuine[k] == 0:
            suppressed = "no person in this group has two photos"
        sizes.append(
            GroupSize(
                name=name,
                people=count,
                photos=int(pairs.photos[inside].sum()),
                genuine_pairs=int(genuine[k]),
                impostor_pairs=int(impostors[k]),
                photos_failed=None if failed is None else failed_in.count(name),
                suppressed=suppressed,
            )
        )
    claimed = np.array([k for k, size in enumerate(sizes) if not size.suppressed], dtype=np.int64)
    return _Panel(group, labels, tuple(sizes), claimed, min_people)


def _label_of_each(people: npt.NDArray[np.integer], groups: Mapping[int, str] | Sequence[str | None]) -> dict[int, str]:
    if isinstance(groups, Mapping):
        return {int(person): name for person, name in groups.items() if name}
    if len(groups) != len(people):
        raise InvalidValue(f"There are {len(groups)} group labels for {len(people)} photos.")
    found: dict[int, str] = {}
    for person, name in zip(people.tolist(), groups, strict=True):
        if found.setdefault(person, name or "") != (name or ""):
            raise InvalidValue(
                f"Person {person} is in two groups, {found[person]!r} and {name!r}.",
                next_step="Give each person one group, or evaluate once per attribute.",
            )
    return found


def _measures(pairs: PairScores, panel: _Panel, point: _Rates, repeats: list[_Rates]) -> list[Measure]:
    too_few = ""
    if len(pairs.people) < panel.min_people:
        too_few = f"{len(pairs.people)} people are too few for an interval; at least {panel.min_people} are needed"
        repeats = []
    elif not repeats:
        too_few = "no resamples were asked for"
    found = []
    overall = np.array([r.overall for r in repeats]).reshape(len(repeats), len(_OVERALL))
    for k, (key, erring) in enumerate(zip(_OVERALL, _erring(pairs, point), strict=True)):
        far = key.partition("@")[2]
        rare = _too_rare(float(far), len(pairs.impostor)) if far else ""
        if rare:
            found.append(_unmeasured(key, "", rare))
        else:
            found.append(_measure(key, "", point.overall[k], overall[:, k], shaky=too_few or _shaky(erring)))
    rare = _too_rare(float(GROUP_FAR), len(pairs.impostor))
    fmr = np.array([r.fmr for r in repeats]).reshape(len(repeats), len(panel.sizes))
    fnmr = np.array([r.fnmr for r in repeats]).reshape(len(repeats), len(panel.sizes))
    shaky: dict[str, str] = {}
    for k, size in enumerate(panel.sizes):
        matched, missed = _erring_in_group(pairs, panel.group == k, point.at)
        for key, rates, draws, erring in (("fmr", point.fmr, fmr, matched), ("fnmr", point.fnmr, fnmr, missed)):
            if rare or size.suppressed:
                found.append(_unmeasured(key, size.name, rare or size.suppressed))
                continue
            reason = too_few or _shaky(erring)
            if reason:
                shaky.setdefault(key, reason if too_few else f"group “{size.name}”: {reason}")
            found.append(_measure(key, size.name, float(rates[k]), draws[:, k], shaky=reason))
    found.extend(_differentials(panel, point, fmr, fnmr, rare=rare, shaky=shaky))
    return found


def _differentials(
    panel: _Panel, point: _Rates, fmr: FloatArray, fnmr: FloatArray, *, rare: str, shaky: Mapping[str, str]
) -> list[Measure]:
    """The differences between the groups that are large enough. One shaky rate makes any measure of spread shaky."""
    if not rare and len(panel.claimed) < 2:
        rare = f"{len(panel.claimed)} of the groups are large enough; a difference needs two"
    if rare:
        return [_unmeasured(key, "", rare) for key in _DIFFERENTIALS]
    rates = {"fmr": point.fmr[panel.claimed], "fnmr": point.fnmr[panel.claimed]}
    # A draw without a pair of a group leaves NaN, which stays NaN through the arithmetic.
    draws = {"fmr": fmr[:, panel.claimed], "fnmr": fnmr[:, panel.claimed]}
    found = []
    for key, error, ratio in (
        ("fmr_max_min", "fmr", fairness.max_over_min),
        ("fmr_max_geomean", "fmr", fairness.max_over_geometric_mean),
        ("fnmr_max_min", "fnmr", fairness.max_over_min),
        ("fnmr_max_geomean", "fnmr", fairness.max_over_geometric_mean),
    ):
        without = [panel.sizes[int(k)].name for k, rate in zip(panel.claimed, rates[error], strict=True) if rate == 0]
        if without:
            # A ratio to a group without errors says how few pairs there were, not how far the groups lie apart.
            names = " and ".join(f"“{name}”" for name in without)
            found.append(_unmeasured(key, "", f"unbounded: no errors seen in group {names}"))
        else:
            spread = ratio(draws[error])
            found.append(_measure(key, "", float(ratio(rates[error])), spread, shaky=shaky.get(error, "")))
    either = shaky.get("fmr") or shaky.get("fnmr") or ""
    for key, index in (("fdr", fairness.fdr), ("garbe", fairness.garbe)):
        spread = index(draws["fmr"], draws["fnmr"])
        found.append(_measure(key, "", float(index(rates["fmr"], rates["fnmr"])), spread, shaky=either))
    return found


def _erring(pairs: PairScores, point: _Rates) -> tuple[int, ...]:
    """How many people have an error, for each measure of `_OVERALL`."""
    at_eer = round((1.0 - point.overall[0]) * len(pairs.genuine))
    accepted = (at_eer, *(p.genuine for p in point.points))
    missed = [len(np.unique(pairs.genuine_person[first:])) for first in accepted]
    return (*missed, int((pairs.probes > pairs.hits).sum()))


def _erring_in_group(pairs: PairScores, inside: npt.NDArray[np.bool_], at: Operating) -> tuple[int, int]:
    """How many people of a group are in a false match within the group, and how many in a false non-match."""
    a, b = pairs.impostor_a[: at.impostors], pairs.impostor_b[: at.impostors]
    both = inside[a] & inside[b]
    missed = pairs.genuine_person[at.genuine :]
    return len(np.unique(np.concatenate([a[both], b[both]]))), len(np.unique(missed[inside[missed]]))


def _shaky(erring: int) -> str:
    """Why the errors of so few people allow no interval; empty when they do.

    Resampling people without an error shows no error ever, and with the errors of a handful it covers the truth far less
    often than it says: on simulated data 7 to 8 times in 10 instead of 9.5.
    """
    if erring >= MIN_ERRING_PEOPLE:
        return ""
    seen = "no errors were seen" if erring == 0 else f"all errors seen are of {erring} {_people(erring)}"
    return f"{seen}; an interval needs the errors of at least {MIN_ERRING_PEOPLE} people"


def _measure(key: str, group: str, estimate: float, draws: FloatArray, *, shaky: str) -> Measure:
    if math.isnan(estimate):
        return _unmeasured(key, group, "there are no pairs to measure it on")
    value = rounded(estimate)
    replicates = tuple(None if math.isnan(d) else rounded(d) for d in draws.tolist())
    bounds = None if shaky else interval(value, [math.nan if r is None else r for r in replicates])
    if bounds is None:
        reason = shaky or f"more than {UNUSABLE_SHARE:.0%} of the resamples allow no value"
        return Measure(key, group, value, None, None, reason, replicates)
    return Measure(key, group, value, *bounds, "", replicates)


def _unmeasured(key: str, group: str, reason: str) -> Measure:
    return Measure(key, group, None, None, None, reason, ())


def _too_rare(far: float, impostor_pairs: int) -> str:
    needed = math.ceil(ERRORS_NEEDED / far)
    if impostor_pairs >= needed:
        return ""
    return (
        f"not measurable at FAR {far:.2%}: {impostor_pairs:,} impostor pairs, "
        f"{needed:,} are needed to see {ERRORS_NEEDED} errors"
    )


def _det(weighted: Weighted) -> tuple[tuple[float, float], ...]:
    """(FMR, FNMR) at evenly spaced orders of magnitude, from the lowest FMR that is measured to 1 in 2."""
    pairs = len(weighted.pairs.impostor)
    lowest = max(ERRORS_NEEDED / pairs, 1e-5)
    steps = np.arange(math.ceil(math.log10(lowest) * DET_POINTS_A_DECADE), 0) / DET_POINTS_A_DECADE
    points = [operate(weighted, far) for far in (10.0**steps).tolist() if far <= 0.5]
    curve = [(rounded(p.fmr), rounded(1.0 - p.tar)) for p in points]
    return tuple(dict.fromkeys(curve))


def _notes(pairs: PairScores, panel: _Panel, failed: Sequence[int] | None) -> tuple[str, ...]:
    notes = []
    single = int((pairs.photos == 1).sum())
    if single:
        notes.append(f"{single} {_people(single)} with one photo count in impostor pairs and the gallery only.")
    without = int((panel.group < 0).sum())
    if without:
        notes.append(f"{without} {_people(without)} without a group count in the overall measures only.")
    notes.extend(
        f"No rate is given for group “{size.name}”: {size.suppressed}." for size in panel.sizes if size.suppressed
    )
    if len(panel.claimed) > 1:
        notes.append(
            "Measures of spread between groups (ratios, FDR, GARBE) come out above equal by chance alone: "
            "an interval that excludes equality is no proof of inequality. The difference between two models is tested."
        )
    if failed is None:
        notes.append("Photos in which no face was found were not counted: failures to enrol are not in these rates.")
    elif len(failed):
        notes.append(f"{len(failed)} photos gave no embedding and are in no rate; they are counted per group.")
    return tuple(notes)


def _people(count: int) -> str:
    return "person" if count == 1 else "people"
