"""The rows that guards only suspect, as a table for a person to look at; what they write in it, the next version heeds.

Reads ledger and vault; changes neither. See `guards/reviewed` for what becomes of the answers.
"""

import contextlib

import polars as pl

from lifeloop.core.data import Dataset, DatasetPart
from lifeloop.lifecycle.data_versions import version_named
from lifeloop.project import Project
from lifeloop.store.dataset_parts import examined_of, fates_of
from lifeloop.store.vault import Vault

COLUMNS = ("key", "text", "label", "keep", "reason", "detail", "source")
"""What a person finds in the table; `keep` is empty, and theirs to fill."""


def rows_to_review(project: Project, version: str = "", reason: str = "") -> pl.DataFrame:
    """Return the quarantined rows of a version whose reason contains a text, as COLUMNS, once each text.

    Rows that could not be read or used at all are not among them: nobody can keep those. Raises DataError where there
    is no such version.
    """
    with contextlib.closing(project.open_ledger()) as ledger:
        vault = project.open_vault()
        dataset = vault.get_value(version_named(ledger, vault, version).id, Dataset)
        parts = [_of_part(vault, part, reason) for part in dataset.parts]
    return pl.concat(parts).unique("key", keep="first", maintain_order=True)


def _of_part(vault: Vault, part: DatasetPart, reason: str) -> pl.DataFrame:
    wanted = (pl.col("fate") == "quarantined") & pl.col("reason").str.contains(reason, literal=True)
    fates = fates_of(vault, part).filter(wanted).select("row", "reason", "detail")
    rows = examined_of(vault, part, ["row", "key", "input", "reference", "source"])
    table = fates.join(rows, on="row", how="inner", maintain_order="left")
    return table.select(
        "key",
        plain("input").alias("text"),
        pl.col("reference").alias("label"),
        pl.lit("").alias("keep"),
        "reason",
        plain("detail"),
        "source",
    )


def plain(column: str) -> pl.Expr:
    """Return a column of which a spreadsheet takes no cell for a formula; rows are matched by `key`, not by it."""
    formula = pl.col(column).str.contains(r"^[=+\-@\t\r]")
    return pl.when(formula).then(pl.format("'{}", column)).otherwise(column).alias(column)
