"""Right or wrong per item: intervals of a share, of the paired difference of two shares, and the exact paired test.

Takes counts, gives numbers. Knows nothing of candidates; see `bootstrap` for scores that are not 0 or 1.
"""

import math

import numpy as np
from scipy import special


def clopper_pearson(successes: int, n: int, confidence: float) -> tuple[float, float]:
    """Return the exact interval of a share (Clopper and Pearson, 1934). (0, 1) where n is 0."""
    if n == 0:
        return 0.0, 1.0
    alpha = 1.0 - confidence
    low = float(special.betaincinv(successes, n - successes + 1, alpha / 2)) if successes > 0 else 0.0
    high = float(special.betaincinv(successes + 1, n - successes, 1 - alpha / 2)) if successes < n else 1.0
    return low, high


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """Return the two-sided p-value of the exact McNemar test.

    `only_a` and `only_b` count the items that one of the two got right and the other wrong.
    """
    discordant = only_a + only_b
    if discordant == 0:
        return 1.0
    from scipy import stats  # here, since it takes 45 MB that a trial has better use for

    return float(stats.binomtest(only_a, discordant, 0.5).pvalue)


def tango_interval(only_a: int, only_b: int, n: int, confidence: float) -> tuple[float, float]:
    """Return the score interval of the difference of two paired shares, A minus B (Tango, 1998).

    Unlike a bootstrap it stays honest where the two hardly differ: with no discordant item at all it still has width.
    (-1, 1) where n is 0.
    """
    if n == 0:
        return -1.0, 1.0
    from scipy import optimize

    critical = float(special.ndtri(0.5 + confidence / 2))
    estimate = (only_a - only_b) / n

    def excess(delta: float) -> float:
        return _tango_score(only_a, only_b, n, delta) ** 2 - critical**2

    edge = 1.0 - 1e-9
    low = -1.0 if excess(-edge) < 0 else float(optimize.brentq(excess, -edge, estimate - 1e-12))
    high = 1.0 if excess(edge) < 0 else float(optimize.brentq(excess, estimate + 1e-12, edge))
    return low, high


def _tango_score(only_a: int, only_b: int, n: int, delta: float) -> float:
    """Return the score statistic of the hypothesis that the difference is delta."""
    # Maximum-likelihood share of items that only B gets right, under that hypothesis.
    quadratic = 2.0 * n
    linear = -only_a - only_b + (2.0 * n - only_a + only_b) * delta
    constant = -only_b * delta * (1.0 - delta)
    root = math.sqrt(max(linear**2 - 4.0 * quadratic * constant, 0.0))
    share = (root - linear) / (2.0 * quadratic)
    variance = n * (2.0 * share + delta * (1.0 - delta))
    distance = only_a - only_b - n * delta
    if variance <= 0.0:
        return 0.0 if distance == 0 else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)


def discordant(a: np.ndarray, b: np.ndarray) -> tuple[int, int]:
    """Return how many items only A and only B got right, from two arrays (n,) of 0 and 1 on the same items."""
    return int(((a > 0.5) & (b <= 0.5)).sum()), int(((b > 0.5) & (a <= 0.5)).sum())
