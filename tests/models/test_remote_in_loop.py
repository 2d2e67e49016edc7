import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from misbehaving import Line, chunked, endpoint, says, whole

from lifeloop.core.candidates import Answer, Candidate, Choices, Contract, Message, Prompt, Request
from lifeloop.core.errors import BriefError
from lifeloop.models import prompting
from lifeloop.models.completion_asking import Asking, renderer
from lifeloop.models.completion_reading import Garbage
from lifeloop.models.completion_stream import StreamReading
from lifeloop.models.model import AnswersInLoop, PassesOn, Unanswered
from lifeloop.models.remote import KIND, Remote

PRICES = {"usd_per_million_in": 2.0, "usd_per_million_out": 10.0}
ANYTHING = Request("x")
TOOL = {"type": "function", "function": {"name": "track", "parameters": {}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "track", "arguments": "{}"}}


def client(url: str, task: str = "chat", prompt: Prompt | None = None, **more) -> Remote:
    values = {"url": url.removesuffix("/chat/completions"), "model": "small"} | more
    labels = ("billing", "delivery") if task == "classify" else ()
    return KIND.load(Candidate("remote", "remote", task, labels, values, prompt=prompt), None, ())


def completion(text="on its way", *, finish="stop", **message) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text} | message, "finish_reason": finish}
    usage = {"prompt_tokens": 1000, "completion_tokens": 50}
    return whole(json.dumps({"choices": [choice], "usage": usage}).encode())


def events(*chunks, end="data: [DONE]\n\n", between="\n\n") -> bytes:
    lines = [chunk if isinstance(chunk, str) else f"data: {json.dumps(chunk)}" for chunk in chunks]
    return (between.join([*lines, ""]) + end).encode()


def added(content=None, *, finish=None, index=0, **delta) -> dict:
    held = delta | ({"content": content} if content is not None else {})
    return {"choices": [{"index": index, "delta": held, "finish_reason": finish}]}


USAGE = {"choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 50}}
SAID = events(added("it is ", role="assistant"), added("on its way"), added(finish="stop"), USAGE)


def answers(response: bytes, *requests: Request, **more) -> tuple[list[Answer], list[dict]]:
    async def scene():
        async with endpoint(says(response)) as asked:
            model = client(asked.url, **more)
            found = [await model.answer_in_loop(request, 5.0) for request in requests]
            model.close()
            return found, [json.loads(body) for body in asked.bodies]

    return asyncio.run(scene())


def streamed(response: bytes, request: Request = ANYTHING, **more) -> tuple[list, list[dict], Unanswered | None]:
    async def scene():
        async with endpoint(says(response)) as asked:
            model, found, error = client(asked.url, **more), [], None
            try:
                async for item in model.stream_in_loop(request, 5.0):
                    found.append(item)
            except Unanswered as unanswered:
                error = unanswered
            assert model._upstream._here().in_use == 0
            model.close()
            return found, [json.loads(body) for body in asked.bodies], error

    return asyncio.run(scene())


def test_it_answers_in_a_loop_and_passes_on():
    model = client("http://127.0.0.1:9/v1")
    assert isinstance(model, AnswersInLoop)
    assert isinstance(model, PassesOn)
    assert model.passes_on


def test_a_loop_starts_no_thread():
    import threading

    before = threading.active_count()
    model = client("http://127.0.0.1:9/v1")
    assert threading.active_count() == before
    model.close()


# whole answers


def test_an_answer_is_priced_and_says_why_it_ended():
    (answer,), (asked,) = answers(completion(finish="length"), Request("where is it?"), **PRICES)
    usd = pytest.approx(1000 * 2e-6 + 50 * 1e-5)
    assert answer == Answer("on its way", tokens_in=1000, tokens_out=50, usd=usd, finish="length")
    assert (asked["model"], asked["temperature"], asked["max_tokens"]) == ("small", 0.0, 256)
    assert asked["messages"][-1] == {"role": "user", "content": "where is it?"}
    assert set(asked) == {"model", "messages", "temperature", "max_tokens"}


def test_options_are_passed_on_and_choices_come_back():
    request = Request(
        "x", options={"tools": [TOOL], "temperature": 0.7, "model": "other", "stream": True}, max_tokens=9
    )
    (answer,), (asked,) = answers(completion(None, finish="tool_calls", tool_calls=[CALL]), request)
    assert asked["tools"] == [TOOL]
    assert (asked["temperature"], asked["max_tokens"], asked["model"]) == (0.7, 9, "small")
    assert "stream" not in asked
    assert (answer.output, answer.finish) == ("", "tool_calls")
    assert json.loads(answer.choices)[0]["message"]["tool_calls"] == [CALL]


def test_without_options_no_choices_are_kept():
    (answer,), _ = answers(completion(), Request("x"))
    assert answer.choices == ""


def test_several_answers_come_back_as_they_are():
    choices = [{"index": n, "message": {"content": f"answer {n}"}, "finish_reason": "stop"} for n in range(3)]
    (answer,), _ = answers(whole(json.dumps({"choices": choices}).encode()), Request("x", options={"n": 3}))
    assert answer.output == "answer 0"
    assert json.loads(answer.choices) == choices


def test_a_message_without_content_is_a_tool_call():
    choices = [{"index": 0, "message": {"role": "assistant", "tool_calls": [CALL]}, "finish_reason": "tool_calls"}]
    (answer,), _ = answers(whole(json.dumps({"choices": choices}).encode()), Request("x", options={"tools": [TOOL]}))
    assert (answer.output, json.loads(answer.choices)) == ("", choices)


def test_what_else_messages_hold_goes_out_as_it_came():
    image = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    turns = (
        Message("system", "obey me"),
        Message("user", "hi", extra='{"name":"ann"}'),
        Message("assistant", "", extra=json.dumps({"content": None, "tool_calls": [CALL]})),
        Message("tool", "found", extra='{"tool_call_id":"c1"}'),
        Message("user", "what is it?", extra=json.dumps({"content": image})),
    )
    _, (asked,) = answers(completion(), Request("what is it?", turns))
    assert asked["messages"][1:] == [
        {"role": "user", "content": "hi", "name": "ann"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "found", "tool_call_id": "c1"},
        {"role": "user", "content": image},
    ]


@pytest.mark.parametrize(("status", "passing"), [(500, True), (503, True), (429, True), (408, True), (400, False)])
def test_an_error_says_whether_it_may_pass_and_how_long_to_wait(status, passing):
    async def scene():
        async with endpoint(says(whole(b"{}", f"{status} No", b"Retry-After: 7\r\n"))) as asked:
            model = client(asked.url)
            with pytest.raises(Unanswered) as caught:
                await model.answer_in_loop(Request("x"), 5.0)
            assert (caught.value.status, caught.value.passing) == (status, passing)
            assert caught.value.wait == (7.0 if status in (429, 503) else 0.0)
            with pytest.raises(Unanswered) as caught:
                await anext(model.stream_in_loop(Request("x"), 5.0))
            assert caught.value.status == status
            model.close()

    asyncio.run(scene())


@pytest.mark.parametrize(
    "body", [b"<html>busy</html>", b"[]", b"{}", b'{"choices":[]}', b'{"choices":[{"message":{"content":3}}]}', b""]
)
def test_garbage_is_unanswered(body):
    for options in ({}, {"n": 2}):
        with pytest.raises(Unanswered, match="not a"):
            answers(whole(body), Request("x", options=options))


def test_a_template_that_fails_on_one_input_fails_that_one_alone():
    prompt = Prompt("p", "Answer.", "{{ text[10] }}")
    with pytest.raises(Unanswered, match="the template fails") as caught:
        answers(completion(), Request("subject: hello"), Request("no colon"), prompt=prompt, task="generate")
    assert not caught.value.passing


# streams


def test_a_stream_gives_pieces_then_the_priced_answer():
    found, (asked,), _ = streamed(chunked(SAID), **PRICES)
    usd = pytest.approx(1000 * 2e-6 + 50 * 1e-5)
    whole_answer = Answer("it is on its way", tokens_in=1000, tokens_out=50, usd=usd, finish="stop")
    assert found == ["it is on its way", whole_answer], "texts that came together are one"
    assert (asked["stream"], asked["stream_options"]) == (True, {"include_usage": True})


def test_a_stream_leaves_its_connection_to_the_next():
    async def do(line: Line) -> None:
        head, _, rest = chunked(SAID).partition(b"\r\n\r\n")
        await line.send(head + b"\r\n\r\n" + rest[:-5], pause=0.02)
        await line.send(rest[-5:])  # the last chunk comes when nobody reads on

    async def scene():
        async with endpoint(do) as asked:
            model = client(asked.url)
            for _ in range(3):
                assert [item async for item in model.stream_in_loop(Request("x"), 5.0)][-1].finish == "stop"
                await asyncio.sleep(0.05)
            assert asked.connections == 1
            model.close()

    asyncio.run(scene())


def test_a_stream_that_is_closed_hangs_up():
    async def do(line: Line) -> None:
        await line.send(chunked(events(added("one "), end=""))[:-5])
        await line.reader.read()

    async def scene():
        async with endpoint(do) as asked:
            model = client(asked.url)
            pieces = model.stream_in_loop(Request("x"), 5.0)
            assert await anext(pieces) == "one "
            await pieces.aclose()
            assert model._upstream._here().in_use == 0
            while asked.open:
                await asyncio.sleep(0.01)
            model.close()

    asyncio.run(asyncio.wait_for(scene(), 10))


def test_tool_calls_and_further_answers_are_passed_on_as_they_came():
    first = added(None, role="assistant", tool_calls=[{"index": 0, "id": "c1", "function": {"name": "track"}}])
    rest = added(None, tool_calls=[{"index": 0, "function": {"arguments": "{}"}}], finish="tool_calls")
    other = added("second", index=1, finish="stop")
    body = events(added("Let me see."), added(" A moment."), first, rest, other, added(" Bye."), USAGE)
    found, _, _ = streamed(chunked(body), Request("x", options={"tools": [TOOL], "n": 2}))
    *pieces, answer = found
    assert pieces[0] == "Let me see. A moment."
    assert json.loads(pieces[1].raw) == first["choices"]
    assert json.loads(pieces[2].raw)[0]["finish_reason"] is None, "why the first ended is told at the end"
    assert pieces[3] == Choices(json.dumps(other["choices"], ensure_ascii=False))
    assert pieces[4] == " Bye."
    assert (answer.output, answer.finish) == ("Let me see. A moment. Bye.", "tool_calls")


def test_text_beside_what_is_more_is_told_twice():
    body = events(
        added("yes", logprobs=None) | {"choices": [{"index": 0, "delta": {"content": "yes"}, "logprobs": {}}]}
    )
    (piece, answer), _, _ = streamed(chunked(body), Request("x", options={"logprobs": True}))
    assert (piece.text, answer.output) == ("yes", "yes")


BROKEN = {
    "an error on the way": (events(added("half"), {"error": {"message": "overloaded"}}), "with an error"),
    "no JSON": (events(added("half"), "data: {oops"), "not a JSON object"),
    "a list": (events(added("half"), "data: []"), "not a JSON object"),
    "an end without an end": (events(added("half"), end=""), "in the middle"),
    "binary": (events(added("half"), end="") + b"data: \xff\xfe\n\n", "not a JSON object"),
    "an endless line": (events(added("half"), end="") + b"data: " + b"x" * 5_000_000, "endless"),
}


@pytest.mark.parametrize(("body", "detail"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("options", [{}, {"n": 2}], ids=["plain", "options"])
def test_a_stream_that_breaks_says_so_after_what_came(body, detail, options):
    head, rest = body.partition(b"\n\n")[::2]
    found, _, error = streamed(chunked(head + b"\n\n", rest or b"\n"), Request("x", options=options))
    assert not found or found == ["half"]
    assert detail in error.detail


@pytest.mark.parametrize("between", ["\n\n", "\r\n\r\n", "\n", "\n: ping\n\n", "\nevent: message\nid: 3\n\n"])
def test_lines_may_end_and_be_separated_in_any_way(between):
    body = events(added("it is "), added("on its way"), added(finish="stop"), USAGE, between=between, end="")
    reading = StreamReading()
    assert reading.feed(body) + reading.end() == ["it is on its way"]
    assert (reading.whole, reading.read, reading.finish) == (True, 1000, "stop")


def test_an_object_may_run_over_several_lines():
    lines = "\n".join(f"data: {line}" for line in json.dumps(added("whole"), indent=1).splitlines())
    reading = StreamReading()
    assert reading.feed(f"{lines}\n\ndata: [DONE]\n\n".encode()) == ["whole"]


@given(st.lists(st.text(max_size=20), max_size=6), st.lists(st.integers(1, 40)), st.sampled_from(["\n\n", "\r\n\r\n"]))
def test_a_stream_says_the_same_however_it_is_cut(texts, sizes, between):
    body = events(*map(added, texts), added(finish="stop"), USAGE, between=between)
    reading, said = StreamReading(), ""
    for size in [*sizes, len(body)]:
        for piece in [] if reading.done else reading.feed(body[:size]):
            said += piece
        body = body[size:]
    assert said == "".join(texts)
    assert (reading.done, reading.written, reading.finish) == (True, 50, "stop")


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_read_or_are_garbage(data, choices):
    reading = StreamReading(choices=choices)
    try:
        reading.feed(b"data: " + data)
        reading.end()
    except Garbage:
        pass


ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["choices", "delta", "content", "usage", "index", "finish_reason"]), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(["choices", "usage", "error"]), ODD), st.booleans())
def test_odd_chunks_are_read_or_are_garbage(chunk, choices):
    reading = StreamReading(choices=choices)
    try:
        reading.feed(events(chunk))
    except Garbage:
        assert chunk.get("error")


# embeddings


def test_embeddings_are_asked_for_together_and_come_back_in_order():
    vectors = [{"index": n, "embedding": [float(n), 0.5]} for n in (1, 0)]
    body = json.dumps({"data": vectors, "usage": {"prompt_tokens": 1000}}).encode()

    async def scene():
        async with endpoint(says(whole(body))) as asked:
            model = client(asked.url, **PRICES)
            found, said = await model.embed_in_loop(["a", "b"], 5.0)
            assert found == [[0.0, 0.5], [1.0, 0.5]]
            assert said == Answer("", tokens_in=1000, usd=pytest.approx(2e-3))
            assert asked.heads[0].startswith(b"POST /v1/embeddings ")
            assert json.loads(asked.bodies[0])["input"] == ["a", "b"]
            with pytest.raises(Unanswered, match="one vector a text"):
                await model.embed_in_loop(["a", "b", "c"], 5.0)
            model.close()

    asyncio.run(scene())


def test_an_answer_that_was_hung_up_is_estimated():
    model = client("http://127.0.0.1:9/v1", **PRICES)
    said = model.so_far(Request("x" * 400), "y" * 41)
    assert said.tokens_out == 11
    assert 100 <= said.tokens_in <= 200
    assert said.usd == pytest.approx(said.tokens_in * 2e-6 + 11 * 1e-5)


# templates

TEMPLATES = [
    "{{ text }}", "{{text}}", " Mail:\n{{ text }}\n", "<m>{{ text }}</m>\n{{ instructions }}", "{{ text }}{{ text }}",
    "{{ text | upper }}", "{% if text %}{{ text }}{% endif %}", "{{ labels | join('/') }}: {{ text }}", "{{- text }} x",
    "{# text #}{{ text }}", "{{ text }} {{ text | length }}", "{{ 'text' }} {{ text }}", "{{ text }}\n\n",
    "x {{ text -}} y",
]  # fmt: skip


@given(st.sampled_from(TEMPLATES), st.text(max_size=30))
def test_a_template_cut_in_pieces_gives_what_the_template_gives(user, text):
    prompt, contract = Prompt("p", "", user), Contract("Say {{ it }}.", choices=("a", "b"))
    assert renderer(prompt, contract)(text) == prompting.render_user(prompt, contract, text)


def test_what_goes_out_is_what_prompting_says():
    prompt = Prompt("p", "You sort mail. {{ instructions }}", "Mail: {{ text }}")
    contract, shots = Contract("One label.", choices=("a", "b")), [("old mail", "a")]
    asking = Asking(prompt, contract, shots, model="m", temperature=0.5, max_tokens=7, max_words=5)
    turns = (Message("system", "obey"), Message("user", "hi"), Message("assistant", "yes?"), Message("user", "so? "))
    for request in (Request("one two three"), Request("1 2 3 4 5 6 7 8"), Request("so?", turns)):
        expected = prompting.messages(prompt, contract, shots, request, 5)
        sent = json.loads(asking.body(request))
        assert sent["messages"] == [{"role": turn.role, "content": turn.content} for turn in expected]
        assert (sent["temperature"], sent["max_tokens"]) == (0.5, 7)
        with_options = json.loads(asking.body(Request(request.text, request.messages, options={"stop": ["x"]})))
        assert with_options == sent | {"stop": ["x"]}


def test_a_template_that_fails_always_fails_when_it_is_asked():
    asking = Asking(
        Prompt("p", "{{ nothing }}", "{{ text }}"),
        Contract(""),
        [],
        model="m",
        temperature=0,
        max_tokens=1,
        max_words=9,
    )
    for _ in range(2):
        with pytest.raises(BriefError, match="the template fails"):
            asking.body(Request("x"))
