"""Sets an abstaining candidate's threshold on validation by conformal risk control: no new model calls.

With an out-of-scope label it withholds as much as the promise to in-scope requests allows, so that it recognises as
many of the others as it can; without one it withholds as little as the promise asks.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lifeloop import plugins
from lifeloop.core.candidates import Answer
from lifeloop.core.data import Example
from lifeloop.core.errors import ModelError
from lifeloop.core.progress import Progress
from lifeloop.models.abstain import risk_in_words
from lifeloop.models.losses import Floats, abstention_losses, confidences, in_scope, qualities
from lifeloop.stats.conformal import risk_threshold
from lifeloop.tasks.task import Scope, Task
from lifeloop.training.thresholds import heard, infeasible, worth_looking_at
from lifeloop.training.trainer import Decided, Materials


class AbstentionTrainer:
    """Trainer of kind "abstain"."""

    settings = None
    version = "1"

    def build(self, materials: Materials, folder: Path, progress: Progress) -> Decided:
        """Return the threshold, and what is lost at it on validation. Nothing is written.

        Raises ModelError where the member gives no confidence, or no threshold keeps the risk.
        """
        settings = materials.settings
        silence = materials.out_of_scope if settings.out_of_scope is None else settings.out_of_scope
        words = {"out_of_scope": silence, "risk_on": risk_in_words(silence)}
        if settings.threshold is not None and not materials.members:
            return Decided(settings=words)
        examples, (answers,) = heard(materials)
        sure = confidences(answers)
        if not np.isfinite(sure).any():
            raise ModelError(
                f"{materials.members[0].name} gives no confidence, so nothing tells which answers to withhold",
                where="candidates",
                fix="name a member that does (features, encoder)",
            )
        if settings.threshold is not None:
            choices = np.array([settings.threshold])
        else:
            choices = worth_looking_at(sure, len(sure))
        if silence:  # from the least conservative: with an answer owed, that is to withhold the most
            choices = choices[::-1]
        lost = _losses(materials, examples, answers, choices, silence)
        place = 0 if settings.threshold is not None else risk_threshold(lost, choices, settings.risk)
        if place is None:
            raise infeasible(len(lost), settings.risk, lost.mean(axis=0), materials.members[0].name, "member")
        on_validation = float(lost[:, place].mean()) if len(lost) else 0.0
        return Decided(settings=words | {"threshold": float(choices[place]), "validation_risk": on_validation})


def _losses(
    materials: Materials, examples: Sequence[Example], answers: Sequence[Answer], choices: Floats, silence: str
) -> Floats:
    """Return what the examples that count lose at each threshold: (n_counted, n_thresholds)."""
    task: Task = plugins.get("tasks", materials.task)
    scope = Scope(labels=materials.labels, out_of_scope=silence)
    quality = np.nan_to_num(qualities(task, examples, answers, scope))
    lost = abstention_losses(quality, confidences(answers), choices, withheld=1.0 if silence else 0.0)
    lost[[bool(answer.error) for answer in answers]] = 1.0  # what failed is not withheld: it fails again
    counted: Floats = lost[in_scope(examples, silence)]
    return counted


TRAINER = AbstentionTrainer()
