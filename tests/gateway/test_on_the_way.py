"""What a request passes on its way to an endpoint: room, key, limits; and what its sender may say of it in headers."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import msgspec
import openai
import pytest
from gateway_scene import Says, Scene, client_of, said, wait_for
from openai import OpenAI

from lifeloop.core.assignment import call_of, leads
from lifeloop.core.events import Event
from lifeloop.core.gateway_brief import Gateway, Load, Protection
from lifeloop.core.keys import KeyLimits
from lifeloop.lifecycle.api_keys import create_key

CHAT = {"model": "desk", "messages": said("x")}


class Set(Scene):
    """A project whose brief says something of the gateway."""

    settings = Gateway()

    def serving(self):
        return msgspec.structs.replace(super().serving(), settings=self.settings)


@pytest.fixture
def scene(tmp_path) -> Set:
    found = Set(tmp_path)
    found.model = Says("billing")
    found.candidate("first", found.model)
    found.release("first")
    return found


def key(scene: Scene, *scopes: str, **limits) -> str:
    return create_key(
        scene.ledger, "web", scopes=scopes, by="ann", clock=lambda: 1_700_000_000.0, limits=KeyLimits(**limits)
    ).key


def asks(url: str, api_key: str, **options) -> OpenAI:
    return OpenAI(base_url=f"{url}/v1", api_key=api_key, **({"max_retries": 0} | options))


def test_keys_limits_and_scopes_become_the_packages_own_exceptions(scene):
    infers, told, rules = key(scene, "infer", requests_per_minute=2), key(scene, "feedback"), key(scene, "admin")
    with scene.running() as url:
        with pytest.raises(openai.AuthenticationError) as unknown:
            asks(url, "ll-abc-0123456789abcdef").chat.completions.create(**CHAT)
        assert unknown.value.code == "invalid_api_key" and len(unknown.value.request_id) == 32
        with pytest.raises(openai.PermissionDeniedError):
            asks(url, told).chat.completions.create(**CHAT, stream=True)
        answer = asks(url, infers).chat.completions.with_raw_response.create(**CHAT)
        assert answer.headers["x-ratelimit-remaining-requests"] == "1"
        with asks(url, infers).chat.completions.with_streaming_response.create(**CHAT, stream=True) as streamed:
            assert streamed.headers["x-ratelimit-remaining-requests"] == "0"
        with pytest.raises(openai.RateLimitError) as limited:
            asks(url, infers).chat.completions.create(**CHAT)
        assert int(limited.value.response.headers["retry-after"]) >= 1

        def status(path: str, api_key: str = "") -> int:
            headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
            return httpx.get(url + path, headers=headers).status_code

        assert [status(path) for path in ("/healthz", "/readyz", "/openapi.json", "/docs")] == [200] * 4
        assert [status("/v1/models"), status("/v1/releases", told), status("/v1/releases", rules)] == [401, 403, 200]
        events = scene.events(2)
    assert {event.api_key for event in events} == {infers.split("-")[1]}


def test_a_key_is_asked_for_before_a_body_is_read(scene):
    key(scene, "infer")
    with scene.running() as url:
        response = httpx.post(f"{url}/v1/chat/completions", content=b"\xff" * 20_000_000)
    assert response.status_code == 401


def test_a_full_gateway_says_when_to_come_back_and_the_package_does(tmp_path):
    scene = Set(tmp_path)
    scene.settings = Gateway(load=Load(in_flight=1, queue=0, queue_seconds=1.0))
    scene.candidate("slow", Says("billing", seconds=0.5))
    scene.release("slow")
    with scene.running() as url, ThreadPoolExecutor(1) as pool:
        first = pool.submit(httpx.post, f"{url}/v1/chat/completions", json=CHAT)
        wait_for(lambda: httpx.get(f"{url}/v1/releases").status_code == 429)
        with pytest.raises(openai.RateLimitError) as full:
            client_of(url).chat.completions.create(**CHAT)
        assert full.value.code == "overloaded"
        patient = asks(url, "none", max_retries=4)
        assert patient.chat.completions.create(**CHAT).choices[0].message.content == "billing"
        assert first.result().status_code == 200


def test_requests_of_many_senders_are_put_to_a_model_together(scene):
    scene.model.seconds = 0.05
    with scene.running() as url, httpx.Client(limits=httpx.Limits(max_connections=40)) as client:
        with ThreadPoolExecutor(40) as pool:
            calls = [pool.submit(client.post, f"{url}/v1/tasks/desk", json={"text": f"text {n}"}) for n in range(120)]
            answers = [call.result().json()["label"] for call in calls]
        assert answers == ["billing"] * 120
        scene.events(120)
    assert max(scene.model.batches) == scene.model.batch_size and len(scene.model.batches) < 60
    assert scene.model.most_at_once == 1


@pytest.mark.parametrize("header", ["idempotency-key", "x-request-id"])
def test_a_request_that_is_repeated_is_one_event(scene, header):
    with scene.running() as url:

        def ask(path: str, repeated: str | None, **body) -> str:
            headers = {header: repeated} if repeated else {}
            response = httpx.post(f"{url}{path}", json=body, headers=headers)
            assert response.status_code == 200
            return response.headers["x-request-id"]

        same = {ask("/v1/chat/completions", "one", **CHAT) for _ in range(3)}
        others = {
            ask("/v1/chat/completions", "two", **CHAT),
            ask("/v1/chat/completions", "one", **CHAT, max_tokens=5),
            ask("/v1/chat/completions", None, **CHAT),
            ask("/v1/chat/completions", None, **CHAT),
        }
        assert len(same) == 1 and len(others) == 4 and not same & others
        (event,) = same
        several = [httpx.post(f"{url}/v1/tasks/desk", json={"texts": ["a", "b"]}, headers={header: "x"}) for _ in "ab"]
        assert several[0].json() == several[1].json()
        assert len({ask("/v1/feedback", "said", event=event, rating=1) for _ in range(2)}) == 1
        scene.events(7)
        wait_for(lambda: len(scene.ledger.feedback()) == 1)
    assert len(scene.ledger.feedback()) == 1


def test_whose_request_it_is_is_recorded_without_saying_who(scene):
    with scene.running() as url:
        chats = f"{url}/v1/chat/completions"
        for body, headers in (
            (CHAT | {"user": "ann"}, {}),
            (CHAT | {"safety_identifier": "ann"}, {}),
            (CHAT, {"x-lifeloop-user": "ann"}),
            (CHAT | {"user": "bob"}, {"x-lifeloop-user": "ann"}),
            (CHAT, {}),
        ):
            assert httpx.post(chats, json=body, headers=headers).status_code == 200
        httpx.post(f"{url}/v1/tasks/desk", json={"text": "x", "user": "ann"})
        keys = [event.user_key for event in scene.events(6)]
    assert keys[0] == keys[1] == keys[2] == keys[5] and keys[3] not in ("", keys[0]) and keys[4] == ""
    assert "ann" not in keys[0]


def test_an_api_key_is_no_user(scene):
    """All requests of one key met one side: a step of a hundredth got nothing in 99 of 100 rollouts, else all."""
    with scene.running() as url:
        client = asks(url, key(scene, "infer"))
        for _ in range(2):
            client.chat.completions.create(**CHAT)
        assert [event.user_key for event in scene.events(2)] == ["", ""]


def test_the_events_of_one_call_are_one_unit(scene):
    with scene.running() as url:
        for path, body in (
            ("/v1/tasks/desk", {"texts": [f"text {n}" for n in range(20)]}),
            ("/v1/completions", {"model": "desk", "prompt": ["a", "b", "c"]}),
            ("/v1/tasks/desk", {"text": "x"}),
        ):
            assert httpx.post(f"{url}{path}", json=body).status_code == 200
        ids = [event.id for event in scene.events(24)]
    assert len(set(ids)) == 24 and all(len(identifier) == 32 for identifier in ids)
    assert [list(map(call_of, ids)).count(call) for call in dict.fromkeys(map(call_of, ids))] == [20, 3, 1]
    assert [place for place, identifier in enumerate(ids) if leads(identifier)] == [0, 20, 23]


def test_feedback_waits_a_moment_for_an_event_that_another_machine_served(scene):
    event = Event("a" * 32, 0.0, "r", "c", "first", "x", "billing", None, 0.1, 1, 1, 0.0)
    with scene.running() as url:
        late = threading.Timer(0.4, lambda: scene.ledger.add_served([event], []))
        late.start()
        assert httpx.post(f"{url}/v1/feedback", json={"event": "a" * 32, "rating": 1}).status_code == 200
        late.join()
        began = time.monotonic()
        unknown = httpx.post(f"{url}/v1/feedback", json={"event": "b" * 32, "rating": 1})
        assert unknown.status_code == 404 and 0.5 < time.monotonic() - began < 5.0


def test_pages_may_ask_only_where_the_brief_says_so(scene):
    page = {"origin": "https://app.example.com"}
    asked = page | {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    with scene.running() as url:
        assert httpx.options(f"{url}/v1/chat/completions", headers=asked).status_code == 405
        plain = httpx.post(f"{url}/v1/chat/completions", json=CHAT, headers=page)
        assert plain.status_code == 200 and "access-control-allow-origin" not in plain.headers
    scene.settings = Gateway(protection=Protection(cors=("https://app.example.com",)))
    with scene.running() as url:
        chats = f"{url}/v1/chat/completions"
        preflight = httpx.options(chats, headers=asked)
        assert preflight.status_code == 204 and preflight.headers["access-control-allow-headers"] == "authorization"
        for response in (
            preflight,
            httpx.post(chats, json=CHAT, headers=page),
            httpx.post(chats, json=CHAT | {"stream": True}, headers=page),
            httpx.post(chats, json={}, headers=page),
            httpx.get(f"{url}/nowhere", headers=page),
        ):
            assert response.headers.get_list("access-control-allow-origin") == ["https://app.example.com"]
            assert len(response.headers["x-request-id"]) == 32
        other = httpx.post(chats, json=CHAT, headers={"origin": "https://evil.example.com"})
        assert "access-control-allow-origin" not in other.headers


def test_personal_data_in_feedback_is_masked_where_the_brief_says_so(scene):
    scene.settings = Gateway(protection=Protection(redact=("mail",)))
    with scene.running() as url:
        event = httpx.post(f"{url}/v1/tasks/desk", json={"text": "write to ann@example.com"}).json()["event"]
        said_it = {"event": event, "rating": 1, "comment": "thanks, bob@example.com"}
        assert httpx.post(f"{url}/v1/feedback", json=said_it).status_code == 200
        wait_for(lambda: len(scene.ledger.feedback()) == 1)
        (row,) = scene.ledger.feedback()
    assert "bob@" not in row.feedback.comment and "ann@" not in row.event.input


def test_each_answer_that_a_call_asks_for_is_a_request_of_its_keys_minute(scene):
    scene.model.embed = lambda texts: [[1.0] for _ in texts]
    calls = [
        ("/v1/tasks/desk", lambda n: {"texts": ["x"] * n}),
        ("/v1/completions", lambda n: {"model": "desk", "prompt": ["x"] * n}),
        ("/v1/embeddings", lambda n: {"model": "desk", "input": ["x"] * n}),
    ]
    with scene.running() as url:
        for path, body in calls:
            headers = {"authorization": f"Bearer {key(scene, 'infer', requests_per_minute=5)}"}

            def knows_the_key(headers=headers):  # and has counted the first of its five requests
                return "x-ratelimit-limit-requests" in httpx.get(f"{url}/v1/models", headers=headers).headers

            wait_for(knows_the_key)

            def post(n, path=path, body=body, headers=headers):
                return httpx.post(url + path, json=body(n), headers=headers)

            never = post(6)
            assert never.status_code == 429 and "6 in one" in never.json()["error"]["message"]
            assert "retry-after" not in never.headers and never.headers["x-should-retry"] == "false"
            assert never.headers["x-ratelimit-remaining-requests"] == "3"
            good = post(2)
            assert good.status_code == 200 and good.headers["x-ratelimit-remaining-requests"] == "1"
            now = post(2)
            assert now.status_code == 429 and int(now.headers["retry-after"]) >= 1
            assert len(now.headers.get_list("x-ratelimit-remaining-requests")) == 1
            assert post(1).status_code == 429
        scene.events(4)
