"""Preferences in files: which columns of a source say which of two answers was liked better, or whether one was.

Takes what the brief says of the files, gives raw rows as every source does: `reference` is the answer that was liked,
`rejected` the other, `group` the rater. What cannot be used is a row with its flaw. Trusts nothing.
"""

import contextlib
import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.content import Id, canonical
from lifeloop.core.data_brief import Splits
from lifeloop.core.errors import BriefError, DataError, LifeloopError
from lifeloop.core.preferences_brief import PreferencesBrief
from lifeloop.core.progress import Progress
from lifeloop.sources.conversations import as_input, from_preference, from_rated
from lifeloop.sources.files import COMPRESSED, file_at, name_of
from lifeloop.sources.json_values import values
from lifeloop.sources.places import Place, is_path, places, source_of
from lifeloop.sources.rows import Record, raw_table
from lifeloop.sources.source import Reading
from lifeloop.store.tables import RAW_SCHEMA

VERSION = "2"
"""Changed by hand when the same files would give other rows."""

SUBJECT, FIRST = "subject", "first"
"""What the raw rows of preferences have as slices."""
_PAIR, _RATED = ("chosen", "rejected"), ("completion", "label")
_PROMPTS = ("prompt", "question", "instruction")
_PAIRS, _SINGLE = _SHAPES = ("preference", "json")
"""The formats that files of JSON are read in: pairs, and answers that were rated alone."""
_JSON = (".json", ".jsonl", ".ndjson")
_PEEK = 1000
"""Rows whose columns are held for those of all."""
_LIKED = {"true": True, "1": True, "1.0": True, "yes": True, "false": False, "0": False, "0.0": False, "no": False}
_INPUT, _ANSWER = "(the input)", "(the answer)"
"""Names for what records of pairs are read into: no column is called so."""
_OF_THE_READER = ("text", "label", "conversation_id")
"""Columns that the reader of pairs adds to a sample."""
_KEYS = ("rater", "time", "subject", "first")


class _Layout(Struct, frozen=True):
    """Where in a file's rows the answers are."""

    prompt: str
    """Column of what is answered; "" where the answers are whole conversations."""
    answers: tuple[str, str]


def raw_preferences(reading: Reading, asked: PreferencesBrief, progress: Progress) -> pl.DataFrame:
    """Return the rows of all files of preferences, in order, as RAW_SCHEMA.

    `reading` is what sources are told of the project's own data. Raises DataError where a file as a whole cannot be
    used, BriefError where it has no such column.
    """
    tables: list[pl.DataFrame] = []
    with _in_words_of_preferences():
        for place, told in _places(reading, asked):
            source = source_of(place)
            peeked = source.sample(place.place, told, _PEEK)
            columns = list(dict.fromkeys(name for row in peeked for name in row))
            _check_columns(columns, asked, place)
            layout = None if place.format == _PAIRS else _layout(columns, place, reading.data.input)
            table = _table(place, told, asked, layout)
            if place.format in _SHAPES and (table["flaw"] != "").any():
                table = _of_its_own_shape(table, place, told, asked, reading.data.input)
            tables.append(table)
            progress(sum(table.height for table in tables), 0, place.origin)
    return pl.concat(tables) if tables else pl.DataFrame(schema=RAW_SCHEMA)


def _table(place: Place, told: Reading, asked: PreferencesBrief, layout: _Layout | None) -> pl.DataFrame:
    """Return all rows of a place as rows of preferences."""
    chunks = source_of(place).chunks(place.place, _told(told, asked, layout))
    found = [_rows(chunk.table, layout, asked, told.task) for chunk in chunks]
    return pl.concat(found) if found else pl.DataFrame(schema=RAW_SCHEMA)


def _of_its_own_shape(
    table: pl.DataFrame, place: Place, told: Reading, asked: PreferencesBrief, own: str
) -> pl.DataFrame:
    """Return the rows of a file of JSON, those with a flaw read by their own shape, whatever most records have.

    Pairs and answers that were rated alone may stand in one file, as where two were put together. `own` is the column
    that the project's data has its inputs in.
    """
    layout = _Layout(_INPUT, _RATED)
    read = [_rows(raw_table(_records(place, told, own), _told(told, asked, layout).data), layout, asked, told.task)]
    if place.format == _SINGLE:
        with contextlib.suppress(DataError):  # there may be not one pair that can be used
            read.append(_table(msgspec.structs.replace(place, format=_PAIRS), told, asked, None))
    good = {row["source"]: row for row in pl.concat(read).filter(pl.col("flaw") == "").iter_rows(named=True)}
    rows = [good.get(row["source"], row) if row["flaw"] else row for row in table.iter_rows(named=True)]
    return pl.DataFrame(rows, schema=RAW_SCHEMA, orient="row")


def _records(place: Place, told: Reading, own: str) -> Iterator[Record]:
    """Yield the objects of a file of JSON as they are, whatever the first one looks like, with each one's prompt."""
    name = name_of(place.place, told)
    for each in values(file_at(place.place, told), name, told.data.encoding):
        flaw = each.flaw or ("" if isinstance(each.value, dict) else "not a JSON object")
        cells = {} if flaw else each.value | {_INPUT: each.value.get(_prompt(list(each.value), own), "")}
        yield Record(f"{name}:{each.number}", cells, flaw, each.raw)


def fingerprints(reading: Reading, asked: PreferencesBrief) -> dict[str, Id]:
    """Return each place of the files with an id of what it holds now. Raises DataError where one is missing."""
    with _in_words_of_preferences():
        return {
            place.origin: source_of(place).fingerprint(place.place, told) for place, told in _places(reading, asked)
        }


@contextlib.contextmanager
def _in_words_of_preferences() -> Iterator[None]:
    """Let sources' errors name the keys of this section of the brief, not those of the data."""
    try:
        yield
    except LifeloopError as error:
        where, fix = error.where, error.fix
        for theirs, ours in _THEIR_KEYS.items():
            where, fix = where.replace(theirs, ours), fix.replace(theirs, ours)
        raise type(error)(error.what, where=where, fix=fix) from None


_THEIR_KEYS = {
    "data.source": "preferences.source",
    "data.format": "preferences.format",
    "data.group": "preferences.rater",
    "data.splits.column": "preferences.time",
    "data.slices": "preferences.subject",
}


def _places(reading: Reading, asked: PreferencesBrief) -> Iterator[tuple[Place, Reading]]:
    """Yield the places of the files, each with the format that it is read in."""
    for name in asked.sources:
        told = _beside(reading, name, _format(name, asked.format))
        for place in places(told):
            records = place.format in _SHAPES
            yield msgspec.structs.replace(place, format=_of_records(place, told)) if records else place, told


def _of_records(place: Place, told: Reading) -> str:
    """Return the format of a file of JSON: the reader of pairs knows no answers that were rated on their own."""
    peeked = plugins.get("sources", "json").sample(place.place, told, _PEEK)
    rated = any(set(_RATED) <= set(row) and _PAIR[0] not in row for row in peeked)
    return _SINGLE if rated else _PAIRS


def _format(name: str, declared: str) -> str:
    """Return the format of a source: `preference` is one of JSON, and other files are told by their endings."""
    if declared != "preference" or not is_path(name):
        return "auto" if declared == "preference" else declared
    path = Path(name)
    plain = path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
    return declared if plain.suffix.lower() in _JSON else "auto"


def _beside(reading: Reading, name: str, format: str) -> Reading:
    data = msgspec.structs.replace(
        reading.data,
        source=name,
        format=format,
        input=_INPUT,
        reference=_ANSWER,
        id="",
        group="",
        split="",
        slices=(),
        splits=Splits(),
    )
    return msgspec.structs.replace(reading, data=data)


def _check_columns(columns: Sequence[str], asked: PreferencesBrief, place: Place) -> None:
    """Raise BriefError where a column that the brief names is in none of the first rows."""
    for key in _KEYS:
        column = getattr(asked, key)
        if not column or column in columns or not columns:
            continue
        there = [name for name in columns if place.format != "preference" or name not in _OF_THE_READER]
        close = difflib.get_close_matches(column, there, n=1)
        listed = ", ".join(there[:20]) + (", …" if len(there) > 20 else "")
        fix = f"did you mean {close[0]!r}?" if close else f"name one of: {listed}" if there else "remove the key"
        raise BriefError(
            f"there is no column {column!r} in {place.origin}", where=f"lifeloop.toml: preferences.{key}", fix=fix
        )


def _layout(columns: Sequence[str], place: Place, own: str) -> _Layout:
    """Return where the answers are; `own` is the column that the project's data has its inputs in."""
    shapes = (_RATED,) if place.format == _SINGLE else (_PAIR, _RATED)
    answers = next((each for each in shapes if set(each) <= set(columns)), None)
    if answers is None:
        listed = ", ".join(columns[:20]) or "none"
        raise DataError(
            f"no columns `chosen` and `rejected`, nor `completion` and `label`; there are: {listed}",
            where=place.origin,
            fix="name the columns so, or mend preferences.format",
        )
    return _Layout(_prompt(columns, own), answers)


def _prompt(columns: Sequence[str], own: str) -> str:
    return next((name for name in (*_PROMPTS, own, "text", "input") if name in columns), "")


def _told(reading: Reading, asked: PreferencesBrief, layout: _Layout | None) -> Reading:
    """Return what a source is told, so that its rows have all that is needed."""
    more = (asked.subject, asked.first, *((layout.answers[1],) if layout else ()))
    data = msgspec.structs.replace(
        reading.data,
        group=asked.rater,
        slices=tuple(dict.fromkeys(filter(None, more))),
        splits=Splits(by="time", column=asked.time) if asked.time else Splits(),
    )
    if layout:
        data = msgspec.structs.replace(data, input=layout.prompt or layout.answers[0], reference=layout.answers[0])
    return msgspec.structs.replace(reading, data=data)


def _rows(table: pl.DataFrame, layout: _Layout | None, asked: PreferencesBrief, task: str) -> pl.DataFrame:
    """Return rows of a source as rows of preferences."""
    return pl.DataFrame(
        [_row(row, layout, asked, task) for row in table.iter_rows(named=True)], schema=RAW_SCHEMA, orient="row"
    )


def _row(row: dict[str, str], layout: _Layout | None, asked: PreferencesBrief, task: str) -> dict[str, str]:
    slices = msgspec.json.decode(row["slices"], type=dict[str, str])
    about = {SUBJECT: slices.get(asked.subject, ""), FIRST: slices.get(asked.first, "").strip().lower()}
    # without a column of raters, a source may have put a conversation's id there
    found = row | {"slices": canonical(about).decode(), "group": row["group"].strip() if asked.rater else ""}
    if layout is None or row["flaw"] or row["rejected"]:
        return found
    try:
        return found | _answers(row, slices, layout, task)
    except ValueError as error:
        return found | {"flaw": str(error)}


def _answers(row: Mapping[str, str], slices: Mapping[str, str], layout: _Layout, task: str) -> dict[str, str]:
    """Return input, liked and disliked answer. Raises ValueError that says why they cannot be used."""
    record = {"prompt": _value(row["input"])} if layout.prompt else {}
    first, second = row["reference"], slices.get(layout.answers[1], "")
    if layout.answers == _PAIR:
        exchange = from_preference(record | {"chosen": _value(first), "rejected": _value(second)})
        liked, disliked = exchange.answer, exchange.rejected
    else:
        exchange = from_rated(record | {"completion": _value(first)})
        likes = _LIKED.get(second.strip().lower())
        if likes is None:
            raise ValueError(f"a label that is neither true nor false: {second:.40}")
        liked, disliked = (exchange.answer, "") if likes else ("", exchange.answer)
    return {"input": as_input(exchange.turns, task), "reference": liked, "rejected": disliked}


def _value(text: str) -> Any:
    """Return a cell's messages where it holds their JSON, else its text."""
    if not text.startswith("[{"):
        return text
    try:
        return msgspec.json.decode(text, type=list[dict[str, Any]])
    except msgspec.MsgspecError:
        return text
