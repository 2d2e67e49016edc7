import sys

import pytest
from metric_scene import declared, scored, value_of

from lifeloop.core.errors import BriefError

PYTHON = '''
"""Metrics of this project."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Weights:
    please: float = 0.5


def politeness(input, reference, output, prediction):
    return Weights().please * ("please" in output) + 0.5 * ("thank" in output)


def earned(input, reference, output, prediction):
    if "skip" in input:
        return None
    return 100.0 if prediction == reference else -20.0


def broken(input, reference, output, prediction):
    return 1 / len(input)


def leaving(input, reference, output, prediction):
    raise SystemExit(3)


def words(input, reference, output, prediction):
    return "many"


def too_few(input):
    return 1.0
'''
ROWS = [("hi", "a", "please, thanks"), ("hi", "a", "thank you"), ("hi", "a", None)]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "metrics.py").write_text(PYTHON)
    return tmp_path


def section(name: str, **keys) -> dict:
    return {"kind": "function", "function": f"metrics.py:{name}"} | keys


def test_a_function_of_the_project_scores_every_answer_that_did_not_fail(folder):
    metric = declared(section("politeness"), folder)
    assert value_of(metric, scored("generate", ROWS)) == pytest.approx((1.0 + 0.5 + 0.0) / 3)
    assert metric.bounds == (0.0, 1.0)


def test_a_business_value_has_a_unit_and_no_bounds(folder):
    metric = declared(section("earned", unit="EUR", failed=-50.0), folder)
    items = scored("generate", [("q", "a", "a"), ("q", "a", "b"), ("q", "a", None), ("skip", "a", "b")])
    assert value_of(metric, items) == pytest.approx((100 - 20 - 50) / 3)  # None where it has nothing to say
    assert metric.bounds is None
    assert "EUR" in metric.about


def test_less_may_be_better(folder):
    assert declared(section("politeness", direction="min", failed=1.0), folder).direction == "min"


def test_loading_it_leaves_no_trace_in_the_import_path_or_the_folder(folder):
    before = list(sys.path)
    value_of(declared(section("politeness"), folder), scored("generate", ROWS))
    assert sys.path == before
    assert "metrics" not in sys.modules
    assert [path.name for path in folder.rglob("*")] == ["metrics.py"]


def test_a_changed_file_is_read_anew(folder):
    items = scored("generate", [("hi", "a", "please")])
    assert value_of(declared(section("politeness"), folder), items) == 0.5
    (folder / "metrics.py").write_text(PYTHON.replace("please: float = 0.5", "please: float = 0.25"))
    assert value_of(declared(section("politeness"), folder), items) == 0.25


def test_declaring_it_runs_none_of_its_code(folder):
    (folder / "metrics.py").write_text("raise RuntimeError('run')\ndef own(a, b, c, d): return 1.0\n")
    metric = declared(section("own"), folder)
    with pytest.raises(BriefError, match="RuntimeError: run") as caught:
        value_of(metric, scored("generate", ROWS))
    assert caught.value.where == "metrics.py:1"


def test_a_function_of_an_installed_package_will_do(folder):
    found = declared({"kind": "function", "function": "operator:eq"}, folder)
    with pytest.raises(BriefError, match="cannot be called with four values"):
        value_of(found, scored("generate", ROWS))
    package = declared({"kind": "function", "function": "metric_scene_function:same"}, folder)
    assert value_of(package, scored("generate", [("q", "a", "a"), ("q", "a", "b")])) == 0.5


RUNNING = {
    "it raises": ("broken", "metrics.py:24", "fails on example e1: ZeroDivisionError: division by zero"),
    "it ends the process": ("leaving", "metrics.py:28", "fails on example e0: SystemExit: 3"),
    "it gives a text": ("words", "metrics.py", "gives 'many', which is no number, on example e0"),
    "it gives more than 1": ("earned", "metrics.py", "gives 100, which is no score from 0 to 1, on example e0"),
}


@pytest.mark.parametrize(("name", "where", "says"), RUNNING.values(), ids=RUNNING)
def test_what_goes_wrong_while_it_runs_names_file_line_and_example(folder, name, where, says):
    metric = declared(section(name), folder)
    with pytest.raises(BriefError) as caught:
        value_of(metric, scored("generate", [("q", "a", "a"), ("", "a", "b")]))
    assert caught.value.where == where
    assert says in caught.value.what
    assert caught.value.fix


DECLARING = {
    "no such function": (section("polite"), "lifeloop.toml: metrics.own.function", "did you mean 'politeness'?"),
    "no such file": (
        {"kind": "function", "function": "metric.py:politeness"},
        "lifeloop.toml: metrics.own.function",
        "did you mean 'metrics.py'?",
    ),
    "no such package": (
        {"kind": "function", "function": "not_there.at_all:f"},
        "lifeloop.toml: metrics.own.function",
        "install it",
    ),
    "no name": ({"kind": "function", "function": "metrics.py"}, "lifeloop.toml: metrics.own.function", "FILE.py:NAME"),
    "a value whose failures count nothing": (
        section("earned", unit="EUR"),
        "lifeloop.toml: metrics.own.failed",
        "a bad one",
    ),
    "less is better and failures count nothing": (
        section("politeness", direction="min"),
        "lifeloop.toml: metrics.own.failed",
        "a bad one",
    ),
    "another direction": (
        section("politeness", direction="up"),
        "lifeloop.toml: metrics.own.direction",
        "value of that kind",
    ),
}


@pytest.mark.parametrize(("table", "where", "fix"), DECLARING.values(), ids=DECLARING)
def test_what_is_wrong_in_the_brief_is_found_before_anything_runs(folder, table, where, fix):
    with pytest.raises(BriefError) as caught:
        declared(table, folder)
    assert caught.value.where == where
    assert fix in caught.value.fix


@pytest.mark.parametrize(("text", "where"), [("x = 1\ndef f(:\n", "metrics.py:2"), ("a\0b", "metrics.py")])
def test_a_file_that_is_no_python_names_the_line(folder, text, where):
    (folder / "metrics.py").write_text(text)
    with pytest.raises(BriefError) as caught:
        declared(section("f"), folder)
    assert caught.value.where.startswith(where)


@pytest.mark.parametrize("place", ["../outside.py:f", "/outside.py:f", "link.py:f"])
def test_a_file_outside_the_project_is_not_run(folder, place):
    outside = folder.parent / "outside.py"
    outside.write_text("def f(a, b, c, d): return 1.0\n")
    (folder / "link.py").symlink_to(outside)
    place = place.replace("/outside", f"{folder.parent}/outside") if place.startswith("/") else place
    with pytest.raises(BriefError, match="is outside the project"):
        declared({"kind": "function", "function": place}, folder)
