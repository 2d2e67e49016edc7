"""How many items an experiment needs, before it is run.

Takes rates and error levels, gives numbers of items. Normal approximations, as planning does; simulation in the tests
checks them against the tests that `proportions` runs.
"""

import math

from scipy import stats


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


def _quantile(probability: float) -> float:
    return float(stats.norm.ppf(probability))
