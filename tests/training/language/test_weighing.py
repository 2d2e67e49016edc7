"""Weights of preferences: how often each is in a pass, and that a resumed training draws the same passes."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeloop.training.language.weighing import Passes, thinned

weights = st.lists(st.floats(0.01, 1.0), min_size=1, max_size=40)


@given(weights, st.integers(0, 5))
def test_every_pass_is_of_one_length_and_takes_nothing_twice(shares, seed):
    lengths = {len(thinned(shares, seed, number)) for number in range(5)}
    assert lengths == {int(sum(shares) / max(shares) + 1e-9)}
    assert len(set(thinned(shares, seed))) == len(thinned(shares, seed))


def test_a_preference_of_half_the_weight_is_in_half_the_passes():
    counts = Counter(place for number in range(2000) for place in thinned([1.0, 0.5, 0.25, 0.25, 1.0], 7, number))
    assert counts[0] == counts[4] == 2000
    assert [counts[place] / 2000 for place in (1, 2, 3)] == pytest.approx([0.5, 0.25, 0.25], abs=0.04)


def test_passes_follow_from_their_number_alone():
    one, other = Passes([1.0] * 9, 3), Passes([1.0] * 9, 3)
    first = list(one)
    one.set_epoch(4)
    other.set_epoch(4)
    assert list(one) == list(other) != first
    assert sorted(first) == sorted(one) == list(range(9))


def test_weights_of_nothing_give_nothing():
    assert thinned([], 0) == [] and thinned([0.0, 0.0], 0) == []
