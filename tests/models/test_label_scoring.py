import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeloop.models.scoring import calibrated, geometric_mean, label_probabilities

END = 0
labels = st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple), min_size=1, max_size=8, unique=True)


class Sayer:
    """A language model with a fixed preference for every token after every prefix; it counts how often it is asked."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.looks = 0

    def weight(self, prefix: tuple[int, ...], token: int) -> float:
        return random.Random(f"{self.seed}/{prefix}/{token}").random() ** 3 + 1e-6

    def __call__(self, prefix: tuple[int, ...], allowed: tuple[int, ...]) -> dict[int, float]:
        self.looks += 1
        weights = {token: self.weight(prefix, token) for token in allowed}
        return {token: weight / sum(weights.values()) for token, weight in weights.items()}


def exact(sequences: list[tuple[int, ...]], sayer: Sayer) -> list[float]:
    """Return the probability of each sequence among those there are, by looking at every branch."""
    found = []
    for sequence in sequences:
        chance = 1.0
        for place, token in enumerate(sequence):
            prefix = sequence[:place]
            allowed = tuple({other[place] for other in sequences if other[:place] == prefix and len(other) > place})
            chance *= sayer(prefix, allowed)[token]
        found.append(chance)
    return found


@given(labels, st.integers(0, 1000))
def test_the_likeliest_label_is_found_with_its_exact_probability(words, seed):
    sequences = [(*word, END) for word in words]
    found, truth = label_probabilities(sequences, Sayer(seed)), exact(sequences, Sayer(seed))
    best = max(range(len(sequences)), key=truth.__getitem__)
    assert found[best] == max(found)
    assert found[best] == pytest.approx(truth[best])
    assert math.fsum(found) == pytest.approx(1.0)
    assert all(chance >= 0 for chance in found)


def test_labels_that_part_at_once_take_one_look():
    sayer = Sayer(0)
    label_probabilities([(token, END) for token in range(1, 100)], sayer)
    assert sayer.looks == 1


def test_what_all_labels_begin_with_takes_no_look():
    sayer = Sayer(0)
    label_probabilities([(7, 8, 9, 1, END), (7, 8, 9, 2, END)], sayer)
    assert sayer.looks == 1
    assert label_probabilities([(7, 8, END)], sayer) == [1.0]
    assert sayer.looks == 1


def test_a_label_that_begins_another_is_told_from_it_by_its_end():
    prefers_more = {(): {1: 1.0}, (1,): {END: 0.2, 2: 0.8}}
    found = label_probabilities([(1, END), (1, 2, END)], lambda prefix, allowed: prefers_more[prefix])
    assert found == pytest.approx([0.2, 0.8])


def test_a_walk_that_stops_early_shares_what_is_left_evenly():
    answers = {(): {1: 0.9, 2: 0.1}}
    found = label_probabilities([(1, END), (2, 3, END), (2, 4, END)], lambda prefix, allowed: answers[prefix])
    assert found == pytest.approx([0.9, 0.05, 0.05])


chances = st.lists(st.floats(0.001, 1), min_size=2, max_size=6)


@given(chances)
def test_calibrating_by_its_own_liking_leaves_none(liking):
    found = calibrated(liking, liking)
    assert found == pytest.approx([1 / len(liking)] * len(liking))


@given(chances)
def test_calibrating_by_an_even_liking_changes_no_order(said):
    found = calibrated(said, [0.25] * len(said))
    assert math.fsum(found) == pytest.approx(1.0)
    assert sorted(range(len(said)), key=said.__getitem__) == sorted(range(len(said)), key=found.__getitem__)


def test_nothing_said_stays_nothing():
    assert calibrated([0.0, 0.0], [0.5, 0.5]) == [0.0, 0.0]


def test_the_liking_is_a_geometric_mean():
    assert geometric_mean([[0.1, 0.9], [0.4, 0.6]]) == pytest.approx([0.2, math.sqrt(0.54)])
    assert geometric_mean([[0.0, 1.0]])[0] > 0
