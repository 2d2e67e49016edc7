"""Rows of a Parquet file, of which only the columns that the brief names are read.

A value that is no text (a list of entities, a number, a date) becomes JSON or plain text; null is a missing value.
"""

import io
from pathlib import Path

import polars as pl

from lifeloop.core.brief import Data
from lifeloop.core.errors import DataError
from lifeloop.sources.decoding import read_bytes
from lifeloop.sources.rows import Record, as_text, check_columns, raw_table


class Parquet:
    """What `format = "parquet"` names."""

    suffixes = (".parquet", ".pq")

    def read(self, path: Path, data: Data) -> pl.DataFrame:
        """Return the raw rows of a file; see `Source.read`."""
        content = read_bytes(path)
        try:
            check_columns(list(pl.read_parquet_schema(io.BytesIO(content))), data, path.name)
            named = (data.input, data.reference, data.id, data.group, data.split, *data.slices)
            table = pl.read_parquet(io.BytesIO(content), columns=list(dict.fromkeys(filter(None, named))))
        except _BROKEN as error:
            raise _unreadable(path, error) from None
        if not table.height:
            raise DataError("columns, but no rows", where=path.name, fix="write rows to it, or mend data.source")
        rows = enumerate(table.iter_rows(named=True), start=1)
        return raw_table((Record(f"{path.name}:{number}", row) for number, row in rows), data)

    def sample(self, path: Path, encoding: str, limit: int) -> list[dict[str, str]]:
        """Return the first rows; see `Source.sample`."""
        del encoding
        try:
            table = pl.read_parquet(io.BytesIO(read_bytes(path)), n_rows=limit)
        except _BROKEN as error:
            raise _unreadable(path, error) from None
        return [{name: as_text(value) or "" for name, value in row.items()} for row in table.iter_rows(named=True)]


_BROKEN = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


def _unreadable(path: Path, error: BaseException) -> DataError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    fix = "it is damaged or was cut short: write or copy it again"
    return DataError(f"not a Parquet file that can be read ({reason[:200]})", where=path.name, fix=fix)


SOURCE = Parquet()
