"""What is called over and over, and what keeps it from being called: nothing."""

import itertools
import threading
import time

from gateway_scene import wait_for

from lifeloop.gateway.production.following import Following


def test_a_call_that_hangs_or_fails_delays_no_other(caplog):
    let_go, n = threading.Event(), {"hangs": 0, "fails": 0, "works": 0}

    def hangs():
        n["hangs"] += 1
        let_go.wait(20)

    def fails():
        n["fails"] += 1
        raise OSError("the database has no free connection")

    def works():
        n["works"] += 1

    following = Following([hangs, fails, works], 0.005)
    following.start()
    wait_for(lambda: n["works"] >= 20 and n["fails"] >= 20)
    assert n["hangs"] == 1
    let_go.set()
    following.close()
    assert caplog.text.count("Traceback") == 1, "the same failure is told once"
    after = dict(n)
    time.sleep(0.03)
    assert n == after


def test_a_clock_that_jumps_changes_nothing(monkeypatch):
    hours = iter(range(10**6))
    monkeypatch.setattr(time, "time", lambda: (-1) ** next(hours) * 1e9)
    calls = []
    following = Following([lambda: calls.append(time.monotonic())], 0.01)
    following.start()
    wait_for(lambda: len(calls) >= 10)
    following.close()
    pauses = [later - earlier for earlier, later in itertools.pairwise(calls)]
    assert min(pauses) >= 0.009
