"""The unmodified `openai` package against a running gateway, with a real remote candidate behind it."""

import asyncio
import json

import httpx
import openai
import pytest
from gateway_scene import Says, Scene, client_of, said
from openai import AsyncOpenAI
from openai_upstream import SAID
from pydantic import BaseModel
from remote_scene import remote_gateway

WEATHER = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    with remote_gateway(tmp_path_factory.mktemp("remote")) as found:
        yield found


@pytest.fixture
def client(remote):
    return client_of(remote[0])


def test_a_conversation_is_answered_with_usage(remote, client):
    answer = client.chat.completions.create(model="desk", messages=said("hello"), user="ann", temperature=0.3)
    assert answer.choices[0].message.content == SAID and answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (11, 5, 16)
    assert answer.id == f"chatcmpl-{answer._request_id}"


def test_tools_are_passed_on_and_their_results_come_back(remote, client):
    _, upstream, _ = remote
    messages = said("What is the weather in Paris?")
    first = client.chat.completions.create(model="desk", messages=messages, tools=[WEATHER], tool_choice="auto")
    (call,) = first.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Paris"})
    assert first.choices[0].finish_reason == "tool_calls" and first.choices[0].message.content is None
    assert upstream.asked[-1]["tools"] == [WEATHER] and upstream.asked[-1]["tool_choice"] == "auto"

    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    turns = [*messages, first.choices[0].message, result]
    second = client.chat.completions.create(model="desk", messages=turns, tools=[WEATHER])
    assert second.choices[0].message.content == "The tool says sunny."
    sent = upstream.asked[-1]["messages"]
    assert sent[-1] == result
    assert sent[-2]["tool_calls"][0]["id"] == call.id and sent[-2].get("content") is None


def test_streamed_tool_calls_arrive_in_pieces(client):
    stream = client.chat.completions.create(model="desk", messages=said("weather?"), tools=[WEATHER], stream=True)
    name, arguments, reasons = "", "", []
    for chunk in stream:
        choice = chunk.choices[0]
        for call in choice.delta.tool_calls or ():
            name += call.function.name or ""
            arguments += call.function.arguments or ""
        reasons.append(choice.finish_reason)
    assert (name, json.loads(arguments)) == ("weather", {"city": "Paris"})
    assert [reason for reason in reasons if reason] == ["tool_calls"]


def test_the_packages_own_stream_helper_adds_up_a_tool_call(client):
    with client.chat.completions.stream(model="desk", messages=said("weather?"), tools=[WEATHER]) as stream:
        for _ in stream:
            pass
        whole = stream.get_final_completion()
    (call,) = whole.choices[0].message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "Paris"}


class Person(BaseModel):
    name: str
    age: int


def test_an_answer_follows_a_json_schema(remote, client):
    parsed = client.chat.completions.parse(model="desk", messages=said("who?"), response_format=Person)
    assert parsed.choices[0].message.parsed == Person(name="Ada", age=7)
    assert remote[1].asked[-1]["response_format"]["json_schema"]["strict"] is True
    plain = client.chat.completions.create(
        model="desk", messages=said("in JSON, please"), response_format={"type": "json_object"}
    )
    assert json.loads(plain.choices[0].message.content) == {"ok": True}


def test_several_answers_stop_words_and_log_probabilities(remote, client):
    several = client.chat.completions.create(model="desk", messages=said("x"), n=3, seed=5, metadata={"a": "b"})
    assert [choice.message.content for choice in several.choices] == ["answer 0", "answer 1", "answer 2"]
    assert several.usage.completion_tokens == 15
    assert remote[1].asked[-1]["seed"] == 5 and remote[1].asked[-1]["metadata"] == {"a": "b"}
    stopped = client.chat.completions.create(model="desk", messages=said("x"), stop=["three"])
    assert stopped.choices[0].message.content.strip() == "one two"
    likely = client.chat.completions.create(model="desk", messages=said("x"), logprobs=True, top_logprobs=1)
    assert likely.choices[0].logprobs.content[0].logprob == -0.5


def test_several_answers_are_streamed_side_by_side(client):
    texts = ["", ""]
    for chunk in client.chat.completions.create(model="desk", messages=said("x"), n=2, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == ["answer 0", "answer 1"]


def test_a_stream_ends_with_its_usage_where_that_is_asked_for(client):
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(model="desk", messages=said("x"), stream=True, stream_options=options))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == SAID
    assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens == 16
    assert all(chunk.usage is None for chunk in chunks[:-1])
    without = list(client.chat.completions.create(model="desk", messages=said("x"), stream=True))
    assert all(chunk.choices for chunk in without)


def test_images_reach_an_endpoint_that_can_see(remote, client):
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]
    client.chat.completions.create(model="desk", messages=[{"role": "user", "content": parts}])
    assert remote[1].asked[-1]["messages"][-1]["content"] == parts


def test_async_clients_ask_side_by_side_streamed_or_not(remote):
    async def ask():
        async with AsyncOpenAI(base_url=f"{remote[0]}/v1", api_key="none", max_retries=0) as client:

            async def whole():
                answer = await client.chat.completions.create(model="desk", messages=said("x"))
                return answer.choices[0].message.content

            async def streamed():
                stream = await client.chat.completions.create(model="desk", messages=said("x"), stream=True)
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

            return await asyncio.gather(*[whole() for _ in range(20)], *[streamed() for _ in range(20)])

    assert asyncio.run(ask()) == [SAID] * 40


def test_older_completions_work(remote, client):
    one = client.completions.create(model="desk", prompt="tell me", max_tokens=50)
    assert one.choices[0].text == SAID and one.object == "text_completion" and one.usage.total_tokens == 16
    several = client.completions.create(model="desk", prompt=["first", "second"])
    assert [choice.text for choice in several.choices] == [SAID, SAID] and several.usage.prompt_tokens == 22
    assert len({choice.event for choice in several.choices}) == 2
    chunks = list(client.completions.create(model="desk", prompt="tell", stream=True, stop="three"))
    assert "".join(chunk.choices[0].text for chunk in chunks).strip() == "one two"
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_the_id_of_an_older_completion_serves_for_feedback(remote, client):
    answer = client.completions.create(model="desk", prompt="x")
    given = httpx.post(f"{remote[0]}/v1/feedback", json={"event": answer.id, "rating": 1})
    assert given.status_code == 200 and given.json()["event"] == answer.id.removeprefix("cmpl-")


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"prompt": [1, 2, 3]}, "prompt"),
        ({"prompt": "x", "echo": True}, "echo"),
        ({"prompt": "x", "n": 2}, "n"),
        ({"prompt": "x", "best_of": 3}, "best_of"),
        ({"prompt": "x", "suffix": "y"}, "suffix"),
        ({"prompt": "x", "logprobs": 2}, "logprobs"),
        ({"prompt": ["x", "y"], "stream": True}, "prompt"),
        ({"prompt": ["x", " "]}, "prompt[1]"),
        ({"prompt": []}, "prompt"),
    ],
)
def test_what_older_completions_cannot_do_is_refused_by_its_name(client, asked, param):
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="desk", **asked)
    assert caught.value.param.startswith(param)


def test_vectors_come_from_the_endpoint(remote, client):
    answer = client.embeddings.create(model="desk", input=["four", "seven.."])  # the package asks for base64
    assert [item.embedding for item in answer.data] == [[4.0, 0.5], [7.0, 0.5]]
    assert answer.usage.prompt_tokens == 9 and answer.model == "far"


def test_the_package_raises_its_own_exceptions(remote):
    url, upstream, _ = remote
    client = client_of(url)
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt-9", messages=said("x"))
    assert missing.value.code == "model_not_found" and len(missing.value.request_id) == 32
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(model="desk", messages=[], stream=True)
    assert wrong.value.param == "messages"
    upstream.status = 400
    try:
        with pytest.raises(openai.APIStatusError) as failed:
            client.chat.completions.create(model="desk", messages=said("x"))
    finally:
        upstream.status = 200
    assert failed.value.status_code in (400, 503) and len(failed.value.request_id) == 32


def test_a_candidate_that_passes_nothing_on_is_not_asked_what_it_would_not_heed(tmp_path):
    scene = Scene(tmp_path, "chat")
    model = Says("Hello.")
    scene.candidate("near", model)
    scene.release("near")
    with scene.running() as url:
        client = client_of(url)
        for asked in (
            {"tools": [WEATHER]},
            {"n": 2},
            {"logprobs": True},
            {"stop": "x"},
            {"response_format": {"type": "json_object"}},
            {"messages": [*said("x"), {"role": "tool", "tool_call_id": "a", "content": "y"}]},
        ):
            with pytest.raises(openai.BadRequestError, match="not supported by the candidate that serves"):
                client.chat.completions.create(**({"model": "desk", "messages": said("x")} | asked))
        with pytest.raises(openai.BadRequestError) as vectors:
            client.embeddings.create(model="desk", input="x")
        assert vectors.value.code == "unsupported_model" and model.requests == []
        harmless = {"n": 1, "tools": [], "seed": 3, "user": "ann", "response_format": {"type": "text"}}
        answer = client.chat.completions.create(model="desk", messages=said("x"), **harmless)
        assert answer.choices[0].message.content == "Hello."
        scene.events(1)
