"""Texts that are there more than once, so that no text is in two splits and none counts twice.

Takes examined rows with their splits. Of equal texts the ones in the most protected split stay, and of those with the
same reference one: the first that was not moved there.
"""

import polars as pl

from lifeloop.guards.guard import Checked, taken_out
from lifeloop.guards.splits.assigning import PROTECTION

_KEPT = ("row", "source", "split", "exact", "rank")
_ACROSS = "a text that is in a more protected split"
_EXACT = "a repeat of another row"
_NEARLY = "a repeat of another row, but for case, space and punctuation"


def drop_duplicates(table: pl.DataFrame) -> Checked:
    """Drop all but one of the rows with the same normalised input and reference, and those that leak across splits.

    Rows with the same input and different references both stay, where they are in the same split. A column `moved`,
    where there is one, says which rows were declared for another split.
    """
    moved = pl.col("moved") if "moved" in table.columns else pl.lit(False).alias("moved")
    ranked = table.filter(pl.len().over("key") > 1).select(
        "row", "source", "split", "exact", "key", "reference", "rejected_key", moved, _rank().alias("rank")
    )
    best = ranked.sort("rank", "moved", "row", descending=[True, False, False])
    firsts = best.group_by("key", maintain_order=True).first().select("key", *_KEPT)
    answers = ["key", "reference", "rejected_key"]
    same = best.group_by(answers, maintain_order=True).first().select(*answers, *_KEPT)
    across = ranked.join(firsts, on="key", suffix="_kept").filter(pl.col("rank") < pl.col("rank_kept"))
    within = ranked.join(same, on=answers, suffix="_kept")
    within = within.filter((pl.col("rank") == pl.col("rank_kept")) & (pl.col("row") != pl.col("row_kept")))
    within = within.join(across, on="row", how="anti")
    exact = pl.col("exact") == pl.col("exact_kept")
    repeats = pl.concat(
        [
            across.select("row", pl.lit(_ACROSS).alias("reason"), pl.format("{}, in {}", "source_kept", "split_kept")),
            within.select(
                "row",
                pl.when(exact).then(pl.lit(_EXACT)).otherwise(pl.lit(_NEARLY)).alias("reason"),
                pl.format("of {}", "source_kept"),
            ),
        ]
    )
    out = {row: (reason, detail) for row, reason, detail in repeats.sort("row").iter_rows()}
    return taken_out(table, out, "duplicates", "dropped")


def _rank() -> pl.Expr:
    return pl.col("split").replace_strict(PROTECTION, return_dtype=pl.Int64)
