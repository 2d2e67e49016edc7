"""Metrics that are no plain mean, as if they were one: each item's pull on the metric, and what that allows.

Takes column means, sums of columns over blocks, and the function that makes a value of means; gives gradients, one
number an item or block, and always-valid evidence. Right for many items (the delta method); knows nothing of metrics.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from lifeloop.stats.bootstrap import Combine
from lifeloop.stats.sequential import USUAL_SIZE

Floats = NDArray[np.float64]

STEP = 1e-5
"""Of the numeric gradient, as a share of each column's mean."""
ALPHA = 0.05
"""Level at which `normal_e_value` grows fastest."""


def gradient(combine: Combine, means: Floats) -> Floats:
    """Return the gradient (n_columns,) of a metric at its column means (n_columns,), by central differences."""
    step = STEP * np.maximum(np.abs(means), 1e-3)
    slopes: Floats = (combine(means + np.diag(step)) - combine(means - np.diag(step))) / (2 * step)
    return np.nan_to_num(slopes, posinf=0.0, neginf=0.0)


def pulls(sums: Floats, counts: Floats, combine: Combine) -> Floats:
    """Return the pull (n_blocks,) of each block on the metric, times the number of items; they add up to 0.

    `sums` (n_blocks, n_columns) and `counts` (n_blocks,) as in `bootstrap`; a block may be one item.
    """
    means = sums.sum(axis=0) / counts.sum()
    slopes = gradient(combine, means)
    found: Floats = sums @ slopes - counts * float(means @ slopes)
    return found


def variance_of_difference(one: Floats, other: Floats, n_items: int) -> float:
    """Return the variance of a metric's difference, times the number of items, from the pulls of both sides' blocks.

    Robust to dependence within blocks (Liang and Zeger, 1986). inf for fewer than two blocks.
    """
    n_blocks = len(one)
    if n_blocks < 2:
        return math.inf
    return float(((one - other) ** 2).sum()) / n_items * n_blocks / (n_blocks - 1)


def normal_e_value(n: int, mean: float, variance: float, tuned_at: int = 0) -> float:
    """Return the evidence that a mean is above 0, after n values with that mean and variance.

    The one-sided normal mixture (Robbins, 1970): bets on every mean above 0, weighted by half a normal distribution.
    Valid at any look where n is large, as `sequential.normal_interval` is. `tuned_at` is the n at which it grows
    fastest, fixed before looking; 0 takes that of `normal_interval`. 1 for fewer than two values or no variance.
    """
    if n < 2 or variance <= 0.0 or not math.isfinite(variance):
        return 1.0
    tuning = (-2 * math.log(ALPHA) + math.log(1 - 2 * math.log(ALPHA))) / (tuned_at or USUAL_SIZE)
    spread = 1.0 + n * tuning
    score = n * mean / math.sqrt(variance) * math.sqrt(tuning / spread)
    logarithm = math.log(2.0) - 0.5 * math.log(spread) + score**2 / 2 + float(special.log_ndtr(score))
    return math.exp(logarithm) if logarithm < 709.0 else math.inf
