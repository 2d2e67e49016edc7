import asyncio

import httpx
import openai
import pytest
from gateway_scene import Echoes, Errs, Hangs, Raises, Says, Scene, Streams, client_of, said, wait_for
from openai import AsyncOpenAI

from lifeloop.tasks.chat import conversation


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    scene.candidate("first", Says("billing"))
    return scene


def test_the_openai_client_gets_a_label_and_the_event_says_so(scene):
    release = scene.release("first")
    with scene.running() as url:
        answer = client_of(url).chat.completions.create(model="desk", messages=said("where is my invoice"))
        assert answer.choices[0].message.content == "billing"
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage.prompt_tokens == 7 and answer.usage.total_tokens == 9
        assert answer.model == "first"
        (event,) = scene.events(1)
    assert answer.id == f"chatcmpl-{event.id}" and answer._request_id == event.id
    assert (event.release, event.candidate, event.name) == (release, scene.ids["first"], "first")
    assert (event.input, event.output, event.confidence) == ("where is my invoice", "billing", 0.75)
    assert event.usd == 0.001 and event.error == "" and 0 < event.seconds < 5


def test_output_is_kept_as_the_task_reads_it(scene):
    scene.candidate("shouts", Says(" BILLING. "))
    scene.release("shouts")
    with scene.running() as url:
        answer = client_of(url).chat.completions.create(model="desk", messages=said("x"))
        assert answer.choices[0].message.content == "billing"
        assert scene.events(1)[0].output == "billing"


def test_the_async_client_and_the_candidates_own_name_work(scene):
    scene.release("first")

    async def ask(url):
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client:
            calls = [client.chat.completions.create(model="first", messages=said(f"text {i}")) for i in range(20)]
            return await asyncio.gather(*calls)

    with scene.running() as url:
        answers = asyncio.run(ask(url))
        events = scene.events(20)
    assert {answer.choices[0].message.content for answer in answers} == {"billing"}
    assert {answer.id for answer in answers} == {f"chatcmpl-{event.id}" for event in events}


def test_content_parts_are_joined_and_the_last_user_message_is_the_input(tmp_path):
    scene = Scene(tmp_path, "generate")
    scene.candidate("echo", Echoes())
    scene.release("echo")
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    messages = [*said("earlier"), {"role": "assistant", "content": "yes?"}, {"role": "user", "content": parts}]
    with scene.running() as url:
        answer = client_of(url).chat.completions.create(model="desk", messages=messages)
        assert answer.choices[0].message.content == "one\ntwo"
        assert scene.events(1)[0].input == "one\ntwo"


def test_chat_is_asked_the_whole_conversation(tmp_path):
    scene = Scene(tmp_path, "chat")
    model = Says("Good morning.")
    scene.candidate("talker", model)
    scene.release("talker")
    messages = [{"role": "developer", "content": "be kind"}, *said("hello"), {"role": "assistant", "content": "hi"}]
    with scene.running() as url:
        client_of(url).chat.completions.create(model="desk", messages=[*messages, *said("bye")], max_tokens=2)
        (event,) = scene.events(1)
    (request,) = model.requests
    assert [(m.role, m.content) for m in request.messages] == [
        ("system", "be kind"),
        ("user", "hello"),
        ("assistant", "hi"),
        ("user", "bye"),
    ]
    assert (request.text, request.max_tokens) == ("bye", 2)
    assert conversation(event.input) == request.messages  # as an example of the next cycle's data is read


def test_streamed_text_arrives_in_pieces_with_usage(tmp_path):
    scene = Scene(tmp_path, "generate")
    scene.candidate("writer", Streams(["Once", " upon", "", " a time"], seconds=0.05))
    scene.release("writer")
    with scene.running() as url:
        options = {"include_usage": True}
        stream = client_of(url).chat.completions.create(
            model="desk", messages=said("tell"), stream=True, stream_options=options
        )
        chunks = list(stream)
        (event,) = scene.events(1)
    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert [text for text in texts if text] == ["Once", " upon", " a time"]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 4
    assert {chunk.id for chunk in chunks} == {f"chatcmpl-{event.id}"}
    assert (event.output, event.tokens_in, event.usd, event.error) == ("Once upon a time", 5, 0.002, "")


def test_a_streamed_label_comes_whole_and_checked(scene):
    scene.candidate("nonsense", Says("I think it is about money"))
    scene.release("nonsense", "first")
    with scene.running() as url:
        chunks = list(client_of(url).chat.completions.create(model="desk", messages=said("x"), stream=True))
        (event,) = scene.events(1)
    assert [c.choices[0].delta.content for c in chunks if c.choices[0].delta.content] == ["billing"]
    assert event.name == "first" and event.error.startswith("nonsense broke the task's contract")


def test_async_streaming_works(tmp_path):
    scene = Scene(tmp_path, "chat")
    scene.candidate("writer", Streams([f"{i} " for i in range(200)]))
    scene.release("writer")

    async def ask(url):
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client:
            stream = await client.chat.completions.create(model="desk", messages=said("count"), stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    with scene.running() as url:
        assert asyncio.run(ask(url)).split() == [str(i) for i in range(200)]
        assert scene.events(1)[0].tokens_out == 200


def test_a_stream_that_fails_before_its_first_piece_falls_back(tmp_path):
    scene = Scene(tmp_path, "generate")
    scene.candidate("breaks", Streams(["never"], breaks_at=0))
    scene.candidate("empty", Streams(["", " "]))
    scene.candidate("raises", Raises(""))
    scene.candidate("errs", Errs("no credit"))
    scene.candidate("writer", Streams(["all", " well"]))
    scene.release("breaks", "raises", "errs", "writer")
    with scene.running() as url:
        chunks = list(client_of(url).chat.completions.create(model="desk", messages=said("x"), stream=True))
        (event,) = scene.events(1)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "all well"
    assert (event.name, event.output) == ("writer", "all well")
    assert "breaks failed" in event.error and "raises failed" in event.error and "errs failed: no credit" in event.error


def test_a_stream_that_breaks_in_the_middle_ends_with_an_error(tmp_path):
    scene = Scene(tmp_path, "generate")
    scene.candidate("breaks", Streams(["one ", "two ", "three"], breaks_at=2))
    scene.candidate("writer", Streams(["unused"]))
    scene.release("breaks", "writer")
    with scene.running() as url:
        stream = client_of(url).chat.completions.create(model="desk", messages=said("x"), stream=True)
        seen = []
        with pytest.raises(openai.APIError) as caught:
            for chunk in stream:
                seen.append(chunk.choices[0].delta.content)
        (event,) = scene.events(1)
    assert seen == ["one ", "two "] and "broke off" in str(caught.value) and "secret" not in str(caught.value)
    assert (event.name, event.output) == ("breaks", "one two ") and event.error.startswith("broken off: ")


def test_a_stream_that_falls_silent_breaks_off(tmp_path):
    scene = Scene(tmp_path, "generate")
    hang = Hangs()
    scene.candidate("silent", hang)
    scene.release("silent", seconds=0.3)
    with scene.running() as url:
        with pytest.raises(openai.APIError, match="timed out"):
            list(client_of(url).chat.completions.create(model="desk", messages=said("x"), stream=True))
        (event,) = scene.events(1)
        hang.let_go.set()
    assert event.output == "one " and "silent timed out" in event.error


def test_a_client_that_leaves_stops_the_model_and_is_recorded(tmp_path):
    scene = Scene(tmp_path, "chat")
    model = Streams([f"{i} " for i in range(2000)], seconds=0.01)
    scene.candidate("writer", model)
    scene.release("writer")
    with scene.running() as url:
        stream = client_of(url).chat.completions.create(model="desk", messages=said("count"), stream=True)
        for chunk in stream:
            if chunk.choices[0].delta.content == "5 ":
                break
        stream.close()
        assert model.stopped.wait(5) and model.given < 500
        (event,) = scene.events(1)
        assert event.error.startswith("abandoned: ") and event.output.startswith("0 1 2 3 4 5 ")
        # the model is free again
        again = client_of(url).chat.completions.create(model="desk", messages=said("x"))
        assert again.choices[0].message.content.startswith("0 1")


def test_a_client_that_leaves_before_the_first_piece_is_recorded(tmp_path):
    scene = Scene(tmp_path, "chat")
    model = Streams(["late", "r"], seconds=0.5)
    scene.candidate("writer", model)
    scene.release("writer")
    with scene.running() as url:
        with pytest.raises(openai.APITimeoutError):
            client_of(url, timeout=0.2).chat.completions.create(model="desk", messages=said("x"), stream=True)
        (event,) = scene.events(1)
    assert event.error.startswith("abandoned: ") and event.output == ""


def test_a_slow_reader_does_not_make_the_gateway_hold_the_whole_answer(tmp_path):
    scene = Scene(tmp_path, "chat")
    model = Streams(["x" * 65536] * 2000)
    scene.candidate("writer", model)
    scene.release("writer")
    body = {"model": "desk", "messages": said("x"), "stream": True}
    with scene.running() as url:
        with httpx.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
            assert response.status_code == 200
            wait_for(lambda: model.given > 64)
            asyncio.run(asyncio.sleep(0.5))
            assert model.given < 500
        scene.events(1)


def test_models_are_listed_and_described(scene):
    scene.release("first")
    with scene.running() as url:
        client = client_of(url)
        assert [model.id for model in client.models.list()] == ["desk", "first"]
        assert client.models.retrieve("desk").owned_by == "lifeloop"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("gpt-4")


def test_requests_before_the_first_release_are_told_to_wait(scene):
    with scene.running(ready=False) as url:
        response = httpx.get(f"{url}/readyz")
        assert response.status_code == 503 and response.json()["ready"] is False
        assert httpx.get(f"{url}/healthz").status_code == 200
        for stream in (False, True):
            with pytest.raises(openai.InternalServerError) as caught:
                client_of(url).chat.completions.create(model="desk", messages=said("x"), stream=stream)
            assert caught.value.status_code == 503 and caught.value.code == "not_ready"
        scene.release("first")
        wait_for(lambda: httpx.get(f"{url}/readyz").status_code == 200)
        assert client_of(url).chat.completions.create(model="desk", messages=said("x")).model == "first"
