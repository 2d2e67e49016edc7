"""The preferences of a cycle for people: what there is, by origin, and the doubted ones as a sheet to decide on.

Reads the vault; changes nothing. What people write in the sheet, the next cycle heeds.
"""

import polars as pl
from msgspec import Struct

from lifeloop.core.content import Id
from lifeloop.core.data import Finding
from lifeloop.core.preferences import Lean, Preferences, Rater
from lifeloop.lifecycle.data_review import plain
from lifeloop.stages.prefer import LEAK, NEAR_LEAK, REPEAT, TAKEN_OUT
from lifeloop.store.tables import from_parquet
from lifeloop.store.vault import Vault

COLUMNS = ("id", "input", "chosen", "rejected", "rater", "reason", "detail", "keep")
"""What a person finds in the sheet; `keep` is empty, and theirs to fill."""
_DECIDED = (LEAK, NEAR_LEAK, REPEAT, TAKEN_OUT)
"""Reasons that no answer of a person changes, and that of one who has answered."""


class Origin(Struct, frozen=True):
    """How many preferences came from one origin."""

    name: str
    n_trusted: int
    n_held_out: int
    n_doubted: int


class DoubtedRow(Struct, frozen=True):
    """One preference that is set aside."""

    id: str
    source: str
    rater: str
    input: str
    chosen: str
    rejected: str
    reason: str
    detail: str


class PreferencesSeen(Struct, frozen=True):
    """The preferences of a cycle."""

    cycle: int
    id: Id
    n_trusted: int
    n_held_out: int
    n_doubted: int
    flip_rate: float
    origins: tuple[Origin, ...]
    doubts: dict[str, int]
    """Reason to how many, the most first."""
    raters: tuple[Rater, ...]
    leans: tuple[Lean, ...]
    findings: tuple[Finding, ...]
    rows: tuple[DoubtedRow, ...]


def preferences_seen(vault: Vault, cycle: int, identifier: Id, n_rows: int) -> PreferencesSeen:
    """Return a cycle's preferences with the first `n_rows` of those that are set aside."""
    found = vault.get_value(identifier, Preferences)
    tables = [from_parquet(vault.get(table)) for table in (found.trusted, found.held_out, found.doubted)]
    names = sorted({name for table in tables for name in table["origin"].unique()})
    counts = [dict(table["origin"].value_counts().iter_rows()) for table in tables]
    origins = tuple(Origin(name, *(each.get(name, 0) for each in counts)) for name in names)
    doubted = tables[2]
    reasons = doubted.group_by("reason").len().sort("len", "reason", descending=[True, False])
    rows = doubted.head(n_rows).select(*DoubtedRow.__struct_fields__)
    return PreferencesSeen(
        cycle=cycle,
        id=identifier,
        n_trusted=found.n_trusted,
        n_held_out=found.n_held_out,
        n_doubted=found.n_doubted,
        flip_rate=found.flip_rate,
        origins=origins,
        doubts=dict(reasons.iter_rows()),
        raters=found.raters,
        leans=found.leans,
        findings=found.findings,
        rows=tuple(DoubtedRow(*row) for row in rows.iter_rows()),
    )


def review_sheet(vault: Vault, identifier: Id) -> pl.DataFrame:
    """Return the doubted preferences that a person may decide on, as COLUMNS; no cell is a formula to a spreadsheet."""
    doubted = from_parquet(vault.get(vault.get_value(identifier, Preferences).doubted))
    table = doubted.filter(~pl.col("reason").is_in(_DECIDED)).with_columns(pl.lit("").alias("keep"))
    return table.select(plain(name) if name not in ("id", "keep") else pl.col(name) for name in COLUMNS)
