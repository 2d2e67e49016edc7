"""Compares two trials on the same examples: the tests that decide, and `lifeloop compare`, rest on.

Right-or-wrong metrics get the exact McNemar test and Tango's interval; all others a paired bootstrap.
"""

from collections.abc import Sequence

import msgspec

from lifeloop.core.candidates import Answer
from lifeloop.core.data import Example
from lifeloop.core.errors import GateError
from lifeloop.core.evidence import OPERATIONAL, Comparison, Trial
from lifeloop.stats import bootstrap, proportions
from lifeloop.tasks.scoring import SEED, applicable, is_binary, read
from lifeloop.tasks.task import Metric, Scope, Task

Side = tuple[Trial, Sequence[Answer], Scope]
"""A trial with its answers, and the labels that its candidate knows."""


def compare(
    task: Task, metric_name: str, examples: Sequence[Example], challenger: Side, champion: Side, confidence: float
) -> Comparison | None:
    """Return the comparison of a metric, or None where it applies to no example.

    Raises GateError where the two trials are not of the same examples.
    """
    a, b = challenger[0], champion[0]
    if (a.dataset, a.split, a.suite, a.n_items) != (b.dataset, b.split, b.suite, b.n_items):
        raise GateError(
            f"the trials of {a.name} and {b.name} are not of the same examples",
            where="compare",
            fix="compare trials of one dataset, split and suite",
        )
    if metric_name in OPERATIONAL:
        return _operational(metric_name, a, b)
    return _scored(task.metrics[metric_name], task, examples, challenger, champion, confidence)


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
        n=a.n_items,
    )


def _scored(
    metric: Metric, task: Task, examples: Sequence[Example], challenger: Side, champion: Side, confidence: float
) -> Comparison | None:
    # Both sides are scored over the labels of both: one may have been made when there were fewer.
    labels = tuple(sorted({label for _, _, scope in (challenger, champion) for label in scope.labels}))
    sides = []
    for _, answers, scope in (challenger, champion):
        wider = msgspec.structs.replace(scope, labels=labels)
        sides.append(applicable(metric, read(task, examples, answers, scope), wider))
    (ours, our_mask), (theirs, their_mask) = sides
    both = our_mask & their_mask  # confidence is not given by every candidate, so some metrics apply to one only
    ours, theirs = ours[both[our_mask]], theirs[both[their_mask]]
    n = len(ours)
    if n == 0 or ours.shape[1] != theirs.shape[1]:
        return None
    values = [float(metric.combine(side.mean(axis=0))) for side in (ours, theirs)]
    if is_binary(ours) and is_binary(theirs):
        only_ours, only_theirs = proportions.discordant(ours[:, 0], theirs[:, 0])
        low, high = proportions.tango_interval(only_ours, only_theirs, n, confidence)
        p_value: float | None = proportions.mcnemar_exact(only_ours, only_theirs)
        method = f"exact McNemar ({only_ours} against {only_theirs} discordant), Tango interval"
    else:
        low, high = bootstrap.paired_interval(ours, theirs, metric.combine, confidence, SEED)
        p_value, method = None, f"paired bootstrap, {bootstrap.RESAMPLES} resamples"
    return Comparison(
        metric=metric.name,
        split=challenger[0].split,
        suite=challenger[0].suite,
        challenger=values[0],
        champion=values[1],
        difference=values[0] - values[1],
        low=low,
        high=high,
        p_value=p_value,
        method=method,
        n=n,
    )
