import importlib.util
import io
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
from small_hub import small_hub

from lifeloop.core.brief import Data
from lifeloop.core.errors import DataError
from lifeloop.sources import hub_stream
from lifeloop.sources.hub import SOURCE
from lifeloop.sources.source import Reading

if importlib.util.find_spec("datasets") is None:
    pytest.skip("datasets is not installed: pip install 'lifeloop[hub]'", allow_module_level=True)

PLACE = "hub:ann/tiny"


def labelled(texts: list[str], labels: list[int], **more: list) -> bytes:
    """Parquet as `datasets` writes it: labels are numbers, and their names stand in the file's metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = {"names": ["no", "yes"], "_type": "ClassLabel"}
    features = {"text": {"dtype": "string", "_type": "Value"}, "label": names}
    columns = {"text": texts, "label": labels, **more}
    features |= {column: {"feature": names, "_type": "List"} for column in more}
    table = pa.table(columns)
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), buffer)
    return buffer.getvalue()


TRAIN = labelled(["a", "b", "c"], [0, 1, -1])
TEST = labelled(["d"], [1])
FILES = {"data/train-00000-of-00001.parquet": TRAIN, "data/test-00000-of-00001.parquet": TEST}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Serves files as the set ann/tiny, for as long as the block lasts."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HF_TOKEN", raising=False)

    @contextmanager
    def serving(files: dict[str, bytes], **more: str) -> Iterator[None]:
        with small_hub("ann/tiny", files, **more) as address:
            monkeypatch.setenv("HF_ENDPOINT", address)
            yield

    return serving


def reading(**more: object) -> Reading:
    return Reading(Data(source=PLACE, **more), Path())


def read(**more: object) -> pl.DataFrame:
    return pl.concat([chunk.table for chunk in SOURCE.chunks(PLACE, reading(**more))])


def test_rows_of_all_splits_come_with_the_names_of_their_labels(hub):
    with hub(FILES):
        table = read(split="split")
        found = SOURCE.sample(PLACE, reading(), 2)
    columns = ("input", "reference", "split", "source", "flaw")
    assert table.select(columns).rows() == [
        ("a", "no", "train", "ann/tiny/train:1", ""),
        ("b", "yes", "train", "ann/tiny/train:2", ""),
        ("c", "", "train", "ann/tiny/train:3", "no value: column 'label'"),
        ("d", "yes", "test", "ann/tiny/test:1", ""),
    ]
    assert found == [{"split": "train", "text": "a", "label": "no"}, {"split": "train", "text": "b", "label": "yes"}]


@pytest.mark.slow
def test_lists_of_labels_have_their_names_too_and_chunks_their_size(hub, monkeypatch):
    monkeypatch.setattr("lifeloop.sources.source.CHUNK_ROWS", 2)
    files = {"train.parquet": labelled(["a", "b", "c"], [0, 1, 1], tags=[[0, 1], [], [1]])}
    with hub(files):
        chunks = list(SOURCE.chunks(PLACE, reading(reference="tags")))
    assert [chunk.table["reference"].to_list() for chunk in chunks] == [['["no","yes"]', "[]"], ['["yes"]']]
    assert all(chunk.end is None for chunk in chunks)


@pytest.mark.slow
def test_a_subset_is_one_that_the_set_has(hub):
    card = "---\nconfigs:\n- config_name: {}\n  data_files: one.csv\n- config_name: {}\n  data_files: two.csv\n---\n"
    files = {"README.md": card.format("one", "two").encode(), "one.csv": b"text,label\na,x\n"}
    files["two.csv"] = b"text,label,split\nb,y,dev\n"
    with hub(files):
        table = read(subset="two", split="split")
        with pytest.raises(DataError, match="'one', 'two'") as caught:
            read()
    assert table.select("input", "split").rows() == [("b", "dev")], "a column of its own is the set's"
    assert "data.subset" in caught.value.fix


def test_the_fingerprint_is_that_of_the_commit_and_the_subset(hub):
    with hub(FILES):
        before = SOURCE.fingerprint(PLACE, reading())
        assert SOURCE.fingerprint(PLACE, reading()) == before
        assert SOURCE.fingerprint(PLACE, reading(subset="two")) != before
    with hub(FILES, commit="f" * 40):
        assert SOURCE.fingerprint(PLACE, reading()) != before


def test_a_folder_of_that_name_here_is_not_read(hub, tmp_path, monkeypatch):
    (tmp_path / "ann" / "tiny").mkdir(parents=True)
    (tmp_path / "ann" / "tiny" / "train.csv").write_text("text,label\nlocal,x\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with hub(FILES):
        assert read()["input"].to_list() == ["a", "b", "c", "d"]


@pytest.mark.slow
def test_code_of_the_set_is_not_run(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = {**FILES, "tiny.py": b"open('ran', 'w').write('code of the set')\n"}
    with hub(files), pytest.raises(DataError, match="code of its own, which is never run") as caught:
        read()
    assert "refs/convert/parquet" in caught.value.fix
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("place", ["hub:", "hub:../tiny", "hub:/etc", "hub:ann/tiny/train", "hub:ann/..", "hub:a b"])
def test_what_is_no_name_of_a_set_is_refused(place):
    with pytest.raises(DataError, match="not the name of a set"):
        SOURCE.fingerprint(place, Reading(Data(source=place), Path()))


def test_what_the_set_does_not_have_is_said(hub):
    with hub(FILES):
        with pytest.raises(DataError, match="no column 'txt'") as caught:
            read(input="txt")
        assert "'text'" in caught.value.fix
        with pytest.raises(DataError, match="cannot be read") as caught:
            SOURCE.fingerprint("hub:ann/other", reading())
        assert "check its name" in caught.value.fix


def test_a_hub_that_does_not_answer_is_given_up_in_time(hub, monkeypatch):
    assert hub_stream.ANSWER_SECONDS <= 30
    monkeypatch.setattr(hub_stream, "ANSWER_SECONDS", 2.0)
    begun = time.monotonic()
    with hub(FILES, silent="."):
        for act in (read, lambda: SOURCE.fingerprint(PLACE, reading())):
            with pytest.raises(DataError, match="the hub has not answered for 2 s") as caught:
                act()
            assert "HF_ENDPOINT" in caught.value.fix
    assert time.monotonic() - begun < 10


@pytest.mark.slow
def test_a_hub_that_falls_silent_midway_gives_no_whole_set(hub, monkeypatch):
    monkeypatch.setattr(hub_stream, "STALL_SECONDS", 4.0)
    monkeypatch.setattr("lifeloop.sources.source.CHUNK_ROWS", 3)
    heights = []
    with hub(FILES, silent="resolve/.*/data/test"), pytest.raises(DataError, match="has not answered for 4 s"):
        heights += [chunk.table.height for chunk in SOURCE.chunks(PLACE, reading())]
    assert sum(heights) < 4


def test_a_hub_that_is_not_there_is_an_error(hub, monkeypatch, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(DataError, match="cannot be read") as caught:
            read()
    assert "check the network" in caught.value.fix


@pytest.mark.slow
def test_a_file_of_the_set_that_is_damaged_is_an_error(hub):
    with hub({**FILES, "data/test-00000-of-00001.parquet": TEST[:-20]}), pytest.raises(DataError, match="cannot be"):
        read()


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch):
    broken = tmp_path / "huggingface_hub"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'huggingface_hub'\")")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(DataError, match="No module named") as caught:
        read()
    assert caught.value.fix == "pip install 'lifeloop[hub]'"
