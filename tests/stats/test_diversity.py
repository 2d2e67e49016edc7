import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lifeloop.stats.diversity import covering, first_of_alike, parts, representatives


def unit(rows: NDArray) -> NDArray[np.float32]:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def crowds(sizes: list[int], seed: int = 0, spread: float = 0.05) -> tuple[NDArray[np.float32], list[int]]:
    """Return vectors in crowds around far directions, and the crowd of each."""
    chance = np.random.default_rng(seed)
    which = [crowd for crowd, size in enumerate(sizes) for _ in range(size)]
    return unit(np.eye(len(sizes) + 2)[which] + spread * chance.normal(size=(len(which), len(sizes) + 2))), which


def test_each_crowd_has_one_representative_and_the_heaviest_comes_first():
    vectors, which = crowds([30, 10, 50, 5])
    places, clusters = representatives(vectors, np.ones(len(which)), 4, seed=0)
    assert [which[place] for place in places] == [2, 0, 1, 3]
    assert all(which[places[cluster]] == which[row] for row, cluster in enumerate(clusters))


def test_what_weighs_nothing_pulls_no_centre():
    vectors, which = crowds([20, 20])
    weights = np.where(np.array(which) == 0, 1.0, 0.0)
    places, _ = representatives(vectors, weights, 2, seed=0)
    assert which[places[0]] == 0


def test_where_all_are_wanted_all_come_by_weight():
    vectors, _ = crowds([3])
    places, clusters = representatives(vectors, np.array([0.1, 0.9, 0.5]), 5, seed=0)
    assert places == [1, 2, 0]
    assert clusters.tolist() == [2, 0, 1]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 40), st.integers(1, 9), st.integers(0, 5))
def test_parts_hold_everything_once_and_stay_small(n, most, seed):
    vectors = unit(np.random.default_rng(seed).normal(size=(n, 4))) if n else np.zeros((0, 4), dtype=np.float32)
    found = parts(vectors, most, seed)
    assert sorted(place for part in found for place in part.tolist()) == list(range(n))
    assert all(len(part) <= most for part in found)


def test_a_small_budget_covers_every_crowd_before_it_takes_a_second_of_one():
    vectors, which = crowds([40, 8, 20])
    found = covering(vectors, np.ones(68), np.ones(68), budget=3)
    assert {which[place] for place in found} == {0, 1, 2}
    assert which[found[0]] == 0  # whoever stands for most adds most


def test_of_two_that_say_the_same_the_cheaper_is_taken_and_the_poor_one_is_not():
    vectors = unit(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    assert covering(vectors, np.ones(3), np.array([9.0, 2.0, 2.0]), budget=4.0) in ([1, 2], [2, 1])
    assert covering(vectors, np.array([0.1, 1.0, 1.0]), np.ones(3), budget=1.0) == [1]


def test_what_is_chosen_already_is_paid_for_and_adds_nothing_again():
    vectors, which = crowds([5, 5])
    found = covering(vectors, np.ones(10), np.ones(10), budget=2, chosen=[0])
    assert [which[place] for place in found] == [1]


@given(st.integers(1, 30), st.integers(0, 5), st.floats(0, 40))
def test_lazy_choice_is_greedy_choice_and_keeps_the_budget(n, seed, budget):
    chance = np.random.default_rng(seed)
    vectors, weights = unit(chance.normal(size=(n, 5))), chance.uniform(0.1, 1, n)
    costs = chance.integers(1, 9, n).astype(float)
    found = covering(vectors, weights, costs, budget)
    assert costs[found].sum() <= budget
    assert len(set(found)) == len(found)
    alike, covered, left, greedy = np.maximum(vectors @ vectors.T, 0), np.zeros(n), budget, []
    while fits := [place for place in range(n) if place not in greedy and costs[place] <= left]:
        gain = {p: np.maximum(alike[p] - covered, 0).sum() * weights[p] / np.sqrt(costs[p]) for p in fits}
        best = max(fits, key=gain.__getitem__)
        if gain[best] < 1e-5:  # from here the order is that of rounding errors
            break
        greedy.append(best)
        left -= costs[best]
        covered = np.maximum(covered, alike[best])
    assert found[: len(greedy)] == greedy


def test_a_repeat_names_the_one_before_it():
    vectors = unit(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.01], [0.01, 1.0]]))
    assert first_of_alike(vectors, [0, 1, 2, 3], 0.99).tolist() == [0, 1, 0, 1]
    assert first_of_alike(vectors, [2, 3, 0, 1], 0.99).tolist() == [2, 3, 2, 3]
    assert first_of_alike(vectors, [0, 1, 2, 3], 0.99, firsts={2}).tolist() == [0, 1, 2, 1]
    assert first_of_alike(vectors, [0, 1, 2, 3], 1.0).tolist() == [0, 1, 2, 3]


@given(st.integers(0, 60), st.integers(0, 3), st.floats(0.5, 0.99))
def test_whatever_stays_is_unlike_and_whatever_goes_is_like_what_stays(n, seed, similarity):
    vectors = unit(np.random.default_rng(seed).normal(size=(n, 3))) if n else np.zeros((0, 3), dtype=np.float32)
    leaders = first_of_alike(vectors, range(n), similarity)
    kept = [place for place in range(n) if leaders[place] == place]
    between = (vectors[kept] @ vectors[kept].T)[np.triu_indices(len(kept), 1)]
    assert (between < similarity + 1e-6).all()
    for place, leader in enumerate(leaders):
        assert leaders[leader] == leader
        assert leader == place or vectors[place] @ vectors[leader] > similarity - 1e-6
