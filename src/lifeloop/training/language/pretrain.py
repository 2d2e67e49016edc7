"""Adaptation "pretrain": goes on with a language model's pre-training on raw texts of the use case's own.

Every token is learned, in rows that are filled with as many documents as fit. The texts are those of
`Materials.corpus`, or where there is none the inputs of the training examples.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from lifeloop.core.bounds import Count, NotNegative, Positive, Share, Whole
from lifeloop.core.errors import DataError, ModelError
from lifeloop.core.progress import Progress
from lifeloop.training.language import LANGUAGE_KINDS
from lifeloop.training.language.lora import Method
from lifeloop.training.trainer import Decided, Materials

HELD_OUT = 20
"""Every so manieth document is kept for validation."""


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """What is trained, how long and how fast."""

    corpus: str | tuple[str, ...] = ()
    """Raw texts: paths or patterns of .txt, .md and .jsonl files, relative to the project. By default the inputs
    of the training examples."""
    method: Method = "full"
    rank: Count = 64
    alpha: Positive = 128.0
    dropout: Share = 0.0
    epochs: Positive = 1.0
    batch: Count = 8
    """Rows to a step on each device. Halved, with as many steps, where memory runs out."""
    learning_rate: NotNegative = 0.0
    """0: 2e-4 for "lora" and "dora", 5e-5 for "full"."""
    warmup: Share = 0.05
    weight_decay: NotNegative = 0.01
    max_tokens: Count = 512
    """Length of a row; longer documents go on in the next."""
    packing: bool = True
    """Whether a row is filled with several documents, none of which sees another."""
    patience: Whole = 0
    evaluations: Whole = 4
    minutes: NotNegative = 0.0
    """Stop after so long, wherever it is; 0 sets no bound."""
    gguf: Literal["q8_0", "f16", "bf16", "f32"] = "q8_0"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    processes: Whole = 0
    """How many train together; 0 is one a GPU."""


class PretrainTrainer:
    """Adaptation of candidates of kinds "llamacpp", "transformers" and "scratch"."""

    settings = Settings
    parents = LANGUAGE_KINDS
    version = "1"

    def build(self, materials: Materials, folder: Path, progress: Progress) -> Decided:
        """Write the model that read on."""
        from lifeloop.training.language import job

        if job.is_wanted(materials):
            return job.launch("pretrain", materials, folder, progress)
        from lifeloop.training.language.parent import language_parent, write_child
        from lifeloop.training.language.supervised import Course, taught

        settings: Settings = materials.settings
        parent = language_parent(materials)
        known, unseen = documents(materials)
        course = Course(
            train=pieces(parent.tokenizer, known, settings.max_tokens),
            validation=pieces(parent.tokenizer, unseen, settings.max_tokens),
            labels={},
            epochs=settings.epochs,
            batch=settings.batch,
            learning_rate=settings.learning_rate or (5e-5 if settings.method == "full" else 2e-4),
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
        return write_child(ran, parent, materials, name="pretrain", n_examples=len(known), folder=folder)


def documents(materials: Materials) -> tuple[list[str], list[str]]:
    """Return the texts to learn, and those to measure the loss on. Raises ModelError where there are none."""
    if not materials.corpus:
        known = [example.input for example in materials.train if example.input.strip()]
        unseen = [example.input for example in materials.validation if example.input.strip()]
    else:
        texts = [text for file in materials.corpus for text in read_texts(file)]
        random.Random(materials.seed).shuffle(texts)
        unseen = texts[::HELD_OUT] if len(texts) > 1 else []
        known = [text for place, text in enumerate(texts) if place % HELD_OUT or len(texts) == 1]
    if not known:
        raise ModelError("there are no texts to read", where="candidates", fix="name files of texts as its corpus")
    return known, unseen


def read_texts(file: Path) -> Iterator[str]:
    """Yield the texts of a JSONL. Raises DataError that names the line where there is none."""
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                text = msgspec.json.decode(line, type=Document).text
            except (msgspec.ValidationError, msgspec.DecodeError) as error:
                raise DataError(
                    f"not a document: {error}", where=f"{file.name}:{number}", fix='write {"text": "…"} on each line'
                ) from None
            if text.strip():
                yield text


class Document(Struct, frozen=True):
    """One line of a corpus."""

    text: str


def pieces(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> "list[Any]":
    """Return texts as rows of which every token is learned, each text with its end; long ones in several rows."""
    from lifeloop.training.language.turns import Turn

    found = []
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        whole = (*ids, tokenizer.eos_token_id)
        parts = [whole[start : start + max_tokens] for start in range(0, len(whole), max_tokens)]
        found += [Turn(prompt=(), completion=part) for part in parts if len(part) > 1]
    return found


TRAINER = PretrainTrainer()
