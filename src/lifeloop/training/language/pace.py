"""Walks beside a training: tells how far it is, measures validation, keeps the best weights, and says when to stop.

All that it needs to go on after a kill is in the trainer's own log, which its checkpoints hold, and in the journal.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from transformers import TrainerCallback

from lifeloop.core.progress import Progress
from lifeloop.core.training_record import Point
from lifeloop.training.language.journal import Journal, keep_weights, mark_whole, write_journal
from lifeloop.training.language.plan import Plan, is_first, n_processes

if TYPE_CHECKING:
    from transformers import Trainer, TrainerControl, TrainerState

SCORE = "eval_score"
"""Under this name the score stands in the trainer's log, and so in its checkpoints."""

Score = Callable[["Trainer", Mapping[str, float]], float]
"""What validation says of the model as it is, from the trainer and what it measured itself: more is better."""


class Enough(Exception):
    """What a score raises to end a training where it is, with the reason in a sentence."""


class Pace(TrainerCallback):
    """The callback of one attempt."""

    def __init__(
        self,
        plan: Plan,
        journal: Journal,
        progress: Progress,
        watch: Callable[[int, float], None],
        *,
        score: Score | None,
        patience: int,
        minutes: float,
        keep_best: bool,
    ) -> None:
        self.trainer: Any = None
        self.journal = journal
        self._plan = plan
        self._progress = progress if is_first() else None
        self._watch = watch
        self._score = score
        self._patience = patience
        self._seconds = minutes * 60
        self._keep_best = keep_best
        self._begun = time.monotonic()
        self._before = journal.seconds

    def note(self, event: str) -> None:
        """Write down what happened."""
        self.journal = msgspec.structs.replace(self.journal, events=(*self.journal.events, event))

    def write(self, **changed: Any) -> None:
        """Write the journal as it is now, with what changed."""
        seconds = self._before + time.monotonic() - self._begun
        self.journal = msgspec.structs.replace(self.journal, seconds=seconds, **changed)
        if is_first():
            write_journal(self._plan.folder, self.journal)

    def on_log(self, args: Any, state: "TrainerState", control: "TrainerControl", **kwargs: Any) -> None:
        if self._progress is not None and state.max_steps:
            losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
            loss = f", loss {losses[-1]:.3f}" if losses else ""
            self._progress(state.global_step, state.max_steps, f"epoch {state.epoch or 0:.1f}{loss}")

    def on_step_end(self, args: Any, state: "TrainerState", control: "TrainerControl", **kwargs: Any) -> None:
        late = self._before + time.monotonic() - self._begun > self._seconds
        if self._seconds and state.global_step < state.max_steps and _agreed(late):
            minutes = f"{self._seconds / 60:.4g}"
            self.note(f"stopped after {minutes} minutes, at step {state.global_step} of {state.max_steps}")
            control.should_training_stop = True
            control.should_log = True
            control.should_evaluate = args.eval_strategy != "no"

    def on_evaluate(
        self, args: Any, state: "TrainerState", control: "TrainerControl", metrics: dict[str, float], **kwargs: Any
    ) -> None:
        enough = ""
        try:
            found = self._score(self.trainer, metrics) if self._score else -metrics["eval_loss"]
        except Enough as reason:
            enough, found = str(reason), math.nan
        score, enough = _agreed((float(found), enough))
        step = state.global_step
        if enough:
            self.note(f"stopped at step {step}: {enough}")
            control.should_training_stop = True
            return
        state.log_history[-1][SCORE] = metrics[SCORE] = score
        self._keep(step, score)
        if is_first():
            self._watch(step, score)
        if self._patience and (best := fallen_behind(state.log_history, self._patience)) is not None:
            self.note(f"stopped at step {step}: no better than at step {best} in {self._patience} validations")
            control.should_training_stop = True

    def _keep(self, step: int, score: float) -> None:
        best = self.journal.best_score
        if self._keep_best and not math.isnan(score) and (best is None or score > best):
            if is_first():
                keep_weights(self._plan.folder, self.trainer.accelerator.unwrap_model(self.trainer.model))
            self.write(best_step=step, best_score=score)

    def on_save(self, args: Any, state: "TrainerState", control: "TrainerControl", **kwargs: Any) -> None:
        self.trainer.accelerator.wait_for_everyone()  # a checkpoint holds the random state of every process
        if is_first():
            mark_whole(self._plan.folder, state.global_step)
        self.write()


def fallen_behind(log: Sequence[Mapping[str, Any]], patience: int) -> int | None:
    """Return the step of the best score where `patience` validations since were no better, or None."""
    scores = [(entry["step"], entry[SCORE]) for entry in log if SCORE in entry]
    if not scores:
        return None
    best = max(range(len(scores)), key=lambda place: (scores[place][1], -place))
    return scores[best][0] if len(scores) - 1 - best >= patience else None


def curve_of(log: Sequence[Mapping[str, Any]]) -> tuple[Point, ...]:
    """Return the places of a trainer's log as those of a curve, one a step."""
    points: dict[int, dict[str, Any]] = {}
    for entry in log:
        found = {field: entry[name] for name, field in _FIELDS.items() if _is_number(entry.get(name))}
        if found:
            points.setdefault(entry["step"], {}).update(found)
    return tuple(Point(step=step, **found) for step, found in sorted(points.items()))


_FIELDS = {
    "loss": "loss",
    "eval_loss": "validation_loss",
    SCORE: "score",
    "reward": "reward",
    "rewards/margins": "reward",
    "eval_rewards/margins": "reward",
}
"""Names in TRL's logs, the later ones before the earlier where both were measured."""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _agreed(value: Any) -> Any:
    """Return what the first process thinks, in all of them: who stops alone leaves the others waiting."""
    if n_processes() == 1:
        return value
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]
