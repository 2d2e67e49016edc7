"""The scaffold: what it guesses from rows, and that whatever it guesses makes a brief that parses."""

import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lifeloop import scaffold
from lifeloop.core.brief import Data, parse_brief
from lifeloop.project import check_names

TASKS = ("classify", "extract", "generate", "chat")
KIND_OF_COLUMN = st.one_of(
    st.sampled_from(
        [*scaffold.INPUT_NAMES, *scaffold.REFERENCE_NAMES, *scaffold.GROUP_NAMES, *scaffold.SPLIT_NAMES, "id", "uuid"]
    ),
    st.text(alphabet=st.characters(codec="utf-8"), max_size=20),
    st.text(alphabet=string.punctuation + " #\x7f\0\t\n", max_size=12),
)
CELL = st.one_of(
    st.text(alphabet=st.characters(codec="utf-8"), max_size=30), st.sampled_from(["train", "test", "oos", "", "spam"])
)


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, str]]:
    columns = draw(st.lists(KIND_OF_COLUMN, unique=True, max_size=6))
    return draw(st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(columns, CELL)), max_size=8))


def column(name: str, cells: list[str], **others: list[str]) -> list[dict[str, str]]:
    return [dict(zip([name, *others], row, strict=True)) for row in zip(cells, *others.values(), strict=True)]


@pytest.mark.parametrize("task", TASKS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=tables(), source=st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=20))
def test_whatever_the_columns_and_cells_the_brief_parses_and_says_what_was_guessed(task, rows, source):
    found = scaffold.guess(rows, task)

    brief = parse_brief(scaffold.brief("any", task, Data(source=source), found))

    check_names(brief)
    data = brief.data
    assert (data.source, data.input, data.reference) == (source, found.input, found.reference)
    assert (data.id, data.group, data.split, data.out_of_scope) == (
        found.id,
        found.group,
        found.split,
        found.out_of_scope,
    )


@given(rows=tables(), task=st.sampled_from(TASKS))
def test_only_columns_that_are_there_are_guessed(rows, task):
    found = scaffold.guess(rows, task)
    columns = {name for row in rows for name in row}

    if columns:
        assert {found.input, found.reference} <= columns
        assert {found.id, found.group, found.split} - {""} <= columns
        special = [name for name in (found.id, found.group, found.split) if name]
        assert len(special) == len(set(special))


def test_no_rows_give_the_usual_names():
    assert scaffold.guess([], "classify") == scaffold.Guess(input="text", reference="label")
    assert scaffold.guess([{}], "chat") == scaffold.Guess(input="text", reference="answer")


def test_columns_are_known_by_their_names():
    rows = column(
        "label",
        ["a", "b", "a", "b"],
        Utterance=["one", "two", "three", "four"],
        ID=["1", "2", "3", "4"],
        customer=["x", "x", "y", "y"],
        split=["train", "dev", "test", "train"],
    )

    found = scaffold.guess(rows, "classify")

    assert (found.input, found.reference, found.id) == ("Utterance", "label", "ID")
    assert (found.group, found.split, found.labels) == ("customer", "split", ("a", "b"))


def test_columns_without_telling_names_are_known_by_what_they_hold():
    rows = column("x", ["b", "a", "b", "a"], y=["a long text", "another long text", "a third one", "and a fourth"])

    found = scaffold.guess(rows, "classify")

    assert (found.input, found.reference) == ("y", "x")


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("id", ["1", "1", "2", "3"]),  # an id that repeats is none
        ("customer", ["a", "b", "c", "d"]),  # groups of one are none
        ("customer", ["a", "", " ", ""]),  # and so are those of no name
        ("split", ["train", "train", "train", "train"]),  # one split is none
        ("split", ["train", "test", "red", "blue"]),  # these are no splits
    ],
)
def test_a_telling_name_alone_is_not_believed(name, cells):
    rows = column("text", ["one", "two", "three", "four"], label=["a", "b", "a", "b"], **{name: cells})

    found = scaffold.guess(rows, "classify")

    assert (found.id, found.group, found.split) == ("", "", "")


def test_the_label_for_none_of_the_others_changes_what_is_measured():
    rows = column("text", [f"text {n}" for n in range(6)], label=["a", "b", "OOS", "a", "b", "OOS"])

    found = scaffold.guess(rows, "classify")
    brief = parse_brief(scaffold.brief("any", "classify", Data(source="data.csv"), found))

    assert (found.out_of_scope, brief.data.out_of_scope) == ("OOS", "OOS")
    assert brief.primary.metric == "in_scope_accuracy"


@given(n_rows=st.integers(1, 10**6), target=st.floats(0.5, 0.9), effect=st.floats(0.005, 0.1))
def test_shares_add_up_and_leave_most_for_training(n_rows, target, effect):
    shares = scaffold.shares(n_rows, target, effect)

    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["train"] >= 0.5
    assert all(share > 0 for share in shares.values())


@given(majority=st.floats(0.0, 1.0))
def test_the_first_target_asks_for_more_than_the_commonest_label(majority):
    found = scaffold.Guess(input="text", reference="label", labels=("a", "b"), majority=majority)

    target = scaffold.target_for(found)

    assert 0.5 <= target <= 0.9
    assert target >= min(majority, 0.9) - 0.05


def test_many_labels_leave_the_small_language_model_out():
    labels = [f"label{n}" for n in range(scaffold.MOST_LABELS_TO_PROMPT + 1)]
    found = scaffold.guess(column("text", [f"text {n}" for n in range(len(labels))], label=labels), "classify")

    brief = parse_brief(scaffold.brief("any", "classify", Data(source="data.csv"), found))

    assert {"majority", "tfidf"} <= set(brief.candidates)
    assert "smollm" not in brief.candidates


@pytest.mark.parametrize("task", TASKS)
def test_the_prompt_of_every_task_has_instructions_and_the_input(task):
    files = scaffold.prompts(task)

    assert "{{ instructions }}" in files["prompts/main/system.md"]
    assert "{{ text }}" in files["prompts/main/user.md"]
