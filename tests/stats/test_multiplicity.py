import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, norm
from statsmodels.stats.multitest import multipletests

from lifeloop.stats.multiplicity import benjamini_hochberg, holm

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@settings(max_examples=15, deadline=None)
@given(p_values)
def test_both_adjust_as_statsmodels_and_scipy_do(p):
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1], abs=1e-12)
    assert benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1], abs=1e-12)
    assert benjamini_hochberg(p) == pytest.approx(false_discovery_control(p), abs=1e-12)


@given(p_values)
def test_adjusting_never_helps_and_keeps_the_order(p):
    for adjusted in (holm(p), benjamini_hochberg(p)):
        assert (adjusted >= p).all()
        assert (adjusted <= 1.0).all()
        assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()
    assert (benjamini_hochberg(p) <= holm(p) + 1e-12).all()


def test_among_true_hypotheses_holm_rejects_any_as_seldom_as_it_says():
    chance = np.random.default_rng(0)
    p = norm.sf(chance.normal([0, 0, 0, 0, 0, 0, 3, 4], size=(3000, 8)))  # two hypotheses are false
    assert np.mean([(holm(row)[:6] <= 0.1).any() for row in p]) <= 0.1 + 3 * np.sqrt(0.09 / 3000)


def test_the_share_of_false_discoveries_is_bounded():
    chance = np.random.default_rng(1)
    p = norm.sf(chance.normal(size=(2000, 20)))
    p[:, 10:] = norm.sf(chance.normal(3.0, 1.0, size=(2000, 10)))
    found = np.array([benjamini_hochberg(row) <= 0.1 for row in p])
    shares = found[:, :10].sum(axis=1) / np.maximum(found.sum(axis=1), 1)
    assert shares.mean() <= 0.05 + 0.01  # half of the hypotheses are true
    assert found[:, 10:].mean() > 0.8


def test_no_p_values_stay_none_and_others_are_refused():
    assert holm([]).shape == benjamini_hochberg([]).shape == (0,)
    for wrong in ([1.2], [-0.1], [float("nan")]):
        with pytest.raises(ValueError, match=r"in \[0, 1\]"):
            holm(wrong)
