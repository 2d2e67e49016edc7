import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_scene import declared, scored, value_of

from lifeloop.core.errors import BriefError

LABELS = ("complaint", "order", "praise")
BRIEF = {
    "kind": "costs",
    "wrong": 2.0,
    "failed": 5.0,
    "costs": [{"reference": "complaint", "answer": "*", "cost": 12}, {"reference": "*", "answer": "praise", "cost": 3}],
}


def cost(tmp_path, reference: str, answer: str | None, section: dict | None = None) -> float:
    metric = declared(section or BRIEF, tmp_path, "classify", labels=LABELS)
    return value_of(metric, scored("classify", [("", reference, answer)], LABELS))


@pytest.mark.parametrize(
    ("reference", "answer", "expected"),
    [
        ("complaint", "order", 12.0),  # a wrongly routed complaint
        ("complaint", "praise", 12.0),  # the reference goes before the answer
        ("order", "praise", 3.0),
        ("order", "complaint", 2.0),
        ("complaint", "complaint", 0.0),
        ("praise", "praise", 0.0),
        ("complaint", None, 5.0),
    ],
)
def test_what_an_answer_costs(tmp_path, reference, answer, expected):
    assert cost(tmp_path, reference, answer) == expected


def test_a_named_pair_goes_before_all_and_may_be_a_gain(tmp_path):
    pair = {"reference": "complaint", "answer": "complaint", "cost": -1.5}
    section = BRIEF | {"costs": [*BRIEF["costs"], pair, {"reference": "complaint", "answer": "praise", "cost": 40}]}
    assert cost(tmp_path, "complaint", "complaint", section) == -1.5
    assert cost(tmp_path, "complaint", "praise", section) == 40


def test_without_a_price_of_its_own_a_failure_costs_what_a_wrong_answer_does(tmp_path):
    section = {key: value for key, value in BRIEF.items() if key != "failed"}
    assert cost(tmp_path, "complaint", None, section) == 12
    assert cost(tmp_path, "order", None, section) == 2


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from([*LABELS, None])), min_size=1, max_size=20))
def test_the_mean_cost_is_that_of_the_matrix_and_stays_in_its_bounds(tmp_path_factory, pairs):
    metric = declared(BRIEF, tmp_path_factory.getbasetemp(), "classify", labels=LABELS)
    matrix = {("order", "complaint"): 2, ("praise", "complaint"): 2, ("praise", "order"): 2, ("order", "praise"): 3}
    expected = [
        5 if answer is None else 0 if answer == reference else matrix.get((reference, answer), 12)
        for reference, answer in pairs
    ]
    items = scored("classify", [("", reference, answer) for reference, answer in pairs], LABELS)
    assert value_of(metric, items) == pytest.approx(np.mean(expected))
    assert metric.bounds == (0.0, 12.0)
    assert metric.direction == "min"


WRONG = {
    "a label that the data has not": (
        {"costs": [{"reference": "complant", "cost": 1}]},
        "costs[0].reference",
        "did you mean 'complaint'?",
    ),
    "an answer that the data has not": (
        {"costs": [{"answer": "order", "cost": 1}, {"answer": "refund", "cost": 1}]},
        "costs[1].answer",
        "use one of: complaint, order, praise",
    ),
    "the same pair twice": ({"costs": [{"answer": "order", "cost": 1}] * 2}, "costs[1]", "keep one"),
    "no number": ({"wrong": float("nan")}, "wrong", "write a number"),
    "an endless cost": ({"costs": [{"cost": float("inf")}]}, "costs[0].cost", "write a number"),
    "a key that there is not": ({"wrnog": 1.0}, "wrnog", "did you mean `wrong`?"),
    "a word for a number": ({"wrong": "much"}, "wrong", "write a value of that kind"),
}


@pytest.mark.parametrize(("keys", "where", "fix"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named_with_its_key(tmp_path, keys, where, fix):
    with pytest.raises(BriefError) as caught:
        declared({"kind": "costs"} | keys, tmp_path, "classify", labels=LABELS)
    assert caught.value.where == f"lifeloop.toml: metrics.own.{where}"
    assert fix in caught.value.fix


def test_labels_are_not_checked_before_they_are_known(tmp_path):
    section = {"kind": "costs", "costs": [{"reference": "complant", "cost": 1}]}
    assert declared(section, tmp_path, "classify", labels=()).direction == "min"


def test_a_price_for_everything_holds_for_a_failure_too(tmp_path):
    everything = {"kind": "costs", "costs": [{"cost": 5}]}
    assert cost(tmp_path, "order", None, everything) == cost(tmp_path, "order", "praise", everything) == 5
