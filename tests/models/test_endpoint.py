import threading
import time

import pytest
from openai_endpoint import Reply, serving

from lifeloop.core.errors import ModelError
from lifeloop.models import endpoint as module
from lifeloop.models.endpoint import SILENT, Endpoint, checked_proxy

NOBODY = "http://127.0.0.1:9/v1/chat/completions"


@pytest.fixture
def connect():
    opened = []

    def make(url: str, timeout: float = 5.0, retries: int = 1, concurrency: int = 4, key: str = "") -> Endpoint:
        path = url if url.endswith("completions") else f"{url}/chat/completions"
        opened.append(Endpoint(path, key, timeout, retries, concurrency))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def bodies(n: int):
    return ((number, b'{"messages": [{"content": "%d"}]}' % number) for number in range(n))


def test_every_request_has_its_reply_and_no_more_are_under_way_than_allowed(connect):
    lock, under_way, most = threading.Lock(), [], []

    def say(asked):
        with lock:
            under_way.append(1)
            most.append(len(under_way))
        time.sleep(0.005)
        with lock:
            under_way.pop()
        return asked["messages"][-1]["content"]

    with serving(say) as server:
        replies = dict(connect(server.url, concurrency=4).ask_each(bodies(40)))
    assert sorted(replies) == list(range(40))
    assert all(f'"content": "{number}"'.encode() in reply.body for number, reply in replies.items())
    assert max(most) <= 4


def test_several_threads_may_ask_at_once(connect):
    with serving(lambda asked: "x") as server:
        endpoint = connect(server.url)
        found = []
        threads = [
            threading.Thread(target=lambda: found.extend(reply for _, reply in endpoint.ask_each(bodies(10))))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert endpoint.ask(b'{"messages": []}').error == ""
    assert [reply.error for reply in found] == [""] * 40


def test_a_limit_that_is_reached_pauses_everybody(connect):
    asked_at = []
    spent = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "700ms"}

    def say(asked):
        asked_at.append(time.monotonic())
        body = {"choices": [{"message": {"content": "x"}}]}
        return Reply(body, headers=spent if len(asked_at) == 1 else {})

    with serving(say) as server:
        endpoint = connect(server.url, concurrency=1)
        list(endpoint.ask_each(bodies(3)))
    assert asked_at[1] - asked_at[0] >= 0.65
    assert asked_at[2] - asked_at[1] < 0.5


def test_waits_between_tries_grow_and_are_drawn(connect, monkeypatch):
    ceilings = []

    def drawn() -> float:
        ceilings.append(1)
        return 0.0

    monkeypatch.setattr(module.random, "random", drawn)
    with serving(lambda asked: Reply({}, 500)) as server:
        reply = connect(server.url, retries=3).ask(b'{"messages": []}')
    assert reply.error == "the endpoint answered 500, 4 times"
    assert len(ceilings) == 3


# an endpoint that is not there


def test_nobody_there_costs_one_round_of_tries_and_not_one_an_item(connect):
    endpoint = connect(NOBODY, retries=2, concurrency=8)
    begun = time.monotonic()
    replies = dict(endpoint.ask_each(bodies(2000)))
    assert time.monotonic() - begun < 20
    errors = [reply.error for reply in replies.values()]
    assert errors.count(SILENT) >= 1900
    assert "no connection to the endpoint, 3 times" in errors


def test_an_endpoint_that_comes_back_is_asked_again(connect, monkeypatch):
    monkeypatch.setattr(module, "COOLING", 1.0)
    answers = [False]

    def say(asked):
        return "x" if answers[0] else Reply(b"", headers={"content-length": "10"})

    with serving(say) as server:
        endpoint = connect(server.url, timeout=1.0, retries=0, concurrency=8)
        errors = {reply.error for _, reply in endpoint.ask_each(bodies(60))}
        assert SILENT in errors
        answers[0] = True
        time.sleep(1.1)
        assert endpoint.ask(b'{"messages": []}').error == ""
        assert {reply.error for _, reply in endpoint.ask_each(bodies(10))} == {""}


def test_an_endpoint_that_refuses_is_not_silent(connect):
    with serving(lambda asked: Reply({}, 400)) as server:
        replies = dict(connect(server.url, retries=0).ask_each(bodies(100)))
    assert {reply.error for reply in replies.values()} == {"the endpoint answered 400"}


# addresses and proxies


def test_a_proxy_is_taken_from_the_environment(monkeypatch):
    for name in ("no_proxy", "NO_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    assert checked_proxy("https://models.example/v1") == "http://proxy.example:3128"
    monkeypatch.setenv("no_proxy", "models.example")
    assert checked_proxy("https://models.example/v1") is None


def test_requests_go_through_the_proxy(connect, monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving(lambda asked: "by proxy") as server:
        monkeypatch.setenv("http_proxy", server.url.removesuffix("/v1"))
        reply = connect("http://models.example/v1").ask(b'{"messages": []}')
    assert b"by proxy" in reply.body
    assert server.asked[0]["path"] == "http://models.example/v1/chat/completions"


def test_an_endpoint_that_is_closed_or_forgotten_ends_its_thread():
    def threads() -> int:
        return sum(thread.name == "endpoint" and thread.is_alive() for thread in threading.enumerate())

    before = threads()
    endpoint = Endpoint(NOBODY, "", 1.0, 0, 2)
    assert threads() == before + 1
    endpoint.close()
    endpoint.close()
    assert threads() == before
    forgotten = Endpoint(NOBODY, "", 1.0, 0, 2)
    del forgotten
    assert threads() == before


def test_a_stream_from_nobody_is_an_error(connect):
    with pytest.raises(ModelError, match="no connection to the endpoint"):
        list(connect(NOBODY).stream(b"{}"))
