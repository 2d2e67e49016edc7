"""What people decided of rows that they looked at: keep it, take it out, or this is its label.

Takes rows and reviews, gives the rows as people want them. A row that was looked at is not quarantined again by a guard
that only suspects. Reviews go by the text, not by its place: a file that grew at its head moves none.
"""

from collections.abc import Callable

import polars as pl

from lifeloop.core.data import Finding
from lifeloop.guards.guard import Checked, finding, taken_out

REVIEWS = {"key": pl.String, "keep": pl.Boolean, "label": pl.String}
"""Columns of reviews: the hash of the normalised text, whether its rows stay, and their label or ""."""

YES, NO = ("yes", "y", "true", "1", "keep"), ("no", "n", "false", "0", "drop")
"""What a person may write in the column `keep`."""

NOT_REVIEWED = pl.DataFrame(schema=REVIEWS)


def apply_reviews(table: pl.DataFrame, reviews: pl.DataFrame) -> Checked:
    """Return rows with the labels that people gave them, without those that people took out."""
    reviewed = table.join(reviews, on="key", how="inner", maintain_order="left")
    n_unused = reviews.height - reviewed["key"].n_unique()
    unused = (Finding("reviewed", "kept", n_unused, "an answer of a person that fits no row"),) if n_unused else ()
    if not reviewed.height:
        return Checked(table, {}, {}, unused)
    out = dict.fromkeys(reviewed.filter(~pl.col("keep"))["row"], ("taken out by a person who looked at it", ""))
    named = reviewed.filter(pl.col("keep") & (pl.col("label") != "") & (pl.col("label") != pl.col("reference")))
    labels = dict(named.select("row", "label").iter_rows())
    notes = {
        row: f"its label {old!r} is {new!r}, says a person"
        for row, old, new in named.select("row", "reference", "label").iter_rows()
    }
    checked = taken_out(table, out, "reviewed", "dropped")
    if not labels:
        return Checked(checked.table, checked.fates, {}, (*checked.findings, *unused))
    changed = pl.col("row").replace_strict(labels, default=pl.col("reference"), return_dtype=pl.String)
    told = finding("reviewed", "kept", "a label that a person corrected", named["source"].to_list())
    return Checked(
        checked.table.with_columns(changed.alias("reference")), checked.fates, notes, (*checked.findings, told, *unused)
    )


def unless_reviewed(
    step: Callable[[pl.DataFrame], Checked], reviews: pl.DataFrame
) -> Callable[[pl.DataFrame], Checked]:
    """Return a guard that looks at no row that a person has looked at: such rows pass."""
    if not reviews.height:
        return step

    def checked(table: pl.DataFrame) -> Checked:
        known = pl.col("key").is_in(reviews["key"].to_list())
        found = step(table.filter(~known))
        whole = pl.concat([found.table, table.filter(known)]).sort("row")
        return Checked(whole, found.fates, found.notes, found.findings)

    return checked
