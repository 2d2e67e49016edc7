"""Evidence on two trials that stays valid however often one looks: e-values, and an interval of the difference.

Takes what one pass over the trials left. Right-or-wrong metrics get the exact sign test, other averages of bounded
values a bet on their mean; what is clustered or no average gets a normal mixture, which is valid for many examples.
"""

import math

import numpy as np
from msgspec import Struct

from lifeloop.comparison.differences import Differences
from lifeloop.stats import jackknife, sequential
from lifeloop.stats.mixture import normal_e_value

MOST = 1e300
"""Stands for evidence beyond what a number holds: verdicts are JSON, which knows no infinity."""
FEWEST = 30
"""Of fewer groups, a normal approximation says nothing at an early look."""


class Always(Struct, frozen=True):
    """What holds at this look as at every other."""

    better: float
    """E-value that the challenger is better, in the direction of the metric."""
    worse: float
    low: float | None
    """Interval of the difference, challenger minus champion; None where too few examples tell."""
    high: float | None


def always_valid(found: Differences, confidence: float) -> Always:
    """Return the evidence of both directions and the always-valid interval of the difference."""
    if not (found.average and found.blocks.alone and math.isfinite(found.reach)):
        return _normal(found, confidence)
    reach, values = found.reach, found.by_example
    turned = values if found.metric.direction == "max" else -values
    if found.binary:
        wins, losses = int((turned > 0).sum()), int((turned < 0).sum())
        better, worse = sequential.sign_e_value(wins, losses), sequential.sign_e_value(losses, wins)
    else:
        better, worse = (sequential.mean_e_value(each, 0.0, low=-reach, high=reach) for each in (turned, -turned))
    # A test set grows in the middle: no look sees the examples in the order of the look before.
    low, high = sequential.settled_interval(values, confidence, low=-reach, high=reach)
    return Always(min(better, MOST), min(worse, MOST), low, high)


def _normal(found: Differences, confidence: float) -> Always:
    """Return the same from the normal mixture over groups, for what is clustered, unbounded or no average."""
    n_groups, combine = found.blocks.n_groups, found.metric.combine
    if n_groups < FEWEST:
        return Always(1.0, 1.0, None, None)
    held = found.ours.counts > 0
    difference = float(combine(found.ours.means) - combine(found.theirs.means))
    left = [
        jackknife.left_out(side.sums[held], side.counts[held], side.sums.sum(axis=0), side.n, combine)
        for side in (found.ours, found.theirs)
    ]
    variance = n_groups * jackknife.variance(left[0] - left[1])
    if variance < 1e-18:
        return _all_alike(found, difference, confidence)
    turned = difference if found.metric.direction == "max" else -difference
    better, worse = (normal_e_value(n_groups, each, variance) for each in (turned, -turned))
    low, high = sequential.normal_interval(n_groups, difference, variance, confidence)
    return Always(min(better, MOST), min(worse, MOST), low, high)


def _all_alike(found: Differences, difference: float, confidence: float) -> Always:
    """Return what as many groups as there are allow to say where they all differ by the same, as when none does.

    A variance of 0 would claim certainty; so each group is taken as one bounded value.
    """
    reach = found.reach
    if not math.isfinite(reach) or abs(difference) > reach:
        return Always(1.0, 1.0, None, None)
    values = np.full(found.blocks.n_groups, difference)
    turned = values if found.metric.direction == "max" else -values
    better, worse = (sequential.mean_e_value(each, 0.0, low=-reach, high=reach) for each in (turned, -turned))
    low, high = sequential.settled_interval(values, confidence, low=-reach, high=reach)
    return Always(min(better, MOST), min(worse, MOST), low, high)
