import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression
from sklearn.metrics import cohen_kappa_score

from lifeloop.metrics.judge_value import Corrections, combined, moments
from lifeloop.stats import prediction_powered

LENGTH, PEOPLE, BOTH = (Corrections(*flags, binary=False) for flags in ((True, False), (False, True), (True, True)))


def means(scores, lengths=None, humans=None, answered=None) -> np.ndarray:
    n = len(scores)
    none = np.full(n, np.nan)
    columns = moments(
        np.asarray(scores, dtype=float),
        np.ones(n, dtype=bool) if answered is None else answered,
        np.zeros(n) if lengths is None else lengths,
        none if humans is None else humans,
    )
    return columns[~np.isnan(columns).any(axis=1)].mean(axis=0)


def world(seed: int, n: int = 400, labelled: int = 120, bias: float = 0.15, noise: float = 0.1):
    """Return what people think of n answers, what a judge that flatters thinks, and who was asked about which."""
    random = np.random.default_rng(seed)
    truth = random.beta(2, 2, n)
    judged = np.clip(truth + bias + noise * random.standard_normal(n), 0, 1)
    humans = np.full(n, np.nan)
    chosen = random.choice(n, labelled, replace=False)
    humans[chosen] = truth[chosen]
    return truth, judged, humans


@pytest.mark.parametrize("seed", range(5))
def test_with_ratings_the_value_is_that_of_prediction_powered_inference(seed):
    _, judged, humans = world(seed)
    known = ~np.isnan(humans)
    expected, _, _ = prediction_powered.mean(judged, judged[known], humans[known], 0.95)
    # It divides by n - 1 where means over examples divide by n: that is all there is between them.
    assert float(combined(means(judged, humans=humans), PEOPLE)) == pytest.approx(expected, abs=2e-3)


def test_ratings_take_out_what_a_judge_flatters_by_and_use_what_it_knows():
    errors, by_people = [], []
    for seed in range(60):
        truth, judged, humans = world(seed, labelled=40)
        errors.append(float(combined(means(judged, humans=humans), PEOPLE)) - truth.mean())
        by_people.append(np.nanmean(humans) - truth.mean())
        assert abs(judged.mean() - truth.mean()) > 0.08
    assert abs(np.mean(errors)) < 0.01
    assert np.std(errors) < 0.75 * np.std(by_people)


def test_a_judge_that_knows_nothing_leaves_the_value_to_people():
    random = np.random.default_rng(0)
    _, _, humans = world(0, labelled=100)
    assert float(combined(means(random.random(400), humans=humans), PEOPLE)) == pytest.approx(
        np.nanmean(humans), abs=0.01
    )


def test_where_everything_was_rated_the_judge_is_not_needed():
    truth, judged, _ = world(1)
    assert float(combined(means(judged, humans=truth), PEOPLE)) == pytest.approx(truth.mean())
    assert float(combined(means(judged, humans=truth), BOTH)) == pytest.approx(truth.mean())


def test_without_ratings_here_the_judge_is_all_there_is():
    _, judged, _ = world(2)
    assert float(combined(means(judged), PEOPLE)) == pytest.approx(judged.mean())


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000))
def test_length_control_is_the_intercept_of_a_regression_on_length(seed):
    random = np.random.default_rng(seed)
    lengths = random.normal(0.5, 0.4, 200)
    scores = np.clip(0.4 + 0.2 * lengths + 0.05 * random.standard_normal(200), 0, 1)
    fitted = LinearRegression().fit(lengths.reshape(-1, 1), scores)
    assert float(combined(means(scores, lengths), LENGTH)) == pytest.approx(float(fitted.intercept_))


def test_answers_of_one_length_are_left_as_they_are():
    assert float(combined(means([0.2, 0.8], np.array([0.3, 0.3])), LENGTH)) == pytest.approx(0.5)


def test_failed_answers_are_worth_nothing_whatever_corrects_the_rest():
    _, judged, humans = world(3)
    answered = np.arange(400) >= 100
    there = combined(means(judged[answered], humans=humans[answered]), PEOPLE)
    scores, people = np.where(answered, judged, 0.0), np.where(answered, humans, np.nan)
    found = combined(means(scores, humans=people, answered=answered), PEOPLE)
    assert float(found) == pytest.approx(0.75 * float(there))


def test_an_answer_without_a_verdict_is_left_out():
    assert float(combined(means([0.5, np.nan, 1.0], np.zeros(3)), LENGTH)) == pytest.approx(0.75)


@pytest.mark.parametrize("corrections", [LENGTH, PEOPLE, BOTH])
def test_values_of_any_resample_are_finite_and_shares(corrections):
    random = np.random.default_rng(4)
    _, judged, humans = world(4, n=12, labelled=5)
    columns = moments(judged, random.random(12) > 0.2, random.normal(0, 1, 12), humans)
    weights = random.multinomial(12, np.full(12, 1 / 12), size=500) / 12
    values = combined(np.vstack([weights @ columns, np.zeros((1, columns.shape[1]))]), corrections)
    assert values.shape == (501,)
    assert np.isfinite(values).all()
    assert ((values >= 0) & (values <= 1)).all()


def test_the_remark_gives_correlation_difference_and_kappa():
    random = np.random.default_rng(5)
    human = random.integers(0, 2, 50).astype(float)
    judged = np.clip(0.25 + 0.5 * human + 0.25 * random.standard_normal(50), 0, 1)
    said = Corrections(False, True, binary=True).remark("polite", means(judged, humans=human), 50, 0)
    kappa = cohen_kappa_score(human, judged >= 0.5)
    assert said.startswith("polite: on 50 answers that people rated")
    assert f"by {np.abs(judged - human).mean():.2f} on average" in said
    assert f"correlation {np.corrcoef(judged, human)[0, 1]:.2f}" in said
    assert f"kappa {kappa:.2f}" in said


def test_the_remark_says_what_is_missing_and_nothing_where_nothing_is():
    _, judged, _ = world(6)
    assert PEOPLE.remark("own", means(judged), 0, 0) == "own: no answer here was rated by people."
    assert "3 answers are left out" in LENGTH.remark("own", means(judged), 0, 3)
    assert LENGTH.remark("own", means(judged), 0, 0) == ""
