"""How often a rollout decides wrongly, and how soon it decides rightly: simulated traffic through the real decisions.

A challenger that is worse by the margin must be taken back, always and before it served a fifth of the traffic; two
equal ones must end as they should. Users come anew with each request, or again and again with habits of their own.

python benchmarks/rollouts.py [--runs 200] [--requests 400000] [--behind 3000] [--only WORD]
"""

import argparse
import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from lifeloop.core.rollout_brief import Figure, Rollout
from lifeloop.stages import roll_out
from lifeloop.stages.roll_out import Observed, Seen
from lifeloop.stats.two_sides import Rounds, Weighing

FAILURES_ALONE = Rollout(as_good=("failures",))
BEHIND = 3000
"""How many requests come until one counts: those of the 30 s that answers may take, at a hundred a second."""


class World(NamedTuple):
    """What traffic is like: of each figure how bad challenger and control are, on average."""

    name: str
    failures: tuple[float, float]
    disliked: tuple[float, float] = (0.3, 0.3)
    rated: float = 0.05
    """Share of the answers that somebody rates."""
    n_users: int = 0
    """Users who come again and again; 0: each request is another's."""
    burst: bool = False
    """Whether a network that fails every few hundred requests makes both sides fail more for a while."""


class Outcome(NamedTuple):
    """How one rollout ended."""

    action: str
    """promote or roll_back."""
    reason: str
    n_requests: int
    share: float
    """Of all traffic until then that the challenger answered."""
    first_above: float
    """Share of the traffic that it had answered when it first got more than a tenth; 1 for never."""


class Traffic:
    """Draws requests: whose they are and how bad either side would answer them."""

    def __init__(self, world: World, seed: int) -> None:
        self._chance = np.random.default_rng(seed)
        self._world = world
        n = world.n_users
        self._places = self._chance.random(n)
        activity = 1.0 / np.arange(1, n + 1) ** 0.7
        self._activity = activity / activity.sum() if n else activity
        # Some users always ask for what nobody can do: half of the bad answers are theirs.
        self._habits = self._chance.random(n)

    def draw(self, n: int, share: float) -> list[tuple[int, bool, float, float | None]]:
        """Return requests: the user (-1: a new one), whether the challenger answers, whether it failed, its rating."""
        world, chance = self._world, self._chance
        if world.n_users:
            users = chance.choice(world.n_users, n, p=self._activity)
            challenger = self._places[users] < share
        else:
            users = np.full(n, -1)
            challenger = chance.random(n) < share
        rates = np.where(challenger, *world.failures)
        if world.n_users:
            habitual = self._habits[users] < rates / 2
            rates = np.where(habitual, 1.0, rates / 2 / (1.0 - rates / 2))
        if world.burst:
            rates = np.where(np.arange(n) % 2000 < 200, np.minimum(1.0, rates + 0.1), rates)
        failed = chance.random(n) < rates
        rated = chance.random(n) < world.rated
        bad = (chance.random(n) < np.where(challenger, *world.disliked)).astype(float)
        ratings = [float(value) if there else None for value, there in zip(bad, rated, strict=True)]
        return list(zip(users.tolist(), challenger.tolist(), failed.astype(float).tolist(), ratings, strict=True))


class Step:
    """What is counted in one step."""

    def __init__(self, settings: Rollout) -> None:
        self.rounds: dict[Figure, Rounds] = {"failures": Rounds(), "disliked": Rounds()}
        self.weighed = {figure: Weighing(getattr(settings.margins, figure)) for figure in self.rounds}
        self.units = [0, 0]
        self._known: tuple[set[int], set[int]] = (set(), set())

    def count(self, requests: Sequence[tuple[int, bool, float, float | None]]) -> None:
        """Count requests as `lifecycle.watching` does."""
        served, rated = self._known
        for user, challenger, failed, rating in requests:
            if user < 0 or user not in served:
                served.add(user)
                self.units[0 if challenger else 1] += 1
                self.rounds["failures"].add(challenger, failed)
            if rating is not None and (user < 0 or user not in rated):
                rated.add(user)
                self.rounds["disliked"].add(challenger, rating)

    def seen(self, hours: float) -> Observed:
        """Return what was counted."""
        for name, rounds in self.rounds.items():
            self.weighed[name].add(rounds.take())
        figures = [
            Seen(
                name,
                self.weighed[name].evidence,
                (rounds.counts[0], rounds.counts[1]),
                (rounds.sums[0] / max(1, rounds.counts[0]), rounds.sums[1] / max(1, rounds.counts[1])),
            )
            for name, rounds in self.rounds.items()
        ]
        return Observed(tuple(figures), (self.units[0], self.units[1]), (self.units[0], self.units[1]), hours)


def simulate(
    world: World,
    settings: Rollout,
    strategy: roll_out.Strategy,
    seed: int,
    most_requests: int,
    behind: int = BEHIND,
) -> Outcome:
    """Run one rollout to its end, looking at the figures every 200 requests at first and every 3% more later.

    A request counts once `behind` more have come. After `most_requests` its time (`hours`) is over.
    """
    traffic, place, share = Traffic(world, seed), 0, settings.steps[0]
    share = settings.ab_share if strategy == "ab" else share
    step, n, in_step, own, first_above = Step(settings), 0, 0, 0, 1.0
    waiting: list[tuple[int, bool, float, float | None]] = []
    while True:
        batch = max(200, in_step // 33)
        requests = traffic.draw(batch, share)
        waiting += requests
        n_old = max(0, len(waiting) - behind)
        step.count(waiting[:n_old])
        del waiting[:n_old]
        n, in_step = n + batch, in_step + batch
        own += sum(request[1] for request in requests)
        decision = roll_out.decide(settings, strategy, place, share, step.seen(settings.hours * n / most_requests))
        if decision.action in ("promote", "roll_back"):
            return Outcome(decision.action, decision.reason, n, own / n, first_above)
        if decision.action == "next":
            share, place = roll_out.next_share(settings, place), place + 1
            step, in_step = Step(settings), 0
            waiting.clear()
            if share > 0.1:
                first_above = min(first_above, own / n)


WORSE = [
    World("failures 1% and the margin", (0.03, 0.01)),
    World("failures 5% and the margin", (0.07, 0.05)),
    World("failures 0.1% and the margin", (0.021, 0.001)),
    World("failures 20% and the margin", (0.22, 0.2)),
    World("all of it fails", (1.0, 0.01)),
    World("2,000 users, failures 5% and the margin", (0.07, 0.05), n_users=2000),
    World("20,000 users, failures 1% and the margin", (0.03, 0.01), n_users=20_000),
]
EQUAL = [
    World("failures 1% both", (0.01, 0.01)),
    World("failures 5% both", (0.05, 0.05)),
    World("a network that fails at times", (0.01, 0.01), burst=True),
    World("60,000 users, failures 1% both", (0.01, 0.01), n_users=60_000),
    World("better by half", (0.005, 0.01)),
]
DISLIKED = Rollout(as_good=("disliked",), watch=("failures", "slow", "disliked", "corrected"))
RATED_WORSE = [World("dislike 30% and the margin", (0.01, 0.01), (0.35, 0.3), rated=1.0)]
RATED_EQUAL = [World("dislike 30% both", (0.01, 0.01), (0.3, 0.3), rated=1.0)]
AB = [
    World("A/A", (0.01, 0.01), rated=0.3),
    World("A/A, 20,000 users", (0.01, 0.01), rated=0.3, n_users=20_000),
    World("dislike 30% to 25%", (0.01, 0.01), (0.25, 0.3), rated=0.3),
]


class Told(NamedTuple):
    """What runs of one world came to."""

    promoted: float
    rolled_back: float
    median: float
    """Requests to the end of a run."""
    largest_share: float
    """Of the traffic, among the runs that were taken back."""
    above_early: int
    """Runs that got more than a tenth of the traffic and were taken back all the same."""


def told(outcomes: Sequence[Outcome]) -> Told:
    """Return what runs came to."""
    back = [outcome for outcome in outcomes if outcome.action == "roll_back"]
    return Told(
        promoted=sum(outcome.action == "promote" for outcome in outcomes) / len(outcomes),
        rolled_back=len(back) / len(outcomes),
        median=float(np.median([outcome.n_requests for outcome in outcomes])),
        largest_share=max((outcome.share for outcome in back), default=0.0),
        above_early=sum(outcome.first_above < 1.0 for outcome in back),
    )


def main() -> None:
    """Run all worlds and print what they came to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--requests", type=int, default=400_000)
    parser.add_argument("--behind", type=int, default=BEHIND, help="requests that come until one counts")
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    groups: list[tuple[str, roll_out.Strategy, Rollout, list[World]]] = [
        ("worse", "canary", FAILURES_ALONE, WORSE),
        ("equal", "canary", FAILURES_ALONE, EQUAL),
        ("rated worse", "canary", DISLIKED, RATED_WORSE),
        ("rated equal", "canary", DISLIKED, RATED_EQUAL),
        ("ab", "ab", msgspec.structs.replace(FAILURES_ALONE, most_events=10_000), AB),
    ]
    print(f"{'world':44} {'promoted':>9} {'taken back':>11} {'requests':>9} {'most served':>12} {'seconds':>8}")
    for group, strategy, settings, worlds in groups:
        for world in worlds:
            if asked.only and asked.only not in f"{group}: {world.name}":
                continue
            started = time.perf_counter()
            came = told(
                [simulate(world, settings, strategy, n, asked.requests, asked.behind) for n in range(asked.runs)]
            )
            print(
                f"{f'{group}: {world.name}':44} {came.promoted:9.1%} {came.rolled_back:11.1%} {came.median:9,.0f} "
                f"{came.largest_share:12.1%} {time.perf_counter() - started:8.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
