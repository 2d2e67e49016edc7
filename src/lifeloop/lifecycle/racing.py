"""Racing: tries the candidates on ever more of the same examples, and leaves out who is shown worse than the leader.

Takes a field whose members have been tried on their first examples, and brings it to the end: each candidate is tried
on all examples, eliminated, or failed. Knows nothing of how a candidate is made or tried; `race` decides who is out.
"""

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from lifeloop.comparison import compare
from lifeloop.core.content import Id
from lifeloop.core.evidence import Elimination, Standing, Trial
from lifeloop.core.progress import Progress
from lifeloop.lifecycle.runner import Done, Runner
from lifeloop.stages import explore, race
from lifeloop.tasks.task import Metric

IN_PRODUCTION = "in production"


class Field:
    """Everyone who takes part, and how far each has come. Names are those of the leaderboard."""

    def __init__(self) -> None:
        self.made: dict[str, Id] = {}
        self.tried: dict[str, Done[Trial]] = {}
        """The longest trial of each."""
        self.failures: dict[str, str] = {}
        self.out: dict[str, Elimination] = {}
        self.notes: dict[str, str] = {}

    def behind(self, n_items: int) -> list[str]:
        """Return who still runs and has answered fewer than so many examples."""
        return [
            name
            for name, done in self.tried.items()
            if name not in self.out and name not in self.failures and done.value.n_items < n_items
        ]

    def reinstate(self) -> None:
        """Take back in whom a leader eliminated that has failed since: nothing stands against them any more."""
        self.out = {name: found for name, found in self.out.items() if found.leader not in self.failures}

    def standing(self, name: str) -> Standing:
        """Return a line of the leaderboard."""
        done = None if name in self.failures else self.tried.get(name)
        return Standing(
            name=name,
            candidate=self.made.get(name, ""),
            trial=done.value if done else None,
            failure=self.failures.get(name, ""),
            note=self.notes.get(name, ""),
            eliminated=self.out.get(name),
        )

    def running(self) -> list[Standing]:
        """Return the standings of those that neither failed nor are out."""
        return [self.standing(name) for name in self.tried if name not in self.out and name not in self.failures]


class Round(Struct, frozen=True):
    """What a round came to."""

    leader: str
    out: dict[str, Elimination]


class Track(Struct, frozen=True):
    """What a race is run by."""

    metrics: dict[str, Metric]
    fingerprints: dict[str, dict[str, Any]]
    """Of the metrics that the brief declares: what is told apart by them is decided again."""
    terms: explore.Terms
    order: compare.ComparisonOrder
    n_items: int
    """Examples that whoever stays to the end is tried on."""


def race_to_the_end(runner: Runner, field: Field, track: Track, attempt: Callable[[str, int], None]) -> None:
    """Run the rounds that are left. `attempt` tries a candidate on so many examples and notes in the field what came
    of it: a longer trial, or a failure.
    """
    sizes = race.rounds(track.n_items)
    for size, following in itertools.pairwise(sizes):
        _eliminate(runner, field, track, size)
        while waiting := _best_first(field.behind(following), field, track):
            goal = track.n_items if _has_no_rivals(field, track) else following
            for name in waiting:
                attempt(name, goal)
            field.reinstate()


def _has_no_rivals(field: Field, track: Track) -> bool:
    """Return whether only the leader is left to be tried, so that further rounds could decide nothing."""
    pool = explore.contenders(field.running(), track.terms)
    return bool(pool) and field.behind(track.n_items) == [pool[0].name]


def _best_first(names: list[str], field: Field, track: Track) -> list[str]:
    """Return the names so that, should the budget end, it is the most promising that were tried."""
    metric, sign = track.terms.objectives[0].metric, explore.sign(track.terms)

    def place(name: str) -> tuple[float, str]:
        value = field.tried[name].value.metric(metric)
        return (-sign * value.value if value else float("inf"), name)

    return sorted(names, key=place)


def _eliminate(runner: Runner, field: Field, track: Track, size: int) -> None:
    """Note in the field who is shown to be worse than the leader by what was answered so far."""
    pool = explore.contenders(field.running(), track.terms)
    behind = field.behind(track.n_items)
    if not pool or not (rivals := [name for name in behind if name != pool[0].name]):
        return
    leader = pool[0].name
    rules = race.Rules(
        margin=track.terms.margin,
        confidence=track.order.confidence,
        n_candidates=len(field.tried),
        n_items=track.n_items,
    )

    def decide(progress: Progress) -> Round:
        out = {}
        for place, name in enumerate(rivals):
            progress(place, len(rivals), name)
            found = _elimination(runner, field, track, rules, name, leader)
            if found is not None:
                out[name] = found
        return Round(leader, out)

    done = runner.run(
        "explore",
        "race",
        role=f"{size:,} of {track.n_items:,}",
        version=race.VERSION,
        inputs={name: field.tried[name].id for name in (leader, *rivals)},
        section=msgspec.to_builtins([leader, rules, track.terms, track.order, track.fingerprints]),
        kind=Round,
        work=decide,
    )
    field.out |= done.value.out


def _elimination(
    runner: Runner, field: Field, track: Track, rules: race.Rules, name: str, leader: str
) -> Elimination | None:
    """Return the elimination of a candidate, or None where it stays in, or where the metric applies to no example."""
    if explore.may_win_otherwise(field.standing(name), field.standing(leader), track.terms):
        return None
    pair = (field.tried[name].value, field.tried[leader].value)
    metric = track.terms.objectives[0].metric
    found = compare.paired_values(runner.vault, track.metrics, metric, *pair, track.order)
    if found is None:
        return None
    sign = explore.sign(track.terms)
    bounds = (sign * found.bounds[0], sign * found.bounds[1]) if found.bounds else None
    turned = race.Differences(
        values=sign * found.values,
        bounds=(min(bounds), max(bounds)) if bounds else None,
        n_answered=min(trial.n_items for trial in pair),
    )
    return race.eliminated(leader, turned, rules)
