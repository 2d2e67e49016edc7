"""Refining as one call: raw rows in, what became of each of them out, through a vault in memory."""

from pathlib import Path
from typing import Any

import polars as pl
from msgspec import Struct

from lifeloop.core.brief import Data
from lifeloop.core.data import SPLITS, Dataset, Finding, Raw, RawPart, RowFate
from lifeloop.core.data_brief import Balance, Contamination, LabelErrors, NearDuplicates, Refine, Suspicious
from lifeloop.sources.source import Reading
from lifeloop.stages import refine as stage
from lifeloop.stages.collect import collect
from lifeloop.stages.examine import examine
from lifeloop.stages.settle import Beside
from lifeloop.store.tables import RAW_SCHEMA, from_parquet, scan, table_to_fates, to_parquet
from lifeloop.store.vault import Vault

ALIKE = Refine(
    near_duplicates=NearDuplicates(on=False),
    contamination=Contamination(on=False),
    suspicious=Suspicious(on=False),
    label_errors=LabelErrors(on=False),
    balance=Balance(on=False),
)
"""For made-up rows that differ in a number alone: to a person they would be near duplicates, and planted."""


class Refined(Struct, frozen=True):
    """A dataset as it lies in the vault, read back."""

    dataset: Dataset
    splits: dict[str, pl.DataFrame]
    labels: tuple[str, ...]
    fates: tuple[RowFate, ...]
    findings: tuple[Finding, ...]


def a_vault(name: str = "refining") -> Vault:
    return Vault(f"memory://{name}", cache=Path("/nonexistent"))


def refine(
    raw: pl.DataFrame,
    data: Data,
    task: str,
    *,
    vault: Vault | None = None,
    part: int = 50,
    before: Any = None,
    beside: Beside | None = None,
) -> Refined:
    """Return what refining raw rows gives, `part` of them at a time, after the version `before`."""
    vault = vault or a_vault()
    tables = [raw[start : start + part] for start in range(0, raw.height, part)]
    parts = tuple(RawPart(vault.put(to_parquet(table)), table.height, "f") for table in tables)
    examined = [examine(vault, each.table, data, task, None) for each in parts]
    dataset = stage.refine(
        vault,
        vault.put_value(Raw(parts)),
        examined,
        data,
        task,
        before or stage.NOTHING_BEFORE,
        beside or Beside(),
        lambda done, total, note: None,
    )
    return read_back(vault, dataset)


def collected(data: Data, root: Path, task: str = "classify", learned: pl.DataFrame | None = None) -> pl.DataFrame:
    """Return the raw rows of the sources that `data` names, as one table."""
    vault = a_vault()
    learned = pl.DataFrame(schema=RAW_SCHEMA) if learned is None else learned
    found = collect(Reading(data, root, task), vault, learned, (), lambda done, total, note: None)
    return pl.concat([from_parquet(vault.get(part.table)) for part in vault.get_value(found.raw, Raw).parts])


def read_back(vault: Vault, dataset: Dataset) -> Refined:
    splits = {name: scan([vault.get(table) for table in dataset.tables[name]]).collect() for name in SPLITS}
    fates = tuple(fate for part in dataset.parts for fate in table_to_fates(from_parquet(vault.get(part.fates))))
    return Refined(dataset, splits, dataset.labels, fates, dataset.findings)


def before_of(vault: Vault, dataset: Dataset) -> stage.Before:
    placements = from_parquet(vault.get(dataset.placements))
    return stage.Before(placements, {part.raw: part for part in dataset.parts})
