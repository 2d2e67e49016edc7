"""POST /v1/chat/completions: a conversation in, OpenAI's completion out, whole or in pieces."""

from typing import Any

import msgspec

from lifeloop.core.candidates import Choices
from lifeloop.gateway.answering import Asked, Outcome
from lifeloop.gateway.completions import CHAT, DONE, check_model, finish_reason, usage_of
from lifeloop.gateway.conversations import conversation
from lifeloop.gateway.http import Call, Reply, answer_headers
from lifeloop.gateway.options import FREE_TASKS, accepted, options_of
from lifeloop.gateway.serving import ask_messages, serve_one, unanswered
from lifeloop.gateway.streaming import Frame, StreamedAnswer
from lifeloop.gateway.wire import ChatBody, read
from lifeloop.gateway.wire_replies import ChatChoice, ChatReply, ReplyMessage

_encode = msgspec.json.Encoder().encode


async def complete(call: Call) -> Reply | StreamedAnswer:
    """Answer a conversation, whole or in pieces."""
    parts = call.parts
    body = await read(call, ChatBody)
    messages = conversation(body.messages, whole=parts.serving.task.name in FREE_TASKS)
    check_model(parts, body.model)
    asked = ask_messages(
        parts,
        call.id,
        messages,
        max_tokens=body.max_completion_tokens or body.max_tokens or 0,
        options=accepted(parts, options_of(body), messages),
        user_key=call.user_key(body.user or body.safety_identifier),
        api_key=call.api_key,
    )
    if body.stream:
        usage = bool(body.stream_options and body.stream_options.include_usage)
        return StreamedAnswer(parts, asked, _frames(asked, usage))
    live, outcome = await serve_one(parts, asked)
    if outcome.member is None:
        raise unanswered(live, asked, outcome)
    return Reply(_whole(asked, outcome), 200, answer_headers(asked.event, outcome.member.name, live.id))


def _whole(asked: Asked, outcome: Outcome) -> bytes:
    said = outcome.answer
    choices: list[ChatChoice] | msgspec.Raw
    if said.choices:
        choices = msgspec.Raw(said.choices.encode())
    else:
        choices = [ChatChoice(ReplyMessage(outcome.output), finish_reason(asked, outcome))]
    name = outcome.member.name if outcome.member else ""
    return _encode(ChatReply(CHAT + asked.event, int(asked.at), name, choices, usage_of(outcome)))


def _frames(asked: Asked, usage: bool) -> Frame:
    """Return how what a candidate adds becomes server-sent events; the first one of a text carries the role."""
    begun = False

    def frame(added: str | Choices | None, outcome: Outcome) -> bytes:
        nonlocal begun
        delta: dict[str, Any] = {} if begun else {"role": "assistant", "refusal": None}
        begun = True
        if isinstance(added, Choices):
            return _event(asked, outcome, msgspec.Raw(added.raw.encode()), usage)
        if added is not None:
            return _event(asked, outcome, _choice(delta | {"content": added}, None), usage)
        end = b"" if outcome.answer.choices else _event(asked, outcome, _end(delta, asked, outcome), usage)
        if usage:
            end += _event(asked, outcome, [], usage_of(outcome))
        return end + DONE

    return frame


def _event(asked: Asked, outcome: Outcome, choices: Any, usage: Any) -> bytes:
    """Return one chunk as a server-sent event; `usage` is False for none, True for null, or what was used."""
    chunk = {
        "id": CHAT + asked.event,
        "object": "chat.completion.chunk",
        "created": int(asked.at),
        "model": outcome.member.name if outcome.member else "",
        "choices": choices,
    }
    if usage is not False:
        chunk["usage"] = None if usage is True else usage
    return b"data: " + _encode(chunk) + b"\n\n"


def _choice(delta: dict[str, Any], reason: str | None) -> list[dict[str, Any]]:
    return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]


def _end(delta: dict[str, Any], asked: Asked, outcome: Outcome) -> list[dict[str, Any]]:
    return _choice(delta, finish_reason(asked, outcome))
