"""Measures of drift: has the input moved (PSI), has the error (CUSUM). Pure: the caller brings the numbers."""

from __future__ import annotations

import numpy as np

from forecasting.panel import Floats

BINS = 5
# The customary borders: below 0.1 nothing, above 0.25 a shift worth acting on.
PSI_LIMIT = 0.25
# Quantiles of chi-square with BINS − 1 degrees of freedom at 0.999: what chance alone may reach.
CHI_SQUARE = 18.47
# Allowance and decision interval in standard deviations (Page 1954; Montgomery, "Introduction to Statistical Quality
# Control"). One day counts at most CUSUM_CLIP: a storm or an unknown holiday is no lasting shift, four days alike are.
CUSUM_SLACK, CUSUM_LIMIT, CUSUM_CLIP = 0.5, 5.0, 2.0


def population_stability(reference: Floats, current: Floats) -> Floats:
    """Population stability index of each column: Σ (c − r) · ln(c / r) over quantile bins of the reference.

    Missing values are a bin of their own. Half a case in every bin keeps the logarithm finite.

    Args:
        reference: [row, feature].
        current: [row, feature].
    """
    found = np.zeros(reference.shape[1])
    for column in range(reference.shape[1]):
        old, new = reference[:, column], current[:, column]
        known = old[np.isfinite(old)]
        if not known.size:
            continue
        edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1]))
        shares = [_shares(values, edges) for values in (old, new)]
        found[column] = float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())
    return found


def _shares(values: Floats, edges: Floats) -> Floats:
    known = np.isfinite(values)
    counts = np.bincount(np.searchsorted(edges, values[known], side="right"), minlength=len(edges) + 1)
    cases = np.append(counts, (~known).sum()) + 0.5
    shares: Floats = cases / cases.sum()
    return shares


def psi_limit(reference_cases: int, current_cases: int) -> float:
    """From which index on a feature has moved, for so many independent cases.

    The index is about chi-square times (1/n + 1/m) where nothing has moved (Yurdakul & Naranjo 2020, "Statistical
    properties of the population stability index"), so few cases need more to prove anything.
    """
    return max(PSI_LIMIT, CHI_SQUARE * (1 / max(reference_cases, 1) + 1 / max(current_cases, 1)))


def cusum(residuals: Floats, sigma: float) -> float:
    """Largest two-sided cumulative sum of residuals beyond the slack, in standard deviations.

    Args:
        residuals: in order of time, 0 on average while all is well.
        sigma: their standard deviation while all is well.
    """
    high = low = largest = 0.0
    for value in np.clip(residuals / sigma, -CUSUM_CLIP, CUSUM_CLIP):
        high = max(0.0, high + float(value) - CUSUM_SLACK)
        low = max(0.0, low - float(value) - CUSUM_SLACK)
        largest = max(largest, high, low)
    return largest
