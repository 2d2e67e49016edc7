import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.power import normal_sample_size_one_tail

from lifeloop.stats.power import items_for_difference, items_for_target, smallest_difference
from lifeloop.stats.proportions import clopper_pearson, mcnemar_exact, tango_interval


@pytest.mark.parametrize(("target", "hoped"), [(0.9, 0.93), (0.8, 0.9), (0.5, 0.6), (0.95, 0.97)])
def test_so_many_items_show_a_share_above_its_target_as_often_as_promised(target, hoped):
    n = items_for_target(target, hoped, 0.95, 0.8)
    right = np.random.default_rng(0).binomial(n, hoped, 2000)
    shown = {k: clopper_pearson(int(k), n, 0.95)[0] > target for k in np.unique(right)}
    assert np.mean([shown[k] for k in right]) == pytest.approx(0.8, abs=0.06)


@pytest.mark.parametrize(("effect", "discordance"), [(0.03, 0.1), (0.05, 0.2), (0.1, 0.3)])
def test_so_many_items_find_a_difference_as_often_as_promised(effect, discordance):
    n = items_for_difference(effect, discordance, 0.95, 0.8)
    shares = [(discordance + effect) / 2, (discordance - effect) / 2, 1 - discordance]
    tables = np.random.default_rng(0).multinomial(n, shares, 700)[:, :2]
    assert np.mean([tango_interval(a, b, n, 0.95)[0] > 0 for a, b in tables]) == pytest.approx(0.8, abs=0.05)
    # The exact test is a little shy; the formula is for the score test.
    assert np.mean([mcnemar_exact(a, b) < 0.05 for a, b in tables]) == pytest.approx(0.8, abs=0.08)


@pytest.mark.parametrize(("target", "hoped", "power"), [(0.9, 0.93, 0.8), (0.6, 0.7, 0.9)])
def test_the_items_for_a_target_are_those_of_statsmodels(target, hoped, power):
    spreads = [np.sqrt(share * (1 - share)) for share in (target, hoped)]
    expected = normal_sample_size_one_tail(
        hoped - target, power, 0.025, std_null=spreads[0], std_alternative=spreads[1]
    )
    assert items_for_target(target, hoped, 0.95, power) == np.ceil(expected)


@pytest.mark.parametrize(("effect", "discordance", "power"), [(0.03, 0.1, 0.8), (0.1, 0.4, 0.9)])
def test_the_items_for_a_difference_are_those_of_statsmodels(effect, discordance, power):
    spreads = [np.sqrt(discordance), np.sqrt(discordance - effect**2)]
    expected = normal_sample_size_one_tail(effect, power, 0.025, std_null=spreads[0], std_alternative=spreads[1])
    assert items_for_difference(effect, discordance, 0.95, power) == np.ceil(expected)


shares = st.floats(0.02, 0.98)


@given(shares, st.floats(0.005, 0.5), st.floats(0.005, 0.5))
def test_a_farther_hope_needs_fewer_items_to_reach_the_same_power(target, near, far):
    near, far = sorted(min(1.0, target + gap) for gap in (near, far))
    assert items_for_target(target, far, 0.95, 0.8) <= items_for_target(target, near, 0.95, 0.8)


@given(st.integers(0, 20_000), st.floats(0.01, 0.6))
def test_the_smallest_difference_is_one_that_the_items_find(n, discordance):
    found = smallest_difference(n, discordance, 0.95, 0.8)
    assert 0.0 < found <= discordance
    if found < discordance:
        assert items_for_difference(found, discordance, 0.95, 0.8) <= n
        assert items_for_difference(found * 0.98, discordance, 0.95, 0.8) > n


def test_questions_without_an_answer_are_refused():
    for target, hoped in ((0.9, 0.9), (0.9, 0.8), (0.0, 0.5), (0.9, 1.1)):
        with pytest.raises(ValueError, match="above the target"):
            items_for_target(target, hoped, 0.95, 0.8)
    for effect, discordance in ((0.0, 0.1), (0.2, 0.1), (0.5, 1.1)):
        with pytest.raises(ValueError, match="effect <= discordance"):
            items_for_difference(effect, discordance, 0.95, 0.8)
    assert items_for_target(0.9, 1.0, 0.95, 0.8) > 0
    assert items_for_difference(0.1, 0.1, 0.95, 0.8) > 0
