"""A small project whose data has a bit of everything wrong with it, in two versions."""

import os
import time
from pathlib import Path
from unittest.mock import patch

from lifeloop.lifecycle.cycle import Built, build_dataset
from lifeloop.project import open_project
from small_project import OBJECTIVES, call, small_project, texts, write_csv

KEY = "correct horse battery staple"
MAIL = "ann.lee@example.org"
GUARDED = "splits = { train = 0.5, validation = 0.2, test = 0.2, guard = 0.1 }\n"
ALIKE = (
    "[data.refine]\nnear_duplicates = { on = false }\ncontamination = { on = false }\nsuspicious = { on = false }\n"
    "label_errors = { on = false }\n"
)
"""Texts made of few words are near duplicates to a person, and may look planted."""
DATA = f"""[data]
source = "data.csv"
id = "id"
slices = ["channel"]
{GUARDED}
[data.about]
licence = "CC-BY-4.0"
{ALIKE}"""
HEADER = ("id", "text", "label", "channel")


def brief(data: str = DATA) -> str:
    candidates = '[candidates.majority]\nkind = "majority"\n'
    return "\n".join(['[project]\nname = "news"\ntask = "classify"\n', data, OBJECTIVES, candidates])


def rows() -> list[tuple[str, ...]]:
    """Return 240 good rows, and after them: a repeat, a contradiction, one without text, one with a mail address."""
    good = [
        (f"r{number}", text, label, "app" if number % 3 else "phone")
        for number, (text, label) in enumerate(texts(240, noise=0.0))
    ]
    return [
        *good,
        ("twice", good[5][1].upper(), good[5][2], "app"),
        ("other", good[9][1], "money" if good[9][2] != "money" else "sport", "app"),
        ("empty", " ", "sport", "app"),
        ("mail", f"write to {MAIL} about the <script>alert(1)</script> game", "sport", "app"),
    ]


def project(folder: Path) -> Path:
    """Return a project before any version of its data."""
    small_project(folder, brief())
    write_csv(folder / "data.csv", rows(), HEADER)
    return folder


def build(folder: Path) -> Built:
    with patch.dict(os.environ, {"LIFELOOP_DATA_KEY": KEY}):
        return build_dataset(open_project(folder), lambda notice: None, time.time)


def changed(folder: Path) -> None:
    """Change the data: five rows come, one goes, one gets another text, one another label, the repeat its own text."""
    found = [list(row) for row in rows()]
    by_id = {row[0]: row for row in found}
    by_id["r20"][1] += " indeed"
    by_id["r21"][2] = "sport" if by_id["r21"][2] != "sport" else "money"
    by_id["twice"][1] = "quite another match at the stadium"
    found.remove(by_id["r22"])
    found += [[f"new{number}", *text, "web"] for number, text in enumerate(texts(5, seed=9, noise=0.0))]
    write_csv(folder / "data.csv", found, HEADER)


def two_versions(folder: Path) -> Path:
    """Return a project with two versions of its data."""
    project(folder)
    build(folder)
    changed(folder)
    build(folder)
    return folder


def data(folder: Path, *arguments: object) -> str:
    """Return what a `lifeloop data` command prints; it must succeed."""
    said = call("-C", folder, "data", *arguments)
    assert said.code == 0, said.err
    return said.out
