"""Trials, comparisons, verdicts and releases: what was measured, and what was decided on it."""

from typing import Literal

from msgspec import Struct

from lifeloop.core.content import Id
from lifeloop.core.data import Split

Decision = Literal["promote", "reject", "undecided"]
Direction = Literal["max", "min"]
State = Literal["met", "missed", "undecided", "kept", "broken"]
"""Of an objective: met, missed or undecided for a target; kept, broken or undecided for a guard."""


class MetricValue(Struct, frozen=True):
    """One metric of one trial, with its interval."""

    metric: str
    value: float
    low: float
    high: float
    n: int
    """Number of examples it rests on."""


class Measurements(Struct, frozen=True):
    """What a trial cost. The only part of a trial that differs from run to run."""

    p50_ms: float
    """Median latency of one request at a time, in milliseconds."""
    p95_ms: float
    memory_mb: float
    """Peak resident memory of a process that runs this candidate alone."""
    tokens_in: int
    tokens_out: int
    usd_per_1000: float
    """Money for a thousand requests: endpoint prices plus this machine's time."""
    seconds: float
    """Wall time of the trial."""


class Trial(Struct, frozen=True):
    """One candidate run over one dataset split."""

    candidate: Id
    name: str
    dataset: Id
    split: Split
    suite: str
    """"clean", or the suite that changed the inputs."""
    n_items: int
    n_failed: int
    """Items without a usable output: an error, or an output that breaks the task's contract."""
    answers: Id
    """Vault id of the table of answers, one row an example."""
    metrics: tuple[MetricValue, ...]
    slices: dict[str, tuple[MetricValue, ...]]
    """`column=value` to the metrics there."""
    measurements: Measurements

    def metric(self, name: str) -> MetricValue | None:
        """Return a metric by name; the measurements count as metrics without an interval of their own."""
        for value in self.metrics:
            if value.metric == name:
                return value
        if name in OPERATIONAL:
            number = float(getattr(self.measurements, name))
            return MetricValue(metric=name, value=number, low=number, high=number, n=self.n_items)
        return None


OPERATIONAL: tuple[str, ...] = ("p50_ms", "p95_ms", "memory_mb", "usd_per_1000")
"""Metrics that are measured on the trial, not scored on the answers; less is better."""


class Standing(Struct, frozen=True):
    """One line of the leaderboard."""

    name: str
    candidate: Id
    trial: Trial | None
    failure: str = ""
    """Why there is no trial, where there is none."""
    note: str = ""


class Leaderboard(Struct, frozen=True):
    """All candidates on the same validation examples, and the one that goes to the gate."""

    metric: str
    standings: tuple[Standing, ...]
    """Best first; failed ones last."""
    challenger: Id
    reason: str
    """Why that one."""


class Comparison(Struct, frozen=True):
    """Two trials on the same examples, tested."""

    metric: str
    split: Split
    suite: str
    challenger: float
    champion: float
    difference: float
    """Challenger minus champion."""
    low: float
    high: float
    """Interval of the difference at the gate's confidence."""
    p_value: float | None
    """Two-sided; None where the method gives an interval alone."""
    method: str
    n: int


class ObjectiveResult(Struct, frozen=True):
    """One objective, held against the evidence."""

    metric: str
    target: float | None
    direction: Direction
    value: float
    low: float
    high: float
    state: State
    more_examples: int = 0
    """Estimate of the further test examples that would decide it."""


class Verdict(Struct, frozen=True):
    """The decision of the gate, with every number it rests on."""

    cycle: int
    decision: Decision
    reason: str
    challenger: Id
    challenger_name: str
    champion: Id
    """The candidate it was held against: the champion, or in the first cycle the baseline."""
    champion_name: str
    champion_is_baseline: bool
    objectives: tuple[ObjectiveResult, ...]
    guards: tuple[ObjectiveResult, ...]
    comparisons: tuple[Comparison, ...]
    usd_per_1000: tuple[float, float]
    """Challenger's and champion's cost of a thousand requests."""
    trials: dict[str, Id]
    """`ROLE/SPLIT/SUITE` to the vault id of the trial."""
    leaderboard: Id = ""
    """Where the challenger came from."""
    more_examples: int = 0


class Release(Struct, frozen=True):
    """A candidate in production, with its verdict and those who answer in its stead."""

    cycle: int
    verdict: Id
    candidate: Id
    name: str
    fallback: tuple[Id, ...] = ()
    timeout_seconds: float = 10.0
    replaces: Id = ""
    """The release before it."""
