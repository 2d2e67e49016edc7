import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from gateway_scene import Says, Scene, wait_for

from lifeloop.core.errors import GatewayError
from lifeloop.gateway.processes.serve import listen, serve
from lifeloop.store.ledger import open_ledger


@contextmanager
def process(folder, seconds=0.0, *pieces):
    command = [sys.executable, str(Path(__file__).parent / "gateway_process.py"), str(folder), str(seconds)]
    command += map(str, pieces)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as gateway:
        try:
            url = gateway.stdout.readline().strip()
            wait_for(lambda: httpx.get(f"{url}/readyz").status_code == 200)
            yield gateway, url
        finally:
            gateway.kill()


def post(url, text="x"):
    return httpx.post(f"{url}/v1/tasks/desk", json={"text": text}, timeout=20)


def event_of(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["event"]


@pytest.mark.alone
@pytest.mark.slow
def test_sigterm_finishes_requests_in_flight_and_writes_every_event(tmp_path):
    with process(tmp_path, seconds=3.0) as (gateway, url), ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(post, url) for _ in range(8)]
        time.sleep(1.5)  # long enough to be in flight on a busy machine, short enough not to be answered
        gateway.send_signal(signal.SIGTERM)
        assert [answer.result().status_code for answer in answers] == [200] * 8
        assert gateway.wait(20) == 0
        assert gateway.stdout.read() == "ended\n"
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    assert {event.id for event in ledger.latest_events(99)} == {answer.result().json()["event"] for answer in answers}
    assert not list(tmp_path.glob("ledger.db.events/*.segment.jsonl"))


@pytest.mark.slow
def test_sigterm_while_the_database_is_locked_loses_nothing(tmp_path):
    with process(tmp_path) as (gateway, url):
        other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        events = {event_of(post(url)) for _ in range(20)}
        gateway.send_signal(signal.SIGTERM)
        assert gateway.wait(30) == 0
        other.rollback()
    assert list(tmp_path.glob("ledger.db.events/*.segment.jsonl"))
    with process(tmp_path) as (gateway, url):
        ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
        wait_for(lambda: {event.id for event in ledger.latest_events(99)} == events)


@pytest.mark.slow
def test_a_killed_gateway_keeps_every_event_that_was_answered(tmp_path):
    with process(tmp_path) as (gateway, url), httpx.Client() as client:
        events = {event_of(client.post(f"{url}/v1/tasks/desk", json={"text": "x"})) for _ in range(200)}
        gateway.kill()
        gateway.wait(10)
    with process(tmp_path):  # the next one finds what it left
        ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
        wait_for(lambda: {event.id for event in ledger.latest_events(999)} == events)


@pytest.mark.alone
@pytest.mark.slow
def test_sigterm_lets_live_streams_end_and_takes_no_more(tmp_path):
    with process(tmp_path, 0.05, 40) as (gateway, url), ThreadPoolExecutor(4) as pool:
        body = {"model": "desk", "messages": [{"role": "user", "content": "x"}], "stream": True}
        ask = lambda: httpx.post(f"{url}/v1/chat/completions", json=body, timeout=20)  # noqa: E731
        idle = httpx.Client()  # keeps its connection, and asks once more while the gateway drains
        assert idle.get(f"{url}/healthz").status_code == 200
        streams = [pool.submit(ask) for _ in range(4)]
        time.sleep(0.7)  # all of them stream now, and will for another second
        gateway.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        with pytest.raises(httpx.TransportError):  # the socket is closed, or the connection is
            idle.post(f"{url}/v1/chat/completions", json=body).raise_for_status()
        for stream in streams:
            text = stream.result().text
            assert text.rstrip().endswith("data: [DONE]") and '"39 "' in text and "error" not in text
        assert gateway.wait(20) == 0
    events = open_ledger(f"sqlite:///{tmp_path}/ledger.db").latest_events(9)
    assert [event.error for event in events] == [""] * 4 and all("39" in event.output for event in events)


@pytest.mark.alone
def test_a_database_locked_for_two_seconds_delays_no_request_and_loses_nothing(tmp_path):
    scene = Scene(tmp_path)
    scene.candidate("first", Says("billing"))
    scene.release("first")
    with scene.running() as url:
        other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(2.0, other.rollback)
        release.start()
        slowest, events = 0.0, []
        while release.is_alive():
            started = time.perf_counter()
            events.append(post(url).json()["event"])
            feedback = httpx.post(f"{url}/v1/feedback", json={"event": events[-1], "rating": 1})
            assert feedback.status_code == 200
            slowest = max(slowest, time.perf_counter() - started)
        assert slowest < 1.0
        assert [event.id for event in scene.events(len(events))] == events
        wait_for(lambda: len(scene.ledger.feedback()) == len(events))


def test_a_port_that_is_taken_is_said_so(tmp_path):
    scene = Scene(tmp_path)
    taken = listen("127.0.0.1", 0)
    port = taken.getsockname()[1]
    with pytest.raises(GatewayError, match="choose another --port"):
        serve(scene.serving(), "127.0.0.1", port)
    taken.close()
    with pytest.raises(GatewayError, match="cannot listen"):
        serve(scene.serving(), "127.0.0.1", 70_000)


@pytest.mark.alone
@pytest.mark.slow
def test_a_second_signal_cuts_requests_short_but_writes_their_events(tmp_path):
    with process(tmp_path, seconds=8.0) as (gateway, url), ThreadPoolExecutor(1) as pool:
        answer = pool.submit(post, url)
        time.sleep(0.5)
        gateway.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        gateway.send_signal(signal.SIGTERM)
        with pytest.raises(httpx.HTTPError):
            answer.result().raise_for_status()
        assert gateway.wait(15) == 0  # the model is left to itself after five seconds
    (event,) = open_ledger(f"sqlite:///{tmp_path}/ledger.db").latest_events(9)
    assert event.error == "abandoned: the gateway stopped" and event.input == "x"
