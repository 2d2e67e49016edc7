"""Adaptation "kto": tunes a language model on answers that were liked or disliked, in pairs or each on its own.

Kahneman-Tversky optimisation (Ethayarajh et al., 2024) over TRL. Of a pair both answers are taken, one as liked and one
as disliked; thumbs up and down are taken as they are.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lifeloop.core.errors import ModelError
from lifeloop.core.preferences import Preference
from lifeloop.core.progress import Progress
from lifeloop.training.language import LANGUAGE_KINDS
from lifeloop.training.language.alignment import Alignment
from lifeloop.training.trainer import Decided, Materials

if TYPE_CHECKING:
    from lifeloop.training.language.running import Ran

LEAST = 8
"""Preferences below which nothing is learned but those."""


class Settings(Alignment, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is trained. `batch` is at least 2: the reference point is estimated from the other answers of a batch."""


class KtoTrainer:
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
        from lifeloop.training.language.parent import language_parent
        from lifeloop.training.language.preference_rows import counted, require
        from lifeloop.training.language.unpaired import trained

        said = counted(materials.preferences)
        require(said, LEAST, "preferences")
        if materials.settings.batch < 2:
            raise ModelError("KTO needs batches of two or more", where="candidates: batch", fix="write batch = 8")
        if job.is_wanted(materials):
            return job.launch("kto", materials, folder, progress)
        parent = language_parent(materials)
        asked = asked_as(parent, materials)

        def train(preferences: Sequence[Preference], part: str) -> "Ran":
            return trained(parent, asked, preferences, progress, part)

        doubted = counted(materials.doubted)
        return aligned("kto", said, doubted, train, parent, asked, folder, progress, n_examples=len(said))


TRAINER = KtoTrainer()
