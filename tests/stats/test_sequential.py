import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from lifeloop.stats.sequential import (
    PRIOR,
    Prior,
    first_shown_below,
    log_sign_evidence,
    mean_e_value,
    mean_interval,
    normal_interval,
    settled_interval,
    sign_e_value,
)

counts = st.integers(0, 300)


def at_most(happened, runs, rate):
    """Whether so many out of so many runs fit a rate of at most that, with three standard errors of allowance."""
    return happened <= runs * rate + 3 * math.sqrt(runs * rate * (1 - rate))


def ternary(chance, shape, difference, discordance):
    """Return paired differences of right (1) and wrong (0), -1, 0 or 1."""
    drawn = chance.random(shape)
    return (drawn < (discordance + difference) / 2).astype(float) - (drawn > 1 - (discordance - difference) / 2)


# the sign test


@given(counts, counts)
def test_with_a_fair_coin_the_evidence_is_a_fair_game(wins, losses):
    now, after = sign_e_value(wins, losses), [sign_e_value(wins + 1, losses), sign_e_value(wins, losses + 1)]
    assert sum(after) / 2 == pytest.approx(now, rel=1e-6)


@given(counts, counts)
def test_a_win_is_evidence_and_a_loss_is_evidence_against(wins, losses):
    assert sign_e_value(wins + 1, losses) > sign_e_value(wins, losses) > sign_e_value(wins, losses + 1)


def test_the_evidence_is_the_integral_that_it_claims_to_be():
    prior = Prior((0.6,), (0.3,))
    spread, _ = quad(lambda share: 2 * (2 * share) ** 14 * (2 - 2 * share) ** 6, 0.5, 1.0)
    expected = 0.3 * 1.2**14 * 0.8**6 + 0.7 * spread
    assert sign_e_value(14, 6, prior=prior) == pytest.approx(expected, rel=1e-9)
    assert sum(PRIOR.weights) <= 1.0


def test_before_the_first_pair_there_is_no_evidence_and_of_many_it_stays_finite_in_logarithms():
    assert sign_e_value(0, 0) == pytest.approx(1.0)
    assert sign_e_value(0, 100_000) == 0.0
    assert sign_e_value(100_000, 0) == math.inf
    assert np.isfinite(log_sign_evidence([0, 100_000], [100_000, 0])).all()
    with pytest.raises(ValueError, match="cannot be negative"):
        sign_e_value(3, -1)


def test_looking_every_20_items_at_no_difference_shows_one_no_more_often_than_allowed():
    chance, runs = np.random.default_rng(1), 10_000
    seen = chance.multinomial(20, [0.05, 0.05, 0.9], size=(runs, 150))[..., :2].cumsum(axis=1)
    count = np.arange(seen.max() + 1)
    most = log_sign_evidence(count[:, None], count)[seen[..., 0], seen[..., 1]].max(axis=1)
    for alpha in (0.05, 0.1, 0.2):
        assert at_most((most >= -math.log(alpha)).sum(), runs, alpha)


# bets on a mean


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), min_size=2, max_size=5), st.integers(1, 4))
def test_drawing_without_replacement_is_a_fair_game_too(values, seen):
    n, bound = len(values), float(np.mean(values))
    seen = min(seen, n - 1)  # the last value is known from the others
    orders = itertools.permutations(values)
    evidence = [mean_e_value(order[:seen], bound, population=n) for order in orders]
    if min(values) > -1.0:
        assert np.mean(evidence) == pytest.approx(1.0, rel=1e-4)
    else:  # nothing can be staked where no value may lie below the bound
        assert np.mean(evidence) <= 1.0 + 1e-4


@settings(deadline=None)
@given(st.lists(st.floats(-1, 1, width=16), max_size=30), st.floats(-1, 1), st.floats(-1, 1), st.booleans())
def test_a_higher_bound_is_never_easier_to_show(values, one, other, finite):
    population = len(values) + 5 if finite else 0
    lower, higher = sorted([one, other])
    easy, hard = (mean_e_value(values, bound, population=population) for bound in (lower, higher))
    assert hard <= easy * (1 + 1e-6)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1, width=16), min_size=1, max_size=30), st.floats(0.1, 0.9), st.floats(-5, 5))
def test_scale_is_no_matter(values, bound, shift):
    scaled = [10 * value + shift for value in values]
    expected = mean_e_value(values, bound, low=0.0)
    found = mean_e_value(scaled, 10 * bound + shift, low=shift, high=10 + shift)
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("population", [0, 600])
def test_at_any_value_of_600_the_mean_is_falsely_shown_no_more_often_than_allowed(population):
    chance, runs, alpha, wrong = np.random.default_rng(2), 800, 0.1, 0
    everything = ternary(chance, 600, -0.02, 0.15)
    for _ in range(runs):
        values = chance.permutation(everything) if population else chance.choice(everything, 600)
        wrong += first_shown_below(values, everything.mean(), 1 - alpha, population=population) > 0
    assert at_most(wrong, runs, alpha)


def test_a_mean_below_the_bound_is_shown_soon():
    chance = np.random.default_rng(3)
    needed = [first_shown_below(ternary(chance, 3000, -0.06, 0.12), -0.01, 0.95) for _ in range(200)]
    assert min(needed) > 0
    assert np.median(needed) < 400


def test_it_is_shown_exactly_when_the_interval_says_so():
    chance = np.random.default_rng(4)
    for population in (0, 500):
        values = ternary(chance, 450, -0.08, 0.2)
        first = first_shown_below(values, 0.0, 0.95, population=population)
        assert first > 1
        assert mean_interval(values[:first], 0.9, population=population)[1] <= 1e-6
        assert mean_interval(values[: first - 1], 0.9, population=population)[1] > 0.0


# intervals of a mean


@pytest.mark.parametrize("population", [0, 400])
def test_the_interval_holds_the_mean_at_all_looks_together(population):
    # A running intersection misses at some look if it misses at the last.
    chance, runs, missed = np.random.default_rng(5), 250, 0
    everything = ternary(chance, 400, 0.05, 0.3) * chance.random(400)
    for _ in range(runs):
        values = chance.permutation(everything)[:390] if population else chance.choice(everything, 390)
        low, high = mean_interval(values, 0.9, population=population)
        missed += not low <= everything.mean() <= high
    assert at_most(missed, runs, 0.1)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1, 1, width=16), min_size=1, max_size=40))
def test_once_all_are_seen_their_mean_is_known(values):
    low, high = mean_interval(values, 0.95, population=len(values))
    assert (low, high) == pytest.approx((np.mean(values), np.mean(values)), abs=1e-5)


def test_more_values_and_a_smaller_population_only_tighten():
    values = ternary(np.random.default_rng(6), 800, 0.02, 0.1)
    widths = [np.ptp(mean_interval(values[:n], 0.95)) for n in (0, 50, 200, 800)]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] == 2.0
    assert np.ptp(mean_interval(values, 0.95, population=1000)) < 0.8 * widths[-1]
    # Ten times as many values as the discordance asks for: within a factor of two of one look's interval.
    assert widths[-1] < 2 * 2 * 1.96 * values.std() / math.sqrt(800)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"outside \[-1, 1\]"):
        mean_interval([0.0, 1.5], 0.95)
    with pytest.raises(ValueError, match="outside"):
        mean_e_value([0.0, math.nan], 0.0)
    with pytest.raises(ValueError, match="3 values from a population of 2"):
        first_shown_below([0, 0, 0], 0.0, 0.95, population=2)
    assert mean_e_value([], 0.0) == 1.0
    assert first_shown_below([], 0.0, 0.95) == 0


# means without bounds


def test_the_normal_interval_holds_at_all_looks_and_is_tightest_where_it_was_tuned():
    chance, runs = np.random.default_rng(7), 1000
    values = chance.exponential(1.0, (runs, 1500)) - 1.0
    n = np.arange(1, 1501)
    means = values.cumsum(axis=1) / n
    variances = (values**2).cumsum(axis=1) / n - means**2
    missed = np.zeros(runs, dtype=bool)
    for look in range(40, 1500, 20):
        reach = normal_interval(look, 0.0, 1.0, 0.9, tuned_at=300)[1]
        missed |= np.abs(means[:, look - 1]) > reach * np.sqrt(variances[:, look - 1])
    assert at_most(missed.sum(), runs, 0.1)
    reaches = {tuned: normal_interval(300, 0.0, 1.0, 0.9, tuned_at=tuned)[1] for tuned in (50, 300, 1800)}
    assert min(reaches, key=reaches.get) == 300


def test_the_normal_interval_is_around_the_mean_and_of_one_value_says_nothing():
    low, high = normal_interval(100, 0.3, 0.04, 0.95)
    assert (low + high) / 2 == pytest.approx(0.3)
    assert high - low > 2 * 1.96 * 0.2 / 10
    assert normal_interval(1, 0.3, 0.0, 0.95) == (-math.inf, math.inf)


def ever_excluded(interval, runs=60, looks=16, grown=25):
    """Return how often an interval of a mean that is 0 leaves it out at some look at a set that grows in the middle."""
    chance, wrong = np.random.default_rng(7), 0
    for _ in range(runs):
        values = chance.choice([-1.0, 1.0], looks * grown)
        turns = chance.random(len(values))  # as a hash of an example's id: it never changes, what is before it does
        intervals = (interval(values[:n][np.argsort(turns[:n])], 0.8) for n in range(grown, len(values) + 1, grown))
        wrong += any(low > 0 or high < 0 for low, high in intervals)
    return wrong / runs


def test_a_settled_interval_holds_at_every_look_at_a_set_that_grows_in_the_middle():
    assert ever_excluded(settled_interval) <= 0.2
    assert ever_excluded(mean_interval) > 0.2, "each look is another order, and each order another chance to err"


@given(st.lists(st.floats(-1, 1), max_size=40), st.randoms())
@settings(max_examples=30, deadline=None)
def test_a_settled_interval_does_not_depend_on_the_order(values, chance):
    low, high = settled_interval(values, 0.95)
    assert settled_interval(chance.sample(values, len(values)), 0.95) == pytest.approx((low, high), abs=1e-6)
    assert low <= (np.mean(values) if values else 0.0) <= high
    running = mean_interval(values, 0.95)
    assert low <= running[0] + 1e-6 and running[1] - 1e-6 <= high
