from pathlib import Path

import msgspec
import pytest
from reading_scene import read

from lifeloop.core.brief import Data
from lifeloop.core.errors import DataError
from lifeloop.sources.conll import SOURCE

DATA = Data(source="rows.conll")
WNUT = Path(__file__).resolve().parents[2].parent / "shared/data/wnut17"


def written_and_read(folder: Path, content: str, data: Data = DATA):
    path = folder / "rows.conll"
    path.write_text(content, encoding="utf-8")
    return read(SOURCE, path, data)


def test_tokens_become_a_text_and_tags_its_entities(tmp_path):
    table = written_and_read(
        tmp_path, "Ann\tB-person\nLee\tI-person\nleft\tO\nBonn\tB-place\nYork\tB-place\n\n\nHi\tO\n"
    )

    assert table["input"].to_list() == ["Ann Lee left Bonn York", "Hi"]
    assert table["source"].to_list() == ["rows.conll:1", "rows.conll:8"]
    assert msgspec.json.decode(table["reference"][0]) == [
        {"start": 0, "end": 7, "type": "person", "text": "Ann Lee"},
        {"start": 13, "end": 17, "type": "place", "text": "Bonn"},
        {"start": 18, "end": 22, "type": "place", "text": "York"},
    ]
    assert table["reference"][1] == "[]"


def test_older_files_with_more_columns_and_lone_inside_tags_are_read(tmp_path):
    table = written_and_read(tmp_path, "-DOCSTART- -X- -X- O\n\nAnn NNP I-NP I-PER\nleft VBD I-VP O\n")
    assert table["input"].to_list() == ["Ann left"]
    assert msgspec.json.decode(table["reference"][0])[0]["type"] == "PER"


def test_a_text_with_a_bad_line_is_kept_with_its_flaw(tmp_path):
    table = written_and_read(tmp_path, "Ann\tB-person\n\nno-tag\n\nBonn\tplace\nx\tO\n\nHi\tO\n")

    assert table["flaw"].to_list()[::3] == ["", ""]
    assert table["flaw"][1].endswith("line 3")
    assert table["flaw"][2].endswith("line 5")
    assert table["input"][2] == "Bonn\tplace\nx\tO"


@pytest.mark.parametrize(("content", "says"), [("", "empty"), ("just a text\nno tags here\n", "no text with tokens")])
def test_a_file_that_cannot_be_used_is_refused(tmp_path, content, says):
    with pytest.raises(DataError, match=says):
        written_and_read(tmp_path, content)


def test_columns_that_conll_cannot_have_are_refused(tmp_path):
    with pytest.raises(DataError, match="no column 'author'"):
        written_and_read(tmp_path, "Hi\tO\n", Data(source="rows.conll", group="author"))


@pytest.mark.skipif(not WNUT.exists(), reason="shared/data/wnut17 is not on this machine")
def test_every_entity_of_wnut17_is_found_at_its_place():
    n_texts = 0
    for name in ("train", "dev", "test"):
        path = WNUT / f"{name}.conll"
        table = read(SOURCE, path, Data(source=path.name))
        n_texts += table.height
        assert (table["flaw"] == "").all()
        entities = [
            (text, each)
            for text, found in table.select("input", "reference").iter_rows()
            for each in msgspec.json.decode(found)
        ]
        assert all(text[each["start"] : each["end"]] == each["text"] for text, each in entities)
        assert len(entities) == path.read_text(encoding="utf-8").count("\tB-")
    assert n_texts == 5690
