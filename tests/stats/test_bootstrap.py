import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from lifeloop.stats.bootstrap import interval, paired_interval


def mean(means):
    return means[..., 0]


def ratio(means):
    return means[..., 0] / np.maximum(means[..., 1], 1e-12)


def ones(columns):
    return np.ones(len(columns))


def by_item(columns, combine, confidence, seed, **more):
    return interval(columns, ones(columns), combine, confidence, seed, **more)


def paired_by_item(a, b, combine, confidence, seed, **more):
    return paired_interval(a, ones(a), b, ones(b), combine, confidence, seed, **more)


tables = st.integers(1, 40).flatmap(
    lambda n: st.tuples(*(arrays(np.float64, (n, 2), elements=st.floats(0, 1, width=32)) for _ in range(2)))
)


@settings(max_examples=50, deadline=None)
@given(tables, st.integers(0, 5))
def test_swapping_the_sides_turns_the_interval_round(pair, seed):
    a, b = pair
    low, high = paired_by_item(a, b, mean, 0.95, seed, resamples=200)
    assert paired_by_item(b, a, mean, 0.95, seed, resamples=200) == pytest.approx((-high, -low), abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(tables, st.integers(0, 5))
def test_the_same_seed_gives_the_same_interval_inside_what_was_seen(pair, seed):
    columns, _ = pair
    low, high = by_item(columns, mean, 0.9, seed, resamples=200)
    assert (low, high) == by_item(columns, mean, 0.9, seed, resamples=200)
    assert columns[:, 0].min() - 1e-9 <= low <= high <= columns[:, 0].max() + 1e-9


@settings(max_examples=50, deadline=None)
@given(tables, st.integers(1, 4), st.integers(0, 5))
def test_blocks_of_several_items_are_resampled_as_one_item_of_their_sum(pair, size, seed):
    columns = np.column_stack([pair[0][:, 0], np.ones(len(pair[0]))])
    as_items = by_item(columns * size, ratio, 0.95, seed, resamples=200)  # an item of that many numbers each
    as_blocks = interval(columns * size, ones(columns) * size, mean, 0.95, seed, resamples=200)
    assert as_blocks == pytest.approx(as_items, abs=1e-9)


def test_sparse_columns_and_full_ones_take_the_same_way():
    chance = np.random.default_rng(0)
    sparse = (chance.random((300, 40)) < 0.02).astype(float)
    full = sparse + 1.0
    low, high = by_item(sparse, lambda means: means.sum(-1), 0.95, 0)
    assert by_item(full, lambda means: means.sum(-1) - 40, 0.95, 0) == pytest.approx((low, high), abs=1e-9)


def test_a_side_against_itself_differs_by_nothing():
    a = np.random.default_rng(0).random((50, 2))
    assert paired_by_item(a, a, ratio, 0.95, 0) == (0.0, 0.0)


def test_pairs_stay_pairs():
    chance = np.random.default_rng(0)
    hard = chance.normal(0, 10, (300, 1))  # how hard an item is moves both sides alike
    a, b = hard + 1 + chance.normal(0, 0.1, (300, 1)), hard + chance.normal(0, 0.1, (300, 1))
    low, high = paired_by_item(a, b, mean, 0.95, 0)
    assert 0.95 < low < 1.0 < high < 1.05


def test_the_order_of_items_is_no_matter_beyond_chance():
    columns = np.random.default_rng(0).random((400, 1))
    one, other = by_item(columns, mean, 0.95, 0), by_item(columns[::-1], mean, 0.95, 0)
    assert one == pytest.approx(other, abs=0.01)


def test_resamples_drawn_in_several_portions_are_all_there():
    columns = np.random.default_rng(0).random((25_000, 1))
    low, high = by_item(columns, mean, 0.95, 0, resamples=850)
    expected = 1.96 * columns.std() / np.sqrt(25_000)
    assert high - low == pytest.approx(2 * expected, rel=0.1)


def test_blocks_without_items_do_not_count():
    columns = np.random.default_rng(0).random((60, 1))
    padded = np.vstack([columns, np.zeros((40, 1))])
    counts = np.concatenate([np.ones(60), np.zeros(40)])
    assert interval(padded, counts, mean, 0.95, 0) == by_item(columns, mean, 0.95, 0)


def test_no_items_give_no_interval_and_unequal_ones_an_error():
    empty = np.zeros((0, 2))
    assert np.isnan(by_item(empty, mean, 0.95, 0)).all()
    assert np.isnan(paired_by_item(empty, empty, mean, 0.95, 0)).all()
    with pytest.raises(ValueError, match="not the same blocks: 3 and 4"):
        paired_by_item(np.zeros((3, 2)), np.zeros((4, 2)), mean, 0.95, 0)


@pytest.mark.parametrize("n", [12, 60])
def test_it_agrees_with_scipys_bca(n):
    scores = np.random.default_rng(n).lognormal(0, 1, n)
    theirs = stats.bootstrap(
        (scores,), np.mean, n_resamples=20_000, method="BCa", confidence_level=0.9, rng=np.random.default_rng(1)
    ).confidence_interval
    ours = by_item(scores[:, None], mean, 0.9, 0, resamples=20_000)
    width = theirs.high - theirs.low
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.04 * width)


def percentile(columns, confidence, seed, resamples):
    drawn = np.random.default_rng(seed).integers(0, len(columns), (resamples, len(columns)))
    return np.quantile(columns[drawn, 0].mean(axis=1), [(1 - confidence) / 2, (1 + confidence) / 2])


def test_of_skewed_scores_bca_covers_better_than_percentiles_and_errs_on_both_sides_alike():
    chance = np.random.default_rng(3)
    runs, n = 1000, 50
    missed = {name: np.zeros(2) for name in ("bca", "percentile")}  # the mean is below the interval, above it
    for run in range(runs):
        scores = chance.exponential(1.0, (n, 1))
        for name, (low, high) in (
            ("bca", by_item(scores, mean, 0.9, run, resamples=600)),
            ("percentile", percentile(scores, 0.9, run, 600)),
        ):
            missed[name] += [low > 1.0, high < 1.0]
    assert missed["bca"][1] < 0.85 * missed["percentile"][1]
    assert abs(np.diff(missed["bca"])[0]) < abs(np.diff(missed["percentile"])[0])
    assert missed["bca"].sum() / runs < 0.14  # of the 0.1 that is promised of many items


def test_copies_in_a_cluster_are_covered_by_blocks_and_not_by_items():
    chance = np.random.default_rng(5)
    runs, n_clusters, copies = 300, 40, 5
    covered = {"blocks": 0, "items": 0}
    for run in range(runs):
        scores = chance.random(n_clusters)[:, None]
        low, high = interval(scores * copies, np.full(n_clusters, copies), mean, 0.95, run, resamples=400)
        covered["blocks"] += low <= 0.5 <= high
        low, high = by_item(np.repeat(scores, copies, axis=0), mean, 0.95, run, resamples=400)
        covered["items"] += low <= 0.5 <= high
    assert 0.91 <= covered["blocks"] / runs <= 0.98
    assert covered["items"] / runs < 0.75


def test_the_interval_of_a_ratios_difference_covers_as_often_as_it_says():
    chance = np.random.default_rng(7)
    covered, runs, n = 0, 300, 150
    for run in range(runs):
        weight = chance.integers(1, 6, n).astype(float)  # a text has one to five entities
        hits = [chance.binomial(weight.astype(int), share).astype(float) for share in (0.8, 0.7)]
        a, b = (np.column_stack([hit, weight]) for hit in hits)
        low, high = paired_by_item(a, b, ratio, 0.95, run, resamples=400)
        covered += low <= 0.1 <= high
    assert 0.91 <= covered / runs <= 0.98
