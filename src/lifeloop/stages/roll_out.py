"""Roll out: whether a release on its way to all traffic goes on, back, in, or stays where it is.

Takes the settings, where the rollout stands and what was seen in this step, gives a decision with its reason in words
and figures. Reads no clock and no ledger; whoever calls puts the decision on record.

Two questions, each at its own level and at any number of looks. Is it worse? Then it goes back, at once: all figures
watched and all steps together call a release worse that is not with probability at most 1 - confidence. Is it as good?
Only then it gets more than a tenth of the traffic: one that is worse by the margin passes with probability at most
1 - assurance in each such step (Berger, 1982: every figure must pass, so none needs a correction). Each step counts
anew, since the same users are in several of them.
"""

from typing import Literal

from msgspec import Struct

from lifeloop.core.rollout_brief import PROBING, Figure, Rollout
from lifeloop.stats import sample_ratio, two_sides

VERSION = "1"
"""Changed by hand when the same observations would give another decision."""

MISMATCH = 0.001
"""Level at which a split is called off: nothing is promoted then."""

HELD = "held: "
"""How the reason of a rollout begins that is not promoted since its traffic is not split as meant."""
WAITS = "waits for a person (`lifeloop release --finish`, or `lifeloop rollback`): "
"""How it begins where a person is to say how it goes on."""

Strategy = Literal["shadow", "canary", "ab"]
Action = Literal["stay", "hold", "next", "promote", "roll_back"]

CALLED: dict[str, str] = {
    "failures": "failures",
    "slow": "slow answers",
    "disliked": "disliked answers",
    "corrected": "corrected answers",
}
"""Figures in words."""


class Seen(Struct, frozen=True):
    """One figure of both sides in this step."""

    figure: Figure
    evidence: two_sides.Evidence
    """Of the differences, challenger minus control: of rounds, or of a shadow of the same requests."""
    counts: tuple[int, int]
    """Answers, or users, of challenger and control."""
    means: tuple[float, float]
    """How bad they are on average, in [0, 1]."""


class Shadowed(Struct, frozen=True):
    """How answers that nobody saw compare with those that were shown to the same requests."""

    n: int
    same: float
    """Share that are the same but for case, punctuation and white space."""
    similar: float
    """Mean share of words that the two have in common (Dice, 1945)."""
    seconds: tuple[float, float]
    """Median of challenger and control."""
    usd_per_1000: tuple[float, float]


class Observed(Struct, frozen=True):
    """What was seen in this step."""

    figures: tuple[Seen, ...]
    units: tuple[int, int]
    """Users, or requests without one, that were assigned to challenger and control; as old as any answer may take."""
    answers: tuple[int, int]
    """All answers of challenger and control."""
    hours: float
    """Since the rollout began."""
    shadow: Shadowed | None = None


class Decision(Struct, frozen=True):
    """What to do, and why."""

    action: Action
    reason: str


def decide(settings: Rollout, strategy: Strategy, step: int, share: float, seen: Observed) -> Decision:
    """Return what becomes of a rollout that stands in a step (from 0), where the challenger has that share."""
    return (
        _worse(settings, strategy, seen)
        or (_split(share, seen) if strategy != "shadow" else None)
        or _too_long(settings, seen)
        or (_shadow(settings, seen) if strategy == "shadow" else _shown(settings, strategy, step, seen))
    )


def next_share(settings: Rollout, step: int) -> float:
    """Return the share of the step after one; 1 after the last."""
    return settings.steps[step + 1] if step + 1 < len(settings.steps) else 1.0


def must_be_as_good(settings: Rollout, strategy: Strategy, step: int) -> bool:
    """Return whether leaving a step takes evidence that the challenger is as good."""
    return strategy == "ab" or next_share(settings, step) > PROBING


def _worse(settings: Rollout, strategy: Strategy, seen: Observed) -> Decision | None:
    """Return that a figure is shown to be worse, or None."""
    n_steps = 1 if strategy == "ab" else len(settings.steps) + 1  # a shadow may come before the steps
    alpha = (1.0 - settings.confidence) / (n_steps * max(1, len(settings.watch)))
    for figure in seen.figures:
        if figure.figure in settings.watch and two_sides.is_shown(figure.evidence.worse, alpha):
            return Decision("roll_back", f"shown to be worse: {told(figure, settings)}")
    return None


def _split(share: float, seen: Observed) -> Decision | None:
    """Return that the traffic is not split as it should be, or None. Then no comparison is to be trusted."""
    total = sum(seen.units)
    if not two_sides.is_shown(sample_ratio.mismatch_e_value(seen.units, (share, 1.0 - share)), MISMATCH):
        return None
    return Decision(
        "hold",
        f"{HELD}it got {seen.units[0]:,} of {total:,} users or requests, {seen.units[0] / total:.2%}, where "
        f"{share:.2%} were meant; find out which process assigns them otherwise or does not load the release",
    )


def _too_long(settings: Rollout, seen: Observed) -> Decision | None:
    if seen.hours <= settings.hours:
        return None
    said = "; ".join(told(figure, settings) for figure in seen.figures if sum(figure.counts)) or "nobody asked"
    repeated = sum(seen.answers) > 2 * sum(figure.counts[0] + figure.counts[1] for figure in seen.figures[:1])
    few = '; of users one answer counts: `assign = "request"` counts each' if repeated else ""
    return Decision("roll_back", f"not shown to be good enough within {settings.hours:g} hours: {said}{few}")


def _shown(settings: Rollout, strategy: Strategy, step: int, seen: Observed) -> Decision:
    """Return whether enough is shown to leave this step, of a canary or an A/B test."""
    n = max((figure.counts[0] for figure in seen.figures), default=0)
    if n < settings.min_events:
        return Decision("stay", f"{n:,} of at least {settings.min_events:,} answers counted")
    questions = _open(settings, strategy, step, seen)
    if not questions:
        action: Action = "promote" if strategy == "ab" or step + 1 == len(settings.steps) else "next"
        return Decision(action, _why_on(settings, strategy, step, seen))
    if n >= settings.most_events:
        asked = "; ".join(f"{each.asked} in {_told_or_nothing(each, settings)}" for each in questions)
        return Decision("roll_back", f"not shown after {n:,} answers: whether it is {asked}")
    asked = "; ".join(_in_short(each) for each in questions)
    return Decision("stay", f"open after {n:,} answers: whether it is {asked}")


class _Question(Struct, frozen=True):
    """What is not shown yet."""

    asked: str
    name: Figure
    seen: Seen | None
    """None where nothing was."""


def _open(settings: Rollout, strategy: Strategy, step: int, seen: Observed) -> list[_Question]:
    """Return what must be shown to leave this step and is not yet."""
    if not must_be_as_good(settings, strategy, step):
        return []
    found = {figure.figure: figure for figure in seen.figures if sum(figure.counts)}
    waiting = []
    for name in settings.as_good:
        if strategy == "ab" and name == settings.better:
            continue
        figure = found.get(name)
        if figure is None or not two_sides.is_shown(figure.evidence.as_good, 1.0 - settings.assurance):
            waiting.append(_Question("as good", name, figure))
    if strategy == "ab":
        figure = found.get(settings.better)
        if figure is None or not two_sides.is_shown(figure.evidence.better, 1.0 - settings.confidence):
            waiting.append(_Question("better", settings.better, figure))
    return waiting


def _why_on(settings: Rollout, strategy: Strategy, step: int, seen: Observed) -> str:
    """Return what a step ended on."""
    found = [figure for figure in seen.figures if sum(figure.counts)]
    said = "; ".join(told(figure, settings) for figure in found)
    if strategy == "ab":
        return f"shown to be better in {CALLED[settings.better]}, and as good in the rest: {said}"
    if must_be_as_good(settings, strategy, step):
        return f"shown to be as good: {said}"
    return f"not shown to be worse: {said}"


def _shadow(settings: Rollout, seen: Observed) -> Decision:
    """Return whether enough answers were compared."""
    shadow = seen.shadow
    if shadow is None or shadow.n < settings.shadows:
        return Decision("stay", f"{shadow.n if shadow else 0:,} of {settings.shadows:,} answers compared")
    said = f"{told_shadow(shadow)}; {'; '.join(told(figure, settings) for figure in seen.figures)}"
    if settings.after_shadow == "wait":
        return Decision("hold", f"{WAITS}{said}")
    return Decision("next", f"not shown to be worse: {said}")


def told(figure: Seen, settings: Rollout) -> str:
    """Return a figure in words: "failures 3.10% of 812 against 1.02% of 7,423 (margin 2.00%)"."""
    (challenger, control), (mean, other) = figure.counts, figure.means
    margin = getattr(settings.margins, figure.figure)
    return (
        f"{CALLED[figure.figure]} {mean:.2%} of {challenger:,} against {other:.2%} of {control:,} (margin {margin:.2%})"
    )


def told_shadow(shadow: Shadowed) -> str:
    """Return in words how a shadow's answers compare."""
    (seconds, shown_seconds), (usd, shown_usd) = shadow.seconds, shadow.usd_per_1000
    return (
        f"{shadow.n:,} answers compared: {shadow.same:.1%} the same, {shadow.similar:.1%} of the words; median "
        f"{seconds * 1000:.0f} ms against {shown_seconds * 1000:.0f} ms, {usd:.3g} USD a thousand against "
        f"{shown_usd:.3g}"
    )


def _in_short(question: _Question) -> str:
    nothing = "" if question.seen else ": nothing seen"
    return f"{question.asked} in {CALLED[question.name]}{nothing}"


def _told_or_nothing(question: _Question, settings: Rollout) -> str:
    return told(question.seen, settings) if question.seen else f"{CALLED[question.name]}: nothing seen"
