"""Races of candidates whose scores are known: who is left out, how often wrongly, and what an elimination says."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lifeloop.stages.race import FEWEST, GROWTH, Differences, Rules, eliminated, rounds

RULES = Rules(margin=0.01, confidence=0.95, n_candidates=5, n_items=1000)


def of(values: np.ndarray, bounds: tuple[float, float] | None = (-1.0, 1.0), n_answered: int = 0) -> Differences:
    return Differences(np.asarray(values, dtype=np.float64), bounds, n_answered or len(values))


def differing(wins: int, losses: int, n: int, seed: int = 0) -> np.ndarray:
    """Return differences of -1, 0 and 1 in a random order."""
    values = np.array([1.0] * wins + [-1.0] * losses + [0.0] * (n - wins - losses))
    return np.random.default_rng(seed).permutation(values)


@given(st.integers(1, 200_000))
def test_rounds_grow_to_all_examples(n_items):
    sizes = rounds(n_items)
    assert sizes[-1] == n_items
    assert all(size >= FEWEST for size in sizes[:-1])
    assert all(GROWTH * size == following for size, following in itertools.pairwise(sizes[:-1]))
    assert len(sizes) <= 6


def test_few_examples_are_one_round():
    assert rounds(FEWEST) == (FEWEST,)
    assert rounds(0) == (0,)


def test_one_that_is_much_worse_is_out_and_the_elimination_says_on_what_it_rests():
    values = differing(wins=5, losses=60, n=200)
    out = eliminated("best", of(values), RULES)
    assert (out.leader, out.n_items, out.of_items, out.margin) == ("best", 200, 1000, 0.01)
    assert out.difference == pytest.approx(-0.275)
    assert out.low < out.difference < out.high < -0.01


def test_one_that_is_worse_by_less_than_the_margin_stays_however_much_is_seen():
    values = differing(wins=1000, losses=1090, n=10_000)  # worse by 0.9 points, all examples seen
    rules = Rules(margin=0.01, confidence=0.95, n_candidates=2, n_items=10_000)
    assert eliminated("best", of(values), rules) is None
    assert eliminated("best", of(values), Rules(0.005, 0.95, 2, 10_000)) is not None


def test_the_same_evidence_leaves_fewer_out_where_more_candidates_race():
    values = differing(wins=3, losses=16, n=100)
    assert eliminated("best", of(values), Rules(0.01, 0.95, 2, 1000)) is not None
    assert eliminated("best", of(values), Rules(0.01, 0.95, 1000, 1000)) is None


def test_a_metric_that_applies_to_some_examples_only_is_not_taken_as_drawn_from_all_of_them():
    values = differing(wins=0, losses=30, n=300)
    rules = Rules(0.0, 0.95, 2, n_items=301)
    whole, part = eliminated("best", of(values), rules), eliminated("best", of(values, n_answered=301), rules)
    assert part.high > whole.high, "of 301 examples 300 are seen; of examples in general, 300"
    assert part.n_items == 301


def test_linearised_values_without_bounds_need_a_few_examples_and_then_count():
    chance = np.random.default_rng(3)
    values = chance.normal(-0.4, 0.5, 400)
    assert eliminated("best", of(values[: FEWEST - 1], None), RULES) is None
    out = eliminated("best", of(values, None), RULES)
    assert out.low < out.difference < out.high < -0.01
    assert "asymptotic" in out.method


@given(st.integers(0, 40), st.integers(0, 200), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_an_elimination_stands_and_its_interval_says_what_its_test_says(wins, losses, seed):
    values = differing(wins, losses, n=300, seed=seed)
    early, late = (eliminated("best", of(values[:n]), RULES) for n in (150, 300))
    for out in (early, late):
        assert out is None or -1 <= out.low <= out.high < -RULES.margin
    assert early is None or late is not None, "what was shown once stays shown"


def raced(right: np.ndarray, rules: Rules) -> tuple[int, float]:
    """Race candidates with known scores (n_items, n_candidates). Returns the best survivor and the share of calls."""
    running, calls = list(range(rules.n_candidates)), 0
    before = 0
    for size in rounds(rules.n_items):
        calls += (size - before) * len(running)
        before = size
        so_far = right[:size].mean(axis=0)
        leader = max(running, key=lambda who: so_far[who])
        if size < rules.n_items:
            running = [
                who
                for who in running
                if who == leader or eliminated("l", of(right[:size, who] - right[:size, leader]), rules) is None
            ]
    return max(running, key=lambda who: right[:, who].mean()), calls / right.size


def world(seed: int, rates: tuple[float, ...], n: int = 1000, copied: float = 0.6) -> np.ndarray:
    """Return whether candidates with those rates are right, alike on a share of the items as real ones are."""
    chance = np.random.default_rng(seed)
    shared, own = chance.random((n, 1)), chance.random((n, len(rates)))
    return (np.where(chance.random((n, 1)) < copied, shared, own) < np.array(rates)).astype(float)


def test_among_equals_the_best_is_left_out_less_often_than_the_confidence_allows():
    rules, times = Rules(margin=0.0, confidence=0.9, n_candidates=5, n_items=1000), 200
    lost = 0
    for seed in range(times):
        right = world(seed, (0.8,) * 5)
        winner, _ = raced(right, rules)
        lost += right[:, winner].mean() < right.mean(axis=0).max()
    assert lost <= stats.binom.ppf(0.999, times, 0.1)


def test_a_race_finds_the_best_with_a_fraction_of_the_calls():
    shares = []
    for seed in range(30):
        right = world(seed, (0.9, 0.75, 0.7, 0.6, 0.4))
        winner, share = raced(right, RULES)
        assert winner == 0
        shares.append(share)
    assert np.mean(shares) < 0.5
