"""Synthetic rows: which model of the brief writes them, from which examples, once, and what it may spend.

Shows the model rows of train alone. What was written for the same training rows under the same settings is in the
ledger; single replies are in the cache of responses, so that a killed run, and one on slightly other rows, pays only
for what is new.
"""

import difflib
from collections.abc import Sequence

import msgspec
import polars as pl
from msgspec import Struct

from lifeloop.core.content import Id, content_id
from lifeloop.core.data import Dataset
from lifeloop.core.errors import BriefError
from lifeloop.core.progress import Progress
from lifeloop.engine.spending import Meter
from lifeloop.engine.trial import Workplace
from lifeloop.execution import run_isolated
from lifeloop.lifecycle.experiment import allowance
from lifeloop.lifecycle.runner import Done, Runner
from lifeloop.lifecycle.surroundings import responses_of
from lifeloop.lifecycle.writing import Author, Pen, Piece, author_of, loaded
from lifeloop.project import Project
from lifeloop.stages import synthesise
from lifeloop.stages.synthesise import Terms
from lifeloop.store.responses import Responses
from lifeloop.store.tables import from_parquet, to_parquet
from lifeloop.store.training_data import read_for_selection
from lifeloop.store.vault import Vault

STAGE = "synthesise"


class Written(Struct, frozen=True):
    """What a model wrote."""

    table: Id
    """Parquet of RAW_SCHEMA."""
    n_rows: int
    n_flawed: int
    """Rows of no use, each with the reason as its flaw."""


class Job(Struct, frozen=True):
    """Who writes what."""

    author: Author
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
    section = [job.author.whom, msgspec.to_builtins(job.terms)]
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
    terms = Terms(brief.project.task, brief.project.problem, brief.data.synthesis)
    return Job(author_of(brief, brief.data.synthesis.model), terms, dataset.id)


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
    outcome = run_isolated(
        write_rows, runner.vault, job, workplace, progress=progress, where=f"candidates.{job.author.name}"
    )
    found: Written = outcome.value
    return found


def write_rows(vault: Vault, job: Job, workplace: Workplace, *, progress: Progress) -> Written:
    """Have a model write the rows of a job, and return them. Raises ModelError.

    Its model sees training rows: `read_for_selection` is all that is read of the dataset, and only of train.
    """
    examples = read_for_selection(vault, job.dataset, "train")
    piece = Piece("synthetic rows", job.terms.settings.rows, "data.synthesis.rows")
    progress(0, piece.total, "loading")
    model = loaded(job.author)
    try:
        with Responses(workplace.responses) as responses:
            meter = Meter(workplace.allowance)
            pen = Pen(model, job.author, piece, responses, workplace.cycle, meter, progress)
            table = synthesise.synthesise(examples, job.terms, pen.write, model.batch_size)
    finally:
        model.close()
    n_flawed = table.filter(pl.col("flaw") != "").height
    return Written(vault.put(to_parquet(table)), table.height, n_flawed)
