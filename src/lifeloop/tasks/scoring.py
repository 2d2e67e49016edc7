"""From answers to metric values: reads each answer as its task does, and puts an interval on every metric.

Takes examples with their answers a chunk at a time and keeps sums alone: memory does not grow with their number.
Knows nothing of who answered.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lifeloop.core.candidates import Answer
from lifeloop.core.data import Example
from lifeloop.core.evidence import MetricValue, Spot, VarianceSplit
from lifeloop.stats import bootstrap, proportions
from lifeloop.tasks.abstention import Withholding
from lifeloop.tasks.blocks import LIMIT, Blocks, BlockSums, Placing, blocks_for, group_of
from lifeloop.tasks.repeats import Spread, over_repeats
from lifeloop.tasks.task import Floats, Metric, Scope, Scored, Task, is_average

__all__ = [
    "ALIKE",
    "SEED",
    "SMALLEST_SLICE",
    "Blocks",
    "Tally",
    "blocks_for",
    "large_slices",
    "measure",
    "measure_all",
    "read",
    "wide_scope",
]

SEED = 0
"""Of the bootstrap: the same answers give the same interval."""
SMALLEST_SLICE = 10
"""A slice of fewer examples is not reported: its numbers would say nothing."""
ALIKE = 1e-12
"""An interval narrower than this comes of items that are all alike, and resampling those would claim certainty."""
PORTION = 1000
"""Examples scored at a time: 450 columns of so many take 4 MB."""


def wide_scope(references: Iterable[str], labels: Sequence[str], out_of_scope: str, slices: Iterable[str]) -> Scope:
    """Return the scope over which a trial is scored, whatever the chunk.

    `references` is what `Task.labels` gave for the references of the split, `labels` what the candidate knows, `slices`
    what `large_slices` found.
    """
    every = tuple(sorted(set(references) | set(labels)))
    return Scope(labels=every, out_of_scope=out_of_scope, slices=tuple(sorted(slices)))


def large_slices(slices: Iterable[Mapping[str, str]], smallest: int = SMALLEST_SLICE) -> tuple[str, ...]:
    """Return `column=value` of every slice with enough examples to say something, given the slices of each."""
    sizes = Counter(name for each in slices for name in _names(each))
    return tuple(sorted(name for name, size in sizes.items() if size >= smallest))


def read(task: Task, examples: Sequence[Example], answers: Sequence[Answer], scope: Scope) -> list[Scored]:
    """Return each example with its prediction; None where the answer failed or breaks the task's contract."""
    scored = []
    for example, answer in zip(examples, answers, strict=True):
        try:
            prediction = None if answer.error else task.parse(answer.output, scope.labels)
        except ValueError:
            prediction = None
        scored.append(Scored(example, prediction, answer))
    return scored


def measure(metric: Metric, scored: Sequence[Scored], scope: Scope, confidence: float) -> MetricValue | None:
    """Return one metric of answers that are all at hand, or None where it applies to none of them."""
    return next(iter(_tally({metric.name: metric}, scored, scope, confidence).metrics()), None)


def measure_all(task: Task, scored: Sequence[Scored], scope: Scope, confidence: float) -> tuple[MetricValue, ...]:
    """Return every metric of the task over answers that are all at hand."""
    return _tally(task.metrics, scored, scope, confidence).metrics()


def _tally(metrics: Mapping[str, Metric], scored: Sequence[Scored], scope: Scope, confidence: float) -> "Tally":
    tally = Tally(metrics, scope, blocks_for([item.example.group for item in scored]), confidence)
    tally.add(scored)
    return tally


class Tally:
    """The metrics of a trial, for all of its examples and for every slice of the scope, as its answers come.

    `blocks` says how the examples belong together. With `repeats`, every example stands there so many times in a row;
    an example counts once, with the mean over its repeats.
    """

    def __init__(
        self, metrics: Mapping[str, Metric], scope: Scope, blocks: Blocks, confidence: float, repeats: int = 1
    ) -> None:
        self.n_failed = 0
        """Answers without a usable output; each repeat counts."""
        self._metrics = dict(metrics)
        self._scope = scope
        self._blocks = blocks
        self._confidence = confidence
        self._repeats = repeats
        slots = max(100, min(500, LIMIT // max(1, len(scope.slices))))  # all slices together: about one trial's worth
        self._whole = _Part(blocks.limit)
        self._parts = {name: _Part(min(slots, blocks.limit)) for name in scope.slices}
        self._spreads: dict[ColumnsOf, Spread] = {}
        self._withholding = Withholding() if "accuracy" in self._metrics else None

    def add(self, scored: Sequence[Scored]) -> None:
        """Add a chunk. Raises ValueError where it does not hold whole examples with all their repeats."""
        if len(scored) % self._repeats:
            raise ValueError(f"{len(scored)} answers are not {self._repeats} for every example")
        step = PORTION * self._repeats
        for start in range(0, len(scored), step):
            self._add_portion(scored[start : start + step])

    def metrics(self) -> tuple[MetricValue, ...]:
        """Return every metric that applies to at least one example, with its interval."""
        return self._values(self._whole)

    def slices(self) -> dict[str, tuple[MetricValue, ...]]:
        """Return the same for every slice of the scope that holds an example."""
        values = {name: self._values(part) for name, part in self._parts.items()}
        return {name: found for name, found in values.items() if found}

    def variance(self) -> tuple[VarianceSplit, ...]:
        """Return where the variance of each average comes from; nothing where every example was asked once."""
        found = []
        for metric in self._metrics.values():
            spread = self._spreads.get(metric.columns)
            if spread is not None and spread.n > 1 and is_average(metric, spread.n_columns):
                between, within = spread.split()
                found.append(VarianceSplit(metric.name, between_items=between, within_items=within))
        return tuple(found)

    def abstention(self) -> tuple[Spot, ...]:
        """Return what withholding less sure answers would do; nothing without confidence or without right answers."""
        return self._withholding.curve() if self._withholding else ()

    def remarks(self) -> tuple[str, ...]:
        """Return what the metrics have to say beside their values."""
        said = []
        for metric in self._metrics.values():
            sums = self._whole.sums.get(metric.columns)
            if metric.remark is not None and sums is not None and sums.n:
                said.append(metric.remark(sums.means))
        return tuple(text for text in said if text)

    def _add_portion(self, scored: Sequence[Scored]) -> None:
        self.n_failed += sum(item.prediction is None for item in scored)
        if self._withholding:
            self._withholding.add(scored)
        examples = [item.example for item in scored[:: self._repeats]]
        self._whole.place(range(len(examples)), examples)
        for name, rows in _members(examples, self._parts).items():
            self._parts[name].place(rows, examples)
        for columns_of in dict.fromkeys(metric.columns for metric in self._metrics.values()):
            columns = columns_of(scored, self._scope)
            if self._repeats > 1:
                self._spreads.setdefault(columns_of, Spread(self._repeats)).add(columns)
            rows, applies = over_repeats(columns, self._repeats)
            for part in (self._whole, *self._parts.values()):
                part.add(columns_of, rows, applies)
        for part in (self._whole, *self._parts.values()):
            part.forget()

    def _values(self, part: "_Part") -> tuple[MetricValue, ...]:
        exact = self._blocks.alone and self._repeats == 1
        found = []
        for metric in self._metrics.values():
            sums = part.sums.get(metric.columns)
            if sums is not None and sums.n:
                found.append(_measured(metric, sums, self._confidence, exact))
        return tuple(found)


ColumnsOf = Callable[[Sequence[Scored], Scope], Floats]


class _Part:
    """All examples or one slice: the blocks there, and the sums of every distinct table of columns."""

    def __init__(self, limit: int) -> None:
        self.sums: dict[ColumnsOf, BlockSums] = {}
        """Metrics that are computed from the same columns (entity F1, precision, recall) share them."""
        self._placing = Placing(limit)
        self._rows: NDArray[np.intp] = np.zeros(0, dtype=np.intp)
        self._places: NDArray[np.intp] = self._rows

    def place(self, rows: Sequence[int], examples: Sequence[Example]) -> None:
        """Say which examples of the next tables are in this part."""
        self._rows = np.asarray(rows, dtype=np.intp)
        self._places = self._placing.of([group_of(examples[row]) for row in rows])

    def add(self, columns_of: ColumnsOf, columns: Floats, applies: NDArray[np.bool_]) -> None:
        """Add those rows of a table that are in this part and that the metric applies to."""
        if not len(self._rows):
            return
        wanted = applies[self._rows]
        rows = columns[self._rows[wanted]]
        self.sums.setdefault(columns_of, BlockSums(self._placing.limit)).add(self._places[wanted], rows)

    def forget(self) -> None:
        """Make ready for the next examples."""
        self._rows = self._places = np.zeros(0, dtype=np.intp)


def _measured(metric: Metric, sums: BlockSums, confidence: float, exact: bool) -> MetricValue:
    value = float(metric.combine(sums.means))
    # Of a cost of up to 12, zeros alone are no shares: the next value could be 12.
    share = sums.binary and metric.bounds in (None, (0.0, 1.0))
    if share and is_average(metric, sums.sums.shape[1]):
        if exact:
            low, high = proportions.clopper_pearson(round(float(sums.sums[:, 0].sum())), sums.n, confidence)
            return MetricValue(metric=metric.name, value=value, low=low, high=high, n=sums.n)
        if value in (0.0, 1.0):  # resampling what is all alike would claim certainty; as many blocks were alike
            blocks = int((sums.counts > 0).sum())
            low, high = proportions.clopper_pearson(round(value * blocks), blocks, confidence)
            return MetricValue(metric=metric.name, value=value, low=low, high=high, n=sums.n)
    low, high = bootstrap.interval(sums.sums, sums.counts, metric.combine, confidence, SEED)
    if high - low < ALIKE and metric.bounds is not None:
        least, most = metric.bounds
        if least <= value <= most:  # as many blocks were alike; of one unlike them, the value is anywhere in its bounds
            reach = (most - least) * proportions.clopper_pearson(0, int((sums.counts > 0).sum()), confidence)[1]
            low, high = max(least, value - reach), min(most, value + reach)
    return MetricValue(metric=metric.name, value=value, low=low, high=high, n=sums.n)


def _members(examples: Sequence[Example], wanted: Mapping[str, _Part]) -> dict[str, list[int]]:
    """Return the rows of every wanted slice."""
    members: dict[str, list[int]] = {}
    for row, example in enumerate(examples):
        for name in _names(example.slices):
            if name in wanted:
                members.setdefault(name, []).append(row)
    return members


def _names(slices: Mapping[str, str]) -> Iterator[str]:
    return (f"{column}={value}" for column, value in slices.items())
