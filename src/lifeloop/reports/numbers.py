"""How numbers are written for people: each with its unit, as many digits as it deserves, and never a raw NaN.

Takes plain numbers, gives text. Knows nothing of records or of the document they stand in.
"""

import math
from collections.abc import Iterable
from datetime import UTC, datetime

from msgspec import Struct

from lifeloop.core.evidence import OPERATIONAL

ABSENT = "not measured"
MINUS = "−"
_VAST = 1e12
_NOISE = 1e-9


def percent(value: float, digits: int = 1) -> str:
    """Return a share as a percentage; what only rounds to 0% or 100% is said to be short of it."""
    if not math.isfinite(100 * value):
        return ABSENT
    shown, step = _fixed(100 * value, digits), 10.0**-digits
    if value < 1 and shown == _fixed(100.0, digits):
        return f">{_fixed(100 - step, digits)}%"
    if value > 0 and shown == _fixed(0.0, digits):
        return f"<{_fixed(step, digits)}%"
    return f"{shown}%"


def points(difference: float) -> str:
    """Return a difference of two shares in percentage points, with its sign."""
    number = 100 * difference
    if not math.isfinite(number):
        return ABSENT
    return f"{_signed(number, 1 if abs(number) >= 0.1 or number == 0 else 2)} points"


def plain(value: float) -> str:
    """Return a number of a scale of its own: three decimals, or three significant digits where that says more."""
    if not math.isfinite(value):
        return ABSENT
    return _fixed(value, 3) if 0.001 <= abs(value) < 1 else _significant(value, 3)


def milliseconds(value: float) -> str:
    """Return a latency in milliseconds."""
    return f"{_significant(value, 2 if abs(value) < 10 else 3)} ms" if math.isfinite(value) else ABSENT


def megabytes(value: float) -> str:
    """Return an amount of memory in megabytes."""
    return f"{_significant(value, 3)} MB" if math.isfinite(value) else ABSENT


def usd(value: float) -> str:
    """Return an amount of money: two decimals, or two significant digits where it is less than ten cents."""
    if not math.isfinite(value):
        return ABSENT
    if value == 0:
        return "USD 0"
    if 0 < abs(value) < 1e-9:
        return "under USD 0.000000001"
    return f"USD {_fixed(value, 2) if abs(value) >= 0.1 else _significant(value, 2)}"


def duration(seconds: float) -> str:
    """Return a length of time in the two largest units that matter."""
    if not math.isfinite(seconds) or seconds < 0:
        return ABSENT
    if seconds < 60:
        return f"{_significant(seconds, 2)} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    hours = whole // 3600
    return f"{hours:,} h {whole % 3600 // 60} min" if hours < _VAST else f"{_significant(hours, 2)} h"


def count(n: int, noun: str = "", plural: str = "") -> str:
    """Return a number of things with the word for them: `1 row`, `1,200 rows`."""
    word = noun if n == 1 else plural or (f"{noun}s" if noun else "")
    return f"{n:,} {word}".rstrip()


def times(ratio: float) -> str:
    """Return a factor of at least 1 in words."""
    if ratio >= 1e6:
        return "more than a million times"
    return f"{_fixed(ratio, 1 if ratio < 10 else 0).removesuffix('.0')} times"


def probability(p_value: float | None) -> str:
    """Return a p-value, or that there is none."""
    if p_value is None or not math.isfinite(p_value):
        return "none: the interval alone decides"
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def moment(at: float) -> str:
    """Return a point in time, given in seconds since the epoch, to the minute in UTC."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return "at an unknown time"


class Amounts(Struct, frozen=True):
    """Which metrics are shares, so that each is written the same way throughout a report."""

    shares: frozenset[str]

    def value(self, metric: str, value: float) -> str:
        """Return a metric's value with its unit."""
        if metric in OPERATIONAL:
            return _UNITS[metric](value)
        return percent(value) if metric in self.shares else plain(value)

    def values(self, metric: str, *values: float) -> tuple[str, ...]:
        """Return values that are held against each other, with the digits it takes to tell them apart."""
        shown = tuple(self.value(metric, value) for value in values)
        different = len({value for value in values if math.isfinite(value)})
        for extra in (1, 2, 3):
            if len(set(shown) - {ABSENT}) >= different:
                break
            shown = tuple(self._closely(metric, value, extra) for value in values)
        return shown

    def interval(self, metric: str, low: float, high: float) -> str:
        """Return an interval, or "" where there is none (a metric that was measured, not sampled)."""
        if not (math.isfinite(low) and math.isfinite(high)) or metric in OPERATIONAL:
            return ""
        return f"{self.value(metric, low)} to {self.value(metric, high)}"

    def difference(self, metric: str, value: float) -> str:
        """Return a difference of two values, with its sign."""
        if metric in self.shares:
            return points(value)
        text = self.value(metric, abs(value))
        if text == ABSENT or value == 0:
            return text
        return f"{'+' if value > 0 else MINUS}{text}"

    def difference_interval(self, metric: str, low: float, high: float) -> str:
        """Return the interval of a difference, or "" where there is none."""
        if not (math.isfinite(low) and math.isfinite(high)):
            return ""
        first, last = self.difference(metric, low), self.difference(metric, high)
        return f"{first.removesuffix(' points')} to {last}"

    def _closely(self, metric: str, value: float, extra: int) -> str:
        """Return a value with `extra` more digits than usual."""
        if metric in self.shares:
            return percent(value, 1 + extra)
        if not math.isfinite(value):
            return ABSENT
        before, after = _AROUND.get(metric, ("", ""))
        return f"{before}{_significant(value, 3 + extra)}{after}"


def amounts_of(values: Iterable[tuple[str, float]]) -> Amounts:
    """Return how to write metrics, from every (metric, value) of a record.

    A metric that was never outside [0, 1] is a share, and written in percent.
    """
    seen: set[str] = set()
    outside: set[str] = set(OPERATIONAL)
    for metric, value in values:
        seen.add(metric)
        if math.isfinite(value) and not -_NOISE <= value <= 1 + _NOISE:
            outside.add(metric)
    return Amounts(shares=frozenset(seen - outside))


_UNITS = {"p50_ms": milliseconds, "p95_ms": milliseconds, "memory_mb": megabytes, "usd_per_1000": usd}
_AROUND = {"p50_ms": ("", " ms"), "p95_ms": ("", " ms"), "memory_mb": ("", " MB"), "usd_per_1000": ("USD ", "")}


def _fixed(value: float, digits: int) -> str:
    if abs(value) >= _VAST:
        return f"{value:.2e}".replace("-", MINUS)
    text = f"{abs(value):,.{digits}f}"
    return f"{MINUS}{text}" if value < 0 and text.strip("0.,") else text


def _signed(value: float, digits: int) -> str:
    text = _fixed(value, digits)
    return f"+{text}" if value > 0 and text.strip("0.,") else text


def _significant(value: float, digits: int) -> str:
    """Return a finite number at so many significant digits; whole parts are never rounded away."""
    if value == 0 or abs(value) < 1e-9:
        return "0"
    return _fixed(value, max(0, digits - 1 - math.floor(math.log10(abs(value)))))
