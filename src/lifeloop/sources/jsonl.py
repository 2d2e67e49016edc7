"""Rows of JSON Lines files: one object a line.

A value that is no text (a list of entities, messages, a number) stays as JSON text. A line that is no JSON object
becomes a flaw. Knows nothing of what a task wants in its references.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import msgspec
import polars as pl

from lifeloop.core.brief import Data
from lifeloop.core.errors import DataError
from lifeloop.sources.decoding import MOST_DAMAGED, is_damaged, read_bytes, read_text, wrong_encoding
from lifeloop.sources.rows import DAMAGED, Record, as_text, check_columns, raw_table, share_damaged


class JsonLines:
    """What `format = "jsonl"` names."""

    suffixes = (".jsonl", ".ndjson")

    def read(self, path: Path, data: Data) -> pl.DataFrame:
        """Return the raw rows of a file; see `Source.read`."""
        records = list(_records(path, data.encoding))
        table = raw_table(records, data)
        if share_damaged(table) > MOST_DAMAGED:
            raise wrong_encoding(path, read_bytes(path), data.encoding)
        readable = [record for record in records if not record.flaw]
        if not readable:
            raise DataError(f"{records[0].flaw}, as on every line", where=records[0].place, fix=_FIX)
        check_columns(_columns(readable), data, path.name)
        return table

    def sample(self, path: Path, encoding: str, limit: int) -> list[dict[str, str]]:
        """Return the first rows; see `Source.sample`."""
        records = (record for record in _records(path, encoding) if not record.flaw)
        return [
            {name: as_text(value) or "" for name, value in record.cells.items()}
            for record in itertools.islice(records, limit)
        ]


_FIX = 'write one object a line: {"text": "…", "label": "…"}'


def _records(path: Path, encoding: str) -> Iterator[Record]:
    for number, line in enumerate(read_text(path, encoding).split("\n"), start=1):
        if line.strip():
            yield _record(line, f"{path.name}:{number}")


def _record(line: str, place: str) -> Record:
    if is_damaged(line):
        return Record(place, {}, DAMAGED, line)
    try:
        value = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        return Record(place, {}, f"not valid JSON: {error}", line)
    except RecursionError:
        return Record(place, {}, "JSON that is nested too deeply", line)
    if not isinstance(value, dict):
        return Record(place, {}, "not a JSON object", line)
    return Record(place, value)


def _columns(records: list[Record]) -> list[str]:
    """Return the keys of all objects, in the order in which they first appear."""
    return list(dict.fromkeys(itertools.chain.from_iterable(record.cells for record in records)))


SOURCE = JsonLines()
