"""`lifeloop data` as people call it, on a project with two versions of its data."""

import json
import os
import shutil
from pathlib import Path
from unittest.mock import patch

import polars as pl
import pytest

from data_scene import ALIKE, GUARDED, HEADER, KEY, MAIL, brief, build, changed, data, project, rows, two_versions
from lifeloop.core.content import short
from small_project import assert_clear, call, write_csv


@pytest.fixture(scope="module")
def _two(tmp_path_factory):
    return two_versions(tmp_path_factory.mktemp("two") / "news")


@pytest.fixture
def two(_two, tmp_path):
    return shutil.copytree(_two, tmp_path / "news")


def test_build_makes_a_version_and_its_card_and_says_what_became_of_the_rows(tmp_path):
    folder = project(tmp_path / "news")

    said = data(folder, "build")

    assert "244 rows came: 240 (" in said
    assert "dropped      1\n" in said
    assert "quarantined  3\n" in said
    assert "2  the same text with different labels (conflicts)" in said
    cards = [line.split()[1] for line in said.splitlines() if line.startswith("card ")]
    assert len(cards) == 2
    assert all(Path(card).exists() for card in cards)
    assert "nothing changed" in data(folder, "build")


def test_a_cycle_takes_up_what_was_built(tmp_path):
    folder = project(tmp_path / "news")
    built = json.loads(data(folder, "build", "--json"))

    said = call("-C", folder, "plan", "--json")

    assert said.code == 0, said.err
    assert json.loads(said.out)["profile"]["n_train"] == built["version"]["counts"]["train"]
    assert len(json.loads(data(folder, "list", "--json"))) == 1


def test_list_and_its_json_agree(two):
    plain, found = data(two, "list").splitlines(), json.loads(data(two, "list", "--json"))

    assert len(plain) == len(found) == 2
    for line, version in zip(plain, found, strict=True):
        assert line.startswith(f"{short(version['id'])}  cycle {version['cycle']}")
        assert f"{version['n_raw']} rows came: {sum(version['counts'].values())} (" in line


def test_before_the_first_version_list_says_how_to_make_one(tmp_path):
    assert "`lifeloop data build` makes one" in data(project(tmp_path / "news"), "list")


@pytest.mark.parametrize("name", [(), ("1",), ("2",)])
def test_card_writes_both_pages(two, name):
    paths = data(two, "card", *name).splitlines()
    found = json.loads(data(two, "card", *name, "--json"))

    identifier = short(found["version"]["id"])
    assert paths == [str(two / "reports" / f"data-{identifier}.{suffix}") for suffix in ("html", "md")]
    page, text = ((two / "reports" / f"data-{identifier}.{suffix}").read_text() for suffix in ("html", "md"))
    assert "&lt;script&gt;" in page or "script" not in page
    assert "<script" not in page
    kept = sum(found["version"]["counts"].values())
    assert kept + sum(loss["n_rows"] for loss in found["losses"]) == found["version"]["n_raw"]
    assert f"{found['version']['n_raw']} rows came; {kept} were kept" in text
    assert MAIL not in page + text


def test_diff_and_its_json_agree(two):
    plain, found = data(two, "diff"), json.loads(data(two, "diff", "1", "2", "--rows", 2, "--json"))

    assert f"rows as they came  +{found['raw_came']} −{found['raw_went']}" in plain
    assert f"examples changed   {found['n_changed']} (text 1, reference 1" in plain
    assert "r20: text" in plain and "indeed" in plain
    assert "must not be" not in plain
    assert len(found["came_rows"]) == 2
    assert "no row, fate or finding changed" in data(two, "diff", "2", "2")


def test_show_says_why_a_row_is_gone(two):
    said = data(two, "show", "data.csv:242", "--version", "1")

    assert "data.csv:242  id twice  dropped a repeat of another row" in said
    assert "of data.csv:7" in said
    assert rows()[240][1] in said


def test_show_filters_and_counts(two):
    said = data(two, "show", "--fate", "quarantined", "--reason", "same text")
    found = json.loads(data(two, "show", "--fate", "kept", "--label", "sport", "-n", "3", "--json"))

    assert said.endswith(f"2 rows of {short(found['version']['id'])}\n")
    assert len(found["rows"]) == 3 < found["n_rows"]
    assert {row["reference"] for row in found["rows"]} == {"sport"}


def test_show_keeps_guard_texts_back(two):
    hidden = call("-C", two, "data", "show", "--split", "guard")
    shown = call("-C", two, "data", "show", "--split", "guard", "--guard")

    assert "its text is shown with --guard" in hidden.out and "  came  " not in hidden.out
    assert "  came  " in shown.out
    assert "must not be used to choose" in hidden.err and "must not be used to choose" in shown.err


def test_what_is_not_there_is_said_clearly(two):
    assert_clear(call("-C", two, "data", "show", "rows.csv:1"), "no row has the source or the id 'rows.csv:1'")
    assert_clear(call("-C", two, "data", "card", "9"), "there is no version of the data of cycle 9")
    assert_clear(call("-C", two, "data", "diff", "abc"), "there is no version 'abc'")
    assert_clear(call("-C", two, "data", "export", "--to", two / "x", "--format", "xls"), "there is no exporter 'xls'")
    assert_clear(call("-C", two, "data", "show", "--fate", "lost"), "'lost' is not one of")


class TestExport:
    def test_jsonl_holds_all_but_guard_with_the_card(self, two, tmp_path):
        made = json.loads(data(two, "export", "--to", tmp_path / "out", "--json"))

        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
            "README.md",
            "lifeloop.json",
            "test.jsonl",
            "train.jsonl",
            "validation.jsonl",
        ]
        for split, n in made["counts"].items():
            table = pl.read_ndjson(tmp_path / "out" / f"{split}.jsonl")
            assert table.height == n
            assert table.columns == ["id", "input", "reference", "group", "slices", "source"]
        train = pl.read_ndjson(tmp_path / "out" / "train.jsonl")
        channels = dict(train.select("id", pl.col("slices").struct.field("channel")).iter_rows())
        given = {row[0]: row[3] for row in rows()}
        assert all(channels[id_] == given[id_] for id_ in set(channels) & set(given))
        readme = (tmp_path / "out" / "README.md").read_text()
        assert readme.startswith("---\n") and "license: cc-by-4.0\n" in readme
        assert "## What became of every row" in readme

    def test_an_export_is_a_source_again_whose_rows_keep_their_splits(self, two, tmp_path):
        made = json.loads(
            data(two, "export", "--to", tmp_path / "out", "--split", "train", "--split", "test", "--json")
        )
        other = project(tmp_path / "other")
        source = f'[data]\nsource = "{tmp_path}/out/t*.jsonl"\ninput = "input"\nreference = "reference"\nid = "id"\n'
        (other / "lifeloop.toml").write_text(brief(source + GUARDED + ALIKE))

        said = call("-C", other, "data", "build")

        assert_clear(said, "no row is left for validation (rows: train")
        assert all(f"{split} {n}" in said.err for split, n in made["counts"].items()), said.err

    def test_datasets_loads_it(self, two, tmp_path):
        datasets = pytest.importorskip("datasets", reason="the extra hub is not installed")
        made = json.loads(data(two, "export", "1", "--to", tmp_path / "out", "--format", "datasets", "--json"))

        found = datasets.load_from_disk(str(tmp_path / "out"))

        assert {split: len(found[split]) for split in found} == made["counts"]
        assert set(found["train"]["reference"]) == {"sport", "money", "health", "travel"}

    def test_what_the_head_names_loads_as_from_the_hub(self, two, tmp_path):
        datasets = pytest.importorskip("datasets", reason="the extra hub is not installed")
        made = json.loads(
            data(two, "export", "--to", tmp_path / "out", "--format", "parquet", "--quarantined", "--json")
        )

        found = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))

        assert {split: len(found[split]) for split in found} == made["counts"]

    def test_guard_goes_along_only_by_name(self, two, tmp_path):
        said = call("-C", two, "data", "export", "--to", tmp_path / "out", "--format", "parquet", "--split", "guard")

        assert [path.name for path in (tmp_path / "out").glob("*.parquet")] == ["guard-00000.parquet"]
        assert "keep it away" in said.err

    def test_quarantined_rows_go_with_their_reasons_and_without_personal_data(self, tmp_path):
        folder = project(tmp_path / "news")
        write_csv(
            folder / "data.csv", [*rows(), ("n", f"ask {MAIL}", "sport", ""), ("m", f"Ask {MAIL}", "money", "")], HEADER
        )
        build(folder)
        data(folder, "export", "--to", tmp_path / "out", "--quarantined")

        table = pl.read_ndjson(tmp_path / "out" / "quarantined.jsonl")
        assert table.columns == ["source", "reason", "detail", "input"]
        assert table.height == 5
        assert "[MAIL" in "".join(table["input"])
        assert MAIL not in (tmp_path / "out" / "quarantined.jsonl").read_text()

    def test_a_folder_that_is_not_empty_stays_as_it_is(self, two, tmp_path):
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.txt").write_text("years of work")
        for force in ((), ("--force",)):
            assert_clear(call("-C", two, "data", "export", "--to", tmp_path / "mine", *force), str(tmp_path / "mine"))
        assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]

    def test_an_earlier_export_is_replaced_by_force_alone(self, two, tmp_path):
        data(two, "export", "1", "--to", tmp_path / "out")
        assert_clear(call("-C", two, "data", "export", "--to", tmp_path / "out"), "the folder is not empty")
        data(two, "export", "--to", tmp_path / "out", "--format", "parquet", "--force")

        assert not list((tmp_path / "out").glob("*.jsonl"))
        assert [path.name for path in tmp_path.iterdir() if path.name not in ("news", "out")] == []

    def test_one_that_fails_midway_leaves_what_was_there(self, two, tmp_path):
        data(two, "export", "1", "--to", tmp_path / "out")
        before = sorted((tmp_path / "out").iterdir())
        vault = two / ".lifeloop" / "vault" / "objects"
        found = json.loads(data(two, "card", "--json"))
        dataset = json.loads((vault / found["version"]["id"][:2] / found["version"]["id"]).read_text())
        lost = dataset["tables"]["test"][0]
        (vault / lost[:2] / lost).write_bytes(b"damaged")

        said = call("-C", two, "data", "export", "--to", tmp_path / "out", "--force")

        assert_clear(said, "is damaged")
        assert sorted((tmp_path / "out").iterdir()) == before
        assert not list(tmp_path.glob(".*"))


class TestUnmask:
    def test_who_has_the_key_gets_the_texts_back(self, two, tmp_path):
        with patch.dict(os.environ, {"LIFELOOP_DATA_KEY": KEY}):
            splits = [word for split in ("train", "validation", "test", "guard") for word in ("--split", split)]
            said = data(two, "unmask", "--to", tmp_path / "plain.jsonl", *splits)

        assert "1 row of" in said
        assert MAIL in (tmp_path / "plain.jsonl").read_text()

    @pytest.mark.parametrize(
        ("key", "said"), [("", "there is no key"), ("x" * 20, "do not open with this key"), ("short", "fewer than")]
    )
    def test_who_has_not_is_told(self, two, tmp_path, key, said):
        with patch.dict(os.environ, {"LIFELOOP_DATA_KEY": key}):
            assert_clear(call("-C", two, "data", "unmask", "--to", tmp_path / "plain.jsonl"), said)
        assert not (tmp_path / "plain.jsonl").exists()


def test_a_change_is_built_on_what_was_there(two):
    changed(two)
    (two / "lifeloop.toml").write_text(brief() + "# another brief\n")
    with patch.dict(os.environ, {"LIFELOOP_DATA_KEY": KEY}):
        assert "nothing changed" in data(two, "build")
