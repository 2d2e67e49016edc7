"""How preferences that count less are trained on less: each pass takes so many of them as their weights add up to.

Takes weights and a seed, gives places. Systematic sampling (Madow, 1949): a preference of weight w is in a share w of
the passes, and every pass is of the same length.
"""

from collections.abc import Iterator, Sequence

import numpy as np


def thinned(weights: Sequence[float], seed: int, number: int = 0) -> list[int]:
    """Return the places of one pass, in an order left to chance; all of them where every weight is the same.

    `number` is that of the pass. Its length is the sum of the weights over the largest of them, rounded down.
    """
    chance = np.random.default_rng([seed, number])
    order = chance.permutation(len(weights))
    shares = np.clip(np.asarray(weights, dtype=np.float64), 0.0, None)[order]
    if not len(shares) or not shares.max():
        return []
    ends = np.cumsum(shares / shares.max())
    n = int(ends[-1] + 1e-9)
    steps = np.ceil(ends * (n / ends[-1]) - chance.random() - 1e-9)
    return [int(place) for place in order[np.diff(steps, prepend=0.0) > 0]]


class Passes:
    """What a data loader draws from: the places of each pass in turn. `set_epoch` is called before each."""

    def __init__(self, weights: Sequence[float], seed: int) -> None:
        self._weights = weights
        self._seed = seed
        self._number = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which pass is next, so that a resumed training draws what the undisturbed one would have."""
        self._number = epoch

    def __len__(self) -> int:
        return len(thinned(self._weights, self._seed, self._number))

    def __iter__(self) -> Iterator[int]:
        return iter(thinned(self._weights, self._seed, self._number))
