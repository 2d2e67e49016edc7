"""Trains a language model to say given answers to given prompts, or to go on with given texts: TRL's SFTTrainer.

Takes rows of tokens, gives the trained model. Two things differ from a plain TRL script, at equal results: the last
layer is computed where an answer is learned and nowhere else, and rows of like length go together.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from msgspec import Struct
from trl import SFTConfig, SFTTrainer

from lifeloop.core.progress import Progress
from lifeloop.training.language.answer_head import answers_only
from lifeloop.training.language.order import ByLength
from lifeloop.training.language.plan import CHECKPOINTS, Plan, n_processes
from lifeloop.training.language.running import Ran, run
from lifeloop.training.language.turns import Turn
from lifeloop.training.language.validation import ACCURACY, Branches, measured
from lifeloop.training.trainer import Materials

if TYPE_CHECKING:
    import torch

SMALL, FEW = 50_000_000, 4
"""From so many trained weights on, a checkpoint is gigabytes, and there are few."""
IGNORED = -100
"""The label of tokens that are not learned, as TRL has it."""


class Course(Struct, frozen=True):
    """What is learned, how long and how fast."""

    train: Sequence[Turn]
    """An empty prompt makes a text of which every token is learned."""
    validation: Sequence[Turn]
    labels: Branches
    """The prefix tree of the labels, or empty."""
    epochs: float
    batch: int
    learning_rate: float
    accumulation: int = 1
    warmup: float = 0.05
    """Share of the steps over which the learning rate rises; then it falls to nothing, as half a cosine."""
    weight_decay: float = 0.0
    packing: bool = False
    max_tokens: int = 512
    """Of one packed row."""
    bfloat16: bool = True
    """False: products in float32 even where bfloat16 would be faster."""
    evaluations: int = 4
    patience: int = 0
    minutes: float = 0.0


class AnswerTrainer(SFTTrainer):  # type: ignore[misc]
    """TRL's trainer with rows in order of length, and labels looked at in validation."""

    def __init__(self, *, lengths: Sequence[int], measure: "Callable[[Any], dict[str, float]]", **theirs: Any) -> None:
        super().__init__(**theirs)
        self._lengths = lengths
        self._measure = measure
        answers_only(self.model)

    def _get_train_sampler(self, train_dataset: Any = None) -> "torch.utils.data.Sampler[int] | None":
        if self.args.packing:
            return super()._get_train_sampler(train_dataset)  # type: ignore[no-any-return]
        step = self.args.train_batch_size * self.args.gradient_accumulation_steps * n_processes()
        return ByLength(self._lengths, step, self.args.seed, lambda: self.state.epoch or 0.0)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Return loss and label accuracy of the validation turns; logged like TRL's own."""
        del args, kwargs
        model = self.accelerator.unwrap_model(self.model)
        model.eval()
        with self.compute_loss_context_manager():
            metrics = self._measure(model)
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def taught(open_model: Callable[[], tuple[Any, Any]], course: Course, materials: Materials, progress: Progress) -> Ran:
    """Return the model after the course. `open_model` gives the model to train and its tokenizer, anew each time."""

    def build(plan: Plan) -> AnswerTrainer:
        model, tokenizer = open_model()
        return trainer_for(model, tokenizer, course, plan)

    return run(
        build,
        materials,
        progress,
        batch=course.batch,
        accumulation=course.accumulation,
        score=scored,
        patience=course.patience,
        minutes=course.minutes,
    )


def trainer_for(model: Any, tokenizer: Any, course: Course, plan: Plan) -> AnswerTrainer:
    """Return the trainer of a plan."""
    evaluations = course.evaluations if course.validation else 0
    steps = plan.steps(n_rows(course), course.epochs)
    small = sum(tensor.numel() for tensor in model.parameters() if tensor.requires_grad) < SMALL
    arguments = plan.arguments(steps, evaluations, CHECKPOINTS if small else FEW)
    config = SFTConfig(
        num_train_epochs=course.epochs,
        learning_rate=course.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(course.warmup * steps),
        weight_decay=course.weight_decay,
        packing=course.packing,
        eval_packing=False,
        max_length=course.max_tokens if course.packing else None,
        dataset_kwargs=None if course.packing else {"skip_prepare_dataset": True},
        **(arguments if course.bfloat16 else arguments | {"bf16": False}),
    )
    return AnswerTrainer(
        lengths=[len(turn.prompt) + len(turn.completion) for turn in course.train],
        measure=lambda unwrapped: measured(unwrapped, course.validation, course.labels, plan.batch),
        model=model,
        args=config,
        train_dataset=rows(course.train),
        eval_dataset=rows(course.validation) if evaluations else None,
        processing_class=tokenizer,
    )


def rows(turns: Sequence[Turn]) -> Dataset:
    """Return turns as TRL trains on them: `input_ids`, and `labels` where something is learned."""
    return Dataset.from_dict(
        {
            "input_ids": [[*turn.prompt, *turn.completion] for turn in turns],
            "labels": [[IGNORED] * len(turn.prompt) + list(turn.completion) for turn in turns],
        }
    )


def n_rows(course: Course) -> int:
    """Return how many rows a pass has: fewer than there are turns where they are packed."""
    if not course.packing:
        return len(course.train)
    from trl import pack_dataset

    return len(pack_dataset(rows(course.train), course.max_tokens, "bfd"))


def scored(trainer: Any, metrics: Mapping[str, float]) -> float:
    """Return the accuracy of labels where there are any, else the negative loss."""
    del trainer
    return metrics.get(ACCURACY, -metrics["eval_loss"])
