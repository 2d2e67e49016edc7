"""How likely the sign test's e-value is to have reached a level by each look, exactly, before any item is seen.

Takes the true share of wins among discordant pairs and how many pairs lie between looks; gives probabilities. Knows
nothing of items that tie; `power` turns pairs into items.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lifeloop.stats.sequential import log_sign_evidence

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

STEPS = 1500
"""A walk of more pairs than this is followed in coarser steps of the same mean and variance."""


def shown_by(share: float, n_pairs: int, every: int, alpha: float) -> tuple[Floats, Floats]:
    """Return the looks, in pairs seen, and the probability that the e-value was 1/alpha or more by then.

    `share` is the probability that a pair is a win. A forward recursion over the number of wins on the paths that have
    not crossed yet (Armitage, McPherson and Rowe, 1969), with a look after `every` pairs, up to `n_pairs`.
    """
    grain = math.ceil(n_pairs / STEPS)
    # A step of sqrt(grain) up or down, once every `grain` pairs, has the mean and variance of that many pairs.
    up = min(1.0, 0.5 + (share - 0.5) * math.sqrt(grain))
    stride = math.ceil(every / grain)
    looks, needed = _boundary(grain, n_pairs // grain // stride, stride, alpha)
    moves = stats.binom.pmf(np.arange(stride + 1), stride, up)
    alive, crossed, total = np.ones(1), np.zeros(len(looks)), 0.0
    for look, least in enumerate(needed):
        alive = np.convolve(alive, moves)
        total += float(alive[least:].sum())
        alive[least:] = 0.0
        crossed[look] = total
    return looks, crossed


@lru_cache(maxsize=64)
def _boundary(grain: int, n_looks: int, stride: int, alpha: float) -> tuple[Floats, Whole]:
    """Return each look in pairs, and the least number of upward steps that reaches the level there."""
    steps = stride * np.arange(1, n_looks + 1, dtype=np.int64)
    pairs = (steps * grain).astype(np.float64)

    def reached(ups: Whole) -> NDArray[np.bool_]:
        lead = np.minimum((2 * ups - steps) * math.sqrt(grain), pairs)
        return np.asarray(log_sign_evidence((pairs + lead) / 2, (pairs - lead) / 2) >= -math.log(alpha))

    too_few, enough = steps // 2, steps + 1
    while np.any(enough - too_few > 1):
        middle = (too_few + enough) // 2
        there = reached(middle)
        enough, too_few = np.where(there, middle, enough), np.where(there, too_few, middle)
    return pairs, enough
