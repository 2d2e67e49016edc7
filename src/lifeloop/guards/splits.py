"""Which split each row belongs to, so that no group is ever in two and none moves when data is added.

Takes keyed rows, gives them with `group` and `split` filled, and `moved` where a row was declared for another split.
By a stable hash of the group, or by the column that declares splits: then groups that leak are drawn together.
"""

import polars as pl

from lifeloop.core.brief import Data, Splits
from lifeloop.core.content import fraction
from lifeloop.core.data import SPLITS, Split
from lifeloop.guards.guard import Checked, finding, taken_out

PROTECTION: dict[Split, int] = {split: rank for rank, split in enumerate(SPLITS)}
"""How far a split is kept from training: a row that could be in two goes to the one of the higher rank."""

_DECLARED: dict[str, Split] = {
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

_LEARNED = pl.col("source").str.starts_with("feedback:")
_LEAK = "declared for a split less protected than others of their group: moved to the most protected one"


def assign_splits(table: pl.DataFrame, data: Data) -> Checked:
    """Return keyed rows with their group and their split; rows that declare an unknown split are quarantined.

    A row without a group of its own is grouped with the rows of the same normalised input.
    """
    grouped = table.with_columns(pl.when(pl.col("group") == "").then("key").otherwise("group").alias("group"))
    if data.split:
        return _by_column(grouped, data)
    split = {group: hashed(group, data.splits, data.seed) for group in set(grouped["group"])}
    return Checked(_with_split(grouped, split).with_columns(moved=pl.lit(False)), {}, {}, ())


def hashed(group: str, shares: Splits, seed: int) -> Split:
    """Return the split in which the hash of a group falls, given the shares of train, validation, test and guard."""
    place = fraction(group, seed)
    bound = 0.0
    for name in SPLITS:
        bound += getattr(shares, name)
        if place < bound:
            return name
    return next(name for name in reversed(SPLITS) if getattr(shares, name) > 0)  # shares add up to 1 but for rounding


def _by_column(grouped: pl.DataFrame, data: Data) -> Checked:
    """Follow the declared splits, group by group; see `_settled`."""
    checked = _declared(grouped)
    rows = checked.table.filter(~_LEARNED)
    votes: dict[str, set[Split]] = {}
    for group, split in rows.select("group", "split").iter_rows():
        votes.setdefault(group, set()).add(split)
    settled = _settled(set(checked.table["group"]), votes, data)
    within = rows.select("row", "source", "group", "split").rows()
    moved = [each for each in within if len(votes[each[2]]) > 1 and settled[each[2]] != each[3]]
    notes = {row: f"moved from {split} to {settled[group]}: see its group" for row, _, group, split in moved}
    findings = list(checked.findings)
    if moved:
        findings.append(finding("splits", "kept", _LEAK, [source for _, source, _, _ in moved]))
    for name in SPLITS:
        carved = [source for _, source, group, _ in within if votes[group] == {"train"} and settled[group] == name]
        if carved and name != "train":
            findings.append(finding("splits", "kept", f"no row is declared {name}: taken from train", carved))
    table = _with_split(checked.table, settled).with_columns(moved=pl.col("row").is_in(list(notes)))
    return Checked(table, checked.fates, notes, tuple(findings))


def _declared(grouped: pl.DataFrame) -> Checked:
    """Return rows with the split they declare under our name for it; learned rows declare none."""
    ours = {value: _DECLARED.get(value.strip().casefold(), "") for value in set(grouped["split"])}
    split = pl.when(_LEARNED).then(pl.lit("")).otherwise(pl.col("split").replace(ours))
    strange = grouped.filter(~_LEARNED & (split == "")).select("row", "split")
    reason = f"a split that is none of {', '.join(SPLITS)}"
    out = {row: (reason, f"it is {split!r}") for row, split in strange.iter_rows()}
    return taken_out(grouped.with_columns(split.alias("split")), out, "splits", "quarantined")


def _settled(groups: set[str], votes: dict[str, set[Split]], data: Data) -> dict[str, Split]:
    """Return each group's split: the most protected one its rows declare, or for learned ones where its hash falls.

    Where no row at all declares guard, or validation, that share of the groups of train makes up for it.
    """
    there: set[Split] = set().union(*votes.values())
    guard = 0.0 if "guard" in there else data.splits.guard
    validation = 0.0 if "validation" in there else data.splits.validation
    settled: dict[str, Split] = {}
    for group in groups:
        if group not in votes:
            settled[group] = hashed(group, data.splits, data.seed)
            continue
        split = max(votes[group], key=PROTECTION.__getitem__)
        settled[group] = _carve(group, guard, validation, data.seed) if split == "train" else split
    return settled


def _carve(group: str, guard: float, validation: float, seed: int) -> Split:
    place = fraction(group, seed)
    if place < guard:
        return "guard"
    return "validation" if place < guard + validation else "train"


def _with_split(table: pl.DataFrame, split: dict[str, Split]) -> pl.DataFrame:
    return table.with_columns(pl.Series("split", [split[group] for group in table["group"]], dtype=pl.String))
