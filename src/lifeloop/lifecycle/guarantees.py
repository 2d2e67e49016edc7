"""Guarantees: what cascades and abstaining candidates promised on validation, checked on the test split.

Takes the gate's trials, gives one guarantee a threshold that was set for a risk. Knows nothing of how thresholds are
set; what counts as lost is the model kinds' to say.
"""

from collections.abc import Iterator, Mapping

import msgspec
import polars as pl

from lifeloop import plugins
from lifeloop.core.candidates import Answer, Candidate
from lifeloop.core.content import Id
from lifeloop.core.data import Dataset, Example
from lifeloop.core.errors import ModelError
from lifeloop.core.evidence import Guarantee, Trial
from lifeloop.lifecycle.experiment import trial_order, try_candidate
from lifeloop.lifecycle.runner import Done, Runner
from lifeloop.models import abstain, cascade
from lifeloop.project import Project
from lifeloop.stages.decide import check
from lifeloop.store.datasets import split_parquet
from lifeloop.store.tables import from_parquet, scan, table_to_answers, table_to_examples
from lifeloop.store.vault import Vault
from lifeloop.tasks.task import Scope, Task

CHUNK = 4096
"""Examples whose answers are objects at a time."""
ROLES = ("challenger/test/clean", "champion/test/clean")


def last_members(
    project: Project, runner: Runner, dataset: Done[Dataset], trials: Mapping[str, Done[Trial]]
) -> dict[Id, Done[Trial]]:
    """Return the test trials of the members that cascades with a risk are held against, by cascade.

    One that fails is left out: the promise is then shown as not checked, which is no reason to stop a verdict.
    """
    found: dict[Id, Done[Trial]] = {}
    for role in ROLES:
        made = runner.vault.get_value(trials[role].value.candidate, Candidate)
        if made.kind != "cascade" or _promise(made) is None:
            continue
        order = trial_order(project, dataset, made.members[-1])
        order = msgspec.structs.replace(order, split="test", max_items=0)
        subject = f"test clean last member of {made.name}"
        try:
            found[trials[role].value.candidate] = try_candidate(project, runner, "evaluate", subject, order)
        except ModelError as error:
            runner.failed("evaluate", subject, str(error))
    return found


def guarantees(
    project: Project, vault: Vault, trials: Mapping[str, Done[Trial]], last: Mapping[Id, Done[Trial]]
) -> tuple[Guarantee, ...]:
    """Return the promises of challenger and champion, checked where test tells. `last` is what `last_members` gave."""
    tried = {trials[role].value.candidate: trials[role].value for role in ROLES}
    found = []
    for identifier, trial in tried.items():
        candidate = vault.get_value(identifier, Candidate)
        promise = _promise(candidate)
        if promise is None:
            continue
        lost, n = _lost(project, vault, candidate, trial, last[identifier].value if identifier in last else None)
        found.append(check(promise, lost, n, project.brief.gate.confidence))
    return tuple(found)


def _promise(candidate: Candidate) -> Guarantee | None:
    """Return what a candidate's threshold was set for; None where it has none, or people set it by hand."""
    settings = candidate.settings
    numbers = [settings.get(key) for key in ("risk", "threshold", "validation_risk")]
    if candidate.kind not in ("cascade", "abstain") or any(number is None for number in numbers):
        return None
    target, threshold, validation = map(float, numbers)  # type: ignore[arg-type]
    return Guarantee(candidate.name, str(settings.get("risk_on", "")), target, threshold, validation)


def _lost(project: Project, vault: Vault, candidate: Candidate, trial: Trial, last: Trial | None) -> tuple[float, int]:
    """Return how much was lost on test, at most 1 a request, and over how many requests; (0, 0) where nothing tells."""
    task: Task = plugins.get("tasks", candidate.task)
    scope = Scope(labels=candidate.labels, out_of_scope=project.brief.data.out_of_scope)
    if candidate.kind == "cascade" and last is None:
        return 0.0, 0
    total, n = 0.0, 0
    for examples, own, others in _answered(vault, trial, last or trial):
        if candidate.kind == "cascade":
            losses = cascade.losses(task, examples, own, others, scope, project.brief.primary.metric)
        else:
            losses = abstain.losses(candidate.settings, task, examples, own, scope)
        total, n = total + float(losses.sum()), n + len(losses)
    return total, n


def _answered(vault: Vault, trial: Trial, other: Trial) -> Iterator[tuple[list[Example], list[Answer], list[Answer]]]:
    """Yield the test examples with both trials' first answers, a chunk at a time."""
    examples = scan(split_parquet(vault, trial.dataset, trial.split)).collect()
    tables = [_first(from_parquet(vault.get(each.answers)), examples["id"]) for each in (trial, other)]
    for start in range(0, len(examples), CHUNK):
        own, others = (table_to_answers(table[start : start + CHUNK]) for table in tables)
        yield table_to_examples(examples[start : start + CHUNK]), own, others


def _first(answers: pl.DataFrame, ids: pl.Series) -> pl.DataFrame:
    """Return the first answer to each example, in the order of the ids."""
    once = answers.unique("example", keep="first", maintain_order=True)
    return ids.rename("example").to_frame().join(once, on="example", how="inner", maintain_order="left")
