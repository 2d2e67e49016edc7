import pytest

from lifeloop import plugins
from lifeloop.core.errors import BriefError, DataError
from lifeloop.sources.source import source_for


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.csv", "csv"),
        ("a.TSV", "tsv"),
        ("a.jsonl", "jsonl"),
        ("a.ndjson", "jsonl"),
        ("a.parquet", "parquet"),
        ("a.conll", "conll"),
    ],
)
def test_the_ending_names_the_source(tmp_path, name, format):
    (tmp_path / name).touch()
    assert source_for(tmp_path / name) is plugins.get("sources", format)


def test_a_directory_is_a_folder_and_a_format_overrides_the_ending(tmp_path):
    (tmp_path / "rows.txt").touch()
    assert source_for(tmp_path) is plugins.get("sources", "folder")
    assert source_for(tmp_path / "rows.txt", "csv") is plugins.get("sources", "csv")


def test_what_is_not_there_is_refused_with_what_is(tmp_path):
    (tmp_path / "tickets.csv").touch()
    with pytest.raises(DataError, match=r"did you mean 'tickets\.csv'"):
        source_for(tmp_path / "ticket.csv")


def test_an_ending_that_nothing_reads_is_refused_with_those_there_are(tmp_path):
    (tmp_path / "rows.xlsx").touch()
    with pytest.raises(DataError, match=r"\.csv.*\.jsonl"):
        source_for(tmp_path / "rows.xlsx")


def test_a_format_must_fit_what_is_there(tmp_path):
    (tmp_path / "rows.csv").touch()
    with pytest.raises(DataError, match="is a directory"):
        source_for(tmp_path, "csv")
    with pytest.raises(DataError, match="is a file"):
        source_for(tmp_path / "rows.csv", "folder")
    with pytest.raises(BriefError, match="no data source"):
        source_for(tmp_path / "rows.csv", "excel")
