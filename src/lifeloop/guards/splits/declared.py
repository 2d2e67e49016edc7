"""Splits that the data itself declares, in a column: followed group by group, and never against a leak.

Takes rows with what they declare, gives new groups their splits and says which rows were moved. A group that declares
several goes to the most protected one; where nobody declares guard or validation, a share of train makes up for it.
"""

import polars as pl
from msgspec import Struct

from lifeloop.core.data import SPLITS, Finding, Split
from lifeloop.core.data_brief import Splits
from lifeloop.guards.guard import Checked, finding, taken_out
from lifeloop.guards.splits.rules import by_hash

_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "development": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
    "guard": "guard",
}

_DECLARES_NONE = pl.col("source").str.contains("^(feedback|synthetic):")
"""Rows that users taught or a model wrote."""
_LEAK = "declared for a split less protected than others of their group: moved to the most protected one"
_KEEPS = "declared for another split than the one that their group was first given: it keeps that"
_RANKS = {name: rank for rank, name in enumerate(SPLITS)}


class Declared(Struct, frozen=True):
    """What became of declarations."""

    groups: pl.DataFrame
    """`name` and `split` of each new group."""
    moved: dict[int, str]
    """By row: what became of a declaration that was not followed."""
    findings: tuple[Finding, ...]


def declared(table: pl.DataFrame) -> Checked:
    """Return rows with what they declare as `declares`, under our names; learned and synthetic rows declare "".

    Rows that declare a split of another name are quarantined.
    """
    ours = {value: _NAMES.get(value.strip().casefold(), "") for value in set(table["split"])}
    split = pl.when(_DECLARES_NONE).then(pl.lit("")).otherwise(pl.col("split").replace(ours))
    strange = table.filter(~_DECLARES_NONE & (split == "")).select("row", "split")
    reason = f"a split that is none of {', '.join(SPLITS)}"
    out = {row: (reason, f"it is {split!r}") for row, split in strange.iter_rows()}
    return taken_out(table.with_columns(split.alias("declares")), out, "splits", "quarantined")


def by_column(rows: pl.DataFrame, groups: pl.DataFrame, shares: Splits) -> Declared:
    """Return new groups' splits. `rows` have `name` and `declares`; `groups` all names, `place`, `split` or null."""
    saying = rows.filter(pl.col("declares") != "").select("row", "source", "name", "declares")
    rank = pl.col("declares").replace_strict(_RANKS, return_dtype=pl.Int64)
    votes = saying.group_by("name").agg(rank.max().alias("most"), pl.col("declares").n_unique().alias("n_said"))
    there = set(saying["declares"].unique())
    voted = groups.join(votes, on="name", how="left", maintain_order="left")
    new = voted.filter(pl.col("split").is_null())
    silent = by_hash(new.filter(pl.col("most").is_null()), shares)
    named = pl.col("most").replace_strict(list(range(len(SPLITS))), list(SPLITS), return_dtype=pl.String)
    guard, validation = (0.0 if name in there else getattr(shares, name) for name in ("guard", "validation"))
    carved = (
        pl.when(pl.col("place") < guard)
        .then(pl.lit("guard"))
        .when(pl.col("place") < guard + validation)
        .then(pl.lit("validation"))
        .otherwise(pl.lit("train"))
    )
    heard = new.filter(pl.col("most").is_not_null()).with_columns(
        split=pl.when(pl.col("most") == 0).then(carved).otherwise(named)
    )
    findings = [
        finding("splits", "kept", f"no row is declared {name}: taken from train", sources)
        for name in ("validation", "guard")
        if name not in there
        and (sources := _sources(saying, heard.filter((pl.col("most") == 0) & (pl.col("split") == name))))
    ]
    leaks = _moved(saying, heard.filter(pl.col("n_said") > 1))
    keeps = _moved(saying, _contradicted(voted.filter(pl.col("split").is_not_null() & pl.col("most").is_not_null())))
    told = [(_LEAK, leaks), (_KEEPS, keeps)]
    findings = [
        finding("splits", "kept", why, each["source"].to_list()) for why, each in told if each.height
    ] + findings
    moved = {
        row: f"moved from {said} to {split}: see its group"
        for row, said, split in pl.concat([leaks, keeps]).select("row", "declares", "split").iter_rows()
    }
    return Declared(pl.concat([silent.select("name", "split"), heard.select("name", "split")]), moved, tuple(findings))


def _contradicted(known: pl.DataFrame) -> pl.DataFrame:
    """Return placed groups whose declarations are not what was carved out of train for want of others."""
    carved = (pl.col("most") == 0) & pl.col("split").is_in(["guard", "validation"])
    return known.filter(~carved)


def _moved(saying: pl.DataFrame, groups: pl.DataFrame) -> pl.DataFrame:
    rows = saying.join(groups.select("name", "split"), on="name", how="inner", maintain_order="left")
    return rows.filter(pl.col("declares") != pl.col("split"))


def _sources(saying: pl.DataFrame, groups: pl.DataFrame) -> list[str]:
    return saying.join(groups.select("name"), on="name", how="semi", maintain_order="left")["source"].to_list()
