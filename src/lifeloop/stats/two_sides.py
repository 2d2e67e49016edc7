"""Two sides of one stream of traffic, compared while it runs: how much worse the one that gets less of it is.

Takes values in [0, 1] (how bad an answer was) in order of arrival, each from one side, and gives differences that a
test by betting can be put on. The sides may arrive at any rates, and the rates may change on the way. Knows nothing of
answers, users or time.
"""

import math
from collections.abc import Iterable

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from lifeloop.stats import betting

Floats = NDArray[np.float64]


class Rounds:
    """Differences of two sides, one a round: challenger minus control.

    A round ends with the first value of the side that it has none of yet, and its difference is that of the two means.
    When it ends depends on who arrives, never on the values, so while both sides are as bad as one another on average
    each difference has the mean 0 given all before it, whatever the rates (Robbins, 1952, on sampling rules). Of a side
    that gets a hundredth, every value is held against the mean of the hundred or so since its last one: hence what
    makes both worse for a while, a slow network, say, hits both halves of a difference.
    """

    def __init__(self) -> None:
        self.differences: list[float] = []
        self.counts = [0, 0]
        """Values so far, of challenger and control."""
        self.sums = [0.0, 0.0]
        self._open_counts = [0, 0]
        self._open_sums = [0.0, 0.0]

    def take(self) -> list[float]:
        """Return the differences since the last time, and forget them."""
        taken, self.differences = self.differences, []
        return taken

    def add(self, challenger: bool, value: float) -> None:
        """Take the next value."""
        place = 0 if challenger else 1
        self.counts[place] += 1
        self.sums[place] += value
        counts, sums = self._open_counts, self._open_sums
        counts[place] += 1
        sums[place] += value
        if counts[0] and counts[1]:
            self.differences.append(sums[0] / counts[0] - sums[1] / counts[1])
            self._open_counts, self._open_sums = [0, 0], [0.0, 0.0]


def rounds(values: Iterable[tuple[bool, float]]) -> Rounds:
    """Return the rounds of values given as (of the challenger, how bad)."""
    made = Rounds()
    for challenger, value in values:
        made.add(challenger, value)
    return made


class Evidence(Struct, frozen=True):
    """Logarithms of e-values, the largest so far: log(1/alpha) or more shows it at level alpha, at any look."""

    worse: float
    """That the challenger is worse."""
    as_good: float
    """That it is worse by less than the margin, if at all."""
    better: float
    """That it is better."""


class Weighing:
    """Weighs differences in [-1, 1] as they come, and remembers what they came to.

    Three betting martingales (Waudby-Smith and Ramdas, 2024) on the mean difference: that it is at most 0, at least the
    margin, at least 0. The chance that one of them ever passes 1/alpha while what it bets against is true is at most
    alpha (Ville, 1939); hence their largest value so far may be used.
    """

    def __init__(self, margin: float) -> None:
        self._bets = ((1.0, 0.0), (-1.0, -margin), (-1.0, 0.0))
        """Of each martingale: the sign of the differences, and the bound that their mean is bet to be above."""
        self._grown = [np.zeros(len(betting.STAKES)) for _ in self._bets]
        self._highest = [0.0 for _ in self._bets]

    def add(self, differences: ArrayLike) -> None:
        """Take the next ones, in order. Raises ValueError for values outside [-1, 1]."""
        seen = betting.checked(differences, -1.0, 1.0, 0)
        for place, (sign, bound) in enumerate(self._bets):
            self._grown[place], highest = betting.further_capital(sign * seen, bound, -1.0, self._grown[place])
            self._highest[place] = max(self._highest[place], highest)

    @property
    def evidence(self) -> Evidence:
        """What they say of the challenger so far."""
        return Evidence(*self._highest)


def weigh(differences: ArrayLike, margin: float) -> Evidence:
    """Return what differences, in order, say of the challenger. See `Weighing`."""
    weighing = Weighing(margin)
    weighing.add(differences)
    return weighing.evidence


def is_shown(log_e_value: float, alpha: float) -> bool:
    """Return whether evidence is enough at a level."""
    return log_e_value >= -math.log(alpha)
