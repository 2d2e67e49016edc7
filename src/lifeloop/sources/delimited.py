"""Rows of CSV and TSV files, each with the line it begins on.

Reads strictly, so that a stray or missing quote is seen; such a row becomes a flaw and reading goes on with the next
line, so that one quote never swallows the file. Knows nothing of what the columns mean.
"""

import csv
import io
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
from msgspec import Struct

from lifeloop.core.brief import Data
from lifeloop.core.errors import DataError
from lifeloop.sources.decoding import MOST_DAMAGED, is_damaged, read_bytes, read_text, repaired, wrong_encoding
from lifeloop.sources.rows import Record, check_columns, raw_table, share_damaged


class Delimited(Struct, frozen=True):
    """A table of lines whose fields stand between delimiters; the first line names the columns."""

    suffixes: tuple[str, ...]
    delimiters: tuple[str, ...]
    """Those the header may use; of equals, the first."""

    def read(self, path: Path, data: Data) -> pl.DataFrame:
        """Return the raw rows of a file; see `Source.read`."""
        lines = _lines(path, data.encoding)
        delimiter, header, first = _header(lines, self.delimiters, path)
        if any(map(is_damaged, header)):
            raise wrong_encoding(path, read_bytes(path), data.encoding)
        check_columns(header, data, path.name)
        table = raw_table(_records(lines, first, delimiter, header, path.name), data)
        if not table.height:
            raise DataError("a header, but no rows", where=path.name, fix="write rows below the header")
        if share_damaged(table) > MOST_DAMAGED:
            raise wrong_encoding(path, read_bytes(path), data.encoding)
        return table

    def sample(self, path: Path, encoding: str, limit: int) -> list[dict[str, str]]:
        """Return the first rows; see `Source.sample`."""
        lines = _lines(path, encoding)
        delimiter, header, first = _header(lines, self.delimiters, path)
        records = (record for record in _records(lines, first, delimiter, header, path.name) if not record.flaw)
        return [
            {name: repaired(text) for name, text in record.cells.items()} for record in itertools.islice(records, limit)
        ]


def _lines(path: Path, encoding: str) -> list[str]:
    """Return a file's lines with their ends; only \\n, \\r and \\r\\n end one."""
    return list(io.StringIO(read_text(path, encoding), newline=""))


def _header(lines: list[str], delimiters: tuple[str, ...], path: Path) -> tuple[str, list[str], int]:
    """Return the delimiter, the columns' names and the index of the line after the header."""
    start = next((index for index, line in enumerate(lines) if line.strip()), len(lines))
    found = []
    for delimiter in delimiters:
        reader = _reader(lines, start, delimiter)
        try:
            found.append((delimiter, next(reader), start + reader.line_num))
        except (csv.Error, StopIteration):
            continue
    if not found:
        fix = "the first line names the columns, with commas between them"
        raise DataError("the header cannot be read: a quote is not closed", where=f"{path.name}:{start + 1}", fix=fix)
    delimiter, names, first = max(found, key=lambda each: len(each[1]))
    return delimiter, [name.strip() for name in names], first


def _records(lines: list[str], first: int, delimiter: str, header: list[str], file: str) -> Iterator[Record]:
    """Yield the records from the line of index `first` on."""
    start = first
    suspect_until = first  # lines below this index may be the inside of a text whose quotes are broken
    while start < len(lines):
        reader = _reader(lines, start, delimiter)
        begin = start
        try:
            for fields in reader:
                end = start + reader.line_num
                yield from _record(fields, begin, end, header, file, begin < suspect_until)
                begin = end
            return
        except csv.Error as error:
            yield _broken(lines[begin], delimiter, header, f"{file}:{begin + 1}", error)
            suspect_until = max(suspect_until, start + reader.line_num)
            start = begin + 1


def _record(fields: list[str], begin: int, end: int, header: list[str], file: str, suspect: bool) -> Iterator[Record]:
    if not "".join(fields).strip() and len(fields) < 2:  # a blank line is no row
        return
    flaw = ""
    if len(fields) != len(header):
        lines = f" over lines {begin + 1} to {end}" if end > begin + 1 else ""
        flaw = f"another number of fields than the header: {len(fields)}, not {len(header)}{lines}"
    elif suspect and any('"' in field for field in fields):
        flaw = "a quote out of place: this line may be the inside of a text that begins above it"
    # Fields beyond the header's have no name, so they are kept in the last one: nothing that was there is lost.
    cells = dict(zip(header, fields, strict=False))
    if len(fields) > len(header):
        cells[header[-1]] = " ".join(fields[len(header) - 1 :])
    yield Record(f"{file}:{begin + 1}", cells, flaw)


def _broken(line: str, delimiter: str, header: list[str], place: str, error: csv.Error) -> Record:
    """Return the record of a line whose quotes are broken."""
    fields = line.rstrip("\r\n").split(delimiter)
    if delimiter == "\t" and len(fields) == len(header):  # in TSV a quote is often just a quote
        return Record(place, dict(zip(header, fields, strict=True)))
    never = "unexpected end of data" in str(error)
    flaw = "a quote that never closes" if never else "a quote out of place: it does not end its field"
    return Record(place, {}, flaw, line.rstrip("\r\n"))


def _reader(lines: list[str], start: int, delimiter: str) -> Any:
    csv.field_size_limit(sys.maxsize)  # the module's own limit would refuse a long text
    rest = map(lines.__getitem__, range(start, len(lines)))
    return csv.reader(rest, delimiter=delimiter, strict=True)


CSV = Delimited(suffixes=(".csv",), delimiters=(",", ";", "\t"))
TSV = Delimited(suffixes=(".tsv", ".tab"), delimiters=("\t",))
