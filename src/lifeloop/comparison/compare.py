"""Compares two trials on the same examples: the tests that races, the gate and `lifeloop compare` rest on.

Right-or-wrong metrics get the exact McNemar test and Tango's interval; all others a paired bootstrap over blocks of
related examples. Beside each stands evidence that stays valid however often one looks. Knows nothing of what follows.
"""

import math
from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.comparison.always import always_valid
from lifeloop.comparison.differences import Differences, differences, pseudo_values
from lifeloop.comparison.pairing import check_alike, pair
from lifeloop.core.evidence import OPERATIONAL, Comparison, Trial
from lifeloop.stats import bootstrap, proportions
from lifeloop.store.vault import Vault
from lifeloop.tasks.scoring import ALIKE, SEED
from lifeloop.tasks.task import Metric


class ComparisonOrder(Struct, frozen=True):
    """How trials are compared."""

    confidence: float
    out_of_scope: str
    seed: int = 0
    """Of the order in which examples are taken to have come, and of what a suite leaves to chance."""


class PairedValues(Struct, frozen=True):
    """The difference of two trials, example by example."""

    values: NDArray[np.float64]
    """Challenger minus champion (n,), in the fixed random order of the examples; their mean is the difference."""
    bounds: tuple[float, float] | None
    """Between which each value lies; None where the metric is no average, or has no bounds."""


def compare_trials(
    vault: Vault,
    metrics: Mapping[str, Metric],
    name: str,
    challenger: Trial,
    champion: Trial,
    order: ComparisonOrder,
    slice: str = "",
) -> Comparison | None:
    """Return the comparison of a metric, or None where it applies to no common example.

    With `slice` (`column=value`) on the examples of that slice alone; what is measured, not scored, has none. Trials of
    which one went further are compared on the examples that both have. Raises GateError where there are none, or where
    the trials are not of one dataset, split and suite.
    """
    check_alike(challenger, champion)
    if name in OPERATIONAL:
        return None if slice else _operational(name, challenger, champion)
    found = _differences(vault, metrics[name], challenger, champion, order, slice)
    if found is None:
        return None
    ours, theirs = (float(found.metric.combine(side.means)) for side in (found.ours, found.theirs))
    low, high, p_value, method = _exact(found, order.confidence) if found.binary else _resampled(found, order)
    always = always_valid(found, order.confidence)
    return Comparison(
        metric=name,
        split=challenger.split,
        suite=challenger.suite,
        challenger=ours,
        champion=theirs,
        difference=ours - theirs,
        low=low,
        high=high,
        p_value=p_value,
        method=method,
        n=found.ours.n,
        slice=slice,
        always_low=always.low,
        always_high=always.high,
        e_value=always.better,
        worse_e_value=always.worse,
        n_clusters=0 if found.blocks.alone else found.blocks.n_groups,
    )


def paired_values(
    vault: Vault,
    metrics: Mapping[str, Metric],
    name: str,
    challenger: Trial,
    champion: Trial,
    order: ComparisonOrder,
) -> PairedValues | None:
    """Return the difference example by example, or None where the metric applies to no common example.

    For an average, the difference of each example; for another metric, its pseudo-value: what it does to the
    difference. Raises GateError as `compare_trials` does, and KeyError for what is measured and not scored.
    """
    pairing = pair(vault, challenger, champion, out_of_scope=order.out_of_scope, seed=order.seed)
    found = differences(pairing, metrics[name], order.seed)
    if found is None:
        return None
    if not found.average:
        return PairedValues(pseudo_values(pairing, found, order.seed), None)
    bounds = (-found.reach, found.reach) if math.isfinite(found.reach) else None
    return PairedValues(found.by_example, bounds)


def _differences(
    vault: Vault, metric: Metric, challenger: Trial, champion: Trial, order: ComparisonOrder, slice_name: str
) -> Differences | None:
    """Return the sums alone: the tables of answers are gone when the bootstrap needs room of its own."""
    pairing = pair(vault, challenger, champion, out_of_scope=order.out_of_scope, seed=order.seed, slice_name=slice_name)
    return differences(pairing, metric, order.seed)


def _operational(metric: str, a: Trial, b: Trial) -> Comparison:
    ours, theirs = (float(getattr(trial.measurements, metric)) for trial in (a, b))
    difference = ours - theirs
    return Comparison(
        metric=metric,
        split=a.split,
        suite=a.suite,
        challenger=ours,
        champion=theirs,
        difference=difference,
        low=difference,
        high=difference,
        p_value=None,
        method="measured, no interval",
        n=min(a.n_items, b.n_items),
    )


Shown = tuple[float, float, float | None, str]
"""Low, high, p-value and method."""


def _exact(found: Differences, confidence: float) -> Shown:
    only_ours, only_theirs = int((found.by_example > 0).sum()), int((found.by_example < 0).sum())
    low, high = proportions.tango_interval(only_ours, only_theirs, found.ours.n, confidence)
    p_value = proportions.mcnemar_exact(only_ours, only_theirs)
    return low, high, p_value, f"exact McNemar ({only_ours} against {only_theirs} discordant), Tango interval"


def _resampled(found: Differences, order: ComparisonOrder) -> Shown:
    ours, theirs = found.ours, found.theirs
    low, high = bootstrap.paired_interval(
        ours.sums, ours.counts, theirs.sums, theirs.counts, found.metric.combine, order.confidence, SEED
    )
    n_groups = found.blocks.n_groups
    over = "" if found.blocks.alone else f" of {n_groups:,} groups"
    reach = found.reach
    if high - low < ALIKE and math.isfinite(reach) and reach > 0:
        # All groups are alike, and resampling them would claim certainty: Tango's interval has width even so.
        agreed = min(n_groups, round(abs(low) / reach * n_groups))
        wins, losses = (agreed, 0) if low > 0 else (0, agreed)
        low, high = (reach * end for end in proportions.tango_interval(wins, losses, n_groups, order.confidence))
        return low, high, None, f"Tango interval{over or f' of {n_groups:,} examples'}, all alike"
    return low, high, None, f"paired bootstrap{over} (BCa), {bootstrap.RESAMPLES:,} resamples"
