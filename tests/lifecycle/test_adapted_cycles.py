"""A whole cycle with adapted candidates: killed while it trains and gone on with, what they learn from, who they answer
to at the gate, what the report says.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from lifeloop.core.candidates import Candidate
from lifeloop.core.evidence import Verdict
from lifeloop.lifecycle.history import write_report
from lifeloop.lifecycle.upbringing import record_of, trained
from lifeloop.project import open_project
from small_project import Ran, brief, ledger_of, run, small_project

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from tiny_language import tiny_folder

ready = find_spec("torch") is not None and find_spec("trl") is not None
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not ready, reason="the extra `train` is not installed")]

WORDS = ("parcel", "shop", "invoice", "ticket", "coat", "lamp", "river", "piano", "garden", "window")
CANDIDATES = """
[candidates.small]
kind = "transformers"
model = "tiny/language"
prompt = "main"
max_tokens = 8
dtype = "float32"
[candidates.taught]
parent = "small"
adapt = "sft"
method = "full"
learning_rate = 3e-3
epochs = 12
batch = 4
dtype = "float32"
[candidates.aligned]
parent = "taught"
adapt = "dpo"
method = "full"
watch_items = 4
dtype = "float32"
"""
PARENTS = {"taught": "small", "aligned": "taught"}


def question(chance: random.Random) -> str:
    return " ".join(chance.choices(WORDS, k=6)) + f" {chance.randrange(10**6)}"


def write_pairs(folder: Path, n: int) -> None:
    chance = random.Random(4)
    pairs = [
        {"prompt": question(chance), "chosen": "yes it is fine", "rejected": "no", "by": f"rater {place % 5}"}
        for place in range(n)
    ]
    (folder / "pairs.jsonl").write_text("\n".join(json.dumps(pair) for pair in pairs))


def desk(folder: Path) -> Path:
    """Write a project whose candidates are a tiny model of chance weights and what is made of it."""
    text = brief(
        data='[data]\nsource = "data.csv"\nsplits = { train = 0.5, validation = 0.2, test = 0.2, guard = 0.1 }\n',
        objectives='[[objectives]]\nmetric = "chrf"\ntarget = 0.01\nguard = true\n',
        candidates=CANDIDATES.replace("tiny/language", str(folder / "tiny" / "language")),
        rest='[preferences]\nsource = "pairs.jsonl"\nrater = "by"\n[explore]\nrace = false\n[budget]\nminutes = 60\n'
        '[gate]\nbaseline = "small"\n',
    ).replace('task = "classify"', 'task = "generate"')
    chance = random.Random(3)
    small_project(folder, text, [(question(chance), "yes it is fine") for _ in range(120)])
    tiny_folder(folder / "tiny", sharp=1.0)
    (folder / "prompts" / "main").mkdir(parents=True)
    (folder / "prompts" / "main" / "system.md").write_text("Be brief.")
    (folder / "prompts" / "main" / "user.md").write_text("{{ text }}")
    write_pairs(folder, 60)
    return folder


def killed_in_training(folder: Path) -> None:
    """Run until the first checkpoint of a training lies there whole, and kill everything at once."""
    command = [sys.executable, "-m", "lifeloop", "-C", str(folder), "run"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + 240
        while not list((folder / ".lifeloop" / "training").glob("*/training/checkpoint-*/trainer_state.json")):
            assert process.poll() is None and time.monotonic() < deadline, "it ended before it could be killed"
            time.sleep(0.005)
        time.sleep(0.05)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def made(folder: Path, name: str) -> Candidate:
    vault = open_project(folder).open_vault()
    with ledger_of(folder) as ledger:
        row = next(row for row in reversed(ledger.runs()) if row.subject == f"make {name}")
    return vault.get_value(vault.get_value(row.output, str), Candidate)


@pytest.fixture(scope="module")
def cycle(tmp_path_factory) -> tuple[Path, Ran]:
    folder = desk(tmp_path_factory.mktemp("adapted") / "desk")
    killed_in_training(folder)
    return folder, run(folder)


def test_a_killed_training_goes_on_and_its_checkpoints_are_gone_once_it_is_made(cycle):
    folder, ran = cycle
    assert {standing.failure for standing in ran.result.leaderboard.standings} == {""}
    record = record_of(open_project(folder).open_vault(), made(folder, "taught"))
    assert [event for event in record.events if event.startswith("resumed at step")]
    assert not list((folder / ".lifeloop" / "training").glob("*"))


def test_the_challenger_is_held_against_its_parent_on_test_and_guard(cycle):
    folder, ran = cycle
    verdict = ran.result.verdict
    parentage = verdict.parentage
    assert parentage.name == PARENTS[verdict.challenger_name]
    assert {(found.split, found.suite) for found in parentage.comparisons} >= {("test", "clean"), ("guard", "clean")}
    assert all(found.difference == pytest.approx(found.challenger - found.champion) for found in parentage.comparisons)
    with ledger_of(folder) as ledger:
        assert open_project(folder).open_vault().get_value(ledger.verdicts()[-1].id, Verdict) == verdict


def test_preferences_reach_the_aligned_child_and_the_report_shows_how_it_was_raised(cycle):
    folder, _ = cycle
    project = open_project(folder)
    aligned = made(folder, "aligned")
    record = trained(project, "aligned")["aligned"]
    assert aligned.preferences
    assert record == record_of(project.open_vault(), aligned)
    assert record.kl_to_parent is not None and record.kl_to_parent >= 0
    assert record.checks
    markdown = next(path for path in write_report(project) if path.suffix == ".md").read_text()
    assert "against its parent" in markdown
    assert "The training of aligned" in markdown
    assert "rater 0" in markdown and "held out to watch training on" in markdown


def test_only_what_preferences_changed_is_made_again(cycle):
    folder, _ = cycle
    assert run(folder).subjects("start") == []
    write_pairs(folder, 50)
    again = run(folder)
    assert "adapt make aligned" in again.subjects("done")
    assert "adapt make taught" in again.subjects("kept")
