"""From answers to metric values: reads each answer as its task does, and puts an interval on every metric.

Takes examples and answers in the same order. Knows nothing of who answered.
"""

from collections.abc import Sequence

import numpy as np

from lifeloop.core.candidates import Answer
from lifeloop.core.data import Example
from lifeloop.core.evidence import MetricValue
from lifeloop.stats import bootstrap, proportions
from lifeloop.tasks.task import Floats, Metric, Scope, Scored, Task

SEED = 0
"""Of the bootstrap: the same answers give the same interval."""


def read(task: Task, examples: Sequence[Example], answers: Sequence[Answer], scope: Scope) -> list[Scored]:
    """Return each example with its prediction; None where the answer failed or breaks the task's contract."""
    scored = []
    for example, answer in zip(examples, answers, strict=True):
        try:
            prediction = None if answer.error else task.parse(answer.output, scope.labels)
        except ValueError:
            prediction = None
        scored.append(Scored(example, prediction, answer))
    return scored


def applicable(metric: Metric, scored: Sequence[Scored], scope: Scope) -> tuple[Floats, np.ndarray]:
    """Return the metric's columns where it applies, and a mask (n,) of the examples where it does."""
    columns = metric.columns(scored, scope)
    mask = ~np.isnan(columns).any(axis=1) if len(columns) else np.zeros(0, dtype=bool)
    return columns[mask], mask


def is_binary(columns: Floats) -> bool:
    """Return whether the columns are right-or-wrong per item, so that exact methods apply."""
    return columns.shape[1] == 1 and bool(np.isin(columns, (0.0, 1.0)).all())


def measure(metric: Metric, scored: Sequence[Scored], scope: Scope, confidence: float) -> MetricValue | None:
    """Return the metric with its interval, or None where it applies to no example."""
    columns, _ = applicable(metric, scored, scope)
    n = len(columns)
    if n == 0:
        return None
    value = float(metric.combine(columns.mean(axis=0)))
    if is_binary(columns):
        low, high = proportions.clopper_pearson(int(columns.sum()), n, confidence)
    else:
        low, high = bootstrap.interval(columns, metric.combine, confidence, SEED)
    return MetricValue(metric=metric.name, value=value, low=low, high=high, n=n)


def measure_all(task: Task, scored: Sequence[Scored], scope: Scope, confidence: float) -> tuple[MetricValue, ...]:
    """Return every metric of the task that applies to at least one example."""
    values = (measure(metric, scored, scope, confidence) for metric in task.metrics.values())
    return tuple(value for value in values if value is not None)
