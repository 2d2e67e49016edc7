"""What examining and settling decided of one raw part, as tables of examples and of fates.

Takes a part's rows as they were examined and what was settled of them, gives one table a split. A part of which
nothing new was decided is the part of the version before.
"""

import hashlib

import msgspec
import polars as pl

from lifeloop.core.content import Id
from lifeloop.core.data import SPLITS, DatasetPart, Example, RawPart, RowFate
from lifeloop.stages.examine import Examined
from lifeloop.store.tables import from_parquet, to_parquet
from lifeloop.store.vault import Vault

VERSION = "1"
"""Changed by hand when the same decisions would give other tables."""

KEPT = ("row", "id", "reference", "group", "split")
"""What settling decides of a row that stays."""

_COLUMNS = [field.name for field in msgspec.structs.fields(Example)]


def assemble(
    vault: Vault,
    raw: RawPart,
    examined: Examined,
    kept: pl.DataFrame,
    decided: pl.DataFrame,
    before: DatasetPart | None,
) -> DatasetPart:
    """Return the tables of one part.

    `kept` has the columns KEPT and `decided` those of examine.DECIDED, both for the part's rows alone, `row` being the
    place in the part; `before` is the same raw part in an earlier version.
    """
    settled = _digest(examined, kept, decided)
    if before is not None and (before.examined, before.settled) == (examined.table, settled):
        return before
    table = from_parquet(vault.get(examined.table)).select("row", "input", "rejected", "slices", "source")
    table = kept.join(table, on="row", how="left", maintain_order="left")
    tables = {split: _examples(table.filter(pl.col("split") == split)) for split in SPLITS}
    fates = _fates(vault, raw, examined, kept, decided)
    return DatasetPart(
        raw=raw.table,
        examined=examined.table,
        settled=settled,
        tables={split: vault.put(to_parquet(found)) for split, found in tables.items() if found.height},
        fates=vault.put(to_parquet(fates)),
    )


def _examples(table: pl.DataFrame) -> pl.DataFrame:
    return table.select(_COLUMNS)


def no_examples() -> pl.DataFrame:
    """Return a table of examples with no row: what a split without any holds."""
    return pl.DataFrame(schema=dict.fromkeys(_COLUMNS, pl.String))


def _fates(vault: Vault, raw: RawPart, examined: Examined, kept: pl.DataFrame, decided: pl.DataFrame) -> pl.DataFrame:
    """Return the fate of each row of the part, in order: the columns of RowFate."""
    own = from_parquet(vault.get(examined.decided))
    gone = pl.concat([own, decided]).filter(pl.col("fate") != "kept").drop("note")
    notes = (
        pl.concat([own, decided])
        .filter(pl.col("note") != "")
        .group_by("row", maintain_order=True)
        .agg(pl.col("note").str.join("; "))
    )
    rows = from_parquet(vault.get(raw.table)).select("source").with_row_index("row").cast({"row": pl.Int64})
    return (
        rows.join(gone, on="row", how="left", maintain_order="left")
        .join(notes, on="row", how="left", maintain_order="left")
        .join(kept.select("row", "split"), on="row", how="left", maintain_order="left")
        .with_columns(
            pl.col("fate").fill_null("kept"),
            pl.coalesce("reason", pl.format("in {}", "split")).alias("reason"),
            pl.coalesce("detail", "note", pl.lit("")).alias("detail"),
        )
        .select(field.name for field in msgspec.structs.fields(RowFate))
    )


def _digest(examined: Examined, kept: pl.DataFrame, decided: pl.DataFrame) -> Id:
    """Return a hash of all that was decided of a part."""
    digest = hashlib.sha256(f"{VERSION}/{examined.decided}".encode())
    for table in (kept.select(KEPT), decided):
        digest.update(to_parquet(table))
    return digest.hexdigest()
