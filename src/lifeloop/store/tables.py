"""Tables as bytes: examples, raw rows, fates and answers to Parquet and back.

One Parquet writer with fixed settings, so that equal tables give equal bytes and so equal ids.
"""

import io
from collections.abc import Sequence
from typing import IO, TypeVar

import msgspec
import polars as pl
from msgspec import Struct

from lifeloop.core.candidates import Answer
from lifeloop.core.data import Example, RowFate

RAW_SCHEMA: dict[str, type[pl.DataType]] = {
    "id": pl.String,
    "input": pl.String,
    "reference": pl.String,
    "group": pl.String,
    "split": pl.String,
    "slices": pl.String,  # JSON object: column to value
    "source": pl.String,
    "flaw": pl.String,  # why the row could not be read, or ""
    "rejected": pl.String,  # of a preference pair, the answer that was liked less
    "time": pl.String,  # what data.splits.column holds, for splits by time
}
"""Columns of a table of raw rows, as they came, before anything is trusted. "" where there is nothing, never null."""

T = TypeVar("T", bound=Struct)


def to_parquet(table: pl.DataFrame) -> bytes:
    """Return the table as Parquet bytes, the same for equal tables."""
    buffer = io.BytesIO()
    table.write_parquet(buffer, compression="zstd", compression_level=3, statistics=False)
    return buffer.getvalue()


def from_parquet(data: bytes) -> pl.DataFrame:
    """Return the table that `to_parquet` wrote."""
    return pl.read_parquet(io.BytesIO(data))


def scan(parts: Sequence[bytes]) -> pl.LazyFrame:
    """Return several Parquet tables of one schema, one after the other, of which only what is asked for is read."""
    sources: list[IO[bytes]] = [io.BytesIO(data) for data in parts]
    return pl.scan_parquet(sources)


def examples_to_table(examples: Sequence[Example]) -> pl.DataFrame:
    """Return examples as a table; slices as JSON."""
    return _table(examples, Example)


def table_to_examples(table: pl.DataFrame) -> list[Example]:
    """Return the examples of a table."""
    return _values(table, Example)


def fates_to_table(fates: Sequence[RowFate]) -> pl.DataFrame:
    """Return fates as a table."""
    return _table(fates, RowFate)


def table_to_fates(table: pl.DataFrame) -> list[RowFate]:
    """Return the fates of a table."""
    return _values(table, RowFate)


def answers_to_table(ids: Sequence[str], answers: Sequence[Answer], repeats: int = 1) -> pl.DataFrame:
    """Return answers as a table, each with the id of its example and the number of the time it was asked (0 first).

    `answers` hold `repeats` in a row for every example; `ids` has one an answer too.
    """
    times = [place % repeats for place in range(len(ids))]
    return _table(answers, Answer).with_columns(
        pl.Series("example", list(ids), dtype=pl.String), pl.Series("repeat", times, dtype=pl.Int64)
    )


def table_to_answers(table: pl.DataFrame) -> list[Answer]:
    """Return the answers of a table, in its order."""
    return _values(table, Answer)


_TYPES: dict[object, type[pl.DataType]] = {str: pl.String, int: pl.Int64, float: pl.Float64}


def _schema(kind: type[Struct]) -> dict[str, type[pl.DataType]]:
    optional = {float | None: pl.Float64}
    return {
        field.name: _TYPES.get(field.type) or optional.get(field.type) or pl.String
        for field in msgspec.structs.fields(kind)
    }


def _table(values: Sequence[Struct], kind: type[Struct]) -> pl.DataFrame:
    columns: dict[str, list[object]] = {}
    for name in _schema(kind):
        column = [getattr(value, name) for value in values]
        columns[name] = [_json(cell) if isinstance(cell, dict) else cell for cell in column]
    return pl.DataFrame(columns, schema=_schema(kind))


def _values(table: pl.DataFrame, kind: type[T]) -> list[T]:
    rows = table.select(list(_schema(kind))).to_dicts()
    mappings = [field.name for field in msgspec.structs.fields(kind) if field.name == "slices"]
    for row in rows:
        for name in mappings:
            row[name] = msgspec.json.decode(row[name])
    return msgspec.convert(rows, list[kind])  # type: ignore[valid-type]


def _json(value: object) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()
