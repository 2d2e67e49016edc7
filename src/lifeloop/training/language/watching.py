"""The watch against over-optimisation: what alignment maximises may rise only while the brief's metric does not fall.

Takes a sample of validation and looks at it each time a training is measured. The issue of alignment speaks of a guard
set; training may not read the guard split, so the sample is a part of validation, and the gate checks the guard split
itself afterwards.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lifeloop.core.data import Example
from lifeloop.training.language.goal import goal, goal_metric
from lifeloop.training.language.pace import Enough
from lifeloop.training.trainer import Materials

Answers = Callable[[Any, Sequence[Example]], list[str]]
"""From a model and examples to what it says to their inputs."""


def watch_sample(materials: Materials, n: int) -> tuple[Example, ...]:
    """Return at most n validation examples, the same for all trainings of a seed."""
    examples = list(materials.validation)
    return tuple(random.Random(materials.seed).sample(examples, min(n, len(examples))))


class Watch:
    """Looks at one training. Called by the loop with what was measured; raises `Enough` to end it there."""

    def __init__(
        self,
        materials: Materials,
        parent: Any,
        answers: Answers,
        *,
        sample: Sequence[Example],
        limit: float,
        rewards: Callable[[Sequence[Example], Sequence[str]], float] | None = None,
    ) -> None:
        """`parent` is the model before the first step. Its metric less `limit` is the least that the child may have.

        `rewards` gives the mean reward of answers to the sample; without it the reward is the margin between the two
        answers of held-out preferences, which is 0 for the parent.
        """
        self._materials = materials
        self._answers = answers
        self._sample = sample
        self._limit = limit
        self._rewards = rewards
        outputs = answers(parent, sample) if sample else []
        self.parent_goal = goal(materials, sample, outputs) if sample else math.nan
        self.parent_reward = rewards(sample, outputs) if rewards and sample else 0.0

    def __call__(self, trainer: Any, measured: Mapping[str, float]) -> float:
        """Return the score of the model as it is, more is better.

        It is the mean reward where answers have one. Else it is the exponential of the negative loss on held-out
        preferences, the weights of the losses as in training.

        Raises Enough where the reward is above the parent's and the metric below it by more than the limit.
        """
        outputs = self._answers(trainer.accelerator.unwrap_model(trainer.model), self._sample) if self._sample else []
        reward = self._rewards(self._sample, outputs) if self._rewards else measured.get("eval_rewards/margins", 0.0)
        if self._sample:
            self._look(reward, goal(self._materials, self._sample, outputs))
        return reward if self._rewards else math.exp(-measured["eval_loss"])

    def _look(self, reward: float, reached: float) -> None:
        if reward > self.parent_reward and reached < self.parent_goal - self._limit:
            name = goal_metric(self._materials).name
            raise Enough(
                f"the reward rose from {self.parent_reward:.3g} to {reward:.3g} while {name} got worse, from "
                f"{abs(self.parent_goal):.3g} to {abs(reached):.3g} on {len(self._sample)} validation examples"
            )


def look(trainer: Any, measured: Mapping[str, float]) -> float:
    """Return the score of a trainer that has a `watch`, as the loop asks for it."""
    score: float = trainer.watch(trainer, measured)
    return score
