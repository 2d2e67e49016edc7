"""Explore and adapt: makes and tries every candidate of the brief, and the champion beside them, on the same examples.

A candidate that fails, or that the budget does not hold, is a line of the leaderboard with its reason, never the end of
the run. In which rounds they are tried is `racing`'s.
"""

import math
import shutil
from typing import Any

import msgspec
from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.brief import order_of_making
from lifeloop.core.candidates import Candidate, Recipe
from lifeloop.core.content import Id, content_id
from lifeloop.core.data import Dataset
from lifeloop.core.errors import BriefError, LifeloopError, ModelError
from lifeloop.core.evidence import Leaderboard, Release, Trial
from lifeloop.core.planning import Plan
from lifeloop.core.preferences import Preferences
from lifeloop.core.progress import Progress
from lifeloop.engine import trial
from lifeloop.execution import run_isolated
from lifeloop.lifecycle import teaching
from lifeloop.lifecycle.racing import IN_PRODUCTION, Field, Track, race_to_the_end
from lifeloop.lifecycle.runner import Done, Runner
from lifeloop.lifecycle.selection import training_rows
from lifeloop.lifecycle.surroundings import comparison_order, metrics_for, responses_of, settings_files
from lifeloop.metrics.declared import fingerprinted
from lifeloop.project import Project, baseline_name, directions, prompt_of
from lifeloop.stages import adapt, explore, make, race
from lifeloop.store.responses import Responses

STAGES = ("synthesise", "judge", "explore", "adapt")
"""The stages that the budget of minutes is held against: the gate's trials must come to an end."""
SCRATCH = "training"
"""Folder of the project's state where training keeps checkpoints."""
LOADING_SECONDS = 5.0
"""What loading a candidate once more is taken to cost: a process, its libraries, its weights. Not measured, so that who
races does not hang on the clock of the day."""


class Scene(Struct, frozen=True):
    """What one experiment works on."""

    project: Project
    runner: Runner
    dataset: Done[Dataset]
    training: Id
    """The dataset that candidates are made from: the same, or a selection of its training rows."""
    plan: Plan
    field: Field
    n_items: int
    """Validation examples that whoever stays to the end is tried on."""
    preferences: Done[Preferences] | None = None


def experiment(
    project: Project,
    runner: Runner,
    dataset: Done[Dataset],
    plan: Plan,
    preferences: Done[Preferences] | None = None,
) -> tuple[Done[Leaderboard], dict[str, Id]]:
    """Make and try every candidate, and the champion beside them. Returns the leaderboard, and the ids by name."""
    brief = project.brief
    n_validation, limit = dataset.value.counts["validation"], brief.explore.max_items
    n_items = min(n_validation, limit) if limit else n_validation
    scene = Scene(
        project, runner, dataset, training_rows(project, runner, dataset), plan, Field(), n_items, preferences
    )
    field, champion = scene.field, champion_of(runner)
    whole = _to_try_whole(scene)
    for name in order_of_making(brief):
        _make(scene, name)
        if name in field.made:
            is_champion = champion is not None and field.made[name] == champion.candidate
            _attempt(scene, name, n_items if is_champion or name in whole else race.rounds(n_items)[0])
    made = dict(field.made)
    if champion is not None and champion.candidate not in made.values():
        name = f"{champion.name} (champion)"
        field.made[name], field.notes[name] = champion.candidate, IN_PRODUCTION
        _attempt(scene, name, n_items)
    terms = explore.Terms(
        objectives=brief.objectives,
        directions=directions(brief),
        margin=brief.gate.margin,
        champion=champion.candidate if champion else "",
        baseline=made.get(baseline_name(brief), ""),
    )
    race_to_the_end(runner, field, _track(scene, terms), lambda name, n: _attempt(scene, name, n))
    names = [*brief.candidates, *(name for name in field.made if name not in brief.candidates)]
    standings = [field.standing(name) for name in names]
    board = runner.run(
        "explore",
        "leaderboard",
        version=explore.VERSION,
        inputs={standing.name: content_id(standing) for standing in standings},
        section=msgspec.to_builtins(terms),
        kind=Leaderboard,
        work=lambda progress: explore.rank(standings, terms),
    )
    return board, made


def _to_try_whole(scene: Scene) -> set[str]:
    """Return the candidates that are tried on all examples at once.

    All where there is no race; else those of which others are composed, whose thresholds rest on their answers.
    """
    candidates = scene.project.brief.candidates
    if not scene.project.brief.explore.race:
        return set(candidates)
    return {member for table in candidates.values() for member in table.get("members", ())}


def _track(scene: Scene, terms: explore.Terms) -> Track:
    project, runner = scene.project, scene.runner
    left = allowance(project, runner, "explore")
    return Track(
        metrics=metrics_for(project, scene.dataset.value.labels, runner.cycle, left),
        fingerprints=fingerprinted(project.brief.metrics, project.folder),
        terms=terms,
        order=comparison_order(project),
        n_items=scene.n_items,
    )


# making


def _make(scene: Scene, name: str) -> None:
    """Make a candidate and note it in the field, or why it could not be made."""
    project, runner, field = scene.project, scene.runner, scene.field
    brief, table = project.brief, project.brief.candidates[name]
    stage = _stage(scene, name)
    try:
        recipe = adapt.recipe(
            name,
            table,
            task=brief.project.task,
            labels=scene.dataset.value.labels,
            dataset=scene.training,
            prompt=project.prompts.get(prompt_of(table)),
            seed=brief.explore.seed,
            out_of_scope=brief.data.out_of_scope,
            metric=brief.primary.metric,
            metrics=fingerprinted(brief.metrics, project.folder),
            made=field.made,
            tried={other: done.id for other, done in field.tried.items() if other not in field.failures},
            learns=_learns(scene, name),
            files=settings_files(project, name),
        )
        done = runner.run(
            stage,
            f"make {name}",
            version=make.version_of(table),
            inputs={"dataset": scene.training, "recipe": content_id(_stable(recipe, table, field))},
            section=brief.explore.max_items,
            kind=str,
            work=lambda progress: _made(project, runner, recipe, progress),
        )
        field.made[name] = done.value
        shutil.rmtree(make.scratch_of(project.state / SCRATCH, recipe), ignore_errors=True)  # it has served
    except (ModelError, BriefError, MemoryError) as error:  # one candidate's file or column fails it, not the run
        _note_failure(scene, stage, name, error)


def _learns(scene: Scene, name: str) -> adapt.Learns:
    """Return what a candidate is taught beside the examples. Raises ModelError where that cannot be had."""

    def teach(teacher: str) -> Trial:
        if teacher not in scene.field.made:
            raise ModelError(f"its teacher {teacher} failed", where=f"candidates.{name}", fix="mend that first")
        order = trial_order(scene.project, scene.dataset, scene.field.made[teacher])
        order = teaching.on_training(order, scene.field.made[teacher], scene.training)
        return try_candidate(scene.project, scene.runner, "adapt", f"{teacher} as teacher", order).value

    return teaching.learns(scene.project, scene.runner, scene.dataset, name, scene.preferences, teach)


def _made(project: Project, runner: Runner, recipe: Recipe, progress: Progress) -> str:
    budget = project.brief.budget
    if allowance(project, runner, "explore").seconds <= 0:  # asked here, since what the ledger has costs nothing
        raise ModelError(
            f"not made: the budget of {budget.minutes:g} minutes is spent",
            where="lifeloop.toml: budget.minutes",
            fix="raise it and run again, or leave candidates out",
        )
    where, max_items = f"candidates.{recipe.name}", project.brief.explore.max_items
    workplace = trial.Workplace(
        responses_of(project),
        project.folder,
        runner.cycle,
        allowance(project, runner, "explore"),
        scratch=project.state / SCRATCH,
    )
    outcome = run_isolated(make.make, runner.vault, recipe, max_items, workplace, progress=progress, where=where)
    return str(outcome.value)


def _stable(recipe: Recipe, table: dict[str, Any], field: Field) -> Recipe:
    """Return the recipe with what its members answered in place of their trials, which hold timings."""
    members = zip(recipe.members, table.get("members", ()), strict=True)
    answered = tuple((candidate, field.tried[other].value.answers) for (candidate, _), other in members)
    return msgspec.structs.replace(recipe, members=answered)


def _stage(scene: Scene, name: str) -> str:
    table = scene.project.brief.candidates.get(name)
    return "adapt" if table is not None and adapt.is_derived(table) else "explore"


# trying


def _attempt(scene: Scene, name: str, n_items: int) -> None:
    """Try a candidate on so many examples, or on all where it may as well, and note in the field what came of it."""
    field, before = scene.field, scene.field.tried.get(name)
    if _as_soon_done(scene, name, before.value.n_items if before else 0):
        n_items = scene.n_items
    order, told = trial_order(scene.project, scene.dataset, field.made[name]), name
    if n_items < scene.n_items:
        order = msgspec.structs.replace(order, max_items=n_items)
        told = f"{name} {n_items:,} of {scene.n_items:,}"
    try:
        field.tried[name] = try_candidate(scene.project, scene.runner, _stage(scene, name), told, order)
    except (ModelError, MemoryError) as error:
        _note_failure(scene, _stage(scene, name), name, error)


def _as_soon_done(scene: Scene, name: str, n_answered: int) -> bool:
    """Return whether loading a candidate in every round that is left would take longer than all its answers.

    Where they cost money, or the brief's own metrics may cost more than the plan knows, it is not the time that counts.
    """
    line = next((line for line in scene.plan.lines if line.name == name), None)
    if line is None or line.estimate.usd_per_item > 0 or scene.project.brief.metrics:
        return False
    left = sum(size > n_answered for size in race.rounds(scene.n_items))
    return (scene.n_items - n_answered) * line.estimate.seconds_per_item < left * LOADING_SECONDS


def trial_order(project: Project, dataset: Done[Dataset], candidate: Id) -> trial.TrialOrder:
    """Return the order of a candidate's trial on the validation examples that all candidates share."""
    brief = project.brief
    return trial.TrialOrder(
        candidate=candidate,
        dataset=dataset.id,
        split="validation",
        suite=trial.CLEAN,
        max_items=brief.explore.max_items,
        out_of_scope=brief.data.out_of_scope,
        confidence=brief.gate.confidence,
        usd_per_hour=brief.budget.usd_per_hour,
        seed=brief.explore.seed,
        repeats=brief.explore.repeats,
        metrics=fingerprinted(brief.metrics, project.folder),
    )


def try_candidate(project: Project, runner: Runner, stage: str, name: str, order: trial.TrialOrder) -> Done[Trial]:
    """Return the trial that an order asks for, run in a process of its own. `name` is how progress calls it."""
    candidate = runner.vault.get_value(order.candidate, Candidate)
    version = f"{trial.VERSION}/{plugins.get('models', candidate.kind).version}"

    def work(progress: Progress) -> Trial:
        workplace = trial.Workplace(
            responses=responses_of(project),
            folder=project.folder,
            cycle=runner.cycle,
            allowance=allowance(project, runner, stage),
        )
        where = f"candidates.{candidate.name}"
        outcome = run_isolated(trial.run_trial, runner.vault, order, workplace, progress=progress, where=where)
        found: Trial = outcome.value
        return found

    return runner.run(
        stage,
        "try",
        role=name,
        version=version,
        inputs={"candidate": order.candidate, "dataset": order.dataset},
        section=msgspec.to_builtins(order),
        kind=Trial,
        work=work,
    )


def allowance(project: Project, runner: Runner, stage: str) -> trial.Allowance:
    """Return what this cycle may still spend in a stage: what is kept from earlier cycles costs nothing."""
    budget = project.brief.budget
    with Responses(responses_of(project)) as responses:
        spent = responses.spent(runner.cycle)
    seconds = 60 * budget.minutes - runner.spent_seconds(STAGES) if stage in STAGES else float("inf")
    return trial.Allowance(
        usd=max(0.0, budget.usd - spent.usd),
        tokens=max(0, budget.tokens - spent.tokens) if budget.tokens else -1,
        seconds=max(0.0, seconds),
    )


def _note_failure(scene: Scene, stage: str, name: str, error: ModelError | BriefError | MemoryError) -> None:
    field = scene.field
    why = error.what if isinstance(error, LifeloopError) else "out of memory"
    if name in field.tried:  # what it did in the rounds before is worth a word
        before, metric = field.tried[name].value, scene.project.brief.primary.metric
        reached = before.metric(metric)
        why += f"; {metric} {reached.value:.4f} on the first {before.n_items:,}" if reached else ""
    field.failures[name] = why
    scene.runner.failed(stage, name, str(error))
    _log(scene.project, name, error)


def _log(project: Project, name: str, error: BaseException) -> None:
    """Keep the trace of a candidate's failure where an engineer can find it."""
    notes = "\n".join(getattr(error, "__notes__", []))
    if isinstance(error, LifeloopError) and not notes:
        return
    with (project.state / "failures.log").open("a", encoding="utf-8") as file:
        file.write(f"{name}: {error}\n{notes}\n")


def champion_of(runner: Runner) -> Release | None:
    """Return the release that was in production when this cycle began, or None.

    A rollout may end, and a release be taken back, while the cycle runs: its verdict is on what it began with.
    """
    began = next((row.at for row in runner.ledger.cycles() if row.number == runner.cycle), math.inf)
    for row in reversed(runner.ledger.releases()):
        found = runner.vault.get_value(row.id, Release)
        if found.cycle < runner.cycle and row.at <= began:
            return found
    return None
