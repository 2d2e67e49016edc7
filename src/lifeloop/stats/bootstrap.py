"""Bootstrap of any metric that is a function of column means: one candidate, or two on the same items.

Works on blocks: the sums of a metric's columns over the items of a block, and how many items those are. A block is one
item, a group of related ones, or a random bag of many. Blocks are resampled whole, so what belongs together stays
together and pairs stay pairs. Intervals are bias-corrected and accelerated (BCa; Efron, 1987, "Better bootstrap
confidence intervals"). Knows nothing of candidates or examples.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, special

Floats = NDArray[np.float64]
Combine = Callable[[Floats], Floats]
Side = tuple[Floats, Floats]
"""Column sums (n_blocks, n_columns) and item counts (n_blocks,) of one candidate."""

RESAMPLES = 2000
SPARSE = 0.1
"""Share of cells that are not 0, up to which a product with sparse sums is the faster one."""
CELLS = 1_000_000
"""Numbers held at a time beside the blocks themselves: 8 MB, whatever the number of blocks and columns."""


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
    totals = [(sums.sum(axis=0), counts.sum()) for sums, counts in sides]
    estimate = float(_statistic([(total[None], np.array([n])) for total, n in totals], combine)[0])
    drawn = _resampled(sides, combine, seed, resamples)
    drawn = drawn[np.isfinite(drawn)]  # of a side that applies to few blocks a resample may hold none
    if not len(drawn):
        return float("nan"), float("nan")
    ends = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    low, high = np.quantile(drawn, _accelerated(ends, drawn, estimate, _left_out(sides, totals, combine)))
    return float(low), float(high)


def _accelerated(ends: Floats, drawn: Floats, estimate: float, left_out: Floats) -> Floats:
    """Return the BCa levels at which to read the bootstrap distribution, or `ends` where they are undefined."""
    below = ((drawn < estimate).mean() + (drawn <= estimate).mean()) / 2  # ties count half
    left_out = left_out[np.isfinite(left_out)]
    pulls = left_out.mean() - left_out if len(left_out) else left_out
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
    random = np.random.default_rng(seed)
    takes = [_taking(sums) for sums, _ in sides]
    values = np.empty(resamples)
    for rows in _portions(resamples, max(n_blocks, sides[0][0].shape[1])):
        size = rows.stop - rows.start
        drawn = random.integers(0, n_blocks, size=(size, n_blocks))
        drawn *= size
        drawn += np.arange(size)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=n_blocks * size).reshape(n_blocks, size).astype(float)
        means = [(take(weights), counts @ weights) for take, (_, counts) in zip(takes, sides, strict=True)]
        values[rows] = _statistic(means, combine)
    return values


def _taking(sums: Floats) -> Callable[[Floats], Floats]:
    """Return what sums blocks by weights (n_blocks, resamples), to (resamples, n_columns).

    Sparse sums, such as the counts of 150 labels, take a tenth of the time.
    """
    if np.count_nonzero(sums) > SPARSE * sums.size:
        return lambda weights: np.asarray(weights.T @ sums)
    across = sparse.csr_array(sums.T)
    return lambda weights: np.asarray((across @ weights).T)


def _left_out(sides: tuple[Side, ...], totals: list[tuple[Floats, float]], combine: Combine) -> Floats:
    """Return the statistic (n_blocks,) with each block left out in turn: the jackknife."""
    n_blocks, n_columns = sides[0][0].shape
    values = np.empty(n_blocks)
    for rows in _portions(n_blocks, n_columns):
        rest = [
            (total - sums[rows], n - counts[rows]) for (sums, counts), (total, n) in zip(sides, totals, strict=True)
        ]
        values[rows] = _statistic(rest, combine)
    return values


def _statistic(sides: list[tuple[Floats, Floats]], combine: Combine) -> Floats:
    """Return the metric's value, or the difference of the two sides' values; nan where a side has no item."""
    values = []
    for sums, counts in sides:
        means = np.divide(sums, counts[:, None], out=np.zeros_like(sums, dtype=float), where=counts[:, None] > 0)
        values.append(np.where(counts > 0, combine(means), np.nan))
    return values[0] if len(values) == 1 else values[0] - values[1]


def _portions(n: int, width: int) -> Iterator[slice]:
    step = max(1, CELLS // width)
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))
