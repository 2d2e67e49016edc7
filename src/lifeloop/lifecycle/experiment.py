"""Explore and adapt: makes and tries every candidate of the brief, and the champion beside them, on the same examples.

A candidate that fails is a line of the leaderboard with its reason, never the end of the run.
"""

from typing import Any

import msgspec

from lifeloop import plugins
from lifeloop.core.brief import order_of_making
from lifeloop.core.candidates import Candidate, Recipe
from lifeloop.core.content import Id, content_id
from lifeloop.core.data import Dataset
from lifeloop.core.errors import LifeloopError, ModelError
from lifeloop.core.evidence import Leaderboard, Release, Standing, Trial
from lifeloop.core.progress import Progress
from lifeloop.execution import run_isolated
from lifeloop.lifecycle.runner import Done, Runner
from lifeloop.project import Project, baseline_name, directions, prompt_of
from lifeloop.stages import adapt, explore, make, trial
from lifeloop.store.tables import from_parquet, table_to_answers
from lifeloop.store.vault import Vault

STAGES = ("explore", "adapt")
"""The stages that the budget of minutes is held against."""


def experiment(project: Project, runner: Runner, dataset: Done[Dataset]) -> tuple[Done[Leaderboard], dict[str, Id]]:
    """Make and try every candidate, and the champion beside them. Returns the leaderboard, and the ids by name."""
    brief = project.brief
    names = list(brief.candidates)
    made: dict[str, Id] = {}
    tried: dict[str, Done[Trial]] = {}
    failures: dict[str, str] = {}
    for name in order_of_making(brief):
        stage = "adapt" if adapt.is_derived(brief.candidates[name]) else "explore"
        try:
            made[name] = _make(project, runner, dataset, name, stage, made, tried)
            tried[name] = try_candidate(project, runner, stage, name, trial_order(project, dataset, made[name]))
        except (ModelError, MemoryError) as error:
            failures[name] = error.what if isinstance(error, ModelError) else "out of memory"
            runner.failed(stage, name, str(error))
            _log(project, name, error)
    standings = [
        Standing(name, made.get(name, ""), tried[name].value if name in tried else None, failures.get(name, ""))
        for name in names
    ]
    champion = champion_of(runner)
    if champion is not None and champion.candidate not in made.values():
        run = try_candidate(
            project, runner, "explore", f"champion {champion.name}", trial_order(project, dataset, champion.candidate)
        )
        standings.append(Standing(f"{champion.name} (champion)", champion.candidate, run.value, note="in production"))

    def order(progress: Progress) -> Leaderboard:
        return explore.rank(
            standings,
            brief.objectives,
            directions(brief)[brief.primary.metric],
            brief.gate.margin,
            champion=champion.candidate if champion else "",
            baseline=made.get(baseline_name(brief), ""),
        )

    board = runner.run(
        "explore",
        "leaderboard",
        version=explore.VERSION,
        inputs={standing.name: content_id(standing) for standing in standings},
        section=[msgspec.to_builtins(brief.objectives), brief.gate.margin],
        kind=Leaderboard,
        work=order,
    )
    return board, made


def _make(
    project: Project,
    runner: Runner,
    dataset: Done[Dataset],
    name: str,
    stage: str,
    made: dict[str, Id],
    tried: dict[str, Done[Trial]],
) -> Id:
    brief, table = project.brief, project.brief.candidates[name]
    recipe: Recipe = adapt.recipe(
        name,
        table,
        task=brief.project.task,
        labels=dataset.value.labels,
        dataset=dataset.id,
        prompt=project.prompts.get(prompt_of(table)),
        seed=brief.explore.seed,
        out_of_scope=brief.data.out_of_scope,
        metric=brief.primary.metric,
        made=made,
        tried={other: done.id for other, done in tried.items()},
    )
    stable = msgspec.structs.replace(  # a member's trial holds timings; what it answered is what counts here
        recipe, members=tuple((one, tried[other].value.answers) for one, other in _members(recipe, table))
    )

    def work(progress: Progress) -> str:
        _check_budget(project, runner, tried)  # here, since what the ledger has costs nothing
        where = f"candidates.{name}"
        outcome = run_isolated(make.make, runner.vault, recipe, brief.explore.max_items, progress=progress, where=where)
        return str(outcome.value)

    done = runner.run(
        stage,
        f"make {name}",
        version=make.version_of(table),
        inputs={"dataset": dataset.id, "recipe": content_id(stable)},
        section=brief.explore.max_items,
        kind=str,
        work=work,
    )
    return done.value


def _members(recipe: Recipe, table: dict[str, Any]) -> list[tuple[Id, str]]:
    return [(candidate, name) for (candidate, _), name in zip(recipe.members, table.get("members", ()), strict=True)]


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
    )


def try_candidate(project: Project, runner: Runner, stage: str, name: str, order: trial.TrialOrder) -> Done[Trial]:
    """Return the trial that an order asks for, run in a process of its own. `name` is how progress calls it."""
    candidate = runner.vault.get_value(order.candidate, Candidate)
    version = f"{trial.VERSION}/{plugins.get('models', candidate.kind).version}"
    journal = project.state / "work" / f"{content_id([version, order])}.jsonl"

    def work(progress: Progress) -> Trial:
        where = f"candidates.{candidate.name}"
        outcome = run_isolated(trial.run_trial, runner.vault, order, journal, progress=progress, where=where)
        found: Trial = outcome.value
        return trial.with_memory(found, outcome.memory_mb)

    done = runner.run(
        stage,
        "try",
        role=name,
        version=version,
        inputs={"candidate": order.candidate, "dataset": order.dataset},
        section=msgspec.to_builtins(order),
        kind=Trial,
        work=work,
    )
    journal.unlink(missing_ok=True)
    return done


def _check_budget(project: Project, runner: Runner, tried: dict[str, Done[Trial]]) -> None:
    budget = project.brief.budget
    minutes = runner.spent_seconds(STAGES) / 60
    if minutes > budget.minutes:
        raise ModelError(
            f"not tried: the budget of {budget.minutes:g} minutes is spent",
            where="lifeloop.toml: budget.minutes",
            fix="raise it and run again, or leave candidates out",
        )
    usd = sum(_usd(runner.vault, done.value) for done in tried.values())
    if usd > budget.usd:
        raise ModelError(
            f"not tried: {usd:.2f} of {budget.usd:g} USD are spent",
            where="lifeloop.toml: budget.usd",
            fix="raise it and run again, or leave candidates out",
        )


def _usd(vault: Vault, found: Trial) -> float:
    return sum(answer.usd for answer in table_to_answers(from_parquet(vault.get(found.answers))))


def champion_of(runner: Runner) -> Release | None:
    """Return the release that was in production when this cycle began, or None."""
    for row in reversed(runner.ledger.releases()):
        found = runner.vault.get_value(row.id, Release)
        if found.cycle < runner.cycle:
            return found
    return None


def _log(project: Project, name: str, error: BaseException) -> None:
    """Keep the trace of a candidate's failure where an engineer can find it."""
    notes = "\n".join(getattr(error, "__notes__", []))
    if isinstance(error, LifeloopError) and not notes:
        return
    with (project.state / "failures.log").open("a", encoding="utf-8") as file:
        file.write(f"{name}: {error}\n{notes}\n")
