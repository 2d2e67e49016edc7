import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lifeloop.stats.conformal import risk_threshold

GRID = np.linspace(0, 1, 201)


def wrong_and_answered(chance, n):
    """Return losses (n, 201): 1 where an answer is wrong and its confidence reaches the threshold."""
    confidence = chance.beta(4, 1.5, n)
    wrong = chance.random(n) > confidence
    return (wrong[:, None] & (confidence[:, None] >= GRID)).astype(float)


@pytest.mark.parametrize(("n", "risk"), [(100, 0.05), (300, 0.05), (300, 0.1)])
def test_the_risk_on_new_items_is_kept_on_average_over_many_splits(n, risk):
    chance = np.random.default_rng(0)
    losses, risks = wrong_and_answered(chance, 4000), []
    for _ in range(200):
        order = chance.permutation(len(losses))
        found = risk_threshold(losses[order[:n]], GRID, risk)
        risks.append(losses[order[n:], found].mean())
    # Kept, and not by withholding everything: at most 2 / (n + 1) and a step of the grid below the target.
    assert risk - 2 / (n + 1) - 0.01 < np.mean(risks) <= risk + 0.003


tables = arrays(np.float64, st.tuples(st.integers(1, 15), st.integers(1, 6)), elements=st.floats(0, 1, width=16))


@given(tables, st.floats(0.01, 1.0))
def test_the_first_threshold_that_keeps_the_bound_is_taken(table, risk):
    losses = np.sort(table, axis=1)[:, ::-1]
    n, m = losses.shape
    kept = [i for i in range(m) if (n * losses[:, i].mean() + 1) / (n + 1) <= risk - 1e-9]
    found = risk_threshold(losses, GRID[:m], risk)
    assert (found is None) or (found >= 0 and (losses[:, found].sum() + 1) / (n + 1) <= risk)
    if kept:
        assert found is not None
        assert found <= kept[0]


@given(tables, st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_a_smaller_risk_is_never_less_conservative(table, one, other):
    m = table.shape[1]
    small, large = (risk_threshold(table, GRID[:m], risk) for risk in sorted([one, other]))
    if small is not None:
        assert large is not None
        assert large <= small


def test_of_losses_that_rise_again_the_worst_to_come_counts():
    losses = np.array([[1.0, 0.0, 0.5, 0.0]] * 99)
    assert risk_threshold(losses, GRID[:4], 0.2) == 3
    assert risk_threshold(losses, GRID[:4], 0.6) == 1


def test_too_few_items_keep_no_small_risk():
    assert risk_threshold(np.zeros((18, 2)), [0.1, 0.9], 0.05) is None
    assert risk_threshold(np.zeros((19, 2)), [0.1, 0.9], 0.05) == 0
    assert risk_threshold(np.zeros((0, 2)), [0.1, 0.9], 0.05) is None


def test_losses_out_of_bounds_or_out_of_shape_are_refused():
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        risk_threshold([[2.0]], [0.5], 0.05)
    with pytest.raises(ValueError, match="for 2 thresholds"):
        risk_threshold([[1.0]], [0.5, 0.6], 0.05)
