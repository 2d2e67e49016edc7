import datetime
import io
import random

import polars as pl
import pytest
from reading_scene import read, sample

from lifeloop.core.brief import Data
from lifeloop.core.errors import DataError
from lifeloop.sources.parquet import SOURCE

DATA = Data(source="rows.parquet")


def written(folder, table: pl.DataFrame):
    path = folder / "rows.parquet"
    table.write_parquet(path)
    return path


def test_rows_are_read_with_their_numbers_and_nulls_are_flaws(tmp_path):
    path = written(tmp_path, pl.DataFrame({"text": ["a", None, "c"], "label": ["x", "y", None], "more": [1, 2, 3]}))
    table = read(SOURCE, path, DATA)

    assert table["source"].to_list() == ["rows.parquet:1", "rows.parquet:2", "rows.parquet:3"]
    assert table["flaw"].to_list() == ["", "no value: column 'text'", "no value: column 'label'"]


def test_values_that_are_no_text_become_text(tmp_path):
    day = datetime.date(2024, 2, 29)
    entities = [[{"type": "person", "start": 0, "end": 3}]]
    frame = pl.DataFrame({"text": ["Ann"], "label": entities, "day": [day], "n": [7], "share": [float("nan")]})
    data = Data(source="rows.parquet", slices=("day", "n", "share"))

    row = read(SOURCE, written(tmp_path, frame), data).to_dicts()[0]

    assert row["reference"] == '[{"end":3,"start":0,"type":"person"}]'
    assert row["slices"] == '{"day":"2024-02-29","n":"7","share":""}'


def test_a_file_cut_short_anywhere_is_refused(tmp_path):
    buffer = io.BytesIO()
    pl.DataFrame({"text": ["some words"] * 500, "label": ["a", "b"] * 250}).write_parquet(buffer)
    whole = buffer.getvalue()
    path = tmp_path / "rows.parquet"
    for length in (1, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="cut short") as caught:
            read(SOURCE, path, DATA)
        assert "rows.parquet" in caught.value.where


def test_a_damaged_file_gives_rows_or_an_error_that_says_so(tmp_path):
    buffer = io.BytesIO()
    pl.DataFrame({"text": [f"words {n}" for n in range(300)], "label": ["a", "b"] * 150}).write_parquet(buffer)
    path = tmp_path / "rows.parquet"
    chance = random.Random(0)
    for _ in range(30):
        damaged = bytearray(buffer.getvalue())
        for _ in range(8):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            table = read(SOURCE, path, DATA)
        except DataError as error:
            assert error.fix
        else:
            assert table.height > 0


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (pl.DataFrame({"text": [], "label": []}), "no rows"),
        (pl.DataFrame({"body": ["a"], "label": ["b"]}), "no column 'text'"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path, frame, says):
    with pytest.raises(DataError, match=says):
        read(SOURCE, written(tmp_path, frame), DATA)


def test_a_sample_shows_the_first_rows(tmp_path):
    path = written(tmp_path, pl.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"]}))
    assert sample(SOURCE, path, 2) == [{"a": "1", "b": "x"}, {"a": "2", "b": ""}]
