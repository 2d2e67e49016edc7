import random

from hypothesis import given, settings
from hypothesis import strategies as st
from training_rows import scene

from lifeloop.core.data_brief import Balance
from lifeloop.guards.balance import check_balance
from lifeloop.tasks.classify import TASK as CLASSIFY
from lifeloop.tasks.extract import TASK as EXTRACT
from lifeloop.tasks.generate import TASK as GENERATE


def table(labels, splits="train", slices=None):
    return scene([(f"text {n}", label) for n, label in enumerate(labels)], splits, slices=slices)[0]


def reasons(checked):
    return [each.reason for each in checked.findings]


def test_labels_with_few_training_rows_are_named_with_their_counts():
    rows = table(["a"] * 30 + ["b"] * 3 + ["c"] * 30 + ["d"])

    checked = check_balance(rows, Balance(), CLASSIFY)

    assert checked.table.equals(rows)
    assert not checked.fates
    (finding,) = checked.findings
    assert finding.reason == "2 labels with fewer than 10 training rows: d (1), b (3)"
    assert (finding.step, finding.fate, finding.n_rows) == ("balance", "kept", 4)
    assert finding.examples == ("f:30", "f:31", "f:32", "f:63")


def test_labels_far_rarer_than_the_commonest_are_named():
    checked = check_balance(table(["a"] * 300 + ["b"] * 12 + ["c"] * 20), Balance(), CLASSIFY)
    assert reasons(checked) == ["1 label more than 20 times rarer in train than 'a' (300): b (12)"]


def test_labels_that_no_test_row_has_are_named():
    labels = ["a"] * 30 + ["b"] * 30 + ["a"] * 20
    checked = check_balance(table(labels, ["train"] * 60 + ["test"] * 20), Balance(), CLASSIFY)
    assert reasons(checked) == ["1 label without a test row (training rows): b (30)"]


def test_only_five_are_named():
    checked = check_balance(table([*(f"l{n}" for n in range(8)), *"x" * 20]), Balance(), CLASSIFY)
    assert reasons(checked)[0].endswith("l0 (1), l1 (1), l2 (1), l3 (1), l4 (1) and 3 more")


def test_entity_types_are_the_labels_of_an_extraction():
    one = '[{"type": "city", "text": "Rome", "start": 0, "end": 4}]'
    both = '[{"type": "city", "text": "Rome", "start": 0, "end": 4}, {"type": "name", "text": "Ann"}]'
    checked = check_balance(table([one] * 20 + [both] * 4 + ["[]"] * 100), Balance(), EXTRACT)
    assert reasons(checked) == ["1 label with fewer than 10 training rows: name (4)"]


def test_slices_with_few_test_rows_are_named_even_where_they_have_none():
    slices = [{"lang": "de" if n % 2 else "en"} for n in range(60)] + [{"lang": "de"}] * 20 + [{"lang": "en"}] * 3
    rows = table(["a"] * 83, ["train"] * 60 + ["test"] * 23, slices)
    assert reasons(check_balance(rows, Balance(), GENERATE)) == ["1 slice with fewer than 10 test rows: lang=en (3)"]


def test_a_slice_that_is_labelled_otherwise_is_reported_with_the_strength():
    chance = random.Random(0)
    slices = [{"site": chance.choice(["one", "two", "odd"])} for _ in range(600)]
    labels = [chance.choice("aaab" if each["site"] == "odd" else "abbb") for each in slices]
    checked = check_balance(table(labels, "train", slices), Balance(min_rows=1), CLASSIFY)

    said = next(each for each in checked.findings if "labelled otherwise" in each.reason)

    assert "site=odd (V = 0." in said.reason
    assert said.reason.count("site=") == 1 or said.reason.index("site=odd") < said.reason.index("site=", 60)


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(2, 40), st.integers(2, 6))
def test_labels_that_have_nothing_to_do_with_the_slice_are_not_reported(chance, n_labels, n_slices):
    slices = [{"site": str(chance.randrange(n_slices))} for _ in range(400)]
    labels = [str(chance.randrange(n_labels)) for _ in range(400)]
    checked = check_balance(table(labels, "train", slices), Balance(min_rows=1), CLASSIFY)
    assert not any("labelled otherwise" in reason for reason in reasons(checked))


def test_nothing_is_said_of_no_rows():
    assert not check_balance(table([]), Balance(), CLASSIFY).findings
