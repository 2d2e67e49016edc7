"""The examples that two trials have in common, with both sides' answers, a chunk at a time.

Takes two trials and the vault that holds their answers. Knows nothing of what is compared, or how.
"""

from collections import Counter
from collections.abc import Iterator

import msgspec
import numpy as np
import polars as pl
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop import plugins
from lifeloop.core.candidates import Candidate
from lifeloop.core.data import Example
from lifeloop.core.errors import GateError
from lifeloop.core.evidence import Trial
from lifeloop.store.datasets import split_parquet
from lifeloop.store.tables import scan, table_to_answers, table_to_examples
from lifeloop.store.vault import Vault
from lifeloop.suites.suite import Suite
from lifeloop.tasks.scoring import SMALLEST_SLICE, read, wide_scope
from lifeloop.tasks.task import Scope, Scored, Task

CHUNK = 2000
"""Examples whose answers are objects at a time."""


class Table(Struct, frozen=True):
    """A table in Parquet parts of which some rows are wanted, in this order; only a span is unpacked at a time."""

    data: tuple[bytes, ...]
    rows: NDArray[np.int64]
    repeats: int = 1
    """Rows that follow each of `rows` and are wanted with it, itself included."""

    def span(self, start: int) -> pl.DataFrame:
        """Return the wanted rows from the start-th on, as many as a chunk has examples."""
        wanted = self.rows[start : start + CHUNK]
        first, last = int(wanted.min()), int(wanted.max()) + self.repeats
        found = scan(self.data).slice(first, last - first).collect()
        return found[(wanted[:, None] - first + np.arange(self.repeats)).ravel()]


class Side(Struct, frozen=True):
    """One trial's answers to the common examples."""

    answers: Table
    repeats: int
    scope: Scope
    """The labels of every reference, and those that the candidate knows: what an output is read by, as in its trial."""


class Pairing(Struct, frozen=True):
    """Two trials, aligned."""

    examples: Table
    """The common examples, in the dataset's order."""
    groups: pl.Series
    """Of the common examples."""
    task: Task
    scope: Scope
    """The labels of both candidates and of every reference: what both are scored over."""
    sides: tuple[Side, Side]
    suite: str
    seed: int

    def chunks(self) -> Iterator[tuple[list[Scored], list[Scored]]]:
        """Yield what became of the next examples on the one side and on the other, repeats of one in a row."""
        for start in range(0, len(self.groups), CHUNK):
            examples = self._as_tried(table_to_examples(self.examples.span(start)))
            ours, theirs = (_scored(self.task, examples, side, start) for side in self.sides)
            yield ours, theirs

    def _as_tried(self, examples: list[Example]) -> list[Example]:
        """Return the examples as the trials' suite changed them: there are metrics that read the input."""
        if self.suite == "clean":
            return examples
        suite: Suite = plugins.get("suites", self.suite)
        return suite.change(examples, self.seed)


def pair(
    vault: Vault, challenger: Trial, champion: Trial, *, out_of_scope: str, seed: int, slice_name: str = ""
) -> Pairing:
    """Return two trials aligned on the examples that both have; with `slice_name`, on those of that slice alone.

    Raises GateError where the trials are not of one dataset, split and suite, or have no example in common.
    """
    check_alike(challenger, champion)
    trials = (challenger, champion)
    split = split_parquet(vault, challenger.dataset, challenger.split)
    answers = [(vault.get(trial.answers),) for trial in trials]
    places = _common(split, answers, trials)
    if not len(places) and challenger.n_items and champion.n_items:
        raise _not_the_same(challenger, champion)
    candidates = [vault.get_value(trial.candidate, Candidate) for trial in trials]
    task: Task = plugins.get("tasks", candidates[0].task)
    slices = _column(split, "slices")[places["row"]]
    references = task.labels(_column(split, "reference").unique().to_list())
    known = [wide_scope(references, candidate.labels, out_of_scope, _large_slices(slices)) for candidate in candidates]
    scope = wide_scope(known[0].labels, known[1].labels, out_of_scope, known[0].slices)
    if slice_name:
        places = places.filter(slices.is_in(_holding(slices, slice_name)))
    rows = places["row"].to_numpy()
    sides = [
        Side(Table(data, places[name].to_numpy(), trial.repeats), trial.repeats, own)
        for data, name, trial, own in zip(answers, SIDES, trials, known, strict=True)
    ]
    groups = _column(split, "group")[rows]
    return Pairing(Table(split, rows), groups, task, scope, (sides[0], sides[1]), challenger.suite, seed)


SIDES = ("ours", "theirs")

Parts = tuple[bytes, ...]
"""Parquet tables of one schema, one after the other."""


def _common(split: Parts, answers: list[Parts], trials: tuple[Trial, Trial]) -> pl.DataFrame:
    """Return the common examples: their `row` in the split, and the first of their rows in `ours` and `theirs`."""
    ids = _column(split, "id")
    places = pl.DataFrame({"id": ids, "row": np.arange(len(ids))})
    for data, trial, name in zip(answers, trials, SIDES, strict=True):
        tried = _column(data, "example").gather_every(trial.repeats)
        first = pl.DataFrame({"id": tried, name: trial.repeats * np.arange(len(tried))})
        places = places.join(first, on="id", how="inner", maintain_order="left")
    return places.drop("id")


def _column(data: Parts, name: str) -> pl.Series:
    return scan(data).select(name).collect()[name]


def check_alike(challenger: Trial, champion: Trial) -> None:
    """Raise GateError where two trials are not of one dataset, split and suite."""
    one, other = ((trial.dataset, trial.split, trial.suite) for trial in (challenger, champion))
    if one != other:
        raise _not_the_same(challenger, champion)


def _not_the_same(challenger: Trial, champion: Trial) -> GateError:
    return GateError(
        f"the trials of {challenger.name} and {champion.name} are not of the same examples",
        where="compare",
        fix="compare trials of one dataset, split and suite",
    )


def _scored(task: Task, examples: list[Example], side: Side, start: int) -> list[Scored]:
    repeated = [example for example in examples for _ in range(side.repeats)]
    return read(task, repeated, table_to_answers(side.answers.span(start)), side.scope)


def _large_slices(slices: pl.Series) -> tuple[str, ...]:
    """Return the names of the slices with enough examples; each distinct combination is decoded once."""
    sizes: Counter[str] = Counter()
    for text, size in slices.value_counts().iter_rows():
        sizes.update(dict.fromkeys(_names(text), size))
    return tuple(sorted(name for name, size in sizes.items() if size >= SMALLEST_SLICE))


def _holding(slices: pl.Series, name: str) -> list[str]:
    """Return the distinct combinations that hold a slice."""
    return [text for text in slices.unique().to_list() if name in _names(text)]


def _names(slices: str) -> list[str]:
    return [f"{column}={value}" for column, value in msgspec.json.decode(slices, type=dict[str, str]).items()]
