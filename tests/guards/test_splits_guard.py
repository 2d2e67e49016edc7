from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifeloop.core.content import fraction
from lifeloop.core.data_brief import Data, Splits
from lifeloop.guards.duplicates import drop_duplicates
from lifeloop.guards.guard import EXAMINED, examined, numbered, placed
from lifeloop.guards.splits.assigning import PLACEMENTS, Placed, nowhere_placed
from lifeloop.guards.splits.assigning import assign_splits as assign
from lifeloop.guards.splits.rules import hashed
from lifeloop.store.tables import RAW_SCHEMA

SHARES = ("train", "validation", "test", "guard")


def table(rows):
    """Rows are (input, group, split), (input, group, split, source), or a mapping of raw columns."""
    full = []
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            text, group, split, *source = row
            row = {"input": text, "group": group, "split": split, "source": source[0] if source else f"f:{number}"}
        full.append({**dict.fromkeys(RAW_SCHEMA, ""), "slices": "{}", "source": f"f:{number}", **row})
    return examined(placed(numbered(pl.DataFrame(full, schema=RAW_SCHEMA)), 0)).select(list(EXAMINED))


def placing(rows, data, before: Placed | None = None, labels_of=lambda reference: [reference]) -> Placed:
    return assign(table(rows), data, before.placements if before else nowhere_placed(), labels_of)


def assign_splits(rows, data):
    return assign(rows, data, nowhere_placed(), lambda reference: [reference]).checked


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
    assert checked.table["group"].to_list() == [checked.table["key"][0]] * 2 + ["ann"]
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


# by time


BY_TIME = Data(source="f", splits=Splits(by="time", column="at"))


def test_by_time_the_oldest_groups_train_and_the_newest_judge():
    rows = [{"input": f"text {n}", "time": f"2026-01-{1 + n // 10:02}T{n % 10:02}:00:00+00:00"} for n in range(200)]
    found = placing(rows, BY_TIME).checked.table["split"].to_list()

    assert found[:120] == ["train"] * 120
    assert found[120:150] == ["validation"] * 30
    assert set(found[150:]) == {"test", "guard"}
    assert 2 <= found.count("guard") <= 20


def test_a_group_is_as_new_as_its_newest_row():
    rows = [{"input": f"text {n}", "time": str(n)} for n in range(100)]
    rows += [{"input": f"word {time}", "group": "ann", "time": time} for time in ("0", "999")]
    assert set(placing(rows, BY_TIME).checked.table["split"].to_list()[-2:]) <= {"test", "guard"}


def test_a_time_that_cannot_be_read_is_quarantined():
    rows = [{"input": f"text {n}", "time": "2026-02-01" if n else "yesterday"} for n in range(20)]
    found = placing(rows, BY_TIME).checked
    assert {row: fate.detail for row, fate in found.fates.items()} == {0: "it is 'yesterday'"}


def test_what_is_newer_leaves_what_was_placed_where_it_is():
    rows = [{"input": f"text {n}", "time": str(n)} for n in range(100)]
    first = placing(rows, BY_TIME)
    second = placing([*rows, *({"input": f"newer {n}", "time": str(1000 + n)} for n in range(100))], BY_TIME, first)
    assert second.checked.table["split"].to_list()[:100] == first.checked.table["split"].to_list()
    assert second.checked.table["split"].to_list()[100:160] == ["train"] * 60


# stratified


BY_LABEL = Data(source="f", splits=Splits(by="stratified"))


def test_stratified_gives_each_label_its_shares():
    rows = [{"input": f"text {n}", "reference": "rare" if n < 20 else "common"} for n in range(420)]
    found = placing(rows, BY_LABEL).checked.table["split"].to_list()
    assert [found[:20].count(name) for name in SHARES] == [12, 3, 4, 1]
    assert [found[20:].count(name) for name in SHARES] == [240, 60, 80, 20]


def test_stratified_makes_up_for_what_earlier_versions_lack():
    rows = [{"input": f"text {n}", "reference": "a"} for n in range(10)]
    first = placing(rows, BY_LABEL)
    more = [{"input": f"more {n}", "reference": "a"} for n in range(90)]
    second = placing([*rows, *more], BY_LABEL, first).checked.table["split"].to_list()
    assert second[:10] == first.checked.table["split"].to_list()
    assert [second.count(name) for name in SHARES] == [60, 15, 20, 5]


def test_several_labels_a_row_fall_into_the_shares_each():
    kinds = ["person", "place", "person,place", "date", "person,date", ""]
    rows = [{"input": f"text {n}", "reference": kinds[n % 6]} for n in range(600)]
    placed = placing(rows, BY_LABEL, labels_of=lambda reference: [kind for kind in reference.split(",") if kind])
    splits = placed.checked.table.select("reference", "split")
    for kind in ("person", "place", "date"):
        having = splits.filter(pl.col("reference").str.contains(kind))["split"].to_list()
        for name, share in zip(SHARES, (0.6, 0.15, 0.2, 0.05), strict=True):
            assert having.count(name) / len(having) == pytest.approx(share, abs=0.02)


def test_a_column_of_slices_can_be_what_is_stratified():
    rows = [{"input": f"text {n}", "slices": f'{{"channel":"{"mail" if n % 2 else "phone"}"}}'} for n in range(200)]
    data = Data(source="f", slices=("channel",), splits=Splits(by="stratified", column="channel"))
    table = placing(rows, data).checked.table
    for channel in ("mail", "phone"):
        found = table.filter(pl.col("slices").str.contains(channel))["split"].to_list()
        assert [found.count(name) for name in SHARES] == [60, 15, 20, 5]


# what earlier versions placed


def test_a_group_keeps_its_split_whatever_is_declared_later():
    first = placing([("a", "ann", "train"), ("b", "bob", "test"), ("c", "eve", "guard")], DECLARED)
    later = placing([("d", "ann", "test"), ("e", "bob", "train"), ("f", "eve", "train")], DECLARED, first).checked
    assert list(splits_of(later).values()) == ["train", "test", "guard"]
    assert set(later.notes) == {0, 1, 2} - {2}  # eve's may have been taken from train for want of a guard
    assert "it keeps that" in later.findings[0].reason


def test_a_text_that_comes_again_under_another_group_never_crosses_over():
    first = placing([("hello", "ann", "train"), ("bye", "bob", "guard"), ("so", "", "train")], DECLARED)
    rows = [("hello", "cid", "guard"), ("bye", "dan", "train"), ("so", "eve", "test"), ("new", "fay", "train")]
    later = placing(rows, DECLARED, first).checked
    assert {row: fate.reason for row, fate in later.fates.items()} == dict.fromkeys(
        (0, 1, 2), "a text that an earlier version had in another split"
    )


def test_a_text_without_a_group_goes_where_a_group_with_it_goes():
    placed = placing([("same", "", "train"), ("same", "ann", "guard")], DECLARED)
    assert list(splits_of(placed.checked).values()) == ["guard", "guard"]


def test_synthetic_rows_only_ever_train():
    rows = [{"input": f"made {n}", "source": f"synthetic:smollm:{n}", "split": "test"} for n in range(200)]
    real = [{"input": "made 3", "source": "f:1", "split": "test"}]
    for data in (Data(source="f"), DECLARED, BY_LABEL):
        placed = placing([*rows, *real], data)
        assert placed.checked.table["split"].to_list()[:200] == ["train"] * 200
        again = placing([{**row, "source": "f:9"} for row in rows[10:20]], data, placed).checked
        assert set(again.table["split"]) <= {"train"}  # what trained once does not judge later


RULES = [Data(source="f"), DECLARED, BY_TIME, BY_LABEL]

rows_of_a_version = st.lists(
    st.fixed_dictionaries(
        {
            "input": st.sampled_from([f"text {n}" for n in range(12)]),
            "group": st.sampled_from(["", "", "ann", "bob", "eve"]),
            "split": st.sampled_from(["train", "val", "test", "guard"]),
            "reference": st.sampled_from(["a", "b"]),
            "time": st.sampled_from(["1", "2", "3"]),
            "source": st.sampled_from(["f:1", "feedback:1", "synthetic:m:1"]),
        }
    ),
    max_size=20,
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(rows_of_a_version, min_size=1, max_size=5),
    st.sampled_from([Data(source="f"), DECLARED, BY_TIME, BY_LABEL]),
)
def test_over_all_versions_no_group_and_no_text_is_in_two_splits(versions, data):
    groups: dict[str, str] = {}
    texts: dict[str, str] = {}
    before = None
    for rows in versions:
        before = placing(rows, data, before)
        table = drop_duplicates(before.checked.table).table
        for group, key, split in table.select("group", "key", "split").iter_rows():
            if not group.startswith("synthetic:"):
                assert groups.setdefault(group, split) == split
            assert texts.setdefault(key, split) == split
        assert table.filter(pl.col("source").str.starts_with("synthetic") & (pl.col("split") != "train")).is_empty()
        assert before.placements["name"].is_unique().all()
        assert before.placements.schema == PLACEMENTS


def test_one_number_among_dates_does_not_make_the_dates_unreadable():
    rows = [{"input": f"text {n}", "time": "2024" if n == 0 else f"2026-01-{n:02}"} for n in range(1, 29)]
    found = placing([{"input": "odd", "time": "2024"}, *rows], BY_TIME).checked
    assert set(found.fates) == {0}


def test_by_time_what_users_taught_goes_by_its_place():
    rows = [{"input": f"text {n}", "time": str(n)} for n in range(50)]
    taught = [{"input": f"taught {n}", "source": f"feedback:{n}"} for n in range(50)]
    found = placing([*rows, *taught], BY_TIME).checked
    assert not found.fates
    assert set(found.table["split"][50:]) >= {"train", "test"}


def test_what_a_model_wrote_is_not_among_what_the_shares_are_made_up_from():
    made = [{"input": f"made {n}", "reference": "a", "source": f"synthetic:m:{n}"} for n in range(300)]
    rows = [{"input": f"text {n}", "reference": "a"} for n in range(100)]
    found = placing([*made, *rows], BY_LABEL).checked.table["split"].to_list()[300:]
    assert [found.count(name) for name in SHARES] == [60, 15, 20, 5]


def test_several_labels_a_row_make_up_for_what_earlier_versions_lack():
    def labels_of(reference):
        return reference.split(",")

    before = None
    rows: list[dict[str, str]] = []
    for number in range(40):
        rows.append({"input": f"text {number}", "reference": "person,place"})
        before = placing(rows, BY_LABEL, before, labels_of)
    counts = Counter(before.checked.table["split"])
    assert [counts[name] for name in SHARES] == pytest.approx([24, 6, 8, 2], abs=2)
