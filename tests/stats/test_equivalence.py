import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from statsmodels.stats.weightstats import ztest

from lifeloop.stats.equivalence import non_inferior, p_worse_than
from lifeloop.stats.proportions import tango_interval

numbers = st.floats(-1, 1)
reaches = st.floats(0.001, 1)


def test_the_p_value_is_that_of_the_z_test_of_statsmodels():
    values = np.random.default_rng(0).normal(-0.02, 0.3, 400)
    reach = norm.ppf(0.975) * values.std(ddof=1) / math.sqrt(400)
    expected = ztest(values, value=0.01, alternative="smaller")[1]
    mean = values.mean()
    assert p_worse_than(mean, mean - reach, mean + reach, 0.95, 0.01) == pytest.approx(expected, rel=1e-9)


@given(numbers, reaches, reaches, numbers, st.sampled_from([0.8, 0.9, 0.95]))
def test_the_p_value_is_small_exactly_where_the_interval_lies_below(difference, down, up, bound, confidence):
    p = p_worse_than(difference, difference - down, difference + up, confidence, bound)
    if abs(difference + up - bound) > 1e-6:
        assert (p < (1 - confidence) / 2) == (difference + up < bound)


@given(numbers, reaches, numbers, numbers)
def test_a_higher_bound_is_easier_to_lie_below(difference, reach, one, other):
    lower, higher = sorted([one, other])
    ends = difference - reach, difference + reach
    assert p_worse_than(difference, *ends, 0.95, higher) <= p_worse_than(difference, *ends, 0.95, lower)


def test_an_interval_that_says_nothing_or_everything():
    assert p_worse_than(0.0, -math.inf, math.inf, 0.95, 0.1) == 1.0
    assert p_worse_than(math.nan, math.nan, math.nan, 0.95, 0.1) == 1.0
    assert p_worse_than(0.0, 0.0, 0.0, 0.95, 0.1) == 0.0
    assert p_worse_than(0.1, 0.1, 0.1, 0.95, 0.1) == 1.0


def test_at_the_margin_non_inferiority_is_claimed_as_seldom_as_it_may():
    # Two classifiers that differ on a tenth of the items, the new one worse by exactly the margin.
    n, margin, runs = 500, 0.02, 4000
    tables = np.random.default_rng(1).multinomial(n, [0.04, 0.06, 0.9], runs)[:, :2]
    lows = {tuple(table): tango_interval(*table, n, 0.9)[0] for table in np.unique(tables, axis=0).tolist()}
    claimed = np.mean([non_inferior(lows[tuple(table)], margin) for table in tables.tolist()])
    assert claimed == pytest.approx(0.05, abs=0.015)


def test_equal_candidates_are_mostly_found_not_inferior_given_enough_items():
    tables = np.random.default_rng(2).multinomial(2500, [0.05, 0.05, 0.9], 300)[:, :2]
    claimed = [non_inferior(tango_interval(*table, 2500, 0.9)[0], 0.02) for table in tables.tolist()]
    assert np.mean(claimed) > 0.9
    assert not non_inferior(-0.02, 0.02)
