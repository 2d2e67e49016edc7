"""Chooses a cascade's threshold on validation, from the answers its members already gave there: no new model calls."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lifeloop import plugins
from lifeloop.core.candidates import Answer
from lifeloop.core.errors import ModelError
from lifeloop.core.progress import Progress
from lifeloop.tasks.scoring import read
from lifeloop.tasks.task import Scope, Task
from lifeloop.training.trainer import Decided, Materials


class CascadeTrainer:
    """Trainer of kind "cascade"."""

    settings = None
    version = "1"

    def build(self, materials: Materials, folder: Path, progress: Progress) -> Decided:
        """Return the threshold with the best validation score; among equals the one that asks the least.

        One threshold serves every step of the cascade. Nothing is written. Raises ModelError where no member but the
        last gives a confidence.
        """
        if materials.settings.threshold is not None:
            return Decided()
        quality = [_quality(materials, member.answers) for member in materials.members]
        confidence = [_confidence(member.answers) for member in materials.members]
        if not any(np.isfinite(values).any() for values in confidence[:-1]):
            raise ModelError(
                f"{materials.members[0].name} gives no confidence, so a cascade cannot tell when to go on",
                where="candidates",
                fix="put a candidate first that does (features, encoder), or set `threshold`",
            )
        steps = np.unique(np.concatenate([values[np.isfinite(values)] for values in confidence[:-1]]))
        # From "never go on" (0) to "always" (above every confidence). At most 200 quantiles: finer is noise. Rounded
        # before they are scored, so that the one written down is the one that was measured.
        quantiles = np.quantile(np.append(steps, [0.0, 1.00001]), np.linspace(0, 1, 200))
        choices = np.unique(np.round(quantiles, 6))
        scores = [(_score(quality, confidence, threshold), -threshold) for threshold in choices]
        _, negative = max(scores)
        return Decided(settings={"threshold": float(-negative)})


def _score(quality: Sequence[np.ndarray], confidence: Sequence[np.ndarray], threshold: float) -> float:
    """Return the mean quality of the answers that stand at a threshold."""
    result = quality[-1]
    for own, sure in zip(reversed(quality[:-1]), reversed(confidence[:-1]), strict=True):
        result = np.where(sure >= threshold, own, result)
    return round(float(result.mean()), 9)


def _confidence(answers: Sequence[Answer]) -> np.ndarray:
    unknown = float("-inf")
    return np.array([unknown if answer.error or answer.confidence is None else answer.confidence for answer in answers])


def _quality(materials: Materials, answers: Sequence[Answer]) -> np.ndarray:
    """Return each answer's score on the task's first metric, which for every built-in task is a mean over examples."""
    task: Task = plugins.get("tasks", materials.task)
    metric = next(iter(task.metrics.values()))
    scope = Scope(labels=materials.labels)
    return metric.columns(read(task, materials.validation, answers, scope), scope)[:, 0]


TRAINER = CascadeTrainer()
