"""Rollouts simulated: a challenger that is worse by the margin never gets far, and equal ones end as they should."""

import importlib.util
import sys
from pathlib import Path

import msgspec
import pytest

_PATH = Path(__file__).parents[2] / "benchmarks" / "rollouts.py"
_SPEC = importlib.util.spec_from_file_location("benchmark_rollouts", _PATH)
simulation = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = simulation
_SPEC.loader.exec_module(simulation)

World = simulation.World
SETTINGS = simulation.FAILURES_ALONE


def runs(world, n: int, settings=SETTINGS, strategy="canary"):
    return simulation.told([simulation.simulate(world, settings, strategy, seed, 400_000) for seed in range(n)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "settings"),
    [
        (World("failures 1% and the margin", (0.03, 0.01)), SETTINGS),
        (World("failures 0.1% and the margin", (0.021, 0.001)), SETTINGS),
        (World("all of it fails", (1.0, 0.01)), SETTINGS),
        (World("dislike 30% and the margin", (0.01, 0.01), (0.35, 0.3), rated=1.0), simulation.DISLIKED),
    ],
    ids=lambda given: getattr(given, "name", ""),
)
def test_worse_by_the_margin_is_always_taken_back_before_a_fifth_of_the_traffic(world, settings):
    came = runs(world, 200, settings)
    assert came.rolled_back == 1.0
    assert came.largest_share < 0.2
    assert came.above_early == 0, "no step above a tenth without evidence"


@pytest.mark.slow
def test_so_it_is_with_users_who_come_again_and_fail_by_habit():
    came = runs(World("users", (0.03, 0.01), n_users=20_000), 40)
    assert came.rolled_back == 1.0
    assert came.largest_share < 0.2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "n"), [(World("iid", (0.01, 0.01)), 200), (World("users", (0.01, 0.01), n_users=60_000), 60)]
)
def test_equal_ones_are_promoted_by_a_canary(world, n):
    assert runs(world, n).rolled_back <= 0.05


@pytest.mark.slow
def test_equal_ones_are_called_better_by_an_a_b_test_at_most_as_often_as_its_level_says():
    settings = msgspec.structs.replace(SETTINGS, most_events=5000)
    came = runs(World("A/A", (0.01, 0.01), rated=0.3), 200, settings, "ab")
    assert came.promoted <= 0.05
