import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lifeloop.stats.bootstrap import interval, paired_interval


def mean(means):
    return means[..., 0]


def ratio(means):
    return means[..., 0] / np.maximum(means[..., 1], 1e-12)


tables = st.integers(1, 40).flatmap(
    lambda n: st.tuples(*(arrays(np.float64, (n, 2), elements=st.floats(0, 1, width=32)) for _ in range(2)))
)


@settings(max_examples=50)
@given(tables, st.integers(0, 5))
def test_swapping_the_sides_turns_the_interval_round(pair, seed):
    a, b = pair
    low, high = paired_interval(a, b, mean, 0.95, seed, resamples=200)
    assert paired_interval(b, a, mean, 0.95, seed, resamples=200) == pytest.approx((-high, -low), abs=1e-9)


@settings(max_examples=50)
@given(tables, st.integers(0, 5))
def test_the_same_seed_gives_the_same_interval_inside_what_was_seen(pair, seed):
    columns, _ = pair
    low, high = interval(columns, mean, 0.9, seed, resamples=200)
    assert (low, high) == interval(columns, mean, 0.9, seed, resamples=200)
    assert columns[:, 0].min() - 1e-9 <= low <= high <= columns[:, 0].max() + 1e-9


def test_a_side_against_itself_differs_by_nothing():
    a = np.random.default_rng(0).random((50, 2))
    assert paired_interval(a, a, ratio, 0.95, 0) == (0.0, 0.0)


def test_pairs_stay_pairs():
    chance = np.random.default_rng(0)
    hard = chance.normal(0, 10, (300, 1))  # how hard an item is moves both sides alike
    a, b = hard + 1 + chance.normal(0, 0.1, (300, 1)), hard + chance.normal(0, 0.1, (300, 1))
    low, high = paired_interval(a, b, mean, 0.95, 0)
    assert 0.95 < low < 1.0 < high < 1.05


def test_the_order_of_items_is_no_matter_beyond_chance():
    columns = np.random.default_rng(0).random((400, 1))
    one, other = interval(columns, mean, 0.95, 0), interval(columns[::-1], mean, 0.95, 0)
    assert one == pytest.approx(other, abs=0.01)


def test_blocks_of_resamples_cover_all_of_them():
    columns = np.random.default_rng(0).random((25_000, 1))  # so many items that resamples come in several blocks
    low, high = interval(columns, mean, 0.95, 0, resamples=850)
    expected = 1.96 * columns.std() / np.sqrt(25_000)
    assert high - low == pytest.approx(2 * expected, rel=0.1)


def test_no_items_give_no_interval_and_unequal_ones_an_error():
    empty = np.zeros((0, 2))
    assert np.isnan(interval(empty, mean, 0.95, 0)).all()
    assert np.isnan(paired_interval(empty, empty, mean, 0.95, 0)).all()
    with pytest.raises(ValueError, match="not the same items: 3 and 4"):
        paired_interval(np.zeros((3, 2)), np.zeros((4, 2)), mean, 0.95, 0)


def test_the_interval_of_a_ratios_difference_covers_as_often_as_it_says():
    chance = np.random.default_rng(7)
    covered, runs, n = 0, 300, 150
    for run in range(runs):
        weight = chance.integers(1, 6, n).astype(float)  # a text has one to five entities
        hits = [chance.binomial(weight.astype(int), share).astype(float) for share in (0.8, 0.7)]
        a, b = (np.column_stack([hit, weight]) for hit in hits)
        low, high = paired_interval(a, b, ratio, 0.95, run, resamples=400)
        covered += low <= 0.1 <= high
    assert 0.91 <= covered / runs <= 0.98
