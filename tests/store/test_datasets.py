from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeloop.core.data import SPLITS, Dataset, Example
from lifeloop.store.datasets import describe, read_for_evaluation, split_for_trial
from lifeloop.store.tables import examples_to_table, to_parquet
from lifeloop.store.training_data import profile, read_for_selection, sample
from lifeloop.store.vault import Vault

COUNTS = {"train": 30, "validation": 10, "test": 12, "guard": 4}


def example(identifier: str) -> Example:
    return Example(id=identifier, input="x" * 40, reference="a", group=identifier)


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Vault, str]:
    vault = Vault(str(tmp_path / "vault"), cache=tmp_path / "cache")
    tables = {
        split: (vault.put(to_parquet(examples_to_table([example(f"{split}{n}") for n in range(COUNTS[split])]))),)
        for split in SPLITS
    }
    dataset = Dataset(tables=tables, counts=COUNTS, labels=("a", "b"), raw="")
    return vault, vault.put_value(dataset)


def test_each_split_holds_its_own_examples(stored):
    assert [e.id for e in read_for_selection(*stored, "validation")] == [f"validation{n}" for n in range(10)]
    assert [e.id for e in read_for_evaluation(*stored, "test")] == [f"test{n}" for n in range(12)]
    assert len(read_for_evaluation(*stored, "guard")) == 4


@pytest.mark.parametrize("split", ["test", "guard", "everything"])
def test_selection_cannot_read_what_only_evaluation_may(stored, split):
    with pytest.raises(ValueError, match=f"selection may not read '{split}'"):
        read_for_selection(*stored, split)


def test_a_profile_counts_every_split_and_measures_the_training_inputs(stored):
    found = profile(*stored)
    assert (found.n_train, found.n_validation, found.n_test, found.n_guard, found.n_labels) == (30, 10, 12, 4, 2)
    assert found.mean_chars == 40.0
    assert found.mean_tokens == 10.0


def test_a_dataset_is_described_in_words(stored):
    vault, identifier = stored
    assert describe(vault.get_value(identifier, Dataset)) == "30 train, 10 validation, 12 test, 4 guard"


ids = st.lists(st.text(min_size=1, max_size=6), unique=True, max_size=60)


@given(ids, st.integers(0, 40), st.integers(0, 3))
def test_a_sample_is_a_part_in_its_order_and_the_same_whenever_asked(names, limit, seed):
    examples = [example(name) for name in names]
    chosen = sample(examples, limit, seed)
    assert len(chosen) == (min(limit, len(names)) if limit else len(names))
    places = [examples.index(one) for one in chosen]
    assert places == sorted(places)
    assert sample(examples, limit, seed) == chosen


@given(ids, st.integers(1, 40), st.integers(0, 3), st.randoms(use_true_random=False))
def test_a_sample_does_not_depend_on_the_order_and_grows_by_additions_alone(names, limit, seed, chance):
    shuffled = list(names)
    chance.shuffle(shuffled)
    chosen = {one.id for one in sample([example(name) for name in names], limit, seed)}
    assert {one.id for one in sample([example(name) for name in shuffled], limit, seed)} == chosen

    smaller = {one.id for one in sample([example(name) for name in shuffled[: len(names) // 2]], limit, seed)}
    assert chosen & set(shuffled[: len(names) // 2]) <= smaller  # nobody comes back in when others join


def test_another_seed_draws_another_sample():
    examples = [example(str(n)) for n in range(200)]
    assert sample(examples, 50, 0) != sample(examples, 50, 1)


@pytest.fixture
def large(tmp_path: Path) -> tuple[Vault, str, list[Example]]:
    vault = Vault(str(tmp_path / "vault"), cache=tmp_path / "cache")
    examples = [Example(f"n{n}", f"text {n}", "a", f"g{n}", {"channel": "mail"}, f"row {n}") for n in range(1000)]
    tables = dict.fromkeys(SPLITS, (vault.put(to_parquet(examples_to_table(examples))),))
    dataset = Dataset(tables, dict.fromkeys(SPLITS, 1000), ("a",), raw="")
    return vault, vault.put_value(dataset), examples


def test_a_trial_reads_a_split_part_by_part(large, monkeypatch):
    vault, dataset, examples = large
    table = split_for_trial(vault, dataset, "guard", 0, 0)
    chunks = list(table.chunks(300))
    assert [len(chunk) for chunk in chunks] == [300, 300, 300, 100]
    assert [one for chunk in chunks for one in chunk] == examples
    assert table.head(20) == examples[:20]
    monkeypatch.setattr("lifeloop.store.datasets.BLOCK", 400)
    assert [one for chunk in table.chunks(130) for one in chunk] == examples
    assert table.column("group").to_list() == [one.group for one in examples]


@pytest.mark.parametrize("limit", [0, 1, 400, 1000, 2000])
def test_a_trial_draws_the_sample_that_everybody_draws(large, limit):
    vault, dataset, examples = large
    table = split_for_trial(vault, dataset, "test", limit, 3)
    assert [one for chunk in table.chunks() for one in chunk] == sample(examples, limit, 3)
    assert table.height == (min(limit, 1000) if limit else 1000)


@given(ids, st.integers(0, 40), st.integers(0, 40), st.integers(0, 3))
def test_a_smaller_sample_is_part_of_a_larger_one(names, one, other, seed):
    examples = [example(name) for name in names]
    smaller, larger = (sample(examples, limit, seed) for limit in sorted((max(1, one), max(1, other))))
    assert {each.id for each in smaller} <= {each.id for each in larger}
