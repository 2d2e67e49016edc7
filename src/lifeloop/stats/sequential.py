"""Evidence that may be looked at as often as one likes: e-values, and intervals that hold at every look at once.

Takes what has been seen so far, in order of arrival, and gives an e-value or an interval. An e-value of 1/alpha or more
is shown at level alpha however often one looked before (Ville, 1939). Knows nothing of when anybody looks.
"""

import math
from collections.abc import Callable

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray
from scipy import special

from lifeloop.stats import betting

Floats = NDArray[np.float64]

BISECTIONS = 22
"""Halvings of the range of the mean: its intervals end at a four-millionth of the range."""
USUAL_SIZE = 500
"""Items at which `normal_interval` is tightest where the caller does not say."""


class Prior(Struct, frozen=True):
    """Which shares of wins the sign test bets on, all above a half; the weights add up to one."""

    shares: tuple[float, ...] = (0.53, 0.57, 0.63, 0.8)
    weights: tuple[float, ...] = (0.05, 0.13, 0.57, 0.1)
    """Of each share. What is left is spread evenly over (1/2, 1]."""


PRIOR = Prior()
"""Most weight where the plan's usual question lies: an effect of 0.03 at a discordance of 0.1 is a share of 0.65.

There it needs 1,140 items for a power of 80% at alpha = 0.05. An even spread needs 1,400; a single bet on 0.63, the
best of all there, needs 1,040 and does badly elsewhere, where this mixture does well at all shares from 0.53 to 1.
"""


def sign_e_value(wins: int, losses: int, *, prior: Prior = PRIOR) -> float:
    """Return the evidence that a win is likelier than a loss, from paired items with ties left out.

    A mixture of the likelihood ratios against a fair coin, over shares of wins above a half (Robbins, 1970): while wins
    are not likelier than losses it is a supermartingale, so P(ever >= 1/alpha) <= alpha exactly, at any sample size.
    Raises ValueError for negative counts.
    """
    if wins < 0 or losses < 0:
        raise ValueError(f"counts cannot be negative: {wins} wins, {losses} losses")
    return betting.exponential(float(log_sign_evidence(wins, losses, prior=prior)))


def log_sign_evidence(wins: ArrayLike, losses: ArrayLike, *, prior: Prior = PRIOR) -> Floats:
    """Return the logarithm of `sign_e_value` for arrays of counts."""
    wins, losses = np.asarray(wins, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    parts = [
        math.log(weight) + wins * math.log(2 * share) + losses * math.log(2 * (1 - share))
        for share, weight in zip(prior.shares, prior.weights, strict=True)
    ]
    rest = 1.0 - sum(prior.weights)
    if rest > 1e-12:
        # The integral over (1/2, 1] of 2 (2t)^wins (2 (1 - t))^losses; far on the losing side it underflows to 0.
        with np.errstate(divide="ignore"):
            tail = np.log(special.betainc(losses + 1, wins + 1, 0.5))
        whole = special.betaln(wins + 1, losses + 1) + (wins + losses + 1) * math.log(2)
        parts.append(math.log(rest) + whole + tail)
    return np.asarray(special.logsumexp(np.array(parts), axis=0))


def mean_e_value(
    values: ArrayLike, bound: float, *, low: float = -1.0, high: float = 1.0, population: int = 0
) -> float:
    """Return the evidence that the mean of bounded values is above `bound`, after the last of them.

    A betting martingale (Waudby-Smith and Ramdas, 2024), the average over a few constant bets. `population` > 0: the
    values are drawn at random, without replacement, from that many, and their mean is meant. 1 for no values.
    Raises ValueError for values outside [low, high].
    """
    seen = betting.checked(values, low, high, population)
    if not len(seen):
        return 1.0
    return betting.exponential(float(betting.log_capital(seen, bound, low, population)[-1]))


def first_shown_below(
    values: ArrayLike, bound: float, confidence: float, *, low: float = -1.0, high: float = 1.0, population: int = 0
) -> int:
    """Return after how many values, in order of arrival, the mean is first shown to be below `bound`; 0 for never.

    One-sided: a mean at or above the bound is ever said to be below it with probability at most 1 - confidence. The
    upper end of `mean_interval` at the confidence 2 * confidence - 1 tells the same. `population` as in `mean_e_value`.
    """
    seen = betting.checked(values, low, high, population)
    shown = betting.log_capital(-seen, -bound, -high, population) >= -math.log(1 - confidence)
    return int(np.argmax(shown)) + 1 if shown.any() else 0


def mean_interval(
    values: ArrayLike, confidence: float, *, low: float = -1.0, high: float = 1.0, population: int = 0
) -> tuple[float, float]:
    """Return the always-valid interval of the mean of bounded values, after the last of them.

    The means against which no bet, for or against, ever won 2/alpha (Waudby-Smith and Ramdas, 2024, section 4): a
    running intersection, so it never widens. `population` as in `mean_e_value`: once all are seen it is their mean.
    (low, high) for no values. Values that drift can contradict every mean; then the crossed ends are given in order.
    """
    seen = betting.checked(values, low, high, population)
    if not len(seen):
        return low, high
    level = 2.0 / (1.0 - confidence)

    def refuted(turned: Floats, mean: float, least: float) -> bool:
        return betting.ever_reaches(turned, mean, level, least, population)

    return _between(seen, low, high, refuted)


def settled_interval(
    values: ArrayLike, confidence: float, *, low: float = -1.0, high: float = 1.0
) -> tuple[float, float]:
    """Return the always-valid interval of the mean by the final capital, which does not depend on the order.

    So it also holds for a set that grows in the middle, where every look sees the values in another order and the
    running intersection of `mean_interval` would hold at no stated level. It may widen from look to look. (low, high)
    for no values. Raises ValueError for values outside [low, high].
    """
    seen = betting.checked(values, low, high, 0)
    if not len(seen):
        return low, high
    needed = math.log(2.0 / (1.0 - confidence))

    def refuted(turned: Floats, mean: float, least: float) -> bool:
        return bool(betting.log_capital(turned, mean, least, 0)[-1] >= needed)

    return _between(seen, low, high, refuted)


_Refuted = Callable[[Floats, float, float], bool]
"""Takes values, a mean and the least a value can be: whether the values show that mean to be exceeded."""


def _between(values: Floats, low: float, high: float, refuted: _Refuted) -> tuple[float, float]:
    """Return the ends of what is refuted from below and, with all signs turned, from above."""
    below = _furthest_refuted(values, low, high, refuted)
    above = -_furthest_refuted(-values, -high, -low, refuted)
    return min(below, above), max(below, above)


def _furthest_refuted(values: Floats, low: float, high: float, is_refuted: _Refuted) -> float:
    """Return the largest mean, to a millionth of the range, that is refuted."""
    refuted, standing = low, high
    for _ in range(BISECTIONS):
        middle = (refuted + standing) / 2
        if is_refuted(values, middle, low):
            refuted = middle
        else:
            standing = middle
    return refuted


def normal_interval(n: int, mean: float, variance: float, confidence: float, tuned_at: int = 0) -> tuple[float, float]:
    """Return an asymptotic always-valid interval of a mean, for linearised metrics that have no bounds.

    Robbins' normal mixture around the mean of n values, `variance` being that of one value (Waudby-Smith et al., 2024,
    theorem 2.2). It rests on the central limit theorem, so the first look should come after some dozens of values.
    `tuned_at` is the n at which it is to be tightest, fixed before looking; 0 takes 500. (-inf, inf) below two values.
    """
    if n < 2:
        return -math.inf, math.inf
    alpha = 1.0 - confidence
    tuning = (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / (tuned_at or USUAL_SIZE)
    spread = n * tuning + 1
    reach = math.sqrt(float(variance) * 2 * spread / (n**2 * tuning) * math.log(math.sqrt(spread) / alpha))
    return float(mean) - reach, float(mean) + reach
