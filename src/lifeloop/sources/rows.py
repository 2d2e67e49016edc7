"""From records, column to value, to the table of raw rows: the last step of every source.

Takes what a format's reader found, in the brief's terms gives RAW_SCHEMA. A record that cannot be used becomes a row
with its flaw, never an exception and never nothing. Knows nothing of files' formats.
"""

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import polars as pl
from msgspec import Struct

from lifeloop.core.brief import Data
from lifeloop.core.content import canonical
from lifeloop.core.errors import DataError
from lifeloop.sources.decoding import is_damaged, repaired
from lifeloop.store.tables import RAW_SCHEMA

DAMAGED = "bytes that are not valid in the declared encoding"
"""The flaw of a row that could not be decoded."""


class Record(Struct, frozen=True):
    """One row as a reader found it."""

    place: str
    """`FILE:ROW`, or for folders `LABEL/FILE`."""
    cells: Mapping[str, Any]
    """Column to value: a text, or what JSON and Parquet know besides."""
    flaw: str = ""
    """Why it could not be read, `REASON` or `REASON: DETAIL`, or ""."""
    raw: str = ""
    """For a row with a flaw: what stands there, for people to see."""


def raw_table(records: Iterable[Record], data: Data) -> pl.DataFrame:
    """Return records as raw rows, in order. The columns the brief names that a record lacks make its flaw."""
    columns: dict[str, list[str]] = {name: [] for name in RAW_SCHEMA}
    for record in records:
        for name, value in _row(record, data).items():
            columns[name].append(value)
    return pl.DataFrame(columns, schema=RAW_SCHEMA)


def share_damaged(table: pl.DataFrame) -> float:
    """Return the share of raw rows that could not be decoded."""
    return table["flaw"].to_list().count(DAMAGED) / max(1, table.height)


def check_columns(have: Sequence[str], data: Data, file: str) -> None:
    """Raise DataError if a column that the brief names is not there, or is there twice."""
    named = {"input": data.input, "reference": data.reference, "id": data.id, "group": data.group, "split": data.split}
    wanted = [(f"data.{key}", column) for key, column in named.items() if column]
    wanted += [("data.slices", column) for column in data.slices]
    for key, column in wanted:
        if column not in have:
            close = difflib.get_close_matches(column, have, n=1)
            guess = f"did you mean {close[0]!r}? " if close else ""
            listed = ", ".join(have[:20]) + (", …" if len(have) > 20 else "")
            fix = f"{guess}set {key} to one of the columns there are: {listed or 'none'}"
            raise DataError(f"there is no column {column!r}", where=file, fix=fix)
        if list(have).count(column) > 1:
            raise DataError(f"there are two columns {column!r}", where=file, fix="rename one of them")


def as_text(value: Any) -> str | None:
    """Return a value as the text that raw rows hold: JSON for what is no text, None for nothing."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    try:
        text = canonical(value).decode()
    except (OverflowError, TypeError):  # whole numbers beyond 64 bits, types that JSON has no word for
        return str(value)
    except RecursionError:
        return None
    return msgspec.json.decode(text) if text.startswith('"') else text  # a date, say, is a text without its quotes


def _row(record: Record, data: Data) -> dict[str, str]:
    cells = {
        "input": as_text(record.cells.get(data.input)),
        "reference": as_text(record.cells.get(data.reference)),
        "id": as_text(record.cells.get(data.id)) if data.id else "",
        "group": as_text(record.cells.get(data.group)) if data.group else "",
        "split": as_text(record.cells.get(data.split)) if data.split else "",
    }
    slices = {name: as_text(record.cells.get(name)) or "" for name in data.slices}
    texts = {name: text or "" for name, text in cells.items()}
    damaged = any(map(is_damaged, (*texts.values(), *slices.values(), record.raw)))
    flaw = DAMAGED if damaged else record.flaw
    if not flaw:
        missing = [getattr(data, name) for name in ("input", "reference") if cells[name] is None]
        flaw = f"no value: column {missing[0]!r}" if missing else ""
    if not flaw and any("\0" in text for text in (*texts.values(), *slices.values())):
        flaw = "a NUL byte"
    if flaw:
        texts = {name: repaired(text) for name, text in texts.items()}
        slices = {name: repaired(text) for name, text in slices.items()}
        texts["input"] = texts["input"] or repaired(record.raw)
    place = repaired(record.place)
    texts["id"] = texts["id"] or place
    return {**texts, "slices": canonical(slices).decode(), "source": place, "flaw": repaired(flaw)}
