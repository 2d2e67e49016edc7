"""How a leaderboard looks in a terminal: who raced to the end, who was left out and why, who failed."""

import sys
from pathlib import Path
from types import SimpleNamespace

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1] / "stages"))
from verdict_scene import BETTER, judge, standing

from lifeloop.cli import render
from lifeloop.core.evidence import Elimination, Guarantee, Leaderboard, ObjectiveResult, Standing


def left_out(name: str, accuracy: float, n_items: int, of_items: int) -> Standing:
    found = standing(name, accuracy)
    trial = msgspec.structs.replace(found.trial, n_items=n_items)
    ground = Elimination("minilm-tuned", n_items, of_items, -0.1201, -0.1804, -0.0497, 0.01, "betting")
    return msgspec.structs.replace(found, trial=trial, eliminated=ground)


def board(*standings: Standing) -> Leaderboard:
    return Leaderboard("accuracy", standings, standings[0].candidate, "best accuracy on validation.")


def test_whoever_was_left_out_stands_with_its_reason_and_the_calls_saved(capsys):
    tried = standing("minilm-tuned", 0.9)
    render.leaderboard(board(tried, left_out("weak", 0.7, 200, 1500), left_out("weaker", 0.5, 400, 1500)))

    said = capsys.readouterr().out
    assert "Leaderboard, 1000 validation examples" in said, "those of whoever was tried in full"
    assert "weak: out after 200 of 1,500: -0.12 (-0.18 to -0.05) against minilm-tuned" in said
    assert "the race saved 2,400 of 4,000 calls" in said


def test_without_eliminations_nothing_is_said_of_a_race(capsys):
    render.leaderboard(board(standing("a", 0.9), standing("broken", None)))

    said = capsys.readouterr().out
    assert "race" not in said
    assert "broken: its process was ended by SIGKILL" in said


def test_a_verdict_says_who_overrode_the_gate_and_where_guards_hold(capsys):
    guard = ObjectiveResult("accuracy", None, "max", -0.02, -0.1, 0.06, "undecided", slice="channel=mail")
    risk = Guarantee("careful", "answered wrongly or withheld", 0.05, 0.7, 0.049, 0.051, 0.04, 0.064, True)
    found = msgspec.structs.replace(
        judge(BETTER), guards=(guard,), guarantees=(risk,), override_by="ann", override_reason="the old one is unsafe"
    )
    render.verdict(SimpleNamespace(verdict=found, released="", begun=None, since=""))

    said = capsys.readouterr().out
    assert "against the gate, by ann: the old one is unsafe" in said
    assert "? guard accuracy where channel=mail: undecided (difference -0.0200)" in said
    assert "✓ careful: answered wrongly or withheld, at most 0.05: 5.1% on test (4.0% to 6.4%)" in said


def test_json_has_what_an_elimination_rested_on(capsys):
    render.as_json(board(standing("a", 0.9), left_out("weak", 0.7, 200, 1500)))

    found = msgspec.json.decode(capsys.readouterr().out)["standings"][1]["eliminated"]
    assert (found["leader"], found["n_items"], found["of_items"], found["high"]) == ("minilm-tuned", 200, 1500, -0.0497)
