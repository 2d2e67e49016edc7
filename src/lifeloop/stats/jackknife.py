"""The jackknife: what a metric would be without each block in turn, and what that tells of its error.

Takes sums of columns over blocks, as `bootstrap` does, and the function that makes a value of means. Unlike a gradient
it is on the safe side where the metric bends, as macro F1 does with few examples a label. Knows nothing of metrics.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Combine = Callable[[Floats], Floats]

CELLS = 1_000_000
"""Numbers held at a time beside the blocks themselves: 8 MB, whatever the number of blocks and columns."""


def left_out(sums: Floats, counts: Floats, total: Floats, n: float, combine: Combine) -> Floats:
    """Return the metric (n_blocks,) without each block; nan where nothing is left.

    `sums` (n_blocks, n_columns) and `counts` (n_blocks,) may be some of the blocks whose sums over all are `total`
    (n_columns,) and `n`.
    """
    values = np.empty(len(counts))
    for rows in portions(len(counts), sums.shape[1]):
        values[rows] = value_of(total - sums[rows], n - counts[rows], combine)
    return values


def value_of(sums: Floats, counts: Floats, combine: Combine) -> Floats:
    """Return the metric (n,) of each row of sums (n, n_columns) over so many items (n,); nan of none."""
    means = np.divide(sums, counts[:, None], out=np.zeros_like(sums, dtype=float), where=counts[:, None] > 0)
    return np.where(counts > 0, combine(means), np.nan)


def pseudo_values(left: Floats, estimate: float) -> Floats:
    """Return one number a block (n,), whose mean is the estimate and whose standard error is that of the estimate.

    `left` is what `left_out` gave, or the difference of two (Tukey, 1958; centred on the estimate, so that the mean is
    what is reported).
    """
    values: Floats = estimate + (len(left) - 1) * (left.mean() - left)
    return values


def variance(left: Floats) -> float:
    """Return the variance of the estimate, from what `left_out` gave; inf for fewer than two blocks."""
    n = len(left)
    return float(((left - left.mean()) ** 2).sum()) * (n - 1) / n if n > 1 else float("inf")


def portions(n: int, width: int) -> Iterator[slice]:
    """Yield slices of n rows, each of no more than `CELLS` numbers where rows are `width` wide."""
    step = max(1, CELLS // width)
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))
