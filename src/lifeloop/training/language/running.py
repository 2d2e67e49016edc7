"""The one way to run a trainer of TRL or transformers: checkpoints and resuming, memory, time, validation, the record.

Takes a function that builds the trainer for a plan, gives the trained model, its curve and what happened.
Knows nothing of the method: SFT, DPO, reward models and the rest differ in what they build.
"""

import contextlib
import gc
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from lifeloop.core.progress import Progress
from lifeloop.core.training_record import Point
from lifeloop.training.language.journal import (
    OUT_OF_MEMORY,
    Journal,
    keep_weights,
    last_checkpoint,
    read_journal,
    restore_weights,
    write_journal,
)
from lifeloop.training.language.plan import LessMemory, Plan, halved, is_first, n_processes
from lifeloop.training.trainer import Materials

if TYPE_CHECKING:
    from transformers import Trainer

    from lifeloop.training.language.pace import Score

Build = Callable[[Plan], "Trainer"]
"""Opens the model anew and returns its trainer, with `plan.arguments(...)` in its configuration."""


class Ran(Struct, frozen=True):
    """What came of a training."""

    model: Any
    """With the weights that were kept; on every process."""
    trainer: Any
    curve: tuple[Point, ...]
    events: tuple[str, ...]
    best_step: int
    """The step whose weights these are; 0 for the last."""
    score: float | None
    """What validation said of these weights (more is better); None where it was not asked."""
    plan: Plan
    """Of the attempt that came through."""


def run(
    build: Build,
    materials: Materials,
    progress: Progress,
    *,
    batch: int,
    accumulation: int = 1,
    score: "Score | None" = None,
    patience: int = 0,
    minutes: float = 0.0,
    keep_best: bool = True,
    part: str = "",
    where: str = "candidates",
) -> Ran:
    """Train to the end, from the last checkpoint in `materials.scratch` where there is one.

    `batch` times `accumulation` examples make a step on each device. Where validation is measured, its score is `score`
    or else the negative validation loss; the weights that scored best are kept, and training stops after `patience`
    validations (0: never) that were no better, or after `minutes` over all attempts. Where memory runs out, the batch
    is halved and the accumulation doubled, which changes no step. Trainings of one candidate that are not the same
    (an ablation, say) have a `part` each. Raises ModelError where one example does not fit; `Outdone` passes.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet())
        if materials.scratch is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lifeloop-")))
        else:
            folder = materials.scratch / "training" / part if part else materials.scratch / "training"
            folder.mkdir(parents=True, exist_ok=True)
        plan = Plan(folder, batch, accumulation, materials.seed, resumable=materials.scratch is not None)
        rules = {"score": score, "patience": patience, "minutes": minutes, "keep_best": keep_best}
        while True:
            ran = _attempt(build, plan, materials, progress, rules)
            if isinstance(ran, Ran):
                return ran
            plan = _less_memory(ran, where)


def _less_memory(plan: Plan, where: str) -> Plan:
    """Return the next attempt's plan after memory ran out, with that in its journal.

    Raises LessMemory where this is one process of several, which cannot go on alone.
    """
    lower = halved(plan, where)
    journal = read_journal(plan.folder) or Journal(plan.batch, plan.accumulation)
    now = f"went on with {lower.batch}, {lower.accumulation} to a step"
    event = f"{OUT_OF_MEMORY} with batches of {plan.batch}: {now}"
    if event not in journal.events:  # another process may have been first
        changed = {"batch": lower.batch, "accumulation": lower.accumulation, "events": (*journal.events, event)}
        write_journal(plan.folder, msgspec.structs.replace(journal, **changed))
    if n_processes() > 1:
        raise LessMemory
    gc.collect()
    _empty_cache()
    return lower


def _attempt(build: Build, plan: Plan, materials: Materials, progress: Progress, rules: dict[str, Any]) -> Ran | Plan:
    """Return what came of it, or the plan that ran out of memory."""
    from transformers import set_seed
    from transformers.trainer_callback import PrinterCallback

    from lifeloop.training.language.pace import Pace

    journal = read_journal(plan.folder) or Journal(plan.batch, plan.accumulation)
    plan = msgspec.structs.replace(plan, batch=journal.batch, accumulation=journal.accumulation)
    pace = Pace(plan, journal, progress, materials.watch, **rules)
    set_seed(materials.seed)  # adapters begin from chance
    try:
        trainer = build(plan)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(pace)
        pace.trainer = trainer
        if not journal.done:
            _train(trainer, pace, plan)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return plan
    return _finished(trainer, pace, plan)


def _train(trainer: "Trainer", pace: Any, plan: Plan) -> None:
    from lifeloop.training.language.pace import curve_of

    checkpoint = last_checkpoint(plan.folder) if plan.resumable else None
    if checkpoint is not None:
        pace.note(f"resumed at step {checkpoint.name.rpartition('-')[2]}")
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if plan.resumable and is_first() and pace.journal.best_score is None:
        keep_weights(plan.folder, trainer.accelerator.unwrap_model(trainer.model))
    pace.write(done=True, curve=curve_of(trainer.state.log_history))


def _finished(trainer: "Trainer", pace: Any, plan: Plan) -> Ran:
    journal: Journal = pace.journal
    model = trainer.accelerator.unwrap_model(trainer.model)
    trainer.accelerator.wait_for_everyone()
    if plan.resumable or journal.best_score is not None:
        restore_weights(plan.folder, model)
    model.eval()
    return Ran(
        model=model,
        trainer=trainer,
        curve=journal.curve,
        events=journal.events,
        best_step=journal.best_step,
        score=journal.best_score,
        plan=plan,
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on a GPU or on the CPU."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        words in said for words in ("can't allocate memory", "not enough memory", "out of memory")
    )


def _empty_cache() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' advice to authors of scripts, and their bars, from those who run trainings."""
    import datasets
    from transformers.utils import logging as bars

    before = {name: logging.getLogger(name).level for name in ("transformers", "trl", "accelerate", "peft")}
    shown = bars.is_progress_bar_enabled(), datasets.utils.is_progress_bar_enabled()
    for name in before:
        logging.getLogger(name).setLevel(logging.ERROR)
    bars.disable_progress_bar()
    datasets.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
        if shown[0]:
            bars.enable_progress_bar()
        if shown[1]:
            datasets.enable_progress_bars()
