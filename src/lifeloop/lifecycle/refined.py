"""Collect and refine: from the brief's sources and the feedback so far to a dataset in the vault.

Sees to it that what an earlier version of the data has read, examined or written is not done again, and that groups
keep the split they were first given.
"""

import contextlib

import msgspec

from lifeloop.core.content import Id, bytes_id, content_id
from lifeloop.core.data import Dataset, Raw, RawPart
from lifeloop.core.data_brief import Selection, Synthesis
from lifeloop.core.errors import StoreError
from lifeloop.core.progress import Progress
from lifeloop.guards.reviewed import NOT_REVIEWED
from lifeloop.guards.seal import data_key
from lifeloop.lifecycle.examined import examined_parts
from lifeloop.lifecycle.runner import Done, Runner
from lifeloop.lifecycle.synthesis import synthetic_rows
from lifeloop.lifecycle.version_log import noted
from lifeloop.place import data_key as data_key_text
from lifeloop.project import Project
from lifeloop.sources.source import Reading
from lifeloop.stages import collect, examine, learn, refine
from lifeloop.stages.collect import Collected
from lifeloop.stages.settle import Beside
from lifeloop.store.ledger import CycleRow
from lifeloop.store.tables import from_parquet, to_parquet

WITH_SYNTHETIC = "data and synthetic rows"
"""Subject of the run that refines again with what a model wrote from the first result."""


def reading_of(project: Project) -> Reading:
    """Return what sources are told of a project."""
    return Reading(project.brief.data, project.folder, project.brief.project.task)


def refined_dataset(
    project: Project, runner: Runner, row: CycleRow, source: Id, *, spend: bool = True
) -> Done[Dataset]:
    """Return the cycle's dataset. `source` is the fingerprint of the data's bytes. Raises DataError.

    Without `spend`, no model is asked for rows; those that one wrote before are there all the same.
    """
    collected = _collected(project, runner, row, source)
    beside = _beside(project)
    dataset = _refined(project, runner, collected.value.raw, beside, "data")
    written = synthetic_rows(project, runner, dataset, spend=spend)
    if written is None or not written.height:
        return noted(runner, dataset)
    raw = runner.vault.get_value(collected.value.raw, Raw)
    part = RawPart(runner.vault.put(to_parquet(written)), written.height, "synthetic")
    both = runner.vault.put_value(Raw((*raw.parts, part)))
    return noted(runner, _refined(project, runner, both, beside, WITH_SYNTHETIC, dataset.value))


def _beside(project: Project) -> Beside:
    """Return what files beside the data say of it: known benchmark items, and what people decided of rows."""
    refine, reading = project.brief.data.refine, reading_of(project)
    return Beside(
        benchmarks=tuple(collect.inputs_of(refine.contamination.benchmarks, reading)),
        reviews=collect.reviews_of(refine.reviewed, reading) if refine.reviewed else NOT_REVIEWED,
    )


def _collected(project: Project, runner: Runner, row: CycleRow, source: Id) -> Done[Collected]:
    data, task = project.brief.data, project.brief.project.task
    section = collect.section(data, task)
    settings = content_id([collect.VERSION, section])

    def gather(progress: Progress) -> Collected:
        learned = learn.learn(runner.ledger.feedback(until=row.feedback_until), task)
        known = _last_sources(runner, settings)
        return collect.collect(reading_of(project), runner.vault, learned, known, progress)

    return runner.run(
        "collect",
        "data",
        version=f"{collect.VERSION}/{learn.VERSION}",
        inputs={"source": source, "feedback_until": str(row.feedback_until), "settings": settings},
        section=[section, data.sources],
        kind=Collected,
        work=gather,
    )


def _last_sources(runner: Runner, settings: Id) -> tuple[collect.SourceParts, ...]:
    """Return the sources as they were last collected under the same settings."""
    runs = [run for run in runner.ledger.runs() if run.stage == "collect" and run.inputs.get("settings") == settings]
    try:
        return runner.vault.get_value(runs[-1].output, Collected).sources if runs else ()
    except StoreError:  # lost: then everything is read again
        return ()


def _refined(
    project: Project, runner: Runner, raw: Id, beside: Beside, subject: str, first: Dataset | None = None
) -> Done[Dataset]:
    data, task = project.brief.data, project.brief.project.task
    key = data_key(data_key_text()) if data_key_text() else None
    # what is written or selected from the result changes nothing of it
    section = [msgspec.to_builtins(msgspec.structs.replace(data, synthesis=Synthesis(), selection=Selection())), task]
    examined = examine.section(data, task), bytes_id(key)[:16] if key else ""
    settings = content_id([refine.VERSION, section, examined, beside.benchmarks, beside.reviews.rows()])
    placed, earlier = _before(runner, subject, raw, settings, first)

    def clean(progress: Progress) -> Dataset:
        parts = runner.vault.get_value(raw, Raw).parts
        looked_at = examined_parts(runner, parts, data, task, key, progress)
        placements = from_parquet(runner.vault.get(placed)) if placed else refine.NOTHING_BEFORE.placements
        before = refine.Before(placements, {part.raw: part for part in earlier.parts} if earlier else {})
        return refine.refine(runner.vault, raw, looked_at, data, task, before, beside, progress)

    return runner.run(
        "refine",
        subject,
        version=refine.VERSION,
        inputs={"raw": raw, "placements": placed, "settings": settings},
        section=section,
        kind=Dataset,
        work=clean,
    )


def _before(runner: Runner, subject: str, raw: Id, settings: Id, first: Dataset | None) -> tuple[Id, Dataset | None]:
    """Return the id of the placements to keep to ("" for none), and the dataset whose parts may be shared.

    For the same rows under the same settings they are those of the last run, which would give the same again; for what
    was refined once in this cycle, those that this `first` time led to.
    """
    if first is not None:
        return first.placements, first
    runs = [run for run in runner.ledger.runs() if run.stage == "refine" and run.cycle <= runner.cycle]
    own = [run for run in runs if run.subject == subject]
    if own and (own[-1].inputs["raw"], own[-1].inputs["settings"]) == (raw, settings):
        with contextlib.suppress(StoreError):  # lost: it is made again, and nothing is shared
            return own[-1].inputs["placements"], runner.vault.get_value(own[-1].output, Dataset)
        return own[-1].inputs["placements"], None
    if not runs:
        return "", None
    last = runner.vault.get_value(runs[-1].output, Dataset)
    return last.placements, last
