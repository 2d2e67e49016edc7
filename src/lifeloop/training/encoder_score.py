"""What validation says of a classifier while it is trained: its loss, and the metric that the brief wants good.

Takes logits of the validation examples, gives two numbers. Knows nothing of how they came about.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.special import log_softmax

from lifeloop import plugins
from lifeloop.core.candidates import Answer
from lifeloop.core.data import Example
from lifeloop.models import linear
from lifeloop.tasks.scoring import read
from lifeloop.tasks.task import Metric, Scope, Task
from lifeloop.training.calibration import temperature
from lifeloop.training.trainer import Materials


class Measured(Struct, frozen=True):
    """A look at validation."""

    score: float
    """The brief's first objective where the task or the brief has it as a metric, else accuracy; more is better."""
    loss: float
    """Mean negative log-likelihood of the true label at the best temperature, in nats, over the examples whose label is
    known; NaN where there are none."""


def measured(materials: Materials, logits: NDArray[np.float32]) -> Measured:
    """Return what validation says of logits (n_validation, n_labels), one row a validation example in their order."""
    answers = linear.answers(linear.softmax(logits), materials.labels)
    place = {label: index for index, label in enumerate(materials.labels)}
    known = [row for row, example in enumerate(materials.validation) if example.reference in place]
    truth = np.array([place[materials.validation[row].reference] for row in known], dtype=np.intp)
    calm = logits[known] / temperature(logits[known], truth)
    loss = -float(log_softmax(calm, axis=1)[range(len(known)), truth].mean()) if known else float("nan")
    return Measured(score_of(materials, materials.validation, answers), loss)


def score_of(materials: Materials, examples: Sequence[Example], answers: Sequence[Answer]) -> float:
    """Return the value of the metric that training is to make good, negated where less is better."""
    task: Task = plugins.get("tasks", materials.task)
    metric: Metric = materials.scoring or task.metrics.get(materials.metric) or task.metrics["accuracy"]
    scope = Scope(labels=_all_labels(materials, examples), out_of_scope=materials.out_of_scope)
    columns = metric.columns(read(task, examples, answers, scope), scope)
    columns = columns[~np.isnan(columns).any(axis=1)]
    value = float(metric.combine(columns.mean(axis=0))) if len(columns) else 0.0
    return value if metric.direction == "max" else -value


def _all_labels(materials: Materials, examples: Sequence[Example]) -> tuple[str, ...]:
    return tuple(sorted({*materials.labels, *(example.reference for example in examples)}))
