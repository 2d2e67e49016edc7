"""Writes down the training pairs for the nearest-example candidate."""

from pathlib import Path

import msgspec

from lifeloop.core.progress import Progress
from lifeloop.models.nearest import FILE
from lifeloop.training.trainer import Decided, Materials


class NearestTrainer:
    """Trainer of kind "nearest"."""

    settings = None
    version = "1"

    def build(self, materials: Materials, folder: Path, progress: Progress) -> Decided:
        """Write the inputs and the references."""
        pairs = ([e.input for e in materials.train], [e.reference for e in materials.train])
        (folder / FILE).write_bytes(msgspec.json.encode(pairs))
        return Decided()


TRAINER = NearestTrainer()
