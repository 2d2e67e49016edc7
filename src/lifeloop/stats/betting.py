"""What a gambler has made who bets, value after value, that a mean is above a bound.

Takes bounded values in order of arrival and gives the capital after each, from a start of 1: if the mean is not above
the bound, it is a supermartingale. The ground under `sequential`; knows nothing of confidence or of intervals.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

STAKES: Floats = np.array([0.02, 0.06, 0.16, 0.4, 0.95])
"""Shares of the capital that the constant bets risk; at 1, a value at the lower end would ruin.

The capital is split evenly over them. On differences of two good candidates (values -1, 0 and 1, few of them not 0)
this needs a quarter to a half fewer values than bets that adapt to what was seen, and depends on no order.
"""
SLACK = 1e-9
"""Relative allowance for rounding in sums."""


def checked(values: ArrayLike, low: float, high: float, population: int) -> Floats:
    """Return the values as an array, inside [low, high]. Raises ValueError where one is not, or there are too many."""
    array: Floats = np.asarray(values, dtype=np.float64)
    slack = SLACK * (high - low)
    if not ((array >= low - slack) & (array <= high + slack)).all():
        raise ValueError(f"values outside [{low:g}, {high:g}]: from {array.min():g} to {array.max():g}")
    if population and len(array) > population:
        raise ValueError(f"{len(array)} values from a population of {population}")
    inside: Floats = np.clip(array, low, high)
    return inside


def log_capital(values: Floats, bound: float, low: float, population: int) -> Floats:
    """Return the logarithm (n,) of the capital after each value; inf from where the bound is impossible."""
    growth = np.cumsum(np.log(_factors(values, bound, low, population)), axis=1)
    capital: Floats = np.logaddexp.reduce(growth, axis=0) - math.log(len(STAKES))
    capital[_impossible(values, bound, low, population)] = math.inf
    return capital


def further_capital(values: Floats, bound: float, low: float, grown: Floats) -> tuple[Floats, float]:
    """Return the logarithm (stakes,) that each stake has grown to after more values, and the highest capital.

    `grown` is what they had grown to before: zeros at the start. The second is the logarithm of their average, as in
    `log_capital`, after the value where it was highest; -inf for no values.
    """
    if not len(values):
        return grown, -math.inf
    growth = grown[:, None] + np.cumsum(np.log(_factors(values, bound, low, 0)), axis=1)
    top = growth.max()
    largest = np.exp(growth - top).sum(axis=0).max()  # where it is largest, nothing that matters underflows
    return growth[:, -1], float(top + math.log(largest)) - math.log(len(STAKES))


def ever_reaches(values: Floats, bound: float, level: float, low: float, population: int) -> bool:
    """Return whether the capital was ever `level` or more: several times faster than `log_capital`."""
    # Overflow comes only after the level is passed; what underflows to 0 understates the capital, which is safe.
    with np.errstate(over="ignore", under="ignore"):
        capital = np.cumprod(_factors(values, bound, low, population), axis=1).sum(axis=0)
    return bool((capital >= level * len(STAKES)).any() or _impossible(values, bound, low, population).any())


def exponential(logarithm: float) -> float:
    """Return e to that power; inf where a float cannot hold it."""
    return math.exp(logarithm) if logarithm < 709.0 else math.inf


def _factors(values: Floats, bound: float, low: float, population: int) -> Floats:
    """Return by what each stake multiplies with each value, (stakes, n)."""
    room = np.full(len(values), bound - low)
    if population:
        # Without replacement: the mean of those not yet drawn, were the bound the mean of all (Waudby-Smith and
        # Ramdas, 2020).
        left = population - np.arange(len(values))
        room = (population * (bound - low) - _sums_before(values - low)) / left
    gain = (values - low) / np.maximum(room, 1e-12)
    factors: Floats = 1.0 + STAKES[:, None] * (gain - 1.0)
    return factors


def _impossible(values: Floats, bound: float, low: float, population: int) -> NDArray[np.bool_]:
    """Return where (n,) what has been seen leaves no room for a mean as low as the bound."""
    if not population:
        return np.full(len(values), bound < low)
    seen = np.cumsum(values - low)
    return np.asarray(seen > population * (bound - low) + SLACK * population)


def _sums_before(values: Floats) -> Floats:
    return np.concatenate([[0.0], np.cumsum(values)[:-1]])
