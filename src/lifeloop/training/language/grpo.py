"""Adaptation "grpo": tunes a language model by what its own answers are worth, to inputs of the training examples.

Group relative policy optimisation (Shao et al., 2024) over TRL: of several answers to one input, those that are worth
more than the others become likelier. An answer is worth what the brief's first objective says, or what a reward model
says that was trained on people's preferences first.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lifeloop.core.bounds import Count, NotNegative, Positive, Several
from lifeloop.core.errors import ModelError
from lifeloop.core.preferences import Preference
from lifeloop.core.progress import Progress
from lifeloop.training.language import LANGUAGE_KINDS
from lifeloop.training.language.alignment import Alignment
from lifeloop.training.trainer import Decided, Materials

if TYPE_CHECKING:
    from lifeloop.training.language.running import Ran

LEAST = 8
"""Pairs below which a reward model learns nothing but those pairs."""


class Settings(Alignment, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is trained, and what an answer is worth. A row is an answer: `batch` counts those."""

    reward: Literal["metric", "preferences"] = "metric"
    """"metric" is the brief's first objective, "preferences" a reward model trained on them, kept under `reward/`."""
    generations: Several = 4
    """Answers to one input, which are compared with each other. `batch` is a multiple of it."""
    temperature: Positive = 1.0
    beta: NotNegative = 0.04
    epochs: Positive = 1.0
    learning_rate: NotNegative = 1e-5
    max_answer: Count = 64
    """Tokens of an answer at most."""
    reward_epochs: Positive = 2.0
    reward_learning_rate: NotNegative = 2e-4


class GrpoTrainer:
    """Adaptation of candidates of kinds "llamacpp", "transformers" and "scratch"."""

    settings = Settings
    parents = LANGUAGE_KINDS
    version = "1"

    def prefers(self, settings: Settings) -> bool:
        """Return whether its reward is a model of preferences."""
        return settings.reward == "preferences"

    def build(self, materials: Materials, folder: Path, progress: Progress) -> Decided:
        """Write the aligned model and, where there is one, the reward model."""
        from lifeloop.training.language import job
        from lifeloop.training.language.aligning import aligned
        from lifeloop.training.language.asked import asked_as
        from lifeloop.training.language.grouped import by_metric, by_reward_model, trained
        from lifeloop.training.language.parent import language_parent
        from lifeloop.training.language.preference_rows import pairs_of, require

        settings: Settings = materials.settings
        by_people = settings.reward == "preferences"
        if settings.generations < 2 or settings.batch % settings.generations:
            what = f"batches of {settings.batch} answers do not hold whole groups of {settings.generations}"
            raise ModelError(what, where="candidates: batch", fix="write generations = 4 and batch = 8, say")
        if settings.method == "full" and settings.beta:
            what = "all weights are trained, so nothing is left of the parent to hold the child to"
            raise ModelError(what, where="candidates: beta", fix='write method = "lora", or beta = 0.0')
        pairs = pairs_of(materials.preferences) if by_people else ()
        if by_people:
            require(pairs, LEAST, "pairs of answers")
        if job.is_wanted(materials):
            return job.launch("grpo", materials, folder, progress)
        parent = language_parent(materials)
        asked = asked_as(parent, materials)

        def train(preferences: Sequence[Preference], part: str) -> "Ran":
            worth = (
                by_reward_model(parent, asked, preferences, folder, progress, part) if by_people else by_metric(asked)
            )
            return trained(parent, asked, worth, progress, part)

        doubted = pairs_of(materials.doubted) if by_people else ()
        n_examples = len(materials.train)
        return aligned("grpo", pairs, doubted, train, parent, asked, folder, progress, n_examples=n_examples)


TRAINER = GrpoTrainer()
