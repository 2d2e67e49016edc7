"""Lineage: the steps from production back to the brief, each by its id. What `lifeloop why` prints."""

from lifeloop.core.candidates import Candidate
from lifeloop.core.content import Id, short
from lifeloop.core.data import Dataset
from lifeloop.core.evidence import Release, Trial, Verdict
from lifeloop.core.preferences import Preferences
from lifeloop.lifecycle.cycle import BriefSource
from lifeloop.reports.record import LineageStep
from lifeloop.store.datasets import describe
from lifeloop.store.ledger import Ledger, VerdictRow
from lifeloop.store.rows import RolloutRow
from lifeloop.store.vault import Vault


def lineage(ledger: Ledger, vault: Vault, row: VerdictRow, release: Id) -> tuple[LineageStep, ...]:
    """Return the steps, production first. Without a release ("") it begins at the verdict."""
    steps: list[LineageStep] = []
    if release:
        made = vault.get_value(release, Release)
        steps.append(LineageStep("release", release, f"{made.name}, of cycle {made.cycle}"))
        steps += [_rollout(found) for found in reversed(ledger.rollouts()) if found.release == release]
    verdict = vault.get_value(row.id, Verdict)
    steps.append(LineageStep("verdict", row.id, f"{verdict.decision}: {verdict.reason}"))
    if verdict.overrides:
        old = vault.get_value(verdict.overrides, Verdict)
        steps.append(LineageStep("verdict", verdict.overrides, f"{old.decision}, overridden: {old.reason}"))
    for role, identifier in verdict.trials.items():
        steps.append(LineageStep("trial", identifier, _trial(role, vault.get_value(identifier, Trial))))
    for identifier in (verdict.challenger, verdict.champion):
        steps += _candidate(vault, identifier)
    dataset_id = vault.get_value(verdict.trials["challenger/test/clean"], Trial).dataset
    dataset = vault.get_value(dataset_id, Dataset)
    steps.append(LineageStep("dataset", dataset_id, describe(dataset)))
    steps.append(LineageStep("source", dataset.raw, "the raw rows"))
    cycle = next(found for found in ledger.cycles() if found.number == row.cycle)
    source = vault.get_value(cycle.brief, BriefSource)
    about = f"lifeloop.toml and {len(source.prompts)} prompts of cycle {cycle.number}; data {short(source.source)}"
    steps.append(LineageStep("brief", cycle.brief, about))
    return tuple(steps)


def _rollout(row: RolloutRow) -> LineageStep:
    """Return one decision on the release's way to all traffic, or back."""
    by = f" by {row.by}" if row.by else ""
    what = {"running": f"{row.strategy} at {row.share:.1%}", "promoted": "promoted", "rolled_back": "rolled back"}
    return LineageStep("rollout", row.release, f"{what[row.phase]}{by}: {row.reason}")


def _trial(role: str, trial: Trial) -> str:
    first = trial.metrics[0] if trial.metrics else None
    said = f", {first.metric} {first.value:.4f}" if first else ""
    return f"{role}: {trial.name}, {trial.n_items} examples{said}"


def _candidate(vault: Vault, identifier: Id) -> list[LineageStep]:
    """Return a candidate and those it was made from."""
    found = vault.get_value(identifier, Candidate)
    made_from = [other for other in (found.parent, *found.members) if other]
    about = f"{found.name} ({found.kind}), made from dataset {short(found.dataset)}"
    steps = [LineageStep("candidate", identifier, about)]
    if found.preferences:
        kept = vault.get_value(found.preferences, Preferences)
        said = f"{kept.n_trusted} trusted, {kept.n_doubted} quarantined"
        steps.append(LineageStep("preferences", found.preferences, said))
    for other in made_from:
        steps += _candidate(vault, other)
    return steps
