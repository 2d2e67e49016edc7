"""Prepares a prompted language model: which training examples its prompt shows, and what its label scores must be
corrected by. No weights change.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec

from lifeloop import plugins
from lifeloop.core.candidates import Candidate, Request
from lifeloop.core.data import Example
from lifeloop.core.progress import Progress
from lifeloop.models import scoring
from lifeloop.models.llamacpp import FILE, Learned
from lifeloop.training.trainer import Decided, Materials


class ShotsTrainer:
    """Trainer of the kinds "llamacpp", "transformers", "openvino", "remote" and "vllm"."""

    settings = None
    version = "1"

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def build(self, materials: Materials, folder: Path, progress: Progress) -> Decided:
        """Write the shots and, for a local model that scores labels, the prior to divide by."""
        chance = random.Random(materials.seed)
        shots = choose_shots(materials.train, materials.settings.shots, chance)
        learned = Learned(shots=[(example.input, example.reference) for example in shots])
        write_learned(folder, learned)
        wanted = getattr(materials.settings, "calibrate", 0)
        if wanted and materials.labels and materials.task == "classify":
            others = [example for example in materials.train if example not in shots]
            inputs = chance.sample(others, min(wanted, len(others)))
            prior = _prior(self._kind, materials, folder, inputs, progress)
            write_learned(folder, msgspec.structs.replace(learned, prior=prior))
        return Decided()


def read_learned(folder: Path | None) -> Learned:
    """Return what an earlier training decided; nothing where there is no folder or file."""
    path = folder / FILE if folder else None
    return msgspec.json.decode(path.read_bytes(), type=Learned) if path and path.exists() else Learned()


def write_learned(folder: Path, learned: Learned) -> None:
    """Write what training decided to where the model kinds read it."""
    (folder / FILE).write_bytes(msgspec.json.encode(learned))


def choose_shots(train: Sequence[Example], n: int, chance: random.Random) -> list[Example]:
    """Return n examples spread evenly over the references, in an order left to chance."""
    groups: defaultdict[str, list[Example]] = defaultdict(list)
    for example in train:
        groups[example.reference].append(example)
    queues = [groups[reference] for reference in sorted(groups)]
    for queue in queues:
        chance.shuffle(queue)
    chance.shuffle(queues)
    rounds = [queue[depth] for depth in range(n) for queue in queues if depth < len(queue)]
    shots = rounds[:n]
    chance.shuffle(shots)
    return shots


def held_out(
    train: Sequence[Example], n: int, chance: random.Random
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Return n examples to score on, spread over the references, and those that shots may come from.

    The two share no group. At most half of the examples are to score on.
    """
    scored = choose_shots(train, min(n, len(train) // 2), chance)
    ids = {example.id for example in scored}
    groups = {example.group for example in scored} - {""}
    pool = tuple(example for example in train if example.id not in ids and example.group not in groups)
    return tuple(scored), pool


def _prior(kind: str, materials: Materials, folder: Path, inputs: Sequence[Example], progress: Progress) -> list[float]:
    """Return the geometric mean of the labels' probabilities over inputs whose labels are not looked at."""
    candidate = Candidate(
        name="calibration",
        kind=kind,
        task=materials.task,
        labels=materials.labels,
        settings=msgspec.to_builtins(materials.settings),
        prompt=materials.prompt,
    )
    model = plugins.get("models", kind).load(candidate, folder, ())
    try:
        rows = []
        for done, example in enumerate(inputs):
            progress(done, len(inputs), "measuring the model's liking for labels")
            rows.append(model.probabilities(Request(text=example.input)))
        return scoring.geometric_mean(rows)
    finally:
        model.close()


TRAINER = ShotsTrainer("llamacpp")
TRANSFORMERS = ShotsTrainer("transformers")
OPENVINO = ShotsTrainer("openvino")
