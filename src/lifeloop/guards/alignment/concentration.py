"""Things that few raters have nearly to themselves, far more than how much they say would make it.

Takes what occurred with whom, gives the few raters of each thing and how probable that would be by chance. Knows
nothing of what the things are.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]

MOST_RATERS = 12
"""More than these are not few, and neither is more than a third of all."""


def on_few(occurred: pl.DataFrame, share: Floats) -> pl.DataFrame:
    """Return for each `key` the few raters who have most of it.

    `occurred` has `key` and `rater`, a row an occurrence; `share` (n_raters,) is how much of all each rater said. Gives
    `key`, `n` occurrences, `here` those of the few, `base` the share of all that the few said, `few` (a list of raters)
    and `p`: the binomial probability, with Bonferroni's correction for all choices of so many raters.
    """
    most = max(1, min(MOST_RATERS, int((share > 0).sum()) // 3))
    shares = pl.DataFrame({"rater": np.arange(len(share)), "share": share})
    ranked = (
        occurred.group_by("key", "rater")
        .len("count")
        .cast({"count": pl.Int64})
        .join(shares, on="rater")
        .sort("key", "count", "rater", descending=[False, True, False])
        .with_columns(
            pl.col("count").cum_sum().over("key").alias("here"),
            pl.col("share").cum_sum().over("key").alias("base"),
            pl.col("count").sum().over("key").alias("n"),
            pl.int_range(1, pl.len() + 1).over("key").alias("rank"),
        )
        .filter((pl.col("rank") <= most) & ((pl.col("count") > 1) | (pl.col("rank") == 1)))
    )
    if not ranked.height:
        return ranked.with_columns(pl.lit(1.0).alias("p"), pl.lit([]).alias("few")).select(
            "key", "n", "here", "base", "few", "p"
        )
    here, n, base, rank = (ranked[name].to_numpy() for name in ("here", "n", "base", "rank"))
    tail = special.bdtrc(here - 1, n, np.clip(base, 0.0, 1.0))
    p = np.minimum(tail * special.comb(len(share), rank), 1.0)
    scored = ranked.with_columns(pl.Series("p", np.maximum(p, 1e-300)))
    best = scored.sort("key", "p", "rank").group_by("key", maintain_order=True).first()
    few = (
        ranked.select("key", "rater", "rank")
        .join(best.select("key", pl.col("rank").alias("upto")), on="key")
        .filter(pl.col("rank") <= pl.col("upto"))
        .group_by("key")
        .agg(pl.col("rater").sort().alias("few"))
    )
    return best.join(few, on="key").select("key", "n", "here", "base", "few", "p").sort("key")


def together(p_values: list[float]) -> float:
    """Return the p-value of independent pieces of evidence (Fisher, 1932)."""
    logs = -np.log(np.maximum(p_values, 1e-300)).sum()
    terms = np.cumprod([1.0, *(logs / k for k in range(1, len(p_values)))])
    return float(np.exp(-logs) * terms.sum())
