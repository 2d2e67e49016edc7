"""How many items an experiment needs, before it is run.

Takes rates and error levels, gives numbers of items. For a single look, normal approximations, as planning does; for
a test that may be looked at any time, the recursion of `crossing`. Simulation in the tests checks both against the
tests that are run.
"""

import math
from functools import lru_cache

import numpy as np
from scipy import stats

from lifeloop.stats.crossing import shown_by

LOOK_EVERY = 20
"""Items between two looks of a test that may be looked at any time, for planning."""
MARGIN = 0.01
"""Power that is planned beyond what is asked for, so that approximations never leave less."""


def items_for_target(target: float, hoped: float, confidence: float, power: float) -> int:
    """Return how many items show that a share is above `target` when it really is `hoped`.

    Shown: the lower end of the two-sided interval lies above the target. Raises ValueError unless hoped > target.
    """
    if not 0.0 < target < hoped <= 1.0:
        raise ValueError("the hoped-for share must lie above the target, both in (0, 1]")
    hoped = min(hoped, 1.0 - 1e-6)
    alpha, beta = _quantile((1 + confidence) / 2), _quantile(power)
    spread = alpha * math.sqrt(target * (1 - target)) + beta * math.sqrt(hoped * (1 - hoped))
    return math.ceil((spread / (hoped - target)) ** 2)


def items_for_difference(effect: float, discordance: float, confidence: float, power: float) -> int:
    """Return how many paired items find a difference of `effect` between two shares (Connor, 1987; Miettinen, 1968).

    `discordance` is the share of items on which exactly one of the two is right; at least `effect`.
    """
    if not 0.0 < effect <= discordance <= 1.0:
        raise ValueError("need 0 < effect <= discordance <= 1")
    alpha, beta = _quantile((1 + confidence) / 2), _quantile(power)
    spread = alpha * math.sqrt(discordance) + beta * math.sqrt(discordance - effect**2)
    return math.ceil((spread / effect) ** 2)


def smallest_difference(n: int, discordance: float, confidence: float, power: float) -> float:
    """Return the smallest difference that n paired items find with that power, at most `discordance`."""
    low, high = 1e-6, discordance
    if n <= 0 or items_for_difference(high, discordance, confidence, power) > n:
        return discordance
    for _ in range(60):
        middle = (low + high) / 2
        if items_for_difference(middle, discordance, confidence, power) > n:
            low = middle
        else:
            high = middle
    return high


@lru_cache(maxsize=1024)
def items_for_any_look(effect: float, discordance: float, confidence: float, power: float) -> int:
    """Return how many paired items let `sign_e_value` reach 1/alpha, alpha = 1 - confidence, at some look.

    With that power where the true difference is `effect`, looking every 20 items; a multiple of 20. The price of
    looking: an effect of 0.03 at a discordance of 0.1 takes 1,140 items for a power of 80% at alpha = 0.05, 1.24 times
    the 920 of an exact two-sided McNemar test with one look (739 one-sided).
    Raises ValueError unless 0 < effect <= discordance <= 1.
    """
    once = items_for_difference(effect, discordance, confidence, power)
    wanted = min(power + MARGIN, (1 + power) / 2)

    def enough(looks: int) -> bool:
        return power_at_any_look(looks * LOOK_EVERY, effect, discordance, confidence) >= wanted

    too_few, many = 0, max(1, math.ceil(once / LOOK_EVERY))
    while not enough(many):
        too_few, many = many, 2 * many
    while many - too_few > max(1, many // 1000):
        middle = (too_few + many) // 2
        too_few, many = (too_few, middle) if enough(middle) else (middle, many)
    return many * LOOK_EVERY


@lru_cache(maxsize=1024)
def smallest_at_any_look(n: int, discordance: float, confidence: float, power: float) -> float:
    """Return the smallest difference that `items_for_any_look` finds with n paired items, at most `discordance`."""
    wanted = min(power + MARGIN, (1 + power) / 2)
    low, high = 0.0, discordance
    for _ in range(14):
        middle = (low + high) / 2
        if power_at_any_look(n, middle, discordance, confidence) >= wanted:
            high = middle
        else:
            low = middle
    return high


def power_at_any_look(n: int, effect: float, discordance: float, confidence: float) -> float:
    """Return the probability that `sign_e_value` reaches 1/alpha at some look within n paired items.

    A little low: it looks whenever as many discordant pairs have come as 20 items have on average, rounded up.
    """
    most = int(stats.binom.ppf(1 - 1e-6, n, discordance))
    every = math.ceil(LOOK_EVERY * discordance)
    if most < every:
        return 0.0
    looks, shown = shown_by((1 + effect / discordance) / 2, most, every, 1 - confidence)
    got_there = stats.binom.sf(looks - 1, n, discordance)
    return float(np.diff(shown, prepend=0.0) @ got_there)


def _quantile(probability: float) -> float:
    return float(stats.norm.ppf(probability))
