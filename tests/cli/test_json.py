"""`--json` prints what the plain output says, for machines."""

import json

import pytest

from lifeloop.cli.main import COMMANDS, lifeloop
from lifeloop.core.content import short
from small_project import call, ledger_of


def parsed(folder, *arguments):
    said = call("-C", folder, *arguments, "--json")
    assert (said.code, said.err) == (0, "")
    return json.loads(said.out)


def test_run(finished, first):
    found, plain = parsed(finished, "run"), call("-C", finished, "run").out

    assert found["verdict_id"] == first.result.verdict_id
    assert found["released"] == first.result.released
    assert found["verdict"]["reason"] in plain
    assert found["verdict"]["decision"].upper() in plain
    for row in found["verdict"]["comparisons"]:
        assert f"{row['challenger']:.4f} against {row['champion']:.4f}, difference {row['difference']:+.4f}" in plain
    for standing in found["leaderboard"]["standings"]:
        values = {each["metric"]: each["value"] for each in standing["trial"]["metrics"]}
        assert f"{values['accuracy']:.4f}" in plain
    assert (finished / "reports" / "cycle-1.html").exists()
    assert (finished / "reports" / "cycle-1.md").exists()


def test_plan(finished):
    found, plain = parsed(finished, "plan"), call("-C", finished, "plan").out

    assert [line["name"] for line in found["lines"]] == ["majority", "tfidf"]
    assert f"{found['profile']['n_train']} train, {found['profile']['n_validation']} validation" in plain
    assert f"{found['usd']:.2f} USD, {found['memory_gb']:.1f} GB: within the budget" in plain
    assert found["within_budget"] is True
    for item in found["items"]:
        assert f"{item['question']} needs {item['needed']}, has {item['available']}" in plain


def test_status(finished, first):
    found, plain = parsed(finished, "status"), call("-C", finished, "status").out

    assert (found["release"], found["name"]) == (first.result.released, "tfidf")
    assert (found["cycle"], found["decided_cycle"], found["decision"]) == (1, 1, "promote")
    assert f"production  tfidf, release {short(found['release'])}" in plain
    assert found["reason"] in plain
    assert f"served      {found['n_events']} requests, {found['n_feedback']} feedback" in plain


def test_why(finished, first):
    found, plain = parsed(finished, "why"), call("-C", finished, "why").out.splitlines()

    assert found[0]["id"] == first.result.released
    assert found[-1]["what"] == "brief"
    assert len(plain) == len(found)
    for step, line in zip(found, plain, strict=True):
        assert line.split()[:2] == [step["what"], short(step["id"])]
        assert line.endswith(step["about"])


def test_compare(finished):
    pair = ("compare", "tfidf", "majority")
    found, plain = parsed(finished, *pair), call("-C", finished, *pair).out

    assert [row["metric"] for row in found] == ["accuracy", "macro_f1"]
    for row in found:
        assert f"{row['challenger']:.4f} against {row['champion']:.4f}, difference {row['difference']:+.4f}" in plain
        assert row["method"] in plain
    assert [row["metric"] for row in parsed(finished, *pair, "--metric", "p50_ms")] == ["p50_ms"]


def test_report(finished, first):
    found = parsed(finished, "report")
    said = call("-C", finished, "report", 1)

    assert found["verdict"]["reason"] == first.result.verdict.reason
    assert found["verdict_id"] == first.result.verdict_id
    assert {trial["name"] for trial in found["trials"]} == {"tfidf", "majority"}
    with ledger_of(finished) as ledger:
        assert found["lineage"][0]["id"] == ledger.current_release().id
    assert said.out.splitlines() == [str(finished / "reports" / f"cycle-1.{suffix}") for suffix in ("html", "md")]
    value = found["verdict"]["comparisons"][0]["challenger"]
    assert f"{value:.3f}"[:4] in (finished / "reports" / "cycle-1.md").read_text()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command_has_its_use_and_an_example(name):
    said = call(name, "--help")

    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"Usage: lifeloop {name}")
    assert f"lifeloop {name}" in said.out.split("Examples:")[1].replace("lifeloop -C tickets", "lifeloop")


def test_help_of_all_lists_every_command_with_its_help():
    said = call("--help")

    assert said.code == 0
    for name, about in COMMANDS.items():
        assert f"{name} " in said.out
        assert about in " ".join(said.out.split())
        assert lifeloop.get_command(None, name).short_help == about, "the list and the command say the same"
