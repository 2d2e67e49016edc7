"""Two sides that arrive at different rates: rounds, and what they show."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeloop.stats import betting
from lifeloop.stats.sample_ratio import mismatch_e_value
from lifeloop.stats.two_sides import Evidence, Weighing, is_shown, rounds, weigh

CONTROL, CHALLENGER = False, True


def traffic(n: int, share: float, rates: tuple[float, float], seed: int) -> list[tuple[bool, float]]:
    """Return n answers; the challenger has that share of them, and the two fail at those rates."""
    chance = np.random.default_rng(seed)
    challenger = chance.random(n) < share
    bad = chance.random(n) < np.where(challenger, *rates)
    return list(zip(challenger.tolist(), bad.astype(float).tolist(), strict=True))


def test_each_value_of_the_rarer_side_meets_the_mean_of_the_others_since_its_last_one():
    found = rounds([(CONTROL, 0.0), (CONTROL, 1.0), (CHALLENGER, 1.0), (CONTROL, 0.0), (CHALLENGER, 0.0)])
    assert found.differences == [0.5, 0.0]
    assert (found.counts, found.sums) == ([2, 3], [1.0, 1.0])


def test_several_of_the_challenger_in_a_row_are_one_round():
    found = rounds([(CHALLENGER, 1.0), (CHALLENGER, 0.0), (CONTROL, 0.0)])
    assert found.differences == [0.5]


@given(st.lists(st.tuples(st.booleans(), st.floats(0.0, 1.0)), max_size=60))
def test_rounds_are_the_same_however_the_values_are_handed_over(values):
    whole, bit_by_bit = rounds(values), rounds([])
    for value in values:
        bit_by_bit.add(*value)
    assert whole.differences == bit_by_bit.differences
    assert all(-1.0 <= one <= 1.0 for one in whole.differences)
    assert len(whole.differences) <= min(whole.counts)


def test_nothing_seen_shows_nothing():
    assert weigh([], 0.02) == Evidence(0.0, 0.0, 0.0)


@given(st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=200), st.floats(0.001, 0.5), st.integers(0, 200))
def test_the_evidence_is_the_highest_capital_however_the_differences_are_handed_over(values, margin, cut):
    seen, bit_by_bit = np.array(values), Weighing(margin)
    bit_by_bit.add(values[:cut])
    bit_by_bit.add(values[cut:])
    bets = ((seen, 0.0), (-seen, -margin), (-seen, 0.0))
    highest = [max(0.0, float(betting.log_capital(turned, bound, -1.0, 0).max())) for turned, bound in bets]
    for found in (weigh(values, margin), bit_by_bit.evidence):
        assert (found.worse, found.as_good, found.better) == pytest.approx(highest, abs=1e-9)


def test_values_outside_the_range_are_refused():
    with pytest.raises(ValueError, match="outside"):
        weigh([1.5], 0.02)


def test_a_challenger_that_always_fails_is_seen_after_a_dozen_answers():
    seen = rounds([(number % 10 == 9, float(number % 10 == 9)) for number in range(140)])
    assert is_shown(weigh(seen.differences, 0.02).worse, 0.0025)
    assert len(seen.differences) == 14


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_equal_sides_are_called_unequal_at_most_as_often_as_the_level_says(share, rate):
    n_runs, wrong = 150, [0, 0]
    for seed in range(n_runs):
        found = weigh(rounds(traffic(int(200 / share), share, (rate, rate), seed)).differences, 0.02)
        wrong[0] += is_shown(found.worse, 0.05)
        wrong[1] += is_shown(found.better, 0.05)
    assert max(wrong) <= 0.05 * n_runs + 3 * math.sqrt(0.05 * 0.95 * n_runs), wrong


def test_one_that_is_worse_by_the_margin_is_hardly_ever_called_as_good():
    passed = sum(
        is_shown(weigh(rounds(traffic(20_000, 0.1, (0.03, 0.01), seed)).differences, 0.02).as_good, 0.01)
        for seed in range(60)
    )
    assert passed <= 4  # 0.6 are expected at most


def test_both_getting_worse_at_once_shows_nothing_of_either():
    values = (
        traffic(8000, 0.1, (0.01, 0.01), 1) + traffic(2000, 0.1, (0.6, 0.6), 2) + traffic(8000, 0.1, (0.01,) * 2, 3)
    )
    found = weigh(rounds(values).differences, 0.02)
    assert not is_shown(found.worse, 0.0025) and not is_shown(found.better, 0.0025)


# the split


def split(n: int, share: float, seed: int) -> tuple[int, int]:
    chance = random.Random(seed)
    mine = sum(chance.random() < share for _ in range(n))
    return mine, n - mine


def test_a_split_as_it_was_meant_is_hardly_ever_called_off():
    wrong = 0
    for seed in range(100):
        chance, counts, highest = random.Random(seed), [0, 0], 0.0
        for number in range(4000):
            counts[0 if chance.random() < 0.1 else 1] += 1
            if number % 50 == 49:
                highest = max(highest, mismatch_e_value(counts, (0.1, 0.9)))
        wrong += highest >= math.log(20)
    assert wrong <= 10


@pytest.mark.parametrize(("meant", "got"), [(0.1, 0.08), (0.01, 0.0), (0.5, 0.45)])
def test_a_split_that_is_off_is_found(meant, got):
    assert mismatch_e_value(split(20_000, got, 3), (meant, 1 - meant)) >= math.log(1000)


def test_no_observation_is_no_evidence():
    assert mismatch_e_value((0, 0), (0.1, 0.9)) == 0.0


@pytest.mark.parametrize("shares", [(0.0, 1.0), (0.5, 0.6), (1.0,)])
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(ValueError, match="add up to 1"):
        mismatch_e_value((1, 2), shares)
