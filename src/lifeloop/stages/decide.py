"""Decide: the gate. Holds the evidence of challenger and champion against the objectives and gives a verdict.

Whether the challenger is better rests on an e-value, and whether it is as good on an always-valid interval: both may
be looked at after every new example without promoting the wrong one more often (docs/decisions/0008). Knows nothing of
how trials were run; it reads trials and comparisons.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist

import msgspec
from msgspec import Struct

from lifeloop.core.brief import Gate, Objective
from lifeloop.core.content import Id
from lifeloop.core.evidence import (
    Comparison,
    Decision,
    Direction,
    Guarantee,
    ObjectiveResult,
    Parentage,
    Trial,
    Verdict,
)
from lifeloop.core.training_record import Check
from lifeloop.stages.objectives import find, hold, shown
from lifeloop.stats import equivalence, power, proportions

VERSION = "4"
CHEAPER = 0.95
"""A cost below this share of the champion's counts as cheaper; anything nearer is the clock's noise."""
MANY = 100.0
"""Times the examples there are, which is said where no number of examples would settle it."""
SLOWER = 1.2
"""Always-valid intervals shrink a little slower than with the root of the examples."""


class Evidence(Struct, frozen=True):
    """All that a verdict rests on."""

    cycle: int
    challenger: Trial
    """On test."""
    champion: Trial
    champion_is_baseline: bool
    comparisons: tuple[Comparison, ...]
    """Challenger against champion: the primary metric and guards on test and its slices, the primary on guard and
    suites."""
    trials: dict[str, Id]
    leaderboard: Id
    guarantees: tuple[Guarantee, ...] = ()
    """Checked already."""
    parent: Trial | None = None
    """On test; None where the challenger was adapted from no other, or its parent could not be tried."""
    untried_parent: tuple[Id, str] | None = None
    """Id and name of a parent that could not be tried."""
    parent_comparisons: tuple[Comparison, ...] = ()
    """Challenger against parent, as against the champion."""
    checks: tuple[Check, ...] = ()
    """What its training checked."""


def decide(
    evidence: Evidence, objectives: Sequence[Objective], directions: Mapping[str, Direction], gate: Gate
) -> Verdict:
    """Return the verdict. `directions` says of each objective's metric whether more or less is better."""
    held = hold(evidence.challenger, evidence.champion, evidence.comparisons, objectives, directions, gate)
    primary = objectives[0]
    usd = (evidence.challenger.measurements.usd_per_1000, evidence.champion.measurements.usd_per_1000)
    gain = _gain(find(evidence.comparisons, primary.metric, "test"), directions[primary.metric], gate)
    parentage = _parentage(evidence, objectives, directions, gate)
    decision, reason, more = (
        _broken_by_training(parentage, evidence.checks, gate)
        or _missed(held.targets, held.guards)
        or _worse(gain, usd, primary, gate)  # whatever is still open, it cannot win
        or _open(held.targets, held.guards)
        or _untried(evidence)
        or _same(evidence)
        or _weighed(gain, usd, primary, gate)
    )
    return Verdict(
        cycle=evidence.cycle,
        decision=decision,
        reason=reason,
        challenger=evidence.challenger.candidate,
        challenger_name=evidence.challenger.name,
        champion=evidence.champion.candidate,
        champion_name=evidence.champion.name,
        champion_is_baseline=evidence.champion_is_baseline,
        objectives=held.targets,
        guards=held.guards,
        comparisons=evidence.comparisons,
        usd_per_1000=usd,
        trials=evidence.trials,
        leaderboard=evidence.leaderboard,
        more_examples=more,
        guarantees=evidence.guarantees,
        parentage=parentage,
        checks=evidence.checks,
    )


def is_shown(e_value: float | None, confidence: float) -> bool:
    """Return whether evidence is enough at a confidence, however often it was looked at before (Ville, 1939)."""
    return e_value is not None and e_value * (1 - confidence) >= 1


def check(guarantee: Guarantee, n_bad: int, n: int, confidence: float) -> Guarantee:
    """Return a guarantee with the share on test where `n_bad` of `n` requests went wrong.

    Test disagrees when the whole exact interval lies above the target; without a request nothing is checked.
    """
    if n == 0:
        return guarantee
    low, high = proportions.clopper_pearson(n_bad, n, confidence)
    return msgspec.structs.replace(
        guarantee, test=n_bad / n, test_low=low, test_high=high, kept=low <= guarantee.target
    )


class _Gain(Struct, frozen=True):
    """A difference turned so that more is better."""

    difference: float
    low: float
    high: float
    always_low: float
    always_high: float
    e_value: float | None
    worse_e_value: float | None
    n: int
    variance: float
    """Of one example's difference; for right-or-wrong metrics about the share of examples that tell the two apart."""


_Judgement = tuple[Decision, str, int]
"""The decision, its reason in a sentence, and the further examples that would change "undecided"."""


def _same(evidence: Evidence) -> _Judgement | None:
    """Return that a candidate cannot win against itself, or None where there are two."""
    if evidence.challenger.candidate != evidence.champion.candidate:
        return None
    what = "baseline" if evidence.champion_is_baseline else "champion"
    return "reject", f"it is the {what} itself, and no other candidate could stand against it", 0


def _parentage(
    evidence: Evidence, objectives: Sequence[Objective], directions: Mapping[str, Direction], gate: Gate
) -> Parentage | None:
    """Return the challenger held against its parent, or None where it has none that was tried."""
    parent = evidence.parent
    if parent is None:
        return Parentage(*evidence.untried_parent) if evidence.untried_parent else None
    held = hold(evidence.challenger, parent, evidence.parent_comparisons, objectives, directions, gate)
    return Parentage(parent.candidate, parent.name, evidence.parent_comparisons, held.guards)


def _broken_by_training(parentage: Parentage | None, checks: Sequence[Check], gate: Gate) -> _Judgement | None:
    """Return what an adaptation is shown to have broken that its parent could do, or None.

    Only what is shown: to be as good as the champion must be shown anyway, and a parent may be far better or worse.
    """
    for result in parentage.guards if parentage else ():
        if result.state == "broken":
            place = f" for {result.slice}" if result.slice else ""
            assert parentage is not None, "it has guards"
            return (
                "reject",
                f"it breaks the guard on {result.metric}{place} that its parent {parentage.name} keeps: worse by more "
                "than the margin",
                0,
            )
    broken = [check for check in checks if check.broken]
    if broken and gate.checks == "hold":
        first = broken[0]
        said = f"{first.name} is {_number(first.child)}, its parent's {_number(first.parent)}"
        return "reject", f"its training broke what its parent could do: {said}", 0
    return None


def _number(value: float | None) -> str:
    return "no number" if value is None else f"{value:.4g}"


def _untried(evidence: Evidence) -> _Judgement | None:
    """Return that nothing is known of what an adaptation broke where its parent could not be tried, or None."""
    if evidence.untried_parent is None:
        return None
    name = evidence.untried_parent[1]
    return "undecided", f"its parent {name} could not be tried, so what the adaptation broke is not known", 0


def _missed(targets: Sequence[ObjectiveResult], guards: Sequence[ObjectiveResult]) -> _Judgement | None:
    """Return why the challenger cannot win whatever the champion does, or None."""
    for result in targets:
        if result.state == "missed":
            return "reject", f"{result.metric} is {shown(result)}, which misses the target of {result.target:g}", 0
    for result in guards:
        if result.state == "broken":
            place = f" for {result.slice}" if result.slice else ""
            return "reject", f"it breaks the guard on {result.metric}{place}: worse there by more than the margin", 0
    return None


def _open(targets: Sequence[ObjectiveResult], guards: Sequence[ObjectiveResult]) -> _Judgement | None:
    """Return which targets and guards the evidence leaves open, or None.

    That every target and every guard must hold needs no correction for their number: it is an intersection-union test,
    whose chance to let a wrong one pass is that of its weakest part (Berger, 1982). What is corrected is the other
    error, to call something missed or broken that is not.
    """
    waiting = [result for result in (*targets, *guards) if result.state == "undecided"]
    if waiting:
        more = max(result.more_examples for result in waiting)
        named = ", ".join(f"{result.metric} ({shown(result)})" for result in waiting)
        return "undecided", f"the evidence does not yet settle {named}", more
    return None


def _weighed(gain: _Gain, usd: tuple[float, float], primary: Objective, gate: Gate) -> _Judgement:
    """Return how challenger and champion compare: better, as good and cheaper, neither, or not yet known.

    First whether it is better, then whether it is as good: both at the gate's level, since who is worse than the
    margin is also not better, and the two are tested in a fixed order. What rejects is always-valid too: a
    rejection at an early look would cost the power that was planned.
    """
    metric = primary.metric
    if is_shown(gain.e_value, gate.confidence):
        return "promote", f"it is better on {metric} by {_span(gain)}, and meets every objective", 0
    cheaper = usd[0] < usd[1] * CHEAPER
    as_good = equivalence.non_inferior(gain.always_low, gate.margin)
    if as_good and cheaper:
        saved = 1 - usd[0] / usd[1]
        span = f"difference {_always_span(gain)}, margin {gate.margin:g}"
        return "promote", f"it is as good on {metric} ({span}) and costs {saved:.0%} less", 0
    if worse := _worse(gain, usd, primary, gate):
        return worse
    if gain.always_high < gate.effect and not cheaper:
        if as_good:
            return "reject", f"it is as good on {metric} (difference {_always_span(gain)}), but not cheaper", 0
        return "reject", f"any gain on {metric} is below the {gate.effect:g} worth finding ({_always_span(gain)})", 0
    open_question = "as good or better, at less cost," if cheaper else "better"
    more = _more_for_difference(gain, gate, cheaper=cheaper)
    return "undecided", f"whether it is {open_question} on {metric} is open (difference {_always_span(gain)})", more


def _worse(gain: _Gain, usd: tuple[float, float], primary: Objective, gate: Gate) -> _Judgement | None:
    """Return that the challenger is shown to be worse by more than its price makes good, or None."""
    cheaper = usd[0] < usd[1] * CHEAPER
    worse = is_shown(gain.worse_e_value, gate.confidence)
    if gain.always_high < -gate.margin or (worse and (not cheaper or gain.difference < -gate.margin)):
        return "reject", f"it is worse on {primary.metric} by {_span(gain)}", 0
    return None


def _gain(found: Comparison | None, direction: Direction, gate: Gate) -> _Gain:
    unknown = math.inf
    if found is None:
        return _Gain(0.0, -unknown, unknown, -unknown, unknown, None, None, 0, 1.0)
    always_low = -unknown if found.always_low is None else found.always_low
    always_high = unknown if found.always_high is None else found.always_high
    critical = NormalDist().inv_cdf((1 + gate.confidence) / 2)
    variance = max(((found.high - found.low) / 2 / critical) ** 2 * found.n, 1.0 / max(found.n, 1))
    ends = (found.low, found.high, always_low, always_high)
    if direction == "min":
        ends = (-found.high, -found.low, -always_high, -always_low)
    sign = 1.0 if direction == "max" else -1.0
    return _Gain(sign * found.difference, *ends, found.e_value, found.worse_e_value, found.n, variance)


def _more_for_difference(gain: _Gain, gate: Gate, *, cheaper: bool) -> int:
    """Return the further examples that find the effect worth finding; beyond those, what the interval's width asks."""
    effect = max(gate.effect, 1e-6)
    share = min(1.0, max(gain.variance, effect))
    planned = power.items_for_any_look(effect, share, gate.confidence, gate.power)
    planned = math.ceil(planned * max(1.0, gain.variance))  # more than 1 for metrics that are no shares (a cost, say)
    if planned > gain.n:
        return planned - gain.n
    half = (gain.always_high - gain.always_low) / 2
    if not math.isfinite(half):
        return gain.n
    # How far the estimate lies from what would settle it, if it stays where it is: from the margin for who is cheaper,
    # for others from zero or from the effect, whichever the interval leaves first.
    distance = abs(gain.difference + gate.margin) if cheaper else max(gain.difference, gate.effect - gain.difference)
    times = SLOWER * (half / max(distance, 1e-9)) ** 2
    return max(1, math.ceil(gain.n * (min(times, MANY) - 1)))


def _span(gain: _Gain) -> str:
    return f"{gain.difference:+.4f}, interval {gain.low:+.4f} to {gain.high:+.4f}"


def _always_span(gain: _Gain) -> str:
    if not math.isfinite(gain.always_high - gain.always_low):
        return f"{gain.difference:+.4f}"
    return f"{gain.difference:+.4f}, interval valid at any look {gain.always_low:+.4f} to {gain.always_high:+.4f}"
