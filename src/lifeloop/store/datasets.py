"""Reads the splits of a dataset from the vault.

Two functions, on purpose: what trains or selects imports `read_for_selection`, which cannot name the guard split.
"""

from typing import Literal

from lifeloop.core.content import Id, fraction
from lifeloop.core.data import SPLITS, Dataset, Example, Profile
from lifeloop.store.tables import from_parquet, table_to_examples
from lifeloop.store.vault import Vault


def read_for_selection(vault: Vault, dataset: Id, split: Literal["train", "validation"]) -> list[Example]:
    """Return the examples that training and selection may see."""
    if split not in ("train", "validation"):
        raise ValueError(f"selection may not read {split!r}")
    return _read(vault, dataset, split)


def read_for_evaluation(vault: Vault, dataset: Id, split: Literal["test", "guard"]) -> list[Example]:
    """Return the examples on which only finished candidates are tried."""
    return _read(vault, dataset, split)


def _read(vault: Vault, dataset: Id, split: str) -> list[Example]:
    tables = vault.get_value(dataset, Dataset).tables
    return table_to_examples(from_parquet(vault.get(tables[split])))


def sample(examples: list[Example], limit: int, seed: int) -> list[Example]:
    """Return at most `limit` examples in their order (0: all), the same ones whenever asked."""
    if not limit or len(examples) <= limit:
        return examples
    ranked = sorted(examples, key=lambda example: fraction(example.id, seed))
    chosen = {example.id for example in ranked[:limit]}
    return [example for example in examples if example.id in chosen]


def profile(vault: Vault, dataset: Id) -> Profile:
    """Return the numbers that estimates rest on."""
    found = vault.get_value(dataset, Dataset)
    train = read_for_selection(vault, dataset, "train")
    characters = sum(len(example.input) for example in train)
    return Profile(
        n_train=found.counts["train"],
        n_validation=found.counts["validation"],
        n_test=found.counts["test"],
        n_guard=found.counts["guard"],
        n_labels=len(found.labels),
        mean_chars=characters / max(1, len(train)),
    )


def describe(dataset: Dataset) -> str:
    """Return the counts in words."""
    return ", ".join(f"{dataset.counts[split]} {split}" for split in SPLITS)
