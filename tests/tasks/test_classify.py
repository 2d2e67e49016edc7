import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from lifeloop.core.candidates import Answer
from lifeloop.core.data import Example
from lifeloop.tasks.classify import TASK
from lifeloop.tasks.scoring import measure
from lifeloop.tasks.task import Scope, Scored

LABELS = ("billing", "delivery", "other", "tracking")
SCOPE = Scope(labels=LABELS, out_of_scope="other")

predictions = st.sampled_from([*LABELS, None])
pairs = st.lists(st.tuples(st.sampled_from(LABELS), predictions), min_size=1, max_size=30)


def scored(reference: str, prediction: str | None, confidence: float | None = None) -> Scored:
    answer = Answer(output=prediction or "", confidence=confidence)
    return Scored(Example("1", "text", reference, "1"), prediction, answer)


def value(metric: str, items: list[Scored], scope: Scope = SCOPE) -> float | None:
    found = measure(TASK.metrics[metric], items, scope, 0.95)
    return found.value if found else None


@given(pairs)
def test_accuracy_and_macro_f1_are_those_of_scikit_learn(given_):
    items = [scored(*pair) for pair in given_]
    truth, said = [r for r, _ in given_], [p or "" for _, p in given_]
    assert value("accuracy", items) == pytest.approx(accuracy_score(truth, said))
    expected = f1_score(truth, said, labels=sorted(set(truth)), average="macro", zero_division=0)
    assert value("macro_f1", items) == pytest.approx(expected)


@given(pairs)
def test_in_scope_and_out_of_scope_split_accuracy_between_them(given_):
    items = [scored(*pair) for pair in given_]
    inside, outside = value("in_scope_accuracy", items), value("out_of_scope_recall", items)
    n_outside = sum(reference == "other" for reference, _ in given_)
    whole = (inside or 0.0) * (len(items) - n_outside) + (outside or 0.0) * n_outside
    assert whole / len(items) == pytest.approx(value("accuracy", items))
    assert (outside is None) == (n_outside == 0)
    assert (inside is None) == (n_outside == len(items))


def test_a_use_case_without_an_out_of_scope_label_has_no_metric_of_scope():
    items = [scored("billing", "billing"), scored("tracking", None)]
    for name, metric in TASK.metrics.items():
        assert not metric.needs_out_of_scope or value(name, items, Scope(labels=LABELS)) is None
    assert value("accuracy", items, Scope(labels=LABELS)) == 0.5


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=40))
def test_calibration_error_is_the_gap_between_confidence_and_accuracy_bin_by_bin(answers):
    items = [scored("billing", "billing" if right else "other", sure) for right, sure in answers]
    bins = {}
    for right, sure in answers:
        bins.setdefault(min(int(sure * 10), 9), []).append((right, sure))
    gaps = [
        len(members) * abs(np.mean([r for r, _ in members]) - np.mean([s for _, s in members]))
        for members in bins.values()
    ]
    assert value("calibration_error", items) == pytest.approx(sum(gaps) / len(answers), abs=1e-9)


def test_calibration_is_measured_where_there_is_confidence_alone():
    sure = [scored("billing", "billing", 1.0), scored("billing", "other", 1.0)]
    assert value("calibration_error", [*sure, scored("billing", "billing")]) == 0.5
    assert value("calibration_error", [scored("billing", "billing")]) is None


def test_what_breaks_the_contract_is_wrong_and_not_valid():
    items = [scored("billing", "billing"), scored("billing", None), scored("other", None)]
    assert value("valid", items) == pytest.approx(1 / 3)
    assert value("accuracy", items) == pytest.approx(1 / 3)
    assert value("out_of_scope_recall", items) == 0.0


# what an output may look like


@pytest.mark.parametrize("said", ["card_lost", "Card_Lost", " card_lost.\n", '"card_lost"', "**CARD_LOST**"])
def test_a_label_is_read_whatever_its_case_and_punctuation(said):
    assert TASK.parse(said, ("card_lost", "card_found")) == "card_lost"


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=6, unique=True))
def test_every_label_reads_as_itself(labels):
    assert [TASK.parse(label, labels) for label in labels] == labels


@pytest.mark.parametrize("said", ["", " ", "?!", "card", "card_lost or card_found", "a" * 100_000, "\0", "🎉"])
def test_nonsense_is_refused(said):
    with pytest.raises(ValueError, match="is not one of the 2 labels"):
        TASK.parse(said, ("card_lost", "card_found"))


def test_labels_that_punctuation_alone_tells_apart_are_not_mixed_up():
    labels = ("C", "C#", "C++")
    assert TASK.parse("c++", labels) == "C++"
    assert TASK.parse(" C#\n", labels) == "C#"
    assert TASK.parse("c", labels) == "C"
    with pytest.raises(ValueError, match="is not one of"):
        TASK.parse("c?", labels)


def test_the_contract_lists_the_labels():
    contract = TASK.contract(LABELS)
    assert contract.choices == LABELS
    assert all(label in contract.instructions for label in LABELS)


@pytest.mark.parametrize(("reference", "flawed"), [("billing", False), (" ", True), ("", True), ("x" * 201, True)])
def test_a_reference_has_to_be_a_label(reference, flawed):
    assert bool(TASK.flaw(reference)) == flawed


def test_labels_are_sorted_and_distinct():
    assert TASK.labels(["b", "a", "b"]) == ("a", "b")
