"""Where a score's variance comes from when every item was answered several times: the items, or the answers.

Takes a table of scores, one row an item and one column a repeat; gives the two parts and what they mean for the error
of the mean. So one knows whether more items or more repeats would help.
"""

import math

import numpy as np
from numpy.typing import ArrayLike


def split(values: ArrayLike) -> tuple[float, float]:
    """Return the variance between items and the variance within them, between repeats of one item.

    `values` is (n, k), n items by k repeats, both at least 2. The unbiased estimates of one-way analysis of variance
    (Searle, Casella and McCulloch, 1992), the first set to 0 where it would be negative. Raises ValueError for less.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or min(table.shape) < 2:
        raise ValueError("a split of the variance needs two items and two repeats at least")
    within = float(table.var(axis=1, ddof=1).mean())
    of_means = float(table.mean(axis=1).var(ddof=1))
    return max(0.0, of_means - within / table.shape[1]), within


def standard_error(between: float, within: float, n: int, k: int) -> float:
    """Return the standard error of the mean over n items with k repeats each, from the parts that `split` gives."""
    if n < 1 or k < 1:
        raise ValueError(f"no mean over {n} items with {k} repeats")
    return math.sqrt((between + within / k) / n)
