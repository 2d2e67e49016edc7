"""Reads a dataset a part at a time, for people: cards, differences, rows, exports. Any split, guard too.

What trains or selects has no business here: it imports `datasets.read_for_selection`. Gives tables of one part, of at
most some 20,000 rows, so that memory does not grow with the data.
"""

from collections.abc import Iterator

import polars as pl

from lifeloop.core.content import Id
from lifeloop.core.data import Dataset, DatasetPart, Raw, RawPart, Split
from lifeloop.store.tables import from_parquet, scan
from lifeloop.store.vault import Vault

KEPT_IN = "in "
"""How the reason of a row that was kept begins; the split follows."""


def paired_parts(vault: Vault, dataset: Dataset) -> list[tuple[RawPart, DatasetPart]]:
    """Return the raw parts of a dataset, in order, each with what it became."""
    return list(zip(vault.get_value(dataset.raw, Raw).parts, dataset.parts, strict=True))


def fates_of(vault: Vault, part: DatasetPart) -> pl.DataFrame:
    """Return what became of each raw row of a part, in order: row, source, fate, reason, detail, and split ("")."""
    kept = pl.col("fate") == "kept"
    return (
        from_parquet(vault.get(part.fates))
        .with_row_index("row")
        .with_columns(
            pl.col("row").cast(pl.Int64),
            pl.when(kept).then(pl.col("reason").str.strip_prefix(KEPT_IN)).otherwise(pl.lit("")).alias("split"),
        )
    )


def examined_of(vault: Vault, part: DatasetPart, columns: list[str]) -> pl.DataFrame:
    """Return columns of what was examined of a part's rows, personal data masked; `row` is the place in the part."""
    return scan((vault.get(part.examined),)).select(columns).collect()


def examples_of(vault: Vault, part: DatasetPart, split: Split, columns: list[str]) -> pl.DataFrame:
    """Return columns of the examples that a part gave a split; a table without rows where it gave none."""
    if split not in part.tables:
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    return scan((vault.get(part.tables[split]),)).select(columns).collect()


def tables_of(vault: Vault, dataset: Id, split: Split) -> Iterator[pl.DataFrame]:
    """Yield the examples of a split, in order, a part at a time."""
    for table in vault.get_value(dataset, Dataset).tables[split]:
        yield from_parquet(vault.get(table))
