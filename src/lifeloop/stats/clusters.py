"""Means over related items, such as questions about one document: their errors add up instead of averaging out.

Takes one value an item and the cluster that each belongs to; gives a standard error or an interval. Where every item
is a cluster of its own these are the usual ones.
"""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


def standard_error(values: ArrayLike, clusters: ArrayLike) -> float:
    """Return the clustered standard error of the mean (Liang and Zeger, 1986; Miller, 2024).

    `values` (n,) and `clusters` (n,) of any hashable labels. With the usual correction for few clusters, G / (G - 1).
    inf where there are fewer than two clusters. Raises ValueError unless both are as long.
    """
    return _error_and_count(values, clusters)[0]


def mean_interval(values: ArrayLike, clusters: ArrayLike, confidence: float) -> tuple[float, float]:
    """Return the interval of the mean, with Student's t of G - 1 degrees of freedom for G clusters.

    (-inf, inf) where there are fewer than two clusters.
    """
    error, count = _error_and_count(values, clusters)
    if count < 2:
        return -math.inf, math.inf
    mean = float(np.mean(np.asarray(values, dtype=np.float64)))
    reach = float(stats.t.ppf((1 + confidence) / 2, count - 1)) * error
    return mean - reach, mean + reach


def _error_and_count(values: ArrayLike, clusters: ArrayLike) -> tuple[float, int]:
    """Return the standard error and the number of clusters."""
    numbers, labels = np.asarray(values, dtype=np.float64), np.asarray(clusters)
    if numbers.shape != labels.shape:
        raise ValueError(f"{numbers.size} values and {labels.size} clusters")
    names, which = np.unique(labels, return_inverse=True)
    count = len(names)
    if count < 2:
        return math.inf, count
    sums = np.bincount(which, weights=numbers - numbers.mean(), minlength=count)
    return math.sqrt(float(sums @ sums) * count / (count - 1)) / len(numbers), count
