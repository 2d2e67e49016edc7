"""Objectives held against the evidence: which targets are met, which guards are kept, corrected for their number.

Takes trials and comparisons, gives one result an objective (and one a slice that a guard is held on). Knows nothing
of the verdict that rests on them.

A target is met, and a guard kept, when the whole interval is on its right side. It is missed or broken when the whole
is on the wrong side *and* the p-value still says so after Holm's correction over every target, guard and slice of the
verdict: among twenty slices one looks broken by chance. On slices and on the small guard split a guard is kept unless
it is shown to be broken, since so few examples can hardly ever show the absence of harm.
"""

import math
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from lifeloop.core.brief import Gate, Objective
from lifeloop.core.evidence import OPERATIONAL, Comparison, Direction, MetricValue, ObjectiveResult, State, Trial
from lifeloop.stats import equivalence, multiplicity, power

SMALLEST_SLICE = 30
"""Test examples that a slice needs for a guard to be held on it."""
_HAIR = 1e-12
"""A bound that is met exactly is met, whatever the last bit says."""

_UNKNOWN_SHARE = (0.0, 0.0, 1.0)
_UNKNOWN_DIFFERENCE = (0.0, -1.0, 1.0)
"""Value and interval of what applies to no example. Numbers, since a verdict is kept as JSON, which has no NaN."""


class Held(Struct, frozen=True):
    """Every objective of a brief, held against the evidence."""

    targets: tuple[ObjectiveResult, ...]
    guards: tuple[ObjectiveResult, ...]
    """On test, then on its slices; and last a break on the guard split, where there is one."""


class _Question(Struct, frozen=True):
    """Whether a quantity, turned so that more is better, lies above a bound."""

    result: ObjectiveResult
    """With a state as if nothing were known of it."""
    value: float
    low: float
    high: float
    bound: float
    good: State
    bad: State
    shown: bool
    """Whether it must be shown to lie above; otherwise it is enough that it is not shown to lie below."""


def hold(
    challenger: Trial,
    champion: Trial,
    comparisons: Sequence[Comparison],
    objectives: Sequence[Objective],
    directions: Mapping[str, Direction],
    gate: Gate,
) -> Held:
    """Return the results, in the order of the objectives. `directions` is by metric."""
    primary, questions = objectives[0], []
    targets = [o for o in objectives if o.target is not None]
    guards = [o for o in objectives if o.guard]
    for objective in targets:
        questions.append(_target(objective, challenger, directions[objective.metric], gate))
    for objective in guards:
        questions.append(_guard(objective, champion, comparisons, directions[objective.metric]))
    for objective in guards:
        questions += [
            _difference(objective, found, directions[objective.metric], shown=False)
            for found in _slices(objective, comparisons)
        ]
    on_guard_split = find(comparisons, primary.metric, "guard")
    if on_guard_split is not None:
        questions.append(_difference(primary, on_guard_split, directions[primary.metric], shown=False))
    answered = _answer(questions, gate)
    held_on_test = answered[: len(answered) - (on_guard_split is not None)]
    broken = [result for result in answered[len(held_on_test) :] if result.state == "broken"]
    return Held(tuple(answered[: len(targets)]), (*held_on_test[len(targets) :], *broken))


def find(comparisons: Sequence[Comparison], metric: str, split: str) -> Comparison | None:
    """Return the comparison on a split as it is, over all its examples, or None."""
    for found in comparisons:
        if (found.metric, found.split, found.suite, found.slice) == (metric, split, "clean", ""):
            return found
    return None


def shown(result: ObjectiveResult) -> str:
    """Return a result's value and interval in words."""
    if (result.value, result.low, result.high) in (_UNKNOWN_SHARE, _UNKNOWN_DIFFERENCE):
        return "no test example tells"
    return f"{result.value:.4g}, interval {result.low:.4g} to {result.high:.4g}"


def _answer(questions: Sequence[_Question], gate: Gate) -> list[ObjectiveResult]:
    """Return each question's result, with its p-value corrected for all those that have one (Holm, 1979)."""
    p_values = [
        equivalence.p_worse_than(q.value, q.low, q.high, gate.confidence, q.bound)
        if math.isfinite(q.low) and q.high > q.low  # what is measured without an interval is a fact, and no test
        else None
        for q in questions
    ]
    adjusted = iter(multiplicity.holm([p for p in p_values if p is not None]))
    return [
        _settled(question, p_value, float(next(adjusted)) if p_value is not None else None, gate)
        for question, p_value in zip(questions, p_values, strict=True)
    ]


def _settled(question: _Question, p_value: float | None, adjusted: float | None, gate: Gate) -> ObjectiveResult:
    # Half of alpha, as in one tail of an interval: a question that stands alone is answered as by its interval.
    significant = adjusted is None or adjusted <= (1 - gate.confidence) / 2
    state: State
    if question.low >= question.bound - _HAIR:
        state = question.good
    elif question.high < question.bound and significant:
        state = question.bad
    else:
        state = "undecided" if question.shown else question.good
    more = question.result.more_examples if state == "undecided" else 0
    return msgspec.structs.replace(
        question.result, state=state, more_examples=more, p_value=p_value, adjusted_p=adjusted
    )


def _target(objective: Objective, trial: Trial, direction: Direction, gate: Gate) -> _Question:
    assert objective.target is not None, "only objectives with a target come here"
    found = trial.metric(objective.metric)
    if found is None:  # the metric applies to no test example: nothing is shown
        result = ObjectiveResult(objective.metric, objective.target, direction, *_UNKNOWN_SHARE, "undecided", 1)
        return _Question(result, 0.0, -math.inf, math.inf, 0.0, "met", "missed", True)
    more = _more_for_target(found, objective.target, gate)
    result = ObjectiveResult(
        objective.metric, objective.target, direction, found.value, found.low, found.high, "undecided", more
    )
    if direction == "max":
        return _Question(result, found.value, found.low, found.high, objective.target, "met", "missed", True)
    return _Question(result, -found.value, -found.high, -found.low, -objective.target, "met", "missed", True)


def _guard(objective: Objective, champion: Trial, comparisons: Sequence[Comparison], direction: Direction) -> _Question:
    found = find(comparisons, objective.metric, "test")
    if found is not None:
        return _difference(objective, found, direction, shown=True)
    # There is nothing to make worse, unless the champion alone has the metric (a confidence, say).
    lost = champion.metric(objective.metric) is not None
    result = ObjectiveResult(objective.metric, None, direction, *_UNKNOWN_DIFFERENCE, "undecided", int(lost))
    return _Question(result, 0.0, -math.inf, math.inf, 0.0, "kept", "broken", shown=lost)


def _slices(objective: Objective, comparisons: Sequence[Comparison]) -> list[Comparison]:
    return [
        found
        for found in comparisons
        if (found.metric, found.split, found.suite) == (objective.metric, "test", "clean")
        and found.n >= SMALLEST_SLICE
        and any(found.slice.startswith(f"{column}=") for column in objective.slices)
    ]


def _difference(objective: Objective, found: Comparison, direction: Direction, *, shown: bool) -> _Question:
    margin = objective.margin
    if objective.metric in OPERATIONAL:  # a share of the champion's: a margin in ms or USD would need its own scale
        margin = objective.margin * abs(found.champion)
    result = ObjectiveResult(
        metric=objective.metric,
        target=None,
        direction=direction,
        value=found.difference,
        low=found.low,
        high=found.high,
        state="undecided",
        more_examples=3 * found.n,  # the interval shrinks with the root: half its width takes four times the examples
        slice=found.slice,
    )
    value, low, high = found.difference, found.low, found.high
    if direction == "min":
        value, low, high = -value, -high, -low
    return _Question(result, value, low, high, -margin, "kept", "broken", shown)


def _more_for_target(found: MetricValue, target: float, gate: Gate) -> int:
    """Return the further examples that would settle a share that keeps its value; for other metrics by its width."""
    distance = abs(found.value - target)
    if distance < 1e-9:
        return 10 * found.n  # exactly on the target: no number of examples settles it, and this says "many"
    if 0.0 < target < found.value <= 1.0:
        needed = power.items_for_target(target, found.value, gate.confidence, gate.power)
    else:
        needed = math.ceil(found.n * ((found.high - found.low) / 2 / distance) ** 2)
    return (
        needed - found.n if needed > found.n else found.n
    )  # the correction for many may ask for more than an interval
