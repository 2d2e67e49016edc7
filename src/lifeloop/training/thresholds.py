"""Chooses a cascade's threshold on validation, from the answers its members already gave there: no new model calls.

Also what every trainer that sets a threshold shares: the thresholds worth looking at, and the examples that all
members answered.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lifeloop import plugins
from lifeloop.core.candidates import Answer
from lifeloop.core.data import Example
from lifeloop.core.errors import ModelError
from lifeloop.core.progress import Progress
from lifeloop.models.losses import (
    CASCADE,
    Floats,
    cascade_losses,
    cascade_qualities,
    confidences,
    qualities,
)
from lifeloop.stats.conformal import risk_threshold
from lifeloop.tasks.task import Scope, Task
from lifeloop.training.trainer import Decided, Materials

MOST_THRESHOLDS, MOST_CELLS = 1000, 10_000_000
"""Looked at at most: thresholds, and thresholds times examples."""
NOBODY = 1.00001
"""A threshold that no confidence reaches."""


class CascadeTrainer:
    """Trainer of kind "cascade"."""

    settings = None
    version = "2"

    def build(self, materials: Materials, folder: Path, progress: Progress) -> Decided:
        """Return the threshold: with a `risk`, the lowest that keeps it; without, the one with the best score.

        One threshold serves every step of the cascade; among equals it is the one that asks the least. Nothing is
        written. Raises ModelError where no member but the last gives a confidence, or no threshold keeps the risk.
        """
        settings = materials.settings
        if settings.threshold is not None and settings.risk is None:
            return Decided()
        examples, said = heard(materials)
        quality, kept = _qualities(materials, examples, said)
        confidence = [confidences(answers)[kept] for answers in said]
        if not any(np.isfinite(values).any() for values in confidence[:-1]):
            raise ModelError(
                f"{materials.members[0].name} gives no confidence, so a cascade cannot tell when to go on",
                where="candidates",
                fix="put a candidate first that does (features, encoder), or set `threshold`",
            )
        if settings.threshold is not None:
            choices = np.array([settings.threshold])
        else:
            choices = worth_looking_at(np.concatenate(confidence[:-1]), len(kept))
        if settings.risk is None:
            scores = np.round(cascade_qualities(quality, confidence, choices).mean(axis=0), 9)
            return Decided(settings={"threshold": float(choices[int(scores.argmax())])})
        lost = cascade_losses(quality, confidence, choices)
        place = 0 if settings.threshold is not None else risk_threshold(lost, choices, settings.risk)
        if place is None:
            raise infeasible(len(lost), settings.risk, lost.mean(axis=0), "the cascade", "members")
        threshold, on_validation = float(choices[place]), float(lost[:, place].mean())
        return Decided(settings={"threshold": threshold, "risk_on": CASCADE, "validation_risk": on_validation})


def heard(materials: Materials) -> tuple[tuple[Example, ...], list[tuple[Answer, ...]]]:
    """Return the validation examples, and each member's answers to them. Raises ModelError where some are missing."""
    for member in materials.members:
        if len(member.answers) != len(materials.validation):
            raise ModelError(
                f"{member.name} was tried on {len(member.answers)} examples, and its threshold would be set on "
                f"{len(materials.validation)}",
                where="candidates",
                fix="run the cycle again: members are tried on the same examples as each other",
            )
    return materials.validation, [member.answers for member in materials.members]


def worth_looking_at(confidence: Floats, n: int) -> Floats:
    """Return thresholds that rise, from "every answer stands" (0) to "none does", at quantiles of the confidences.

    Rounded before anything is scored at them, so that the one written down is the one that was measured. `n` is the
    number of examples that will be.
    """
    size = int(np.clip(MOST_CELLS // max(1, n), 50, MOST_THRESHOLDS))
    steps = np.unique(confidence[np.isfinite(confidence)])
    quantiles = np.quantile(np.append(steps, [0.0, NOBODY]), np.linspace(0, 1, size))
    return np.unique(np.round(quantiles, 6))


def infeasible(n: int, risk: float, lost: Floats, what: str, key: str) -> ModelError:
    """Return the error of a risk that no threshold keeps, with the least that one does. `lost` (n_thresholds,)."""
    least = (n * float(lost.min()) + 1.0) / (n + 1.0) if len(lost) else 1.0
    remedy = "give it more validation examples" if least >= 1.0 else f"set `risk` to {_up(least):g} or more"
    return ModelError(
        f"no threshold keeps the risk of {what} at {risk:g}: on {n} validation examples the least is {_up(least):g}",
        where="candidates.risk",
        fix=f"{remedy}, or improve its {key}",
    )


def _up(share: float) -> float:
    """Return a share in thousandths, not less than it is."""
    return float(np.ceil(share * 1000 - 1e-9) / 1000)


def _qualities(
    materials: Materials, examples: Sequence[Example], said: Sequence[Sequence[Answer]]
) -> tuple[list[Floats], np.ndarray]:
    """Return the members' qualities on the examples that the objective counts, and which those are."""
    task: Task = plugins.get("tasks", materials.task)
    scope = Scope(labels=materials.labels, out_of_scope=materials.out_of_scope)
    found = [qualities(task, examples, answers, scope, materials.metric) for answers in said]
    kept = np.flatnonzero(~np.isnan(np.stack(found)).any(axis=0))
    return [quality[kept] for quality in found], kept


TRAINER = CascadeTrainer()
