"""Texts that are there more than once, so that no text is in two splits and none counts twice.

Takes keyed rows with their splits. Of equal texts the ones in the most protected split stay, and of those with the
same reference one: the first that was not moved there.
"""

import polars as pl

from lifeloop.guards.guard import Checked, taken_out
from lifeloop.guards.splits import PROTECTION


def drop_duplicates(table: pl.DataFrame) -> Checked:
    """Drop all but one of the rows with the same normalised input and reference, and those that leak across splits.

    Rows with the same input and different references both stay, where they are in the same split.
    """
    ranked = table.with_columns(pl.col("split").replace_strict(PROTECTION, return_dtype=pl.Int64).alias("rank"))
    ranked = ranked.filter(pl.len().over("key") > 1)
    best = ranked.sort("rank", "moved", "row", descending=[True, False, False])
    firsts = best.group_by("key", maintain_order=True).first().select("key", *_KEPT)
    same = best.group_by("key", "reference", maintain_order=True).first().select("key", "reference", *_KEPT)
    out: dict[int, tuple[str, str]] = {}
    across = ranked.join(firsts, on="key", suffix="_kept").filter(pl.col("rank") < pl.col("rank_kept"))
    for row in across.iter_rows(named=True):
        out[row["row"]] = ("a text that is in a more protected split", f"{row['source_kept']}, in {row['split_kept']}")
    within = ranked.join(same, on=("key", "reference"), suffix="_kept")
    within = within.filter((pl.col("rank") == pl.col("rank_kept")) & (pl.col("row") != pl.col("row_kept")))
    for row in within.iter_rows(named=True):
        if row["row"] not in out:
            exact = row["input"] == row["input_kept"]
            out[row["row"]] = (_EXACT if exact else _NEARLY, f"of {row['source_kept']}")
    return taken_out(table, dict(sorted(out.items())), "duplicates", "dropped")


_KEPT = ("row", "source", "split", "input", "rank")
_EXACT = "a repeat of another row"
_NEARLY = "a repeat of another row, but for case, space and punctuation"
