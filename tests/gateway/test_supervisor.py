"""The supervisor: real workers in real processes, and real signals."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from gateway_scene import Scene, wait_for

from lifeloop.core.errors import GatewayError
from lifeloop.gateway.processes.serve import listen
from lifeloop.gateway.processes.supervisor import Command, Supervisor
from lifeloop.store.shipping import Shipper

HERE = Path(__file__).parent


@contextmanager
def gateway(folder, n_workers=2, seconds=0.0):
    command = [sys.executable, str(HERE / "supervised_gateway.py"), str(folder), str(n_workers), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip()
            wait_for(lambda: len(workers_of(process.pid)) == n_workers)
            wait_for(lambda: ready(url))
            yield process, url
        finally:
            left = workers_of(process.pid)
            process.kill()
            wait_for(lambda: not any(alive(pid) for pid in left), 20)


def workers_of(pid):
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def ready(url):
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.HTTPError:
        return False


def ask(url, key=""):
    """Ask as OpenAI's client does: again after a broken connection, under one key."""
    for _ in range(5):
        try:
            return httpx.post(
                f"{url}/v1/tasks/desk", json={"text": "x"}, headers={"idempotency-key": key} if key else {}, timeout=20
            )
        except httpx.TransportError:
            continue
    raise AssertionError("no connection")


def shipped(folder):
    """Return the ids in the ledger once all that the workers wrote has been shipped."""
    scene = Scene(folder)
    shipper = Shipper(scene.ledger, folder / "ledger.db.events")
    shipper.start()
    shipper.close(20)
    return [event.id for event in scene.ledger.latest_events(100_000)]


@pytest.mark.alone
def test_a_killed_worker_is_replaced_and_what_it_acknowledged_is_kept(tmp_path):
    with gateway(tmp_path) as (process, url), ThreadPoolExecutor(4) as pool:
        before = workers_of(process.pid)
        answers = []
        for round_ in range(4):
            asked = [pool.submit(ask, url, f"{round_}-{number}") for number in range(60)]
            os.kill(workers_of(process.pid)[0], signal.SIGKILL)
            answers += [each.result() for each in asked]
            wait_for(lambda: len(workers_of(process.pid)) == 2)
        assert [a.text for a in answers if a.status_code != 200] == []
        assert not set(before) & set(workers_of(process.pid)[-1:])
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    ids = shipped(tmp_path)
    assert len(ids) == len(set(ids))
    assert set(ids) == {answer.json()["event"] for answer in answers}


@pytest.mark.alone
def test_sigterm_lets_every_worker_finish_what_is_under_way(tmp_path):
    with gateway(tmp_path, seconds=2.0) as (process, url), ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(ask, url) for _ in range(8)]
        wait_for(lambda: all(each.running() for each in answers))
        subprocess.run(["sleep", "0.8"], check=True)  # long enough to be sent, short enough not to be answered
        process.send_signal(signal.SIGTERM)
        assert [each.result().status_code for each in answers] == [200] * 8
        assert process.wait(20) == 0
        assert process.stdout.read() == "ended\n"
    assert set(shipped(tmp_path)) == {each.result().json()["event"] for each in answers}


@pytest.mark.alone
def test_sighup_replaces_the_workers_without_refusing_a_request(tmp_path):
    with gateway(tmp_path) as (process, url), ThreadPoolExecutor(2) as pool:
        before = set(workers_of(process.pid))
        stop = []

        def go_on():
            statuses = []
            with httpx.Client(timeout=20) as client:
                while not stop:
                    statuses.append(client.post(f"{url}/v1/tasks/desk", json={"text": "x"}).status_code)
            return statuses

        asking = [pool.submit(go_on) for _ in range(2)]
        process.send_signal(signal.SIGHUP)
        try:
            wait_for(lambda: len(set(workers_of(process.pid)) - before) == 2 == len(workers_of(process.pid)), 30)
        finally:
            stop.append(True)
        for each in asking:
            statuses = each.result()
            assert len(statuses) > 10 and set(statuses) == {200}


def test_workers_end_when_their_supervisor_is_killed(tmp_path):
    with gateway(tmp_path) as (process, _):
        workers = workers_of(process.pid)
        process.kill()
        wait_for(lambda: not any(alive(pid) for pid in workers), 20)


def test_workers_that_cannot_start_are_an_error_and_not_a_loop(tmp_path):
    listener = listen("127.0.0.1", 0)
    supervisor = Supervisor(listener, lambda: Command((sys.executable, "-c", "raise SystemExit(3)")), 2)
    with pytest.raises(GatewayError, match="end before they take requests"):
        supervisor.run()
    listener.close()


def test_a_new_worker_that_dies_while_the_old_one_drains_is_replaced(tmp_path):
    with gateway(tmp_path, n_workers=1, seconds=3.0) as (process, url), ThreadPoolExecutor(1) as pool:
        old = workers_of(process.pid)
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(workers_of(process.pid)) == 2)
        answer = pool.submit(ask, url)  # keeps whoever has it busy
        (new,) = set(workers_of(process.pid)) - set(old)
        os.kill(new, signal.SIGKILL)
        assert answer.result().status_code == 200
        wait_for(lambda: len(set(workers_of(process.pid)) - {*old, new}) == 1 or old == workers_of(process.pid), 30)
        assert process.poll() is None
        wait_for(lambda: ready(url), 20)


def test_a_command_that_cannot_be_had_at_a_sighup_leaves_the_workers_as_they_are(tmp_path):
    with gateway(tmp_path, n_workers=1) as (process, url):
        before = workers_of(process.pid)
        (tmp_path / "no-command").touch()
        process.send_signal(signal.SIGHUP)
        assert [ask(url).status_code for _ in range(5)] == [200] * 5
        assert workers_of(process.pid) == before


def test_a_worker_that_waits_for_its_models_ends_when_it_is_told_to(tmp_path):
    with gateway(tmp_path) as (process, url):
        (tmp_path / "hang").touch()  # what is started from now on never has its models
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(workers_of(process.pid)) == 4)
        assert ask(url).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
