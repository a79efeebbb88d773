"""Resampling people, and intervals from the resamples."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

CONFIDENCE: Final = 0.95
UNUSABLE_SHARE: Final = 0.05
"""With more unusable resamples than this, what is left is no fair sample of them, and no interval is given."""

_NORMAL: Final = NormalDist()


def resample_people(people: int, resamples: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """(resamples, people) int64: how often each person is drawn when `people` are drawn with replacement."""
    return np.asarray(rng.multinomial(people, np.full(people, 1.0 / people), size=resamples), dtype=np.int64)


def interval(estimate: float, replicates: npt.ArrayLike) -> tuple[float, float] | None:
    """The 95 % bias-corrected percentile interval (Efron 1981) of `estimate` from its bootstrap replicates.

    Measures of spread between groups (max ÷ min, GARBE) are biased upward by noise, and twice as much in a resample;
    the correction moves the percentiles back by as much as the estimate is off the middle of its replicates. The
    interval always includes the estimate and never leaves the range of the replicates otherwise.

    Args:
        estimate: finite.
        replicates: (b,) float, NaN where a resample allowed no value; infinite values are allowed.
    Returns:
        (low, high); high is infinite when the sample sets no upper bound. None when there are no replicates or more
        than `UNUSABLE_SHARE` of them are unusable.
    """
    values = np.asarray(replicates, dtype=np.float64)
    usable = np.sort(values[~np.isnan(values)])
    if len(usable) == 0 or len(usable) < (1.0 - UNUSABLE_SHARE) * len(values):
        return None
    below = (float(np.mean(usable < estimate)) + float(np.mean(usable <= estimate))) / 2.0
    edge = 1.0 / (len(usable) + 1)
    shift = 2.0 * _NORMAL.inv_cdf(min(max(below, edge), 1.0 - edge))
    reach = _NORMAL.inv_cdf(0.5 + CONFIDENCE / 2.0)
    last = len(usable) - 1
    # Outward to the next replicate: no interpolation, which has no meaning beside an infinite value.
    low = usable[math.floor(_NORMAL.cdf(shift - reach) * last)]
    high = usable[math.ceil(_NORMAL.cdf(shift + reach) * last)]
    return min(float(low), estimate), max(float(high), estimate)
