"""How far the error rates of groups lie apart. Pure arithmetic over rates; whether a difference is real is the interval's business.

Every function takes rates along the last axis, one per group, so that a point estimate (g,) and its bootstrap
replicates (b, g) go through the same lines. Sources:

- ratios: NISTIR 8280 (max ÷ min) and NISTIR 8429 (max ÷ geometric mean, which one lucky group moves less);
- FDR: de Freitas Pereira and Marcel, "Fairness in Biometrics", arXiv 2011.02395;
- Gini and GARBE: Howard, Laird, Sirotin et al., "Evaluating Proposed Fairness Models for Face Recognition Algorithms",
  arXiv 2203.05051, with the sample correction n ÷ (n − 1), without which few groups always look fair.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from unsee.core.errors import InvalidValue

FloatArray = npt.NDArray[np.float64]


def max_over_min(rates: npt.ArrayLike) -> FloatArray:
    """Highest ÷ lowest rate: (…, g) → (…). 1 is equal; infinite where a group has no errors, NaN where no group has any.

    Raises:
        InvalidValue: fewer than two groups, or a rate outside 0..1.
    """
    values = _rates(rates)
    return _quotient(values.max(axis=-1), values.min(axis=-1))


def max_over_geometric_mean(rates: npt.ArrayLike) -> FloatArray:
    """Highest rate ÷ geometric mean of the rates: (…, g) → (…). Infinite and NaN as in `max_over_min`.

    Raises:
        InvalidValue: fewer than two groups, or a rate outside 0..1.
    """
    values = _rates(rates)
    positive = np.where(values > 0, values, 1.0)
    mean = np.where((values > 0).all(axis=-1), np.exp(np.log(positive).mean(axis=-1)), 0.0)
    return _quotient(values.max(axis=-1), mean)


def fdr(fmr: npt.ArrayLike, fnmr: npt.ArrayLike, *, alpha: float = 0.5) -> FloatArray:
    """Fairness discrepancy rate 1 − (αA + (1 − α)B), A and B the widest gaps of FMR and FNMR: (…, g) twice → (…). 1 is equal.

    The scale is that of the rates: where they are a few percent, so is the whole range of FDR. Read it beside GARBE.

    Raises:
        InvalidValue: fewer than two groups, a rate outside 0..1, or `alpha` outside 0..1.
    """
    weight = _alpha(alpha)
    gap_fmr, gap_fnmr = np.ptp(_rates(fmr), axis=-1), np.ptp(_rates(fnmr), axis=-1)
    return np.asarray(1.0 - (weight * gap_fmr + (1.0 - weight) * gap_fnmr), dtype=np.float64)


def gini(rates: npt.ArrayLike) -> FloatArray:
    """Sample-corrected Gini coefficient n/(n−1) · ΣᵢΣⱼ|xᵢ − xⱼ| / (2n²x̄): (…, g) → (…) in 0..1.

    0 is equal, 1 means that one group has all the errors. Where no group has an error the rates are equal: 0.

    Raises:
        InvalidValue: fewer than two groups, or a rate outside 0..1.
    """
    values = _rates(rates)
    groups = values.shape[-1]
    gaps = np.abs(values[..., :, None] - values[..., None, :]).sum(axis=(-2, -1))
    mean = values.mean(axis=-1)
    scale = np.where(mean > 0, 2.0 * groups * groups * mean, 1.0)
    return np.asarray(groups / (groups - 1) * gaps / scale, dtype=np.float64)


def garbe(fmr: npt.ArrayLike, fnmr: npt.ArrayLike, *, alpha: float = 0.5) -> FloatArray:
    """Gini aggregation rate for biometric equitability, α·G(FMR) + (1 − α)·G(FNMR): (…, g) twice → (…) in 0..1. 0 is equal.

    Raises:
        InvalidValue: fewer than two groups, a rate outside 0..1, or `alpha` outside 0..1.
    """
    weight = _alpha(alpha)
    return np.asarray(weight * gini(fmr) + (1.0 - weight) * gini(fnmr), dtype=np.float64)


def _rates(rates: npt.ArrayLike) -> FloatArray:
    values = np.asarray(rates, dtype=np.float64)
    if values.ndim == 0 or values.shape[-1] < 2:
        raise InvalidValue("A difference between groups needs the rates of at least two groups.")
    if bool((values < 0).any() or (values > 1).any()):
        raise InvalidValue("An error rate lies outside 0 to 1.")
    return values


def _alpha(alpha: float) -> float:
    if not 0.0 <= alpha <= 1.0:
        raise InvalidValue(f"The weight alpha is {alpha}; it lies in 0 to 1.")
    return alpha


def _quotient(top: FloatArray, bottom: FloatArray) -> FloatArray:
    empty = bottom == 0
    ratio = top / np.where(empty, 1.0, bottom)
    return np.asarray(np.where(empty, np.where(top > 0, np.inf, np.nan), ratio), dtype=np.float64)
