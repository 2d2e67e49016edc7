"""Preferences as a table, and back."""

from collections.abc import Sequence

import msgspec
import polars as pl

from lifeloop.core.preferences import Preference

PREFERENCE_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "id": pl.String,
    "input": pl.String,
    "chosen": pl.String,
    "rejected": pl.String,
    "rater": pl.String,
    "subject": pl.String,
    "at": pl.Float64,
    "origin": pl.String,
    "source": pl.String,
    "shown_first": pl.String,
    "weight": pl.Float64,
}
"""The fields of Preference, in order. Tables of quarantined ones have `reason` and `detail` besides."""


def preferences_to_table(preferences: Sequence[Preference]) -> pl.DataFrame:
    """Return one row a preference, in order."""
    rows = [msgspec.structs.astuple(preference) for preference in preferences]
    return pl.DataFrame(rows, schema=PREFERENCE_SCHEMA, orient="row")


def table_to_preferences(table: pl.DataFrame) -> list[Preference]:
    """Return the preferences of a table, in order; further columns are left out."""
    return [Preference(*row) for row in table.select(*PREFERENCE_SCHEMA).iter_rows()]
