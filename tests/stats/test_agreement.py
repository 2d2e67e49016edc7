import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifeloop.stats.agreement import reliability


def simulated(reliable, n_items, n_votes, seed):
    """Return item, rater and vote of items that so many raters judged, and the truth."""
    chance = np.random.default_rng(seed)
    truth = chance.random(n_items) < 0.5
    item = np.repeat(np.arange(n_items), n_votes)
    rater = np.concatenate([chance.choice(len(reliable), n_votes, replace=False) for _ in range(n_items)])
    right = chance.random(len(item)) < np.asarray(reliable)[rater]
    return item, rater, np.where(right, truth[item], ~truth[item]), truth


@pytest.mark.parametrize("seed", range(5))
def test_reliabilities_and_truths_are_recovered(seed):
    reliable = [0.5, 0.1, *np.linspace(0.75, 0.97, 18)]
    item, rater, vote, truth = simulated(reliable, 800, 3, seed)

    known = reliability(item, rater, vote, len(reliable))

    assert np.abs(known.of_rater - reliable).mean() < 0.06
    assert known.of_rater.argmin() == 1 and known.of_rater[1] < 0.3  # says the opposite of the truth
    majority = np.bincount(item, vote) > 1.5
    assert ((known.first > 0.5) == truth).mean() > (majority == truth).mean()


def test_with_two_votes_an_item_agreement_says_how_good_raters_are_on_the_whole():
    item, rater, vote, _ = simulated([0.9] * 20, 1000, 2, 0)
    known = reliability(item, rater, vote, 20)
    assert known.mean == pytest.approx(0.9, abs=0.02)
    assert known.below(0.6).max() < 0.01


def test_items_with_one_vote_say_nothing_of_the_rater_and_get_their_probability():
    item, rater = np.array([0, 0, 1]), np.array([0, 1, 2])
    known = reliability(item, rater, np.array([True, True, False]), 3)
    assert known.n_votes.tolist() == [1, 1, 0]
    assert known.of_rater[2] == pytest.approx(known.mean)
    assert known.first[1] == pytest.approx(1 - known.mean)


def test_without_votes_raters_are_thought_to_be_good():
    none = np.array([], dtype=np.int64)
    known = reliability(none, none, none.astype(bool), 2)
    assert known.of_rater.tolist() == pytest.approx([known.mean] * 2)
    assert known.n_votes.tolist() == [0, 0] and not len(known.first)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_which_answer_is_the_first_means_nothing(seed):
    item, rater, vote, _ = simulated([0.6, 0.7, 0.8, 0.9, 0.95], 30, 3, seed)
    turn = np.random.default_rng(seed).random(30) < 0.5
    known = reliability(item, rater, vote, 5)
    other = reliability(item, rater, vote ^ turn[item], 5)
    assert other.of_rater == pytest.approx(known.of_rater, abs=1e-6)
    assert np.where(turn, 1 - other.first, other.first) == pytest.approx(known.first, abs=1e-6)
