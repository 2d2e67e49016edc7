"""Single rows of a version: what was read, what became of it, and why. The answer to "why is my row gone".

Reads ledger and vault a part at a time; changes neither.
"""

import contextlib
import difflib
from collections.abc import Iterator, Sequence
from typing import Literal

import polars as pl
from msgspec import Struct

from lifeloop.core.data import SPLITS, Dataset, DatasetPart, Fate, RawPart, Split
from lifeloop.core.errors import DataError
from lifeloop.lifecycle.data_versions import version_named
from lifeloop.project import Project
from lifeloop.reports.data_record import DataVersion
from lifeloop.store.dataset_parts import examples_of, fates_of, paired_parts
from lifeloop.store.tables import scan
from lifeloop.store.vault import Vault

Pairs = Sequence[tuple[RawPart, DatasetPart]]


class Wanted(Struct, frozen=True):
    """Which rows people ask for; "" is any."""

    what: str = ""
    """A source (`rows.csv:12`) or an id."""
    fate: Fate | Literal[""] = ""
    reason: str = ""
    """Part of the reason, whatever its case."""
    split: Split | Literal[""] = ""
    label: str = ""
    """The label as it came or as it is now."""


class SeenRow(Struct, frozen=True):
    """One row."""

    source: str
    id: str
    """As it came, or where it was given another, that."""
    origin: str
    fate: Fate
    reason: str
    detail: str
    split: str
    reference: str
    """As it came."""
    text: str
    """As it came."""
    withheld: bool
    """Whether text and reference are not shown: it is a guard row, and nobody asked to see those."""
    group: str
    """As it came, or where it is kept, what it belongs to."""
    reference_now: str = ""
    """In the dataset, where it is another."""
    text_now: str = ""
    """In the dataset, where it is another: personal data masked, say."""


class Seen(Struct, frozen=True):
    """The rows that were asked for."""

    version: DataVersion
    n_rows: int
    """How many there are."""
    rows: tuple[SeenRow, ...]
    """The first of them."""


def seen_rows(project: Project, name: str, wanted: Wanted, limit: int, *, guard: bool = False) -> Seen:
    """Return the rows of a version ("": the last) that are wanted, the first `limit` of them.

    Texts of guard rows come along only with `guard`. Raises DataError where a source or an id is named that is not
    there.
    """
    with contextlib.closing(project.open_ledger()) as ledger:
        vault = project.open_vault()
        version = version_named(ledger, vault, name)
        where = ledger.name
    parts = paired_parts(vault, vault.get_value(version.id, Dataset))
    rows: list[SeenRow] = []
    n_rows = 0
    for pair, found in _matching(vault, parts, wanted):
        n_rows += found.height
        if len(rows) < limit:
            rows += _seen(vault, pair, found.head(limit - len(rows)), guard=guard)
    if wanted.what and not n_rows:
        raise _missing(vault, parts, wanted, where)
    return Seen(version, n_rows, tuple(rows))


def _matching(vault: Vault, parts: Pairs, wanted: Wanted) -> Iterator[tuple[tuple[RawPart, DatasetPart], pl.DataFrame]]:
    """Yield each part that has wanted rows with what became of them."""
    about = [pl.lit(True), *(pl.col(name) == value for name in ("fate", "split") if (value := getattr(wanted, name)))]
    if wanted.reason:
        reason = pl.col("reason").str.to_lowercase().str.contains(wanted.reason.lower(), literal=True)
        about.append(reason)
    for raw, part in parts:
        rows = fates_of(vault, part).filter(pl.all_horizontal(about))
        if wanted.what and rows.height:
            named = (pl.col("source") == wanted.what) | pl.col("source").str.ends_with(f"/{wanted.what}")
            by_source = rows.filter(named)
            rows = by_source if by_source.height else _of_id(vault, raw, part, rows, wanted.what)
        if wanted.label and rows.height:
            rows = _of_label(vault, raw, part, rows, wanted.label)
        if rows.height:
            yield (raw, part), rows


def _of_id(vault: Vault, raw: RawPart, part: DatasetPart, rows: pl.DataFrame, identifier: str) -> pl.DataFrame:
    came = _raw(vault, raw, ["id"]).filter(pl.col("id") == identifier)["row"].to_list()
    now = _kept(vault, part, ["source", "id"]).filter(pl.col("id") == identifier)["source"].to_list()
    return rows.filter(pl.col("row").is_in(came) | pl.col("source").is_in(now))


def _of_label(vault: Vault, raw: RawPart, part: DatasetPart, rows: pl.DataFrame, label: str) -> pl.DataFrame:
    came = _raw(vault, raw, ["reference"]).filter(pl.col("reference").str.strip_chars() == label)["row"]
    now = _kept(vault, part, ["source", "reference"]).filter(pl.col("reference") == label)["source"]
    return rows.filter(pl.col("row").is_in(came.to_list()) | pl.col("source").is_in(now.to_list()))


def _raw(vault: Vault, raw: RawPart, columns: list[str]) -> pl.DataFrame:
    """Return columns of raw rows, with their place in the part as `row`."""
    table = scan((vault.get(raw.table),)).select(columns).collect()
    return table.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("row"))


def _kept(vault: Vault, part: DatasetPart, columns: list[str]) -> pl.DataFrame:
    return pl.concat([examples_of(vault, part, split, columns) for split in SPLITS])


def _seen(vault: Vault, pair: tuple[RawPart, DatasetPart], rows: pl.DataFrame, *, guard: bool) -> list[SeenRow]:
    raw, part = pair
    columns = ["id", "input", "reference", "group", "source"]
    came = _raw(vault, raw, columns[:-1])
    now = _kept(vault, part, columns).filter(pl.col("source").is_in(rows["source"].to_list())).unique("source")
    joined = rows.join(came, on="row", how="left", maintain_order="left").join(
        now, on="source", how="left", suffix="_now", maintain_order="left"
    )
    found = []
    for row in joined.iter_rows(named=True):
        withheld = row["split"] == "guard" and not guard
        text, text_now = row["input"], row["input_now"] or ""
        found.append(
            SeenRow(
                source=row["source"],
                id=row["id_now"] or row["id"],
                origin=raw.origin,
                fate=row["fate"],
                reason=row["reason"],
                detail=row["detail"],
                split=row["split"],
                reference="" if withheld else row["reference"],
                text="" if withheld else text,
                withheld=withheld,
                group=row["group_now"] or row["group"],
                reference_now="" if withheld else _other(row["reference"], row["reference_now"]),
                text_now="" if withheld else _other(text, text_now),
            )
        )
    return found


def _other(came: str, now: str | None) -> str:
    """Return what is there now where it is not what came."""
    return now if now and now != came else ""


def _missing(vault: Vault, parts: Pairs, wanted: Wanted, where: str) -> DataError:
    """Return the error for a row that is not there, with what may have been meant."""
    others = Wanted(what=wanted.what)
    if others != wanted and any(True for _ in _matching(vault, parts, others)):
        return DataError(
            f"{wanted.what!r} is there, but is not what the filters ask for",
            where=where,
            fix="leave --fate, --reason, --split and --label out",
        )
    first, last = [], []
    for _, part in parts:
        sources = fates_of(vault, part)["source"]
        if sources.len():
            first.append(sources[0])
            last.append(sources[-1])
    close = difflib.get_close_matches(wanted.what, [*first, *last], n=1, cutoff=0.3)
    fix = f"sources look like {close[0] if close else first[0]!r}" if first else "the version has no rows"
    return DataError(f"no row has the source or the id {wanted.what!r}", where=where, fix=fix)
