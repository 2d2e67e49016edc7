"""Reads the splits of a dataset from the vault, for the engine and the gate: any split, test and guard too.

What trains or selects reads through `training_data` instead, which cannot name those.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import polars as pl

from lifeloop.core.content import Id
from lifeloop.core.data import SPLITS, Dataset, Example, Split
from lifeloop.store.tables import from_parquet, scan, table_to_examples, to_parquet
from lifeloop.store.training_data import drawn
from lifeloop.store.vault import Vault

CHUNK = 1000
"""Examples that are held as objects at a time: so few that reading them does not let an endpoint stand idle."""

BLOCK = 16_000
"""Rows that are decoded at a time."""


def read_for_evaluation(vault: Vault, dataset: Id, split: Literal["test", "guard"]) -> list[Example]:
    """Return the examples on which only finished candidates are tried."""
    tables = vault.get_value(dataset, Dataset).tables[split]
    return [example for table in tables for example in table_to_examples(from_parquet(vault.get(table)))]


def split_parquet(vault: Vault, dataset: Id, split: Split) -> tuple[bytes, ...]:
    """Return the Parquet tables of a split, in order. For the gate alone: it can name any split."""
    return tuple(vault.get(table) for table in vault.get_value(dataset, Dataset).tables[split])


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
    places = drawn(whole.column("id").to_list(), limit, seed)
    found = scan(tables).with_row_index("place").filter(pl.col("place").is_in(places)).drop("place").collect()
    return SplitTable((to_parquet(found),))


def describe(dataset: Dataset) -> str:
    """Return the counts in words."""
    return ", ".join(f"{dataset.counts[split]} {split}" for split in SPLITS)
