import csv
import json
import time
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example as with_example
from hypothesis import given, settings
from hypothesis import strategies as st
from refining_scene import ALIKE, Refined, a_vault, before_of, collected, refine

from lifeloop.core.brief import Data
from lifeloop.core.content import normalise
from lifeloop.core.data import SPLITS
from lifeloop.core.data_brief import Splits
from lifeloop.core.errors import DataError
from lifeloop.guards.mending import mend
from lifeloop.guards.splits.assigning import PROTECTION
from lifeloop.guards.splits.rules import hashed
from lifeloop.store.tables import RAW_SCHEMA, table_to_examples, to_parquet

SHARED = Path(__file__).resolve().parents[2].parent / "shared/data"
NOTHING = pl.DataFrame(schema=RAW_SCHEMA)
DATA = Data(source="rows.csv", refine=ALIKE)


def raw_table(rows: list[dict[str, str]]) -> pl.DataFrame:
    empty = {**dict.fromkeys(RAW_SCHEMA, ""), "slices": "{}"}
    full = [{**empty, "id": f"f:{number}", "source": f"f:{number}", **row} for number, row in enumerate(rows)]
    return pl.DataFrame(full, schema=RAW_SCHEMA)


BASE = [
    {"input": f"base text {number}", "reference": "ab"[number % 2], "id": f"b:{number}", "source": f"b:{number}"}
    for number in range(120)
]
"""Rows enough that every split has some of each label."""


def split_of(refined: Refined) -> dict[str, str]:
    return {source: name for name, table in refined.splits.items() for source in table["source"]}


def as_compared(text: str) -> str:
    """Return a raw text as it is compared with others, once it is mended."""
    return normalise(mend(text).text)


def reasons(refined: Refined) -> Counter[str]:
    return Counter(fate.reason for fate in refined.fates if fate.fate != "kept")


# what it gives


def test_good_rows_become_examples_in_four_splits_with_their_labels():
    rows = [{**row, "slices": '{"channel":"mail"}', "group": f"author {n}"} for n, row in enumerate(BASE)]
    refined = refine(raw_table(rows), DATA, "classify")

    assert tuple(refined.splits) == SPLITS
    assert sum(table.height for table in refined.splits.values()) == len(rows)
    assert refined.labels == ("a", "b")
    assert refined.findings == ()
    example = table_to_examples(refined.splits["train"])[0]
    assert example.slices == {"channel": "mail"}
    assert example.group.startswith("author")


def test_every_flaw_on_the_way_has_its_reason():
    bad = [
        {"input": "x", "flaw": "not valid JSON: at byte 3"},
        {"input": " ", "reference": "a"},
        {"input": "y" * 50_000, "reference": "a"},
        {"input": "right-to-left \u202eoverride", "reference": "a"},
        {"input": "no label", "reference": "  "},
        {"input": "Base text 0!", "reference": "a"},
        {"input": "odd", "reference": "a"},
        {"input": "ODD", "reference": "b"},
        {"input": "base text 5", "reference": "b", "id": "b:5"},
    ]
    refined = refine(raw_table([*BASE, *bad]), DATA, "classify")

    assert [fate.source for fate in refined.fates] == [row["source"] for row in BASE] + [
        f"f:{120 + n}" for n in range(9)
    ]
    assert reasons(refined) == {
        "not valid JSON": 1,
        "an empty input": 1,
        "an input that is too long": 1,
        "a text that shows in another order than it is written": 1,
        "no label": 1,
        "a repeat of another row, but for case, space and punctuation": 1,
        "the same text with different labels": 2,
        "the same row with the same id": 1,
    }
    assert sum(finding.n_rows for finding in refined.findings) == 9


def test_a_repeat_with_another_label_contradicts_before_it_is_dropped():
    rows = [
        *BASE,
        {"input": "tie", "reference": "a"},
        {"input": "tie", "reference": "a"},
        {"input": "Tie", "reference": "b"},
    ]
    refined = refine(raw_table(rows), DATA, "classify")
    assert reasons(refined) == {"the same text with different labels": 3}


def test_spellings_are_merged_before_they_can_contradict():
    rows = [*BASE, {"input": "one", "reference": "A"}, {"input": "one", "reference": "a"}]
    refined = refine(raw_table(rows), DATA, "classify")

    assert refined.labels == ("a", "b")
    assert reasons(refined) == {"a repeat of another row": 1}
    assert "written 'a'" in refined.fates[120].detail


def test_a_likely_typing_error_of_a_label_is_set_aside():
    rows = [{"input": f"t {n}", "reference": "sport" if n % 2 else "politics"} for n in range(200)]
    refined = refine(raw_table([*rows, {"input": "goal", "reference": "sprot"}]), DATA, "classify")
    assert refined.labels == ("politics", "sport")
    assert refined.fates[200].detail == "'sprot': did it mean 'sport'?"


def test_rows_of_a_label_that_training_lacks_are_set_aside():
    rows = [{**row, "split": "train" if n < 80 else "val" if n < 100 else "test"} for n, row in enumerate(BASE)]
    rows.append({"input": "unseen", "reference": "new", "split": "test"})
    refined = refine(raw_table(rows), Data(source="f", split="fold", refine=ALIKE), "classify")
    assert refined.fates[120].reason == "a label that no training row has"


def test_answers_that_differ_both_stay_in_one_split():
    rows = [{"input": f"question {n}", "reference": f"answer {n}"} for n in range(60)]
    rows += [
        {"input": "Why?", "reference": "so"},
        {"input": "why", "reference": "because"},
        {"input": "Why?", "reference": "so"},
    ]
    refined = refine(raw_table(rows), DATA, "generate")

    where = split_of(refined)
    assert where["f:60"] == where["f:61"]
    assert reasons(refined) == {"a repeat of another row": 1}
    assert refined.labels == ()


def test_entities_that_are_no_list_are_quarantined_and_types_become_labels():
    rows = [{"input": f"Ann {n}", "reference": '[{"end":3,"start":0,"text":"Ann","type":"person"}]'} for n in range(60)]
    refined = refine(raw_table([*rows, {"input": "Bob", "reference": "person"}]), DATA, "extract")
    assert refined.labels == ("person",)
    assert refined.fates[60].reason == "not a JSON list of entities"


# when it refuses


def test_one_label_alone_is_refused_by_its_name():
    rows = [{"input": f"text {n}", "reference": "spam"} for n in range(50)]
    with pytest.raises(DataError, match=r"training rows have the label 'spam'"):
        refine(raw_table(rows), DATA, "classify")


def test_a_table_of_which_nothing_can_be_used_is_refused_with_the_reasons():
    with pytest.raises(DataError, match=r"none of 2 rows.*\n.*an empty input \(2 rows: f:0, f:1\)"):
        refine(raw_table([{"input": "", "reference": "a"}] * 2), DATA, "classify")
    with pytest.raises(DataError, match="none of 0 rows"):
        refine(NOTHING, DATA, "classify")


def test_an_empty_split_is_refused_with_the_numbers():
    rows = [{"input": f"text {n}", "reference": "ab"[n % 2]} for n in range(40)]
    data = Data(source="f", refine=ALIKE, splits=Splits(train=0.998, validation=0.001, test=0.001, guard=0.0))
    with pytest.raises(DataError, match=r"validation and test \(rows: train 40") as caught:
        refine(raw_table(rows), data, "classify")
    assert "0.998" in caught.value.fix

    declared = [{**row, "split": "train"} for row in rows]
    with pytest.raises(DataError, match=r"data\.split: no row is left for test"):
        refine(raw_table(declared), Data(source="f", split="fold", refine=ALIKE), "classify")


# what always holds

texts = st.text(st.sampled_from("aAbB .!\0\u00e9"), max_size=5)
raw_rows = st.lists(
    st.fixed_dictionaries(
        {"input": texts, "reference": st.sampled_from(["a", "A", "b", "c", ""])},
        optional={
            "id": st.sampled_from(["1", "2", "b:3"]),
            "group": st.sampled_from(["ann", "bob", "eve"]),
            "split": st.sampled_from(["train", "val", "test", "guard", "odd"]),
            "flaw": st.just("unreadable"),
        },
    ),
    max_size=25,
)
briefs = st.sampled_from([DATA, Data(source="f", split="fold", refine=ALIKE), Data(source="f", seed=3, refine=ALIKE)])
tasks = st.sampled_from(["classify", "generate"])
DECLARED_BASE = [
    {**row, "split": ("train", "val", "test", "guard")[n % 4], "reference": "ab"[n // 4 % 2]}
    for n, row in enumerate(BASE)
]


@settings(max_examples=60, deadline=None)
@given(raw_rows, briefs, tasks)
def test_every_row_has_one_fate_and_no_group_or_text_is_in_two_splits(rows, data, task):
    raw = raw_table([*DECLARED_BASE, *rows])
    refined = refine(raw, data, task)

    assert [fate.source for fate in refined.fates] == raw["source"].to_list()
    kept = {fate.source: fate.reason for fate in refined.fates if fate.fate == "kept"}
    assert kept == {source: f"in {name}" for source, name in split_of(refined).items()}
    for key in (lambda example: example.group, lambda example: normalise(example.input)):
        seen: dict[str, str] = {}
        for name in SPLITS:
            for example in table_to_examples(refined.splits[name]):
                assert seen.setdefault(key(example), name) == name
    ids = pl.concat([table["id"] for table in refined.splits.values()])
    assert ids.is_unique().all()


def with_later(first: pl.DataFrame, later: list[dict[str, str]]) -> pl.DataFrame:
    return pl.concat([first, raw_table([{**row, "source": f"later:{n}"} for n, row in enumerate(later)])])


grown = given(raw_rows, raw_rows, st.sampled_from([DATA, Data(source="f", seed=3, refine=ALIKE)]), tasks)
under_a_group = with_example(
    rows=[{"input": "B", "reference": "a"}],  # of no group: in train, by the hash of its text
    later=[{"input": " B", "reference": "c", "group": "ann"}],  # whose group is in validation
    data=DATA,
    task="generate",
)
"""What hypothesis found: a text that came alone comes again, under a group of a more protected split."""


@settings(max_examples=40, deadline=None)
@grown
@under_a_group
def test_rows_added_later_move_no_row_that_stays(rows, later, data, task):
    vault = a_vault("later")
    first = raw_table([*BASE, *rows])
    one = refine(first, data, task, vault=vault)
    two = refine(with_later(first, later), data, task, vault=vault, before=before_of(vault, one.dataset))
    before, after = split_of(one), split_of(two)
    assert {source: after[source] for source in before if source in after and after[source] != before[source]} == {}


@settings(max_examples=40, deadline=None)
@grown
@under_a_group
def test_from_nothing_more_rows_move_none_but_a_text_that_a_group_takes_along(rows, later, data, task):
    first = raw_table([*BASE, *rows])
    second = with_later(first, later)
    before, after = split_of(refine(first, data, task)), split_of(refine(second, data, task))

    # No version before says where a text was first. One that comes both alone and under a group is in the group's
    # split where that is the more protected one: to leave the row that came alone in train would be a leak.
    takes_along: dict[str, set[str]] = {}
    for text, group in second.filter(pl.col("source").str.starts_with("later:")).select("input", "group").iter_rows():
        if group:
            takes_along.setdefault(as_compared(text), set()).add(hashed(group, data.splits, data.seed))
    raw = {source: (text, group) for source, text, group in first.select("source", "input", "group").iter_rows()}
    for source, name in before.items():
        if after.get(source, name) != name:
            text, group = raw[source]
            assert group == ""
            assert after[source] in takes_along.get(as_compared(text), set())
            assert PROTECTION[after[source]] > PROTECTION[name]


@settings(max_examples=40, deadline=None)
@given(raw_rows, st.randoms(use_true_random=False), briefs, tasks)
def test_the_same_rows_give_the_same_bytes_and_their_order_moves_none(rows, chance, data, task):
    raw = raw_table([*DECLARED_BASE, *rows])
    one, again = refine(raw, data, task), refine(raw, data, task)
    for name in SPLITS:
        assert to_parquet(one.splits[name]) == to_parquet(again.splits[name])
    assert (one.fates, one.findings, one.labels) == (again.fates, again.findings, again.labels)

    order = list(range(raw.height))
    chance.shuffle(order)
    other = split_of(refine(raw[order], data, task))
    assert all(other[source] == name for source, name in split_of(one).items() if source in other)


# one version after another


def test_what_did_not_change_is_shared_with_the_version_before():
    vault = a_vault("shared")
    first = refine(raw_table(BASE), DATA, "classify", vault=vault, part=40)
    more = [{"input": f"later text {n}", "reference": "a", "id": f"l:{n}", "source": f"l:{n}"} for n in range(20)]

    second = refine(
        raw_table([*BASE, *more]), DATA, "classify", vault=vault, part=40, before=before_of(vault, first.dataset)
    )

    assert second.dataset.parts[:3] == first.dataset.parts
    assert sum(second.dataset.counts.values()) == 140


def test_a_version_made_after_another_is_the_one_that_is_made_from_nothing():
    vault = a_vault("again")
    first = refine(raw_table(BASE[:90]), DATA, "classify", vault=vault, part=40)
    grown = refine(raw_table(BASE), DATA, "classify", vault=vault, part=40, before=before_of(vault, first.dataset))
    alone = refine(raw_table(BASE), DATA, "classify", vault=vault, part=40)
    assert grown.dataset == alone.dataset


def test_other_shares_move_no_group_that_has_its_split():
    vault = a_vault("kept")
    first = refine(raw_table(BASE), DATA, "classify", vault=vault)
    other = Data(source="f", refine=ALIKE, seed=9, splits=Splits(train=0.3, validation=0.3, test=0.3, guard=0.1))
    second = refine(raw_table(BASE), other, "classify", vault=vault, before=before_of(vault, first.dataset))
    assert split_of(second) == split_of(first)


# on real data


@pytest.mark.skipif(not (SHARED / "clinc150").exists(), reason="shared/data/clinc150 is not on this machine")
@pytest.mark.parametrize("split", ["", "fold"])
def test_clinc150_is_refined_whole_and_quickly(tmp_path, split):
    parts = json.loads((SHARED / "clinc150/data_full.json").read_text(encoding="utf-8"))
    with (tmp_path / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label", "fold"))
        writer.writerows((*row, part.removeprefix("oos_")) for part, rows in parts.items() for row in rows)
    data = Data(source="rows.csv", split=split, out_of_scope="oos", refine=ALIKE)

    start = time.perf_counter()
    refined = refine(collected(data, tmp_path), data, "classify", part=20_000)
    seconds = time.perf_counter() - start

    assert len(refined.fates) == 23_700
    assert len(refined.labels) == 151
    assert set(reasons(refined)) <= {
        "the same text with different labels",
        "a repeat of another row",
        "a repeat of another row, but for case, space and punctuation",
    }
    assert sum(reasons(refined).values()) < 100
    assert seconds < 10  # about 0.5 s when the machine does nothing else


@pytest.mark.skipif(not (SHARED / "wnut17").exists(), reason="shared/data/wnut17 is not on this machine")
def test_wnut17_is_refined_whole():
    data = Data(source="train.conll", refine=ALIKE)
    refined = refine(collected(data, SHARED / "wnut17", "extract"), data, "extract", part=20_000)
    assert refined.labels == ("corporation", "creative-work", "group", "location", "person", "product")
    assert not [fate for fate in refined.fates if fate.fate == "quarantined"]


def test_what_a_model_wrote_contradicts_nobody():
    written = {"input": "base text 7", "reference": "a", "source": "synthetic:m:1", "id": "s:1"}
    refined = refine(raw_table([*BASE, written]), DATA, "classify")
    assert reasons(refined) == {"the same text with different labels": 1}
    assert refined.fates[120].fate == "quarantined"
