"""Trains a language model on what its own answers are worth: TRL's GRPOTrainer, on the tokens of serving.

Takes a parent and a function that says what answers are worth, gives the trained model.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import Dataset
from transformers import Trainer
from trl import GRPOConfig, GRPOTrainer

from lifeloop.core.data import Example
from lifeloop.core.preferences import Preference
from lifeloop.core.progress import Progress
from lifeloop.models.devices import device_named
from lifeloop.training.language.asked import Asked
from lifeloop.training.language.goal import goals
from lifeloop.training.language.parent import WHERE, LanguageParent
from lifeloop.training.language.plan import Plan, is_first
from lifeloop.training.language.reward import reward_model, rewards, save_reward
from lifeloop.training.language.running import Ran, run
from lifeloop.training.language.turns import prompt_ids
from lifeloop.training.language.watching import Watch, look, watch_sample

if TYPE_CHECKING:
    from lifeloop.training.language.grpo import Settings

Worth = Callable[[Sequence[Example], Sequence[str]], Sequence[float]]
"""From examples and the answers to them to what each is worth; more is better."""


class AnswerTrainer(GRPOTrainer):  # type: ignore[misc]
    """TRL's trainer whose prompts are tokenised as serving does, and that is measured by the watch alone."""

    def __init__(self, *, watch: Watch, asked: Asked, longest: int, **theirs: Any) -> None:
        self.watch = watch
        self._asked = asked
        self._longest = longest
        super().__init__(**theirs)

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        return [list(prompt_ids(self._asked.how, text, self._longest)) for text in prompts], None, {}

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Measure nothing here: the watch lets the model answer greedily, as it will when it serves."""
        del args, kwargs
        metrics: dict[str, float] = {"eval_items": float(len(self.eval_dataset))}
        Trainer.log(self, dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def by_metric(asked: Asked) -> Worth:
    """Return that answers are worth what the brief's first objective says of each."""
    return lambda examples, outputs: goals(asked.materials, examples, outputs).tolist()


def by_reward_model(
    parent: LanguageParent,
    asked: Asked,
    pairs: Sequence[Preference],
    folder: Path,
    progress: Progress,
    part: str,
) -> Worth:
    """Return that answers are worth what a reward model says, after training it on the pairs.

    It is kept in the candidate's folder, but for one that a comparison alone needs (`part`).
    """
    from lifeloop.training.language.lora import merged

    ran = reward_model(parent, asked, pairs, progress, f"{part or 'guarded'}-reward")
    model = save_reward(ran, folder) if is_first() and not part else merged(ran.model)
    return lambda examples, outputs: rewards(model, asked, [example.input for example in examples], outputs)


def trained(parent: LanguageParent, asked: Asked, worth: Worth, progress: Progress, part: str) -> Ran:
    """Return the parent's model after training; those weights are kept whose answers to the watch are worth most."""
    materials = asked.materials
    settings: Settings = materials.settings
    by_input = {example.input: example for example in materials.train}
    inputs = list(by_input)
    sample = watch_sample(materials, max(1, settings.watch_items))

    def mean_worth(examples: Sequence[Example], outputs: Sequence[str]) -> float:
        return float(np.mean(worth(examples, outputs)))

    def build(plan: Plan) -> AnswerTrainer:
        model, tokenizer = parent.open_trained(settings)
        model = model.to(device_named("auto", WHERE))  # the watch lets it answer before the trainer has it
        limit = settings.watch_limit if settings.watch_items else float("inf")
        watch = Watch(materials, model, asked.answers, sample=sample, limit=limit, rewards=mean_worth)
        n_steps = plan.steps(len(inputs) * settings.generations, settings.epochs)
        return AnswerTrainer(
            watch=watch,
            asked=asked,
            longest=settings.max_answer,
            model=model,
            reward_funcs=[_reward(worth, by_input)],
            args=_config(settings, plan, n_steps),
            train_dataset=Dataset.from_dict({"prompt": inputs}),
            eval_dataset=Dataset.from_dict({"prompt": [example.input for example in sample]}),
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


def _reward(worth: Worth, by_input: dict[str, Example]) -> Callable[..., list[float]]:
    """Return what TRL calls with the answers to a batch of inputs."""

    def reward(prompts: list[str], completions: list[str], **_: Any) -> list[float]:
        return list(worth([by_input[prompt] for prompt in prompts], [text.strip() for text in completions]))

    return reward


def _config(settings: "Settings", plan: Plan, n_steps: int) -> GRPOConfig:
    arguments = plan.arguments(n_steps, settings.evaluations)
    return GRPOConfig(
        max_steps=n_steps,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(settings.warmup * n_steps),
        beta=settings.beta,
        num_generations=settings.generations,
        num_generations_eval=1,
        max_completion_length=settings.max_answer,
        temperature=settings.temperature,
        eval_on_start=True,  # where no later place is better, the parent's own weights are kept
        **(arguments if settings.dtype != "float32" else arguments | {"bf16": False}),
    )
