"""Axes of figures: from numbers to pixels, and where the ticks stand.

Takes plain numbers, gives plain numbers and short texts. Knows nothing of what is drawn on them.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct


class Axis(Struct, frozen=True):
    """A linear scale from numbers to pixels."""

    low: float
    high: float
    start: float
    """Pixel of `low`."""
    end: float
    """Pixel of `high`."""

    def at(self, value: float) -> float:
        """Return the pixel of a value; what lies outside stands at the edge."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, wanted: int) -> tuple[float, ...]:
        """Return about so many round values within the axis."""
        step = step_of((self.high - self.low) / max(1, wanted))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return tuple(index * step for index in range(first, last + 1))


def step_of(rough: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is not less than `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next((power * factor for factor in (1, 2, 5) if power * factor >= rough * (1 - 1e-9)), power * 10)


def linear(values: Sequence[float], start: float, end: float, share: bool) -> Axis:
    """Return the axis that holds all finite values with some air; that of a share never leaves [0, 1] by much."""
    finite = [min(max(value, -1e12), 1e12) for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    air = 0.07 * (high - low)
    least = 0.05 if share else max(abs(high), 1.0) * 0.1
    if high - low < least:
        air = least / 2
    low, high = low - air, high + air
    if share:
        low, high = max(low, -0.02), min(high, 1.02)
    return Axis(low=low, high=high, start=start, end=end)


class CostAxis(Struct, frozen=True):
    """A logarithmic scale of money, with a place of its own, left of the scale, for what costs nothing."""

    scale: Axis | None
    """From the logarithm to base ten; None where everything costs nothing."""
    zero: float | None
    """Pixel of what costs nothing; None where everything costs something."""

    def at(self, cost: float) -> float:
        """Return the pixel of a finite cost."""
        if cost <= 0 or self.scale is None:
            assert self.zero is not None
            return self.zero
        return self.scale.at(math.log10(cost))

    def ticks(self, room: float) -> tuple[tuple[float, str], ...]:
        """Return (pixel, text) of ticks that are at least `room` pixels apart."""
        found = [] if self.zero is None else [(self.zero, "0")]
        if self.scale is None:
            return tuple(found)
        for factors in ((1, 2, 5), (1, 3), (1,)):
            ticks = self._ticks(factors)
            if all(b[0] - a[0] >= room for a, b in pairwise(ticks)):
                return (*found, *ticks)
        apart = max(1, math.ceil(room * len(ticks) / max(1.0, abs(self.scale.end - self.scale.start))))
        return (*found, *ticks[::apart])

    def _ticks(self, factors: tuple[int, ...]) -> list[tuple[float, str]]:
        assert self.scale is not None
        decades = range(math.floor(self.scale.low), math.ceil(self.scale.high) + 1)
        exponents = [decade + math.log10(factor) for decade in decades for factor in factors]
        inside = [exponent for exponent in exponents if self.scale.low <= exponent <= self.scale.high]
        return [(self.scale.at(exponent), money_tick(exponent)) for exponent in inside]


def cost_axis(costs: Sequence[float], start: float, end: float) -> CostAxis:
    """Return the axis that holds all these finite costs. Identical costs get a decade around them."""
    logs = [math.log10(cost) for cost in costs if cost > 0]
    free = len(logs) < len(costs)
    if not logs:
        return CostAxis(scale=None, zero=(start + end) / 2)
    left = start + 0.14 * (end - start) if free else start
    low, high = min(logs), max(logs)
    air = max(0.08 * (high - low), 0.15, (1.0 - (high - low)) / 2)
    return CostAxis(
        scale=Axis(low=low - air, high=high + air, start=left, end=end),
        zero=start + 0.06 * (end - start) if free else None,
    )


def money_tick(exponent: float) -> str:
    """Return 10 to this exponent as a short number, without its currency."""
    if not -8 < exponent < 7:
        return f"1e{round(exponent)}"
    decade = math.floor(exponent + 1e-9)
    value = round(10 ** (exponent - decade)) * 10.0**decade
    return f"{value:,.{max(0, -decade)}f}"


def share_tick(value: float, step: float) -> str:
    """Return a share in percent, with the decimals that its step needs."""
    return f"{100 * value:.{max(0, -math.floor(math.log10(100 * step) + 1e-9))}f}%"
