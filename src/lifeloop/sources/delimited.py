"""Rows of CSV and TSV files, each with the line it begins on.

Reads strictly, so that a stray or missing quote is seen; such a row becomes a flaw and reading goes on with the next
line, so that one quote never swallows the file. Knows nothing of what the columns mean.
"""

import contextlib
import csv
import itertools
import sys
from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import Any

from msgspec import Struct

from lifeloop.core.content import Id
from lifeloop.core.errors import DataError
from lifeloop.sources.decoding import is_damaged, repaired
from lifeloop.sources.files import file_at, fingerprint_of, name_of
from lifeloop.sources.lines import TOO_LONG, Line, damage_in, lines
from lifeloop.sources.rows import Record, check_columns, chunked
from lifeloop.sources.source import START, Chunk, Entry, Reading

REACH_CHARS = 8_000_000
REACH_LINES = 20_000
"""A quoted text that goes on for more characters or lines below the one it begins on is held for one that never closes:
so many are read, and held, before the next line gets its turn."""


class Delimited(Struct, frozen=True):
    """A table of lines whose fields stand between delimiters; the first line names the columns."""

    suffixes: tuple[str, ...]
    delimiters: tuple[str, ...]
    """Those the header may use; of equals, the first."""

    def chunks(self, place: str, reading: Reading, entry: Entry = START) -> Iterator[Chunk]:
        """Yield the raw rows of a file; see `Source.chunks`."""
        path, name, data = file_at(place, reading), name_of(place, reading), reading.data
        wrong = partial(damage_in, path, data.encoding, name)
        header, below = self._header(place, reading)
        if any(map(is_damaged, header.names)):
            raise wrong()
        check_columns(header.names, data, name)
        if entry != START:
            below = _Lines(lines(path, data.encoding, entry, name))
        n_rows = entry.rows
        for chunk in chunked(_records(below, header, name), data, entry, wrong):
            n_rows += chunk.table.height
            yield chunk
        if not n_rows:
            raise DataError("a header, but no rows", where=name, fix="write rows below the header")

    def fingerprint(self, place: str, reading: Reading) -> Id:
        """Return an id of the file's bytes; see `Source.fingerprint`."""
        return fingerprint_of(file_at(place, reading), name_of(place, reading))

    def sample(self, place: str, reading: Reading, limit: int) -> list[dict[str, str]]:
        """Return the first rows; see `Source.sample`."""
        header, below = self._header(place, reading)
        records = (record for record in _records(below, header, name_of(place, reading)) if not record.flaw)
        return [
            {name: repaired(text) for name, text in record.cells.items()} for record in itertools.islice(records, limit)
        ]

    def _header(self, place: str, reading: Reading) -> "tuple[_Header, _Lines]":
        """Return the header, and the lines below it."""
        name = name_of(place, reading)
        below = _Lines(lines(file_at(place, reading), reading.data.encoding, name=name))
        first = below.skip_blank()
        found = []
        for delimiter in self.delimiters:
            with contextlib.suppress(csv.Error):
                found.append((delimiter, next(_reader(below, delimiter)), len(below.taken)))
            below.put_back(0)
        if not found:
            what = TOO_LONG if first.cut else "a quote is not closed"
            fix = "the first line names the columns, with commas between them"
            raise DataError(f"the header cannot be read: {what}", where=f"{name}:{first.number}", fix=fix)
        delimiter, names, n_lines = max(found, key=lambda each: len(each[1]))
        below.skip(n_lines)
        return _Header(delimiter, [name.strip() for name in names]), below


class _Header(Struct, frozen=True):
    delimiter: str
    names: list[str]


class _Lines:
    """The lines of a file for a CSV reader, which can be put back when a quote has swallowed them."""

    def __init__(self, stream: Iterator[Line]) -> None:
        self._stream = stream
        self._back: deque[Line] = deque()
        self.taken: list[Line] = []
        """Those of the record that is being read, or was read last."""

    def texts(self) -> Iterator[str]:
        """Yield the lines' texts, and note them as taken. Raises csv.Error where one record takes too many."""
        n_chars = 0
        while (line := self._next()) is not None:
            n_chars = n_chars + len(line.text) if self.taken else 0
            self.taken.append(line)
            if line.cut or n_chars > REACH_CHARS or len(self.taken) > REACH_LINES:
                raise csv.Error(_NEVER)
            yield line.text

    def finish(self) -> tuple[Line, Line, Entry | None]:
        """Return the first and the last line of the record that was read, and where the next one begins.

        It is None where what was read so far rests on lines below it: those might change while these do not.
        """
        first, last = self.taken[0], self.taken[-1]
        self.taken = []
        return first, last, None if self._back else last.end

    def put_back(self, keep: int) -> None:
        """Take only the first lines; the others are to be read again."""
        self._back.extendleft(reversed(self.taken[keep:]))
        self.taken = self.taken[:keep]

    def skip(self, n: int) -> None:
        """Leave out the next lines."""
        for _ in range(n):
            self._next()

    def skip_blank(self) -> Line:
        """Leave out the next lines up to one that is not blank, which is returned, and is still to be read."""
        while (line := self._next()) is not None:
            if line.text.strip():
                break
        assert line is not None  # a file of blank lines is refused as an empty one
        self._back.appendleft(line)
        return line

    def _next(self) -> Line | None:
        return self._back.popleft() if self._back else next(self._stream, None)


_NEVER = "unexpected end of data"
"""What the csv module says where the file ends within quotes."""


def _records(below: _Lines, header: _Header, file: str) -> Iterator[Record]:
    suspect_until = 0  # lines up to this one may be the inside of a text whose quotes are broken
    while True:
        try:
            for fields in _reader(below, header.delimiter):
                first, last, end = below.finish()
                if len(fields) < 2 and not "".join(fields).strip():  # a blank line is no row
                    continue
                flaw, cells = "", dict(zip(header.names, fields, strict=False))
                if len(fields) != len(header.names) or first.number <= suspect_until:
                    flaw = _flaw(fields, first, last, header, first.number <= suspect_until)
                    cells = _padded(cells, fields, header)
                yield Record(f"{file}:{first.number}", cells, flaw, end=end)
            return
        except csv.Error as error:
            suspect_until = max(suspect_until, below.taken[-1].number)
            below.put_back(1)
            first, _, end = below.finish()
            yield _broken(first, header, f"{file}:{first.number}", str(error), end)


def _flaw(fields: list[str], first: Line, last: Line, header: _Header, suspect: bool) -> str:
    n_names = len(header.names)
    if len(fields) != n_names:
        over = f" over lines {first.number} to {last.number}" if last.number > first.number else ""
        return f"another number of fields than the header: {len(fields)}, not {n_names}{over}"
    if suspect and any('"' in field for field in fields):
        return "a quote out of place: this line may be the inside of a text that begins above it"
    return ""


def _padded(cells: dict[str, str], fields: list[str], header: _Header) -> dict[str, str]:
    """Return the cells with the fields beyond the header's, which have no name, in the last one: nothing is lost."""
    n_names = len(header.names)
    return {**cells, header.names[-1]: " ".join(fields[n_names - 1 :])} if len(fields) > n_names else cells


def _broken(first: Line, header: _Header, place: str, error: str, end: Entry | None) -> Record:
    """Return the record of a line whose quotes are broken, or that is too long."""
    line = first.text.rstrip("\r\n")
    if first.cut:
        return Record(place, {}, TOO_LONG, line, end=end)
    fields = line.split(header.delimiter)
    if header.delimiter == "\t" and len(fields) == len(header.names):  # in TSV a quote is often just a quote
        return Record(place, dict(zip(header.names, fields, strict=True)), end=end)
    flaw = "a quote that never closes" if _NEVER in error else "a quote out of place: it does not end its field"
    return Record(place, {}, flaw, line, end=end)


def _reader(below: _Lines, delimiter: str) -> Any:
    csv.field_size_limit(sys.maxsize)  # the module's own limit would refuse a long text
    return csv.reader(below.texts(), delimiter=delimiter, strict=True)


CSV = Delimited(suffixes=(".csv",), delimiters=(",", ";", "\t"))
TSV = Delimited(suffixes=(".tsv", ".tab"), delimiters=("\t",))
