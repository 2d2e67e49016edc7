"""What a guard takes and gives: a table of rows in, the rows that pass out, with the fate of every other one.

Guards that look at one row alone get a part of the raw rows: RAW_SCHEMA and `row`, the row's place in the part. Those
that look at all rows get EXAMINED without the texts, where `row` is the place in all raw rows; a text costs a read, so
they ask for those they need. Knows nothing of what a guard looks for.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec
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
    "rejected_key": pl.String,  # hash of a preference pair's rejected answer, or ""
    "place": pl.Float64,  # in [0, 1), from the hash of the group as it came: where the row falls among the splits
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


def placed(raw: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return raw rows with `place`: where each falls among the splits, by its group, or by its text.

    Taken before anything is masked, so that another key, or another kind of data to mask, moves no row.
    """
    texts = zip(raw["group"], raw["input"], strict=True)
    places = [fraction(group or normalise(text), seed) for group, text in texts]
    return raw.with_columns(pl.Series("place", places, dtype=pl.Float64))


def examined(table: pl.DataFrame) -> pl.DataFrame:
    """Return placed rows with the columns that all-row guards need: EXAMINED, and the texts `input` and `rejected`."""
    inputs = _without_tokens(table["input"])
    normal = [normalise(text) for text in inputs]
    return table.with_columns(
        pl.Series("key", [digest_of(text) for text in normal], dtype=pl.String),
        pl.Series("exact", [digest_of(text) for text in inputs], dtype=pl.String),
        pl.Series("rejected_key", [text and digest_of(text) for text in table["rejected"]], dtype=pl.String),
        pl.col("input").str.len_chars().cast(pl.Int64).alias("n_chars"),
        (pl.col("input").str.strip_chars().str.count_matches(r"\s+") + 1).cast(pl.Int64).alias("n_words"),
        sketches([_comparable(text, known) for text, known in zip(inputs, normal, strict=True)]).alias("sketch"),
    ).select(*EXAMINED, "input", "rejected")


def text_key(text: str) -> str:
    """Return what EXAMINED has as `key` for a text."""
    return digest_of(normalise(_TOKEN.sub(r"[\1]", text)))


def comparable(text: str) -> str:
    """Return the normalised text that near duplicates are told by: of a conversation, what people and model said.

    What all conversations of a set share, their system prompt and the signs around turns, would make them all alike.
    """
    text = _TOKEN.sub(r"[\1]", text)
    return _comparable(text, "") or normalise(text)


def _comparable(text: str, known: str) -> str:
    if not (text.startswith('[{"') and '"role"' in text):
        return known
    try:
        turns = msgspec.json.decode(text, type=list[_Turn])
    except msgspec.DecodeError:
        return known
    return normalise("\n".join(turn.content for turn in turns if turn.role != "system" and turn.content)) or known


class _Turn(Struct):
    role: str
    content: str | None = None


_TOKEN = re.compile(r"\[([A-Z_]+):[0-9a-f]{16}\]")


def _without_tokens(texts: pl.Series) -> pl.Series:
    """Return texts whose masks do not say which value they stand for: whether there was a key changes no duplicate."""
    return texts.str.replace_all(_TOKEN.pattern, "[${1}]")


def digest_of(text: str) -> str:
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
