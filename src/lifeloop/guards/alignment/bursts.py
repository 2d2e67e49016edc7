"""Bursts: one rater, or a few together, who say far more in a few minutes than they or anybody usually do.

Takes who said what when, gives what was said in bursts. Robust against what it looks for: the usual is a median.
Whoever always is as quick has no burst, and a day on which everybody came is none. Knows nothing of texts.
"""

import numpy as np
from msgspec import Struct

from lifeloop.guards.alignment.table import Flags, Floats, Places, Table

LEAST = 20
"""So many within the window are a burst at the least."""
TIMES = 4.0
"""One rater's: so many times the busiest window of the median rater, and of their own median window."""
TIMES_TOGETHER = 3.0
"""Several raters': so many times the busiest window of the median day ..."""
TIMES_UNSIGNED = 6.0
"""... and if nobody knows who they are."""
PERIODS = (86_400.0, 3_600.0)
LEAST_PERIODS = 5
"""Days are compared, or hours where there are fewer days than this."""
THEIRS = 0.8
"""Few raters must have said so much of it, each at least the share LEAST_EACH."""
LEAST_EACH = 0.1
MOST_RATERS = 1 / 3
LEAST_RATERS = 3
"""With fewer raters that have times, nobody's rate can be called usual."""
ONE_TIME = 0.2
"""A time that so large a share has exactly is that of a file, and says nothing."""
DISTINCT = 0.5
"""Where there are fewer different times than so many for each preference, they are dates, and say nothing either."""


class Burst(Struct, frozen=True):
    """What was said in one."""

    places: Places
    raters: tuple[int, ...]
    """None where nobody knows who it was."""
    detail: str


def find_bursts(table: Table, minutes: float, left: Flags) -> list[Burst]:
    """Return bursts within windows of so many minutes among what is `left` (n,), first those of one rater.

    What has no time, or what a model said, is not looked at.
    """
    timed = left & table.by_people & (table.at > 0)
    times, counts = np.unique(table.at[timed], return_counts=True)
    if len(times) < DISTINCT * timed.sum():
        return []
    timed &= ~np.isin(table.at, times[counts > max(ONE_TIME * timed.sum(), 1)])
    width = 60.0 * minutes
    alone = _of_one(table, width, minutes, timed)
    taken = np.zeros(table.n, dtype=np.bool_)
    for burst in alone:
        taken[burst.places] = True
    return alone + _of_several(table, width, minutes, timed & ~taken)


def _of_one(table: Table, width: float, minutes: float, timed: Flags) -> list[Burst]:
    """Return the bursts of single raters."""
    own = {}
    for rater in np.unique(table.rater[timed & (table.rater >= 0)]).tolist():
        places = _by_time(table, timed & (table.rater == rater))
        own[rater] = (places, _within(table.at[places], width))
    if len(own) < LEAST_RATERS:
        return []
    usual = float(np.median([counts.max() for _, counts in own.values()]))
    found = []
    for rater, (places, counts) in own.items():
        high = counts >= max(LEAST, TIMES * usual)
        if not high.any():
            continue
        inside = _covered(table.at[places], high, width)
        outside = counts[~inside]
        if len(outside) >= inside.sum() and counts.max() < TIMES * np.median(outside):
            continue
        detail = f"{int(counts.max())} within {minutes:g} minutes, where the busiest of a rater are usually {usual:g}"
        found.append(Burst(np.sort(places[inside]), (rater,), detail))
    return found


def _of_several(table: Table, width: float, minutes: float, timed: Flags) -> list[Burst]:
    """Return the bursts of a few raters together, or of what nobody signed."""
    places = _by_time(table, timed)
    if len(places) < 2 * LEAST:
        return []
    at, rater = table.at[places], table.rater[places]
    counts = _within(at, width)
    usual = _usual(at, counts)
    n_raters = len(np.unique(rater[rater >= 0]))
    signed = n_raters >= LEAST_RATERS
    high = counts >= max(LEAST, (TIMES_TOGETHER if signed else TIMES_UNSIGNED) * usual)
    if not high.any():
        return []
    inside = _covered(at, high, width)
    starts = np.flatnonzero(inside & ~np.concatenate([[False], inside[:-1] & (np.diff(at) <= width)]))
    found = []
    for start, stop in zip(starts, [*starts[1:], len(at)], strict=True):
        here = np.flatnonzero(inside[start:stop]) + start
        detail = f"{int(counts[here].max())} within {minutes:g} minutes, where the busiest of a day have {usual:g}"
        if not signed:
            found.append(Burst(np.sort(places[here]), (), detail))
            continue
        who, n_each = np.unique(rater[here], return_counts=True)
        few = who[(n_each >= LEAST_EACH * len(here)) & (who >= 0)]
        theirs = np.isin(rater[here], few)
        if len(few) <= max(2, MOST_RATERS * n_raters) and theirs.sum() >= max(THEIRS * len(here), LEAST):
            found.append(Burst(np.sort(places[here[theirs]]), tuple(few.tolist()), f"{detail}, by {len(few)} raters"))
    return found


def _usual(at: Floats, counts: Places) -> float:
    """Return the busiest window of the median day, or hour; infinite where there are too few of them."""
    for period in PERIODS:
        _, which = np.unique(at // period, return_inverse=True)
        if which.max() + 1 >= LEAST_PERIODS:
            busiest = np.zeros(which.max() + 1)
            np.maximum.at(busiest, which, counts)
            return float(np.median(busiest))
    return float(np.inf)


def _by_time(table: Table, chosen: Flags) -> Places:
    places = np.flatnonzero(chosen)
    return places[np.argsort(table.at[places], kind="stable")]


def _within(at: Floats, width: float) -> Places:
    """Return how many are in the window that ends at each (n,) of ascending times."""
    return np.arange(1, len(at) + 1) - np.searchsorted(at, at - width, side="left")


def _covered(at: Floats, high: Flags, width: float) -> Flags:
    """Return which times (n,) are in a window that ends at one of the `high` ones."""
    ends = at[high]
    after = np.searchsorted(ends, at, side="left")
    return (after < len(ends)) & (ends[np.minimum(after, len(ends) - 1)] - at <= width)
