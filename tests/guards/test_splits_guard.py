from collections import Counter

import polars as pl
import pytest

from lifeloop.core.brief import Data, Splits
from lifeloop.core.content import fraction
from lifeloop.guards.guard import keyed, numbered
from lifeloop.guards.splits import assign_splits, hashed
from lifeloop.store.tables import RAW_SCHEMA


def table(rows):
    """Rows are (input, group, split) or (input, group, split, source)."""
    full = [
        {
            **dict.fromkeys(RAW_SCHEMA, ""),
            "input": text,
            "group": group,
            "split": split,
            "source": source[0] if source else f"f:{number}",
        }
        for number, (text, group, split, *source) in enumerate(rows)
    ]
    return keyed(numbered(pl.DataFrame(full, schema=RAW_SCHEMA)))


def splits_of(checked):
    return dict(checked.table.select("row", "split").iter_rows())


def test_the_hash_fills_splits_in_their_shares():
    counts = Counter(hashed(f"group {number}", Splits(), 7) for number in range(20_000))
    for name, share in (("train", 0.6), ("validation", 0.15), ("test", 0.2), ("guard", 0.05)):
        assert counts[name] / 20_000 == pytest.approx(share, abs=0.015)


def test_the_hash_takes_the_shares_in_the_order_of_the_splits():
    shares = Splits(train=0.5, validation=0.25, test=0.25, guard=0.0)
    for number in range(200):
        place = fraction(str(number), 3)
        assert hashed(str(number), shares, 3) == ("train" if place < 0.5 else "validation" if place < 0.75 else "test")


def test_without_a_group_the_normalised_input_is_the_group():
    checked = assign_splits(table([("Hello!", "", ""), ("hello", "", ""), ("bye", "ann", "")]), Data(source="f"))
    assert checked.table["group"].to_list() == ["hello", "hello", "ann"]
    assert splits_of(checked)[0] == splits_of(checked)[1]


DECLARED = Data(source="f", split="fold", splits=Splits(train=0.8, validation=0.1, test=0.1, guard=0.0))


def test_declared_splits_are_followed_under_their_usual_names():
    rows = [("a", "", "Training"), ("b", "", " dev "), ("c", "", "eval"), ("d", "", "guard")]
    assert list(splits_of(assign_splits(table(rows), DECLARED)).values()) == ["train", "validation", "test", "guard"]


def test_an_unknown_split_is_quarantined():
    checked = assign_splits(table([("a", "", "train"), ("b", "", "holdout"), ("c", "", "")]), DECLARED)
    assert sorted(checked.fates) == [1, 2]
    assert checked.fates[1].detail == "it is 'holdout'"


def test_a_group_in_several_declared_splits_goes_to_the_most_protected_one():
    rows = [("a", "ann", "train"), ("b", "ann", "test"), ("c", "ann", "val"), ("d", "bob", "train"), ("e", "", "val")]
    checked = assign_splits(table(rows), DECLARED)

    assert list(splits_of(checked).values()) == ["test", "test", "test", "train", "validation"]
    assert set(checked.notes) == {0, 2}
    assert [(each.fate, each.n_rows, each.examples) for each in checked.findings] == [("kept", 2, ("f:0", "f:2"))]


def test_splits_that_nobody_declared_are_carved_out_of_training_by_group():
    rows = [(f"text {number}", f"group {number // 2}", "train") for number in range(4000)]
    data = Data(source="f", split="fold")
    found = assign_splits(table([*rows, ("t", "", "test")]), data)
    counts = Counter(found.table["split"])

    assert counts["guard"] / 4000 == pytest.approx(0.05, abs=0.02)
    assert counts["validation"] / 4000 == pytest.approx(0.15, abs=0.03)
    assert counts["test"] == 1
    assert {each.reason: each.n_rows for each in found.findings} == {
        "no row is declared guard: taken from train": counts["guard"],
        "no row is declared validation: taken from train": counts["validation"],
    }
    assert found.table.group_by("group").agg(pl.col("split").n_unique())["split"].max() == 1


def test_a_split_that_is_declared_is_not_added_to():
    rows = [(f"text {number}", "", "train") for number in range(500)]
    found = assign_splits(table([*rows, ("t", "", "test"), ("v", "", "val"), ("g", "", "guard")]), DECLARED)
    assert Counter(found.table["split"]) == {"train": 500, "test": 1, "validation": 1, "guard": 1}


def test_learned_rows_follow_their_text_and_never_move_what_is_declared():
    learned = [(f"new {number}", "", "", f"feedback:{number}") for number in range(300)]
    rows = [("a", "", "train"), ("b", "", "test"), ("A!", "", "", "feedback:x"), ("b", "", "", "feedback:y"), *learned]
    data = Data(source="f", split="fold", splits=Splits(train=0.6, validation=0.0, test=0.4, guard=0.0))
    checked = assign_splits(table(rows), data)
    found = list(splits_of(checked).values())

    assert found[:4] == ["train", "test", "train", "test"]
    assert found[4:] == [hashed(text, data.splits, data.seed) for text, *_ in learned]
    assert not checked.fates
    assert not checked.findings
