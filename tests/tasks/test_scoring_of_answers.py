import numpy as np
import pytest

from lifeloop.core.candidates import Answer
from lifeloop.core.data import Example
from lifeloop.stats.proportions import clopper_pearson
from lifeloop.tasks import classify, extract, generate
from lifeloop.tasks.scoring import is_binary, measure, measure_all, read
from lifeloop.tasks.task import Scope

SCOPE = Scope(labels=("a", "b"))


def scored(pairs: list[tuple[str, str]]):
    examples = [Example(str(n), "", reference, "") for n, (reference, _) in enumerate(pairs)]
    return read(classify.TASK, examples, [Answer(output=said, confidence=0.75) for _, said in pairs], SCOPE)


def test_a_share_gets_the_exact_interval():
    found = measure(classify.TASK.metrics["accuracy"], scored([("a", "a")] * 9 + [("b", "a")]), SCOPE, 0.95)
    assert (found.value, found.n) == (0.9, 10)
    assert (found.low, found.high) == clopper_pearson(9, 10, 0.95)


def test_any_other_metric_gets_a_bootstrap_interval_that_repeats():
    items = scored([("a", "a"), ("b", "b"), ("b", "a"), ("a", "b")] * 20)
    one, other = (measure(classify.TASK.metrics["macro_f1"], items, SCOPE, 0.95) for _ in range(2))
    assert one == other
    assert one.low < one.value < one.high


def test_answers_out_of_step_with_the_examples_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        read(classify.TASK, [Example("1", "", "a", "")], [], SCOPE)


def test_of_no_example_there_is_no_metric():
    assert measure_all(classify.TASK, [], SCOPE, 0.95) == ()


@pytest.mark.parametrize("task", [classify.TASK, extract.TASK, generate.TASK])
def test_a_metric_of_many_is_the_metric_of_their_mean_columns(task):
    """What lets one bootstrap serve every metric: the columns of a part and the rest add up to those of the whole."""
    reference = {"classify": "a", "extract": '[{"type":"a","start":0,"end":2}]', "generate": "a word"}[task.name]
    outputs = [reference, "b", "[]", "", reference, "a"]
    examples = [Example(str(n), "", reference, "") for n in range(len(outputs))]
    items = read(task, examples, [Answer(output=said, confidence=0.5) for said in outputs], SCOPE)
    for metric in task.metrics.values():
        columns = metric.columns(items, SCOPE)
        columns = columns[~np.isnan(columns).any(axis=1)]
        if not len(columns):
            continue
        stacked = np.stack([columns.mean(axis=0), columns[:3].mean(axis=0)])
        values = metric.combine(stacked)
        assert values.shape == (2,)
        assert values[0] == pytest.approx(measure(metric, items, SCOPE, 0.95).value)
        assert ((values >= 0) & (values <= 1 + 1e-9)).all()


def test_only_right_or_wrong_is_binary():
    assert is_binary(np.array([[0.0], [1.0]]))
    assert not is_binary(np.array([[0.5], [1.0]]))
    assert not is_binary(np.array([[0.0, 1.0]]))
