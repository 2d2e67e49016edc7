"""POST /v1/chat/completions and GET /v1/models, as OpenAI's clients know them."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from lifeloop.gateway.answering import Asked, Outcome
from lifeloop.gateway.errors import REQUEST_ID, RequestError, not_ready
from lifeloop.gateway.serving import Parts, ask_messages, headers_of, parts_of, serve_all
from lifeloop.gateway.streaming import Frame, StreamedAnswer, unanswered
from lifeloop.gateway.wire import Completion, conversation, read

PREFIX = "chatcmpl-"
"""What stands before the event's id in the id of a completion."""


async def complete(request: Request) -> Any:
    """Answer a conversation, whole or in pieces."""
    parts = parts_of(request)
    body = await read(request, Completion)
    _refuse_unsupported(body)
    messages = conversation(body.messages)
    _check_model(parts, body.model)
    max_tokens = body.max_completion_tokens or body.max_tokens or 0
    asked = ask_messages(parts, request.scope[REQUEST_ID], messages, max_tokens)
    if body.stream:
        usage = bool(body.stream_options and body.stream_options.include_usage)
        return StreamedAnswer(parts, asked, _frames(asked, usage))
    live, (outcome,) = await serve_all(parts, [asked])
    if outcome.member is None:
        raise unanswered(live, asked, outcome)
    return Response(_whole(asked, outcome), 200, headers_of(live, asked.event, outcome), "application/json")


async def models(request: Request) -> Response:
    """List the project and the released candidate."""
    return _json({"object": "list", "data": _models(parts_of(request))})


async def model(request: Request) -> Response:
    """Describe one of them."""
    name = request.path_params["name"]
    for known in _models(parts_of(request)):
        if known["id"] == name:
            return _json(known)
    raise _no_model(name)


def _refuse_unsupported(body: Completion) -> None:
    if body.n is not None and body.n != 1:
        raise RequestError(400, "`n` must be 1: one answer a request.", param="n", code="unsupported_value")
    for name in ("tools", "functions"):
        if getattr(body, name):
            raise RequestError(400, f"`{name}` are not supported.", param=name, code="unsupported_parameter")


def _check_model(parts: Parts, name: str) -> None:
    if name == parts.serving.project:
        return
    live = parts.router.peek()
    if live is None:
        raise not_ready()
    if name != live.name:
        raise _no_model(name)


def _no_model(name: str) -> RequestError:
    shown = name if len(name) <= 64 else f"{name[:63]}…"
    return RequestError(404, f"The model `{shown}` does not exist.", param="model", code="model_not_found")


def _models(parts: Parts) -> list[dict[str, Any]]:
    live = parts.router.peek()
    names = dict.fromkeys([parts.serving.project, *([live.name] if live else [])])
    created = int(live.at) if live else 0
    return [{"id": name, "object": "model", "created": created, "owned_by": "lifeloop"} for name in names]


def _whole(asked: Asked, outcome: Outcome) -> bytes:
    message = {"role": "assistant", "content": outcome.output, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _reason(asked, outcome)}
    return msgspec.json.encode(
        {
            "id": PREFIX + asked.event,
            "object": "chat.completion",
            "created": int(asked.at),
            "model": outcome.member.name if outcome.member else "",
            "choices": [choice],
            "usage": _usage(outcome),
        }
    )


def _frames(asked: Asked, usage: bool) -> Frame:
    """Return how pieces become server-sent events; the first one carries the role."""
    begun = False

    def frame(text: str | None, outcome: Outcome) -> bytes:
        nonlocal begun
        delta: dict[str, Any] = {} if begun else {"role": "assistant", "refusal": None}
        begun = True
        if text is not None:
            return _event(_chunk(asked, outcome, [_delta(delta | {"content": text}, None)], usage))
        end = _event(_chunk(asked, outcome, [_delta(delta, _reason(asked, outcome))], usage))
        if usage:
            end += _event(_chunk(asked, outcome, [], usage) | {"usage": _usage(outcome)})
        return end + b"data: [DONE]\n\n"

    return frame


def _chunk(asked: Asked, outcome: Outcome, choices: list[dict[str, Any]], usage: bool) -> dict[str, Any]:
    chunk = {
        "id": PREFIX + asked.event,
        "object": "chat.completion.chunk",
        "created": int(asked.at),
        "model": outcome.member.name if outcome.member else "",
        "choices": choices,
    }
    return chunk | {"usage": None} if usage else chunk


def _delta(delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


def _reason(asked: Asked, outcome: Outcome) -> str:
    limit = asked.request.max_tokens
    return "length" if limit and outcome.answer.tokens_out >= limit else "stop"


def _usage(outcome: Outcome) -> dict[str, int]:
    said = outcome.answer
    return {
        "prompt_tokens": said.tokens_in,
        "completion_tokens": said.tokens_out,
        "total_tokens": said.tokens_in + said.tokens_out,
    }


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), 200, media_type="application/json")
