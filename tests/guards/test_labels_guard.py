import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeloop.guards.guard import examined, numbered, placed
from lifeloop.guards.labels import check_conflicts, check_typos, label_key, merge_variants, slips
from lifeloop.store.tables import RAW_SCHEMA


def table(labels, texts=None):
    rows = [
        {
            **dict.fromkeys(RAW_SCHEMA, ""),
            "input": texts[number] if texts else f"text {number}",
            "reference": label,
            "source": f"f:{number}",
        }
        for number, label in enumerate(labels)
    ]
    return examined(placed(numbered(pl.DataFrame(rows, schema=RAW_SCHEMA)), 0))


def test_spellings_of_one_label_are_merged_into_the_commonest_and_reported():
    checked = merge_variants(table(["Sport", "sport", "sport", " SPORT. ", "tech"]))

    assert checked.table["reference"].to_list() == ["sport", "sport", "sport", "sport", "tech"]
    assert set(checked.notes) == {0, 3}
    assert sorted(each.reason for each in checked.findings) == [
        "the label ' SPORT. ' written as 'sport'",
        "the label 'Sport' written as 'sport'",
    ]


def test_the_out_of_scope_label_is_spelled_as_the_brief_spells_it():
    checked = merge_variants(table(["oos", "oos", "OOS"]), out_of_scope="OOS")
    assert set(checked.table["reference"]) == {"OOS"}


def test_an_out_of_scope_label_that_no_row_has_is_reported():
    (finding,) = merge_variants(table(["oos", "a"]), out_of_scope="out_of_scope").findings
    assert "no row has" in finding.reason
    assert merge_variants(table(["oos", "a"]), out_of_scope="oos").findings == ()


@pytest.mark.parametrize(
    "labels",
    [("-1", "1", "+1"), ("C", "C++", "C#"), ("1.2", "1-2", "12"), (".NET", "net"), ("+", "-"), ("yes", "no")],
)
def test_signs_that_carry_meaning_keep_labels_apart(labels):
    assert len({label_key(label) for label in labels}) == len(labels)


@pytest.mark.parametrize(
    ("one", "other"),
    [("check_balance", "Check-Balance"), ("what is it", "what_is_it"), ("Straße", "STRASSE"), ("'a'", "A:")],
)
def test_case_space_and_joining_marks_do_not_keep_labels_apart(one, other):
    assert label_key(one) == label_key(other)


@pytest.mark.parametrize("typo", ["sprot", "sporrt", "spor", "Xport"])
def test_a_rare_label_near_a_frequent_one_is_quarantined_with_a_suggestion(typo):
    checked = check_typos(table(["sport"] * 40 + ["tech"] * 40 + [typo, typo]))

    assert sorted(checked.fates) == [80, 81]
    assert "did it mean 'sport'?" in checked.fates[80].detail


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (["calendar"] * 100 + ["calendar_update"] * 100, "both are frequent"),
        (["sport"] * 100 + ["sprot"] * 4, "four rows are no slip"),
        (["sport"] * 39 + ["sprot"] * 2, "not rare enough"),
        (["yes"] * 100 + ["yet"], "too short to tell"),
        (["level 1"] * 100 + ["level 2"], "digits are not slips"),
        (["sport"] * 100 + ["report"], "too far"),
    ],
)
def test_a_label_that_may_well_be_meant_is_left_alone(labels, why):
    assert not check_typos(table(labels)).fates, why


def test_the_out_of_scope_label_is_never_a_typing_error():
    assert not check_typos(table(["order"] * 100 + ["other"]), out_of_scope="other").fates


def test_all_rows_of_a_text_with_different_labels_are_quarantined():
    checked = check_conflicts(table(["a", "b", "a", "a"], ["Hello!", "hello", "bye", "bye"]))

    assert sorted(checked.fates) == [0, 1]
    assert checked.fates[0].detail == "a, b"
    assert checked.table["input"].to_list() == ["bye", "bye"]


words = st.text("abc", max_size=7)


@given(words, words)
def test_slips_count_as_a_distance_does(one, other):
    most = 3
    found = slips(one, other, most)
    assert found == slips(other, one, most)
    assert (found == 0) == (one == other)
    assert found <= most + 1


@given(words, st.data())
def test_one_change_is_one_slip(word, data):
    place = data.draw(st.integers(0, len(word)))
    assert slips(word, word[:place] + "x" + word[place:], 2) == 1
    if len(word) > place + 1 and word[place] != word[place + 1]:
        swapped = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
        assert slips(word, swapped, 2) == 1
