from pathlib import Path

import pytest

from lifeloop import plugins
from lifeloop.core.brief import Data
from lifeloop.core.errors import BriefError, DataError
from lifeloop.sources.places import Place, is_path, places, source_of
from lifeloop.sources.source import Reading


def found(root: Path, *sources: str, format: str = "auto") -> list[Place]:
    return list(places(Reading(Data(source=sources, format=format), root)))


def names(root: Path, *sources: str) -> list[str]:
    return [place.origin for place in found(root, *sources)]


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("text,label\na,b\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.csv", "csv"),
        ("a.TSV", "tsv"),
        ("a.jsonl", "jsonl"),
        ("a.ndjson", "jsonl"),
        ("a.parquet", "parquet"),
        ("a.conll", "conll"),
        ("a.xlsx", "excel"),
        ("a.csv.gz", "csv"),
        ("a.jsonl.BZ2", "jsonl"),
        ("a.b.tsv.xz", "tsv"),
    ],
)
def test_the_ending_names_the_source(tmp_path, name, format):
    touch(tmp_path, name)
    (place,) = found(tmp_path, name)
    assert place == Place(name, name, format)
    assert source_of(place) is plugins.get("sources", format)


def test_a_directory_is_a_folder_and_a_format_overrides_the_ending(tmp_path):
    touch(tmp_path, "texts/rows.txt")
    assert [place.format for place in found(tmp_path, "texts")] == ["folder"]
    assert [place.format for place in found(tmp_path, "texts/rows.txt", format="csv")] == ["csv"]


def test_what_is_not_there_is_refused_with_what_is(tmp_path):
    touch(tmp_path, "tickets.csv")
    with pytest.raises(DataError, match=r"did you mean 'tickets\.csv'"):
        found(tmp_path, "ticket.csv")


@pytest.mark.parametrize("name", ["rows.docx", "rows.gz", "rows"])
def test_an_ending_that_nothing_reads_is_refused_with_those_there_are(tmp_path, name):
    touch(tmp_path, name)
    with pytest.raises(DataError, match=r"\.csv.*\.jsonl"):
        found(tmp_path, name)


def test_a_format_must_fit_what_is_there(tmp_path):
    touch(tmp_path, "rows.csv")
    (tmp_path / "texts").mkdir()
    with pytest.raises(DataError, match="is a directory"):
        found(tmp_path, "texts", format="csv")
    with pytest.raises(DataError, match="is a file"):
        found(tmp_path, "rows.csv", format="folder")
    with pytest.raises(BriefError, match="no data source"):
        found(tmp_path, "rows.csv", format="word")
    with pytest.raises(BriefError, match="does not fit"):
        found(tmp_path, "rows.csv", format="sql")
    with pytest.raises(BriefError, match="does not fit"):
        found(tmp_path, "hub:news", format="csv")


# what is no file


def test_urls_of_databases_and_sets_of_the_hub_are_no_paths(tmp_path):
    sources = ("sqlite:///rows.db", "env:ORDERS", "hub:clinc/clinc_oos")
    assert [(place.place, place.format) for place in found(tmp_path, *sources)] == [
        ("sqlite:///rows.db", "sql"),
        ("env:ORDERS", "sql"),
        ("hub:clinc/clinc_oos", "hub"),
    ]
    assert not any(map(is_path, sources))
    assert is_path("C-3:po.csv")


def test_an_origin_never_has_a_password_and_is_its_places_own(tmp_path):
    urls = [f"postgresql://{user}@db.example:5432/orders?password=hush" for user in ("ann:s3cret", "bob:s3cret")]

    first, second = found(tmp_path, *urls)

    assert [first.place, second.place] == urls
    assert "db.example" in first.origin
    assert first.origin != second.origin
    assert not any(word in each.origin for each in (first, second) for word in ("s3cret", "hush"))


def test_files_are_not_read_over_the_network(tmp_path):
    with pytest.raises(DataError, match="network") as caught:
        found(tmp_path, "https://user:s3cret@files.example/rows.csv")
    assert "s3cret" not in str(caught.value)


# several


def test_a_pattern_finds_files_in_order_and_each_file_once(tmp_path):
    touch(tmp_path, "logs/b.csv", "logs/deep/down/a.csv", "logs/a.csv", "logs/deep/notes.txt", "logs/.hidden/x.csv")
    (tmp_path / "logs/folder.csv").mkdir()

    assert names(tmp_path, "logs/**/*.csv", "logs/a.csv", "./logs/b.csv") == [
        "logs/a.csv",
        "logs/b.csv",
        "logs/deep/down/a.csv",
    ]
    assert names(tmp_path, "logs/*/*/*.csv", str(tmp_path / "logs/?.csv")) == [
        "logs/deep/down/a.csv",
        "logs/a.csv",
        "logs/b.csv",
    ]


def test_files_of_one_name_in_two_folders_are_told_apart(tmp_path):
    touch(tmp_path, "a/rows.csv", "b/rows.csv")
    assert names(tmp_path, "a/rows.csv", "b/rows.csv") == ["a/rows.csv", "b/rows.csv"]
    sources = [
        row
        for place in found(tmp_path, "a/rows.csv", "b/rows.csv")
        for chunk in source_of(place).chunks(place.place, Reading(Data(source=("a/rows.csv", "b/rows.csv")), tmp_path))
        for row in chunk.table["source"]
    ]
    assert sources == ["a/rows.csv:2", "b/rows.csv:2"]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(tmp_path):
    touch(tmp_path, "rows[1].csv")
    assert names(tmp_path, "rows[1].csv") == ["rows[1].csv"]


@pytest.mark.parametrize("pattern", ["*.jsonl", "nothing/**/*.csv"])
def test_a_pattern_that_finds_nothing_is_refused(tmp_path, pattern):
    touch(tmp_path, "rows.csv")
    with pytest.raises(DataError, match="no file fits"):
        found(tmp_path, pattern)


def test_a_pattern_that_cannot_be_one_is_refused(tmp_path):
    with pytest.raises(BriefError, match=r"data\.source"):
        found(tmp_path, "logs/**.csv")


# symbolic links


@pytest.mark.parametrize("link", ["file", "folder"])
def test_a_pattern_never_follows_a_link_out_of_its_folder(tmp_path, link):
    touch(tmp_path, "secret/rows.csv", "logs/day/rows.csv")
    target = tmp_path / ("secret/rows.csv" if link == "file" else "secret")
    (tmp_path / ("logs/day/out.csv" if link == "file" else "logs/out")).symlink_to(target)

    with pytest.raises(DataError, match="leaves the folder") as caught:
        found(tmp_path, "logs/*/*.csv")

    assert "logs/" in caught.value.where
    assert "out" in caught.value.where


def test_a_pattern_follows_links_within_its_folder_and_refuses_broken_ones(tmp_path):
    touch(tmp_path, "logs/a.csv")
    (tmp_path / "logs/b.csv").symlink_to("a.csv")
    (tmp_path / "logs/round").symlink_to(".")
    assert names(tmp_path, "logs/**/*.csv") == ["logs/a.csv", "logs/b.csv"]

    (tmp_path / "logs/c.csv").symlink_to("gone.csv")
    with pytest.raises(DataError, match="to what is no file"):
        found(tmp_path, "logs/**/*.csv")


def test_a_link_that_the_brief_itself_names_is_followed(tmp_path):
    touch(tmp_path, "elsewhere/rows.csv")
    (tmp_path / "project").mkdir()
    (tmp_path / "project/rows.csv").symlink_to(tmp_path / "elsewhere/rows.csv")
    assert names(tmp_path / "project", "rows.csv") == ["rows.csv"]
