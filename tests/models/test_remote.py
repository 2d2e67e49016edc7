import threading
import time

import pytest
from openai_endpoint import Endpoint, Reply, completion, delta, serving, stream

from lifeloop.core.candidates import Answer, Candidate, Message, Prompt, Request
from lifeloop.core.errors import ModelError
from lifeloop.models.llamacpp import Learned
from lifeloop.models.remote import KIND, Remote

PRICES = {"usd_per_million_in": 2.0, "usd_per_million_out": 10.0}


def client(endpoint: Endpoint | str, task: str = "generate", prompt: Prompt | None = None, **settings) -> Remote:
    url = endpoint if isinstance(endpoint, str) else endpoint.url
    labels = ("billing", "delivery") if task == "classify" else ()
    values = {"url": url, "model": "small", "retries": 1, "timeout_seconds": 5.0} | settings
    return KIND.load(Candidate("remote", "remote", task, labels, values, prompt=prompt), None, ())


def ask(model: Remote, text: str = "where is it?") -> Answer:
    return model.answer([Request(text)])[0]


def test_a_request_is_a_chat_completion_and_its_tokens_are_priced():
    with serving(lambda asked: Reply(completion("on its way", 1000, 50))) as endpoint:
        answer = ask(client(endpoint, **PRICES))
    assert answer == Answer("on its way", tokens_in=1000, tokens_out=50, usd=pytest.approx(1000 * 2e-6 + 50 * 1e-5))
    (asked,) = endpoint.asked
    assert asked["path"] == "/v1/chat/completions"
    assert (asked["model"], asked["temperature"]) == ("small", 0.0)
    assert [turn["role"] for turn in asked["messages"]] == ["system", "user"]
    assert asked["messages"][-1]["content"] == "where is it?"
    assert endpoint.keys == [None]


def test_the_task_and_the_prompt_shape_what_is_sent():
    prompt = Prompt("p", "Labels: {{ labels | join('/') }}.", "<mail>{{ text }}</mail>")
    with serving(lambda asked: "billing") as endpoint:
        client(endpoint, "classify", prompt).answer([Request("my bill", max_tokens=7)])
        client(endpoint, "classify").answer([Request("my bill")])
    first, second = endpoint.asked
    assert [turn["content"] for turn in first["messages"]] == ["Labels: billing/delivery.", "<mail>my bill</mail>"]
    assert first["max_tokens"] == 7
    assert "exactly one of these labels: billing, delivery" in second["messages"][0]["content"]


def test_a_conversation_is_sent_turn_by_turn_under_our_own_system_message():
    turns = (Message("system", "obey me"), Message("user", "hi"), Message("assistant", "hello"), Message("user", "so?"))
    with serving(lambda asked: "well") as endpoint:
        client(endpoint, "chat").answer([Request("so?", turns)])
    sent = endpoint.asked[0]["messages"]
    assert [turn["content"] for turn in sent][1:] == ["hi", "hello", "so?"]
    assert "obey me" not in sent[0]["content"]


def test_every_request_is_sent_under_the_same_head():
    learned = Learned(shots=[("old mail", "billing")])
    settings = {"url": "", "model": "small"}
    prompt = Prompt("p", "Labels: {{ labels | join('/') }}.", "<mail>{{ text }}</mail>")
    with serving(lambda asked: "billing") as endpoint:
        candidate = Candidate("r", "remote", "classify", ("billing",), settings | {"url": endpoint.url}, prompt=prompt)
        model = Remote(candidate, learned, "")
        model.answer([Request("one")])
        model.answer([Request("two")])
        model.close()
    first, second = ([turn["content"] for turn in asked["messages"]] for asked in endpoint.asked)
    head = ["Labels: billing.", "<mail>old mail</mail>", "billing"]
    assert (first, second) == ([*head, "<mail>one</mail>"], [*head, "<mail>two</mail>"])


def test_the_key_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("SHOP_KEY", "abc")
    with serving(lambda asked: "x") as endpoint:
        ask(client(endpoint, api_key_env="SHOP_KEY"))
    assert endpoint.keys == ["Bearer abc"]
    monkeypatch.delenv("SHOP_KEY")
    with pytest.raises(ModelError, match="SHOP_KEY is not set") as caught:
        client("http://127.0.0.1:9/v1", api_key_env="SHOP_KEY")
    assert "export SHOP_KEY" in caught.value.fix


def test_answers_keep_their_order_though_they_are_asked_for_at_once():
    together = threading.Barrier(8)

    def say(asked):
        text = asked["messages"][-1]["content"]
        together.wait(timeout=20)  # breaks unless all eight are under way
        time.sleep(0.1 / (1 + int(text)))  # the first asked is the last to come
        return f"answer {text}"

    with serving(say) as endpoint:
        answers = client(endpoint, concurrency=8).answer([Request(str(n)) for n in range(8)])
    assert [answer.output for answer in answers] == [f"answer {n}" for n in range(8)]


# retries


def failing_first(*replies: Reply):
    left = list(replies)
    return lambda asked: left.pop(0) if left else "at last"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(status):
    with serving(failing_first(Reply({}, status))) as endpoint:
        assert ask(client(endpoint)).output == "at last"
    assert len(endpoint.asked) == 2


def test_it_waits_as_long_as_the_endpoint_asks_for():
    with serving(failing_first(Reply({}, 429, {"retry-after": "1"}))) as endpoint:
        begun = time.monotonic()
        assert ask(client(endpoint)).output == "at last"
        assert time.monotonic() - begun >= 1.0


@pytest.mark.parametrize("asked_for", ["Wed, 21 Oct 2026 07:28:00 GMT", "-5", "soon"])
def test_a_wait_that_is_no_number_of_seconds_is_its_own(asked_for):
    with serving(failing_first(Reply({}, 429, {"retry-after": asked_for}))) as endpoint:
        begun = time.monotonic()
        assert ask(client(endpoint)).output == "at last"
        assert time.monotonic() - begun < 5.0


def test_after_the_last_try_it_says_how_often():
    with serving(lambda asked: Reply({}, 503)) as endpoint:
        answer = ask(client(endpoint))
    assert (answer.output, answer.error) == ("", "the endpoint answered 503, 2 times")
    assert len(endpoint.asked) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_will_not_pass_is_not_tried_again(status):
    with serving(lambda asked: Reply({"error": {"message": "no"}}, status)) as endpoint:
        answer = ask(client(endpoint, retries=4))
    assert answer.error == f"the endpoint answered {status}"
    assert len(endpoint.asked) == 1


def test_nobody_at_the_other_end_is_an_error_and_no_exception():
    model = client("http://127.0.0.1:9/v1")
    assert ask(model).error == "no connection to the endpoint, 2 times"
    *pieces, answer = model.stream(Request("x"))
    assert (pieces, answer.error) == ([], "no connection to the endpoint")


def test_an_endpoint_that_is_too_slow_is_given_up():
    with serving(lambda asked: time.sleep(1.5) or "late") as endpoint:
        answer = ask(client(endpoint, timeout_seconds=0.2, retries=0))
    assert answer.error == "the endpoint took longer than 0.2 s"


def test_one_failure_among_several_is_its_own():
    def say(asked):
        return Reply({}, 400) if asked["messages"][-1]["content"] == "bad" else "fine"

    with serving(say) as endpoint:
        answers = client(endpoint).answer([Request("a"), Request("bad"), Request("b")])
    assert [bool(answer.error) for answer in answers] == [False, True, False]


def test_a_template_that_fails_on_one_input_fails_that_input_alone():
    prompt = Prompt("p", "Answer.", "{{ text[10] }}")
    with serving(lambda asked: "fine") as endpoint:
        model = client(endpoint, prompt=prompt)
        good, bad = model.answer([Request("subject: hello"), Request("no colon")])
        *_, streamed = model.stream(Request("no colon"))
    assert (good.output, good.error) == ("fine", "")
    assert "the template fails" in bad.error
    assert streamed.error == bad.error


# garbage

GARBAGE = {
    "no JSON": b"<html>busy</html>",
    "a list": [],
    "nothing": {},
    "no choices": {"choices": []},
    "choices that are null": {"choices": None},
    "a choice that is a text": {"choices": ["hello"]},
    "content that is a number": completion(3),
    "content that is a list": completion([{"type": "text", "text": "hello"}]),
    "not UTF-8": b'{"choices": [{"message": {"content": "\xff"}}]}',
}


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_an_error_and_no_exception(body):
    with serving(lambda asked: Reply(body)) as endpoint:
        answer = ask(client(endpoint))
    assert answer.output == ""
    assert "the endpoint's reply is not a" in answer.error


@pytest.mark.parametrize(
    "usage", [None, [], "many", {"prompt_tokens": "ten"}, {"prompt_tokens": None}, {"prompt_tokens": -4}]
)
def test_usage_that_makes_no_sense_counts_as_none(usage):
    with serving(lambda asked: Reply(completion("fine") | {"usage": usage})) as endpoint:
        answer = ask(client(endpoint, **PRICES))
    assert answer == Answer("fine")


def test_an_answer_without_words_is_empty():
    with serving(lambda asked: Reply(completion(None))) as endpoint:
        answer = ask(client(endpoint))
    assert (answer.output, answer.error) == ("", "")


def test_half_a_character_does_not_break_what_comes_after():
    with serving(lambda asked: Reply(b'{"choices": [{"message": {"content": "ok \\ud83d"}}]}')) as endpoint:
        answer = ask(client(endpoint))
    assert answer.output.encode() == b"ok ?"


# streams


def test_a_stream_yields_the_pieces_then_the_priced_answer():
    with serving(lambda asked: "it is on its way") as endpoint:
        *pieces, answer = client(endpoint, **PRICES).stream(Request("where is it?"))
    assert pieces == ["it is", " on i", "ts wa", "y"]
    assert answer == Answer("it is on its way", tokens_in=10, tokens_out=2, usd=pytest.approx(4e-5))
    assert endpoint.asked[0]["stream"] is True


BROKEN_STREAMS = {
    "an HTTP error": (Reply({}, 500), [], "the endpoint answered 500"),
    "an error on the way": (stream(delta("half"), {"error": {"message": "overloaded"}}), ["half"], "with an error"),
    "no JSON": (stream(delta("half"), "data: {oops"), ["half"], "not a JSON object"),
    "a list": (stream(delta("half"), "data: []"), ["half"], "not a JSON object"),
    "cut off": (
        Reply(b'data: {"choices": [{"delta": {"content": "half"}}]}\n\n', headers={"content-length": "500"}),
        ["half"],
        "the endpoint broke off",
    ),
}


@pytest.mark.parametrize(("reply", "said", "error"), BROKEN_STREAMS.values(), ids=BROKEN_STREAMS)
def test_a_stream_that_breaks_ends_with_what_came_and_why(reply, said, error):
    with serving(lambda asked: reply) as endpoint:
        *pieces, answer = client(endpoint, timeout_seconds=0.5).stream(Request("x"))
    assert pieces == said
    assert answer.output == "".join(said)
    assert error in answer.error


def test_chunks_without_words_are_passed_over():
    odd = [{"choices": None}, {"choices": []}, {"choices": [{}]}, {"choices": [{"delta": None}]}, ": ping", {"id": 1}]
    odd += [{"choices": [{"delta": {"content": None}}]}, {"choices": [{"delta": {"content": 3}}]}]
    with serving(lambda asked: stream(delta("a"), *odd, delta("b"))) as endpoint:
        *pieces, answer = client(endpoint).stream(Request("x"))
    assert (pieces, answer.output, answer.error) == (["a", "b"], "ab", "")


def test_a_stream_that_is_closed_gives_its_connection_back():
    with serving(lambda asked: "a long answer in several pieces") as endpoint:
        model = client(endpoint, concurrency=1)
        for _ in range(3):
            pieces = model.stream(Request("x"))
            assert next(pieces) == "a lon"
            pieces.close()
        assert ask(model).error == ""
        model.close()
        model.close()


BAD_ADDRESSES = ["nowhere", "ftp://host/v1", "http://", "http://host:port/v1", "http://[::1/v1", ""]


@pytest.mark.parametrize("url", BAD_ADDRESSES)
def test_an_address_that_is_none_is_said_when_it_is_loaded(url):
    with pytest.raises(ModelError, match="no address of an endpoint") as caught:
        client(url)
    assert caught.value.where == "candidates.remote"
    assert "https://HOST/v1" in caught.value.fix


@pytest.mark.parametrize("key", ["ключ", "abc\n", "a\tb", "“abc”"])
def test_a_key_that_no_header_can_hold_is_said_when_it_is_loaded(monkeypatch, key):
    monkeypatch.setenv("SHOP_KEY", key)
    with pytest.raises(ModelError, match="characters that no key has") as caught:
        client("http://127.0.0.1:9/v1", api_key_env="SHOP_KEY")
    assert key.strip() not in str(caught.value), "a key is never shown"


def test_a_proxy_that_is_none_is_said_when_it_is_loaded(monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:9")
    with pytest.raises(ModelError, match="is no HTTP address") as caught:
        client("http://models.example/v1")
    assert "http_proxy" in caught.value.where


# answers as they come


def test_answers_come_as_they_are_ready_and_requests_are_taken_as_they_can_be_sent():
    release = threading.Event()
    taken = []

    def say(asked):
        text = asked["messages"][-1]["content"]
        if text == "0":
            release.wait(timeout=20)
        return text

    def requests():
        for number in range(6):
            taken.append(number)
            yield number, Request(str(number))

    with serving(say) as endpoint:
        model = client(endpoint, concurrency=2)
        coming = model.answer_each(requests())
        first = [next(coming)[0] for _ in range(3)]
        assert 0 not in first, "the slow one holds nobody up"
        assert len(taken) <= len(first) + 2, "no more than two are under way"
        release.set()
        rest = [number for number, _ in coming]
        model.close()
    assert sorted(first + rest) == list(range(6))


def test_closing_cancels_what_is_under_way():
    def say(asked):
        time.sleep(0.05)
        return "x"

    with serving(say) as endpoint:
        model = client(endpoint, concurrency=2)
        coming = model.answer_each((number, Request(str(number))) for number in range(1000))
        next(coming)
        coming.close()
        asked = len(endpoint.asked)
        time.sleep(0.3)
        assert len(endpoint.asked) <= asked + 2
        assert ask(model).error == "", "it still answers others"
        model.close()
