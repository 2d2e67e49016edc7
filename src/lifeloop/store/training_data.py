"""What training and selection may read of a dataset: its train and validation splits, and nothing else.

Whatever makes, tunes, ranks or chooses candidates reads through this module. It has no way to name the other splits,
and an import contract keeps such code away from the modules that have (`pyproject.toml`).
"""

from typing import Literal

from lifeloop.core.content import Id, fraction
from lifeloop.core.data import Dataset, Example, Profile
from lifeloop.store.tables import from_parquet, table_to_examples
from lifeloop.store.vault import Vault


def read_for_selection(vault: Vault, dataset: Id, split: Literal["train", "validation"]) -> list[Example]:
    """Return the examples that training and selection may see. Raises ValueError for any other split."""
    if split not in ("train", "validation"):
        raise ValueError(f"selection may not read {split!r}")
    tables = vault.get_value(dataset, Dataset).tables[split]
    return [example for table in tables for example in table_to_examples(from_parquet(vault.get(table)))]


def sample(examples: list[Example], limit: int, seed: int) -> list[Example]:
    """Return at most `limit` examples in their order (0: all), the same ones whenever asked.

    The first of one random order that the seed fixes: a smaller sample is part of a larger one.
    """
    if not limit or len(examples) <= limit:
        return examples
    places = drawn([example.id for example in examples], limit, seed)
    return [examples[place] for place in places]


def drawn(identifiers: list[str], limit: int, seed: int) -> list[int]:
    """Return the places of a sample, in order."""
    keys = [fraction(identifier, seed) for identifier in identifiers]
    return sorted(sorted(range(len(keys)), key=keys.__getitem__)[:limit])


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
