"""Rows of JSON Lines files: one object a line.

A value that is no text (a list of entities, messages, a number) stays as JSON text. A line that is no JSON object
becomes a flaw. Knows nothing of what a task wants in its references.
"""

import itertools
from collections.abc import Iterable, Iterator
from functools import partial

import msgspec

from lifeloop.core.content import Id
from lifeloop.core.errors import DataError
from lifeloop.sources.chat_logs import detect
from lifeloop.sources.decoding import is_damaged
from lifeloop.sources.files import file_at, fingerprint_of, name_of
from lifeloop.sources.lines import TOO_LONG, Line, damage_in, lines
from lifeloop.sources.rows import DAMAGED, Record, as_text, check_columns, chunked, wanted
from lifeloop.sources.source import START, Chunk, Entry, Reading

MOST_COLUMNS = 1_000
"""Keys that are remembered to tell people what columns there are: a file may have other keys in every row."""


class JsonLines:
    """What `format = "jsonl"` names."""

    suffixes = (".jsonl", ".ndjson")

    def chunks(self, place: str, reading: Reading, entry: Entry = START) -> Iterator[Chunk]:
        """Yield the raw rows of a file; see `Source.chunks`."""
        path, name, data = file_at(place, reading), name_of(place, reading), reading.data
        columns: dict[str, None] = {}
        flawed: list[Record] = []

        def noted(records: Iterable[Record]) -> Iterator[Record]:
            for record in records:
                if not record.flaw:
                    known = record.cells if len(columns) < MOST_COLUMNS else record.cells.keys() & wanted(data)
                    columns.update(dict.fromkeys(known))
                elif not flawed:
                    flawed.append(record)
                yield record

        found = _records(lines(path, data.encoding, entry, name), name)
        yield from chunked(noted(found), data, entry, partial(damage_in, path, data.encoding, name))
        if entry != START and not columns.keys() >= set(wanted(data)):  # then what stands before it decides
            above = itertools.takewhile(lambda line: line.number <= entry.lines, lines(path, data.encoding, name=name))
            all(noted(_records(above, name)))
        if not columns and flawed:
            raise DataError(f"{flawed[0].flaw}, as on every line", where=flawed[0].place, fix=_FIX)
        log = "" if columns.keys() >= set(wanted(data)) else detect(columns)
        if log:
            what = f"these are no rows with the columns that the brief names, but look like {log}"
            raise DataError(what, where=name, fix=f'set data.format = "{log}"')
        check_columns(list(columns), data, name)

    def fingerprint(self, place: str, reading: Reading) -> Id:
        """Return an id of the file's bytes; see `Source.fingerprint`."""
        return fingerprint_of(file_at(place, reading), name_of(place, reading))

    def sample(self, place: str, reading: Reading, limit: int) -> list[dict[str, str]]:
        """Return the first rows; see `Source.sample`."""
        name = name_of(place, reading)
        found = lines(file_at(place, reading), reading.data.encoding, name=name)
        records = (record for record in _records(found, name) if not record.flaw)
        return [
            {name: as_text(value) or "" for name, value in record.cells.items()}
            for record in itertools.islice(records, limit)
        ]


_FIX = 'write one object a line: {"text": "…", "label": "…"}'


def _records(found: Iterable[Line], name: str) -> Iterator[Record]:
    for line in found:
        if line.text.strip():
            yield _record(line, f"{name}:{line.number}")


def _record(line: Line, place: str) -> Record:
    text = line.text
    if line.cut:
        return Record(place, {}, TOO_LONG, text, end=line.end)
    if is_damaged(text):
        return Record(place, {}, DAMAGED, text, end=line.end)
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        return Record(place, {}, f"not valid JSON: {error}", text, end=line.end)
    except RecursionError:
        return Record(place, {}, "JSON that is nested too deeply", text, end=line.end)
    if not isinstance(value, dict):
        return Record(place, {}, "not a JSON object", text, end=line.end)
    return Record(place, value, end=line.end)


SOURCE = JsonLines()
