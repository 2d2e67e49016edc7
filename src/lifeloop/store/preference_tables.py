"""Preferences as a table, and back."""

from collections.abc import Collection, Sequence

import msgspec
import polars as pl
from msgspec import Struct

from lifeloop.core.content import Id
from lifeloop.core.preferences import Doubt, Preference, Preferences
from lifeloop.store.tables import from_parquet
from lifeloop.store.vault import Vault

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


def doubted_to_table(doubted: Sequence[tuple[Preference, Doubt]]) -> pl.DataFrame:
    """Return one row a quarantined preference, in order, with why: PREFERENCE_SCHEMA, `reason` and `detail`."""
    table = preferences_to_table([preference for preference, _ in doubted])
    return table.with_columns(
        pl.Series("reason", [doubt.reason for _, doubt in doubted], dtype=pl.String),
        pl.Series("detail", [doubt.detail for _, doubt in doubted], dtype=pl.String),
    )


def table_to_preferences(table: pl.DataFrame) -> list[Preference]:
    """Return the preferences of a table, in order; further columns are left out."""
    return [Preference(*row) for row in table.select(*PREFERENCE_SCHEMA).iter_rows()]


class Preferred(Struct, frozen=True):
    """What training is given of a cycle's preferences."""

    trusted: tuple[Preference, ...] = ()
    held_out: tuple[Preference, ...] = ()
    doubted: tuple[Preference, ...] = ()
    flip_rate: float = 0.0


NO_PREFERENCES = Preferred()


def read_preferences(vault: Vault, identifier: Id, unlike: Collection[str] = ()) -> Preferred:
    """Return the preferences of an id, without those that were set aside for one of the reasons in `unlike`.

    Raises StoreError where the vault lost them.
    """
    found = vault.get_value(identifier, Preferences)
    trusted, held_out, doubted = (
        from_parquet(vault.get(table)) for table in (found.trusted, found.held_out, found.doubted)
    )
    suspected = doubted.filter(~pl.col("reason").is_in(list(unlike)))
    return Preferred(
        tuple(table_to_preferences(trusted)),
        tuple(table_to_preferences(held_out)),
        tuple(table_to_preferences(suspected)),
        found.flip_rate,
    )
