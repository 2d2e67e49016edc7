"""Trains a language model on pairs of answers: TRL's DPOTrainer, on the tokens that serving reads and writes.

Takes a parent and pairs, gives the trained model. Two things differ from a plain TRL script: rows come as tokens, and
each pass takes so many pairs of little weight as their weights add up to.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from lifeloop.core.preferences import Preference
from lifeloop.core.progress import Progress
from lifeloop.models.devices import device_named
from lifeloop.training.language.asked import Asked
from lifeloop.training.language.pair_head import answers_only_of_pairs
from lifeloop.training.language.parent import WHERE, LanguageParent
from lifeloop.training.language.plan import Plan
from lifeloop.training.language.preference_rows import pair_rows, watched
from lifeloop.training.language.running import Ran, run
from lifeloop.training.language.watching import Watch, look, watch_sample
from lifeloop.training.language.weighing import Passes

if TYPE_CHECKING:
    from lifeloop.training.language.dpo import Settings

MOST_FLIPPED = 0.4
"""The robust loss divides by one less twice the share of flipped pairs, and is all noise near a half."""


class PairTrainer(DPOTrainer):  # type: ignore[misc]
    """TRL's trainer with rows that are tokens already, and passes that heed weights."""

    def __init__(self, *, watch: Watch, weights: Sequence[float], **theirs: Any) -> None:
        self.watch = watch
        self._weights = weights
        super().__init__(**theirs)
        answers_only_of_pairs(self.model)

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        del args, kwargs
        return dataset

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        del train_dataset
        return Passes(self._weights, self.args.seed)


def trained(parent: LanguageParent, asked: Asked, pairs: Sequence[Preference], progress: Progress, part: str) -> Ran:
    """Return the parent's model after training on pairs. The weights kept are the best on held-out pairs."""
    materials = asked.materials
    settings: Settings = materials.settings
    rows = pair_rows(asked.how, pairs)
    held_out = pair_rows(asked.how, watched(materials))
    weights = [pair.weight for pair in pairs]

    def build(plan: Plan) -> PairTrainer:
        model, tokenizer = parent.open_trained(settings)
        model = model.to(device_named("auto", WHERE))  # the watch lets it answer before the trainer has it
        sample = watch_sample(materials, settings.watch_items)
        watch = Watch(materials, model, asked.answers, sample=sample, limit=settings.watch_limit)
        n_steps = plan.steps(len(Passes(weights, materials.seed)), settings.epochs)
        return PairTrainer(
            watch=watch,
            weights=weights,
            model=model,
            args=_config(settings, plan, n_steps, materials.flip_rate),
            train_dataset=Dataset.from_list(rows),
            eval_dataset=Dataset.from_list(held_out),
            processing_class=tokenizer,
        )

    return run(
        build,
        materials,
        progress,
        batch=settings.batch,
        score=look,
        patience=settings.patience,
        minutes=settings.minutes,
        part=part,
    )


def _config(settings: "Settings", plan: Plan, n_steps: int, flip_rate: float) -> DPOConfig:
    arguments = plan.arguments(n_steps, settings.evaluations)
    return DPOConfig(
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(settings.warmup * n_steps),
        beta=settings.beta,
        loss_type=[settings.loss, "sft"] if settings.anchor else [settings.loss],
        loss_weights=[1.0, settings.anchor] if settings.anchor else None,
        label_smoothing=min(flip_rate, MOST_FLIPPED) if settings.loss == "robust" else 0.0,
        precompute_ref_log_probs=True,
        max_length=None,
        eval_on_start=True,  # where no later place is better, the parent's own weights are kept
        **(arguments if settings.dtype != "float32" else arguments | {"bf16": False}),
    )
