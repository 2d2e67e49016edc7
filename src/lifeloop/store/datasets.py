"""Reads the splits of a dataset from the vault.

Several functions, on purpose: what trains or selects imports `read_for_selection`, which cannot name the guard split.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import polars as pl

from lifeloop.core.content import Id, fraction
from lifeloop.core.data import SPLITS, Dataset, Example, Profile, Split
from lifeloop.store.tables import from_parquet, scan, table_to_examples, to_parquet
from lifeloop.store.vault import Vault

CHUNK = 1000
"""Examples that are held as objects at a time: so few that reading them does not let an endpoint stand idle."""

BLOCK = 16_000
"""Rows that are decoded at a time."""


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
    return [example for table in tables[split] for example in table_to_examples(from_parquet(vault.get(table)))]


def split_parquet(vault: Vault, dataset: Id, split: Split) -> tuple[bytes, ...]:
    """Return the Parquet tables of a split, in order. For the gate alone: it can name any split."""
    return tuple(vault.get(table) for table in vault.get_value(dataset, Dataset).tables[split])


def sample(examples: list[Example], limit: int, seed: int) -> list[Example]:
    """Return at most `limit` examples in their order (0: all), the same ones whenever asked.

    The first of one random order that the seed fixes: a smaller sample is part of a larger one.
    """
    if not limit or len(examples) <= limit:
        return examples
    places = _drawn([example.id for example in examples], limit, seed)
    return [examples[place] for place in places]


class SplitTable:
    """The examples of a split, read from Parquet tables a part at a time: as objects half a million take a gigabyte."""

    def __init__(self, tables: Sequence[bytes]) -> None:
        self._tables = tables
        self.height = int(self._scan().select(pl.len()).collect().item())

    def column(self, name: str) -> pl.Series:
        """Return one column (height,)."""
        return self._scan().select(name).collect().to_series()

    def values(self, name: str) -> Iterator[str]:
        """Yield the values of one column in order."""
        for start in range(0, self.height, BLOCK):
            yield from self._scan().select(name).slice(start, BLOCK).collect().to_series()

    def chunks(self, size: int = CHUNK) -> Iterator[list[Example]]:
        """Yield the examples in order, `size` at a time."""
        block = size * max(1, BLOCK // size)
        for start in range(0, self.height, block):
            rows = self._scan().slice(start, block).collect()
            for place in range(0, rows.height, size):
                yield table_to_examples(rows[place : place + size])

    def head(self, n: int) -> list[Example]:
        """Return at most `n` examples, the first ones."""
        return table_to_examples(self._scan().head(n).collect())

    def _scan(self) -> pl.LazyFrame:
        return scan(self._tables)


def split_for_trial(vault: Vault, dataset: Id, split: Split, limit: int, seed: int) -> SplitTable:
    """Return the examples of a split, or the sample of them that `sample` would draw.

    For trials of finished candidates alone: it can name any split.
    """
    tables = split_parquet(vault, dataset, split)
    whole = SplitTable(tables)
    if not limit or whole.height <= limit:
        return whole
    places = _drawn(whole.column("id").to_list(), limit, seed)
    drawn = scan(tables).with_row_index("place").filter(pl.col("place").is_in(places)).drop("place").collect()
    return SplitTable((to_parquet(drawn),))


def _drawn(identifiers: list[str], limit: int, seed: int) -> list[int]:
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


def describe(dataset: Dataset) -> str:
    """Return the counts in words."""
    return ", ".join(f"{dataset.counts[split]} {split}" for split in SPLITS)
