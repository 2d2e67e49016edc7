import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeloop.stats.mixture import normal_e_value
from lifeloop.stats.sequential import normal_interval


@given(st.integers(2, 5000), st.floats(0.001, 1), st.floats(0.01, 1))
def test_evidence_is_for_one_side_only(n, mean, variance):
    better, worse = normal_e_value(n, mean, variance), normal_e_value(n, -mean, variance)
    assert better > worse >= 0
    assert worse <= 1


def test_little_evidence_is_none():
    assert normal_e_value(1, 1.0, 1.0) == 1.0
    assert normal_e_value(100, 0.5, 0.0) == 1.0


@pytest.mark.parametrize(("mean", "least", "most"), [(0.0, 0.0, 0.06), (0.25, 0.8, 1.0)])
def test_it_errs_as_seldom_as_it_says_at_any_look_and_finds_what_is_there(mean, least, most):
    chance = np.random.default_rng(2)
    runs, looks = 600, range(50, 601, 25)
    values = chance.normal(mean, 1.0, (runs, 600))
    shown = sum(any(normal_e_value(n, row[:n].mean(), row[:n].var(ddof=1)) >= 20 for n in looks) for row in values)
    assert least <= shown / runs <= most


def test_it_shows_about_when_the_interval_leaves_nothing():
    n = 500
    edge = next(mean for mean in np.linspace(0, 1, 2001) if normal_interval(n, mean, 1.0, 0.9)[0] > 0)
    assert normal_e_value(n, edge, 1.0) == pytest.approx(20, rel=0.3)  # one-sided at half the two-sided level
