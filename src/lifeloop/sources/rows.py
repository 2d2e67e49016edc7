"""From records, column to value, to the tables of raw rows: the last step of every source.

Takes what a format's reader found, in the brief's terms gives RAW_SCHEMA, in chunks. A record that cannot be used
becomes a row with its flaw, never an exception and never nothing. Knows nothing of files' formats.
"""

import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import polars as pl
from msgspec import Struct

from lifeloop.core.brief import Data
from lifeloop.core.content import canonical
from lifeloop.core.errors import DataError
from lifeloop.sources import source
from lifeloop.sources.decoding import MOST_DAMAGED, is_damaged, repaired
from lifeloop.sources.source import START, Chunk, Entry
from lifeloop.store.tables import RAW_SCHEMA

DAMAGED = "bytes that are not valid in the declared encoding"
"""The flaw of a row that could not be decoded."""


class Record(Struct, frozen=True):
    """One row as a reader found it."""

    place: str
    """`FILE:ROW`, or for folders `FOLDER/LABEL/FILE`."""
    cells: Mapping[str, Any]
    """Column to value: a text, or what JSON and Parquet know besides."""
    flaw: str = ""
    """Why it could not be read, `REASON` or `REASON: DETAIL`, or ""."""
    raw: str = ""
    """For a row with a flaw: what stands there, for people to see."""
    rejected: str = ""
    """Of a preference pair, the answer that was liked less."""
    end: Entry | None = None
    """Where in the source the next record begins; None where reading cannot begin there."""


def chunked(
    records: Iterable[Record], data: Data, entry: Entry = START, wrong: Callable[[], DataError] | None = None
) -> Iterator[Chunk]:
    """Yield records, the first of which stands at the entry, as chunks of raw rows.

    A chunk has source.CHUNK_ROWS rows, fewer where they hold more than source.CHUNK_CHARS characters. After the last
    one raises the error that `wrong` makes where more than MOST_DAMAGED of all rows, those before the entry included,
    could not be decoded.
    """
    n_rows, n_damaged = entry.rows, entry.damaged
    for held in _grouped(records):
        table = raw_table(held, data)
        n_rows += table.height
        n_damaged += n_flawed(table, DAMAGED)
        end = held[-1].end
        yield Chunk(table, end and Entry(end.offset, end.lines, n_rows, n_damaged))
    if wrong is not None and n_damaged > MOST_DAMAGED * n_rows:
        raise wrong()


def raw_table(records: Iterable[Record], data: Data) -> pl.DataFrame:
    """Return records as raw rows, in order. The columns the brief names that a record lacks make its flaw."""
    rows = list(records)
    columns: dict[str, list[str | None]] = {
        name: [value if type(value) is str else as_text(value) for value in (row.cells.get(column) for row in rows)]
        for name, column in _named(data).items()
    }
    columns["rejected"] = [row.rejected for row in rows]
    columns["source"] = [repaired(row.place) for row in rows]
    columns["flaw"] = [row.flaw for row in rows]
    slices = {name: [as_text(row.cells.get(name)) for row in rows] for name in data.slices}
    _note_flaws(columns, slices, rows, data)
    nothing = [""] * len(rows)
    table = {name: columns.get(name, nothing) for name in RAW_SCHEMA}
    table["slices"] = _as_json(slices, len(rows))
    return (
        pl.DataFrame(table, schema=RAW_SCHEMA)
        .with_columns(pl.all().fill_null(""))
        .with_columns(pl.when(pl.col("id") == "").then("source").otherwise("id").alias("id"))
    )


def n_flawed(table: pl.DataFrame, flaw: str) -> int:
    """Return how many raw rows have that flaw."""
    return int((table["flaw"] == flaw).sum())


def wanted(data: Data) -> tuple[str, ...]:
    """Return the columns that the brief names, each once."""
    return tuple(dict.fromkeys((*_named(data).values(), *data.slices)))


def check_columns(have: Sequence[str], data: Data, file: str) -> None:
    """Raise DataError if a column that the brief names is not there, or is there twice."""
    named = [(f"data.{_KEYS.get(name, name)}", column) for name, column in _named(data).items()]
    named += [("data.slices", column) for column in data.slices]
    for key, column in named:
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


_KEYS = {"time": "splits.column"}


def _named(data: Data) -> dict[str, str]:
    """Return the column in the source of each column of raw rows that the brief names one for."""
    named = {"input": data.input, "reference": data.reference, "id": data.id, "group": data.group, "split": data.split}
    named["time"] = data.splits.column if data.splits.by == "time" else ""
    return {name: column for name, column in named.items() if column}


def _grouped(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Yield records as many at a time as make a chunk."""
    held: list[Record] = []
    n_chars = 0
    for record in records:
        held.append(record)
        n_chars += len(record.raw) + len(record.rejected) + sum(map(_n_chars, record.cells.values()))
        if len(held) >= source.CHUNK_ROWS or n_chars > source.CHUNK_CHARS:
            yield held
            held, n_chars = [], 0
    if held:
        yield held


def _n_chars(value: Any) -> int:
    return len(value) if isinstance(value, str | bytes) else len(as_text(value) or "")


def _note_flaws(
    columns: dict[str, list[str | None]], slices: dict[str, list[str | None]], rows: Sequence[Record], data: Data
) -> None:
    """Write the flaw of each row that has one, and make its texts such as a table can hold."""
    named = [column for name, column in columns.items() if name not in ("source", "flaw")] + list(slices.values())
    for index, row in enumerate(rows):
        texts = [column[index] or "" for column in named]
        flaw = DAMAGED if is_damaged(row.raw) or any(map(is_damaged, texts)) else row.flaw
        if not flaw:
            missing = [getattr(data, name) for name in ("input", "reference") if columns[name][index] is None]
            flaw = f"no value: column {missing[0]!r}" if missing else ""
        if not flaw and any("\0" in text for text in texts):
            flaw = "a NUL byte"
        if flaw:
            columns["flaw"][index] = repaired(flaw)
            for column, text in zip(named, texts, strict=True):
                column[index] = repaired(text)
            columns["input"][index] = columns["input"][index] or repaired(row.raw)


def _as_json(slices: Mapping[str, Sequence[str | None]], n_rows: int) -> list[str]:
    """Return one JSON object a row, column to value."""
    if not slices:
        return ["{}"] * n_rows
    names = sorted(slices)
    encode = msgspec.json.Encoder(order="sorted").encode
    return [
        encode(dict(zip(names, (text or "" for text in row), strict=True))).decode()
        for row in zip(*(slices[name] for name in names), strict=True)
    ]
