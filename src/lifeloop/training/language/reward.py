"""A reward model: reads an input with an answer and says, as one number, how well people would like it.

Trained on pairs over TRL's RewardTrainer (Bradley and Terry, 1952), from the language model that is to be aligned, with
one output in place of the vocabulary. Kept under `reward/` beside what it was used for.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from trl import RewardConfig, RewardTrainer

from lifeloop.core.preferences import Preference
from lifeloop.core.progress import Progress
from lifeloop.training.language.asked import Asked
from lifeloop.training.language.likelihood import Row, asking
from lifeloop.training.language.lora import merged, nameless
from lifeloop.training.language.parent import LanguageParent, weights_of
from lifeloop.training.language.plan import Plan
from lifeloop.training.language.preference_rows import answer_row, watched
from lifeloop.training.language.running import Ran, run
from lifeloop.training.language.weighing import Passes

if TYPE_CHECKING:
    from lifeloop.training.language.grpo import Settings

REWARD = "reward"
"""Folder of the reward model, in the form of transformers."""
BATCH = 16


class PreferenceTrainer(RewardTrainer):  # type: ignore[misc]
    """TRL's trainer with passes that heed weights."""

    def __init__(self, *, weights: Sequence[float], **theirs: Any) -> None:
        self._weights = weights
        super().__init__(**theirs)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        del train_dataset
        return Passes(self._weights, self.args.seed)


def reward_model(
    parent: LanguageParent, asked: Asked, pairs: Sequence[Preference], progress: Progress, part: str
) -> Ran:
    """Return what came of training a reward model; its score is the accuracy on held-out pairs."""
    materials = asked.materials
    settings: Settings = materials.settings
    weights = [pair.weight for pair in pairs]

    def build(plan: Plan) -> PreferenceTrainer:
        n_steps = plan.steps(len(Passes(weights, materials.seed)), settings.reward_epochs)
        arguments = plan.arguments(n_steps, settings.evaluations)
        return PreferenceTrainer(
            weights=weights,
            model=_with_one_output(parent, settings),
            args=RewardConfig(
                num_train_epochs=settings.reward_epochs,
                learning_rate=settings.reward_learning_rate,
                lr_scheduler_type="cosine",
                warmup_steps=round(settings.warmup * n_steps),
                max_length=None,
                **(arguments if settings.dtype != "float32" else arguments | {"bf16": False}),
            ),
            train_dataset=_rows(asked, pairs),
            eval_dataset=_rows(asked, watched(materials)),
            processing_class=parent.tokenizer,
        )

    return run(
        build,
        materials,
        progress,
        batch=settings.batch,
        score=lambda _, measured: measured["eval_accuracy"],
        part=part,
    )


def save_reward(ran: Ran, folder: Path) -> Any:
    """Write the reward model to `reward/` in the folder and return it, as one model."""
    model = merged(ran.model)
    model.save_pretrained(folder / REWARD)
    return model


def rewards(model: Any, asked: Asked, inputs: Sequence[str], outputs: Sequence[str]) -> list[float]:
    """Return the reward of each output to its input; more is better, and only differences mean something."""
    import torch

    rows: list[Row] = [answer_row(asked.how, text, output) for text, output in zip(inputs, outputs, strict=True)]
    found: list[float] = []
    device = next(model.parameters()).device
    filler = model.config.get_text_config().pad_token_id
    with asking(model):
        for start in range(0, len(rows), BATCH):
            whole = [[*prompt, *answer] for prompt, answer in rows[start : start + BATCH]]
            width = max(map(len, whole))
            ids = torch.tensor([row + [filler] * (width - len(row)) for row in whole], device=device)
            mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in whole], device=device)
            found += model(input_ids=ids, attention_mask=mask).logits[:, 0].float().tolist()
    return found


def _with_one_output(parent: LanguageParent, settings: "Settings") -> Any:
    """Return the parent's body under a new head of one output, with what is trained of it."""
    from transformers import AutoModelForSequenceClassification

    writer = parent.open_whole("float32")
    config = type(writer.config).from_dict(writer.config.to_dict() | {"num_labels": 1})
    config.pad_token_id = parent.tokenizer.pad_token_id
    model = AutoModelForSequenceClassification.from_config(config)
    model.base_model.load_state_dict(writer.base_model.state_dict())
    how = weights_of(settings)
    if how.method == "full":
        return model
    from peft import LoraConfig, get_peft_model

    adapter = LoraConfig(
        task_type="SEQ_CLS",
        r=how.rank,
        lora_alpha=how.alpha,
        lora_dropout=how.dropout,
        use_dora=how.method == "dora",
        target_modules="all-linear",
        modules_to_save=["score"],
    )
    return nameless(get_peft_model(model, adapter))


def _rows(asked: Asked, pairs: Sequence[Preference]) -> Dataset:
    found = []
    for pair in pairs:
        chosen, rejected = (answer_row(asked.how, pair.input, answer) for answer in (pair.chosen, pair.rejected))
        found.append({"chosen_ids": [*chosen[0], *chosen[1]], "rejected_ids": [*rejected[0], *rejected[1]]})
    return Dataset.from_list(found)
