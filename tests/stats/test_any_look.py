import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifeloop.stats.crossing import shown_by
from lifeloop.stats.power import (
    items_for_any_look,
    items_for_difference,
    power_at_any_look,
    smallest_at_any_look,
)
from lifeloop.stats.proportions import mcnemar_exact
from lifeloop.stats.sequential import log_sign_evidence


def found(n, effect, discordance, confidence, runs=10_000):
    """Return the share of simulated experiments that find the effect, with a look after every 20 of n items."""
    shares = [(discordance + effect) / 2, (discordance - effect) / 2, 1 - discordance]
    seen = np.random.default_rng(0).multinomial(20, shares, size=(runs, n // 20))[..., :2].cumsum(axis=1)
    count = np.arange(seen.max() + 1)
    evidence = log_sign_evidence(count[:, None], count)[seen[..., 0], seen[..., 1]].max(axis=1)
    return float(np.mean(evidence >= -np.log(1 - confidence)))


@pytest.mark.parametrize(
    ("effect", "discordance", "confidence", "power"),
    [(0.03, 0.1, 0.95, 0.8), (0.05, 0.1, 0.95, 0.9), (0.1, 0.4, 0.95, 0.8), (0.02, 0.02, 0.95, 0.8)],
)
def test_so_many_items_find_a_difference_at_some_look_as_often_as_promised(effect, discordance, confidence, power):
    n = items_for_any_look(effect, discordance, confidence, power)
    assert power <= found(n, effect, discordance, confidence) <= power + 0.045


@pytest.mark.slow
@pytest.mark.parametrize("case", [(0.015, 0.1, 0.95, 0.8), (0.02, 0.3, 0.95, 0.8), (0.01, 0.03, 0.99, 0.9)])
def test_small_differences_are_found_as_often_as_promised(case):
    effect, discordance, confidence, power = case
    n = items_for_any_look(*case)
    assert power - 0.01 <= found(n, effect, discordance, confidence, runs=3000) <= power + 0.04


def test_the_recursion_is_the_sum_over_all_paths():
    share, alpha = 0.8, 0.1
    looks, shown = shown_by(share, 10, 2, alpha)
    expected = np.zeros(5)
    for path in np.ndindex(*[2] * 10):
        wins = np.cumsum(path)[1::2]
        reached = log_sign_evidence(wins, looks - wins) >= -np.log(alpha)
        chance = share ** sum(path) * (1 - share) ** (10 - sum(path))
        expected += chance * np.logical_or.accumulate(reached)
    assert looks.tolist() == [2, 4, 6, 8, 10]
    assert shown == pytest.approx(expected, abs=1e-12)


def test_a_walk_in_coarse_steps_tells_the_same_as_one_in_fine_steps():
    fine_looks, fine = shown_by(0.55, 1500, 12, 0.05)
    coarse_looks, coarse = shown_by(0.55, 4500, 12, 0.05)  # three pairs a step
    assert np.interp(fine_looks, coarse_looks, coarse) == pytest.approx(fine, abs=0.02)


def test_the_price_of_looking_any_time_is_the_one_that_is_told():
    n = items_for_any_look(0.03, 0.1, 0.95, 0.8)
    tables = np.random.default_rng(0).multinomial(920, [0.065, 0.035, 0.9], 4000)[:, :2]
    different, times = np.unique(tables, axis=0, return_counts=True)
    shown = [mcnemar_exact(a, b) < 0.05 and a > b for a, b in different.tolist()]
    assert np.average(shown, weights=times) == pytest.approx(0.8, abs=0.02)
    assert n == 1140


plans = st.tuples(st.floats(0.02, 0.5), st.floats(0.2, 1.0), st.sampled_from([0.9, 0.95]), st.sampled_from([0.8, 0.9]))


@settings(max_examples=25, deadline=None)
@given(plans)
def test_looking_any_time_costs_items_but_not_more_than_four_times_as_many(plan):
    discordance, share, confidence, power = plan
    effect = discordance * share
    once = items_for_difference(effect, discordance, 2 * confidence - 1, power)
    assert once <= items_for_any_look(effect, discordance, confidence, power) <= 4 * once + 80


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 20_000), st.floats(0.01, 0.6))
def test_the_smallest_difference_at_any_look_is_one_that_the_items_find(n, discordance):
    smallest = smallest_at_any_look(n, discordance, 0.95, 0.8)
    assert 0.0 < smallest <= discordance
    if smallest < discordance:
        assert power_at_any_look(n, smallest, discordance, 0.95) >= 0.8
        assert power_at_any_look(n, 0.95 * smallest, discordance, 0.95) < 0.81


@pytest.mark.parametrize(("effect", "discordance"), [(0.03, 0.1), (0.001, 0.3)])
def test_a_plan_is_made_while_one_waits(effect, discordance):
    items_for_any_look.cache_clear()
    start = time.process_time()
    items_for_any_look(effect, discordance, 0.95, 0.8)
    assert time.process_time() - start < 3.0  # half a second on a quiet machine


def test_questions_at_any_look_without_an_answer_are_refused():
    for effect, discordance in ((0.0, 0.1), (0.2, 0.1), (0.5, 1.1)):
        with pytest.raises(ValueError, match="effect <= discordance"):
            items_for_any_look(effect, discordance, 0.95, 0.8)
    assert power_at_any_look(0, 0.05, 0.1, 0.95) == 0.0
    assert smallest_at_any_look(0, 0.1, 0.95, 0.8) == 0.1
