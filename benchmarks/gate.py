"""How often the gate errs when people look after every 20 examples: false promotions, and the power that was planned.

Paths of paired examples are drawn and the gate's own rule (`is_shown` on `sign_e_value`, then the whole `decide` at the
look where it promotes) is asked at every look. Beside it stands what many tools do: the fixed-sample McNemar test at
every look. Run: `python benchmarks/gate.py [SEED]`.
"""

import sys
import time
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lifeloop.core.brief import Gate, Objective
from lifeloop.core.evidence import Comparison, Measurements, MetricValue, Trial
from lifeloop.stages.decide import Evidence, decide, is_shown
from lifeloop.stats.power import items_for_any_look, items_for_difference
from lifeloop.stats.proportions import clopper_pearson, mcnemar_exact, tango_interval
from lifeloop.stats.sequential import mean_interval, sign_e_value

GATE = Gate()
EVERY = 20
DISCORDANCE = 0.1
EQUAL, BETTER, CHEAPER = 10_000, 10_000, 400
"""Paths of each kind."""
LONG = 4
"""A/A paths go on for so many times the planned examples: peeking longer must not help."""

Counts = NDArray[np.int64]
"""Wins and losses at every look, (paths, looks, 2)."""


def main() -> None:
    """Print the rates, and fail where one is not as promised."""
    seed, begun = int(sys.argv[1]) if len(sys.argv) > 1 else 0, time.perf_counter()
    draws, alpha = [np.random.default_rng([seed, kind]) for kind in range(3)], 1 - GATE.confidence
    n = items_for_any_look(GATE.effect, DISCORDANCE, GATE.confidence, GATE.power)
    fixed = items_for_difference(GATE.effect, DISCORDANCE, GATE.confidence, GATE.power)
    print(f"seed {seed}, alpha {alpha:g}, a look after every {EVERY} examples, discordance {DISCORDANCE:g}")
    print(f"planned for an effect of {GATE.effect:g} at power {GATE.power:.0%}: {n} examples ({fixed} for one look)")

    equal = paths(draws[0], 0.0, LONG * n, EQUAL)
    ours, naive = first_shown(equal, gate_shows), first_shown(equal, peeking_shows)
    false = report(f"A/A, {EQUAL} paths of {LONG * n} examples, falsely promoted", ours)
    report("  the same, McNemar at every look", naive)
    report(f"  the same, McNemar once, at {n}", np.where(at_once(equal, n), n, 0))
    better = paths(draws[1], GATE.effect, n, BETTER)
    found = first_shown(better, gate_shows)
    power = report(f"A/B, {BETTER} paths of {n} examples, better by {GATE.effect:g}, promoted", found)
    print(f"  median examples until promoted: {int(np.median(found[found > 0]))}")
    worse = cheaper(draws[2], GATE.margin, n, CHEAPER)
    passed = report(f"A/B, {CHEAPER} paths, worse by the margin {GATE.margin:g} and cheaper, promoted", worse)

    whole = agree(equal[:500], better[:500])
    print(f"the whole gate agreed with its rule at {whole} looks")
    print(f"{time.perf_counter() - begun:.0f} s")
    if false > alpha or power < GATE.power or passed > alpha:
        sys.exit("the gate does not hold what it promises")


def paths(chance: np.random.Generator, effect: float, n: int, n_paths: int) -> Counts:
    """Return wins and losses after every 20 examples, where the challenger really is better by `effect`."""
    shares = [(DISCORDANCE + effect) / 2, (DISCORDANCE - effect) / 2, 1 - DISCORDANCE]
    steps = chance.multinomial(EVERY, shares, size=(n_paths, n // EVERY))
    return steps[:, :, :2].cumsum(axis=1)


def first_shown(counts: Counts, shows: Callable[[int, int], bool]) -> NDArray[np.int64]:
    """Return after how many examples each path was promoted; 0 for never."""
    pairs, places = np.unique(counts.reshape(-1, 2), axis=0, return_inverse=True)
    shown = np.array([shows(int(wins), int(losses)) for wins, losses in pairs])[places].reshape(counts.shape[:2])
    return np.where(shown.any(axis=1), EVERY * (shown.argmax(axis=1) + 1), 0)


def gate_shows(wins: int, losses: int) -> bool:
    """Return what the gate says of so many discordant examples."""
    return is_shown(sign_e_value(wins, losses), GATE.confidence)


def peeking_shows(wins: int, losses: int) -> bool:
    """Return what the fixed-sample test says of them."""
    return wins > losses and mcnemar_exact(wins, losses) <= 1 - GATE.confidence


def at_once(counts: Counts, n: int) -> NDArray[np.bool_]:
    """Return which paths the fixed-sample test promotes that looks once, after n examples."""
    return np.array([peeking_shows(int(wins), int(losses)) for wins, losses in counts[:, n // EVERY - 1]])


def cheaper(chance: np.random.Generator, margin: float, n: int, n_paths: int) -> NDArray[np.int64]:
    """Return after how many examples a cheaper challenger that is worse by the margin was said to be as good."""
    shares = [(DISCORDANCE - margin) / 2, (DISCORDANCE + margin) / 2, 1 - DISCORDANCE]
    found = np.zeros(n_paths, dtype=np.int64)
    for path in range(n_paths):
        values = chance.choice([1.0, -1.0, 0.0], size=n, p=shares)
        # The interval is a running intersection: whatever it excluded at some look, it excludes at the last.
        if mean_interval(values, GATE.confidence)[0] > -margin:
            found[path] = n
        wins, losses = (values > 0).cumsum(), (values < 0).cumsum()
        looks = range(EVERY - 1, n, EVERY)
        found[path] = found[path] or n * any(gate_shows(int(wins[at]), int(losses[at])) for at in looks)
    return found


def report(what: str, found: NDArray[np.int64]) -> float:
    """Print the share of paths that were promoted, with its exact interval; return it."""
    n_found, n = int((found > 0).sum()), len(found)
    low, high = clopper_pearson(n_found, n, 0.95)
    print(f"{what:<78} {n_found / n:7.2%}  ({low:.2%} to {high:.2%})")
    return n_found / n


def agree(*kinds: Counts) -> int:
    """Return at how many looks the whole gate was asked; it must promote exactly where its rule says so."""
    asked = 0
    for counts in kinds:
        found = first_shown(counts, gate_shows)
        for path, n in enumerate(found):
            look = n // EVERY - 1 if n else counts.shape[1] - 1
            wins, losses = counts[path, look]
            decided = judged(int(wins), int(losses), EVERY * (look + 1))
            assert (decided == "promote") == bool(n), (wins, losses, n, decided)
            asked += 1
    return asked


@cache
def judged(wins: int, losses: int, n: int) -> str:
    """Return what the whole gate decides, where all else is equal and every target is met."""
    low, high = tango_interval(wins, losses, n, GATE.confidence)
    difference = (wins - losses) / n
    found = Comparison(
        metric="accuracy",
        split="test",
        suite="clean",
        challenger=0.9 + difference,
        champion=0.9,
        difference=difference,
        low=low,
        high=high,
        p_value=mcnemar_exact(wins, losses),
        method="exact McNemar, Tango interval",
        n=n,
        e_value=sign_e_value(wins, losses),
        worse_e_value=sign_e_value(losses, wins),
    )
    trials = [trial(name, n) for name in ("challenger", "champion")]
    evidence = Evidence(1, trials[0], trials[1], False, (found,), {}, "")
    return decide(evidence, [Objective("accuracy", target=0.01)], {"accuracy": "max"}, GATE).decision


def trial(name: str, n: int) -> Trial:
    """Return a trial that meets the target."""
    value = MetricValue("accuracy", 0.9, *clopper_pearson(round(0.9 * n), n, GATE.confidence), n)
    cost = Measurements(1.0, 1.0, 1.0, 0, 0, 1.0, 1.0)
    return Trial(name, name, "d", "test", "clean", n, 0, "a", (value,), {}, cost)


if __name__ == "__main__":
    main()
