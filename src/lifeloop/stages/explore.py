"""Explore: ranks candidates that were tried on the same validation examples, and names the challenger.

Takes standings, gives a leaderboard. Making and trying them is `make` and `trial`; the gate decides on other data.
"""

from collections.abc import Sequence

from lifeloop.core.brief import Objective
from lifeloop.core.content import Id
from lifeloop.core.errors import ModelError
from lifeloop.core.evidence import OPERATIONAL, Direction, Leaderboard, Standing

VERSION = "1"


def rank(
    standings: Sequence[Standing],
    objectives: Sequence[Objective],
    direction: Direction,
    margin: float,
    champion: Id,
    baseline: Id,
) -> Leaderboard:
    """Return the leaderboard. The challenger is the cheapest of those within `margin` of the best that are neither
    the champion nor the baseline; candidates that miss an operational target (latency, memory, cost) only stand for
    it where no other does. Raises ModelError where nothing can be ranked.
    """
    metric = objectives[0].metric
    sign = 1.0 if direction == "max" else -1.0
    tried = [standing for standing in standings if _value(standing, metric) is not None]
    failed = [standing for standing in standings if _value(standing, metric) is None]
    ordered = sorted(tried, key=lambda standing: (-sign * _known(standing, metric), _usd(standing), standing.name))
    eligible = [standing for standing in ordered if standing.candidate not in (champion, baseline)] or ordered
    if not eligible:
        reasons = "; ".join(f"{standing.name}: {standing.failure}" for standing in failed)
        raise ModelError(
            f"no candidate could be tried ({reasons})", where="lifeloop.toml: candidates", fix="mend them and run again"
        )
    affordable = [standing for standing in eligible if not _misses(standing, objectives)]
    pool = affordable or eligible
    best = _known(pool[0], metric)
    close = [standing for standing in pool if sign * (best - _known(standing, metric)) <= margin + 1e-12]
    chosen = min(close, key=lambda standing: (_rounded(_usd(standing)), -sign * _known(standing, metric)))
    return Leaderboard(
        metric=metric,
        standings=(*ordered, *failed),
        challenger=chosen.candidate,
        reason=_reason(chosen, pool[0], close, metric, margin, passed_over=len(eligible) - len(pool)),
    )


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


def _misses(standing: Standing, objectives: Sequence[Objective]) -> bool:
    for objective in objectives:
        value = _value(standing, objective.metric) if objective.metric in OPERATIONAL else None
        if value is not None and objective.target is not None and value > objective.target:
            return True
    return False


def _reason(
    chosen: Standing, best: Standing, close: Sequence[Standing], metric: str, margin: float, passed_over: int
) -> str:
    tail = f" {passed_over} passed over for missing an operational target." if passed_over else ""
    if chosen is best and len(close) == 1:
        return f"best {metric} on validation, by more than the margin of {margin:g}.{tail}"
    if chosen is best:
        return f"best {metric} on validation, and the cheapest within the margin of {margin:g}.{tail}"
    return f"within {margin:g} of the best {metric} on validation ({best.name}), and the cheapest of those.{tail}"
