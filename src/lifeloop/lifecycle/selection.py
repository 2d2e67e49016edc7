"""The rows that candidates are made from: a stage of its own between refine and explore, where the brief selects.

Without a selection it is the dataset itself, and no key of any stage changes. Trials, comparisons and the gate always
read the dataset's own splits.
"""

import contextlib
from typing import Any

import msgspec

from lifeloop import plugins
from lifeloop.core.content import Id, content_id
from lifeloop.core.data import Dataset
from lifeloop.core.data_brief import Selection
from lifeloop.core.errors import BriefError
from lifeloop.core.progress import Progress
from lifeloop.lifecycle.runner import Done, Runner
from lifeloop.lifecycle.version_log import newest_dataset
from lifeloop.project import Project
from lifeloop.stages import select
from lifeloop.stages.select import Chosen, Selected
from lifeloop.store.training_data import read_for_selection
from lifeloop.tasks.task import Task

STAGE = "select"


def training_rows(project: Project, runner: Runner, dataset: Done[Dataset]) -> Id:
    """Return the id of the Dataset that candidates are made from. Raises BriefError or ModelError as `select` does."""
    data = project.brief.data
    if not data.selection.on:
        return dataset.id
    task: Task = plugins.get("tasks", project.brief.project.task)

    def choose(progress: Progress) -> Selected:
        return select.select(runner.vault, dataset.id, data.selection, task, data.seed, progress)

    section: list[Any] = [msgspec.to_builtins(data.selection), task.name, data.seed]
    done = runner.run(
        STAGE,
        "training rows",
        version=select.VERSION,
        inputs={"dataset": dataset.id, "settings": content_id(section)},
        section=section,
        kind=Selected,
        work=choose,
    )
    return done.value.dataset


def preview(project: Project, settings: Selection, progress: Progress) -> Chosen:
    """Return what settings would select of the newest dataset's training rows. Writes nothing.

    Raises BriefError where no data was refined yet, and as `select` does.
    """
    task: Task = plugins.get("tasks", project.brief.project.task)
    with contextlib.closing(project.open_ledger()) as ledger:
        dataset = newest_dataset(ledger)
    if not dataset:
        raise BriefError("the data was not read yet", where="data select train", fix="run `lifeloop data build` first")
    examples = read_for_selection(project.open_vault(), dataset, "train")
    return select.choose(examples, settings, task, project.brief.data.seed, progress)
