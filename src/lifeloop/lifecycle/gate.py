"""Evaluate, decide, release: from the leaderboard's challenger to a verdict, and to production if it promotes."""

from collections.abc import Callable, Iterator, Sequence

import msgspec

from lifeloop.comparison.compare import compare_trials
from lifeloop.core.candidates import Candidate
from lifeloop.core.content import Id, content_id
from lifeloop.core.data import Dataset
from lifeloop.core.errors import ModelError
from lifeloop.core.evidence import Comparison, Leaderboard, Trial, Verdict
from lifeloop.core.progress import Progress
from lifeloop.core.training_record import Check
from lifeloop.engine import trial
from lifeloop.lifecycle.experiment import allowance, champion_of, trial_order, try_candidate
from lifeloop.lifecycle.guarantees import guarantees, last_members
from lifeloop.lifecycle.releasing import Begun, begin
from lifeloop.lifecycle.runner import Done, Runner
from lifeloop.lifecycle.surroundings import comparison_order, metrics_for
from lifeloop.lifecycle.upbringing import record_of
from lifeloop.metrics.declared import fingerprinted
from lifeloop.project import Project, baseline_name, directions
from lifeloop.stages import decide, evaluate, release
from lifeloop.store.ledger import VerdictRow
from lifeloop.store.vault import Vault


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
    parent = runner.vault.get_value(board.value.challenger, Candidate).parent
    wanted = evaluate.orders(
        board.value.challenger,
        rival,
        trial_order(project, dataset, rival),
        dataset.value.counts["guard"],
        evaluate.suites_for(brief.project.task),
        parent,
    )
    trials = {
        role: _tried(project, runner, role, order, baseline=champion is None)
        for role, order in wanted
        if not role.startswith("parent/")
    }
    beside = _parents(project, runner, wanted)
    last = last_members(project, runner, dataset, trials)

    def judge(progress: Progress) -> Verdict:
        raised = beside or (_as_parent(trials) if parent and parent == rival else {})
        evidence = decide.Evidence(
            cycle=runner.cycle,
            challenger=trials["challenger/test/clean"].value,
            champion=trials["champion/test/clean"].value,
            champion_is_baseline=champion is None,
            comparisons=tuple(_comparisons(project, runner, dataset, trials, "champion")),
            trials={role: done.id for role, done in (trials | beside).items()},
            leaderboard=board.id,
            guarantees=guarantees(project, runner.vault, trials, last),
            parent=raised["parent/test/clean"].value if raised else None,
            untried_parent=None if raised or not parent else (parent, runner.vault.get_value(parent, Candidate).name),
            parent_comparisons=tuple(_comparisons(project, runner, dataset, trials | raised, "parent")),
            checks=checks_of(runner.vault, board.value.challenger),
        )
        return decide.decide(evidence, brief.objectives, directions(brief), brief.gate)

    inputs = {role: done.id for role, done in (trials | beside).items()} | {
        f"last member of {identifier}": done.id for identifier, done in last.items()
    }
    return runner.run(
        "decide",
        "verdict",
        version=decide.VERSION,
        inputs=inputs | {"cycle": str(runner.cycle), "leaderboard": board.id},
        section=[
            msgspec.to_builtins(brief.objectives),
            msgspec.to_builtins(brief.gate),
            fingerprinted(brief.metrics, project.folder),
        ],
        kind=Verdict,
        work=judge,
    )


def _tried(project: Project, runner: Runner, role: str, order: trial.TrialOrder, *, baseline: bool) -> Done[Trial]:
    """Return a trial that the verdict needs. Raises ModelError that says who could not be tried, and what to do."""
    who, _, _ = role.partition("/")
    try:
        return try_candidate(project, runner, "evaluate", f"{order.split} {order.suite} {who}", order)
    except (ModelError, MemoryError) as error:
        name = runner.vault.get_value(order.candidate, Candidate).name
        called = "baseline" if who == "champion" and baseline else who
        what, fix = (error.what, error.fix) if isinstance(error, ModelError) else ("out of memory", "free some memory")
        failed = ModelError(
            f"the {called} {name} could not be tried on {order.split}, so there is no verdict: {what}",
            where=getattr(error, "where", "") or f"candidates.{name}",
            fix=f"{fix or 'mend it'}; then run again: what was finished is kept",
        )
        for note in getattr(error, "__notes__", []):
            failed.add_note(note)
        raise failed from error


def _parents(project: Project, runner: Runner, wanted: Sequence[evaluate.Order]) -> dict[str, Done[Trial]]:
    """Return the parent's trials by role; none at all where one of them fails: then the verdict says so."""
    found = {}
    for role, order in wanted:
        if role.startswith("parent/"):
            try:
                found[role] = _tried(project, runner, role, order, baseline=False)
            except ModelError as error:
                runner.failed("evaluate", f"{order.split} {order.suite} parent", str(error))
                return {}
    return found


def _as_parent(trials: dict[str, Done[Trial]]) -> dict[str, Done[Trial]]:
    """Return the champion's trials in the role of the parent, which it is too."""
    return {
        role.replace("champion/", "parent/", 1): done for role, done in trials.items() if role.startswith("champion/")
    }


def checks_of(vault: Vault, identifier: Id) -> tuple[Check, ...]:
    """Return what training checked of a candidate, and of those it is composed of."""
    found = vault.get_value(identifier, Candidate)
    record = record_of(vault, found)
    own = record.checks if record else ()
    return (*own, *(check for member in found.members for check in checks_of(vault, member)))


def _comparisons(
    project: Project, runner: Runner, dataset: Done[Dataset], trials: dict[str, Done[Trial]], rival: str
) -> Iterator[Comparison]:
    """Yield the primary metric on every split and suite; on the clean test split every guarded one, and its slices.

    The challenger's trials against those of whoever has the role `rival`; nothing where nobody has.
    """
    objectives, order = project.brief.objectives, comparison_order(project)
    left = allowance(project, runner, "evaluate")
    metrics = metrics_for(project, dataset.value.labels, runner.cycle, left)
    for role, done in trials.items():
        who, _, place = role.partition("/")
        if who != "challenger" or f"{rival}/{place}" not in trials:
            continue
        champion = trials[f"{rival}/{place}"].value
        for metric, slice_name in evaluate.questions(objectives, done.value):
            found = compare_trials(runner.vault, metrics, metric, done.value, champion, order, slice_name)
            if found is not None:
                yield found


def release_challenger(
    project: Project,
    runner: Runner,
    verdict: Done[Verdict],
    board: Done[Leaderboard],
    clock: Callable[[], float],
) -> Begun | None:
    """Begin the challenger's release, once, by the brief's strategy. Returns None where the verdict promotes nobody."""
    if verdict.value.decision != "promote":
        return None
    before, section = champion_of(runner), project.brief.release
    made = release.release(verdict.value, board.value, section, replaces=content_id(before) if before else "")
    return begin(runner.ledger, runner.vault, verdict.value, made, section, clock)


def verdict_row(verdict: Done[Verdict], clock: Callable[[], float]) -> VerdictRow:
    """Return a verdict as the ledger lists it."""
    return row_of(verdict.id, verdict.value, clock())


def row_of(identifier: Id, value: Verdict, at: float) -> VerdictRow:
    """Return a verdict as the ledger lists it, fallen at a time."""
    return VerdictRow(
        id=identifier,
        cycle=value.cycle,
        decision=value.decision,
        challenger=value.challenger,
        champion=value.champion,
        reason=value.reason,
        at=at,
        override_by=value.override_by,
    )
