"""How new groups get their splits: by their hash, by time, or so that each label falls into the shares.

Takes groups that no version has placed, gives each a split. Knows nothing of rows, texts and earlier versions.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import polars as pl

from lifeloop.core.content import fraction
from lifeloop.core.data import SPLITS, Split
from lifeloop.core.data_brief import Splits
from lifeloop.guards.guard import Checked, taken_out

_UNTIMED = pl.col("source").str.contains("^(feedback|synthetic):")
"""Rows that no source gave: nothing says when they are of."""
_FINER = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
"""Numbers above the first have so many to a second: in seconds, the last would be the year 5138."""


def hashed(group: str, shares: Splits, seed: int) -> Split:
    """Return the split in which the hash of a group falls, given the shares of train, validation, test and guard."""
    place = fraction(group, seed)
    return next(name for name, bound in _bounds(shares) if place < bound)


def by_hash(groups: pl.DataFrame, shares: Splits) -> pl.DataFrame:
    """Return groups (with `place`, in [0, 1)) with the `split` that their place falls in: `hashed` for many."""
    split = pl.lit(_bounds(shares)[-1][0])
    for name, bound in reversed(_bounds(shares)[:-1]):
        split = pl.when(pl.col("place") < bound).then(pl.lit(name)).otherwise(split)
    return groups.with_columns(split.cast(pl.String).alias("split"))


def by_time(groups: pl.DataFrame, shares: Splits) -> pl.DataFrame:
    """Return groups (with `seconds`, of their last row, and `place`) split by it: the oldest train.

    The newest share of test and guard is drawn among them by place, so that guard is not the very newest alone. Groups
    that no row has a time of, such as what users taught, go by their place.
    """
    untimed = by_hash(groups.filter(pl.col("seconds").is_null()), shares)
    groups = groups.filter(pl.col("seconds").is_not_null())
    ordered = groups.sort("seconds", "name").with_columns(rank=(pl.int_range(pl.len()) + 0.5) / pl.len())
    newest = shares.train + shares.validation
    among = shares.test / max(shares.test + shares.guard, 1e-12)
    late = pl.when(pl.col("place") < among).then(pl.lit("test")).otherwise(pl.lit("guard"))
    early = pl.when(pl.col("rank") < shares.train).then(pl.lit("train")).otherwise(pl.lit("validation"))
    placed = ordered.with_columns(split=pl.when(pl.col("rank") < newest).then(early).otherwise(late)).drop("rank")
    return pl.concat([placed, untimed])


def stratified(groups: pl.DataFrame, placed: pl.DataFrame, shares: Splits, seed: int) -> pl.DataFrame:
    """Return groups (with `labels`, a list, and `place`) split so that each label's groups fall into the shares.

    `placed` are groups with `labels` and `split` already: the new ones make up for what they lack. Groups with several
    labels go by iterative stratification (Sechidis, Tsoumakas and Vlahavas, 2011).
    """
    ordered = groups.sort("place", "name")
    if ordered.height and bool((ordered["labels"].list.len() > 1).any()):
        have = np.array([placed.filter(pl.col("split") == split).height for split in SPLITS])
        found = _iterative(ordered["labels"].to_list(), _lacking(ordered.height, have, shares), seed)
        return ordered.with_columns(split=pl.Series(found, dtype=pl.String))
    label = pl.col("labels").list.first().fill_null("").alias("label")
    there = placed.select(label, "split").group_by("label", "split").len()
    counts = {(name, split): n for name, split, n in there.iter_rows()}
    found = []
    for (name,), members in ordered.with_columns(label).group_by("label", maintain_order=True):
        have = np.array([counts.get((name, split), 0) for split in SPLITS])
        wanted = _quotas(members.height, _lacking(members.height, have, shares), shares)
        found.append(members.with_columns(split=pl.Series(np.repeat(SPLITS, wanted), dtype=pl.String)))
    return pl.concat(found).drop("label") if found else ordered.with_columns(split=pl.lit("").cast(pl.String))


def with_times(table: pl.DataFrame, splits: Splits) -> Checked:
    """Return rows with `seconds`, what their `time` says; for splits by time, rows whose time cannot be read go."""
    if splits.by != "time":
        return Checked(table, {}, {}, ())
    texts = table.filter(~_UNTIMED)["time"].unique().to_list()
    numbers, dates = ({text: read(text) for text in texts} for read in (_number, _date))
    if sum(each is not None for each in dates.values()) > sum(each is not None for each in numbers.values()):
        numbers = dates  # years and dates side by side mean nothing: what most say is what the column holds
    reason = "a time that cannot be read"
    unread = table.filter(~_UNTIMED & pl.col("time").is_in([text for text in texts if numbers[text] is None]))
    out = {row: (reason, f"it is {time!r}") for row, time in unread.select("row", "time").iter_rows()}
    checked = taken_out(table, out, "splits", "quarantined")
    seconds = checked.table["time"].replace_strict(numbers, default=None, return_dtype=pl.Float64).alias("seconds")
    return Checked(checked.table.with_columns(seconds), checked.fates, {}, checked.findings)


def seconds_of(text: str) -> float | None:
    """Return the seconds since 1970 that a number or a date says, or None where it cannot be read.

    Numbers too large for seconds are milliseconds, microseconds or nanoseconds, as clocks give them.
    """
    number = _number(text)
    if number is None:
        return _date(text)
    return next((number / scale for least, scale in _FINER if abs(number) > least), number)


def _bounds(shares: Splits) -> list[tuple[Split, float]]:
    """Return the splits that have a share, each with where in [0, 1) it ends; the last ends beyond."""
    bounds, bound = [], 0.0
    for name in SPLITS:
        bound += getattr(shares, name)
        if getattr(shares, name) > 0:
            bounds.append((name, bound))
    return [*bounds[:-1], (bounds[-1][0], 2.0)]  # shares add up to 1 but for rounding


def _lacking(n: int, have: np.ndarray, shares: Splits) -> np.ndarray:
    """Return the share of n new groups that each split lacks, given what it has; they add up to 1."""
    lacking = np.maximum(_shares(shares) * (have.sum() + n) - have, 0.0)
    return lacking / lacking.sum()


def _shares(shares: Splits) -> np.ndarray:
    return np.array([getattr(shares, split) for split in SPLITS])


def _quotas(n: int, lacking: np.ndarray, shares: Splits) -> np.ndarray:
    """Return how many of n new groups go to each split: by largest remainder, of ties to the larger share."""
    exact = lacking * n
    quotas = np.floor(exact + 1e-9).astype(int)
    order = sorted(
        range(len(exact)), key=lambda each: (-(round(exact[each] - quotas[each], 9)), -_shares(shares)[each])
    )
    for each in order[: n - int(quotas.sum())]:
        quotas[each] += 1
    return quotas


def _iterative(labels: Sequence[Sequence[str]], wanted: np.ndarray, seed: int) -> list[str]:
    from iterstrat.ml_stratifiers import IterativeStratification

    names = sorted({label for each in labels for label in each})
    column = {name: place for place, name in enumerate(names)}
    has = np.zeros((len(labels), len(names)), dtype=bool)
    for row, each in enumerate(labels):
        has[row, [column[label] for label in each]] = True
    folds = IterativeStratification(has, wanted, np.random.RandomState(seed))
    return [SPLITS[fold] for fold in folds]


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _date(text: str) -> float | None:
    """Return the seconds since 1970 of a date or time in ISO 8601, in UTC where it says nothing else."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
