import polars as pl
import pytest

from lifeloop.core.brief import Data
from lifeloop.core.errors import DataError
from lifeloop.stages.collect import collect, fingerprint
from lifeloop.store.tables import RAW_SCHEMA

NOTHING = pl.DataFrame(schema=RAW_SCHEMA)


def test_learned_rows_come_after_those_of_the_source(tmp_path):
    (tmp_path / "rows.csv").write_text("text,label\nhello,a\nbye,b\n", encoding="utf-8")
    taught = {**dict.fromkeys(RAW_SCHEMA, ""), "id": "feedback:1", "input": "hey", "source": "feedback:1"}
    learned = pl.DataFrame([taught], schema=RAW_SCHEMA)

    raw = collect(Data(source="rows.csv"), tmp_path, learned)

    assert raw.schema == RAW_SCHEMA
    assert raw["source"].to_list() == ["rows.csv:2", "rows.csv:3", "feedback:1"]


def test_a_source_that_is_not_there_is_refused_by_its_name(tmp_path):
    for act in (lambda data: collect(data, tmp_path, NOTHING), lambda data: fingerprint(data, tmp_path)):
        with pytest.raises(DataError, match="no such file"):
            act(Data(source="missing.csv"))


def test_the_fingerprint_of_a_file_changes_with_its_bytes_alone(tmp_path):
    for name, content in (
        ("a.csv", "text,label\nx,y\n"),
        ("b.csv", "text,label\nx,y\n"),
        ("c.csv", "text,label\nx,z\n"),
    ):
        (tmp_path / name).write_text(content, encoding="utf-8")
    ids = [fingerprint(Data(source=name), tmp_path) for name in ("a.csv", "b.csv", "c.csv")]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("change", ["edit", "rename", "add", "move to another label", "link elsewhere"])
def test_the_fingerprint_of_a_folder_changes_with_whatever_is_in_it(tmp_path, change):
    root = tmp_path / "texts"
    for label in ("a", "b"):
        (root / label).mkdir(parents=True)
        (root / label / "1.txt").write_text(f"text of {label}", encoding="utf-8")
    (root / "a/link.txt").symlink_to("1.txt")
    data = Data(source="texts")
    before = fingerprint(data, tmp_path)
    assert fingerprint(data, tmp_path) == before

    file = root / "a/1.txt"
    if change == "edit":
        file.write_text("another text", encoding="utf-8")
    elif change == "rename":
        file.rename(root / "a/2.txt")
    elif change == "add":
        (root / "b/2.txt").touch()
    elif change == "move to another label":
        file.rename(root / "b/2.txt")
    else:
        (root / "a/link.txt").unlink()
        (root / "a/link.txt").symlink_to("../b/1.txt")
    assert fingerprint(data, tmp_path) != before
