import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import f_oneway

from lifeloop.stats.variance import split, standard_error


def planted(chance, n, k, between, within):
    hardness = chance.normal(0.6, math.sqrt(between), (n, 1))
    return hardness + chance.normal(0, math.sqrt(within), (n, k))


@pytest.mark.parametrize(("between", "within"), [(0.2, 0.05), (0.05, 0.2), (0.0, 0.1), (0.1, 0.0)])
def test_planted_parts_are_found(between, within):
    found = split(planted(np.random.default_rng(0), 4000, 5, between, within))
    assert found == pytest.approx((between, within), abs=0.01)


def test_the_error_is_the_one_that_repeated_experiments_have():
    chance = np.random.default_rng(1)
    means = [planted(chance, 40, 3, 0.1, 0.3).mean() for _ in range(3000)]
    assert standard_error(0.1, 0.3, 40, 3) == pytest.approx(np.std(means), rel=0.05)


@given(arrays(np.float64, st.tuples(st.integers(2, 12), st.integers(2, 5)), elements=st.floats(0, 1, width=16)))
def test_the_parts_give_the_error_of_the_items_means(table):
    n, k = table.shape
    between, within = split(table)
    usual = table.mean(axis=1).std(ddof=1) / math.sqrt(n)
    if between > 0.0:
        assert standard_error(between, within, n, k) == pytest.approx(usual, abs=1e-9)
    else:
        assert standard_error(between, within, n, k) >= usual - 1e-9


def test_the_ratio_of_the_parts_is_that_of_the_analysis_of_variance():
    table = planted(np.random.default_rng(2), 30, 4, 0.2, 0.1)
    between, within = split(table)
    assert 1 + 4 * between / within == pytest.approx(f_oneway(*table).statistic)


def test_repeats_help_only_with_their_part():
    assert standard_error(0.1, 0.3, 50, 1) > standard_error(0.1, 0.3, 50, 10) > standard_error(0.1, 0.0, 50, 1)


def test_too_little_to_split_is_refused():
    for table in ([[1.0, 2.0]], [[1.0], [2.0]], [1.0, 2.0]):
        with pytest.raises(ValueError, match="two items and two repeats"):
            split(table)
    with pytest.raises(ValueError, match="0 items"):
        standard_error(0.1, 0.1, 0, 1)
