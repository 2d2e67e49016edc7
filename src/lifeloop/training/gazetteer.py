"""Collects the names for the gazetteer: those that are entities more often than not when they occur in training."""

import re
from collections import Counter, defaultdict
from pathlib import Path

import msgspec

from lifeloop.core.progress import Progress
from lifeloop.models.gazetteer import FILE
from lifeloop.tasks.extract import TASK
from lifeloop.training.trainer import Decided, Materials


class GazetteerTrainer:
    """Trainer of kind "gazetteer"."""

    settings = None
    version = "1"

    def build(self, materials: Materials, folder: Path, progress: Progress) -> Decided:
        """Write the names with their commonest type."""
        types: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for example in materials.train:
            for entity in TASK.parse(example.reference, ()):
                name = entity.text or example.input[entity.start : entity.end]
                if name.strip():
                    types[name.casefold()][entity.type] += 1
        words = Counter(word for example in materials.train for word in re.findall(r"\w+", example.input.casefold()))
        names = {}
        for name, counts in sorted(types.items()):
            kind, count = min(counts.items(), key=lambda pair: (-pair[1], pair[0]))
            occurrences = max(words[name], counts.total())  # exact for single words, generous for longer names
            if count / occurrences >= materials.settings.precision:
                names[name] = kind
        (folder / FILE).write_bytes(msgspec.json.encode(names, order="deterministic"))
        return Decided()


TRAINER = GazetteerTrainer()
