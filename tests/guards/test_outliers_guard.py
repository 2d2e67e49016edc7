import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_rows import clean_rows, scene

from lifeloop.core.data_brief import Outliers
from lifeloop.guards.outliers import check_outliers


def table(texts):
    return scene([(text, "x") for text in texts])[0]


NORMAL = [text for text, _ in clean_rows(200)]


@pytest.mark.parametrize(
    ("strange", "reason"),
    [
        (" ".join(NORMAL[:30]), "a text far longer than the others"),
        ("x", "a text far shorter than the others"),
        ("b" * 60, "a text of far fewer words than the others"),
        ("incomprehensibly " * 5, "a text of far longer words"),
    ],
)
def test_a_text_that_stands_apart_is_reported_and_stays(strange, reason):
    rows = table([*NORMAL, strange])

    checked = check_outliers(rows, Outliers())

    assert checked.table.equals(rows)
    (finding,) = checked.findings
    assert (finding.step, finding.fate, finding.reason) == ("outliers", "kept", reason)
    assert finding.examples == ("f:200",)


def test_quarantine_takes_it_out_and_says_how_far_off_it_is():
    checked = check_outliers(table([*NORMAL, "x"]), Outliers(action="quarantine"))

    assert checked.table.height == 200
    fate = checked.fates[200]
    assert fate.fate == "quarantined"
    assert fate.detail.startswith("1 characters, where the median is ")


def test_texts_that_are_all_as_long_as_each_other_may_vary_a_little():
    rows = table([*(f"{n:06d}" for n in range(100)), "1234567", "12345"])
    assert not check_outliers(rows, Outliers()).findings


def test_the_farthest_off_are_the_examples():
    texts = [*NORMAL, *(" ".join(NORMAL[:n]) for n in range(20, 30))]
    (finding,) = check_outliers(table(texts), Outliers()).findings
    assert finding.examples == ("f:209", "f:208", "f:207", "f:206", "f:205")


def test_among_few_rows_nothing_stands_apart():
    assert not check_outliers(table(["x", "y", NORMAL[0] * 100]), Outliers()).findings
    assert not check_outliers(table([]), Outliers()).findings


@given(st.lists(st.integers(40, 80), min_size=20, max_size=100))
def test_lengths_within_a_factor_of_two_never_stand_apart(lengths):
    assert not check_outliers(table(["word " * (n // 5) for n in lengths]), Outliers()).findings
