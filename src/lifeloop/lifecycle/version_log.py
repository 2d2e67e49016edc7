"""Which dataset each cycle came to, also where it had been made before: the record of the data's versions.

A run whose output the ledger has leaves no row there; the version that a cycle works on does.
"""

from lifeloop.core.content import Id
from lifeloop.core.data import Dataset
from lifeloop.lifecycle.runner import Done, Runner
from lifeloop.store.ledger import Ledger, RunRow

STAGE = "version"


def noted(runner: Runner, dataset: Done[Dataset]) -> Done[Dataset]:
    """Return the dataset, once the ledger says that the cycle came to it."""
    rows = versions(runner.ledger)
    if not rows or (rows[-1].output, rows[-1].cycle) != (dataset.id, runner.cycle):
        inputs = {"dataset": dataset.id, "number": str(len(rows) + 1)}
        key, _ = runner.recall(STAGE, version="1", inputs=inputs, section=None, kind=Dataset)
        runner.remember(key, STAGE, "data", inputs, dataset.value, 0.0)
    return dataset


def versions(ledger: Ledger) -> list[RunRow]:
    """Return a row for each time that a cycle came to a dataset, in order; its output is the dataset."""
    return [run for run in ledger.runs() if run.stage == STAGE]


def newest_dataset(ledger: Ledger) -> Id:
    """Return the newest version of the data, or "" where nothing was refined yet."""
    rows = versions(ledger)
    return rows[-1].output if rows else ""
