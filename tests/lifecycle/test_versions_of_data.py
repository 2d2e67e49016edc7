"""Versions of a dataset, one after another: whatever arrives, nothing crosses from one split to another."""

import contextlib
import csv
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifeloop.core.content import normalise
from lifeloop.core.data import SPLITS, Dataset, Example
from lifeloop.core.errors import LifeloopError, StoreError
from lifeloop.lifecycle.cycle import planned
from lifeloop.lifecycle.experiment import experiment
from lifeloop.lifecycle.gate import judge_challenger
from lifeloop.lifecycle.refined import reading_of, refined_dataset
from lifeloop.lifecycle.runner import Done, Runner
from lifeloop.project import open_project
from lifeloop.stages import collect
from lifeloop.store.datasets import read_for_evaluation
from lifeloop.store.ledger import CycleRow
from lifeloop.store.training_data import read_for_selection
from lifeloop.store.vault import Vault
from small_project import brief, small_project

PLAIN = "".join(
    f"[data.refine.{step}]\non = false\n"
    for step in ("near_duplicates", "contamination", "suspicious", "label_errors", "outliers", "balance")
)
"""The texts below differ in a number alone: to a person they would be near duplicates."""


def data_section(columns: str, splits: str) -> str:
    return f'[data]\nsource = ["data.csv", "later/*.csv"]\n{columns}\nsplits = {{ {splits} }}\n{PLAIN}'


SHARES = "train = 0.4, validation = 0.2, test = 0.2, guard = 0.2"
RULES = {
    "by hash": data_section('group = "group"', SHARES),
    "stratified": data_section('group = "group"', f'{SHARES}, by = "stratified"'),
    "by time": data_section('group = "group"', f'{SHARES}, by = "time", column = "at"'),
    "declared": data_section('group = "group"\nsplit = "fold"', SHARES),
}
HEADER = ("text", "label", "group", "fold", "at")
BASE = [(f"base text {n}", "ab"[n // 4 % 2], "", SPLITS[n % 4], str(n)) for n in range(48)]


def write(path: Path, rows: list[tuple[str, ...]]) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *rows])


def refined(folder: Path, cycle: int) -> tuple[Vault, Done[Dataset]]:
    """Collect and refine what the folder holds now, as the version of a cycle."""
    project = open_project(folder)
    with contextlib.closing(project.open_ledger()) as ledger:
        runner = Runner(ledger, project.open_vault(), cycle, lambda notice: None, time.time)
        row = CycleRow(cycle, f"inputs {cycle}", "brief", 0, time.time())
        return runner.vault, refined_dataset(project, runner, row, collect.fingerprint(reading_of(project)))


def examples_of(vault: Vault, dataset: str) -> dict[str, list[Example]]:
    selectable = {split: read_for_selection(vault, dataset, split) for split in ("train", "validation")}
    return selectable | {split: read_for_evaluation(vault, dataset, split) for split in ("test", "guard")}


row_of_a_file = st.tuples(
    st.sampled_from([f"base text {n}" for n in range(0, 48, 5)] + [f"later text {n}" for n in range(12)]),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["", "", "ann", "bob", "eve"]),
    st.sampled_from(SPLITS),
    st.sampled_from(["5", "50", "500"]),
)
versions = st.lists(st.lists(row_of_a_file, min_size=1, max_size=12), min_size=2, max_size=4)


@pytest.mark.parametrize("rule", list(RULES))
@settings(max_examples=8, deadline=None)
@given(versions=versions, chance=st.randoms(use_true_random=False))
def test_over_all_versions_no_group_is_in_two_splits_and_nothing_trains_that_guards(
    tmp_path_factory, rule, versions, chance
):
    folder = small_project(tmp_path_factory.mktemp("versions"), brief(data=RULES[rule]))
    write(folder / "data.csv", BASE)
    groups: dict[str, str] = {}
    texts: dict[str, str] = {}
    for cycle, rows in enumerate(versions, start=1):
        write(
            folder / f"later/{chance.randrange(100):02}-{cycle}.csv", rows
        )  # before or after those of earlier versions
        vault, dataset = refined(folder, cycle)
        for split, examples in examples_of(vault, dataset.id).items():
            for example in examples:
                assert groups.setdefault(example.group, split) == split
                assert texts.setdefault(normalise(example.input), split) == split


def test_what_was_read_and_decided_before_is_not_done_again(tmp_path):
    folder = small_project(tmp_path / "p", brief(data=RULES["by hash"]))
    write(folder / "data.csv", BASE)
    write(folder / "later/first.csv", [("one text", "a", "", "train", "1")])
    _, first = refined(folder, 1)
    write(folder / "later/more.csv", [("another text", "a", "", "train", "1")])
    _, second = refined(folder, 2)

    assert second.value.parts[:2] == first.value.parts
    assert second.value.n_examples == first.value.n_examples + 1
    with contextlib.closing(open_project(folder).open_ledger()) as ledger:
        assert len([run for run in ledger.runs() if run.stage == "examine"]) == 3


def test_a_version_that_cannot_be_made_leaves_the_one_before_whole(tmp_path):
    folder = small_project(tmp_path / "p", brief(data=RULES["by hash"]))
    write(folder / "data.csv", BASE)
    write(folder / "later/first.csv", [("one text", "a", "", "train", "1")])
    vault, first = refined(folder, 1)
    kept = examples_of(vault, first.id)
    (folder / "later/broken.csv").write_bytes(b"PAR1\0\0\0")

    with pytest.raises(LifeloopError, match=r"broken\.csv"):
        refined(folder, 2)

    assert examples_of(vault, first.id) == kept
    (folder / "later/broken.csv").unlink()
    assert refined(folder, 3)[1].id == first.id


CANDIDATES = """
[candidates.majority]
kind = "majority"
[candidates.tfidf]
kind = "features"
[candidates.nearest]
kind = "nearest"
[candidates.cascade]
kind = "cascade"
members = ["tfidf", "nearest"]
[candidates.careful]
kind = "abstain"
members = ["tfidf"]
"""


def test_with_the_guard_split_locked_away_every_candidate_is_made_tried_and_ranked(tmp_path):
    """Nothing that trains, selects or optimises can read the guard split: it is not there to be read."""
    data = f'[data]\nsource = "data.csv"\nsplits = {{ {SHARES} }}\n{PLAIN}'
    folder = small_project(tmp_path / "p", brief(data=data, candidates=CANDIDATES))
    project = open_project(folder)
    with contextlib.closing(project.open_ledger()) as ledger:
        runner = Runner(ledger, project.open_vault(), 1, lambda notice: None, time.time)
        row = CycleRow(1, "inputs", "brief", 0, time.time())
        dataset = refined_dataset(project, runner, row, collect.fingerprint(reading_of(project)))
        assert dataset.value.counts["guard"] > 10
        locked = tmp_path / "locked"
        locked.mkdir()
        objects = folder / ".lifeloop/vault/objects"
        for table in {*dataset.value.tables["guard"], *dataset.value.tables["test"]}:
            shutil.move(objects / table[:2] / table, locked / table)

        plan = planned(project, runner, dataset)
        leaderboard, candidates = experiment(project, runner, dataset, plan.value)

        tried = [standing.name for standing in leaderboard.value.standings if standing.trial is not None]
        assert len(tried) >= 5, leaderboard.value
        with pytest.raises(StoreError):  # and the gate, which judges, does need it
            judge_challenger(project, runner, dataset, leaderboard, candidates)


def test_another_key_makes_another_version_and_moves_no_row(tmp_path, monkeypatch):
    rows = [(f"write to ann{n}@example.org of case {n}", "ab"[n % 2], "", "train", "1") for n in range(60)]
    folder = small_project(tmp_path / "p", brief(data=RULES["by hash"]))
    write(folder / "data.csv", [*BASE, *rows])
    write(folder / "later/first.csv", [("one text", "a", "", "train", "1")])
    made, where = [], []
    for key in ("", "correct horse battery staple", "another key that is long enough"):
        monkeypatch.setenv("LIFELOOP_DATA_KEY", key)
        vault, dataset = refined(folder, 1)
        made.append(dataset.id)
        found = examples_of(vault, dataset.id)
        where.append({example.source: split for split, examples in found.items() for example in examples})
    assert len(set(made)) == 3
    assert where[0] == where[1] == where[2]
