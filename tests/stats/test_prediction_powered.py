import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from lifeloop.stats.prediction_powered import mean


def judged(chance, n, people, noise, bias):
    """Return what people and a judge say of n items: the judge adds noise, and thinks better of all."""
    true = (chance.random(n) < people).astype(float)
    return true, true + bias + chance.normal(0, noise, n)


@pytest.mark.parametrize(("noise", "bias"), [(0.2, 0.15), (2.0, -0.3)])
def test_the_interval_covers_what_people_would_say_however_the_judge_errs(noise, bias):
    chance, runs, covered = np.random.default_rng(0), 2000, 0
    for _ in range(runs):
        true, scores = judged(chance, 500, 0.7, noise, bias)
        _, low, high = mean(scores, scores[:60], true[:60], 0.95)
        covered += low <= 0.7 <= high
    assert covered / runs == pytest.approx(0.95, abs=0.025)


def test_a_good_judge_narrows_the_interval_and_a_poor_one_does_no_harm():
    chance = np.random.default_rng(1)
    for noise, least, most in ((0.1, 0.2, 0.6), (5.0, 0.9, 1.02)):
        true, scores = judged(chance, 2000, 0.7, noise, 0.0)
        _, low, high = mean(scores, scores[:100], true[:100], 0.95)
        alone = ttest_1samp(true[:100], 0).confidence_interval(0.95)
        assert least < (high - low) / (alone.high - alone.low) < most


def test_the_bias_of_the_judge_is_taken_out():
    true, scores = judged(np.random.default_rng(2), 5000, 0.7, 0.05, 0.25)
    value, low, high = mean(scores, scores[:400], true[:400], 0.95)
    assert abs(value - true.mean()) < 0.02 < abs(scores.mean() - true.mean())
    assert low < value < high


def test_where_all_are_labelled_people_alone_count():
    true, scores = judged(np.random.default_rng(3), 50, 0.6, 0.3, 0.1)
    expected = ttest_1samp(true, 0).confidence_interval(0.9)
    assert mean(scores, scores, true, 0.9) == pytest.approx((true.mean(), expected.low, expected.high))


def test_a_judge_that_always_says_the_same_changes_nothing():
    true = np.array([0.0, 1.0, 1.0, 1.0])
    expected = ttest_1samp(true, 0).confidence_interval(0.9)
    assert mean(np.ones(40), np.ones(4), true, 0.9) == pytest.approx((0.75, expected.low, expected.high))


def test_one_label_gives_no_interval_and_none_no_answer():
    assert mean([0.5, 0.6], [0.5], [1.0], 0.95) == (1.0, -math.inf, math.inf)
    for every, some, labels in (([0.5], [], []), ([0.5, 0.6], [0.5], [1.0, 1.0]), ([0.5], [0.5, 0.5], [1.0, 1.0])):
        with pytest.raises(ValueError, match="labelled"):
            mean(every, some, labels, 0.95)
