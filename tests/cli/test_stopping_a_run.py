"""Ctrl-C, a second run beside the first, and a disk that fills up."""

import contextlib
import json
import os
import resource
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from small_project import (
    OBJECTIVES,
    alive_in,
    assert_clear,
    call,
    edit,
    ledger_of,
    lifeloop,
    small_project,
    start,
    wait_until,
)

STOPPED = "Stopped. What was finished is kept; the same command goes on from there."


def hear_ctrl_c() -> None:
    """Undo what a shell does to all that it starts in the background: there, Ctrl-C is for others."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = start("-C", folder, "run", preexec_fn=hear_ctrl_c)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def press_ctrl_c(process: subprocess.Popen[str]) -> tuple[list[str], float]:
    """Send what a terminal sends, to all processes of the group; return what was said and how long it took."""
    begun = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert out == ""
    return [line for line in err.splitlines() if line.strip()], time.monotonic() - begun


@pytest.mark.alone
def test_ctrl_c_stops_at_once_leaves_nobody_behind_and_loses_nothing(tmp_path):
    folder = small_project(tmp_path / "news")
    with running(folder) as process:
        wait_until(lambda: len(alive_in(process.pid)) >= 3)  # the run, Python's tracker, and the first candidate's

        said, seconds = press_ctrl_c(process)

        assert process.returncode == 130
        assert said[-1] == STOPPED
        assert all(line.startswith("✓") for line in said[:-1]), said
        assert seconds < 10
        wait_until(lambda: not alive_in(process.pid), seconds=10)
    with ledger_of(folder) as ledger:
        kept = [(row.stage, row.subject) for row in ledger.runs() if row.stage not in ("examine", "version")]
    assert kept[:3] == [("collect", "data"), ("refine", "data"), ("plan", "cycle")]


@pytest.mark.alone
def test_ctrl_c_before_anything_began(tmp_path):
    folder = small_project(tmp_path / "news")
    with running(folder) as process:
        wait_until((folder / ".lifeloop").exists)

        said, _ = press_ctrl_c(process)

        assert process.returncode == 130
        assert said[-1] == STOPPED


def test_two_runs_at_once(tmp_path):
    folder = small_project(tmp_path / "news")
    with running(folder) as process:
        wait_until(lambda: len(alive_in(process.pid)) >= 3)

        for name in ("run", "plan"):
            assert_clear(call("-C", folder, name), "another `lifeloop run` or `plan` is at work", "wait for it to end")

        assert process.poll() is None, "the first is not disturbed"
        assert "not finished" in call("-C", folder, "status").out


def test_the_lock_of_a_killed_run_is_free(finished):
    with running(finished) as process:
        wait_until(lambda: process.poll() is not None or len(alive_in(process.pid)) >= 1)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

        assert call("-C", finished, "run", "--json").code == 0


@pytest.mark.slow
def test_a_ledger_that_is_locked_for_long_and_then_free(finished):
    edit(finished, objectives=OBJECTIVES.replace("0.5", "0.51"))
    with contextlib.closing(sqlite3.connect(finished / ".lifeloop" / "ledger.db")) as other:
        other.execute("BEGIN IMMEDIATE")

        assert_clear(call("-C", finished, "run"), "ledger.db", "locked by another process", "try again")

        other.rollback()
    assert json.loads(call("-C", finished, "run", "--json").out)["cycle"] == 2


@contextlib.contextmanager
def small_disk(place: Path, size: str) -> Iterator[None]:
    place.mkdir(exist_ok=True)
    asked = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(asked, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("size", ["64k", "128k", "256k"])
def test_a_full_disk_is_said_and_what_was_finished_is_kept(tmp_path, size):
    with small_disk(tmp_path / "disk", size):
        folder = small_project(tmp_path / "disk" / "news")

        said = call("-C", folder, "plan")

        assert_clear(said, "free some space")
        assert "full" in said.err or "No space" in said.err
        subprocess.run(["mount", "-o", "remount,size=20m", str(tmp_path / "disk")], check=True)
        assert call("-C", folder, "plan").code == 0


def test_a_disk_that_fills_up_while_candidates_are_made(finished, tmp_path):
    edit(finished, candidates='[candidates.majority]\nkind = "majority"\n[candidates.new]\nkind = "features"\n')
    with small_disk(tmp_path / "disk", "20m"):
        folder = tmp_path / "disk" / "news"
        subprocess.run(["cp", "-r", str(finished), str(folder)], check=True)
        (tmp_path / "disk" / "fill").write_bytes(b"0" * (free(tmp_path / "disk") - 150_000))

        assert_clear(call("-C", folder, "run"), "the disk is full", "free some space")

        (tmp_path / "disk" / "fill").unlink()
        said = call("-C", folder, "status").out
        assert "production  tfidf" in said
        assert "not finished" in said


def free(place: Path) -> int:
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize


def test_files_that_may_not_grow(tmp_path):
    folder = small_project(tmp_path / "news")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    assert_clear(lifeloop("-C", folder, "plan", preexec_fn=limit))
    assert call("-C", folder, "plan").code == 0
