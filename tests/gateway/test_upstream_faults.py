"""The gateway before a real endpoint that fails, hangs, resets and sends garbage: a valid answer or a clean error."""

import asyncio
import json
import time

import httpx
import openai
import pytest
from faulty_upstream import upstream
from gateway_scene import Says, Scene, client_of, said, wait_for
from msgspec.structs import replace

from lifeloop.core.candidates import Candidate
from lifeloop.core.gateway_brief import Continuity
from lifeloop.models.remote import KIND


@pytest.fixture(scope="module")
def up():
    with upstream() as server:
        yield server


class Desk(Scene):
    """A chat project whose released candidate is an endpoint, with a local model behind it."""

    def __init__(self, folder, *ups, seconds=1.0, local=True, **continuity):
        super().__init__(folder, "chat")
        self.continuity = Continuity(**continuity)
        names = [f"remote{place}" for place in range(len(ups))]
        for name, up in zip(names, ups, strict=True):
            self.candidate(name, lambda up=up, name=name: self.remote(name, up))
            up.behave, up.n_requests, up.hung_up = "well", 0, 0
        if local:
            self.candidate("local", Says("local words"))
            names.append("local")
        self.release(*names, seconds=seconds)

    def remote(self, name, up):
        settings = {"url": up.url, "model": "m", "retries": 0, "usd_per_million_in": 1.0, "concurrency": 600}
        return KIND.load(Candidate(name=name, kind="remote", task="chat", labels=(), settings=settings), None, ())

    def serving(self):
        serving = super().serving()
        return replace(serving, settings=replace(serving.settings, continuity=self.continuity))


def ask(url, stream=False, **options):
    with client_of(url, **options) as client:
        answer = client.chat.completions.create(model="desk", messages=said("how are you"), stream=stream)
        if not stream:
            return answer.choices[0].message.content
        return "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)


BEFORE_THE_FIRST_PIECE = [
    "answer_500", "answer_429", "answer_400", "hang", "reset", "garbage", "keep_alive", "say_nothing"
]  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("behaviour", BEFORE_THE_FIRST_PIECE)
def test_what_fails_upstream_is_answered_by_the_next_candidate(tmp_path, up, behaviour, stream):
    scene = Desk(tmp_path, up, seconds=0.4, retries=0)
    up.behave = behaviour
    with scene.running() as url:
        began = time.monotonic()
        assert ask(url, stream) == "local words"
        assert time.monotonic() - began < 6.0
        (event,) = scene.events(1)
        assert event.name == "local" and event.output == "local words" and event.error.startswith("remote0 ")
        wait_for(lambda: up.n_open == 0)
    assert "secret trace" not in event.error


@pytest.mark.parametrize("behaviour", BEFORE_THE_FIRST_PIECE)
def test_without_another_candidate_it_is_a_clean_error(tmp_path, up, behaviour):
    scene = Desk(tmp_path, up, seconds=0.4, retries=0, local=False)
    up.behave = behaviour
    with scene.running() as url:
        for stream in (False, True):
            with pytest.raises((openai.InternalServerError, openai.RateLimitError)) as caught:
                ask(url, stream)
            assert caught.value.status_code == (429 if behaviour == "answer_429" else 503)
            assert "secret" not in str(caught.value) and int(caught.value.response.headers["retry-after"]) >= 1
        scene.events(2)


def test_what_passes_is_tried_again_unseen(tmp_path, up):
    scene = Desk(tmp_path, up, local=False)
    with scene.running() as url:
        for stream in (False, True):
            up.script = ["answer_500"]
            assert ask(url, stream) == "all well"
        assert [event.error for event in scene.events(2)] == ["", ""] and up.n_requests == 4


IN_THE_MIDDLE = [
    "reset_in_the_middle",
    "hang_in_the_middle",
    "keep_alive_in_the_middle",
    "end_in_the_middle",
    "garbage_in_the_middle",
]


@pytest.mark.parametrize("behaviour", IN_THE_MIDDLE)
def test_what_breaks_in_the_middle_is_told_in_the_stream(tmp_path, up, behaviour):
    scene = Desk(tmp_path, up, seconds=0.4)
    up.behave = behaviour
    with scene.running() as url:
        began = time.monotonic()
        with pytest.raises(openai.APIError, match="broke off: remote0"):
            ask(url, stream=True)
        assert time.monotonic() - began < 6.0
        (event,) = scene.events(1)
        assert event.output == "al" and event.error.startswith("broken off: remote0 ")
        assert event.tokens_in > 0 and event.tokens_out > 0
        wait_for(lambda: up.n_open == 0)


def test_a_model_that_thinks_in_the_middle_of_its_answer_is_not_silent(tmp_path, up):
    scene = Desk(tmp_path, up, seconds=0.4)
    up.behave = "think_in_the_middle"
    with scene.running() as url:
        assert ask(url, stream=True).startswith("alal")
        assert scene.events(1)[0].error == ""


def test_an_outage_opens_the_breaker_and_its_end_closes_it(tmp_path, up):
    scene = Desk(tmp_path, up, retries=0, breaker_requests=5, breaker_seconds=0.3)
    up.behave = "answer_500"
    with scene.running() as url, httpx.Client() as client:

        def output():
            return client.post(f"{url}/v1/tasks/desk", json={"text": "how are you"}).json()["output"]

        answers = [output() for _ in range(100)]
        asked = up.n_requests
        up.behave = "well"
        wait_for(lambda: output() == "all well")
        events = scene.events(scene.ledger.count_events())
    assert answers == ["local words"] * 100 and 5 <= asked <= 5 + 7  # each probe waits twice as long as the one before
    assert "remote0 is left out after failures" in [event.error for event in events]


def test_a_silent_endpoint_is_overtaken_by_the_next_one(tmp_path, up):
    with upstream(said=("slow",)) as slow:
        scene = Desk(tmp_path, slow, up, seconds=5.0, hedge_seconds=0.1)
        slow.behave = "hang"
        with scene.running() as url:
            started = time.perf_counter()
            assert ask(url, stream=True) == "all well"
            assert time.perf_counter() - started < 2.0
            (event,) = scene.events(1)
            wait_for(lambda: slow.n_open == 0)
        assert (event.name, event.error) == ("remote1", "hedged: remote0 was silent for 0.1 s") and slow.hung_up == 1


def read_a_little(url, n_bytes):
    """Read the beginning of a stream and hang up."""
    body = {"model": "desk", "messages": said("how are you"), "stream": True}
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=10) as reply:
        got = b""
        for piece in reply.iter_bytes():
            got += piece
            if len(got) >= n_bytes:
                return got
    return got


def test_a_client_that_leaves_hangs_up_on_the_endpoint_at_once_and_what_it_had_is_on_record(tmp_path, up):
    scene = Desk(tmp_path, up, seconds=10.0)
    up.behave = "hang_in_the_middle"
    with scene.running() as url:
        assert b'"al"' in read_a_little(url, 1)
        wait_for(lambda: up.n_open == 0, 2.0)
        (event,) = scene.events(1)
    assert (event.output, event.error) == ("al", "abandoned: the connection ended") and up.hung_up == 1
    assert event.tokens_in > 0 and event.tokens_out > 0 and event.usd > 0


@pytest.mark.slow
def test_500_cancelled_streams_leave_room_for_500_others(tmp_path, up):
    """With 8 connections to the endpoint, a single one that leaks would be felt soon."""

    class Narrow(Desk):
        def remote(self, name, up):
            settings = {"url": up.url, "model": "m", "concurrency": 8}
            return KIND.load(Candidate(name=name, kind="remote", task="chat", labels=(), settings=settings), None, ())

    scene = Narrow(tmp_path, up, seconds=10.0, local=False)

    async def leave(client, url):
        body = {"model": "desk", "messages": said("how are you"), "stream": True}
        async with client.stream("POST", f"{url}/v1/chat/completions", json=body) as reply:
            async for _ in reply.aiter_bytes():
                return

    async def all_leave(url):
        async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=50)) as client:
            await asyncio.gather(*(leave(client, url) for _ in range(500)))

    with scene.running() as url:
        up.behave = "hang_in_the_middle"
        asyncio.run(all_leave(url))
        wait_for(lambda: up.n_open == 0, 5.0)
        up.behave = "well"
        assert [ask(url, stream=True) for _ in range(10)] == ["all well"] * 10
        events = scene.events(510)
    assert [event.error for event in events].count("abandoned: the connection ended") == 500


def test_a_client_that_does_not_read_stops_the_endpoint(tmp_path, up, monkeypatch):
    monkeypatch.setattr("lifeloop.gateway.web.protocol.STALL_SECONDS", 0.5)
    with upstream(said=["x" * 50_000] * 2000) as wordy:
        wordy.seconds = 0.0
        scene = Desk(tmp_path, wordy, seconds=5.0, local=False)
        with scene.running() as url, httpx.Client() as client:
            body = {"model": "desk", "messages": said("x"), "stream": True}
            with client.stream("POST", f"{url}/v1/chat/completions", json=body) as reply:
                wait_for(lambda: wordy.hung_up == 1, 10.0)
                assert reply.status_code == 200
            (event,) = scene.events(1)
    assert event.error == "abandoned: the client took nothing" and len(event.output) < 2000 * 50_000


def test_a_client_that_reads_slowly_has_its_whole_answer(tmp_path, up, monkeypatch):
    monkeypatch.setattr("lifeloop.gateway.web.protocol.STALL_SECONDS", 0.3)
    with upstream(said=["x" * 50_000] * 300) as wordy:
        wordy.seconds = 0.0
        scene = Desk(tmp_path, wordy, seconds=5.0, local=False)
        with scene.running() as url, httpx.Client() as client:
            body = {"model": "desk", "messages": said("x"), "stream": True}
            with client.stream("POST", f"{url}/v1/chat/completions", json=body) as reply:
                came = b""
                for piece in reply.iter_bytes(1_000_000):
                    came += piece
                    time.sleep(0.1)
            (event,) = scene.events(1)
    assert came.endswith(b"[DONE]\n\n") and event.error == "" and len(event.output) == 300 * 50_000


def test_errors_in_a_stream_have_the_form_of_openai(tmp_path, up):
    scene = Desk(tmp_path, up, seconds=0.4)
    up.behave = "reset_in_the_middle"
    with scene.running() as url:
        body = {"model": "desk", "messages": said("x"), "stream": True}
        text = httpx.post(f"{url}/v1/chat/completions", json=body).text
    last = json.loads(text.strip().split("\n\n")[-1].removeprefix("data: "))
    assert set(last["error"]) == {"message", "type", "param", "code"} and last["error"]["code"] == "broken_off"
