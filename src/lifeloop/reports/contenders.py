"""Who the candidates of a cycle are: their kind, their side (narrow, broad, composed), their part, their quality.

Takes a record, gives facts in words and numbers. Knows nothing of sections or of how they are drawn.
"""

import math
from typing import Literal

from msgspec import Struct

from lifeloop.core.brief import Brief
from lifeloop.core.evidence import OPERATIONAL, Direction, MetricValue, Standing, Trial
from lifeloop.reports.numbers import Amounts, amounts_of
from lifeloop.reports.record import CycleRecord

Side = Literal["narrow", "router", "cascade", "abstaining", "broad"]

_BROAD_KINDS = ("llamacpp", "transformers", "remote")
_COMPOSED: dict[str, Side] = {"cascade": "cascade", "router": "router", "abstain": "abstaining"}


class Contender(Struct, frozen=True):
    """A candidate that was tried, with its value of the primary metric."""

    standing: Standing
    trial: Trial
    quality: MetricValue
    side: Side
    kind: str

    @property
    def name(self) -> str:
        """Its name in the brief."""
        return self.standing.name


def kind_of(brief: Brief, name: str) -> str:
    """Return what a candidate is, in a few words; "" where the brief does not name it."""
    table = brief.candidates.get(name, {})
    if adaptation := table.get("adapt"):
        return f"{adaptation} of {table.get('parent', '?')}"
    kind = str(table.get("kind", ""))
    if kind == "router":
        return f"specialists by {table.get('by', '?')}"
    members = table.get("members")
    if isinstance(members, list | tuple) and members:
        return f"{kind} of {', then '.join(str(member) for member in members)}"
    return kind


def side_of(brief: Brief, name: str) -> Side:
    """Return whether a candidate was trained on the task, is a model for many tasks, or how it is composed of others.

    An adapted candidate was trained on the task, whatever it was before.
    """
    table = brief.candidates.get(name, {})
    if composed := _COMPOSED.get(str(table.get("kind"))):
        return composed
    return "broad" if table.get("kind") in _BROAD_KINDS else "narrow"


def parts_of(record: CycleRecord, candidate: str) -> tuple[str, ...]:
    """Return which parts a candidate, given by its id, plays at the gate."""
    parts = ["challenger"] if candidate == record.leaderboard.challenger else []
    if candidate == record.verdict.champion:
        parts.append("baseline" if record.verdict.champion_is_baseline else "champion")
    return tuple(parts)


def champion_word(record: CycleRecord) -> str:
    """Return what to call the candidate that the challenger was held against."""
    return "baseline" if record.verdict.champion_is_baseline else "champion"


def champion_name(record: CycleRecord) -> str:
    """Return what to call it by name, so that it is not taken for a challenger made anew under the same name."""
    verdict = record.verdict
    if verdict.champion_name == verdict.challenger_name and verdict.champion != verdict.challenger:
        return f"the {champion_word(record)} {verdict.champion_name}"
    return verdict.champion_name


def contenders(record: CycleRecord) -> tuple[Contender, ...]:
    """Return the candidates with a measured value of the primary metric, in the order of the leaderboard."""
    found = []
    for standing in record.leaderboard.standings:
        quality = standing.trial.metric(record.leaderboard.metric) if standing.trial else None
        if standing.trial and quality and math.isfinite(quality.value):
            side, kind = side_of(record.brief, standing.name), kind_of(record.brief, standing.name)
            found.append(Contender(standing=standing, trial=standing.trial, quality=quality, side=side, kind=kind))
    return tuple(found)


def direction_of(record: CycleRecord, metric: str) -> Direction:
    """Return whether more or less of a metric is better: as the gate held it, else less for what is measured."""
    for result in (*record.verdict.objectives, *record.verdict.guards):
        if result.metric == metric:
            return result.direction
    return "min" if metric in OPERATIONAL else "max"


def metric_names(record: CycleRecord) -> tuple[str, ...]:
    """Return every metric that the leaderboard's trials score, the primary one first, without what is measured."""
    names = {record.leaderboard.metric: None}
    for standing in record.leaderboard.standings:
        for value in standing.trial.metrics if standing.trial else ():
            names.setdefault(value.metric)
    return tuple(name for name in names if name not in OPERATIONAL)


def how_to_write(record: CycleRecord) -> Amounts:
    """Return how the record's metrics are written, each the same way throughout."""
    values: list[tuple[str, float]] = [(record.leaderboard.metric, math.nan)]
    trials = [standing.trial for standing in record.leaderboard.standings if standing.trial]
    for trial in (*trials, *record.trials):
        for scored in (trial.metrics, *trial.slices.values()):
            values += [(value.metric, value.value) for value in scored]
    for comparison in record.verdict.comparisons:
        values += [(comparison.metric, comparison.challenger), (comparison.metric, comparison.champion)]
    for objective in record.brief.objectives:
        values.append((objective.metric, math.nan if objective.target is None else objective.target))
    return amounts_of(values)


def gate_trial(record: CycleRecord, candidate: str, split: str, suite: str) -> Trial | None:
    """Return the trial of a candidate on a split and suite that the verdict rests on, or None."""
    for trial in record.trials:
        if (trial.candidate, trial.split, trial.suite) == (candidate, split, suite):
            return trial
    return None
