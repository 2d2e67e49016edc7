"""What any exporter has to keep, ours or a plugin's."""

import json
import tracemalloc
from pathlib import Path

import polars as pl
import pytest

from lifeloop import plugins
from lifeloop.core.errors import DataError
from lifeloop.exporters.exporter import Exporter
from lifeloop.exporters.hub_datasets import HubDatasets

EXPORTERS = plugins.names("exporters")
TEXTS = ("where is my parcel", 'a "quoted", one\nin two lines', "支払い — crédit", "", "\t<script>", "x" * 10_000)


def tables(n: int = 3) -> dict[str, list[pl.DataFrame]]:
    def table(start: int) -> pl.DataFrame:
        rows = [(f"r{start + place}", text, "billing") for place, text in enumerate(TEXTS)]
        slices = [{"lang": "en", "channel": ""} for _ in rows]
        found = pl.DataFrame(rows, schema=["id", "input", "reference"], orient="row")
        return found.with_columns(pl.Series("slices", slices))

    empty = table(0).clear()
    return {"train": [table(100 * part) for part in range(n)], "test": [empty, table(7000)]}


@pytest.fixture(params=EXPORTERS)
def exporter(request: pytest.FixtureRequest) -> Exporter:
    return plugins.get("exporters", request.param)


def written(exporter: Exporter, folder: Path, **given: list[pl.DataFrame]) -> dict[str, tuple[str, ...]]:
    folder.mkdir()
    return exporter.write(folder, {split: iter(parts) for split, parts in given.items()})


def test_every_file_is_named_and_in_the_folder(exporter, tmp_path):
    files = written(exporter, tmp_path / "out", **tables())

    assert list(files) == ["train", "test"]
    for names in files.values():
        assert names
        assert all((tmp_path / "out" / name).is_file() for name in names)
        assert all(not Path(name).is_absolute() and ".." not in name for name in names)
    assert [path.name for path in tmp_path.iterdir()] == ["out"], "nothing is left beside it"


def test_the_same_tables_give_the_same_files(exporter, tmp_path):
    for name in ("one", "two"):
        files = written(exporter, tmp_path / name, **tables())

    for name in (name for names in files.values() for name in names):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_memory_holds_a_table_and_not_the_split(exporter, tmp_path):
    size = 2_000_000
    made: list[int] = []

    def parts():
        for part in range(12):
            made.append(part)
            yield pl.DataFrame({"id": [f"{part}"], "input": ["x" * size]})

    (tmp_path / "out").mkdir()
    warm = written(exporter, tmp_path / "warm", train=[pl.DataFrame({"id": ["0"], "input": ["x"]})])
    tracemalloc.start()
    exporter.write(tmp_path / "out", {"train": parts()})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert warm
    assert made == list(range(12))
    assert peak < 6 * size


class TestRoundTrips:
    """What was written is what was given, read back with what people would read it with."""

    def given(self, split: str) -> list[dict]:
        return pl.concat(tables()[split]).to_dicts()

    def test_jsonl(self, tmp_path):
        files = written(plugins.get("exporters", "jsonl"), tmp_path / "out", **tables())
        for split, (name,) in files.items():
            lines = (tmp_path / "out" / name).read_text(encoding="utf-8").splitlines()
            assert [json.loads(line) for line in lines] == self.given(split)

    def test_parquet(self, tmp_path):
        files = written(plugins.get("exporters", "parquet"), tmp_path / "out", **tables())
        for split, names in files.items():
            read = pl.read_parquet([tmp_path / "out" / name for name in names])
            assert read.to_dicts() == self.given(split)

    def test_datasets(self, tmp_path):
        datasets = pytest.importorskip("datasets", reason="the extra hub is not installed")
        written(plugins.get("exporters", "datasets"), tmp_path / "out", **tables())
        found = datasets.load_from_disk(str(tmp_path / "out"))

        assert list(found) == ["train", "test"]
        for split in found:
            assert found[split].to_list() == self.given(split)
        assert found["train"].features["input"].dtype == "string"


def test_without_datasets_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)

    with pytest.raises(DataError, match="datasets is not installed") as error:
        written(HubDatasets(), tmp_path / "out", **tables())
    assert "lifeloop[hub]" in error.value.fix
