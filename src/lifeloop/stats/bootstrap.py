"""Bootstrap of any metric that is a function of column means: one candidate, or two on the same items.

Resamples items, so pairs stay pairs. Weights times columns is one matrix product, so 2,000 resamples cost little.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Combine = Callable[[Floats], Floats]

RESAMPLES = 2000


def interval(
    columns: Floats, combine: Combine, confidence: float, seed: int, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Return the percentile interval of a metric (Efron, 1979). `columns` is (n, k); (nan, nan) where n is 0."""
    if len(columns) == 0:
        return float("nan"), float("nan")
    values = combine(_resampled_means(columns, seed, resamples))
    return _quantiles(values, confidence)


def paired_interval(
    a: Floats, b: Floats, combine: Combine, confidence: float, seed: int, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Return the percentile interval of the metric's difference, A minus B, over the same n items, both (n, k)."""
    if len(a) != len(b):
        raise ValueError(f"not the same items: {len(a)} and {len(b)}")
    if len(a) == 0:
        return float("nan"), float("nan")
    means = _resampled_means(np.hstack([a, b]), seed, resamples)
    return _quantiles(combine(means[:, : a.shape[1]]) - combine(means[:, a.shape[1] :]), confidence)


def _resampled_means(columns: Floats, seed: int, resamples: int) -> Floats:
    n = len(columns)
    random = np.random.default_rng(seed)
    means = np.empty((resamples, columns.shape[1]))
    step = max(1, 20_000_000 // n)  # keeps the weights under 160 MB whatever n is
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        weights = random.multinomial(n, np.full(n, 1.0 / n), size=size)
        means[start : start + size] = weights @ columns / n
    return means


def _quantiles(values: Floats, confidence: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
