"""Texts far longer or shorter than the others, or of far longer or shorter words.

Takes the numbers of characters and of words of all rows, gives those that stand apart: mostly a row that swallowed its
neighbours, an empty form, a key or a blob. Words and characters stand for tokens, which depend on the model. Reads no
text.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lifeloop.core.data import Finding
from lifeloop.core.data_brief import Outliers
from lifeloop.guards.guard import Checked, finding, taken_out

LEAST_ROWS = 20
"""Among fewer rows nothing stands apart."""
LEAST_SPREAD = 0.15
"""The standard deviation of the logarithm is never taken to be less: where all are as long, one may vary a little."""
NORMAL = 1.4826
"""The standard deviation of a normal distribution, by its median absolute deviation."""

_MEASURES = {
    "n_chars": ("a text far shorter than the others", "a text far longer than the others", "{} characters"),
    "n_words": ("a text of far fewer words than the others", "a text of far more words than the others", "{} words"),
    "chars_per_word": ("a text of far shorter words", "a text of far longer words", "{} characters a word"),
}


def check_outliers(table: pl.DataFrame, settings: Outliers) -> Checked:
    """Report texts that stand apart by length, or set them aside where `settings.action` is "quarantine".

    By robust z-scores of the logarithm (median and median absolute deviation; Iglewicz and Hoaglin, 1993). A row is
    counted once, by the first of characters, words and characters a word by which it stands apart.
    """
    if table.height < LEAST_ROWS:
        return Checked(table, {}, {}, ())
    per_word = pl.col("n_chars") / pl.max_horizontal(pl.col("n_words"), 1)
    measured = table.with_columns(per_word.alias("chars_per_word"))
    out: dict[int, tuple[str, str]] = {}
    far: dict[int, float] = {}
    rows = table["row"].to_numpy()
    for measure, (below, above, unit) in _MEASURES.items():
        values = measured[measure].to_numpy().astype(np.float64)
        scores, median = _robust(values)
        for place in np.flatnonzero(np.abs(scores) > settings.deviations).tolist():
            row = int(rows[place])
            if row not in out:
                said = f"{unit.format(f'{values[place]:.4g}')}, where the median is {median:.4g}"
                out[row] = (above if scores[place] > 0 else below, said)
                far[row] = abs(float(scores[place]))
    if settings.action == "quarantine":
        return taken_out(table, out, "outliers", "quarantined")
    return Checked(table, {}, {}, _told(table, out, far))


def _robust(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return how many robust standard deviations each value (n,) is off on a logarithmic scale, and the median."""
    logs = np.log(np.maximum(values, 1.0))
    middle = float(np.median(logs))
    spread = max(NORMAL * float(np.median(np.abs(logs - middle))), LEAST_SPREAD)
    return (logs - middle) / spread, float(np.exp(middle))


def _told(table: pl.DataFrame, out: dict[int, tuple[str, str]], far: dict[int, float]) -> tuple[Finding, ...]:
    """Return a finding for each reason, the rows that are farthest off first."""
    sources = dict(table.filter(pl.col("row").is_in(list(out))).select("row", "source").iter_rows())
    by_reason: dict[str, list[str]] = {}
    for row in sorted(out, key=lambda row: (-far[row], row)):
        by_reason.setdefault(out[row][0], []).append(sources[row])
    return tuple(finding("outliers", "kept", reason, by_reason[reason]) for reason in sorted(by_reason))
