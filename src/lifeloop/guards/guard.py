"""What a guard takes and gives: a table of rows in, the rows that pass out, with the fate of every other one.

Guards that look at one row alone get a part of the raw rows: RAW_SCHEMA and `row`, the row's place in the part. Those
that look at all rows get EXAMINED without the texts, where `row` is the place in all raw rows; a text costs a read, so
they ask for those they need. Knows nothing of what a guard looks for.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import polars as pl
from msgspec import Struct

from lifeloop.core.content import bytes_id, fraction, normalise
from lifeloop.core.data import Fate, Finding, RowFate
from lifeloop.guards.near.sketch import sketches

MOST_EXAMPLES = 5

EXAMINED: dict[str, pl.DataType | type[pl.DataType]] = {
    "row": pl.Int64,
    "id": pl.String,
    "reference": pl.String,
    "group": pl.String,  # what the source says, or ""
    "split": pl.String,  # what the source declares, or ""
    "slices": pl.String,
    "source": pl.String,
    "time": pl.String,
    "key": pl.String,  # hash of the normalised input: equal for equal texts
    "exact": pl.String,  # hash of the input as it is
    "place": pl.Float64,  # in [0, 1), from the hash of the group: where the row falls among the splits
    "n_chars": pl.Int64,
    "n_words": pl.Int64,
    "sketch": pl.Binary,  # see guards/near/sketch.py
}
"""What all-row guards know of each row. The texts themselves (input, rejected) stay in the vault."""


class Texts(Protocol):
    """Reads inputs when they are asked for."""

    def __call__(self, rows: Sequence[int]) -> pl.Series:
        """Return the inputs (n,) of rows, which ascend."""


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


def examined(table: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return raw rows with the columns that all-row guards need: EXAMINED, and the texts `input` and `rejected`."""
    normal = [normalise(text) for text in table["input"]]
    groups = [group or text for group, text in zip(table["group"], normal, strict=True)]
    return table.with_columns(
        pl.Series("key", [_digest(text) for text in normal], dtype=pl.String),
        pl.Series("exact", [_digest(text) for text in table["input"]], dtype=pl.String),
        pl.Series("place", [fraction(group, seed) for group in groups], dtype=pl.Float64),
        pl.col("input").str.len_chars().cast(pl.Int64).alias("n_chars"),
        (pl.col("input").str.strip_chars().str.count_matches(r"\s+") + 1).cast(pl.Int64).alias("n_words"),
        sketches(normal).alias("sketch"),
    ).select(*EXAMINED, "input", "rejected")


def text_key(text: str) -> str:
    """Return what EXAMINED has as `key` for a text."""
    return _digest(normalise(text))


def _digest(text: str) -> str:
    """Return 64 bits of a text's hash: among a million texts, two share them once in 37 million data sets."""
    return bytes_id(text.encode("utf-8", "surrogatepass"))[:16]


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


def merged(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings of the parts of one table as findings of the whole, in the order in which they first appear."""
    whole: dict[tuple[str, Fate, str], Finding] = {}
    for each in findings:
        about = (each.step, each.fate, each.reason)
        before = whole.get(about)
        if before is None:
            whole[about] = each
            continue
        examples = (*before.examples, *each.examples)[:MOST_EXAMPLES]
        whole[about] = Finding(each.step, each.fate, before.n_rows + each.n_rows, each.reason, examples)
    return tuple(whole.values())
