"""Runs one candidate over one split: answers, scores, latency, tokens, cost. The engine of explore and evaluate.

Answers are written to a journal as they come, so that a killed trial goes on where it was. Latency is that of one
request at a time, whatever batches the answers were made in.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.candidates import Answer, Candidate, Request
from lifeloop.core.content import Id
from lifeloop.core.data import Example, Split
from lifeloop.core.errors import ModelError
from lifeloop.core.evidence import Measurements, MetricValue, Trial
from lifeloop.core.progress import Progress
from lifeloop.models.loading import load_candidate
from lifeloop.models.model import Model
from lifeloop.store.datasets import read_for_evaluation, read_for_selection, sample
from lifeloop.store.journal import Journal
from lifeloop.store.tables import answers_to_table, to_parquet
from lifeloop.store.vault import Vault
from lifeloop.suites.suite import Suite
from lifeloop.tasks.chat import conversation
from lifeloop.tasks.scoring import measure_all, read
from lifeloop.tasks.task import Scope, Scored, Task

VERSION = "1"
CLEAN = "clean"
PROBES = 32
"""Requests sent one at a time to measure the latency of a model that answers in batches."""
WARM_UP = 2
SMALLEST_SLICE = 10


class TrialOrder(Struct, frozen=True):
    """What is to be tried on what."""

    candidate: Id
    dataset: Id
    split: Split
    suite: str
    max_items: int
    out_of_scope: str
    confidence: float
    usd_per_hour: float
    seed: int
    repeats: int = 1
    metrics: dict[str, dict[str, Any]] = {}
    """The brief's own metrics: name to section, each with a `fingerprint` of the files that it names."""


class Said(Struct, frozen=True):
    """A line of the journal: one answer, and the time it took."""

    example: str
    answer: Answer
    seconds: float


def run_trial(vault: Vault, order: TrialOrder, journal: Path, *, progress: Progress) -> Trial:
    """Return the trial; `memory_mb` is 0 until whoever runs this in a process of its own fills it in.

    Raises ModelError where the candidate cannot be loaded.
    """
    begun = time.monotonic()
    candidate = vault.get_value(order.candidate, Candidate)
    task: Task = plugins.get("tasks", candidate.task)
    examples = examples_of(vault, order)
    progress(0, len(examples), "loading")
    model = load_candidate(vault, order.candidate)
    try:
        said = answer_all(model, examples, candidate.task, journal, progress)
        answers = [line.answer for line in said]
        if answers and all(answer.error for answer in answers):
            raise ModelError(
                f"not one of {len(answers)} requests was answered: {answers[0].error}",
                where=f"candidates.{candidate.name}",
                fix="mend it and run again; what other candidates did is kept",
            )
        latencies = _latencies(model, examples, candidate.task, said)
    finally:
        model.close()
    scope = Scope(labels=candidate.labels, out_of_scope=order.out_of_scope)
    scored = read(task, examples, answers, scope)
    mean_usd = float(np.mean([answer.usd for answer in answers])) if answers else 0.0
    return Trial(
        candidate=order.candidate,
        name=candidate.name,
        dataset=order.dataset,
        split=order.split,
        suite=order.suite,
        n_items=len(examples),
        n_failed=sum(item.prediction is None for item in scored),
        answers=vault.put(to_parquet(answers_to_table([example.id for example in examples], answers))),
        metrics=measure_all(task, scored, scope, order.confidence),
        slices=_slices(task, examples, scored, scope, order.confidence),
        measurements=Measurements(
            p50_ms=1000 * float(np.quantile(latencies, 0.5)),
            p95_ms=1000 * float(np.quantile(latencies, 0.95)),
            memory_mb=0.0,
            tokens_in=sum(answer.tokens_in for answer in answers),
            tokens_out=sum(answer.tokens_out for answer in answers),
            usd_per_1000=1000 * (mean_usd + float(np.mean(latencies)) * order.usd_per_hour / 3600),
            seconds=time.monotonic() - begun,
        ),
    )


def examples_of(vault: Vault, order: TrialOrder) -> list[Example]:
    """Return the examples of an order, as its suite changes them, in the order in which they are answered."""
    if order.split == "train" or order.split == "validation":  # noqa: PLR1714, so that mypy narrows the type
        found = read_for_selection(vault, order.dataset, order.split)
    else:
        found = read_for_evaluation(vault, order.dataset, order.split)
    chosen = sample(found, order.max_items, order.seed)
    if order.suite == CLEAN:
        return chosen
    suite: Suite = plugins.get("suites", order.suite)
    return suite.change(chosen, order.seed)


def request_for(task: str, text: str) -> Request:
    """Return what a candidate is asked for an input; for chat the input's conversation."""
    if task != "chat":
        return Request(text=text)
    turns = conversation(text)
    return Request(text=turns[-1].content if turns else "", messages=turns)


def answer_all(model: Model, examples: Sequence[Example], task: str, path: Path, progress: Progress) -> list[Said]:
    """Return one line an example, in order; those that the journal has are not asked for again."""
    with Journal(path, Said) as journal:
        known = {line.example: line for line in journal.read()}
        waiting = [example for example in examples if example.id not in known]
        for start in range(0, len(waiting), model.batch_size):
            progress(len(examples) - len(waiting) + start, len(examples), "answering")
            batch = waiting[start : start + model.batch_size]
            begun = time.perf_counter()
            answers = model.answer([request_for(task, example.input) for example in batch])
            each = (time.perf_counter() - begun) / len(batch)
            lines = [Said(example.id, answer, each) for example, answer in zip(batch, answers, strict=True)]
            journal.append([line for line in lines if not line.answer.error])  # what failed is asked again
            known |= {line.example: line for line in lines}
    progress(len(examples), len(examples), "answered")
    return [known[example.id] for example in examples]


def _latencies(model: Model, examples: Sequence[Example], task: str, said: Sequence[Said]) -> list[float]:
    """Return seconds a request, one at a time and warm."""
    if model.batch_size == 1 and len(said) > WARM_UP:
        return [line.seconds for line in said[WARM_UP:]]
    probes = [request_for(task, example.input) for example in examples[:PROBES]]
    times = []
    for place, probe in enumerate([*probes[:WARM_UP], *probes]):
        begun = time.perf_counter()
        model.answer([probe])
        if place >= WARM_UP:
            times.append(time.perf_counter() - begun)
    return times or [0.0]


def _slices(
    task: Task, examples: Sequence[Example], scored: Sequence[Scored], scope: Scope, confidence: float
) -> dict[str, tuple[MetricValue, ...]]:
    """Return the metrics of every slice with enough examples to say something."""
    members: dict[str, list[Scored]] = {}
    for example, item in zip(examples, scored, strict=True):
        for column, value in example.slices.items():
            members.setdefault(f"{column}={value}", []).append(item)
    return {
        name: measure_all(task, items, scope, confidence)
        for name, items in sorted(members.items())
        if len(items) >= SMALLEST_SLICE
    }


def with_memory(trial: Trial, memory_mb: float) -> Trial:
    """Return the trial with the memory that its process took."""
    return msgspec.structs.replace(trial, measurements=msgspec.structs.replace(trial.measurements, memory_mb=memory_mb))
