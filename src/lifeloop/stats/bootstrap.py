"""Bootstrap of any metric that is a function of column means: one candidate, or two on the same items.

Works on blocks: the sums of a metric's columns over the items of a block, and how many items those are. A block is one
item, a group of related ones, or a random bag of many. Blocks are resampled whole, so what belongs together stays
together and pairs stay pairs. Intervals are bias-corrected and accelerated (BCa; Efron, 1987, "Better bootstrap
confidence intervals"). Knows nothing of candidates or examples.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, special

from lifeloop.stats import jackknife
from lifeloop.stats.jackknife import Combine, Floats, portions

Side = tuple[Floats, Floats]
"""Column sums (n_blocks, n_columns) and item counts (n_blocks,) of one candidate."""

RESAMPLES = 2000
SPARSE = 0.1
"""Share of cells that are not 0, up to which a product with sparse sums is the faster one."""


def interval(
    sums: Floats, counts: Floats, combine: Combine, confidence: float, seed: int, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Return the BCa interval of a metric; the percentile interval where BCa is undefined; (nan, nan) of no item.

    `sums` is (n_blocks, n_columns), `counts` (n_blocks,); `combine` takes column means (..., n_columns) to values.
    """
    kept = counts > 0
    if not kept.any():
        return float("nan"), float("nan")
    return _interval((_only(kept, sums, counts),), combine, confidence, seed, resamples)


def paired_interval(
    sums_a: Floats,
    counts_a: Floats,
    sums_b: Floats,
    counts_b: Floats,
    combine: Combine,
    confidence: float,
    seed: int,
    resamples: int = RESAMPLES,
) -> tuple[float, float]:
    """Return the BCa interval of the metric's difference, A minus B, over the same blocks; else as `interval`.

    Raises ValueError where the two sides have not the same number of blocks.
    """
    if len(counts_a) != len(counts_b):
        raise ValueError(f"not the same blocks: {len(counts_a)} and {len(counts_b)}")
    kept = (counts_a > 0) | (counts_b > 0)
    if not (counts_a > 0).any() or not (counts_b > 0).any():
        return float("nan"), float("nan")
    sides = (_only(kept, sums_a, counts_a), _only(kept, sums_b, counts_b))
    return _interval(sides, combine, confidence, seed, resamples)


def _only(kept: NDArray[np.bool_], sums: Floats, counts: Floats) -> Side:
    """Return the blocks that hold an item; without a copy where all do."""
    return (sums, counts) if kept.all() else (sums[kept], counts[kept])


def _interval(
    sides: tuple[Side, ...], combine: Combine, confidence: float, seed: int, resamples: int
) -> tuple[float, float]:
    estimate, left = 0.0, np.zeros(len(sides[0][1]))
    for sign, (sums, counts) in zip((1, -1), sides, strict=False):
        total, n = sums.sum(axis=0), float(counts.sum())
        estimate += sign * float(jackknife.value_of(total[None], np.array([n]), combine)[0])
        left += sign * jackknife.left_out(sums, counts, total, n, combine)
    drawn = _resampled(sides, combine, seed, resamples)
    drawn = drawn[np.isfinite(drawn)]  # of a side that applies to few blocks a resample may hold none
    if not len(drawn):
        return float("nan"), float("nan")
    ends = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    low, high = np.quantile(drawn, _accelerated(ends, drawn, estimate, left[np.isfinite(left)]))
    return float(low), float(high)


def _accelerated(ends: Floats, drawn: Floats, estimate: float, left: Floats) -> Floats:
    """Return the BCa levels at which to read the bootstrap distribution, or `ends` where they are undefined."""
    slack = 1e-9 * np.ptp(drawn)  # what rounding tells apart is a tie; ties count half
    below = float((drawn < estimate - slack).mean() + (drawn <= estimate + slack).mean()) / 2
    pulls = left.mean() - left if len(left) else left
    spread = float((pulls**2).sum())
    if not 0.0 < below < 1.0 or spread < 1e-300:
        return ends
    bias = special.ndtri(below)
    acceleration = float((pulls**3).sum()) / (6.0 * spread**1.5)
    shifted = bias + special.ndtri(ends)
    shrunk = 1.0 - acceleration * shifted
    if (shrunk <= 0.0).any():
        return ends
    levels: Floats = special.ndtr(bias + shifted / shrunk)
    return levels


def _resampled(sides: tuple[Side, ...], combine: Combine, seed: int, resamples: int) -> Floats:
    """Return the statistic (resamples,) of blocks drawn with replacement, the same draw for every side."""
    n_blocks = len(sides[0][1])
    weights = _weights(n_blocks, resamples, seed)
    takes = [_taking(sums) for sums, _ in sides]
    values = np.zeros(resamples)
    for columns in portions(resamples, max(n_blocks, sides[0][0].shape[1])):
        some = weights[:, columns].astype(float)
        for sign, take, (_, counts) in zip((1, -1), takes, sides, strict=False):
            values[columns] += sign * jackknife.value_of(take(some), counts @ some, combine)
    return values


@lru_cache(maxsize=1)  # the metrics of a trial are resampled one after the other, over the same blocks
def _weights(n_blocks: int, resamples: int, seed: int) -> NDArray[np.uint8]:
    """Return how often each block is drawn in each resample, (n_blocks, resamples)."""
    random = np.random.default_rng(seed)
    weights = np.empty((n_blocks, resamples), dtype=np.uint8)
    for columns in portions(resamples, n_blocks):
        size = columns.stop - columns.start
        drawn = random.integers(0, n_blocks, size=(size, n_blocks))
        drawn *= size
        drawn += np.arange(size)[:, None]
        weights[:, columns] = np.bincount(drawn.ravel(), minlength=n_blocks * size).reshape(n_blocks, size)
    weights.flags.writeable = False
    return weights


def _taking(sums: Floats) -> Callable[[Floats], Floats]:
    """Return what sums blocks by weights (n_blocks, resamples), to (resamples, n_columns).

    Sparse sums, such as the counts of 150 labels, take a tenth of the time.
    """
    if np.count_nonzero(sums) > SPARSE * sums.size:
        return lambda weights: np.asarray(weights.T @ sums)
    across = sparse.csr_array(sums.T)
    return lambda weights: np.asarray((across @ weights).T)
