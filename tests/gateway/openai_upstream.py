"""An endpoint that really speaks OpenAI's chat protocol: tools, JSON schemas, several answers, streams, usage.

What it says follows from what it is asked, so that a test can tell whether its request arrived whole.
"""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from post_server import EVENTS, JSON, answering

SAID = "one two three four five"


class Upstream:
    """A running endpoint."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.status = 200
        """What it answers with; anything but 200 is an error."""
        self.url = ""


@contextlib.contextmanager
def upstream() -> Iterator[Upstream]:
    """Serve until the block ends."""
    endpoint = Upstream()

    def answer(path: str, body: bytes) -> tuple[int, bytes, str]:
        asked = json.loads(body)
        endpoint.asked.append(asked)
        if endpoint.status != 200:
            return endpoint.status, json.dumps({"error": {"message": "no"}}).encode(), JSON
        if path.endswith("/embeddings"):
            return 200, json.dumps(_embeddings(asked)).encode(), JSON
        if asked.get("stream"):
            return 200, b"".join(map(_event, _chunks(asked))) + b"data: [DONE]\n\n", EVENTS
        return 200, json.dumps(_completion(asked)).encode(), JSON

    with answering(answer) as endpoint.url:
        yield endpoint


def _completion(asked: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-upstream",
        "object": "chat.completion",
        "created": 1,
        "model": "stub",
        "choices": [_choice(asked, index) for index in range(asked.get("n") or 1)],
        "usage": _usage(asked),
    }


def _embeddings(asked: dict[str, Any]) -> dict[str, Any]:
    texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
    data = [{"object": "embedding", "index": n, "embedding": [len(text), 0.5]} for n, text in enumerate(texts)]
    return {"object": "list", "data": data, "model": "stub", "usage": {"prompt_tokens": 9, "total_tokens": 9}}


def _choice(asked: dict[str, Any], index: int) -> dict[str, Any]:
    calls = _tool_calls(asked)
    message: dict[str, Any] = {"role": "assistant", "content": None if calls else _text(asked, index)}
    if calls:
        message["tool_calls"] = calls
    choice = {"index": index, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
    if asked.get("logprobs"):
        choice["logprobs"] = {"content": [{"token": "one", "logprob": -0.5, "bytes": None, "top_logprobs": []}]}
    return choice


def _text(asked: dict[str, Any], index: int) -> str:
    last, form = asked["messages"][-1], asked.get("response_format") or {}
    if last["role"] == "tool":
        return f"The tool says {last['content']}."
    if form.get("type") == "json_schema":
        return json.dumps({name: _value(kind) for name, kind in form["json_schema"]["schema"]["properties"].items()})
    if form.get("type") == "json_object":
        return '{"ok": true}'
    if asked.get("n"):
        return f"answer {index}"
    stops = asked.get("stop") or []
    text = SAID
    for stop in [stops] if isinstance(stops, str) else stops:
        text = text.partition(stop)[0]
    return text


def _value(kind: dict[str, Any]) -> Any:
    return {"string": "Ada", "integer": 7, "number": 0.5, "boolean": True, "array": []}[kind["type"]]


def _tool_calls(asked: dict[str, Any]) -> list[dict[str, Any]]:
    if not asked.get("tools") or asked.get("tool_choice") == "none" or asked["messages"][-1]["role"] == "tool":
        return []
    function = {"name": asked["tools"][0]["function"]["name"], "arguments": '{"city": "Paris"}'}
    return [{"id": "call_1", "type": "function", "function": function}]


def _chunks(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield _chunk({"role": "assistant", "content": None if _tool_calls(asked) else ""}, 0)
    for index in range(asked.get("n") or 1):
        if calls := _tool_calls(asked):
            call, arguments = calls[0], calls[0]["function"]["arguments"]
            begun = {"index": 0, **call, "function": {"name": call["function"]["name"], "arguments": ""}}
            yield _chunk({"tool_calls": [begun]}, index)
            for start in range(0, len(arguments), 4):
                piece = {"arguments": arguments[start : start + 4]}
                yield _chunk({"tool_calls": [{"index": 0, "function": piece}]}, index)
        else:
            text = _text(asked, index)
            for start in range(0, len(text), 5):
                yield _chunk({"content": text[start : start + 5]}, index)
        yield _chunk({}, index, "tool_calls" if _tool_calls(asked) else "stop")
    if (asked.get("stream_options") or {}).get("include_usage"):
        yield {**_head(), "choices": [], "usage": _usage(asked)}


def _chunk(delta: dict[str, Any], index: int, reason: str | None = None) -> dict[str, Any]:
    return {**_head(), "choices": [{"index": index, "delta": delta, "finish_reason": reason}]}


def _head() -> dict[str, Any]:
    return {"id": "chatcmpl-upstream", "object": "chat.completion.chunk", "created": 1, "model": "stub"}


def _usage(asked: dict[str, Any]) -> dict[str, int]:
    read, written = 11, 5 * (asked.get("n") or 1)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _event(chunk: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(chunk)}\n\n".encode()
