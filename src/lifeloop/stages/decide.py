"""Decide: the gate. Holds the evidence of challenger and champion against the objectives and gives a verdict.

A target counts as met only when the whole interval is on its right side, as missed when the whole is on the wrong
one, and as undecided in between. Knows nothing of how trials were run; it reads trials and comparisons.
"""

import math
from collections.abc import Mapping, Sequence

from msgspec import Struct

from lifeloop.core.brief import Gate, Objective
from lifeloop.core.content import Id
from lifeloop.core.evidence import (
    OPERATIONAL,
    Comparison,
    Decision,
    Direction,
    MetricValue,
    ObjectiveResult,
    State,
    Trial,
    Verdict,
)
from lifeloop.stats import power

VERSION = "1"
CHEAPER = 0.95
"""A cost below this share of the champion's counts as cheaper; anything nearer is the clock's noise."""


_UNKNOWN_SHARE = (0.0, 0.0, 1.0)
_UNKNOWN_DIFFERENCE = (0.0, -1.0, 1.0)
"""Value and interval of what applies to no example. Numbers, since a verdict is kept as JSON, which has no NaN."""


class Evidence(Struct, frozen=True):
    """All that a verdict rests on."""

    cycle: int
    challenger: Trial
    """On test."""
    champion: Trial
    champion_is_baseline: bool
    comparisons: tuple[Comparison, ...]
    """Challenger against champion: the primary metric and guards on test, the primary on guard and suites."""
    trials: dict[str, Id]
    leaderboard: Id


def decide(
    evidence: Evidence, objectives: Sequence[Objective], directions: Mapping[str, Direction], gate: Gate
) -> Verdict:
    """Return the verdict. `directions` says of each objective's metric whether more or less is better."""
    targets = [
        _target(objective, evidence.challenger, directions[objective.metric], gate)
        for objective in objectives
        if objective.target is not None
    ]
    guards = [
        _guard(objective, evidence, directions[objective.metric], "test") for objective in objectives if objective.guard
    ]
    primary = objectives[0]
    guards += [
        result
        for result in [_guard(primary, evidence, directions[primary.metric], "guard")]
        if result.state == "broken"  # a small guard split can show a break, but hardly ever the absence of one
    ]
    usd = (evidence.challenger.measurements.usd_per_1000, evidence.champion.measurements.usd_per_1000)
    main = _oriented(_find(evidence.comparisons, primary.metric, "test"), directions[primary.metric])
    decision, reason, more = _blocked(targets, guards) or _same(evidence) or _weighed(main, usd, primary, gate)
    return Verdict(
        cycle=evidence.cycle,
        decision=decision,
        reason=reason,
        challenger=evidence.challenger.candidate,
        challenger_name=evidence.challenger.name,
        champion=evidence.champion.candidate,
        champion_name=evidence.champion.name,
        champion_is_baseline=evidence.champion_is_baseline,
        objectives=tuple(targets),
        guards=tuple(guards),
        comparisons=evidence.comparisons,
        usd_per_1000=usd,
        trials=evidence.trials,
        leaderboard=evidence.leaderboard,
        more_examples=more,
    )


class _Gain(Struct, frozen=True):
    """A difference turned so that more is better."""

    difference: float
    low: float
    high: float
    n: int
    discordance: float


_Judgement = tuple[Decision, str, int]
"""The decision, its reason in a sentence, and the further examples that would change "undecided"."""


def _same(evidence: Evidence) -> _Judgement | None:
    """Return that a candidate cannot win against itself, or None where there are two."""
    if evidence.challenger.candidate != evidence.champion.candidate:
        return None
    what = "baseline" if evidence.champion_is_baseline else "champion"
    return "reject", f"it is the {what} itself, and no other candidate could stand against it", 0


def _blocked(targets: Sequence[ObjectiveResult], guards: Sequence[ObjectiveResult]) -> _Judgement | None:
    """Return why the challenger cannot win whatever the champion does, or None."""
    for result in targets:
        if result.state == "missed":
            return "reject", f"{result.metric} is {_shown(result)}, which misses the target of {result.target:g}", 0
    for result in guards:
        if result.state == "broken":
            return "reject", f"it breaks the guard on {result.metric}: it is worse there by more than the margin", 0
    waiting = [result for result in (*targets, *guards) if result.state == "undecided"]
    if waiting:
        more = max(result.more_examples for result in waiting)
        named = ", ".join(f"{result.metric} ({_shown(result)})" for result in waiting)
        return "undecided", f"the evidence does not yet settle {named}", more
    return None


def _weighed(gain: _Gain, usd: tuple[float, float], primary: Objective, gate: Gate) -> _Judgement:
    """Return how challenger and champion compare: better, as good and cheaper, neither, or not yet known."""
    if gain.low > 0:
        return "promote", f"it is better on {primary.metric} by {_span(gain)}, and meets every objective", 0
    cheaper = usd[0] < usd[1] * CHEAPER
    if gain.low > -gate.margin and cheaper:
        saved = 1 - usd[0] / usd[1]
        return (
            "promote",
            f"it is as good on {primary.metric} (difference {_span(gain)}, margin {gate.margin:g}) "
            f"and costs {saved:.0%} less",
            0,
        )
    if gain.high < gate.effect:
        if gain.low > -gate.margin:
            return "reject", f"it is as good on {primary.metric} (difference {_span(gain)}), but not cheaper", 0
        return "reject", f"any gain on {primary.metric} is below the {gate.effect:g} worth finding ({_span(gain)})", 0
    more = _more_for_difference(gain, gate)
    return "undecided", f"whether it is better on {primary.metric} is open (difference {_span(gain)})", more


def _target(objective: Objective, trial: Trial, direction: Direction, gate: Gate) -> ObjectiveResult:
    assert objective.target is not None, "only objectives with a target come here"
    found = trial.metric(objective.metric)
    if found is None:  # the metric applies to no test example: nothing is shown
        return ObjectiveResult(objective.metric, objective.target, direction, *_UNKNOWN_SHARE, "undecided", 1)
    sign = 1.0 if direction == "max" else -1.0
    worst, best = (found.low, found.high) if direction == "max" else (found.high, found.low)
    state: State
    if sign * (worst - objective.target) >= 0:
        state, more = "met", 0
    elif sign * (best - objective.target) < 0:
        state, more = "missed", 0
    else:
        state, more = "undecided", _more_for_target(found, objective.target, gate)
    return ObjectiveResult(
        objective.metric, objective.target, direction, found.value, found.low, found.high, state, more
    )


def _guard(objective: Objective, evidence: Evidence, direction: Direction, split: str) -> ObjectiveResult:
    state: State
    found = _find(evidence.comparisons, objective.metric, split)
    if found is None:  # nothing to make worse, unless the champion alone has the metric (a confidence, say)
        lost = split == "test" and evidence.champion.metric(objective.metric) is not None
        state, more = ("undecided", 1) if lost else ("kept", 0)
        return ObjectiveResult(objective.metric, None, direction, *_UNKNOWN_DIFFERENCE, state, more)
    gain = _oriented(found, direction)
    margin = objective.margin
    if objective.metric in OPERATIONAL:  # a share of the champion's: a margin in ms or USD would need its own scale
        margin = objective.margin * abs(found.champion)
    if gain.low > -margin - 1e-12:
        state = "kept"
    elif gain.high < -margin:
        state = "broken"
    else:
        state = "undecided"
    more = found.n if state == "undecided" else 0  # the interval shrinks with the root: about four times the data
    return ObjectiveResult(objective.metric, None, direction, found.difference, found.low, found.high, state, 3 * more)


def _find(comparisons: Sequence[Comparison], metric: str, split: str) -> Comparison | None:
    for found in comparisons:
        if (found.metric, found.split, found.suite) == (metric, split, "clean"):
            return found
    return None


def _oriented(found: Comparison | None, direction: Direction) -> _Gain:
    if found is None:
        return _Gain(0.0, -math.inf, math.inf, 0, 1.0)
    half = (found.high - found.low) / 2
    # What share of items must differ to give an interval of this width (normal approximation, 95%).
    discordance = min(1.0, max((half / 1.96) ** 2 * found.n, abs(found.difference), 1.0 / max(found.n, 1)))
    if direction == "max":
        return _Gain(found.difference, found.low, found.high, found.n, discordance)
    return _Gain(-found.difference, -found.high, -found.low, found.n, discordance)


def _more_for_target(found: MetricValue, target: float, gate: Gate) -> int:
    """Return the further examples that would settle a share that keeps its value; for other metrics by its width."""
    distance = abs(found.value - target)
    if distance < 1e-9:
        return 10 * found.n  # exactly on the target: no number of examples settles it, and this says "many"
    if 0.0 < target < found.value <= 1.0:
        return max(1, power.items_for_target(target, found.value, gate.confidence, gate.power) - found.n)
    half = (found.high - found.low) / 2
    return max(1, math.ceil(found.n * (half / distance) ** 2) - found.n)


def _more_for_difference(gain: _Gain, gate: Gate) -> int:
    effect = max(gate.effect, 1e-6)
    discordance = max(gain.discordance, effect)
    return max(1, power.items_for_difference(effect, discordance, gate.confidence, gate.power) - gain.n)


def _shown(result: ObjectiveResult) -> str:
    if (result.value, result.low, result.high) in (_UNKNOWN_SHARE, _UNKNOWN_DIFFERENCE):
        return "no test example tells"
    return f"{result.value:.4g}, interval {result.low:.4g} to {result.high:.4g}"


def _span(gain: _Gain) -> str:
    return f"{gain.difference:+.4f}, interval {gain.low:+.4f} to {gain.high:+.4f}"
