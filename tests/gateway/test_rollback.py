"""`lifeloop rollback` under load: two processes that share a ledger, and clients that never stop asking."""

import contextlib
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec
import pytest
from gateway_scene import wait_for

from lifeloop.core.candidates import Candidate
from lifeloop.core.evidence import Release
from lifeloop.project import open_project
from lifeloop.store.rows import RolloutRow
from small_project import small_project

LIFELOOP = [sys.executable, "-m", "lifeloop"]


class Answered(NamedTuple):
    at: float
    status: int
    label: str
    release: str


class Desk:
    """A project with releases whose answers tell which one gave them."""

    def __init__(self, folder: Path) -> None:
        self.project = open_project(small_project(folder))
        self.vault, self.ledger = self.project.open_vault(), self.project.open_ledger()
        self.label_of: dict[str, str] = {}

    def make(self, label: str, folder: Path) -> Release:
        folder.mkdir()
        (folder / "majority.json").write_bytes(msgspec.json.encode((label, 0.5)))
        candidate = Candidate(
            name=f"says-{label}",
            kind="majority",
            task="classify",
            labels=("sport", "money", "health", "travel"),
            settings={},
            files=self.vault.put_folder(folder),
        )
        release = Release(1, "v", self.vault.put_value(candidate), candidate.name)
        self.label_of[self.vault.put_value(release)] = label
        return release

    def promote(self, release: Release) -> str:
        identifier = self.vault.put_value(release)
        self.ledger.add_release(
            id=identifier, verdict="v", candidate=release.candidate, name=release.name, at=time.time()
        )
        return identifier

    def roll_out(self, release: Release, share: float) -> str:
        identifier, control = self.vault.put_value(release), self.ledger.traffic().production.id
        sequence = len(self.ledger.rollouts()) + 1
        row = RolloutRow(sequence, identifier, control, "canary", "running", 0, share, "{}", "", "", time.time())
        assert self.ledger.add_rollout_step(row)
        return identifier

    def roll_back(self) -> float:
        """Run the command; return when it was decided."""
        command = [*LIFELOOP, "-C", str(self.project.folder), "rollback", "--reason", "complaints", "--by", "Ann"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return self.ledger.rollouts()[-1].at


@contextlib.contextmanager
def processes(folder: Path, n: int):
    command = [sys.executable, str(Path(__file__).parent / "release_process.py"), str(folder)]
    with contextlib.ExitStack() as stack:
        urls = []
        for place in range(n):
            process = stack.enter_context(subprocess.Popen([*command, str(place)], stdout=subprocess.PIPE, text=True))
            stack.callback(process.kill)
            urls.append(process.stdout.readline().strip())
        yield urls


@contextlib.contextmanager
def asking(urls, n_threads: int = 4):
    """Ask all processes over and over; give the answers, which grow meanwhile."""
    answers, stop = [], threading.Event()

    def ask(number: int) -> None:
        with httpx.Client(timeout=20) as client:
            asked = 0
            while not stop.is_set():
                url = urls[(number + asked) % len(urls)]
                said = client.post(f"{url}/v1/tasks/news", json={"text": "x", "user": f"{number}-{asked % 50}"})
                asked += 1
                found = said.json() if said.status_code == 200 else {}
                answers.append(Answered(time.time(), said.status_code, found.get("label"), found.get("release")))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(n_threads)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


def readiness(url: str) -> dict:
    return httpx.get(f"{url}/readyz").json()


@pytest.fixture
def desk(tmp_path, ledger_url, monkeypatch):
    monkeypatch.setenv("LIFELOOP_LEDGER", ledger_url)
    return Desk(tmp_path / "news")


def served_after(answers, at, urls, release) -> float:
    """Return how many seconds after a moment the last answer of a release came, once all processes have left it."""
    wait_for(lambda: all(release not in (readiness(url)["release"], readiness(url).get("rollout")) for url in urls))
    n = len(answers)
    wait_for(lambda: len(answers) > n + 100)
    return max((one.at - at for one in answers if one.release == release), default=0.0)


def check(desk, answers) -> None:
    assert {one.status for one in answers} == {200}
    assert all(desk.label_of[one.release] == one.label for one in answers), "a request that mixes releases"


@pytest.mark.alone
def test_a_rollback_under_load_fails_no_request_and_takes_less_than_a_second(desk, tmp_path, capsys):
    old = desk.promote(desk.make("sport", tmp_path / "old"))
    new = desk.promote(desk.make("money", tmp_path / "new"))
    with processes(desk.project.folder, 2) as urls:
        wait_for(lambda: all(readiness(url).get("previous") == old for url in urls), 30)
        with asking(urls) as answers:
            wait_for(lambda: len(answers) > 100, 30)
            at = desk.roll_back()
            seconds = served_after(answers, at, urls, new)
        with capsys.disabled():
            print(f"\nlast answer of the release taken back: {seconds:.2f} s after the rollback", end=" ")
        check(desk, answers)
        assert {one.release for one in answers} == {old, new} and answers[-1].release == old
        assert seconds < 1.0


@pytest.mark.alone
@pytest.mark.slow
def test_a_canary_that_is_taken_back_under_load_gets_no_further_request(desk, tmp_path):
    old = desk.promote(desk.make("sport", tmp_path / "old"))
    new = desk.roll_out(desk.make("money", tmp_path / "new"), 0.5)
    with processes(desk.project.folder, 2) as urls:
        wait_for(lambda: all(readiness(url).get("rollout", {}).get("loaded") for url in urls), 30)
        with asking(urls) as answers:
            wait_for(lambda: {one.release for one in answers} == {old, new} and len(answers) > 100, 30)
            at = desk.roll_back()
            wait_for(lambda: not any(readiness(url).get("rollout") for url in urls))
            seconds = served_after(answers, at, urls, new)
        check(desk, answers)
        assert {one.release for one in answers[-50:]} == {old}
        assert seconds < 1.0
