import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import xlogy
from scipy.stats import binom, binomtest, multinomial
from statsmodels.stats.contingency_tables import mcnemar

from lifeloop.stats.proportions import clopper_pearson, discordant, mcnemar_exact, tango_interval

counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
levels = st.sampled_from([0.8, 0.9, 0.95, 0.99])
paired = st.integers(1, 300).flatmap(
    lambda n: st.tuples(st.integers(0, n), st.integers(0, n), st.just(n)).filter(lambda t: t[0] + t[1] <= t[2])
)


# the interval of a share


@given(counts, levels)
def test_the_interval_of_a_share_is_scipys_exact_one(count, confidence):
    successes, n = count
    expected = binomtest(successes, n).proportion_ci(confidence, method="exact")
    assert clopper_pearson(successes, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-10)


@pytest.mark.parametrize("n", [1, 7, 40])
def test_the_interval_of_a_share_covers_the_truth_at_least_as_often_as_it_says(n):
    intervals = np.array([clopper_pearson(k, n, 0.95) for k in range(n + 1)])
    for share in np.linspace(0.001, 0.999, 150):
        covering = (intervals[:, 0] <= share) & (share <= intervals[:, 1])
        assert binom.pmf(np.arange(n + 1), n, share)[covering].sum() >= 0.95


def test_of_no_item_nothing_is_known():
    assert clopper_pearson(0, 0, 0.95) == (0.0, 1.0)
    assert tango_interval(0, 0, 0, 0.95) == (-1.0, 1.0)
    assert mcnemar_exact(0, 0) == 1.0


# the paired test


@given(paired)
def test_the_paired_test_is_the_exact_one_of_statsmodels(pair):
    only_a, only_b, n = pair
    expected = mcnemar([[n - only_a - only_b, only_a], [only_b, 0]], exact=True).pvalue
    assert mcnemar_exact(only_a, only_b) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("n", "discordance"), [(20, 0.3), (60, 0.1), (60, 0.5)])
def test_the_paired_test_cries_wolf_no_more_often_than_it_may(n, discordance):
    wrong = 0.0
    for k in range(n + 1):  # exactly, over every number of discordant items and how they fall
        falls = np.arange(k + 1)
        rejected = np.array([mcnemar_exact(fall, k - fall) <= 0.05 for fall in falls])
        wrong += binom.pmf(k, n, discordance) * binom.pmf(falls, k, 0.5)[rejected].sum()
    assert 0.0 < wrong <= 0.05


def test_discordant_items_are_counted_by_who_was_right():
    a, b = np.array([1.0, 1.0, 0.0, 0.0, 1.0]), np.array([1.0, 0.0, 1.0, 0.0, 0.0])
    assert discordant(a, b) == (2, 1)


# the interval of a paired difference


@given(paired, levels)
def test_the_interval_of_a_difference_holds_the_estimate_and_swaps_with_the_sides(pair, confidence):
    only_a, only_b, n = pair
    low, high = tango_interval(only_a, only_b, n, confidence)
    assert -1.0 <= low <= (only_a - only_b) / n <= high <= 1.0
    assert low < high
    assert tango_interval(only_b, only_a, n, confidence) == pytest.approx((-high, -low), abs=1e-6)


@given(paired)
def test_more_confidence_never_gives_a_narrower_interval(pair):
    narrow, wide = (tango_interval(*pair, confidence) for confidence in (0.8, 0.99))
    assert wide[0] <= narrow[0] + 1e-9
    assert narrow[1] <= wide[1] + 1e-9


def test_every_small_table_has_an_interval():
    for n in range(1, 16):
        for only_a in range(n + 1):
            for only_b in range(n + 1 - only_a):
                low, high = tango_interval(only_a, only_b, n, 0.95)
                assert math.isfinite(low)
                assert math.isfinite(high)


def test_a_published_interval():
    assert tango_interval(1, 0, 43, 0.95) == pytest.approx((-0.0599, 0.1212), abs=2e-3)  # Tango (1998), 43 pairs


@pytest.mark.parametrize(("only_a", "only_b", "n"), [(12, 2, 50), (0, 6, 30), (1, 1, 80), (9, 9, 40)])
def test_the_ends_are_where_the_score_test_just_rejects(only_a, only_b, n):
    both = n - only_a - only_b
    for delta in tango_interval(only_a, only_b, n, 0.95):

        def unlikeliness(share, delta=delta):  # of a share that only B gets right, the difference being delta
            terms = ((only_a, share + delta), (only_b, share), (both, 1 - 2 * share - delta))
            return -sum(xlogy(count, max(chance, 1e-300)) for count, chance in terms)

        bounds = (max(0.0, -delta), (1 - delta) / 2)
        share = minimize_scalar(unlikeliness, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
        spread = np.sqrt((2 * share + delta - delta**2) / n)
        assert abs((only_a - only_b) / n - delta) / spread == pytest.approx(1.95996, rel=1e-3)


def test_the_interval_shrinks_with_the_root_of_the_items():
    widths = [high - low for low, high in (tango_interval(5 * k, 5 * k, 100 * k, 0.95) for k in (4, 16, 64))]
    assert widths[0] / widths[1] == pytest.approx(2.0, rel=0.05)
    assert widths[1] / widths[2] == pytest.approx(2.0, rel=0.05)


def coverage(only_a: float, only_b: float, n: int) -> float:
    """Return the exact probability that the 95% interval holds the true difference of two paired shares."""
    covered, truth = 0.0, only_a - only_b
    for a in range(n + 1):
        for b in range(n + 1 - a):
            chance = multinomial.pmf([a, b, n - a - b], n, [only_a, only_b, 1 - only_a - only_b])
            if chance > 1e-7:
                low, high = tango_interval(a, b, n, 0.95)
                covered += chance * (low <= truth <= high)
    return covered


@pytest.mark.parametrize(("only_a", "only_b"), [(0.05, 0.05), (0.1, 0.02), (0.3, 0.3), (0.2, 0.05), (0.01, 0.01)])
def test_the_interval_of_a_difference_covers_about_as_often_as_it_says(only_a, only_b):
    assert coverage(only_a, only_b, 40) >= 0.93  # a score interval is right on average, not for every truth


def test_the_interval_of_a_difference_covers_on_average_over_truths():
    chance = np.random.default_rng(1)
    truths = [(a, b) for a, b in chance.uniform(0, 0.4, (12, 2))]
    assert np.mean([coverage(a, b, 30) for a, b in truths]) == pytest.approx(0.95, abs=0.01)


def test_the_interval_and_the_test_agree_but_near_the_edge():
    agreeing = [
        (tango_interval(a, b, 200, 0.95)[0] > 0 or tango_interval(a, b, 200, 0.95)[1] < 0)
        == (mcnemar_exact(a, b) < 0.05)
        for a in range(0, 40, 2)
        for b in range(0, 40, 3)
    ]
    assert np.mean(agreeing) > 0.9
