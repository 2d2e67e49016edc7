"""What a training is to make good: the brief's metric, of outputs that a model wrote to examples.

Takes materials, examples and outputs, gives numbers in which more is better. Knows nothing of who wrote them.
"""

from collections.abc import Sequence

import numpy as np

from lifeloop import plugins
from lifeloop.core.candidates import Answer
from lifeloop.core.data import Example
from lifeloop.tasks.scoring import read
from lifeloop.tasks.task import Floats, Metric, Scope, Task
from lifeloop.training.trainer import Materials


def goal_metric(materials: Materials) -> Metric:
    """Return the brief's first objective; of a task where the brief's has no name, the task's first metric."""
    task: Task = plugins.get("tasks", materials.task)
    return materials.scoring or task.metrics.get(materials.metric) or next(iter(task.metrics.values()))


def goal(materials: Materials, examples: Sequence[Example], outputs: Sequence[str]) -> float:
    """Return the metric over all examples, negated where less is better; NaN where it applies to none of them."""
    metric, columns = goal_metric(materials), _columns(materials, examples, outputs)
    applies = columns[~np.isnan(columns).any(axis=1)]
    if not len(applies):
        return float("nan")
    value = float(metric.combine(applies.mean(axis=0)))
    return value if metric.direction == "max" else -value


def goals(materials: Materials, examples: Sequence[Example], outputs: Sequence[str]) -> Floats:
    """Return the metric of each example alone (n,), negated where less is better; 0 where it says nothing of one.

    For a metric that is no average over examples (a macro F1, say) it is that of a set of one.
    """
    metric = goal_metric(materials)
    columns = _columns(materials, examples, outputs)
    with np.errstate(all="ignore"):
        values = np.array([float(metric.combine(row)) for row in columns])
    return np.asarray(np.nan_to_num(values if metric.direction == "max" else -values, nan=0.0))


def _columns(materials: Materials, examples: Sequence[Example], outputs: Sequence[str]) -> Floats:
    task: Task = plugins.get("tasks", materials.task)
    scope = Scope(labels=materials.labels, out_of_scope=materials.out_of_scope)
    answers = [Answer(output=output) for output in outputs]
    return goal_metric(materials).columns(read(task, examples, answers, scope), scope)
