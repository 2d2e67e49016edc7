"""What a search keeps of its trials, so that a kill costs none that is over: those files, and who watches a trial.

Takes looks at validation as they come, gives a training up where it falls behind. Knows nothing of what is searched.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from lifeloop.core.content import Id
from lifeloop.training.trainer import Decided, Outdone

if TYPE_CHECKING:
    from optuna import Trial

TRIED = "trials.json"


class Tried(Struct, frozen=True):
    """A trial that is over."""

    chosen: dict[str, Any]
    """Setting to value, where it is not the brief's own."""
    seconds: float
    score: float | None = None
    """On validation, more is better; None where it failed or was given up."""
    decided: Decided = Decided()
    reported: tuple[float, ...] = ()
    """What validation said on the way."""
    stopped: bool = False
    failed: str = ""


class Log(Struct, frozen=True):
    """The file of trials that are over."""

    plan: Id
    tried: tuple[Tried, ...] = ()


class Reported(Struct, frozen=True):
    """What a trial under way has reported, by step, and how long it has taken."""

    scores: dict[int, float] = {}
    seconds: float = 0.0


class Watch:
    """What a trainer calls with each look at validation: keeps it, and gives the training up where it falls behind."""

    def __init__(self, file: Path, trial: "Trial | None", clock: Callable[[], float], seconds_left: float) -> None:
        before = msgspec.json.decode(file.read_bytes(), type=Reported) if file.exists() else Reported()
        self.scores: dict[int, float] = dict(before.scores)
        self._file = file
        self._trial = trial
        self._clock = clock
        self._begun = clock() - before.seconds
        self._seconds_left = seconds_left
        for place, score in enumerate(self.scores.values(), start=1):
            if trial is not None:
                trial.report(score, place)

    def __call__(self, step: int, score: float) -> None:
        """Take note. The how-manieth look it is, not the step, is what trials of other batch sizes have in common."""
        if step in self.scores or not math.isfinite(score):
            return  # seen before a kill
        self.scores[step] = score
        write(self._file, Reported(self.scores, self.seconds()))
        if self._trial is None:
            return
        self._trial.report(score, len(self.scores))
        if self._trial.should_prune():
            raise Outdone(f"{score:.4f} at step {step} is below the median of the others")
        if self.seconds() > self._seconds_left:
            raise Outdone("the time of the search is up")

    def seconds(self) -> float:
        """Return how long the trial has taken, before a kill and since."""
        return self._clock() - self._begun


def kept(root: Path, plan: Id) -> tuple[Tried, ...]:
    """Return the trials that an earlier process made of the same plan."""
    file = root / TRIED
    if not file.exists():
        return ()
    log = msgspec.json.decode(file.read_bytes(), type=Log)
    return log.tried if log.plan == plan else ()


def write(file: Path, value: Struct) -> None:
    """Put a file in its place at once, so that a kill leaves the old one or the new one."""
    beside = file.with_suffix(".part")
    beside.write_bytes(msgspec.json.encode(value))
    beside.replace(file)
