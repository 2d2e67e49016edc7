"""Runs one candidate over one split: answers, scores, latency, tokens, cost. The engine of explore and evaluate.

Every answer is kept in the cache of responses as it comes, so that a killed trial goes on where it was and nothing is
paid twice. Latency is that of one request at a time, whatever batches the answers were made in.
"""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.candidates import Answer, Candidate, Request
from lifeloop.core.content import Id
from lifeloop.core.data import Example, Split
from lifeloop.core.evidence import Measurements, Trial
from lifeloop.core.progress import Progress
from lifeloop.engine import members
from lifeloop.engine.answering import Answering, Asks, Context
from lifeloop.engine.cached import narrowed
from lifeloop.engine.heard import Heard
from lifeloop.engine.latency import PROBES, WARM_UP, Clock
from lifeloop.engine.spending import Allowance, Meter
from lifeloop.metrics.declared import metrics_of
from lifeloop.metrics.metric_kind import Surroundings
from lifeloop.models.answering_id import answering_id, draws_at_random, prices_of
from lifeloop.models.columns_read import columns_read
from lifeloop.store.datasets import CHUNK, SplitTable, split_for_trial
from lifeloop.store.responses import Responses
from lifeloop.store.tables import to_parquet
from lifeloop.store.vault import Vault
from lifeloop.suites.suite import Suite
from lifeloop.tasks.chat import request_for
from lifeloop.tasks.scoring import Tally, blocks_for, large_slices, read, wide_scope
from lifeloop.tasks.task import Scope, Task

__all__ = ["CLEAN", "VERSION", "Allowance", "TrialOrder", "Workplace", "run_trial"]

VERSION = "3"
CLEAN = "clean"


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


class Workplace(Struct, frozen=True):
    """Where a trial works, and what it may spend."""

    responses: Path
    """The file of the cache of responses."""
    folder: Path
    """The project's folder, which files that metrics name are relative to."""
    cycle: int
    allowance: Allowance
    scratch: Path | None = None
    """Where training keeps what a kill must not cost; None for nowhere."""


class Subject(Struct, frozen=True):
    """Who is tried on what."""

    candidate: Candidate
    task: Task
    table: SplitTable
    scope: Scope
    repeats: int
    columns: frozenset[str] = frozenset()
    """Columns of the examples' slices that the candidate reads."""


def run_trial(vault: Vault, order: TrialOrder, workplace: Workplace, *, progress: Progress) -> Trial:
    """Return the trial. Its `memory_mb` is the peak of a process that loaded the candidate: this one or an earlier.

    Raises ModelError where the candidate cannot be loaded, answers nothing, or the allowance is used up.
    """
    begun = time.monotonic()
    subject = subject_of(vault, order)
    progress(0, subject.table.height, "loading")
    tally, heard = _tally(order, workplace, subject), Heard(subject.repeats)
    meter, whom = Meter(workplace.allowance), answering_id(vault, order.candidate)
    with Responses(workplace.responses) as responses:
        purse = members.Purse(responses, meter, workplace.cycle, subject.repeats)
        context = Context(
            purse=purse,
            whom=whom,
            open=lambda: members.load(vault, order.candidate, purse),
            total=subject.table.height * subject.repeats,
            progress=progress,
            prices=prices_of(vault, order.candidate),
        )
        clock = Clock(responses, whom, _probes(order, subject))
        with closing(Answering(context)) as answering:
            clock.before(answering)
            for examples, answers in answered(answering, order, subject, heard):
                tally.add(read(subject.task, examples, answers, subject.scope))
            heard.check(subject.candidate.name)
            latencies = clock.after(answering, heard.seconds)
    measurements = Measurements(
        p50_ms=1000 * float(np.quantile(latencies, 0.5)),
        p95_ms=1000 * float(np.quantile(latencies, 0.95)),
        memory_mb=clock.memory_mb,
        tokens_in=heard.tokens_in,
        tokens_out=heard.tokens_out,
        usd_per_1000=1000 * (heard.mean_usd + float(np.mean(latencies)) * order.usd_per_hour / 3600),
        seconds=time.monotonic() - begun,
        n_cached=answering.n_cached,
        usd_spent=meter.usd,
    )
    return _trial(order, subject, tally, vault.put(to_parquet(heard.table())), measurements)


def subject_of(vault: Vault, order: TrialOrder) -> Subject:
    """Return whom and what an order names, read from the vault."""
    candidate = vault.get_value(order.candidate, Candidate)
    task: Task = plugins.get("tasks", candidate.task)
    table = split_for_trial(vault, order.dataset, order.split, order.max_items, order.seed)
    references = task.labels(list(set(table.values("reference"))))
    slices = large_slices(map(msgspec.json.Decoder(dict[str, str]).decode, table.values("slices")))
    return Subject(
        candidate=candidate,
        task=task,
        table=table,
        scope=wide_scope(references, candidate.labels, order.out_of_scope, slices),
        repeats=order.repeats if order.repeats > 1 and draws_at_random(vault, order.candidate) else 1,
        columns=columns_read(vault, order.candidate),
    )


def _request(subject: Subject, example: Example) -> Request:
    return narrowed(request_for(subject.candidate.task, example.input, example.slices), subject.columns)


def _tally(order: TrialOrder, workplace: Workplace, subject: Subject) -> Tally:
    task = subject.candidate.task
    left = workplace.allowance
    around = Surroundings(
        task, subject.scope.labels, workplace.folder, workplace.responses, workplace.cycle, left.usd, left.tokens
    )
    metrics = metrics_of(task, order.metrics, around)
    return Tally(metrics, subject.scope, blocks_for(subject.table.column("group")), order.confidence, subject.repeats)


def _changed(order: TrialOrder, examples: list[Example]) -> list[Example]:
    """Return examples as the order's suite changes them, which it does one by one."""
    if order.suite == CLEAN:
        return examples
    suite: Suite = plugins.get("suites", order.suite)
    return suite.change(examples, order.seed)


def _probes(order: TrialOrder, subject: Subject) -> Asks:
    first = _changed(order, subject.table.head(PROBES + WARM_UP))
    return [(_request(subject, example), 0) for example in first]


def answered(
    answering: Answering, order: TrialOrder, subject: Subject, heard: Heard
) -> Iterator[tuple[list[Example], list[Answer]]]:
    """Yield chunks of examples, each as often as it is asked, with their answers; `heard` keeps these."""
    open_: deque[list[Example]] = deque()

    def asks() -> Iterator[Asks]:
        for examples in subject.table.chunks(max(1, CHUNK // subject.repeats)):
            repeated = [example for example in _changed(order, examples) for _ in range(subject.repeats)]
            open_.append(repeated)
            yield [(_request(subject, example), place % subject.repeats) for place, example in enumerate(repeated)]

    for said in answering.answers(asks()):
        examples = open_.popleft()
        yield examples, heard.add(examples, said)


def _trial(order: TrialOrder, subject: Subject, tally: Tally, answers: Id, measurements: Measurements) -> Trial:
    return Trial(
        candidate=order.candidate,
        name=subject.candidate.name,
        dataset=order.dataset,
        split=order.split,
        suite=order.suite,
        n_items=subject.table.height,
        n_failed=tally.n_failed,
        answers=answers,
        metrics=tally.metrics(),
        slices=tally.slices(),
        measurements=measurements,
        repeats=subject.repeats,
        variance=tally.variance(),
        abstention=tally.abstention(),
        remarks=tally.remarks(),
    )
