"""Rows of a sheet of a workbook (Excel, LibreOffice), each with the number that its row has there.

Cells are read as people see them: 3 and not 3.0, a date without a time at midnight. What stands above the header, rows
without anything and columns without a name are no data. A merged cell is its first one; the others are empty, and
rows that lack a value for it become flaws. Knows nothing of what the columns mean.
"""

import itertools
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from lifeloop.core.content import Id
from lifeloop.core.errors import DataError
from lifeloop.sources.files import file_at, fingerprint_of, name_of
from lifeloop.sources.rows import Record, check_columns, chunked, wanted
from lifeloop.sources.source import START, Chunk, Entry, Reading
from lifeloop.sources.unpacked import check_unpacked
from lifeloop.sources.worksheet import BATCH, read_sheet

Row = tuple[int, tuple[str | None, ...]]
"""A row's number in its sheet, from 1, and its cells."""

HEADER_ROWS = 20
"""The header is one of so many first rows that hold anything."""

_MIDNIGHT = re.compile(r"(\d{4}-\d\d-\d\d) 00:00:00")
_TIME = re.compile(r"1899-12-3[01] (\d\d:\d\d:\d\d)")  # a time alone is one of the day before the first
_ZIP, _COMPOUND = b"PK", b"\xd0\xcf\x11\xe0"


class Excel:
    """What `format = "excel"` names."""

    suffixes = (".xlsx", ".xlsm", ".xls", ".ods")

    def chunks(self, place: str, reading: Reading, entry: Entry = START) -> Iterator[Chunk]:
        """Yield the rows of the sheet `data.sheet`; see `Source.chunks`. It cannot be entered midway."""
        del entry
        path, file, data = file_at(place, reading), name_of(place, reading), reading.data
        n_rows = 0
        with _rows(path, file, data.sheet) as rows:
            columns, below = _header(rows, file, wanted(data))
            check_columns([column for column in columns if column], data, file)
            for chunk in chunked(_records(below, columns, file), data):
                n_rows += chunk.table.height
                yield chunk
        if not n_rows:
            raise DataError("a header, but no rows", where=file, fix="write rows below the header")

    def fingerprint(self, place: str, reading: Reading) -> Id:
        """Return the id of the file's bytes; see `Source.fingerprint`."""
        return fingerprint_of(file_at(place, reading), name_of(place, reading))

    def sample(self, place: str, reading: Reading, limit: int) -> list[dict[str, str]]:
        """Return the first rows; see `Source.sample`."""
        path, file = file_at(place, reading), name_of(place, reading)
        with _rows(path, file, reading.data.sheet) as rows:
            columns, below = _header(rows, file, ())
            records = itertools.islice(_records(below, columns, file), limit)
            return [{column: text or "" for column, text in record.cells.items()} for record in records]


@contextmanager
def _rows(path: Path, name: str, sheet: str) -> Iterator[Iterator[Row]]:
    """Give the rows of a sheet, from its first one on; they lie in a file that is read as they are needed."""
    with path.open("rb") as file:
        begin = file.read(4)
    if not begin:
        raise DataError("the file is empty", where=name, fix="write rows to it, or mend data.source")
    if begin == _COMPOUND and path.suffix.lower() != ".xls":  # Excel locks new workbooks up in a container of old ones
        raise DataError("the workbook is protected by a password", where=name, fix="save it without one")
    if begin.startswith(_ZIP):
        check_unpacked(path, name)
    with tempfile.TemporaryDirectory(prefix="lifeloop-sheet-") as folder:
        into = Path(folder) / "cells.arrow"
        read_sheet(path, name, sheet, into)
        yield _read(into)


def _read(file: Path) -> Iterator[Row]:
    cells = pl.scan_ipc(file)
    n_rows = cells.select(pl.len()).collect().item()
    for start in range(0, n_rows, BATCH):
        yield from enumerate(cells.slice(start, BATCH).collect().iter_rows(), start=start + 1)


def _header(rows: Iterator[Row], file: str, named: Sequence[str]) -> tuple[list[str], Iterator[Row]]:
    """Return the columns' names and the rows below them.

    The header is the first row with all columns that are named; without one, the first that names two columns, so that
    a title above the table is none.
    """
    filled = ((number, cells) for number, cells in rows if any(cell and not cell.isspace() for cell in cells))
    first = list(itertools.islice(filled, HEADER_ROWS))
    if not first:
        raise DataError("the sheet is empty", where=file, fix="set data.sheet to the one with the rows")
    headers = [[(cell or "").strip() for cell in cells] for _, cells in first]
    whole = [place for place, names in enumerate(headers) if named and set(named) <= set(names)]
    wide = [place for place, names in enumerate(headers) if sum(map(bool, names)) > 1]
    place = (whole or wide or [0])[0]
    return headers[place], itertools.chain(first[place + 1 :], filled)


def _records(rows: Iterator[Row], columns: Sequence[str], file: str) -> Iterator[Record]:
    for number, cells in rows:
        texts = {column: _seen(cell) for column, cell in zip(columns, cells, strict=True) if column}
        yield Record(f"{file}:{number}", texts)


def _seen(cell: str | None) -> str | None:
    """Return a cell's text as people see it; None for one without any."""
    if cell is None or not cell.strip():
        return None
    dated = _MIDNIGHT.fullmatch(cell) or _TIME.fullmatch(cell)
    return dated[1] if dated else cell


SOURCE = Excel()
