import numpy as np
import pytest
from verdict_scene import a_trial

from lifeloop.core.candidates import Answer
from lifeloop.core.data import Example
from lifeloop.core.errors import GateError
from lifeloop.stages.compare import compare
from lifeloop.stats.proportions import mcnemar_exact, tango_interval
from lifeloop.tasks.classify import TASK
from lifeloop.tasks.task import Scope

SCOPE = Scope(labels=("a", "b"), out_of_scope="b")
TRUTH = ["a"] * 60 + ["b"] * 40
EXAMPLES = [Example(str(n), "text", label, "") for n, label in enumerate(TRUTH)]


def answers(wrong: set[int], confidence: float | None = 0.9) -> list[Answer]:
    other = {"a": "b", "b": "a"}
    return [Answer(other[label] if n in wrong else label, confidence) for n, label in enumerate(TRUTH)]


def side(name: str, wrong: set[int], scope: Scope = SCOPE, **answer):
    return a_trial(name, n_items=100), answers(wrong, **answer), scope


OURS, THEIRS = side("new", {0, 1, 70}), side("old", {1, 2, 3, 4, 5, 80, 81})


def test_right_or_wrong_gets_the_exact_test_and_the_score_interval():
    found = compare(TASK, "accuracy", EXAMPLES, OURS, THEIRS, 0.95)
    assert (found.challenger, found.champion) == (0.97, 0.93)
    assert found.difference == pytest.approx(0.04)
    assert (found.low, found.high) == tango_interval(6, 2, 100, 0.95)
    assert found.p_value == mcnemar_exact(6, 2)
    assert "6 against 2 discordant" in found.method
    assert (found.n, found.split, found.suite) == (100, "test", "clean")


def test_any_other_metric_gets_the_paired_bootstrap():
    found = compare(TASK, "macro_f1", EXAMPLES, OURS, THEIRS, 0.95)
    assert found.p_value is None
    assert "paired bootstrap" in found.method
    assert found.low < found.difference < found.high
    assert compare(TASK, "macro_f1", EXAMPLES, OURS, THEIRS, 0.95) == found


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "calibration_error"])
def test_swapping_the_sides_turns_the_difference_round(metric):
    one = compare(TASK, metric, EXAMPLES, OURS, THEIRS, 0.95)
    other = compare(TASK, metric, EXAMPLES, THEIRS, OURS, 0.95)
    assert (other.difference, other.low, other.high) == pytest.approx((-one.difference, -one.high, -one.low), abs=1e-6)


def test_a_metric_counts_the_examples_that_it_applies_to():
    found = compare(TASK, "out_of_scope_recall", EXAMPLES, OURS, THEIRS, 0.95)
    assert found.n == 40
    assert (found.challenger, found.champion) == (39 / 40, 38 / 40)


def test_a_metric_that_one_side_lacks_is_not_compared():
    assert compare(TASK, "calibration_error", EXAMPLES, OURS, side("old", set(), confidence=None), 0.95) is None


def test_examples_that_only_one_side_tells_of_are_left_out():
    trial, said, scope = OURS
    mixed = [answer if n % 2 else Answer(answer.output) for n, answer in enumerate(said)]
    found = compare(TASK, "calibration_error", EXAMPLES, (trial, mixed, scope), THEIRS, 0.95)
    assert found.n == 50  # of these, one of ours is wrong and four of theirs are: 1, and 1, 3, 5, 81
    assert found.challenger == pytest.approx(abs(49 / 50 - 0.9))
    assert found.champion == pytest.approx(abs(46 / 50 - 0.9))


def test_a_champion_made_when_there_were_fewer_labels_is_compared_all_the_same():
    fewer = side("old", {1, 2, 3}, scope=Scope(labels=("a",)))
    found = compare(TASK, "macro_f1", EXAMPLES, side("new", set(), scope=Scope(labels=("a", "b", "c"))), fewer, 0.95)
    assert found.challenger == 1.0
    assert found.difference > 0


def test_what_is_measured_is_compared_as_it_is():
    ours, theirs = (a_trial(name, p95_ms=ms, n_items=100) for name, ms in (("new", 12.0), ("old", 20.0)))
    found = compare(TASK, "p95_ms", EXAMPLES, (ours, [], SCOPE), (theirs, [], SCOPE), 0.95)
    assert (found.difference, found.low, found.high, found.p_value) == (-8.0, -8.0, -8.0, None)


@pytest.mark.parametrize("change", [{"dataset": "e"}, {"split": "guard"}, {"suite": "typos"}, {"n_items": 99}])
def test_trials_of_other_examples_are_not_compared(change):
    other = (a_trial("old", **({"n_items": 100} | change)), *THEIRS[1:])
    with pytest.raises(GateError, match="new and old are not of the same examples"):
        compare(TASK, "accuracy", EXAMPLES, OURS, other, 0.95)


def test_a_trial_against_itself_differs_by_nothing():
    for metric in TASK.metrics:
        found = compare(TASK, metric, EXAMPLES, OURS, OURS, 0.95)
        assert found.difference == 0.0
        assert found.low <= 0.0 <= found.high
        assert np.isfinite([found.low, found.high]).all()
