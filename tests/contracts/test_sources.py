"""What any source has to keep, ours or a plugin's."""

from pathlib import Path

import msgspec
import polars as pl
import pytest
from source_scene import GROWING, WRITERS, rows

from lifeloop import plugins
from lifeloop.core.brief import Data
from lifeloop.core.errors import DataError
from lifeloop.sources import source as seam
from lifeloop.sources.places import places, source_of
from lifeloop.sources.source import START, Chunk, Entry, Reading
from lifeloop.store.tables import RAW_SCHEMA

OVER_THE_NETWORK = {"hub"}
"""Sources whose rows no file can stand for; their own tests have a server."""
FORMATS = [name for name in plugins.names("sources") if name not in OVER_THE_NETWORK]


@pytest.fixture(params=FORMATS)
def format(request: pytest.FixtureRequest) -> str:
    assert request.param in WRITERS, f"write an example of {request.param} in source_scene.py"
    return request.param


@pytest.fixture
def write(tmp_path: Path, format: str):
    def written(n: int) -> Reading:
        return Reading(WRITERS[format](tmp_path, rows(n)), tmp_path)

    return written


def chunks(reading: Reading, entry: Entry = START) -> list[Chunk]:
    (place,) = places(reading)
    return list(source_of(place).chunks(place.place, reading, entry))


def table(found: list[Chunk]) -> pl.DataFrame:
    return pl.concat([chunk.table for chunk in found])


def test_every_record_is_one_row_in_its_order(write):
    found = table(chunks(write(23)))

    assert found.schema == RAW_SCHEMA
    assert sorted(found["input"]) == sorted(text for text, _ in rows(23))
    assert (found["flaw"] == "").all()
    assert not sum(found.null_count().row(0))
    assert found["source"].n_unique() == found["id"].n_unique() == 23


@pytest.mark.parametrize("n_rows", [1, 5, 23])
def test_the_rows_are_the_same_whatever_the_size_of_chunks(write, monkeypatch, n_rows):
    reading = write(23)
    whole = table(chunks(reading))
    monkeypatch.setattr(seam, "CHUNK_ROWS", n_rows)

    found = chunks(reading)

    assert table(found).equals(whole)
    assert [chunk.table.height for chunk in found[:-1]] == [n_rows] * (len(found) - 1)
    assert 0 < found[-1].table.height <= n_rows


def test_long_rows_make_short_chunks(write, monkeypatch):
    reading = write(23)
    whole = table(chunks(reading))
    monkeypatch.setattr(seam, "CHUNK_CHARS", 100)

    found = chunks(reading)

    assert table(found).equals(whole)
    assert len(found) > 2


def test_reading_goes_on_at_the_end_of_any_chunk(write, format, monkeypatch):
    reading = write(23)
    monkeypatch.setattr(seam, "CHUNK_ROWS", 4)
    found = chunks(reading)

    assert format not in GROWING or all(chunk.end for chunk in found)
    for number, chunk in enumerate(found[:-1]):
        if chunk.end is not None:
            again = chunks(reading, chunk.end)
            assert table(again).equals(table(found[number + 1 :]))
            assert [each.end for each in again] == [each.end for each in found[number + 1 :]]


def test_the_fingerprint_is_that_of_the_rows(write):
    reading = write(23)
    (place,) = places(reading)
    before = source_of(place).fingerprint(place.place, reading)

    assert source_of(place).fingerprint(place.place, reading) == before
    changed = write(24)
    assert source_of(place).fingerprint(place.place, changed) != before


def test_a_sample_shows_the_first_rows_by_column(write):
    reading = write(23)
    (place,) = places(reading)

    found = source_of(place).sample(place.place, reading, 3)

    assert len(found) == 3
    assert found[0]["text"] == "text number 0"
    assert all(isinstance(value, str) for row in found for value in row.values())
    assert len(source_of(place).sample(place.place, reading, 100)) == 23


def test_a_column_that_is_not_there_is_refused_by_name(write):
    reading = write(5)
    missing = msgspec.structs.replace(reading.data, group="no_such_column")
    with pytest.raises(DataError, match="no_such_column"):
        chunks(msgspec.structs.replace(reading, data=missing))


def test_a_source_that_is_not_there_is_refused(write, tmp_path):
    reading = write(5)
    (place,) = places(reading)
    empty = tmp_path / "another folder"
    empty.mkdir()
    elsewhere = Reading(reading.data, empty)
    for act in (
        lambda: list(source_of(place).chunks(place.place, elsewhere)),
        lambda: source_of(place).fingerprint(place.place, elsewhere),
        lambda: source_of(place).sample(place.place, elsewhere, 1),
    ):
        with pytest.raises(DataError) as caught:
            act()
        assert caught.value.where
        assert caught.value.fix


def test_a_source_without_rows_is_refused(write):
    with pytest.raises(DataError):
        chunks(write(0))


def test_a_time_is_the_text_of_its_column(tmp_path):
    (tmp_path / "rows.csv").write_text("text,label,when\na,x,2024-01-02\n", encoding="utf-8")
    splits = msgspec.convert({"by": "time", "column": "when"}, type(Data(source="").splits))
    found = table(chunks(Reading(Data(source="rows.csv", splits=splits), tmp_path)))
    assert found["time"].to_list() == ["2024-01-02"]
