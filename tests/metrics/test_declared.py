from pathlib import Path

import pytest

from lifeloop import plugins
from lifeloop.core.errors import BriefError
from lifeloop.metrics.declared import check_declared, direction_of, fingerprinted, metrics_of
from lifeloop.metrics.metric_kind import Surroundings

RULE = {"kind": "rule", "max_words": 5}


def test_a_brief_adds_metrics_to_those_of_its_task(tmp_path):
    found = metrics_of("generate", {"short": RULE}, Surroundings("generate", (), tmp_path, None))
    assert list(found) == [*plugins.get("tasks", "generate").metrics, "short"]
    assert found["short"].name == "short"
    assert direction_of("short", RULE) == found["short"].direction == "max"
    assert direction_of("price", {"kind": "costs"}) == "min"
    assert "short" not in plugins.get("tasks", "generate").metrics


def test_without_declared_metrics_there_are_those_of_the_task(tmp_path):
    assert check_declared("extract", {}, tmp_path) == plugins.get("tasks", "extract").metrics


def test_a_fingerprint_changes_with_the_files_and_nothing_else(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "m.py").write_text("def f(a, b, c, d): return 1.0\n")
    declared = {"own": {"kind": "function", "function": "m.py:f"}, "short": RULE}
    before = fingerprinted(declared, tmp_path / "one")
    assert before == fingerprinted(declared, tmp_path / "two")
    (tmp_path / "one" / "m.py").write_text("def f(a, b, c, d): return 0.5\n")
    after = fingerprinted(declared, tmp_path / "one")
    assert after["own"]["fingerprint"] != before["own"]["fingerprint"]
    assert after["short"] == before["short"]
    assert {key: value for key, value in after["own"].items() if key != "fingerprint"} == declared["own"]
    assert "fingerprint" not in declared["own"]


def test_what_is_fingerprinted_makes_the_same_metric(tmp_path):
    sections = fingerprinted({"short": RULE}, tmp_path)
    assert "short" in metrics_of("generate", sections, Surroundings("generate", (), tmp_path, None))


WRONG = {
    "a kind that there is not": ({"own": {"kind": "rules"}}, "own.kind", "did you mean 'rule'?"),
    "no kind": ({"own": {"max_words": 3}}, "own.kind", "costs"),
    "a metric of the task": ({"chrf": RULE}, "chrf", "another name"),
    "a measurement": ({"p95_ms": RULE}, "p95_ms", "another name"),
    "a kind of another task": ({"own": {"kind": "costs"}}, "own.kind", "it scores: classify"),
    "a key that there is not": ({"own": RULE | {"maxwords": 3}}, "own.maxwords", "did you mean `max_words`?"),
    "a value of the wrong type": ({"own": RULE | {"max_words": "3"}}, "own.max_words", "value of that kind"),
    "a fingerprint": ({"own": RULE | {"fingerprint": "0"}}, "own.fingerprint", "remove it"),
    "a folder for a file": ({"own": {"kind": "rule", "schema": "."}}, "own.schema", "relative to the project"),
    "a NUL in a name": ({"own": {"kind": "rule", "schema": "a\0.json"}}, "own.schema", "relative to the project"),
}


@pytest.mark.parametrize(("sections", "where", "fix"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named_with_its_key(tmp_path, sections, where, fix):
    with pytest.raises(BriefError) as caught:
        check_declared("generate", sections, tmp_path)
    assert caught.value.where == f"lifeloop.toml: metrics.{where}"
    assert fix in caught.value.fix


def test_a_file_may_lie_deep_in_the_project_and_under_a_relative_folder(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "s.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert "own" in check_declared("generate", {"own": {"kind": "rule", "schema": "a/b/s.json"}}, Path())
