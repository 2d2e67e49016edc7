"""Evaluate, decide, release: from the leaderboard's challenger to a verdict, and to production if it promotes."""

from collections.abc import Callable, Iterator

import msgspec

from lifeloop import plugins
from lifeloop.core.candidates import Candidate
from lifeloop.core.content import Id, content_id
from lifeloop.core.data import Dataset, Example
from lifeloop.core.errors import GateError, ModelError
from lifeloop.core.evidence import Comparison, Leaderboard, Trial, Verdict
from lifeloop.core.progress import Progress
from lifeloop.lifecycle.experiment import champion_of, trial_order, try_candidate
from lifeloop.lifecycle.runner import Done, Runner
from lifeloop.project import Project, baseline_name, directions
from lifeloop.stages import compare, decide, evaluate, release, trial
from lifeloop.store.ledger import VerdictRow
from lifeloop.store.tables import from_parquet, table_to_answers, table_to_examples
from lifeloop.store.vault import Vault
from lifeloop.tasks.task import Scope, Task


def judge_challenger(
    project: Project,
    runner: Runner,
    dataset: Done[Dataset],
    board: Done[Leaderboard],
    candidates: dict[str, Id],
) -> Done[Verdict]:
    """Return the verdict on the leaderboard's challenger, held against the champion or, without one, the baseline.

    `candidates` maps the brief's names to ids. Raises ModelError where a trial that the verdict needs fails.
    """
    brief = project.brief
    champion = champion_of(runner)
    rival = champion.candidate if champion else candidates.get(baseline_name(brief), "")
    if not rival:
        raise ModelError(
            f"the baseline {baseline_name(brief)!r} failed, so there is nothing to compare with",
            where="lifeloop.toml: gate.baseline",
            fix="name another candidate as gate.baseline",
        )
    wanted = evaluate.orders(
        board.value.challenger,
        rival,
        trial_order(project, dataset, rival),
        dataset.value.counts["guard"],
        evaluate.suites_for(brief.project.task),
    )
    trials = {
        role: try_candidate(project, runner, "evaluate", f"{order.split} {order.suite} {role.split('/')[0]}", order)
        for role, order in wanted
    }

    def judge(progress: Progress) -> Verdict:
        evidence = decide.Evidence(
            cycle=runner.cycle,
            challenger=trials["challenger/test/clean"].value,
            champion=trials["champion/test/clean"].value,
            champion_is_baseline=champion is None,
            comparisons=tuple(_comparisons(project, runner, dataset, trials)),
            trials={role: done.id for role, done in trials.items()},
            leaderboard=board.id,
        )
        return decide.decide(evidence, brief.objectives, directions(brief), brief.gate)

    return runner.run(
        "decide",
        "verdict",
        version=decide.VERSION,
        inputs={role: done.id for role, done in trials.items()} | {"cycle": str(runner.cycle), "leaderboard": board.id},
        section=[msgspec.to_builtins(brief.objectives), msgspec.to_builtins(brief.gate)],
        kind=Verdict,
        work=judge,
    )


def _comparisons(
    project: Project, runner: Runner, dataset: Done[Dataset], trials: dict[str, Done[Trial]]
) -> Iterator[Comparison]:
    """Yield the primary metric on every split and suite, and every guarded metric on the clean test split."""
    brief = project.brief
    for role, done in trials.items():
        who, _, place = role.partition("/")
        if who != "challenger":
            continue
        metrics = [brief.primary.metric]
        if place == f"test/{trial.CLEAN}":
            metrics += [objective.metric for objective in brief.objectives if objective.guard]
        for metric in dict.fromkeys(metrics):
            found = compare_trials(project, runner.vault, metric, done.value, trials[f"champion/{place}"].value)
            if found is not None:
                yield found


def compare_trials(
    project: Project, vault: Vault, metric: str, challenger: Trial, champion: Trial
) -> Comparison | None:
    """Return the comparison of two trials on one metric, or None where it applies to no example."""
    brief = project.brief
    task: Task = plugins.get("tasks", brief.project.task)
    sides, ids = [], []
    for found in (challenger, champion):
        table = from_parquet(vault.get(found.answers))
        scope = Scope(labels=vault.get_value(found.candidate, Candidate).labels, out_of_scope=brief.data.out_of_scope)
        sides.append((found, table_to_answers(table), scope))
        ids.append(table["example"].to_list())
    if ids[0] != ids[1]:
        raise GateError(
            f"the trials of {challenger.name} and {champion.name} are not of the same examples",
            where="compare",
            fix="compare trials of one dataset, split and suite",
        )
    examples = _examples(vault, challenger, ids[0])
    return compare.compare(task, metric, examples, sides[0], sides[1], brief.gate.confidence)


def _examples(vault: Vault, found: Trial, ids: list[str]) -> list[Example]:
    """Return the examples of a trial. A suite changes inputs alone, and comparing reads references alone."""
    table = vault.get_value(found.dataset, Dataset).tables[found.split]
    by_id = {example.id: example for example in table_to_examples(from_parquet(vault.get(table)))}
    return [by_id[identifier] for identifier in ids]


def release_challenger(
    project: Project,
    runner: Runner,
    verdict: Done[Verdict],
    board: Done[Leaderboard],
    clock: Callable[[], float],
) -> Id:
    """Put the challenger in production if the verdict promotes it, once. Returns the release's id, or ""."""
    if verdict.value.decision != "promote":
        return ""
    before = champion_of(runner)
    made = release.release(
        verdict.value, board.value, project.brief.release, replaces=content_id(before) if before else ""
    )
    identifier = runner.vault.put_value(made)
    if all(row.id != identifier for row in runner.ledger.releases()):
        runner.ledger.add_release(
            id=identifier, verdict=made.verdict, candidate=made.candidate, name=made.name, at=clock()
        )
    return identifier


def verdict_row(verdict: Done[Verdict], clock: Callable[[], float]) -> VerdictRow:
    """Return a verdict as the ledger lists it."""
    value = verdict.value
    return VerdictRow(
        id=verdict.id,
        cycle=value.cycle,
        decision=value.decision,
        challenger=value.challenger,
        champion=value.champion,
        reason=value.reason,
        at=clock(),
    )
