"""Trials, comparisons and standings with the numbers that a test is about, and everything else ordinary."""

from typing import Any

import numpy as np

from lifeloop.core.brief import Gate, Objective
from lifeloop.core.evidence import Comparison, Measurements, MetricValue, Standing, Trial, Verdict
from lifeloop.stages.decide import Evidence, decide
from lifeloop.stats.proportions import clopper_pearson, mcnemar_exact, tango_interval
from lifeloop.stats.sequential import mean_interval, sign_e_value


def share(metric: str, right: int, n: int) -> MetricValue:
    return MetricValue(metric, right / n, *clopper_pearson(right, n, 0.95), n)


def a_trial(
    name: str = "challenger", *metrics: MetricValue, usd: float = 1.0, p95_ms: float = 20.0, **changes: Any
) -> Trial:
    measured = Measurements(
        p50_ms=p95_ms / 2, p95_ms=p95_ms, memory_mb=100.0, tokens_in=0, tokens_out=0, usd_per_1000=usd, seconds=1.0
    )
    values = {
        "candidate": f"id of {name}",
        "name": name,
        "dataset": "d",
        "split": "test",
        "suite": "clean",
        "n_items": 1000,
        "n_failed": 0,
        "answers": "a",
        "metrics": metrics,
        "slices": {},
        "measurements": measured,
    }
    return Trial(**values | changes)


def a_comparison(
    only_ours: int,
    only_theirs: int,
    n: int = 1000,
    *,
    metric: str = "accuracy",
    split: str = "test",
    suite: str = "clean",
    slice: str = "",
) -> Comparison:
    """Compare two candidates of which one or the other alone was right on so many items, in a random order."""
    low, high = tango_interval(only_ours, only_theirs, n, 0.95)
    differences = np.repeat([1.0, -1.0, 0.0], [only_ours, only_theirs, n - only_ours - only_theirs])
    always_low, always_high = mean_interval(np.random.default_rng(0).permutation(differences), 0.95)
    return Comparison(
        metric=metric,
        split=split,
        suite=suite,
        challenger=0.9 + (only_ours - only_theirs) / n,
        champion=0.9,
        difference=(only_ours - only_theirs) / n,
        low=low,
        high=high,
        p_value=mcnemar_exact(only_ours, only_theirs),
        method="exact McNemar, Tango interval",
        n=n,
        slice=slice,
        always_low=always_low,
        always_high=always_high,
        e_value=sign_e_value(only_ours, only_theirs),
        worse_e_value=sign_e_value(only_theirs, only_ours),
    )


def measured(metric: str, ours: float, theirs: float) -> Comparison:
    """Compare two candidates on a metric that has no interval."""
    gap = ours - theirs
    return Comparison(metric, "test", "clean", ours, theirs, gap, gap, gap, None, "measured", 1000)


def evidence(challenger: Trial, champion: Trial, *comparisons: Comparison) -> Evidence:
    return Evidence(
        cycle=1,
        challenger=challenger,
        champion=champion,
        champion_is_baseline=False,
        comparisons=comparisons,
        trials={"challenger/test/clean": "t1", "champion/test/clean": "t2"},
        leaderboard="l",
    )


def standing(name: str, accuracy: float | None, usd: float = 1.0, p95_ms: float = 20.0) -> Standing:
    if accuracy is None:
        return Standing(name, f"id of {name}", None, failure="its process was ended by SIGKILL")
    return Standing(
        name, f"id of {name}", a_trial(name, share("accuracy", round(accuracy * 1000), 1000), usd=usd, p95_ms=p95_ms)
    )


GATE = Gate(effect=0.03, margin=0.01)
ACCURACY = Objective("accuracy", target=0.8)
DIRECTIONS = {
    "accuracy": "max",
    "calibration_error": "min",
    "p95_ms": "min",
    "macro_f1": "max",
    "out_of_scope_recall": "max",
}

GOOD = share("accuracy", 900, 1000)
BETTER, SAME, WORSE = a_comparison(60, 20), a_comparison(4, 4), a_comparison(20, 60)
OPEN = a_comparison(90, 70)
"""Between -0.5 and 4.5 points: it may be better by more than the effect, and may be worse."""


def judge(
    *comparisons: Comparison,
    objectives: tuple[Objective, ...] = (ACCURACY,),
    metrics: tuple[MetricValue, ...] = (GOOD,),
    champion_metrics: tuple[MetricValue, ...] = (GOOD,),
    usd: tuple[float, float] = (1.0, 1.0),
    p95_ms: tuple[float, float] = (20.0, 20.0),
    gate: Gate = GATE,
) -> Verdict:
    challenger = a_trial("challenger", *metrics, usd=usd[0], p95_ms=p95_ms[0])
    champion = a_trial("champion", *champion_metrics, usd=usd[1], p95_ms=p95_ms[1])
    return decide(evidence(challenger, champion, *comparisons), objectives, DIRECTIONS, gate)
