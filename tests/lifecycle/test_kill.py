"""A run that is killed again and again comes to what an undisturbed one comes to, and repeats nothing it finished."""

import contextlib
import itertools
import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lifeloop.core.candidates import Candidate
from lifeloop.core.data import Dataset
from lifeloop.core.evidence import Leaderboard, Trial, Verdict
from lifeloop.project import open_project
from lifeloop.store.tables import from_parquet, table_to_answers
from lifeloop.store.vault import Vault
from small_project import CANDIDATES, SOURCE, alive_in, brief, ledger_of, lifeloop, small_project, start, wait_until

pytestmark = pytest.mark.slow

KILLS = 10
MORE = """
[candidates.hasty]
kind = "cascade"
members = ["majority", "tfidf"]
threshold = 0.0
"""
"""`hasty` never asks its second member: no match for tfidf, so that no clock decides who is challenger."""
TIMED = {"p50_ms", "p95_ms", "memory_mb", "usd_per_1000", "seconds", "n_cached", "at"}


def without_timings(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_timings(each) for key, each in value.items() if key not in TIMED}
    return [without_timings(each) for each in value] if isinstance(value, list) else value


def content(folder: Path) -> dict[str, Any]:
    """Return what a project came to, without what the clock decides and the ids of what holds such."""
    vault = open_project(folder).open_vault()
    with ledger_of(folder) as ledger:
        runs, verdicts, releases = ledger.runs(), ledger.verdicts(), ledger.releases()
        cycles = [(row.number, row.inputs, row.feedback_until) for row in ledger.cycles()]
    verdict = vault.get_value(verdicts[-1].id, Verdict)
    trials = {role: trial(vault, identifier) for role, identifier in verdict.trials.items()}
    board = vault.get_value(verdict.leaderboard, Leaderboard)
    return {
        "cycles": cycles,
        "runs": sorted((row.stage, row.subject) for row in runs),
        "keys": {row.key for row in runs if row.subject not in ("leaderboard", "verdict")},
        "dataset": next(row.output for row in runs if row.stage == "refine"),
        "candidates": {row.subject: vault.get_value(row.output, str) for row in runs if row.subject.startswith("make")},
        "leaderboard": {each.name: without_timings(msgspec.to_builtins(each.trial)) for each in board.standings},
        "trials": trials,
        "verdicts": [(row.cycle, row.decision, row.challenger, row.champion, row.reason) for row in verdicts],
        "verdict": without_timings(msgspec.to_builtins([verdict.objectives, verdict.guards, verdict.comparisons])),
        "releases": [(row.candidate, row.name) for row in releases],
    }


def trial(vault: Vault, identifier: str) -> Any:
    found = vault.get_value(identifier, Trial)
    answers = table_to_answers(from_parquet(vault.get(found.answers)))
    return [without_timings(msgspec.to_builtins(found)), [(answer.output, answer.confidence) for answer in answers]]


def kill(process: subprocess.Popen[str], *, alone: bool) -> None:
    """Kill a run without a word: it and all its children, or it alone, which they must not outlive."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL) if alone else os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not alive_in(process.pid))


def test_ten_kills_change_nothing_but_the_time(tmp_path):
    text = brief(data=SOURCE, candidates=CANDIDATES + MORE)
    undisturbed = small_project(tmp_path / "undisturbed", text)
    disturbed = small_project(tmp_path / "disturbed", text)
    begun = time.monotonic()
    assert lifeloop("-C", undisturbed, "run").code == 0
    seconds = time.monotonic() - begun

    chance = random.Random(20)
    finished_runs: list[set[str]] = []
    for number in range(KILLS):
        process = start("-C", disturbed, "run")
        time.sleep(chance.uniform(0.02, 0.25) * seconds)
        kill(process, alone=number % 3 == 0)
        with ledger_of(disturbed) as ledger:
            finished_runs.append({row.key for row in ledger.runs()})
    last = lifeloop("-C", disturbed, "run")

    assert last.code == 0, last.err
    assert all(before <= after for before, after in itertools.pairwise(finished_runs))
    assert len(set(map(len, finished_runs))) > 3, "the kills fell on different moments"
    with ledger_of(disturbed) as ledger:
        rows = ledger.runs()
    assert set(Counter(row.key for row in rows).values()) == {1}
    assert set(Counter((row.stage, row.subject) for row in rows).values()) == {1}, "what was completed is not repeated"
    ours, theirs = content(disturbed), content(undisturbed)
    for part, expected in theirs.items():
        assert ours[part] == expected, part
    assert len(ours["releases"]) == 1
    assert not list((disturbed / ".lifeloop" / "work").glob("*"))
    dataset = open_project(disturbed).open_vault().get_value(ours["dataset"], Dataset)
    assert dataset.n_examples > 0
    candidate = open_project(disturbed).open_vault().get_value(ours["candidates"]["make tfidf"], Candidate)
    assert candidate.files, "what training wrote is the same to the byte: its id is"
