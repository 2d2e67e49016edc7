"""Adaptation "soft-prompt": learns a few vectors that go before every prompt; the model's weights stay as they are.

Prompt tuning (Lester et al., 2021) through PEFT: a child costs kilobytes. llama.cpp cannot put vectors before a
prompt, so the child is served by the kind "transformers".
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from lifeloop.core.bounds import Count, NotNegative, Positive, Share, Whole
from lifeloop.core.progress import Progress
from lifeloop.training.language import LANGUAGE_KINDS
from lifeloop.training.trainer import Decided, Materials

if TYPE_CHECKING:
    from lifeloop.training.language.parent import LanguageParent


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """How many vectors, how long and how fast."""

    vectors: Count = 20
    epochs: Positive = 5.0
    batch: Count = 16
    """Examples to a step on each device. Halved, with as many steps, where memory runs out."""
    learning_rate: NotNegative = 0.01
    warmup: Share = 0.05
    max_tokens: Count = 512
    patience: Whole = 0
    evaluations: Whole = 4
    validation_items: Whole = 200
    minutes: NotNegative = 0.0
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    processes: Whole = 0
    """How many train together; 0 is one a GPU."""


class SoftPromptTrainer:
    """Adaptation of candidates of kinds "llamacpp", "transformers" and "scratch"."""

    settings = Settings
    parents = LANGUAGE_KINDS
    makes = "transformers"
    version = "1"

    def build(self, materials: Materials, folder: Path, progress: Progress) -> Decided:
        """Write the vectors, over the parent's weights."""
        from lifeloop.training.language import job

        if job.is_wanted(materials):
            return job.launch("soft-prompt", materials, folder, progress)
        from lifeloop.training.language.parent import language_parent, wording_of
        from lifeloop.training.language.sft import sample
        from lifeloop.training.language.supervised import Course, taught
        from lifeloop.training.language.turns import label_ids, turn
        from lifeloop.training.language.validation import branches

        settings: Settings = materials.settings
        parent = language_parent(materials)
        how = wording_of(parent, materials, settings.max_tokens)
        turns = [turn(how, example) for example in materials.train]
        course = Course(
            train=turns,
            validation=[turn(how, example) for example in sample(materials, settings.validation_items)],
            labels=branches(label_ids(how)),
            epochs=settings.epochs,
            batch=settings.batch,
            learning_rate=settings.learning_rate,
            warmup=settings.warmup,
            bfloat16=settings.dtype != "float32",
            evaluations=settings.evaluations,
            patience=settings.patience,
            minutes=settings.minutes,
        )
        first = turns[0].prompt
        ran = taught(lambda: (_with_vectors(parent, settings, first), parent.tokenizer), course, materials, progress)
        return _written(ran, parent, materials, folder)


def _with_vectors(parent: "LanguageParent", settings: Settings, words: tuple[int, ...]) -> Any:
    """Return the model with vectors to learn, which begin as what the model reads anyway: the words of a prompt."""
    import torch
    from peft import PromptTuningConfig, get_peft_model

    from lifeloop.training.language.lora import nameless

    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=settings.vectors)
    model = nameless(get_peft_model(parent.open_whole(settings.dtype), config))
    vectors = model.prompt_encoder["default"].embedding
    begin = [words[place % len(words)] for place in range(settings.vectors)]
    with torch.no_grad():
        known = model.get_input_embeddings().weight
        vectors.weight.data = known[torch.tensor(begin)].detach().float().clone()
    return model


def _written(ran: Any, parent: "LanguageParent", materials: Materials, folder: Path) -> Decided:
    from lifeloop.models.language_files import ADAPTER, LANGUAGE
    from lifeloop.training.language.parent import decided, record_of, write_beside
    from lifeloop.training.language.plan import is_first
    from lifeloop.training.record import save_record

    if is_first():
        ran.model.save_pretrained(folder / ADAPTER)
        if parent.files is not None and (parent.files / LANGUAGE).is_dir():
            shutil.copytree(parent.files / LANGUAGE, folder / LANGUAGE)
        write_beside(folder)
        method = f"soft-prompt ({materials.settings.vectors} vectors)"
        save_record(folder, record_of(ran, materials, method, len(materials.train)))
    return decided(parent, folder, ran.score)


TRAINER = SoftPromptTrainer()
