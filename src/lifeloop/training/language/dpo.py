"""Adaptation "dpo": tunes a language model on pairs of answers, so that the one people liked better is likelier.

Direct preference optimisation (Rafailov et al., 2023) over TRL. The loss is robust to the share of pairs whose order is
the wrong one (Chowdhury, Kini and Natarajan, 2024), as the guards of alignment estimate it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lifeloop.core.preferences import Preference
from lifeloop.core.progress import Progress
from lifeloop.training.language import LANGUAGE_KINDS
from lifeloop.training.language.alignment import Alignment
from lifeloop.training.trainer import Decided, Materials

if TYPE_CHECKING:
    from lifeloop.training.language.running import Ran

LEAST = 8
"""Pairs below which nothing is learned but those pairs."""


class Settings(Alignment, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is trained, and by which loss."""

    loss: Literal["robust", "sigmoid", "ipo", "hinge", "sigmoid_norm"] = "robust"
    """"robust" corrects for the estimated share of flipped pairs; where that is 0 it is plain "sigmoid"."""
    anchor: float = 1.0
    """Weight of the chosen answer's own likelihood beside it (Pang et al., 2024): without it both answers can become
    unlikely, the rejected one only more so, and small models then write neither. 0: the plain loss."""


class DpoTrainer:
    """Adaptation of candidates of kinds "llamacpp", "transformers" and "scratch"."""

    settings = Settings
    parents = LANGUAGE_KINDS
    version = "1"

    def prefers(self, settings: Settings) -> bool:
        """Return that it is trained on preferences."""
        del settings
        return True

    def build(self, materials: Materials, folder: Path, progress: Progress) -> Decided:
        """Write the aligned model."""
        from lifeloop.training.language import job
        from lifeloop.training.language.aligning import aligned
        from lifeloop.training.language.asked import asked_as
        from lifeloop.training.language.pairwise import trained
        from lifeloop.training.language.parent import language_parent
        from lifeloop.training.language.preference_rows import pairs_of, require

        pairs = pairs_of(materials.preferences)
        require(pairs, LEAST, "pairs of answers")
        if job.is_wanted(materials):
            return job.launch("dpo", materials, folder, progress)
        parent = language_parent(materials)
        asked = asked_as(parent, materials)

        def train(preferences: Sequence[Preference], part: str) -> "Ran":
            return trained(parent, asked, preferences, progress, part)

        doubted = pairs_of(materials.doubted)
        return aligned("dpo", pairs, doubted, train, parent, asked, folder, progress, n_examples=len(pairs))


TRAINER = DpoTrainer()
