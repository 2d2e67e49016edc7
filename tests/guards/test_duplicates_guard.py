import polars as pl

from lifeloop.guards.duplicates import drop_duplicates
from lifeloop.guards.guard import EXAMINED, examined, numbered, placed
from lifeloop.store.tables import RAW_SCHEMA


def table(rows):
    full = [
        {
            **dict.fromkeys(RAW_SCHEMA, ""),
            "input": text,
            "reference": reference,
            "split": split,
            "source": f"f:{number}",
        }
        for number, (text, reference, split, *_) in enumerate(rows)
    ]
    moved = pl.Series("moved", [len(row) > 3 for row in rows], dtype=pl.Boolean)
    return examined(placed(numbered(pl.DataFrame(full, schema=RAW_SCHEMA)), 0)).select(*EXAMINED, moved)


def test_of_equal_texts_the_first_stays():
    checked = drop_duplicates(table([("Hello", "a", "train"), ("Hello", "a", "train"), ("hello!", "a", "train")]))

    assert checked.table["row"].to_list() == [0]
    assert checked.fates[1].reason == "a repeat of another row"
    assert checked.fates[2].reason.endswith("but for case, space and punctuation")
    assert checked.fates[2].detail == "of f:0"


def test_of_equal_texts_in_several_splits_the_most_protected_stays():
    rows = [("x", "a", "train"), ("x", "a", "test"), ("x", "b", "validation"), ("y", "a", "train")]
    checked = drop_duplicates(table(rows))

    assert checked.table["row"].to_list() == [1, 3]
    assert {fate.reason for fate in checked.fates.values()} == {"a text that is in a more protected split"}
    assert checked.fates[0].detail == "f:1, in test"


def test_different_references_of_one_text_stay_in_one_split():
    checked = drop_duplicates(table([("x", "a", "train"), ("x", "b", "train"), ("x", "b", "train")]))
    assert checked.table["reference"].to_list() == ["a", "b"]


def test_a_row_that_was_declared_there_stays_rather_than_one_that_was_moved():
    checked = drop_duplicates(
        table([("what's up", "a", "test", "moved"), ("whats up", "b", "train"), ("What s up", "a", "test")])
    )
    assert checked.table["row"].to_list() == [1, 2]


def test_a_table_without_repeats_passes_whole():
    rows = table([("x", "a", "train"), ("y", "a", "test")])
    checked = drop_duplicates(rows)
    assert checked.table.equals(rows)
    assert not checked.findings


def test_rows_of_which_none_was_moved_need_not_say_so():
    rows = table([("x", "a", "train"), ("x", "a", "train"), ("x", "a", "test")]).drop("moved")
    assert drop_duplicates(rows).table["row"].to_list() == [2]


def test_an_empty_table_passes():
    assert drop_duplicates(table([])).table.is_empty()


def test_pairs_that_differ_in_the_rejected_answer_are_no_repeats():
    full = [
        {**dict.fromkeys(RAW_SCHEMA, ""), "slices": "{}", "input": "why", "reference": "so", "rejected": rejected,
         "source": f"f:{number}"}
        for number, rejected in enumerate(["no", "never", "no"])
    ]  # fmt: skip
    rows = examined(placed(numbered(pl.DataFrame(full, schema=RAW_SCHEMA)), 0)).with_columns(split=pl.lit("train"))
    assert set(drop_duplicates(rows.select(*EXAMINED)).fates) == {2}
