"""Rows of chat logs in the formats they are passed around in, from JSON Lines or from one JSON array.

Each record gives one row: its last answer, and what was said before it (for `task = "chat"` as the JSON of the
messages; else the question itself, or a transcript where there is more than a question). `data.input` and
`data.reference` name nothing here; the other columns are those of the record. Knows nothing of how answers are scored.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from lifeloop.core.brief import Data
from lifeloop.core.content import Id
from lifeloop.core.errors import DataError
from lifeloop.sources.conversations import (
    Exchange,
    as_input,
    from_alpaca,
    from_messages,
    from_preference,
    from_sharegpt,
)
from lifeloop.sources.files import file_at, fingerprint_of, name_of
from lifeloop.sources.json_values import Value, values
from lifeloop.sources.lines import damage_in
from lifeloop.sources.rows import Record, as_text, check_columns, chunked, wanted
from lifeloop.sources.source import START, Chunk, Entry, Reading

_READERS: dict[str, Callable[[Mapping[str, Any]], Exchange]] = {
    "messages": from_messages,
    "sharegpt": from_sharegpt,
    "alpaca": from_alpaca,
    "preference": from_preference,
}
_LOOK = {
    "messages": '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}',
    "sharegpt": '{"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}',
    "alpaca": '{"instruction": "…", "input": "", "output": "…"}',
    "preference": '{"prompt": "…", "chosen": "…", "rejected": "…"}',
    "": '{"text": "…", "label": "…"}',
}
_GROUPS = ("conversation_id", "id")
"""What says which conversation a record is of, where data.group does not."""
_MOST_COLUMNS = 1_000
"""Keys that are remembered to tell people what columns there are: every record may have others."""
_PEEK = 100
"""Records among which the first that can be read tells the format."""


def detect(columns: Iterable[str]) -> str:
    """Return the format of records with these keys (messages, sharegpt, alpaca, preference), or "" for none of them."""
    keys = set(columns)
    if {"chosen", "rejected"} <= keys:
        return "preference"
    if "messages" in keys:
        return "messages"
    if keys & {"conversations", "conversation"}:
        return "sharegpt"
    return "alpaca" if {"instruction", "output"} <= keys else ""


class ChatLog(Struct, frozen=True):
    """What `format = "messages"` and the like name."""

    format: str
    """"" for whatever the first record looks like, a plain object of columns if nothing else."""
    suffixes: tuple[str, ...] = ()

    def chunks(self, place: str, reading: Reading, entry: Entry = START) -> Iterator[Chunk]:
        """Yield the rows of a file; see `Source.chunks`. An array cannot be entered midway."""
        path, name = file_at(place, reading), name_of(place, reading)
        format = self.format or _told(path, name, reading.data.encoding)
        data = _grouped(reading.data) if format else reading.data
        seen = _Seen(format, name, reading.data)
        found = values(path, name, data.encoding, entry)
        records = seen.watched(_record(value, format, name, data, reading.task) for value in found)
        yield from chunked(records, data, entry, lambda: damage_in(path, data.encoding, name))
        if entry == START:  # else the records before it were held to this already
            seen.check()

    def fingerprint(self, place: str, reading: Reading) -> Id:
        """Return the id of the file's bytes; see `Source.fingerprint`."""
        return fingerprint_of(file_at(place, reading), name_of(place, reading))

    def sample(self, place: str, reading: Reading, limit: int) -> list[dict[str, str]]:
        """Return the first inputs, as `text`, and answers, as `label`, with the records' own columns beside them."""
        path, name = file_at(place, reading), name_of(place, reading)
        format = self.format or _told(path, name, reading.data.encoding)
        data = msgspec.structs.replace(reading.data, input="text", reference="label") if format else reading.data
        found = values(path, name, data.encoding)
        records = (_record(value, format, name, data, reading.task) for value in found)
        readable = itertools.islice((record for record in records if not record.flaw), limit)
        return [{key: as_text(value) or "" for key, value in record.cells.items()} for record in readable]


class _Seen:
    """What the records of a file had, so that what none of them has is found out without holding them."""

    def __init__(self, format: str, name: str, data: Data) -> None:
        self._format, self._name, self._data = format, name, data
        self._unseen = set(wanted(data))
        self._columns: dict[str, None] = {}
        self._first_flaw = ""
        self._readable = False

    def watched(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the records as they are."""
        for record in records:
            if record.flaw:
                self._first_flaw = self._first_flaw or record.flaw
            else:
                self._readable = True
                if len(self._columns) < _MOST_COLUMNS:
                    self._columns.update(dict.fromkeys(record.cells))
                self._unseen -= record.cells.keys()
            yield record

    def check(self) -> None:
        """Raise DataError where there was no record, none that can be used, or one column in none of them."""
        if not self._readable:
            what = f"{self._first_flaw}, as in every record" if self._first_flaw else "no records"
            raise DataError(what, where=self._name, fix=f"write objects like {_LOOK[self._format]}")
        seen = set(wanted(self._data)) - self._unseen
        check_columns(list(self._columns | dict.fromkeys(sorted(seen))), self._data, self._name)


def _told(path: Path, name: str, encoding: str) -> str:
    """Return the format that the first record that can be read has."""
    first = itertools.islice(values(path, name, encoding), _PEEK)
    return next((detect(each.value) for each in first if isinstance(each.value, dict)), "")


def _grouped(data: Data) -> Data:
    """Return the brief's data with a column for what belongs together, which it may not name."""
    return data if data.group else msgspec.structs.replace(data, group=_GROUPS[0])


def _record(value: Value, format: str, file: str, data: Data, task: str) -> Record:
    place = f"{file}:{value.number}"
    if value.flaw:
        return Record(place, {}, value.flaw, value.raw, end=value.end)
    if not isinstance(value.value, dict):
        return Record(place, {}, "not a JSON object", value.raw, end=value.end)
    if not format:
        return Record(place, value.value, end=value.end)
    named = wanted(data)
    # What was said stands in lists and objects, and is not kept twice.
    cells = {key: each for key, each in value.value.items() if key in named or not isinstance(each, list | dict)}
    cells[_GROUPS[0]] = next((cells[key] for key in _GROUPS if cells.get(key) is not None), "")
    try:
        exchange = _READERS[format](value.value)
    except ValueError as error:
        kept = {key: each for key, each in cells.items() if key not in (data.input, data.reference)}
        return Record(place, kept, str(error), value.raw, end=value.end)
    cells |= {data.input: as_input(exchange.turns, task), data.reference: exchange.answer}
    return Record(place, cells, rejected=exchange.rejected, end=value.end)


JSON = ChatLog("", (".json",))
MESSAGES = ChatLog("messages")
SHAREGPT = ChatLog("sharegpt")
ALPACA = ChatLog("alpaca")
PREFERENCE = ChatLog("preference")
