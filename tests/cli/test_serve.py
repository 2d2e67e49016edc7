"""`lifeloop serve` as people start it: a real process, its workers, and what it says."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from lifeloop.core.candidates import Candidate
from lifeloop.core.evidence import Release
from lifeloop.place import ledger_url, vault_url
from lifeloop.store.ledger import open_ledger
from lifeloop.store.vault import Vault

BRIEF = """
[project]
name = "desk"
task = "classify"

[data]
source = "tickets.csv"

[[objectives]]
metric = "accuracy"
target = 0.5

[candidates.majority]
kind = "majority"
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "lifeloop.toml").write_text(BRIEF)
    (tmp_path / "tickets.csv").write_text("text,label\na,billing\nb,other\n")
    return tmp_path


def released(folder: Path) -> None:
    vault = Vault(vault_url(folder), cache=folder / ".lifeloop" / "cache")
    made = folder / "made"
    made.mkdir()
    (made / "majority.json").write_text(json.dumps(["billing", 0.5]))
    candidate = Candidate("majority", "majority", "classify", ("billing", "other"), {}, files=vault.put_folder(made))
    identifier = vault.put_value(candidate)
    release = vault.put_value(Release(1, "v", identifier, "majority"))
    ledger = open_ledger(ledger_url(folder))
    ledger.add_release(id=release, verdict="v", candidate=identifier, name="majority", at=time.time())
    ledger.close()


def command(folder, *more):
    return [sys.executable, "-m", "lifeloop", "-C", str(folder), "serve", "--port", "0", *more]


@contextmanager
def serving(folder, *more):
    with subprocess.Popen(
        command(folder, *more), stdout=subprocess.PIPE, stderr=(folder / "log").open("w"), text=True
    ) as process:
        try:
            first = process.stdout.readline().strip()
            url = process.stdout.readline().split()[0].removesuffix("/v1")
            yield process, url, first
        finally:
            process.terminate()
            process.wait(30)


def eventually(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def ask(url):
    return httpx.post(f"{url}/v1/tasks/desk", json={"text": "hello"}, timeout=20)


def answers(url):
    try:
        return ask(url).status_code == 200
    except httpx.TransportError:
        return False


def test_it_says_who_serves_once_requests_are_answered_and_keeps_every_event(project):
    released(project)
    with serving(project) as (process, url, first):
        assert first.startswith("serving majority (release ")
        events = {ask(url).json()["event"] for _ in range(20)}
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    ledger = open_ledger(ledger_url(project))
    assert {event.id for event in ledger.latest_events(100)} == events


def test_an_address_that_others_reach_wants_a_key_or_an_explicit_word(project):
    released(project)
    done = subprocess.run(command(project, "--host", "0.0.0.0"), capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "no key is asked for" in done.stderr and "lifeloop keys create" in done.stderr


def test_without_a_release_it_says_so_or_waits_for_one(project):
    done = subprocess.run(command(project), capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "nothing is in production" in done.stderr

    with serving(project, "--wait") as (_, url, first):
        assert "once it is loaded" in first
        said = httpx.get(f"{url}/readyz")
        assert said.status_code == 503
        eventually(lambda: httpx.get(f"{url}/readyz").json()["waiting"] == "nothing is in production")
        released(project)
        eventually(lambda: answers(url))


def test_a_brief_that_is_half_edited_stops_no_worker(project):
    released(project)
    with serving(project) as (process, url, _):
        (project / "lifeloop.toml").write_text(BRIEF + "\nfoo = [")
        (worker,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[:1]
        os.kill(int(worker), signal.SIGKILL)
        eventually(lambda: answers(url))
        process.send_signal(signal.SIGHUP)
        eventually(lambda: "SIGHUP changes nothing" in (project / "log").read_text())
        assert answers(url)
