import json
import socket

import httpx
import openai
import pytest
from gateway_scene import Echoes, Raises, Says, Scene, client_of, said
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lifeloop.core.candidates import Message
from lifeloop.core.gateway_brief import Load
from lifeloop.tasks.chat import conversation


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """A gateway that no test of this module changes."""
    scene = Scene(tmp_path_factory.mktemp("requests"))
    scene.candidate("first", Says("billing"))
    scene.release("first")
    with scene.running() as url:
        yield url
        scene.events(0)  # no refused request is an event


def refused(response, status):
    """Hold a response against OpenAI's format of errors and return the error."""
    assert response.status_code == status, response.text
    assert len(response.headers["x-request-id"]) == 32
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"]
    assert "Traceback" not in response.text and "/tmp" not in response.text and "site-packages" not in response.text
    return error


def chat(**changes):
    return {"model": "desk", "messages": said("secret words")} | changes


BAD_CHATS = {
    "no messages key": ({"model": "desk"}, "messages"),
    "no model key": ({"messages": said("x")}, "model"),
    "empty messages": (chat(messages=[]), "messages"),
    "blank text": (chat(messages=said("  ")), "messages"),
    "no user message": (chat(messages=[{"role": "system", "content": "x"}]), "messages"),
    "messages a string": (chat(messages="hi"), "messages"),
    "content a number": (chat(messages=[{"role": "user", "content": 5}]), "messages[0].content"),
    "unknown role": (chat(messages=[{"role": "tool", "content": "x"}]), "messages[0].role"),
    "image": (
        chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]),
        "messages[0].content[0]",
    ),
    "zero max_tokens": (chat(max_tokens=0), "max_tokens"),
    "huge max_tokens": (chat(max_tokens=10**30), "max_tokens"),
    "text max_tokens": (chat(max_tokens="9"), "max_tokens"),
    "stream a word": (chat(stream="yes"), "stream"),
    "two answers": (chat(n=2), "n"),
    "tools": (chat(tools=[{"type": "function"}]), "tools"),
}


@pytest.mark.parametrize("name", BAD_CHATS)
def test_a_wrong_request_is_told_which_key_is_wrong(url, name):
    body, param = BAD_CHATS[name]
    error = refused(httpx.post(f"{url}/v1/chat/completions", json=body), 400)
    assert error["param"] == param and error["type"] == "invalid_request_error"
    assert "secret words" not in error["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b'{"model": "\xff"}',
        b'{"model": "\\ud800"}',
        b'{"model": NaN}',
        b'{"model": "desk", "messages": ' + b"[" * 100_000,
        b"model=desk&messages=hi",
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/tasks/desk", "/v1/feedback"])
def test_a_malformed_body_is_a_400(url, path, body):
    refused(httpx.post(url + path, content=body, headers={"content-type": "application/json"}), 400)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = ["model", "n", "stream", "max_tokens", "tools", "event", "rating", "label", "rater", "texts"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(["chat/completions", "tasks/desk", "feedback"]),
    body=st.dictionaries(st.sampled_from(KEYS), JSON),
)
def test_no_body_makes_the_gateway_fail(url, path, body):
    body.pop("texts", None) if path == "tasks/desk" else None  # a good one would be answered
    refused(httpx.post(f"{url}/v1/{path}", content=json.dumps(body)), 400)


def test_a_body_that_is_too_large_is_refused_with_and_without_its_length(url):
    whole = httpx.post(f"{url}/v1/chat/completions", content=b" " * (int(Load().body_mb * 1024**2) + 1))
    assert refused(whole, 413)["message"] == "The body is larger than 8 MB."

    def pieces():
        for _ in range(9):
            yield b" " * 1024 * 1024

    response = httpx.post(f"{url}/v1/chat/completions", content=pieces())
    assert response.request.headers["transfer-encoding"] == "chunked"
    assert refused(response, 413)["code"] == "body_too_large"


def test_a_declared_length_is_refused_before_it_is_sent(url):
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(b"POST /v1/feedback HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_methods_and_paths_are_checked(url):
    assert "POST" in refused(httpx.get(f"{url}/v1/chat/completions"), 405)["message"]
    refused(httpx.post(f"{url}/readyz"), 405)
    refused(httpx.delete(f"{url}/v1/feedback"), 405)
    assert "/docs" in refused(httpx.get(f"{url}/v2"), 404)["message"]
    refused(httpx.get(f"{url}/v1/models/"), 404)
    assert "/v1/tasks/desk" in refused(httpx.post(f"{url}/v1/tasks/other", json={"text": "x"}), 404)["message"]


def test_the_openai_client_raises_its_own_errors(url):
    client = client_of(url)
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-4", messages=said("x"))
    assert caught.value.code == "model_not_found" and caught.value.param == "model" and caught.value.request_id
    with pytest.raises(openai.BadRequestError, match="empty"):
        client.chat.completions.create(model="desk", messages=[])
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="desk", messages=[], stream=True)


def test_tasks_want_one_of_three_keys(url):
    for body in ({}, {"text": "x", "texts": ["y"]}, {"text": ""}, {"texts": []}, {"texts": ["x", " "]}, {"text": None}):
        refused(httpx.post(f"{url}/v1/tasks/desk", json=body), 400)
    refused(httpx.post(f"{url}/v1/tasks/desk", json={"texts": ["x"] * 1001}), 400)
    slip = refused(httpx.post(f"{url}/v1/tasks/desk", json={"user": "ann", "txet": "x"}), 400)["message"]
    assert slip == "Give one of `text`, `texts` and `messages`; `txet` is none of them."


def test_a_text_is_classified(tmp_path):
    scene = Scene(tmp_path)
    scene.candidate("first", Says("billing"))
    release = scene.release("first")
    with scene.running() as url:
        response = httpx.post(f"{url}/v1/tasks/desk", json={"text": "my invoice"})
        (event,) = scene.events(1)
    assert response.json() == {
        "label": "billing",
        "confidence": 0.75,
        "event": event.id,
        "candidate": "first",
        "release": release,
    }
    assert response.headers["x-lifeloop-event"] == response.headers["x-request-id"] == event.id
    assert response.headers["x-lifeloop-candidate"] == "first"


def test_many_texts_are_answered_in_batches_and_each_is_an_event(tmp_path):
    scene = Scene(tmp_path)
    first, second = Echoes(), Says("other")
    scene.candidate("first", first)
    scene.candidate("second", second)
    scene.release("first", "second")
    texts = [("billing", "shipping", "what?")[i % 3] + " " * (i // 3) for i in range(60)]
    with scene.running() as url:
        answers = httpx.post(f"{url}/v1/tasks/desk", json={"texts": texts}).json()["answers"]
        events = scene.events(60)
    assert [answer["label"] for answer in answers] == ["billing", "shipping", "other"] * 20
    assert [answer["candidate"] for answer in answers] == ["first", "first", "second"] * 20
    assert [event.input for event in events] == texts
    assert [event.id for event in events] == [answer["event"] for answer in answers]
    assert second.batches == [16, 4]


def test_texts_that_nobody_answers_stand_in_the_list(tmp_path):
    scene = Scene(tmp_path)
    scene.candidate("echo", Echoes())
    scene.release("echo")
    with scene.running() as url:
        response = httpx.post(f"{url}/v1/tasks/desk", json={"texts": ["billing", "what?"]})
        events = scene.events(2)
    good, bad = response.json()["answers"]
    assert response.status_code == 200 and good["label"] == "billing"
    assert bad == {
        "error": {"message": "No candidate could answer: echo broke the task's contract.", "code": "no_answer"},
        "event": events[1].id,
    }


def test_entities_and_free_text_have_their_own_keys(tmp_path):
    scene = Scene(tmp_path / "a", "extract")
    scene.candidate("finds", Says('[{"type": "person", "text": "Ada", "start": 0, "end": 3}]'))
    scene.release("finds")
    with scene.running() as url:
        found = httpx.post(f"{url}/v1/tasks/desk", json={"text": "Ada wrote"}).json()["entities"]
    assert found == [{"type": "person", "text": "Ada", "start": 0, "end": 3}]
    scene = Scene(tmp_path / "b", "chat")
    scene.candidate("talks", Says("Hello."))
    scene.release("talks")
    with scene.running() as url:
        assert httpx.post(f"{url}/v1/tasks/desk", json={"messages": said("hi")}).json()["output"] == "Hello."
        assert httpx.post(f"{url}/v1/tasks/desk", json={"text": "hi"}).json()["output"] == "Hello."
        first, second = scene.events(2)
    assert first.input == second.input and conversation(first.input) == (Message(role="user", content="hi"),)


def test_an_error_shows_nothing_of_the_prompt_or_the_server(tmp_path):
    scene = Scene(tmp_path)
    scene.candidate("raises", Raises(""))
    scene.release("raises")
    with scene.running() as url:
        response = httpx.post(f"{url}/v1/chat/completions", json=chat())
        error = refused(response, 503)
        (event,) = scene.events(1)
    assert error["message"] == "No candidate could answer: raises failed." and error["type"] == "server_error"
    assert "secret" not in response.text and response.headers["x-lifeloop-event"] == event.id
    assert "/srv/secret/model.bin" in event.error and event.output == "" and event.name == "raises"
