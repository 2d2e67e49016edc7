"""The seam of tasks: what an output must look like, how it is read, and how it is scored.

A metric is a function of column means: each example gives a row of numbers, and the value is computed from the means
of the columns. So one bootstrap serves every metric, from accuracy (one column) to macro F1 (three columns a label).
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.core.candidates import Answer, Contract
from lifeloop.core.data import Example
from lifeloop.core.evidence import Direction

Floats = NDArray[np.float64]


class Scored(Struct, frozen=True):
    """One example with what became of it; what metrics are computed from."""

    example: Example
    prediction: Any
    """What `Task.parse` gave, or None for a failed answer."""
    answer: Answer

    @property
    def reference(self) -> str:
        """What should have come out."""
        return self.example.reference


class Scope(Struct, frozen=True):
    """What metrics need to know of the use case."""

    labels: tuple[str, ...] = ()
    """Every label that a reference of the split holds or the candidate knows: columns must not depend on the chunk."""
    out_of_scope: str = ""
    slices: tuple[str, ...] = ()
    """`column=value` of every slice that is large enough to say something."""


class Metric(Struct, frozen=True):
    """One number that says how good a trial is."""

    name: str
    direction: Direction
    columns: Callable[[Sequence[Scored], Scope], Floats]
    """Rows (n_examples, n_columns); a row of NaN where the metric does not apply to the example. Called with one chunk
    of a trial at a time: the number and meaning of the columns may depend on the scope, never on the chunk."""
    combine: Callable[[Floats], Floats]
    """Column means (..., n_columns) to values (...)."""
    about: str
    needs_out_of_scope: bool = False
    """Whether it says nothing in a use case without an out-of-scope label."""
    remark: Callable[[Floats], str] | None = None
    """Column means (n_columns,) to what else they say, in a sentence; "" for nothing."""
    bounds: tuple[float, float] | None = (0.0, 1.0)
    """For an average: between which the values of an example lie, whatever the answer; None where nothing bounds them.
    Exact tests that may be looked at after every example need it; without it they are exact for many examples only."""


def is_average(metric: Metric, n_columns: int) -> bool:
    """Return whether a metric is the plain mean of its column 0, so that its variance and exact tests make sense."""
    probes = np.linspace(0.1, 3.1, 5 * n_columns).reshape(n_columns, 5).T  # no two cells alike
    with np.errstate(all="ignore"):
        values = np.asarray(metric.combine(probes))
    return values.shape == (5,) and bool(np.allclose(values, probes[:, 0]))


class Task(Protocol):
    """What the registry holds for each task."""

    name: str
    metrics: dict[str, Metric]
    """By name; the first is the default objective."""

    def flaw(self, reference: str) -> str:
        """Return why a reference cannot be used, or ""."""

    def labels(self, references: Sequence[str]) -> tuple[str, ...]:
        """Return the label set that references span, sorted; empty where the task has none."""

    def contract(self, labels: Sequence[str]) -> Contract:
        """Return what an output must look like."""

    def parse(self, output: str, labels: Sequence[str]) -> Any:
        """Return the prediction that an output states. Raises ValueError where it breaks the contract."""
