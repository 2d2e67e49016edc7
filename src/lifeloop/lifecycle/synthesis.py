"""Synthetic rows: which model of the brief writes them, from which examples, once, and what it may spend.

Shows the model rows of train alone. What was written for the same training rows under the same settings is in the
ledger; single replies are in the cache of responses, so that a killed run, and one on slightly other rows, pays only
for what is new.
"""

import difflib
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import polars as pl
from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.brief import convert_settings
from lifeloop.core.candidates import Answer, Candidate
from lifeloop.core.content import Id, content_id
from lifeloop.core.data import Dataset
from lifeloop.core.errors import BriefError, ModelError
from lifeloop.core.progress import Progress
from lifeloop.engine.cached import Said, encoded, known
from lifeloop.engine.spending import Meter
from lifeloop.engine.trial import Workplace
from lifeloop.execution import run_isolated
from lifeloop.lifecycle.experiment import allowance
from lifeloop.lifecycle.runner import Done, Runner
from lifeloop.lifecycle.surroundings import responses_of
from lifeloop.models.answering_id import PRICES, UNHEARD
from lifeloop.models.model import ModelKind, Writes, Writing
from lifeloop.project import Project
from lifeloop.stages import synthesise
from lifeloop.stages.synthesise import Terms
from lifeloop.store.responses import Responses
from lifeloop.store.tables import from_parquet, to_parquet
from lifeloop.store.training_data import read_for_selection
from lifeloop.store.vault import Vault

STAGE = "synthesise"
_ITS_TASK = frozenset(
    {"prompt", "shots", "shot_words", "max_words", "cue", "calibrate", "temperature", "max_tokens", "threads"}
)
"""Settings of how a candidate does its own task: what it writes for us does not hang on them."""


class Written(Struct, frozen=True):
    """What a model wrote."""

    table: Id
    """Parquet of RAW_SCHEMA."""
    n_rows: int
    n_flawed: int
    """Rows of no use, each with the reason as its flaw."""


class Job(Struct, frozen=True):
    """Who writes what."""

    name: str
    """The candidate's name in the brief."""
    kind: str
    settings: dict[str, Any]
    """The kind's, complete with defaults."""
    whom: Id
    """Hash of what of these its replies depend on."""
    terms: Terms
    dataset: Id


def synthetic_rows(
    project: Project, runner: Runner, dataset: Done[Dataset], *, spend: bool = True
) -> pl.DataFrame | None:
    """Return the rows of RAW_SCHEMA that the brief's model writes after the dataset's training rows, or None.

    None where the brief wants none, and, without leave to `spend`, where they are not written yet. Raises BriefError
    for labels that are not there, ModelError where the model does not answer or the budget is used up.
    """
    settings = project.brief.data.synthesis
    if not settings.model:
        return None
    job = _job(project, dataset)
    _check_labels(settings.labels, dataset.value, project.brief.project.task)
    section = [job.whom, msgspec.to_builtins(job.terms)]
    inputs = {
        "train": content_id(dataset.value.tables["train"]),
        "settings": content_id([synthesise.VERSION, section]),
    }
    if not spend and not any(run.stage == STAGE and run.inputs == inputs for run in runner.ledger.runs()):
        return None
    done = runner.run(
        STAGE,
        "rows",
        role=f"by {settings.model}",
        version=synthesise.VERSION,
        inputs=inputs,
        section=section,
        kind=Written,
        work=lambda progress: _written(project, runner, job, progress),
    )
    return from_parquet(runner.vault.get(done.value.table))


def _job(project: Project, dataset: Done[Dataset]) -> Job:
    brief = project.brief
    name = brief.data.synthesis.model
    table = brief.candidates[name]
    kind: ModelKind = plugins.get("models", table["kind"])
    given = {key: value for key, value in table.items() if key != "kind"}
    settings = msgspec.to_builtins(convert_settings(given, kind.settings, f"candidates.{name}", "lifeloop.toml"))
    heard = {key: value for key, value in settings.items() if key not in UNHEARD | _ITS_TASK}
    terms = Terms(brief.project.task, brief.project.problem, brief.data.synthesis)
    return Job(name, table["kind"], settings, content_id([table["kind"], kind.version, heard]), terms, dataset.id)


def _check_labels(wanted: Sequence[str], dataset: Dataset, task: str) -> None:
    for label in wanted:
        if label in dataset.labels:
            continue
        close = difflib.get_close_matches(label, dataset.labels, n=1)
        listed = ", ".join(dataset.labels[:20]) + (", …" if len(dataset.labels) > 20 else "")
        fix = f"did you mean {close[0]!r}?" if close else f"name some of: {listed}" if listed else "remove the key"
        what = f"no training row has the label {label!r}" if dataset.labels else f"the task {task} has no labels"
        raise BriefError(what, where="lifeloop.toml: data.synthesis.labels", fix=fix)


def _written(project: Project, runner: Runner, job: Job, progress: Progress) -> Written:
    left = allowance(project, runner, "explore")
    workplace = Workplace(responses_of(project), project.folder, runner.cycle, left)
    outcome = run_isolated(write_rows, runner.vault, job, workplace, progress=progress, where=f"candidates.{job.name}")
    found: Written = outcome.value
    return found


def write_rows(vault: Vault, job: Job, workplace: Workplace, *, progress: Progress) -> Written:
    """Have a model write the rows of a job, and return them. Raises ModelError.

    Its model sees training rows: `read_for_selection` is all that is read of the dataset, and only of train.
    """
    examples = read_for_selection(vault, job.dataset, "train")
    kind: ModelKind = plugins.get("models", job.kind)
    progress(0, job.terms.settings.rows, "loading")
    model = kind.load(Candidate(job.name, job.kind, "generate", (), job.settings), None, ())
    assert isinstance(model, Writes), "a brief that names another model is not opened: project.check_names"
    try:
        with Responses(workplace.responses) as responses:
            pen = Pen(model, job, responses, workplace, progress)
            table = synthesise.synthesise(examples, job.terms, pen.write, model.batch_size)
    finally:
        model.close()
    n_flawed = table.filter(pl.col("flaw") != "").height
    return Written(vault.put(to_parquet(table)), table.height, n_flawed)


class Pen:
    """Asks a model for texts: those it has written before from the cache, the others within what may be spent."""

    def __init__(self, model: Writes, job: Job, responses: Responses, workplace: Workplace, progress: Progress) -> None:
        self._model = model
        self._job = job
        self._responses = responses
        self._cycle = workplace.cycle
        self._progress = progress
        self._meter = Meter(workplace.allowance)
        prices = [job.settings[key] for key in PRICES if key in job.settings]
        self._paid = bool(prices)
        self._spends = {"usd", "tokens"} if any(prices) else {"tokens"} if prices else set[str]()
        self._done, self._answered = 0, 0

    def write(self, writings: Sequence[Writing]) -> list[Answer]:
        """Return one answer a writing. Raises ModelError where the budget ends, or not one was ever answered."""
        keys = [bytes.fromhex(content_id([self._job.whom, writing]))[:16] for writing in writings]
        found = {key: said.answer for key, said in known(self._responses, keys).items()}
        missing = [(key, writing) for key, writing in zip(keys, writings, strict=True) if key not in found]
        if missing:
            self._check_budget(len(missing))
            begun = time.monotonic()
            answers = self._model.write([writing for _, writing in missing])
            seconds = (time.monotonic() - begun) / len(missing)
            self._keep([key for key, _ in missing], answers, seconds)
            found |= {key: answer for (key, _), answer in zip(missing, answers, strict=True)}
        said = [found[key] for key in keys]
        self._done += len(said)
        self._answered += sum(not answer.error for answer in said)
        if not self._answered:
            raise ModelError(
                f"not one of {self._done} requests was answered: {said[0].error}",
                where=f"candidates.{self._job.name}",
                fix="see that the model answers, then run again",
            )
        self._progress(self._done, self._job.terms.settings.rows, "writing rows")
        return said

    def _check_budget(self, n: int) -> None:
        key = self._meter.used_up(n, self._meter.n_paid, self._spends)
        if not key:
            return
        words = {"usd": "money", "tokens": "tokens", "minutes": "time"}
        raise ModelError(
            f"the budget of {words[key]} is used up after {self._done} of {self._job.terms.settings.rows} synthetic "
            "rows; what was written is kept",
            where=f"lifeloop.toml: budget.{key}",
            fix="raise it and run again, or lower data.synthesis.rows",
        )

    def _keep(self, keys: Sequence[bytes], answers: Sequence[Answer], seconds: float) -> None:
        """Commit what came, and what it cost."""
        usd, tokens = self._meter.add(answers) if self._paid else (0.0, 0)
        good = [
            (key, encoded(Said(answer, seconds))) for key, answer in zip(keys, answers, strict=True) if not answer.error
        ]
        self._responses.put(good, cycle=self._cycle, usd=usd, tokens=tokens)
