"""What a threshold costs, example by example: the losses that cascades and abstaining candidates promise to keep small.

Takes answers and the quality of each, gives arrays. The same functions serve training, which sets a threshold by them
on validation, and the gate, which checks the promise on test. They know nothing of where answers come from.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lifeloop.core.candidates import Answer
from lifeloop.core.data import Example
from lifeloop.core.errors import ModelError
from lifeloop.tasks.scoring import read, wide_scope
from lifeloop.tasks.task import Scope, Task, is_average

Floats = NDArray[np.float64]
UNKNOWN = float("-inf")

ABSTAIN_IN_SCOPE = "an in-scope request is answered wrongly or withheld"
ABSTAIN = "a request is answered wrongly"
CASCADE = "a request is answered worse than by the last member"


def confidences(answers: Sequence[Answer]) -> Floats:
    """Return how sure each answer is (n,); minus infinity where it failed or does not say."""
    return np.array([UNKNOWN if answer.error or answer.confidence is None else answer.confidence for answer in answers])


def qualities(
    task: Task, examples: Sequence[Example], answers: Sequence[Answer], scope: Scope, metric: str = ""
) -> Floats:
    """Return the score of each answer, from 0 (wrong) to 1 (right): (n,); NaN where the metric does not apply.

    The score is that of `metric` where it is an average over examples, in [0, 1] and better the more it is; otherwise
    that of the task's first metric, which is one for every built-in task.
    """
    own_labels = task.labels([example.reference for example in examples])
    whole = wide_scope(own_labels, scope.labels, scope.out_of_scope, scope.slices)
    scored = read(task, examples, answers, whole)
    for chosen in (task.metrics.get(metric), next(iter(task.metrics.values()))):
        if chosen is None or chosen.direction != "max" or chosen.bounds != (0.0, 1.0):
            continue
        columns = chosen.columns(scored, whole)
        if is_average(chosen, columns.shape[1]):
            return np.asarray(columns[:, 0], dtype=np.float64)
    raise ModelError(
        f"the first metric of {task.name} is no average over examples, so no answer has a score of its own",
        where="objectives[0].metric",
        fix="set `threshold`, or name a metric that is an average first",
    )


def in_scope(examples: Sequence[Example], out_of_scope: str) -> NDArray[np.bool_]:
    """Return which examples have a label of their own (n,): all where there is no out-of-scope label."""
    return np.array([not out_of_scope or example.reference != out_of_scope for example in examples], dtype=bool)


def abstention_losses(quality: Floats, confidence: Floats, thresholds: Floats, *, withheld: float) -> Floats:
    """Return the loss of each answer at each threshold: (n, n_thresholds), in [0, 1].

    An answer less sure than the threshold is withheld and loses `withheld`: 1 where an answer was owed (an in-scope
    request), 0 where silence does no harm. Losses fall as the threshold falls in the first case, as it rises in the
    second.
    """
    stands = confidence[:, None] >= thresholds[None, :]
    return np.where(stands, 1.0 - quality[:, None], withheld)


def cascade_qualities(quality: Sequence[Floats], confidence: Sequence[Floats], thresholds: Floats) -> Floats:
    """Return the quality of the answers that stand at each threshold: (n, n_thresholds). Members the cheapest first."""
    result = np.repeat(quality[-1][:, None], len(thresholds), axis=1)
    for own, sure in zip(reversed(quality[:-1]), reversed(confidence[:-1]), strict=True):
        result = np.where(sure[:, None] >= thresholds[None, :], own[:, None], result)
    return result


def cascade_losses(quality: Sequence[Floats], confidence: Sequence[Floats], thresholds: Floats) -> Floats:
    """Return by how much each answer is worse than the last member's, at thresholds that rise: (n, n_thresholds).

    With three members or more, a request that goes on may meet a member that is wrong where the one before was right.
    The loss counted is therefore the worst at this threshold or any above it, which never rises and is never too small.
    """
    raw = np.maximum(quality[-1][:, None] - cascade_qualities(quality, confidence, thresholds), 0.0)
    return np.maximum.accumulate(raw[:, ::-1], axis=1)[:, ::-1]
