"""What a guard takes and gives: a table of rows in, the rows that pass out, with the fate of every other one.

The table has the columns of RAW_SCHEMA, and `row`, a row's place in the raw table, by which fates find their rows
again. Knows nothing of what a guard looks for.
"""

from collections.abc import Mapping

import polars as pl
from msgspec import Struct

from lifeloop.core.content import normalise
from lifeloop.core.data import Fate, Finding, RowFate

MOST_EXAMPLES = 5


class Checked(Struct, frozen=True):
    """What a guard found."""

    table: pl.DataFrame
    """The rows that passed, in order."""
    fates: dict[int, RowFate]
    """Of the rows that did not, by `row`."""
    notes: dict[int, str]
    """What was changed in rows that passed, by `row`."""
    findings: tuple[Finding, ...]


def numbered(raw: pl.DataFrame) -> pl.DataFrame:
    """Return raw rows with their place in the table as the column `row`."""
    return raw.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("row"))


def keyed(table: pl.DataFrame) -> pl.DataFrame:
    """Return rows with the column `key`: their normalised input, by which equal texts are known."""
    keys = [normalise(text) for text in table["input"]]
    return table.with_columns(pl.Series("key", keys, dtype=pl.String))


def taken_out(table: pl.DataFrame, out: Mapping[int, tuple[str, str]], step: str, fate: Fate) -> Checked:
    """Return the table without some rows. `out` is row to reason and detail; each reason makes one finding."""
    if not out:
        return Checked(table, {}, {}, ())
    gone = table["row"].is_in(list(out))
    sources = dict(table.filter(gone).select("row", "source").iter_rows())
    fates = {row: RowFate(source, fate, *out[row]) for row, source in sources.items()}
    by_reason: dict[str, list[str]] = {}
    for each in fates.values():
        by_reason.setdefault(each.reason, []).append(each.source)
    findings = tuple(finding(step, fate, reason, found) for reason, found in by_reason.items())
    return Checked(table.filter(~gone), fates, {}, findings)


def finding(step: str, fate: Fate, reason: str, sources: list[str]) -> Finding:
    """Return the finding about the rows that came from these sources."""
    return Finding(step, fate, len(sources), reason, tuple(sources[:MOST_EXAMPLES]))
