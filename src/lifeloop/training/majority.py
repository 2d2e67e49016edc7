"""Counts labels for the majority baseline."""

from collections import Counter
from pathlib import Path

import msgspec

from lifeloop.core.progress import Progress
from lifeloop.models.majority import FILE
from lifeloop.training.trainer import Decided, Materials


class MajorityTrainer:
    """Trainer of kind "majority"."""

    settings = None
    version = "1"

    def build(self, materials: Materials, folder: Path, progress: Progress) -> Decided:
        """Write the commonest training label (the first in the alphabet among equals) and its share."""
        counts = Counter(example.reference for example in materials.train)
        label, count = min(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        (folder / FILE).write_bytes(msgspec.json.encode((label, count / counts.total())))
        return Decided()


TRAINER = MajorityTrainer()
