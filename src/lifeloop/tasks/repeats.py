"""Examples that were asked several times: their mean over the repeats, and how far the repeats are apart.

Takes a metric's columns with the repeats of an example in a row. Knows nothing of metrics.
"""

import numpy as np
from numpy.typing import NDArray

from lifeloop.tasks.task import Floats


def over_repeats(columns: Floats, repeats: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Return rows (n_examples, n_columns), each the mean over the repeats to which the metric applies, and a mask.

    `columns` is (n_examples * repeats, n_columns), rows of NaN where the metric does not apply; the mask says to which
    examples it applies at least once.
    """
    applies = ~np.isnan(columns).any(axis=1)
    if repeats == 1:
        return columns, applies
    stacked = columns.reshape(-1, repeats, columns.shape[1])
    kept = applies.reshape(-1, repeats)
    times = kept.sum(axis=1)
    sums = np.where(kept[..., None], stacked, 0.0).sum(axis=1)
    return sums / np.maximum(times, 1)[:, None], times > 0


class Spread:
    """The variance of column 0 between examples and between the repeats of one, as they come.

    Keeps sums of squares alone; `stats.variance.split` is the same on a whole table.
    """

    def __init__(self, repeats: int) -> None:
        self.n = 0
        self.n_columns = 0
        self._repeats = repeats
        self._shift = 0.0  # sums of squares lose digits far from 0
        self._sum = self._squares = self._within = 0.0

    def add(self, columns: Floats) -> None:
        """Add a chunk (n_examples * repeats, n_columns); examples to which it does not always apply do not count."""
        self.n_columns = columns.shape[1]
        values = columns[:, 0].reshape(-1, self._repeats)
        values = values[~np.isnan(values).any(axis=1)]
        if not len(values):
            return
        if not self.n:
            self._shift = float(values[0].mean())
        means = values.mean(axis=1) - self._shift
        self.n += len(values)
        self._sum += float(means.sum())
        self._squares += float((means**2).sum())
        self._within += float(values.var(axis=1, ddof=1).sum())

    def split(self) -> tuple[float, float]:
        """Return the variance between examples and within them, of two examples or more.

        The method of moments of a one-way analysis of variance: part of the variance of the examples' means is that of
        their repeats.
        """
        within = self._within / self.n
        of_means = (self._squares - self._sum**2 / self.n) / (self.n - 1)
        return max(0.0, of_means - within / self._repeats), within
