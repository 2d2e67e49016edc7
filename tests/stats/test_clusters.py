import math

import numpy as np
import pytest
import statsmodels.api
from hypothesis import given
from hypothesis import strategies as st

from lifeloop.stats.clusters import mean_interval, standard_error

tables = st.lists(st.tuples(st.floats(-5, 5), st.sampled_from("abcdef")), min_size=2, max_size=40).filter(
    lambda rows: len({name for _, name in rows}) > 1
)


def related(chance, groups, size, together):
    """Return values whose correlation within a group is about `together`, and their groups."""
    shared = np.repeat(chance.normal(0, math.sqrt(together), groups), size)
    return shared + chance.normal(0, math.sqrt(1 - together), groups * size), np.repeat(np.arange(groups), size)


@given(tables)
def test_the_error_is_that_of_statsmodels(rows):
    values, names = np.array([value for value, _ in rows]), [name for _, name in rows]
    groups = np.unique(names, return_inverse=True)[1]
    fitted = statsmodels.api.OLS(values, np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": groups})
    assert standard_error(values, names) == pytest.approx(fitted.bse[0], rel=1e-6, abs=1e-9)


def test_items_that_stand_alone_have_the_usual_error():
    values = np.random.default_rng(0).normal(size=60)
    assert standard_error(values, np.arange(60)) == pytest.approx(values.std(ddof=1) / math.sqrt(60))


def test_the_interval_covers_where_one_that_ignores_clusters_does_not():
    chance, runs, covered, naive = np.random.default_rng(1), 1500, 0, 0
    for _ in range(runs):
        values, groups = related(chance, 25, 8, 0.4)
        low, high = mean_interval(values, groups, 0.95)
        covered += low <= 0.0 <= high
        naive += abs(values.mean()) <= 1.96 * values.std(ddof=1) / math.sqrt(len(values))
    assert covered / runs == pytest.approx(0.95, abs=0.025)
    assert naive / runs < 0.8


def test_of_one_cluster_nothing_is_known_and_lengths_must_agree():
    assert standard_error([1.0, 2.0], ["a", "a"]) == math.inf
    assert mean_interval([1.0, 2.0], ["a", "a"], 0.95) == (-math.inf, math.inf)
    with pytest.raises(ValueError, match="2 values and 1 clusters"):
        standard_error([1.0, 2.0], ["a"])
