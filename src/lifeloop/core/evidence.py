"""Trials, comparisons, verdicts and releases: what was measured, and what was decided on it."""

from typing import Literal

from msgspec import Struct

from lifeloop.core.content import Id
from lifeloop.core.data import Split
from lifeloop.core.training_record import Check

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
    n_cached: int = 0
    """Answers that an earlier trial had paid for."""
    usd_spent: float = 0.0
    """Money that this trial paid to endpoints."""


class VarianceSplit(Struct, frozen=True):
    """Where a metric's variance comes from, where every example was asked several times."""

    metric: str
    between_items: float
    """Variance between examples: more examples lessen its part."""
    within_items: float
    """Variance between repeats of one example: more repeats lessen its part."""


class Spot(Struct, frozen=True):
    """One point of the abstention curve."""

    threshold: float
    coverage: float
    """Share of the requests that are answered when less sure answers are withheld."""
    accuracy: float
    """Of those answered."""


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
    repeats: int = 1
    """Times that each example was asked."""
    variance: tuple[VarianceSplit, ...] = ()
    """With repeats: of each metric that is an average over examples."""
    abstention: tuple[Spot, ...] = ()
    """For candidates that give a confidence: what withholding less sure answers would do."""
    remarks: tuple[str, ...] = ()
    """What a metric has to say beside its value (how well a judge agrees with people), in sentences."""

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


class Elimination(Struct, frozen=True):
    """Why a race ended early for a candidate: what an always-valid test showed, and after how much."""

    leader: str
    """Who was ahead."""
    n_items: int
    """Examples answered until then."""
    of_items: int
    """Examples there are."""
    difference: float
    """Candidate minus leader on the first objective, turned so that less is worse."""
    low: float
    high: float
    """Always-valid interval of the difference; `high` lies below minus the margin."""
    margin: float
    method: str


class Guarantee(Struct, frozen=True):
    """A risk that a threshold was set for on validation, and what test says of it."""

    candidate: str
    risk: str
    """What may go wrong, in words."""
    target: float
    threshold: float
    validation: float
    """The share on validation, at the threshold."""
    test: float | None = None
    """The share on test; None where the candidate was not tried there."""
    test_low: float = 0.0
    test_high: float = 1.0
    kept: bool | None = None
    """Whether test agrees with the target; None where it was not checked."""


class Standing(Struct, frozen=True):
    """One line of the leaderboard."""

    name: str
    candidate: Id
    trial: Trial | None
    failure: str = ""
    """Why there is no trial, where there is none."""
    note: str = ""
    eliminated: Elimination | None = None
    """Where a race ended early for it: then its trial is of part of the examples."""


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
    slice: str = ""
    """`column=value`, or "" for all examples."""
    always_low: float | None = None
    always_high: float | None = None
    """Always-valid interval of the difference: it may be looked at after every example."""
    e_value: float | None = None
    """Evidence that the challenger is better, valid at any look; 1/alpha or more shows it (Ville, 1939)."""
    worse_e_value: float | None = None
    """The same evidence that it is worse."""
    n_clusters: int = 0
    """Groups of related examples that the interval was computed over; 0 where each stands alone."""


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
    slice: str = ""
    """`column=value` that a guard is held on, or "" for all examples."""
    p_value: float | None = None
    """Of the hypothesis that the target is not missed, or the guard not broken."""
    adjusted_p: float | None = None
    """The same, corrected for the number of comparisons of this verdict (Holm, 1979)."""


class Parentage(Struct, frozen=True):
    """An adapted challenger against the candidate that it was adapted from."""

    parent: Id
    name: str
    comparisons: tuple[Comparison, ...] = ()
    """Child against parent, on test, guard and suites; `challenger` is the child's value and `champion` the parent's.
    Empty where the parent could not be tried."""
    guards: tuple[ObjectiveResult, ...] = ()
    """The brief's guards, held against the parent."""


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
    override_by: str = ""
    """Who promoted it against the gate; "" where the gate decided."""
    override_reason: str = ""
    overrides: Id = ""
    """The verdict that was overridden."""
    guarantees: tuple[Guarantee, ...] = ()
    """Risks of the challenger's and champion's thresholds, checked on test."""
    parentage: Parentage | None = None
    """For a challenger that was adapted from another candidate."""
    checks: tuple[Check, ...] = ()
    """What training checked of the challenger, and of those it is composed of."""


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
