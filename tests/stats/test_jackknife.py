import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lifeloop.stats.jackknife import left_out, pseudo_values, variance

tables = st.integers(2, 30).flatmap(lambda n: arrays(np.float64, (n, 1), elements=st.floats(0, 1, width=32)))


def mean(means):
    return means[..., 0]


def f1(means):
    total = means[..., 1] + means[..., 2]
    return np.divide(2 * means[..., 0], total, out=np.zeros_like(total), where=total > 0)


def whole(columns, combine):
    return left_out(columns, np.ones(len(columns)), columns.sum(axis=0), len(columns), combine)


@settings(deadline=None)
@given(tables)
def test_the_pseudo_values_of_an_average_are_its_values(columns):
    left = whole(columns, mean)
    assert pseudo_values(left, columns.mean()) == pytest.approx(columns[:, 0], abs=1e-9)
    assert variance(left) == pytest.approx(columns.var(ddof=1) / len(columns), abs=1e-12)


def test_a_part_of_the_blocks_gives_a_part_of_the_values():
    columns = np.random.default_rng(0).random((20, 3))
    total = columns.sum(axis=0)
    part = left_out(columns[5:9], np.ones(4), total, 20, f1)
    assert np.array_equal(part, whole(columns, f1)[5:9])
    assert part[0] == pytest.approx(float(f1(np.delete(columns, 5, axis=0).mean(axis=0))))


def test_the_variance_of_a_ratio_is_that_of_many_draws():
    chance = np.random.default_rng(1)
    n, values, said = 200, [], []
    for _ in range(400):
        weight = chance.integers(1, 6, n).astype(float)
        columns = np.column_stack([chance.binomial(weight.astype(int), 0.8), weight, weight])
        values.append(f1(columns.mean(axis=0)))
        left = whole(columns, f1)
        said.append(variance(left))
        assert pseudo_values(left, values[-1]).mean() == pytest.approx(values[-1])
    assert np.mean(said) == pytest.approx(np.var(values), rel=0.2)


def test_of_one_block_nothing_is_known():
    assert np.isnan(whole(np.ones((1, 1)), mean)).all()
    assert variance(np.array([0.5])) == float("inf")
