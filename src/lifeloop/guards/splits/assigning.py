"""Which split each row belongs to, so that no group and no text is ever in two, whatever comes later.

Takes examined rows and the placements of earlier versions, gives the rows with `group` and `split` filled, `moved`
where a row was declared for another split, and the placements for the next version. A group or text that has a split
keeps it; how new groups get theirs is for `split_rules` and `split_declared`.
"""

from collections.abc import Callable, Sequence

import msgspec
import polars as pl
from msgspec import Struct

from lifeloop.core.brief import Data
from lifeloop.core.data import SPLITS, Finding, Split
from lifeloop.guards.guard import Checked, digest_of, finding, taken_out
from lifeloop.guards.splits.declared import Declared, by_column, declared
from lifeloop.guards.splits.rules import by_hash, by_time, stratified, with_times

PROTECTION: dict[Split, int] = {split: rank for rank, split in enumerate(SPLITS)}
"""How far a split is kept from training: a row that could be in two goes to the one of the higher rank."""

PLACEMENTS = {"name": pl.String, "split": pl.String}
"""Columns of the splits that were given: the hash of a group (`g:…`) or of a text (`t:…`), and its split."""

SYNTHETIC = pl.col("source").str.starts_with("synthetic:")
"""Rows that a model wrote: they only ever train."""

_BEFORE = "a text that an earlier version had in another split"


class Placed(Struct, frozen=True):
    """Rows in their splits."""

    checked: Checked
    placements: pl.DataFrame
    """Of PLACEMENTS: those there were, and those of this version's groups and texts."""


def nowhere_placed() -> pl.DataFrame:
    """Return the placements of a project without an earlier version."""
    return pl.DataFrame(schema=PLACEMENTS)


def assign_splits(
    table: pl.DataFrame, data: Data, placed: pl.DataFrame, labels_of: Callable[[str], Sequence[str]]
) -> Placed:
    """Return rows with their group and their split; rows whose declared split or time cannot be read are quarantined.

    A row without a group of its own is grouped with the rows of the same normalised input. `labels_of` gives the
    labels of a reference, for stratified splits.
    """
    readable = declared(table) if data.split else with_times(table, data.splits)
    rows = _named(readable.table)
    groups = rows.group_by("name", maintain_order=True).agg(pl.col("place").min(), SYNTHETIC.first().alias("made"))
    groups = groups.join(placed, on="name", how="left", maintain_order="left")
    groups = groups.with_columns(pl.when("made").then(pl.lit("train")).otherwise("split").alias("split"))
    ruled = _ruled(rows, groups, data, labels_of)
    found = pl.concat([groups.filter(pl.col("split").is_not_null()).select("name", "split"), ruled.groups])
    rows = rows.drop("split").join(found, on="name", how="left", maintain_order="left")
    rows = rows.with_columns(moved=pl.col("row").is_in(list(ruled.moved)))
    texts, kept = _by_text(rows, placed)
    extra = [name for name in kept.table.columns if name not in table.columns and name != "moved"]
    return Placed(
        Checked(
            table=kept.table.drop(extra),
            fates={**readable.fates, **kept.fates},
            notes={row: note for row, note in ruled.moved.items() if row not in kept.fates},
            findings=(*readable.findings, *ruled.findings, *_other_shares(groups, found, data), *kept.findings),
        ),
        _all_placements(placed, found, texts),
    )


def _named(table: pl.DataFrame) -> pl.DataFrame:
    """Return rows with their group filled, its `name` among the placements, and that of their `text`."""
    own = pl.col("group") != ""
    groups = table.filter(own)["group"].unique()
    names = pl.DataFrame(
        {"group": groups, "name": [f"g:{digest_of(group)}" for group in groups]},
        schema=dict.fromkeys(("group", "name"), pl.String),
    )
    text = pl.format("t:{}", "key")
    return table.join(names, on="group", how="left", maintain_order="left").with_columns(
        name=pl.when(SYNTHETIC).then("source").when(own).then("name").otherwise(text),
        group=pl.when(SYNTHETIC).then("source").when(own).then("group").otherwise("key"),
        text=text,
    )


def _ruled(rows: pl.DataFrame, groups: pl.DataFrame, data: Data, labels_of: Callable[[str], Sequence[str]]) -> Declared:
    """Return the splits of groups that have none, by the brief's rule."""
    shares = data.splits
    if data.split:
        return by_column(rows, groups, shares)
    new = groups.filter(pl.col("split").is_null())
    if shares.by == "time":
        latest = rows.group_by("name").agg(pl.col("seconds").max())
        new = by_time(new.join(latest, on="name", how="left", maintain_order="left"), shares)
    elif shares.by == "stratified":
        labelled = groups.join(_labels(rows, shares.column, labels_of), on="name", how="left", maintain_order="left")
        missing = pl.col("split").is_null()
        new = stratified(labelled.filter(missing), labelled.filter(~missing & ~pl.col("made")), shares, data.seed)
    else:
        new = by_hash(new, shares)
    return Declared(new.select("name", "split"), {}, ())


def _other_shares(groups: pl.DataFrame, found: pl.DataFrame, data: Data) -> list[Finding]:
    """Return that groups of earlier versions keep the splits away from the brief's shares, where they do."""
    if data.split or groups["split"].is_not_null().sum() == groups["made"].sum():
        return []
    counts = dict(found["split"].value_counts().iter_rows())
    far = []
    for name in SPLITS:
        asked, is_now = getattr(data.splits, name), counts.get(name, 0) / found.height
        if abs(is_now - asked) > max(0.05, 4 * (asked * (1 - asked) / found.height) ** 0.5):
            far.append(f"{name} {is_now:.2f} for {asked:g}")
    why = "the splits are not as large as the brief says, for groups keep the split they were first given"
    return [finding("splits", "kept", f"{why}: {', '.join(far)}", [])] if far else []


def _labels(rows: pl.DataFrame, column: str, labels_of: Callable[[str], Sequence[str]]) -> pl.DataFrame:
    """Return the distinct `labels` of each group, sorted: those of its references, or its values of a slice."""
    said = "slices" if column else "reference"
    known = {each: _values(each, column) if column else list(labels_of(each)) for each in rows[said].unique()}
    schema = {said: pl.String, "labels": pl.List(pl.String)}
    kinds = pl.DataFrame({said: list(known), "labels": list(known.values())}, schema=schema)
    told = rows.select("name", said).join(kinds, on=said, how="left")
    return told.group_by("name").agg(pl.col("labels").explode().drop_nulls().unique().sort())


def _values(slices: str, column: str) -> list[str]:
    return [str(msgspec.json.decode(slices).get(column, ""))]


def _by_text(rows: pl.DataFrame, placed: pl.DataFrame) -> tuple[pl.DataFrame, Checked]:
    """Return the splits of texts, where some are no group of their own, and the rows whose split agrees with them."""
    if (rows["name"] == rows["text"]).all():
        return pl.DataFrame(schema={"text": pl.String, "text_split": pl.String}), Checked(rows, {}, {}, ())
    texts = _texts(rows, placed)
    rows = rows.join(texts, on="text", how="left", maintain_order="left").with_columns(
        split=pl.when(pl.col("name") == pl.col("text")).then("text_split").otherwise("split")
    )
    return texts, _without_known_elsewhere(rows)


def _texts(rows: pl.DataFrame, placed: pl.DataFrame) -> pl.DataFrame:
    """Return the split of each `text`: the one it had (`known`), else the most protected that a row of it is in."""
    rank = pl.col("split").replace_strict(PROTECTION, return_dtype=pl.Int64)
    most = rows.group_by("text", maintain_order=True).agg(rank.max().alias("most"))
    before = placed.select(pl.col("name").alias("text"), pl.col("split").alias("before"))
    return most.join(before, on="text", how="left", maintain_order="left").select(
        "text",
        pl.coalesce("before", pl.col("most").replace_strict(list(range(len(SPLITS))), list(SPLITS))).alias(
            "text_split"
        ),
        pl.col("before").is_not_null().alias("known"),
    )


def _without_known_elsewhere(rows: pl.DataFrame) -> Checked:
    """Drop rows whose group is in another split than the one that their text had in an earlier version.

    Where the text is in that split still, and it is the more protected one, they are what `drop_duplicates` drops.
    """
    rank, text_rank = (
        pl.col(name).replace_strict(PROTECTION, return_dtype=pl.Int64) for name in ("split", "text_split")
    )
    elsewhere = rows.filter(pl.col("known") & (pl.col("split") != pl.col("text_split")))
    if not elsewhere.height:
        return Checked(rows, {}, {}, ())
    there = rows.filter(pl.col("known") & (pl.col("split") == pl.col("text_split"))).select("text").unique()
    repeats = elsewhere.filter(text_rank > rank).join(there, on="text", how="semi").select("row")
    gone = elsewhere.join(repeats, on="row", how="anti", maintain_order="left").select("row", "split", "text_split")
    out = {row: (_BEFORE, f"in {before}, where its group is in {now}") for row, now, before in gone.iter_rows()}
    return taken_out(rows, out, "splits", "dropped")


def _all_placements(placed: pl.DataFrame, groups: pl.DataFrame, texts: pl.DataFrame) -> pl.DataFrame:
    """Return what is placed now. The first word on a group or a text stands."""
    said = texts.select(pl.col("text").alias("name"), pl.col("text_split").alias("split"))
    new = pl.concat([said, groups]).join(placed, on="name", how="anti", maintain_order="left")
    return pl.concat([placed, new.unique("name", keep="first", maintain_order=True)])
