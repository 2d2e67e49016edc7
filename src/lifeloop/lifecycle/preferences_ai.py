"""Preferences of a model: which candidates of the brief answer and judge, by which constitution, and what they spend.

Shows the models rows of train alone. What was judged of the same training rows under the same settings is in the
ledger; single replies are in the cache of responses, so that a killed run pays only for what is new.
"""

from pathlib import Path

import msgspec
from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.candidates import Prompt
from lifeloop.core.content import Id, bytes_id, content_id
from lifeloop.core.data import Dataset
from lifeloop.core.errors import BriefError
from lifeloop.core.preferences import Lean
from lifeloop.core.progress import Progress
from lifeloop.engine.spending import Meter
from lifeloop.engine.trial import Workplace
from lifeloop.execution import run_isolated
from lifeloop.lifecycle.experiment import allowance
from lifeloop.lifecycle.runner import Done, Runner
from lifeloop.lifecycle.surroundings import responses_of
from lifeloop.lifecycle.writing import Author, Pen, Piece, author_of, loaded
from lifeloop.project import Project, prompt_of
from lifeloop.stages import prefer_ai
from lifeloop.stages.prefer_ai import Terms
from lifeloop.store.responses import Responses
from lifeloop.store.tables import to_parquet
from lifeloop.store.training_data import read_for_selection
from lifeloop.store.vault import Vault

STAGE = "judge"
_KEY = "preferences.ai.pairs"


class JudgedPairs(Struct, frozen=True):
    """What a model preferred."""

    table: Id
    """Parquet of RAW_SCHEMA."""
    n_pairs: int
    lean: Lean


class Job(Struct, frozen=True):
    """Who answers, and who judges."""

    answers: Author
    judge: Author
    terms: Terms
    dataset: Id


def constitution_of(project: Project) -> str:
    """Return the principles that a judge of preferences goes by. Raises BriefError where the file cannot be used."""
    return read_constitution(project.folder, project.brief.preferences.ai.constitution)


def read_constitution(folder: Path, file: str) -> str:
    """Return the text of a constitution's file. Raises BriefError where there is none, or nothing stands in it."""
    try:
        text = (folder / file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        fix = "write there, in a few sentences, what makes one answer better than another"
        raise BriefError(f"{file} cannot be read: {why}", where=_FILE, fix=fix) from None
    if not text:
        fix = "write in it what makes one answer better than another"
        raise BriefError(f"{file} is empty", where=_FILE, fix=fix)
    return text


_FILE = "lifeloop.toml: preferences.ai.constitution"


def judged_pairs(
    project: Project, runner: Runner, dataset: Done[Dataset], *, spend: bool = True
) -> Done[JudgedPairs] | None:
    """Return what the brief's judge prefers, or None.

    None where the brief has no judge, and, without leave to `spend`, where it was not asked yet. Raises ModelError
    where a model does not answer or the budget is used up.
    """
    settings = project.brief.preferences.ai
    if not settings.judge:
        return None
    job = _job(project, dataset)
    section = [job.answers.whom, job.judge.whom, msgspec.to_builtins(job.terms)]
    inputs = {
        "train": content_id(dataset.value.tables["train"]),
        "constitution": bytes_id(job.terms.constitution.encode()),
        "settings": content_id([prefer_ai.VERSION, section]),
    }
    if not spend and not any(run.stage == STAGE and run.inputs == inputs for run in runner.ledger.runs()):
        return None
    return runner.run(
        STAGE,
        "pairs",
        role=f"by {settings.judge}",
        version=prefer_ai.VERSION,
        inputs=inputs,
        section=section,
        kind=JudgedPairs,
        work=lambda progress: _judged(project, runner, job, progress),
    )


def _job(project: Project, dataset: Done[Dataset]) -> Job:
    brief = project.brief
    settings = brief.preferences.ai
    prompt: Prompt | None = project.prompts.get(prompt_of(brief.candidates[settings.answers]))
    contract = plugins.get("tasks", brief.project.task).contract(dataset.value.labels)
    terms = Terms(brief.project.task, contract, prompt, constitution_of(project), settings)
    return Job(author_of(brief, settings.answers), author_of(brief, settings.judge), terms, dataset.id)


def _judged(project: Project, runner: Runner, job: Job, progress: Progress) -> JudgedPairs:
    left = allowance(project, runner, "explore")
    workplace = Workplace(responses_of(project), project.folder, runner.cycle, left)
    where = f"candidates.{job.judge.name}"
    outcome = run_isolated(judge_pairs, runner.vault, job, workplace, progress=progress, where=where)
    found: JudgedPairs = outcome.value
    return found


def judge_pairs(vault: Vault, job: Job, workplace: Workplace, *, progress: Progress) -> JudgedPairs:
    """Have one model answer and another judge, and return what it prefers. Raises ModelError.

    One after the other, so that never two local models are in memory. `read_for_selection` is all that is read of the
    dataset, and only of train.
    """
    examples = read_for_selection(vault, job.dataset, "train")
    meter = Meter(workplace.allowance)
    n = min(job.terms.settings.pairs, len(examples))
    with Responses(workplace.responses) as responses:
        progress(0, 2 * n, f"loading {job.answers.name}")
        model = loaded(job.answers)
        try:
            piece = Piece("answers", 2 * n, _KEY)
            pen = Pen(model, job.answers, piece, responses, workplace.cycle, meter, progress)
            found = prefer_ai.drafts(examples, job.terms, pen.write, model.batch_size)
        finally:
            model.close()
        progress(0, 2 * n, f"loading {job.judge.name}")
        judge = loaded(job.judge)
        try:
            piece = Piece("verdicts", 2 * n, _KEY)
            pen = Pen(judge, job.judge, piece, responses, workplace.cycle, meter, progress)
            said = prefer_ai.verdicts(found, job.terms, pen.write, judge.batch_size)
        finally:
            judge.close()
    return JudgedPairs(vault.put(to_parquet(said.table)), said.table.height, said.lean)
