import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score
from task_values import in_chunks, value_of

from lifeloop.core.candidates import Answer
from lifeloop.core.data import Example
from lifeloop.core.errors import DataError
from lifeloop.tasks.classify import TASK, THRESHOLDS
from lifeloop.tasks.task import Scope, Scored

LABELS = ("billing", "delivery", "other", "tracking")
SCOPE = Scope(labels=LABELS, out_of_scope="other")

predictions = st.sampled_from([*LABELS, None])
pairs = st.lists(st.tuples(st.sampled_from(LABELS), predictions), min_size=1, max_size=30)


def scored(
    reference: str, prediction: str | None, confidence: float | None = None, slices: dict[str, str] | None = None
) -> Scored:
    answer = Answer(output=prediction or "", confidence=confidence)
    return Scored(Example("1", "text", reference, "1", slices or {}), prediction, answer)


def value(metric: str, items: list[Scored], scope: Scope = SCOPE) -> float | None:
    return value_of(TASK.metrics[metric], items, scope)


@given(pairs)
def test_accuracy_and_f1_are_those_of_scikit_learn(given_):
    items = [scored(*pair) for pair in given_]
    truth, said = [r for r, _ in given_], [p or "" for _, p in given_]
    assert value("accuracy", items) == pytest.approx(accuracy_score(truth, said))
    expected = f1_score(truth, said, labels=sorted(set(truth)), average="macro", zero_division=0)
    assert value("macro_f1", items) == pytest.approx(expected)
    expected = f1_score(truth, said, labels=sorted(set(truth)), average="weighted", zero_division=0)
    assert value("weighted_f1", items) == pytest.approx(expected)


@given(pairs, st.integers(1, 7))
def test_columns_are_the_same_whatever_chunk_an_example_is_in(given_, size):
    channel = {"channel": "mail"}
    items = [scored(*pair, confidence=0.9, slices=channel if n % 3 else {}) for n, pair in enumerate(given_)]
    scope = Scope(labels=LABELS, out_of_scope="other", slices=("channel=mail",))
    for metric in TASK.metrics.values():
        assert np.array_equal(in_chunks(metric, items, scope, size), metric.columns(items, scope), equal_nan=True)


def test_a_reference_outside_the_scope_is_refused_and_not_lost():
    with pytest.raises(DataError, match="'refund' is not among the 4 labels"):
        value("macro_f1", [scored("refund", "billing")])


def test_a_label_that_the_scope_has_and_no_reference_holds_counts_for_nothing():
    items = [scored("billing", "billing"), scored("delivery", "tracking")]
    assert value("macro_f1", items) == pytest.approx(0.5)  # billing 1, delivery 0


# the worst slice, and what withholding would do

SLICED = Scope(labels=LABELS, slices=("channel=mail", "channel=phone", "site=Bonn"))


def test_the_worst_slice_is_the_one_with_the_lowest_accuracy():
    items = [
        scored("billing", "billing", slices={"channel": "mail", "site": "Bonn"}),
        scored("billing", "billing", slices={"channel": "mail"}),
        scored("billing", "other", slices={"channel": "mail", "site": "Bonn"}),
        scored("billing", "billing", slices={"channel": "phone"}),
        scored("billing", "other", slices={"channel": "fax"}),  # too rare to be a slice of the scope
    ]
    assert value("worst_slice", items, SLICED) == 0.5  # Bonn: one of two
    assert value("worst_slice", items[:2], SLICED) == 1.0
    assert value("worst_slice", items) is None
    assert value("worst_slice", items[-1:], SLICED) is None


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["mail", "phone"]), st.booleans()), min_size=1, max_size=30))
def test_the_worst_slice_is_the_least_of_their_accuracies(rows):
    items = [
        scored("other", "other" if right else None, slices={"channel": channel} | ({"site": "Bonn"} if bonn else {}))
        for right, channel, bonn in rows
    ]
    by_slice = {name: [right for right, channel, _ in rows if channel == name] for name in ("mail", "phone")}
    by_slice["Bonn"] = [right for right, _, bonn in rows if bonn]
    assert value("worst_slice", items, SLICED) == pytest.approx(min(np.mean(r) for r in by_slice.values() if r))


def test_the_abstention_area_is_that_under_risk_over_coverage():
    """All four answered: risk 1/4. Withheld below 0.7: three, all right. The trapeze between: (1/4 + 0) / 2 * 1/4."""
    items = [scored("billing", "billing", sure) for sure in (0.75, 0.96, 1.0)] + [scored("billing", "other", 0.62)]
    assert value("abstention_area", items) == pytest.approx(1 / 32)


def test_the_abstention_area_of_confidence_that_says_nothing_is_the_share_of_wrong_answers():
    for sure in (1.0, 0.28):
        wrong = [scored("billing", "other", sure)] * 3
        assert value("abstention_area", [*wrong, scored("billing", "billing", sure)]) == pytest.approx(0.75)
    assert value("abstention_area", [scored("billing", "billing")]) is None


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=40))
def test_the_abstention_area_approaches_the_risks_averaged_over_coverage(answers):
    items = [scored("billing", "billing" if right else "other", sure) for right, sure in answers]
    points = []
    for threshold in THRESHOLDS:
        kept = [right for right, sure in answers if sure >= threshold]
        points.append((len(kept) / len(answers), 1 - np.mean(kept) if kept else points[-1][1]))
    points.append((0.0, points[-1][1]))
    coverage, risk = np.array(points[::-1]).T
    assert value("abstention_area", items) == pytest.approx(np.trapezoid(risk, coverage), abs=1e-9)


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
