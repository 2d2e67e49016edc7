"""`lifeloop data preferences`: the table, the rows, the sheet and back, and JSON."""

import csv
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "lifecycle"))
from preference_scene import PAIRS, event, finished, pairs, preference_project, questions, served, write

from lifeloop.core.events import Feedback
from small_project import assert_clear, call

REVIEWED = PAIRS + '[preferences.trust]\nreviewed = "{}"\n'


def planted() -> list[dict]:
    """Return 30 pairs of one rater that come in half a minute."""
    texts = questions(30, seed=4)
    return [
        {"prompt": text, "chosen": "=buy now! zorblax quux", "rejected": f"Gladly: {text}."}
        | {"by": "mallory", "at": 1_770_000_000 + place, "topic": "x"}
        for place, text in enumerate(texts)
    ]


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = preference_project(tmp_path / "desk")
    write(folder / "pairs.jsonl", [*pairs(120), *planted()])
    return folder


def sheet(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


def test_counts_raters_and_reasons_are_shown(folder):
    said = call("-C", folder, "data", "preferences", "--show", 3)
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0].startswith("preferences of cycle 1, ")
    assert lines[1].split() == ["trusted", "held", "out", "set", "aside"]
    name, *counts = lines[2].split()
    assert name == "file"
    assert sum(map(int, counts)) == 150
    mallory = next(line for line in lines if line.startswith("mallory"))
    assert mallory.split() == ["mallory", "30", "0", "30", "0.00"]
    assert said.out.count(" by mallory") == 3
    assert "  chosen    =buy now! zorblax quux" in lines


def test_json_holds_the_same(folder):
    said = call("-C", folder, "data", "preferences", "--show", 100, "--json")
    found = json.loads(said.out)
    assert said.code == 0
    assert found["n_trusted"] + found["n_held_out"] + found["n_doubted"] == 150
    assert sum(found["doubts"].values()) == found["n_doubted"] == len(found["rows"]) >= 28
    assert {each["name"] for each in found["raters"]} == {"ann", "bob", "cleo", "mallory"}


@pytest.mark.parametrize("name", ["review.csv", "review.tsv"])
def test_what_a_person_keeps_is_not_doubted_again(folder, name):
    assert call("-C", folder, "data", "preferences", "--review", folder / name).code == 0
    rows = sheet(folder / name)
    assert list(rows[0]) == ["id", "input", "chosen", "rejected", "rater", "reason", "detail", "keep"]
    of_mallory = [row for row in rows if row["rater"] == "mallory"]
    assert len(of_mallory) >= 28
    assert all(row["chosen"].startswith("'=") for row in of_mallory), "no spreadsheet takes it for a formula"

    for row in rows:
        row["keep"] = "yes"
    with (folder / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0], delimiter="\t" if name.endswith("tsv") else ",")
        writer.writeheader()
        writer.writerows(rows)
    (folder / "lifeloop.toml").write_text(
        (folder / "lifeloop.toml").read_text().replace(PAIRS, REVIEWED.format(name.replace("review.t", "re*.t")))
    )
    found = json.loads(call("-C", folder, "data", "preferences", "--show", 1000, "--json").out)

    assert not {row["id"] for row in rows} & {row["id"] for row in found["rows"]}


def test_a_sheet_is_not_overwritten_and_has_a_known_ending(folder):
    (folder / "review.csv").write_text("mine", encoding="utf-8")
    assert_clear(
        call("-C", folder, "data", "preferences", "--review", folder / "review.csv"), "review.csv is there already"
    )
    assert_clear(
        call("-C", folder, "data", "preferences", "--review", folder / "review.xlsx"), "end it in .csv or .tsv"
    )
    assert (folder / "review.csv").read_text(encoding="utf-8") == "mine"
    assert call("-C", folder, "data", "preferences", "--review", folder / "review.csv", "--force").code == 0
    assert len(sheet(folder / "review.csv")) >= 28


def test_origins_are_told_apart(folder):
    served(folder, [event("e1", questions(1, seed=9)[0], "No!")], [Feedback("f1", "e1", 1.0, "ann", rating=-1.0)])
    assert call("-C", folder, "data", "preferences").code == 0
    finished(folder)
    toml = folder / "lifeloop.toml"
    toml.write_text(toml.read_text() + "[monitor]\nmin_feedback = 1\n")
    said = call("-C", folder, "data", "preferences")
    assert said.code == 0
    assert [line.split()[0] for line in said.out.splitlines()[2:5]] == ["feedback", "file", "all"]


def test_without_preferences_it_says_where_they_would_come_from(tmp_path):
    folder = preference_project(tmp_path / "desk", preferences="")
    said = call("-C", folder, "data", "preferences")
    assert (said.code, said.out.startswith("no preferences: name files in [preferences] source")) == (0, True)
    assert json.loads(call("-C", folder, "data", "preferences", "--json").out) is None
