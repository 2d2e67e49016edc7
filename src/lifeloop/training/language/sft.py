"""Adaptation "sft": tunes a language model on the training examples, and writes it for torch and for llama.cpp.

Starts from where its parent stands: the weights that an earlier tuning wrote, or those of the setting `model`. The
child is asked exactly as the parent is, but shown no examples: what they would say, it has learned.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from lifeloop.core.bounds import Count, NotNegative, Positive, Share, Whole
from lifeloop.core.data import Example
from lifeloop.core.progress import Progress
from lifeloop.training.language import LANGUAGE_KINDS
from lifeloop.training.language.lora import Method
from lifeloop.training.trainer import Decided, Materials


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """What is trained, how long and how fast."""

    method: Method = "lora"
    """"lora" and "dora" train a low-rank addition to the weights, "full" all weights."""
    rank: Count = 16
    alpha: Positive = 32.0
    dropout: Share = 0.0
    epochs: Positive = 3.0
    batch: Count = 16
    """Examples to a step on each device. Halved, with as many steps, where memory runs out."""
    learning_rate: NotNegative = 0.0
    """0: 5e-4 for "lora" and "dora", 5e-5 for "full"."""
    warmup: Share = 0.05
    """Share of the steps over which the learning rate rises."""
    weight_decay: NotNegative = 0.0
    packing: bool = False
    """Whether rows of `max_tokens` are filled with several examples each. Pays on a GPU with long texts."""
    max_tokens: Count = 512
    """Longer inputs are cut, at their last words."""
    patience: Whole = 0
    """Stop after so many validations that were no better; 0 never does."""
    evaluations: Whole = 4
    """How often validation is measured."""
    validation_items: Whole = 200
    """On at most so many validation examples."""
    minutes: NotNegative = 0.0
    """Stop after so long, wherever it is; 0 sets no bound."""
    gguf: Literal["q8_0", "f16", "bf16", "f32"] = "q8_0"
    """How the weights that llama.cpp serves are written."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Numbers to compute in; auto is bfloat16 where the machine multiplies it natively."""
    processes: Whole = 0
    """How many train together; 0 is one a GPU."""


class SftTrainer:
    """Adaptation of candidates of kinds "llamacpp", "transformers" and "scratch"."""

    settings = Settings
    parents = LANGUAGE_KINDS
    version = "1"

    def build(self, materials: Materials, folder: Path, progress: Progress) -> Decided:
        """Write the tuned model."""
        from lifeloop.training.language import job

        if job.is_wanted(materials):
            return job.launch("sft", materials, folder, progress)
        return tuned(materials, materials.train, "sft", folder, progress)


def tuned(materials: Materials, examples: Sequence[Example], name: str, folder: Path, progress: Progress) -> Decided:
    """Tune the parent on examples and write what serves the child. `name` is the adaptation's, for the record."""
    from lifeloop.training.language.parent import language_parent, wording_of, write_child
    from lifeloop.training.language.supervised import Course, taught
    from lifeloop.training.language.turns import label_ids, turn
    from lifeloop.training.language.validation import branches

    settings = materials.settings
    parent = language_parent(materials)
    how = wording_of(parent, materials, settings.max_tokens)
    course = Course(
        train=[turn(how, example) for example in examples],
        validation=[turn(how, example) for example in sample(materials, settings.validation_items)],
        labels=branches(label_ids(how)),
        epochs=settings.epochs,
        batch=settings.batch,
        learning_rate=settings.learning_rate or (5e-5 if settings.method == "full" else 5e-4),
        warmup=settings.warmup,
        weight_decay=settings.weight_decay,
        packing=settings.packing,
        max_tokens=settings.max_tokens,
        bfloat16=settings.dtype != "float32",
        evaluations=settings.evaluations,
        patience=settings.patience,
        minutes=settings.minutes,
    )
    ran = taught(lambda: parent.open_trained(settings), course, materials, progress)
    return write_child(ran, parent, materials, name=name, n_examples=len(examples), folder=folder)


def sample(materials: Materials, n: int) -> list[Example]:
    """Return at most n validation examples, the same ones each time."""
    known = [example for example in materials.validation if not materials.labels or _is_known(example, materials)]
    if len(known) <= n:
        return known
    places = sorted(random.Random(materials.seed).sample(range(len(known)), n))
    return [known[place] for place in places]


def _is_known(example: Example, materials: Materials) -> bool:
    return materials.task != "classify" or example.reference in materials.labels


TRAINER = SftTrainer()
