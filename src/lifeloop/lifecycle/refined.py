"""Collect and refine: from the brief's source and the feedback so far to a dataset in the vault."""

import msgspec
from msgspec import Struct

from lifeloop.core.content import Id
from lifeloop.core.data import SPLITS, Dataset
from lifeloop.core.progress import Progress
from lifeloop.lifecycle.runner import Done, Runner
from lifeloop.project import Project
from lifeloop.stages import collect, learn, refine
from lifeloop.store.ledger import CycleRow
from lifeloop.store.tables import fates_to_table, from_parquet, to_parquet


class Collected(Struct, frozen=True):
    """The raw rows of a cycle."""

    table: Id
    n_rows: int
    n_learned: int


def refined_dataset(project: Project, runner: Runner, row: CycleRow, source: Id) -> Done[Dataset]:
    """Return the cycle's dataset. `source` is the fingerprint of the data's bytes. Raises DataError."""
    data, task = project.brief.data, project.brief.project.task
    vault, ledger = runner.vault, runner.ledger

    def gather(progress: Progress) -> Collected:
        learned = learn.learn(ledger.feedback(until=row.feedback_until), task)
        table = collect.collect(data, project.folder, learned)
        return Collected(vault.put(to_parquet(table)), table.height, learned.height)

    collected = runner.run(
        "collect",
        "data",
        version=f"{collect.VERSION}/{learn.VERSION}",
        inputs={"source": source, "feedback_until": str(row.feedback_until)},
        section=[msgspec.to_builtins(data), task],
        kind=Collected,
        work=gather,
    )

    def clean(progress: Progress) -> Dataset:
        refined = refine.refine(from_parquet(vault.get(collected.value.table)), data, task)
        return Dataset(
            tables={split: vault.put(to_parquet(refined.splits[split])) for split in SPLITS},
            counts={split: refined.splits[split].height for split in SPLITS},
            labels=refined.labels,
            raw=collected.value.table,
            fates=vault.put(to_parquet(fates_to_table(refined.fates))),
            findings=refined.findings,
        )

    return runner.run(
        "refine",
        "data",
        version=refine.VERSION,
        inputs={"raw": collected.value.table},
        section=[msgspec.to_builtins(data), task],
        kind=Dataset,
        work=clean,
    )
