"""Race: who need not be tried any further, because an always-valid test shows them worse than the leader.

Takes the paired differences on the examples answered so far, in the one random order that all candidates share; gives
eliminations. Knows nothing of models, of budgets, or of where answers are kept.
"""

import math

from msgspec import Struct

from lifeloop.core.evidence import Elimination
from lifeloop.stats import sequential
from lifeloop.tasks.task import Floats

VERSION = "2"
SHARE, FEWEST, GROWTH = 1 / 32, 50, 2
"""The first round has this share of the examples, but no fewer than so many; each further round so many times more.
Growing slower would save few calls more, and load the models more often: benchmarks/racing.py."""
BETTING = "betting on paired differences (Waudby-Smith and Ramdas, 2024)"
NORMAL = "asymptotic confidence sequence of linearised differences (Waudby-Smith et al., 2024)"


class Rules(Struct, frozen=True):
    """What holds for a race as a whole."""

    margin: float
    """How much worse than the leader still counts as equal."""
    confidence: float
    """Of the race: with this probability, the best candidate is never eliminated."""
    n_candidates: int
    n_items: int
    """Examples that a candidate answers if it stays to the end."""

    @property
    def each(self) -> float:
        """Confidence of the test of one candidate against one leader.

        The best candidate meets each of the others in one test, which may be looked at after every example. So the
        chance that any of them ever eliminates it stays below 1 - confidence, however leaders come and go (Boole).
        """
        return 1.0 - (1.0 - self.confidence) / max(1, self.n_candidates - 1)


class Differences(Struct, frozen=True):
    """Candidate minus leader on the examples that both have answered, turned so that less is worse."""

    values: Floats
    """One number for each example (n,) that the metric applies to, in the random order that all candidates share."""
    bounds: tuple[float, float] | None
    """Between which every value lies; None where nothing is known of that."""
    n_answered: int
    """Examples that both have answered, of those that the metric applies to and of others."""


def rounds(n_items: int) -> tuple[int, ...]:
    """Return how many examples the candidates have answered after each round: growing, the last of them all."""
    sizes: list[int] = []
    size = max(FEWEST, math.ceil(n_items * SHARE))
    while size < n_items:
        sizes.append(size)
        size *= GROWTH
    return (*sizes, n_items)


def eliminated(leader: str, found: Differences, rules: Rules) -> Elimination | None:
    """Return the elimination of a candidate that is shown to be worse than the leader by more than the margin."""
    interval = _bounded(found, found.bounds, rules) if found.bounds else _linearised(found, rules)
    if interval is None:
        return None
    low, high = interval
    return Elimination(
        leader=leader,
        n_items=found.n_answered,
        of_items=rules.n_items,
        difference=float(found.values.mean()),
        low=low,
        high=high,
        margin=rules.margin,
        method=BETTING if found.bounds else NORMAL,
    )


def _bounded(found: Differences, bounds: tuple[float, float], rules: Rules) -> tuple[float, float] | None:
    """Return the interval of the difference where it lies below minus the margin, else None."""
    values, (low, high) = found.values, bounds
    # Drawn without replacement, where it is known from how many: a metric that applies to some examples only leaves it
    # open, and what is meant is the mean of all examples there might be.
    population = rules.n_items if len(values) == found.n_answered else 0
    shown = sequential.first_shown_below(values, -rules.margin, rules.each, low=low, high=high, population=population)
    if not shown:
        return None
    # Each end of this interval errs as often as the test does: so its upper end says what the test says.
    return sequential.mean_interval(values, 2 * rules.each - 1, low=low, high=high, population=population)


def _linearised(found: Differences, rules: Rules) -> tuple[float, float] | None:
    """Return the interval of the difference where it lies below minus the margin, else None."""
    n = len(found.values)
    if n < FEWEST:  # it is asymptotic
        return None
    mean, variance = float(found.values.mean()), float(found.values.var(ddof=1))
    low, high = sequential.normal_interval(n, mean, variance, rules.each)
    return (low, high) if high < -rules.margin else None
