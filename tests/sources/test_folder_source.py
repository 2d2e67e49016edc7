import os

import pytest
from reading_scene import read, sample

from lifeloop.core.brief import Data
from lifeloop.core.errors import DataError
from lifeloop.sources.folder import SOURCE
from lifeloop.sources.rows import DAMAGED

DATA = Data(source="texts")


@pytest.fixture
def texts(tmp_path):
    root = tmp_path / "texts"
    for name, content in {"sport/b.txt": "goal", "sport/a.txt": "match", "tech/deep/c.md": "chip"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    (root / "sport/picture.png").write_bytes(b"\x89PNG")
    return root


def test_the_sub_folder_is_the_label_and_the_path_the_id(texts):
    table = read(SOURCE, texts, DATA)

    assert table["source"].to_list() == ["texts/sport/a.txt", "texts/sport/b.txt", "texts/tech/deep/c.md"]
    assert table["id"].to_list() == table["source"].to_list()
    assert table["reference"].to_list() == ["sport", "sport", "tech"]
    assert table["input"].to_list() == ["match", "goal", "chip"]


def test_a_folder_without_sub_folders_has_no_references(tmp_path):
    (tmp_path / "one.txt").write_text("hello", encoding="utf-8")
    assert read(SOURCE, tmp_path, DATA)["reference"].to_list() == [""]


def test_links_out_of_the_folder_are_never_followed(texts, tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key.txt").write_text("the secret", encoding="utf-8")
    (texts / "sport/out.txt").symlink_to(tmp_path / "secret/key.txt")
    (texts / "sport/loop.txt").symlink_to(texts / "sport/loop.txt")
    (texts / "sport/same.txt").symlink_to(texts / "sport/a.txt")
    (texts / "way-out").symlink_to(tmp_path / "secret")

    table = read(SOURCE, texts, DATA)
    flaws = dict(table.select("source", "flaw").iter_rows())

    assert flaws["texts/sport/out.txt"] == flaws["texts/way-out"] == "a symbolic link that leaves the folder"
    assert flaws["texts/sport/loop.txt"] == "a symbolic link to what is no file"
    assert flaws["texts/sport/same.txt"] == ""
    assert not any("secret" in text for text in table["input"])


def test_a_text_in_another_encoding_costs_its_row_only(texts):
    for number in range(9):
        (texts / f"sport/{number}.txt").write_text(f"goal {number}", encoding="utf-8")
    (texts / "tech/latin.txt").write_bytes("£5 für alles".encode("cp1252"))
    flaws = dict(read(SOURCE, texts, DATA).select("source", "flaw").iter_rows())

    assert flaws.pop("texts/tech/latin.txt") == DAMAGED
    assert set(flaws.values()) == {""}


def test_texts_in_another_encoding_are_refused_with_a_guess(tmp_path):
    for number in range(5):
        (tmp_path / f"{number}.txt").write_bytes("Schöne Grüße aus München, sagt der Bär. ".encode("cp1252") * 10)
    with pytest.raises(DataError, match=r'set data\.encoding = "cp1252"'):
        read(SOURCE, tmp_path, DATA)


def test_a_name_that_is_no_text_is_read_all_the_same(texts):
    try:
        (texts / os.fsdecode(b"sport/caf\xe9.txt")).write_text("coffee", encoding="utf-8")
    except OSError:
        pytest.skip("this file system takes no such name")
    table = read(SOURCE, texts, DATA)
    assert "texts/sport/caf�.txt" in table["source"].to_list()
    assert "coffee" in table["input"].to_list()


def test_a_folder_without_texts_is_refused(tmp_path):
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match="no texts"):
        read(SOURCE, tmp_path, DATA)


def test_a_sample_shows_texts_and_labels(texts):
    assert sample(SOURCE, texts, 1) == [{"text": "match", "label": "sport"}]
