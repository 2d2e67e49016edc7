"""Trains a language model on answers that were liked or disliked: TRL's KTOTrainer, on the tokens of serving.

Takes a parent and preferences, gives the trained model. Weights are heeded before training: TRL keeps the order of the
rows of a batch, so the rows of little weight are thinned out once.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from trl import KTOConfig, KTOTrainer

from lifeloop.core.preferences import Preference
from lifeloop.core.progress import Progress
from lifeloop.models.devices import device_named
from lifeloop.training.language.asked import Asked
from lifeloop.training.language.pair_head import answers_only_of_pairs
from lifeloop.training.language.parent import WHERE, LanguageParent
from lifeloop.training.language.plan import Plan
from lifeloop.training.language.preference_rows import Rows, counted, single_rows, watched
from lifeloop.training.language.running import Ran, run
from lifeloop.training.language.watching import Watch, look, watch_sample
from lifeloop.training.language.weighing import thinned

if TYPE_CHECKING:
    from lifeloop.training.language.kto import Settings


class LikedTrainer(KTOTrainer):  # type: ignore[misc]
    """TRL's trainer with rows that are tokens already."""

    def __init__(self, *, watch: Watch, **theirs: Any) -> None:
        self.watch = watch
        super().__init__(**theirs)
        answers_only_of_pairs(self.model)

    def _prepare_dataset(self, dataset: Dataset, processing_class: Any, args: KTOConfig, name: str) -> Dataset:
        del processing_class, name
        size = args.per_device_train_batch_size
        ids = dataset["completion_ids"]
        # Each input with the answer to the one before it in the batch: from these the KL term is estimated.
        blocks = [list(ids[start : start + size]) for start in range(0, len(ids), size)]
        return dataset.add_column("KL_completion_ids", [row for block in blocks for row in (block[-1], *block[:-1])])


def trained(
    parent: LanguageParent, asked: Asked, preferences: Sequence[Preference], progress: Progress, part: str
) -> Ran:
    """Return the parent's model after training on preferences. The weights kept are the best on held-out ones."""
    materials = asked.materials
    settings: Settings = materials.settings
    all_rows = single_rows(asked.how, preferences)
    weights = [each.weight for each in preferences for answer in (each.chosen, each.rejected) if answer]
    rows = [all_rows[place] for place in thinned(weights, materials.seed)]
    held_out = single_rows(asked.how, counted(materials.held_out) or watched(materials))

    def build(plan: Plan) -> LikedTrainer:
        model, tokenizer = parent.open_trained(settings)
        model = model.to(device_named("auto", WHERE))  # the watch lets it answer before the trainer has it
        sample = watch_sample(materials, settings.watch_items)
        watch = Watch(materials, model, asked.answers, sample=sample, limit=settings.watch_limit)
        return LikedTrainer(
            watch=watch,
            model=model,
            args=_config(settings, plan, rows),
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


def _config(settings: "Settings", plan: Plan, rows: Rows) -> KTOConfig:
    n_steps = plan.steps(len(rows), settings.epochs)
    arguments = plan.arguments(n_steps, settings.evaluations)
    liked, disliked = balance(rows)
    return KTOConfig(
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(settings.warmup * n_steps),
        beta=settings.beta,
        desirable_weight=liked,
        undesirable_weight=disliked,
        precompute_ref_log_probs=True,
        max_length=None,
        eval_on_start=True,  # where no later place is better, the parent's own weights are kept
        **(arguments if settings.dtype != "float32" else arguments | {"bf16": False}),
    )


def balance(rows: Rows) -> tuple[float, float]:
    """Return the weights of liked and disliked answers: the rarer kind counts as much as the other does in all.

    Equation 8 of the paper, with a ratio of 1. Where one kind is missing, both weigh 1.
    """
    liked = sum(row["label"] for row in rows)
    disliked = len(rows) - liked
    if not liked or not disliked:
        return 1.0, 1.0
    return max(1.0, disliked / liked), max(1.0, liked / disliked)
