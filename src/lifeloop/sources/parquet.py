"""Rows of a Parquet file, of which only the columns that the brief names are read, a batch at a time.

A value that is no text (a list of entities, a number, a date) becomes JSON or plain text; null is a missing value.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from lifeloop.core.content import Id
from lifeloop.core.errors import DataError
from lifeloop.sources import source
from lifeloop.sources.files import file_at, fingerprint_of, is_compressed, name_of
from lifeloop.sources.rows import Record, as_text, check_columns, chunked, wanted
from lifeloop.sources.source import START, Chunk, Entry, Reading


class Parquet:
    """What `format = "parquet"` names."""

    suffixes = (".parquet", ".pq")

    def chunks(self, place: str, reading: Reading, entry: Entry = START) -> Iterator[Chunk]:
        """Yield the raw rows of a file; see `Source.chunks`. None of them can be entered midway."""
        path, name, data = _path(place, reading), name_of(place, reading), reading.data
        try:
            check_columns(list(pl.read_parquet_schema(path)), data, name)
            found = False
            for chunk in chunked(_records(path, name, wanted(data)), data, entry):
                found = True
                yield chunk
        except _BROKEN as error:
            raise _unreadable(name, error) from None
        if not found:
            raise DataError("columns, but no rows", where=name, fix="write rows to it, or mend data.source")

    def fingerprint(self, place: str, reading: Reading) -> Id:
        """Return an id of the file's bytes; see `Source.fingerprint`."""
        return fingerprint_of(_path(place, reading), name_of(place, reading))

    def sample(self, place: str, reading: Reading, limit: int) -> list[dict[str, str]]:
        """Return the first rows; see `Source.sample`."""
        try:
            table = pl.scan_parquet(_path(place, reading), glob=False).head(limit).collect()
        except _BROKEN as error:
            raise _unreadable(name_of(place, reading), error) from None
        return [{name: as_text(value) or "" for name, value in row.items()} for row in table.iter_rows(named=True)]


_BROKEN = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


def _records(path: Path, name: str, columns: tuple[str, ...]) -> Iterator[Record]:
    """Yield the rows, of which the engine holds a row group or two, never the file."""
    scan = pl.scan_parquet(path, glob=False, parallel="columns", low_memory=True).select(columns)
    number = 0
    for batch in scan.collect_batches(chunk_size=source.CHUNK_ROWS, lazy=True):
        for row in batch.iter_rows(named=True):
            number += 1
            yield Record(f"{name}:{number}", row)


def _path(place: str, reading: Reading) -> Path:
    path = file_at(place, reading)
    if is_compressed(path):
        fix = "expand it: Parquet is compressed within"
        raise DataError("a compressed Parquet file", where=name_of(place, reading), fix=fix)
    return path


def _unreadable(name: str, error: BaseException) -> DataError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    fix = "it is damaged or was cut short: write or copy it again"
    return DataError(f"not a Parquet file that can be read ({reason[:200]})", where=name, fix=fix)


SOURCE = Parquet()
