"""A search over settings, for any trainer that says how good its candidate is on validation.

The brief's own settings are tried first, so a search never ends worse on validation than none. The others are proposed
by a tree-structured Parzen estimator (Bergstra et al., 2011), and given up where they are below the median of the
others at the same point (Golovin et al., 2017); both are optuna's. Only validation is ever looked at.

What was tried is kept in the scratch folder: after a kill no trial is repeated, and the next proposals are the same.
"""

import math
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from lifeloop.core.content import content_id
from lifeloop.core.errors import ModelError
from lifeloop.core.progress import Progress
from lifeloop.core.training_record import SearchTrial, TrainingRecord
from lifeloop.training.record import load_record, save_record
from lifeloop.training.search_log import TRIED, Log, Tried, Watch, kept, write
from lifeloop.training.search_proposals import Asked, proposed
from lifeloop.training.search_ranges import SearchPlan, plan_of
from lifeloop.training.trainer import Decided, Materials, Outdone, Trainer

if TYPE_CHECKING:
    from optuna import Trial

REPORTED = "reported.json"
MADE, SCRATCH = "made", "scratch"


def searched(
    trainer: Trainer,
    materials: Materials,
    table: dict[str, Any],
    where: str,
    folder: Path,
    progress: Progress,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Decided:
    """Write the files of the best trial to `folder` and return what it decided, its settings included.

    `table` is the section `[candidates.NAME.search]`, `where` its place in the brief. `clock` gives seconds, for the
    bound on time. Raises BriefError where the table is wrong, and ModelError where optuna is not installed, no trial
    could be made, or the trainer does not say how good its candidate is.
    """
    plan = plan_of(table, type(materials.settings), where)
    _optuna(where)
    with _root(materials) as root:
        search = Search(trainer, materials, plan, root, progress, clock, where)
        while search.goes_on():
            search.try_next()
        return search.hand_over(folder)


def _optuna(where: str) -> Any:
    try:
        import optuna
    except ModuleNotFoundError:
        raise ModelError(
            "optuna is not installed, which searches settings", where=where, fix="pip install 'lifeloop[features]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


@contextmanager
def _root(materials: Materials) -> Iterator[Path]:
    """Give the folder in which trials are made: one that outlives a kill where there is one."""
    if materials.scratch is not None:
        root = materials.scratch / "search"
        root.mkdir(parents=True, exist_ok=True)
        yield root
    else:
        with tempfile.TemporaryDirectory(prefix="lifeloop-") as folder:
            yield Path(folder)


class Search:
    """One search: what was tried so far, and what comes next."""

    def __init__(
        self,
        trainer: Trainer,
        materials: Materials,
        plan: SearchPlan,
        root: Path,
        progress: Progress,
        clock: Callable[[], float],
        where: str,
    ) -> None:
        self._trainer = trainer
        self._materials = materials
        self._plan = plan
        self._root = root
        self._progress = progress
        self._clock = clock
        self._where = where
        self._id = content_id(plan)
        self._end = ""
        self._own: dict[str, Any] = msgspec.to_builtins(materials.settings)
        self.tried: list[Tried] = list(kept(root, self._id))

    @property
    def best(self) -> int | None:
        """The number of the best trial, the first of equals; None where none has a score."""
        scores = [(tried.score, -number) for number, tried in enumerate(self.tried) if tried.score is not None]
        return -max(scores)[1] if scores else None

    def goes_on(self) -> bool:
        """Return whether another trial may begin: it must be one of those planned, and be likely to end in time."""
        if self._end:
            return False
        if len(self.tried) >= self._plan.trials:
            self._end = f"all {self._plan.trials} trials were made"
        elif self.tried and self._plan.minutes:
            spent = self._spent()
            if spent + spent / len(self.tried) > 60 * self._plan.minutes:
                self._end = f"the {self._plan.minutes:g} minutes have no room for another trial"
        return not self._end

    def try_next(self) -> None:
        """Make one trial and keep what came of it. Finds the end of the search where nothing new is left to try."""
        number = len(self.tried)
        asked = Asked(self._plan, self._own, self.tried, self._materials.seed)
        found = proposed(asked) if number else None
        if number and found is None:
            self._end = "there is nothing else to try"
            return
        chosen, trial = found or ({}, None)
        self.tried.append(self._made(number, chosen, trial))
        write(self._root / TRIED, Log(self._id, tuple(self.tried)))
        best = self.best
        for other in range(len(self.tried)):
            if other != best:
                shutil.rmtree(self._folder(other), ignore_errors=True)

    def hand_over(self, folder: Path) -> Decided:
        """Move the best trial's files to a folder, with the record of the search. Raises ModelError where none is."""
        best = self.best
        if best is None:
            first = self.tried[0]
            raise ModelError(
                f"none of {len(self.tried)} trials could be made; the first: {first.failed}",
                where=self._where,
                fix="mend the candidate's own settings first, without a search",
            )
        shutil.copytree(self._folder(best) / MADE, folder, dirs_exist_ok=True)
        winner = self.tried[best]
        save_record(folder, self._record(folder, winner))
        if self._trainer.settings is not None:  # an adaptation's settings are none of the candidate's
            return winner.decided
        return msgspec.structs.replace(winner.decided, settings=winner.chosen | winner.decided.settings)

    # one trial

    def _made(self, number: int, chosen: dict[str, Any], trial: "Trial | None") -> Tried:
        """Build a candidate in a folder of its own and return what came of it."""
        folder = self._folder(number)
        shutil.rmtree(folder / MADE, ignore_errors=True)
        (folder / MADE).mkdir(parents=True)
        watch = Watch(folder / REPORTED, trial, self._clock, self._seconds_left() if number else math.inf)
        title = f"trial {number + 1} of {self._plan.trials} ({_in_words(chosen)})"
        decided, failed, stopped = Decided(), "", False
        try:
            decided = self._trainer.build(
                self._materials_of(chosen, folder, watch),
                folder / MADE,
                lambda done, total, note: self._progress(done, total, f"{title}: {note}"),
            )
        except Outdone:
            stopped = True
        except (ModelError, MemoryError, msgspec.ValidationError) as error:
            failed = str(error) or "out of memory"
        else:
            if decided.score is None:
                raise _unscored(self._where)
            failed = "" if math.isfinite(decided.score) else f"its score is {decided.score}"
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
        score = None if failed or stopped else decided.score
        return Tried(chosen, watch.seconds(), score, decided, tuple(watch.scores.values()), stopped, failed)

    def _materials_of(self, chosen: dict[str, Any], folder: Path, watch: "Watch") -> Materials:
        settings = msgspec.convert(self._own | chosen, type(self._materials.settings))
        scratch = folder / SCRATCH if self._materials.scratch is not None else None
        if scratch is not None:
            scratch.mkdir(exist_ok=True)
        return msgspec.structs.replace(self._materials, settings=settings, scratch=scratch, watch=watch)

    def _folder(self, number: int) -> Path:
        return self._root / f"trial-{number}"

    def _spent(self) -> float:
        return sum(tried.seconds for tried in self.tried)

    def _seconds_left(self) -> float:
        return 60 * self._plan.minutes - self._spent() if self._plan.minutes else math.inf

    # what is kept

    def _record(self, folder: Path, winner: Tried) -> TrainingRecord:
        """Return the winner's own record, or a new one, with what was searched."""
        settings = self._own | winner.chosen
        own = load_record(folder) or TrainingRecord(
            method=f"search over {', '.join(self._plan.ranges)}",
            seed=self._materials.seed,
            n_examples=len(self._materials.train),
            settings={key: settings[key] for key in self._plan.ranges},
        )
        n_stopped = sum(tried.stopped for tried in self.tried)
        told = f"searched {', '.join(self._plan.ranges)}: {len(self.tried)} trials, {n_stopped} stopped early"
        rows = tuple(
            SearchTrial({key: (self._own | tried.chosen)[key] for key in self._plan.ranges}, tried.score, tried.stopped)
            for tried in self.tried
        )
        return msgspec.structs.replace(own, search=rows, events=(*own.events, f"{told}; {self._end}"))


def _unscored(where: str) -> ModelError:
    return ModelError(
        "it does not say how good it is on validation, so its settings cannot be searched",
        where=where,
        fix="remove the table, or see that the validation split has examples",
    )


def _in_words(chosen: dict[str, Any]) -> str:
    if not chosen:
        return "the brief's own settings"
    return ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in chosen.items()
    )
