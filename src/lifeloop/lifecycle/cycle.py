"""One cycle from start to verdict: which one it is, and the stages in the order of the loop.

Collect, refine, explore, adapt, evaluate, decide, release. Feedback given since the last cycle starts the next one;
nothing is done twice.
"""

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from lifeloop.core.brief import what_cycles_rest_on
from lifeloop.core.content import Id, content_id
from lifeloop.core.data import Dataset
from lifeloop.core.errors import StoreError
from lifeloop.core.evidence import Leaderboard, Verdict
from lifeloop.core.planning import Plan
from lifeloop.core.preferences import Preferences
from lifeloop.lifecycle import corpora
from lifeloop.lifecycle.experiment import experiment
from lifeloop.lifecycle.gate import judge_challenger, release_challenger, verdict_row
from lifeloop.lifecycle.preferences import preferences_fingerprint, trusted_preferences
from lifeloop.lifecycle.refined import reading_of, refined_dataset
from lifeloop.lifecycle.releasing import Begun, changed_since, overtaken
from lifeloop.lifecycle.runner import Done, Runner, Tell
from lifeloop.lifecycle.surroundings import settings_files
from lifeloop.lifecycle.teaching import wants_preferences
from lifeloop.machine import calibrate
from lifeloop.project import Project
from lifeloop.stages import collect, make, plan
from lifeloop.store import training_data
from lifeloop.store.ledger import CycleRow, Ledger
from lifeloop.store.vault import Vault


class BriefSource(Struct, frozen=True):
    """The brief as it was when a cycle began: what `lifeloop why` ends at."""

    text: str
    prompts: dict[str, Any]
    source: Id
    """Fingerprint of the data's bytes."""


class CycleResult(Struct, frozen=True):
    """What a cycle came to."""

    cycle: int
    verdict_id: Id
    verdict: Verdict
    leaderboard: Leaderboard
    released: Id
    """The release made by this cycle where it is in production, or ""."""
    fresh: bool
    """Whether anything was run, or all of it was known."""
    begun: Begun | None = None
    """What became of a verdict that promotes."""
    since: str = ""
    """That production is another since the verdict fell, and what to do; "" where it is not."""


def run_cycle(project: Project, tell: Tell, clock: Callable[[], float], *, learn_now: bool = False) -> CycleResult:
    """Run the next cycle, or finish the last one. `learn_now` learns from feedback however little there is.

    Raises LifeloopError; what was completed is kept, and the next call goes on from there.
    """
    with contextlib.closing(project.open_ledger()) as ledger, only_run(project.state):
        vault = project.open_vault()
        row = _cycle(project, ledger, vault, clock, learn_now=learn_now)
        runner = Runner(ledger, vault, row.number, tell, clock)
        dataset = refined_dataset(project, runner, row, _source(vault, row))
        expected = planned(project, runner, dataset)
        aligned = any(wants_preferences(table) for table in project.brief.candidates.values())
        preferences = trusted_preferences(project, runner, row, dataset) if aligned else None
        leaderboard, candidates = experiment(project, runner, dataset, expected.value, preferences)
        verdict = judge_challenger(project, runner, dataset, leaderboard, candidates)
        ledger.add_verdict(verdict_row(verdict, clock))
        begun = release_challenger(project, runner, verdict, leaderboard, clock)
        return CycleResult(
            cycle=row.number,
            verdict_id=verdict.id,
            verdict=verdict.value,
            leaderboard=leaderboard.value,
            released=begun.release if begun and begun.state == "released" else "",
            fresh=verdict.fresh,
            begun=begun,
            since=changed_since(verdict.value, ledger.traffic()),
        )


def without_race(project: Project) -> Project:
    """Return the project with explore.race = false: a brief of its own, hence a cycle of its own."""
    explore = msgspec.structs.replace(project.brief.explore, race=False)
    return msgspec.structs.replace(project, brief=msgspec.structs.replace(project.brief, explore=explore))


def make_plan(project: Project, tell: Tell, clock: Callable[[], float]) -> Plan:
    """Return the plan of the next cycle. Reads and refines the data, measures the machine, spends nothing."""
    with contextlib.closing(project.open_ledger()) as ledger, only_run(project.state):
        vault = project.open_vault()
        row = _cycle(project, ledger, vault, clock, learn_now=False)
        runner = Runner(ledger, vault, row.number, tell, clock)
        dataset = refined_dataset(project, runner, row, _source(vault, row), spend=False)
        return planned(project, runner, dataset).value


class Built(Struct, frozen=True):
    """A version of the data, as a cycle would take it up."""

    cycle: int
    dataset_id: Id
    dataset: Dataset
    fresh: bool
    """Whether anything of it was made now, or all of it was known."""


def build_dataset(project: Project, tell: Tell, clock: Callable[[], float]) -> Built:
    """Return the dataset of the next cycle: collects and refines, and tries no candidate.

    Raises LifeloopError; what was completed is kept, and the next call goes on from there.
    """
    with contextlib.closing(project.open_ledger()) as ledger, only_run(project.state):
        vault = project.open_vault()
        row = _cycle(project, ledger, vault, clock, learn_now=False)
        runner = Runner(ledger, vault, row.number, tell, clock)
        dataset = refined_dataset(project, runner, row, _source(vault, row))
        return Built(row.number, dataset.id, dataset.value, dataset.fresh)


def build_preferences(
    project: Project, tell: Tell, clock: Callable[[], float]
) -> tuple[CycleRow, Done[Preferences] | None]:
    """Return the cycle that is next and the preferences that it would align to, None where there are none.

    Collects and refines for that, asks the brief's judge, and tries no candidate. Raises LifeloopError; what was
    completed is kept.
    """
    with contextlib.closing(project.open_ledger()) as ledger, only_run(project.state):
        vault = project.open_vault()
        row = _cycle(project, ledger, vault, clock, learn_now=False)
        runner = Runner(ledger, vault, row.number, tell, clock)
        dataset = refined_dataset(project, runner, row, _source(vault, row))
        return row, trusted_preferences(project, runner, row, dataset)


def planned(project: Project, runner: Runner, dataset: Done[Dataset]) -> Done[Plan]:
    """Return the plan for a dataset, made once, so that a report can hold what came against what was expected."""
    brief = project.brief
    return runner.run(
        "plan",
        "cycle",
        version="/".join([plan.VERSION, *(make.version_of(table) for table in brief.candidates.values())]),
        inputs={"dataset": dataset.id},
        section=what_cycles_rest_on(brief),
        kind=Plan,
        work=lambda progress: plan.plan(brief, training_data.profile(runner.vault, dataset.id), calibrate()),
    )


# which cycle


def _cycle(project: Project, ledger: Ledger, vault: Vault, clock: Callable[[], float], *, learn_now: bool) -> CycleRow:
    """Return the cycle to work on: the last one while nothing it rests on has changed, else a new one."""
    cycles = ledger.cycles()
    last = cycles[-1] if cycles else None
    source = BriefSource(
        text=project.brief_text,
        prompts={name: msgspec.to_builtins(prompt) for name, prompt in sorted(project.prompts.items())},
        source=collect.fingerprint(reading_of(project)),
    )
    known = last.feedback_until if last else 0
    finished = last is not None and any(verdict.cycle == last.number for verdict in ledger.verdicts())
    until = _feedback_until(project, ledger, known, learn_now=learn_now) if finished else known
    named = [settings_files(project, name) for name in project.brief.candidates]
    beside = [found for found in (preferences_fingerprint(project), corpora.fingerprint(project), *named) if found]
    inputs = content_id([what_cycles_rest_on(project.brief), source.prompts, source.source, until, *beside])
    if last is not None and last.inputs == inputs and not overtaken(ledger, vault, last.number):
        return last
    row = CycleRow(
        number=last.number + 1 if last else 1,
        inputs=inputs,
        brief=vault.put_value(source),
        feedback_until=until,
        at=clock(),
    )
    ledger.add_cycle(row)
    return row


def _source(vault: Vault, row: CycleRow) -> Id:
    return vault.get_value(row.brief, BriefSource).source


def _feedback_until(project: Project, ledger: Ledger, known: int, *, learn_now: bool) -> int:
    """Return up to which feedback to learn: the newest, once enough is new."""
    new = len(ledger.feedback(after=known))
    enough = 1 if learn_now else project.brief.monitor.min_feedback
    return ledger.last_feedback() if new >= enough else known


@contextlib.contextmanager
def only_run(state: Path) -> Iterator[None]:
    """Hold the project's lock, so that two runs never do the same work at once. The system frees it after a kill."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        file = (state / "run.lock").open("w")
    except OSError as error:
        raise StoreError(
            f"cannot be written ({error})", where=str(state), fix="check the disk and permissions"
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                "another `lifeloop run` or `plan` is at work in this project",
                where=str(state),
                fix="wait for it to end",
            ) from None
        yield
