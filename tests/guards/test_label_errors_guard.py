import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_rows import TOPICS, clean_rows, scene

from lifeloop.core.data_brief import LabelErrors
from lifeloop.guards.label_errors import REASON, check_label_errors


def flipped(rows, share, seed=0):
    chance = random.Random(seed)
    wrong = set(chance.sample(range(len(rows)), int(share * len(rows))))
    return [
        (text, chance.choice([other for other in TOPICS if other != label]) if place in wrong else label)
        for place, (text, label) in enumerate(rows)
    ], wrong


def test_wrong_labels_are_set_aside_with_what_their_text_reads_like():
    rows, wrong = flipped(clean_rows(400), 0.05)
    table, texts = scene(rows)

    checked = check_label_errors(table, texts, LabelErrors(), seed=0)

    found = set(checked.fates)
    assert len(found & wrong) >= 0.8 * len(wrong)
    assert len(found - wrong) <= 4
    assert set(checked.table["row"]) == set(range(400)) - found
    place = min(found & wrong)
    fate = checked.fates[place]
    assert (fate.fate, fate.reason) == ("quarantined", REASON)
    assert fate.detail.startswith(f"labelled {rows[place][1]!r}, reads like ")
    (finding,) = checked.findings
    assert (finding.step, finding.n_rows) == ("label errors", len(found))


def test_never_more_than_the_brief_allows_and_the_least_credible_first():
    rows, wrong = flipped(clean_rows(400), 0.2)
    table, texts = scene(rows)

    some = check_label_errors(table, texts, LabelErrors(most=0.05), seed=0)
    more = check_label_errors(table, texts, LabelErrors(most=0.1), seed=0)

    assert len(some.fates) == 20
    assert set(some.fates) < set(more.fates)
    assert set(some.fates) <= wrong


def test_rows_that_judge_are_not_looked_at():
    rows, _ = flipped(clean_rows(400), 0.1)
    splits = ["train" if place % 2 else ("validation", "test", "guard")[place % 3] for place in range(400)]
    table, texts = scene(rows, splits)

    checked = check_label_errors(table, texts, LabelErrors(), seed=0)

    assert checked.fates
    assert all(splits[row] == "train" for row in checked.fates)


def test_report_takes_no_row_out():
    rows, _ = flipped(clean_rows(400), 0.05)
    table, texts = scene(rows)
    quarantined = check_label_errors(table, texts, LabelErrors(), seed=0)

    reported = check_label_errors(table, texts, LabelErrors(action="report"), seed=0)

    assert reported.table.equals(table)
    assert not reported.fates
    assert [(each.fate, each.n_rows) for each in reported.findings] == [("kept", len(quarantined.fates))]


def test_above_max_rows_the_step_is_left_out_and_says_so():
    table, texts = scene(flipped(clean_rows(100), 0.1)[0])
    checked = check_label_errors(table, texts, LabelErrors(max_rows=99), seed=0)
    assert checked.table.equals(table)
    assert "100 training rows, more than max_rows = 99" in checked.findings[0].reason


def test_a_label_of_few_rows_is_believed():
    rows = [*clean_rows(300), *((f"aardvark {word} burrow", "zoo") for word in ("ant", "night", "claw"))]
    table, texts = scene(rows)
    checked = check_label_errors(table, texts, LabelErrors(), seed=0)
    assert not {300, 301, 302} & set(checked.fates)


def test_rows_of_one_group_are_read_by_a_model_that_has_seen_none_of_them():
    """A conversation of which every turn has the same wrong label: its own turns would support each other."""
    rows = flipped(clean_rows(400), 0.15)[0]
    theirs = [place for place, (_, label) in enumerate(clean_rows(400)) if label == "tech"][:12]
    for place in theirs:
        rows[place] = (f"{rows[place][0]} conversation number twelve of ours with mister smith", "sport")
    table, texts = scene(rows)
    grouped = table.with_columns(group=pl.when(pl.col("row").is_in(theirs)).then(pl.lit("twelve")).otherwise("key"))

    apart = check_label_errors(table, texts, LabelErrors(most=0.5), seed=0)
    together = check_label_errors(grouped, texts, LabelErrors(most=0.5), seed=0)

    assert len(set(apart.fates) & set(theirs)) <= 3
    assert len(set(together.fates) & set(theirs)) >= 9


@pytest.mark.parametrize(
    "rows",
    [[], [("a", "x")] * 30, [("?", "x"), ("!", "y")] * 20, [("same words", "x"), ("same words", "y")] * 20],
)
def test_rows_that_nothing_can_be_learnt_from_stay(rows):
    table, texts = scene(rows)
    assert check_label_errors(table, texts, LabelErrors(), seed=0).table.equals(table)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000), st.randoms(use_true_random=False))
def test_clean_rows_stay_and_the_order_of_rows_does_not_matter(seed, chance):
    rows = flipped(clean_rows(300, seed), 0.04, seed)[0]
    order = list(range(300))
    chance.shuffle(order)

    as_they_came = check_label_errors(*scene(rows), LabelErrors(), seed=0)
    shuffled = check_label_errors(*scene(rows, order=order), LabelErrors(), seed=0)
    clean = check_label_errors(*scene(clean_rows(300, seed)), LabelErrors(), seed=0)

    assert set(as_they_came.fates) == {order[row] for row in shuffled.fates}
    assert len(clean.fates) <= 3
