"""Explore: ranks candidates that were tried on the same validation examples, and names the challenger.

Takes standings, gives a leaderboard. Making and trying them is `make` and `trial`; who is left out early is `race`'s;
the gate decides on other data.
"""

from collections.abc import Sequence

from msgspec import Struct

from lifeloop.core.brief import Objective
from lifeloop.core.content import Id
from lifeloop.core.errors import ModelError
from lifeloop.core.evidence import OPERATIONAL, Direction, Leaderboard, Standing

VERSION = "4"


class Terms(Struct, frozen=True):
    """What candidates are ranked by, and who is no challenger."""

    objectives: tuple[Objective, ...]
    directions: dict[str, Direction]
    """Of each objective's metric."""
    margin: float
    champion: Id
    """"" where nothing is in production."""
    baseline: Id


def rank(standings: Sequence[Standing], terms: Terms) -> Leaderboard:
    """Return the leaderboard: those tried in full, those that a race eliminated, those that failed.

    The challenger is the cheapest of the contenders within the margin of the best. Raises ModelError where nothing can
    be ranked.
    """
    metric, turn = terms.objectives[0].metric, sign(terms)
    whole = [standing for standing in standings if standing.eliminated is None]
    tried = _ordered([standing for standing in whole if _value(standing, metric) is not None], terms)
    failed = [standing for standing in whole if _value(standing, metric) is None]
    out = _ordered([standing for standing in standings if standing.eliminated is not None], terms)
    if not tried:
        reasons = "; ".join(f"{standing.name}: {standing.failure}" for standing in failed)
        raise ModelError(
            f"no candidate could be tried ({reasons})", where="lifeloop.toml: candidates", fix="mend them and run again"
        )
    pool = contenders(tried, terms)
    best = _known(pool[0], metric)
    close = [standing for standing in pool if turn * (best - _known(standing, metric)) <= terms.margin + 1e-12]
    chosen = min(close, key=lambda standing: (_rounded(_usd(standing)), -turn * _known(standing, metric)))
    passed_over = len(_eligible(tried, terms)) - len(pool)
    return Leaderboard(
        metric=metric,
        standings=(*tried, *out, *failed),
        challenger=chosen.candidate,
        reason=_reason(chosen, pool[0], close, metric, terms.margin, passed_over),
    )


def contenders(standings: Sequence[Standing], terms: Terms) -> list[Standing]:
    """Return those that may become the challenger, best first; empty where none has the first objective's metric.

    They are neither the champion nor the baseline. Those come first that reach the first target on validation and are
    shown there, by their intervals, to reach the others; then those that miss none of the others; then those that miss
    no operational one (latency, memory, cost). A race takes its leader from them, so that whoever eliminates another
    could stand in its place.
    """
    tried = [standing for standing in standings if _value(standing, terms.objectives[0].metric) is not None]
    eligible = _eligible(_ordered(tried, terms), terms)
    others = terms.objectives[1:]
    operational = [objective for objective in others if objective.metric in OPERATIONAL]
    reaching = [standing for standing in eligible if not _misses(standing, others, terms)]
    shown = [
        standing
        for standing in reaching
        if not _misses(standing, terms.objectives[:1], terms) and _is_shown_to_reach(standing, others, terms)
    ]
    return shown or reaching or [s for s in eligible if not _misses(s, operational, terms)] or eligible


def _is_shown_to_reach(standing: Standing, objectives: Sequence[Objective], terms: Terms) -> bool:
    return all(_is_beyond(standing, objective, terms) for objective in objectives if objective.target is not None)


def _is_beyond(standing: Standing, objective: Objective, terms: Terms) -> bool:
    """Return whether the whole interval of an objective's metric lies on the right side of its target."""
    found = standing.trial.metric(objective.metric) if standing.trial else None
    if found is None or objective.target is None:
        return False
    turn = _turn(objective.metric, terms)
    return min(turn * found.low, turn * found.high) >= turn * objective.target


def may_win_otherwise(standing: Standing, leader: Standing, terms: Terms) -> bool:
    """Return whether a candidate looks better than the leader on another quality target that the leader is not yet
    shown to reach: then being worse on the first objective does not rule it out.
    """
    for objective in terms.objectives[1:]:
        ours, theirs = _value(standing, objective.metric), _value(leader, objective.metric)
        if objective.target is None or objective.metric in OPERATIONAL or ours is None or theirs is None:
            continue
        turn = _turn(objective.metric, terms)
        if turn * ours > turn * theirs and not _is_beyond(leader, objective, terms):
            return True
    return False


def _eligible(ordered: Sequence[Standing], terms: Terms) -> list[Standing]:
    others = [standing for standing in ordered if standing.candidate not in (terms.champion, terms.baseline)]
    return others or list(ordered)


def _ordered(standings: Sequence[Standing], terms: Terms) -> list[Standing]:
    """Return standings with a trial, best first."""
    metric, turn = terms.objectives[0].metric, sign(terms)
    return sorted(standings, key=lambda standing: (-turn * _known(standing, metric), _usd(standing), standing.name))


def sign(terms: Terms) -> float:
    """Return what turns values of the first objective so that more is better: 1 or -1."""
    return _turn(terms.objectives[0].metric, terms)


def _turn(metric: str, terms: Terms) -> float:
    return 1.0 if terms.directions[metric] == "max" else -1.0


def _value(standing: Standing, metric: str) -> float | None:
    found = standing.trial.metric(metric) if standing.trial else None
    return found.value if found else None


def _known(standing: Standing, metric: str) -> float:
    value = _value(standing, metric)
    assert value is not None, "only tried candidates are ranked"
    return value


def _usd(standing: Standing) -> float:
    return standing.trial.measurements.usd_per_1000 if standing.trial else float("inf")


def _rounded(usd: float) -> float:
    """Return the cost to two digits: what differs by less is the clock's noise, and quality decides."""
    return float(f"{usd:.1e}")


def _misses(standing: Standing, objectives: Sequence[Objective], terms: Terms) -> bool:
    for objective in objectives:
        value, turn = _value(standing, objective.metric), _turn(objective.metric, terms)
        if value is not None and objective.target is not None and turn * value < turn * objective.target:
            return True
    return False


def _reason(
    chosen: Standing, best: Standing, close: Sequence[Standing], metric: str, margin: float, passed_over: int
) -> str:
    tail = f" {passed_over} passed over for missing a target." if passed_over else ""
    if chosen is best and len(close) == 1:
        return f"best {metric} on validation, by more than the margin of {margin:g}.{tail}"
    if chosen is best:
        return f"best {metric} on validation, and the cheapest within the margin of {margin:g}.{tail}"
    return f"within {margin:g} of the best {metric} on validation ({best.name}), and the cheapest of those.{tail}"
