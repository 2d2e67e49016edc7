"""What a cycle came to: gathers everything a report shows, and writes the report into the project's `reports/`.

Reads ledger and vault; changes neither.
"""

import contextlib
from pathlib import Path

from lifeloop.auto import expand
from lifeloop.comparison.compare import compare_trials
from lifeloop.core.brief import parse_brief
from lifeloop.core.candidates import Candidate, Estimate
from lifeloop.core.content import Id, short
from lifeloop.core.data import Dataset, Raw
from lifeloop.core.errors import GateError
from lifeloop.core.events import ProductionSummary
from lifeloop.core.evidence import OPERATIONAL, Comparison, Leaderboard, Release, Trial, Verdict
from lifeloop.core.planning import Plan
from lifeloop.engine.spending import Allowance
from lifeloop.lifecycle.cycle import BriefSource
from lifeloop.lifecycle.lineage import lineage
from lifeloop.lifecycle.surroundings import comparison_order, metrics_for
from lifeloop.lifecycle.upbringing import last_board, parents_of, preferences_of, training_of
from lifeloop.project import Project
from lifeloop.reports.html import render_html
from lifeloop.reports.markdown import render_markdown
from lifeloop.reports.record import CycleRecord, LineageStep
from lifeloop.stages.observe import observe
from lifeloop.store.ledger import CycleRow, Ledger, RunRow, VerdictRow
from lifeloop.store.vault import Vault

FREE = Allowance(usd=0.0, tokens=0, seconds=0.0)
"""Comparing again may look up what was asked before, and ask for nothing."""


def write_report(project: Project, cycle: int = 0) -> list[Path]:
    """Write the HTML and Markdown report of a cycle (0: the last that was decided) and return their paths."""
    record = cycle_record(project, cycle)
    folder = project.folder / "reports"
    folder.mkdir(exist_ok=True)
    paths = []
    for suffix, text in (("html", render_html(record)), ("md", render_markdown(record))):
        path = folder / f"cycle-{record.cycle}.{suffix}"
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def cycle_record(project: Project, cycle: int = 0) -> CycleRecord:
    """Return a cycle, whole. Raises GateError where it has no verdict."""
    with contextlib.closing(project.open_ledger()) as ledger:
        vault = project.open_vault()
        verdict_row = _verdict_row(ledger, cycle)
        cycle_row = next(row for row in ledger.cycles() if row.number == verdict_row.cycle)
        verdict = vault.get_value(verdict_row.id, Verdict)
        trials = {role: vault.get_value(trial, Trial) for role, trial in verdict.trials.items()}
        dataset_id = trials["challenger/test/clean"].dataset
        dataset = vault.get_value(dataset_id, Dataset)
        board = vault.get_value(verdict.leaderboard, Leaderboard)
        release = _release(ledger, verdict_row)
        return CycleRecord(
            cycle=verdict.cycle,
            at=verdict_row.at,
            brief=expand(parse_brief(vault.get_value(cycle_row.brief, BriefSource).text)),
            dataset_id=dataset_id,
            dataset=dataset,
            n_learned=_n_learned(vault, dataset),
            leaderboard=board,
            estimates=_estimates(ledger.runs(), vault, dataset_id),
            build_seconds=_build_seconds(ledger.runs(), vault, board),
            trials=tuple(trials.values()),
            verdict_id=verdict_row.id,
            verdict=verdict,
            release=vault.get_value(release, Release) if release else None,
            production=_production(project, ledger, vault, cycle_row),
            lineage=lineage(ledger, vault, verdict_row, release),
            parents=parents_of(vault, board),
            training=training_of(vault, board),
            preferences=preferences_of(vault, board),
        )


def _verdict_row(ledger: Ledger, cycle: int) -> VerdictRow:
    rows = [row for row in ledger.verdicts() if not cycle or row.cycle == cycle]
    if not rows:
        what = f"cycle {cycle} has no verdict" if cycle else "no cycle has a verdict yet"
        raise GateError(what, where=ledger.name, fix="`lifeloop run` takes a cycle to its verdict")
    return rows[-1]


def _release(ledger: Ledger, verdict: VerdictRow) -> Id:
    return next((row.id for row in ledger.releases() if row.verdict == verdict.id), "")


def _n_learned(vault: Vault, dataset: Dataset) -> int:
    return sum(part.n_rows for part in vault.get_value(dataset.raw, Raw).parts if part.origin == "feedback")


def _estimates(runs: list[RunRow], vault: Vault, dataset: Id) -> dict[str, Estimate]:
    plans = [row for row in runs if row.stage == "plan" and row.inputs["dataset"] == dataset]
    return {line.name: line.estimate for line in vault.get_value(plans[-1].output, Plan).lines} if plans else {}


def _build_seconds(runs: list[RunRow], vault: Vault, board: Leaderboard) -> dict[str, float]:
    made = {vault.get_value(row.output, str): row.seconds for row in runs if row.subject.startswith("make ")}
    return {standing.name: made[standing.candidate] for standing in board.standings if standing.candidate in made}


def _production(project: Project, ledger: Ledger, vault: Vault, cycle: CycleRow) -> ProductionSummary | None:
    """Return what was observed of the champion before the cycle began."""
    before = [
        row for row in ledger.releases() if vault.get_value(row.id, Release).cycle < cycle.number and row.at <= cycle.at
    ]
    if not before:
        return None
    latest = ledger.latest_events(project.brief.monitor.window)
    events = [event for event in latest if event.release == before[-1].id and not event.shadow_of]
    labels = vault.get_value(before[-1].candidate, Candidate).labels or None
    feedback = ledger.feedback(until=cycle.feedback_until)
    return observe([e for e in events if e.at <= cycle.at], feedback, project.brief.budget.usd_per_hour, labels)


def why(project: Project, release: str = "") -> tuple[LineageStep, ...]:
    """Return the lineage of a release, named by the beginning of its id; "" means what is in production.

    Raises GateError where there is no such release, several of them, or none of its verdict.
    """
    with contextlib.closing(project.open_ledger()) as ledger:
        identifier, vault = _release_named(ledger, release), project.open_vault()
        made = vault.get_value(identifier, Release)
        verdict = next((row for row in ledger.verdicts() if row.id == made.verdict), None)
        if verdict is None:
            raise GateError(
                f"the verdict {short(made.verdict)} of the release {short(identifier)} is not in the ledger",
                where=ledger.name,
                fix="`lifeloop audit` says what else is wrong with the record of decisions",
            )
        return lineage(ledger, vault, verdict, identifier)


def _release_named(ledger: Ledger, prefix: str) -> Id:
    """Return the release in production, or the one, ever there or on its way there, whose id begins so."""
    history = [row.id for row in ledger.releases()]
    known = [*history, *(row.release for row in ledger.rollouts())] if prefix else history[-1:]
    named = list(dict.fromkeys(identifier for identifier in known if identifier.startswith(prefix)))
    if not named:
        what = f"there is no release {prefix!r}" if prefix else "nothing is in production"
        raise GateError(what, where=ledger.name, fix="`lifeloop status` says where the loop stands")
    if len(named) > 1:
        shown = ", ".join(short(identifier) for identifier in named[:5])
        what = f"{len(named)} releases begin with {prefix!r}"
        raise GateError(what, where=ledger.name, fix=f"say which: {shown}")
    return named[0]


def compare_candidates(project: Project, a: str, b: str, metric: str = "") -> list[Comparison]:
    """Return candidates A and B of the last leaderboard compared on validation, by one metric or by the objectives'.

    Raises GateError where one of them is not on it, or has no trial, or where they are one.
    """
    if a == b:
        raise GateError(f"{a!r} cannot be better than itself", where="compare", fix="name two candidates")
    with contextlib.closing(project.open_ledger()) as ledger:
        vault = project.open_vault()
        board = last_board(ledger, vault)
        trials = [_trial_of(board, name) for name in (a, b)]
        labels = vault.get_value(trials[0].dataset, Dataset).labels
        metrics = metrics_for(project, labels, 0, FREE)
        known = (*metrics, *OPERATIONAL)
        if metric and metric not in known:
            raise GateError(f"there is no metric {metric!r}", where="--metric", fix=f"use one of: {', '.join(known)}")
        wanted = [metric] if metric else dict.fromkeys(o.metric for o in project.brief.objectives)
        order = comparison_order(project)
        found = (compare_trials(vault, metrics, name, trials[0], trials[1], order) for name in wanted)
        return [comparison for comparison in found if comparison is not None]


def _trial_of(board: Leaderboard, name: str) -> Trial:
    for standing in board.standings:
        if standing.name == name and standing.trial is not None:
            return standing.trial
    tried = ", ".join(standing.name for standing in board.standings if standing.trial is not None)
    raise GateError(f"{name!r} has no trial in the last cycle", where="compare", fix=f"name two of: {tried}")
