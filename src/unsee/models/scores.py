"""Scores of all pairs of photos, and error rates over them when each person counts a given number of times.

Convention, as in ISO/IEC 19795-1: a pair is accepted when its score is at or above the threshold. FMR is the share of
impostor pairs accepted, FNMR the share of genuine pairs not accepted, TAR = 1 − FNMR; FAR stands for FMR here.

Weights are how a bootstrap over people is done without touching a score again. With weight wₚ for person p, a genuine
pair of p counts wₚ times and an impostor pair of p and q counts wₚ·w_q times. A person drawn twice is *not* compared
with the own clone: such a pair would be a photo against itself or a genuine pair entered as impostor, and both bias the
rates (Bolle, Ratha, Pankanti 2004; Conti and Clémençon, arXiv 2211.07245). Leaving the clones out gives the pigeonhole
bootstrap for pairs of exchangeable units, which is consistent (Davezies, D'Haultfœuille, Guyonvarch, Annals of
Statistics 2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from unsee.core.errors import InvalidValue

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
ScoreArray = npt.NDArray[np.float32]

MAX_PHOTOS: Final = 10_000
"""50 million pairs, about 3 GB while sorting. Beyond it a sample of the held-out people says as much."""

_ROWS: Final = 1024


@dataclass(frozen=True, slots=True, eq=False)
class PairScores:
    """Every unordered pair of photos once, scores descending; people are numbered 0..P−1 in ascending order of their id.

    `genuine` (G,) float32 with the person of each; `impostor` (I,) float32 with both people of each. `hits` and `probes`
    (P,) count rank-1 successes, see `score_pairs`.
    """

    people: IntArray
    photos: IntArray
    genuine: ScoreArray
    genuine_person: npt.NDArray[np.int32]
    impostor: ScoreArray
    impostor_a: npt.NDArray[np.int32]
    impostor_b: npt.NDArray[np.int32]
    hits: IntArray
    probes: IntArray
    levels: ScoreArray
    """(L,) the distinct genuine scores, descending."""
    genuine_at: IntArray
    """(L,) how many genuine pairs score at or above each level."""
    impostors_at: IntArray
    """(L,) how many impostor pairs score at or above each level."""
    impostors_above: IntArray
    """(L,) how many impostor pairs score above each level."""

    @classmethod
    def sort(
        cls,
        *,
        people: IntArray,
        photos: IntArray,
        genuine: tuple[ScoreArray, npt.NDArray[np.int32]],
        impostor: tuple[ScoreArray, npt.NDArray[np.int32], npt.NDArray[np.int32]],
        hits: IntArray,
        probes: IntArray,
    ) -> PairScores:
        """From pairs in any order: scores with the person, and scores with both people."""
        of_one, of_two = np.argsort(-genuine[0], kind="stable"), np.argsort(-impostor[0], kind="stable")
        own, others = genuine[0][of_one], impostor[0][of_two]
        levels, counts = np.unique(-own, return_counts=True)
        return cls(
            people=people,
            photos=photos,
            genuine=own,
            genuine_person=genuine[1][of_one],
            impostor=others,
            impostor_a=impostor[1][of_two],
            impostor_b=impostor[2][of_two],
            hits=hits,
            probes=probes,
            levels=-levels,
            genuine_at=np.cumsum(counts).astype(np.int64),
            impostors_at=np.searchsorted(-others, levels, side="right").astype(np.int64),
            impostors_above=np.searchsorted(-others, levels, side="left").astype(np.int64),
        )


@dataclass(frozen=True, slots=True)
class Operating:
    """Where a threshold lies in the sorted pairs: how many of each it accepts, and the rates under the weights used."""

    threshold: float
    impostors: int
    genuine: int
    fmr: float
    tar: float


def score_pairs(embeddings: npt.NDArray[np.floating], people: npt.NDArray[np.integer]) -> PairScores:
    """Cosine scores of all pairs, and rank-1 identification.

    Scores are computed in float64 and stored as float32, so that neither the order of the photos nor the number of
    threads moves a pair past another.

    Rank-1, closed set, leave one out: each photo of a person with at least two is a probe; the gallery is every other
    photo of every person. It is a hit when its best score with the same person is above its best score with anyone else.

    Args:
        embeddings: (n, d) unit norm.
        people: (n,) the person of each photo.
    Raises:
        InvalidValue: wrong shapes, a row that is not finite or not of unit norm, fewer than two people, no person with
            two photos, or more than `MAX_PHOTOS` photos.
    Cost: O(n²·d) and about 55 bytes a pair at the peak.
    """
    _check(embeddings, people)
    known, index, photos = np.unique(people, return_inverse=True, return_counts=True)
    if len(known) < 2 or photos.max() < 2:
        raise InvalidValue(
            f"{len(known)} people with at most {photos.max()} photos each allow no verification.",
            next_step="Evaluate on at least two people, one of them with two photos or more.",
        )
    index = index.astype(np.int32)
    rows = embeddings.astype(np.float64)
    total = len(rows)
    same_scores, same_people, other_scores, other_a, other_b = [], [], [], [], []
    hit = np.zeros(total, dtype=bool)
    for start in range(0, total, _ROWS):
        block = (rows[start : start + _ROWS] @ rows.T).astype(np.float32)
        own = index[start : start + _ROWS, None]
        same = own == index[None, :]
        later = np.arange(total)[None, :] > np.arange(start, start + len(block))[:, None]
        i, j = np.nonzero(same & later)
        same_scores.append(block[i, j])
        same_people.append(index[j])
        i, j = np.nonzero(~same & later)
        other_scores.append(block[i, j])
        other_a.append(own[i, 0])
        other_b.append(index[j])
        best_other = np.where(same, -np.inf, block).max(axis=1)
        same[np.arange(len(block)), np.arange(start, start + len(block))] = False
        hit[start : start + _ROWS] = np.where(same, block, -np.inf).max(axis=1) > best_other
    return PairScores.sort(
        people=known.astype(np.int64),
        photos=photos.astype(np.int64),
        genuine=(np.concatenate(same_scores), np.concatenate(same_people)),
        impostor=(np.concatenate(other_scores), np.concatenate(other_a), np.concatenate(other_b)),
        hits=np.bincount(index, weights=hit, minlength=len(known)).astype(np.int64),
        probes=np.where(photos > 1, photos, 0).astype(np.int64),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Weighted:
    """`PairScores` with a weight for each person; the running weight of the first `reach` impostor pairs is at hand."""

    pairs: PairScores
    weights: FloatArray
    genuine_total: float
    impostor_total: float
    genuine_running: FloatArray
    impostor_running: FloatArray

    @classmethod
    def of(cls, pairs: PairScores, weights: npt.NDArray[np.integer], *, reach: int) -> Weighted:
        """Weights (P,) of integers at least 0 on `pairs`. Cost O(G + reach)."""
        counts = weights.astype(np.float64)
        drawn = counts * pairs.photos
        first = slice(0, max(reach, 1))
        return cls(
            pairs,
            counts,
            genuine_total=float((counts * (pairs.photos * (pairs.photos - 1) // 2)).sum()),
            impostor_total=float(drawn.sum() ** 2 - (drawn**2).sum()) / 2.0,
            genuine_running=np.cumsum(counts[pairs.genuine_person]),
            impostor_running=np.cumsum(counts[pairs.impostor_a[first]] * counts[pairs.impostor_b[first]]),
        )

    @property
    def usable(self) -> bool:
        """Whether both kinds of pairs have weight at all: a resample of very few people may lack one."""
        return self.genuine_total > 0 and self.impostor_total > 0

    def farther(self) -> Weighted:
        """The same with the running weight reaching twice as far."""
        reach = 2 * len(self.impostor_running)
        return Weighted.of(self.pairs, self.weights.astype(np.int64), reach=reach)

    @property
    def complete(self) -> bool:
        """Whether the running weight covers every impostor pair."""
        return len(self.impostor_running) >= len(self.pairs.impostor)


def eer(weighted: Weighted) -> float:
    """Equal error rate: where the line FMR = FNMR meets the curve through the points (FMR, FNMR) of all thresholds.

    The curve is the polyline through the points attained at each distinct score and above all of them; ties between
    genuine and impostor scores are thus split evenly. It depends on the order of the scores only. NaN without weight.
    """
    if not weighted.usable:
        return math.nan
    pairs = weighted.pairs
    while True:
        within = int(np.searchsorted(pairs.impostors_at, len(weighted.impostor_running), side="right"))
        fmr = _running(weighted.impostor_running, pairs.impostors_at[:within]) / weighted.impostor_total
        fnmr = 1.0 - _running(weighted.genuine_running, pairs.genuine_at[:within]) / weighted.genuine_total
        crossed = np.flatnonzero(fmr >= fnmr)
        if len(crossed) or weighted.complete:
            break
        weighted = weighted.farther()
    at = int(crossed[0]) if len(crossed) else within - 1
    fnmr_before = float(fnmr[at - 1]) if at else 1.0
    above = float(_running(weighted.impostor_running, pairs.impostors_above[at : at + 1])[0]) / weighted.impostor_total
    if above >= fnmr_before:  # met between two genuine scores, where FNMR stands still
        return fnmr_before
    gap_before, gap_after = fnmr_before - above, float(fmr[at] - fnmr[at])
    share = gap_before / (gap_before + gap_after)
    return above + share * (float(fmr[at]) - above)


def operate(weighted: Weighted, far: float) -> Operating:
    """The lowest threshold whose FMR does not exceed `far`, and the rates there. Rates are NaN without weight.

    Args:
        far: a false match rate in 0 ≤ far < 1. TAR never falls when it is raised.
    """
    if not weighted.usable:
        return Operating(math.nan, 0, 0, math.nan, math.nan)
    allowed = math.floor(far * weighted.impostor_total + 1e-6)
    while weighted.impostor_running[-1] <= allowed and not weighted.complete:
        weighted = weighted.farther()
    pairs = weighted.pairs
    refused = int(np.searchsorted(weighted.impostor_running, allowed, side="right"))
    # The first pair too many is refused, and with it every pair of the same score.
    bound = pairs.impostor[refused]
    impostors = int(np.searchsorted(-pairs.impostor[: refused + 1], -bound, side="left"))
    genuine = int(np.searchsorted(-pairs.genuine, -bound, side="left"))
    return Operating(
        threshold=float(np.nextafter(bound, np.float32(np.inf))),
        impostors=impostors,
        genuine=genuine,
        fmr=float(_running(weighted.impostor_running, np.array([impostors]))[0]) / weighted.impostor_total,
        tar=float(_running(weighted.genuine_running, np.array([genuine]))[0]) / weighted.genuine_total,
    )


def group_rates(weighted: Weighted, at: Operating, group: IntArray, groups: int) -> tuple[FloatArray, FloatArray]:
    """FMR and FNMR of each group at one threshold: (groups,) twice, NaN where a group has no such pairs.

    The impostor pairs of a group are those of two of its people, as in NISTIR 8280: strangers who look alike are mostly
    of one group, and a rate diluted with easy pairs across groups hides that.

    Args:
        group: (P,) number of the group of each person, or −1 for none.
    """
    pairs, weights = weighted.pairs, weighted.weights
    a, b = pairs.impostor_a[: at.impostors], pairs.impostor_b[: at.impostors]
    inside = (group[a] == group[b]) & (group[a] >= 0)
    a, b = a[inside], b[inside]
    matched = np.bincount(group[a], weights=weights[a] * weights[b], minlength=groups)
    person = pairs.genuine_person[: at.genuine]
    person = person[group[person] >= 0]
    accepted = np.bincount(group[person], weights=weights[person], minlength=groups)
    impostors, genuine = group_pairs(pairs, weights, group, groups)
    with np.errstate(invalid="ignore"):  # 0 ÷ 0 is the NaN that was promised
        return matched / impostors, 1.0 - accepted / genuine


def group_pairs(pairs: PairScores, weights: FloatArray, group: IntArray, groups: int) -> tuple[FloatArray, FloatArray]:
    """Weight of the impostor pairs and of the genuine pairs within each group: (groups,) twice."""
    known = group >= 0
    drawn = (weights * pairs.photos)[known]
    impostors = np.bincount(group[known], weights=drawn, minlength=groups) ** 2
    impostors -= np.bincount(group[known], weights=drawn**2, minlength=groups)
    own = (weights * (pairs.photos * (pairs.photos - 1) // 2))[known]
    return impostors / 2.0, np.bincount(group[known], weights=own, minlength=groups).astype(np.float64)


def _running(running: FloatArray, counts: IntArray) -> FloatArray:
    """Weight of the first `counts` pairs, where `running` is the cumulative sum and may begin after zero pairs."""
    if len(running) == 0:
        return np.zeros(len(counts))
    return np.asarray(np.where(counts > 0, running[np.maximum(counts, 1) - 1], 0.0), dtype=np.float64)


def _check(embeddings: npt.NDArray[np.floating], people: npt.NDArray[np.integer]) -> None:
    if embeddings.ndim != 2 or people.shape != (len(embeddings),):
        raise InvalidValue(
            f"Embeddings of shape {embeddings.shape} and people of shape {people.shape} do not belong together.",
            next_step="Pass (n, d) embeddings and the person of each row.",
        )
    if len(embeddings) > MAX_PHOTOS:
        raise InvalidValue(
            f"{len(embeddings):,} photos make {len(embeddings) * (len(embeddings) - 1) // 2:,} pairs.",
            next_step=f"Evaluate a random sample of the held-out people with at most {MAX_PHOTOS:,} photos in all.",
        )
    if len(embeddings) == 0:
        raise InvalidValue("There are no embeddings to evaluate.")
    norms = np.linalg.norm(embeddings.astype(np.float64), axis=1)
    wrong = np.flatnonzero(~(np.abs(norms - 1.0) < 1e-3))
    if len(wrong):
        raise InvalidValue(
            f"{len(wrong)} embeddings are not of unit norm; the first is row {wrong[0]} with norm {norms[wrong[0]]:.6g}.",
            next_step="Divide each embedding by its norm; a row that is zero or not finite is a fault of the model.",
        )
