"""POST /v1/chat/completions: a conversation in, OpenAI's completion out, whole or in pieces."""

import msgspec

from lifeloop.core.candidates import Choices
from lifeloop.gateway.asking.answering import Asked, Outcome
from lifeloop.gateway.asking.streaming import Frame, StreamedAnswer
from lifeloop.gateway.endpoints.bodies import ChatBody, read
from lifeloop.gateway.endpoints.completions import CHAT, DONE, check_model, finish_reason, usage_of
from lifeloop.gateway.endpoints.conversations import conversation
from lifeloop.gateway.endpoints.options import FREE_TASKS, accepted, options_of
from lifeloop.gateway.endpoints.replies import ChatChoice, ChatReply, ReplyMessage
from lifeloop.gateway.serving import ask_messages, serve_one, unanswered
from lifeloop.gateway.web.http import Call, Reply, answer_headers

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
        return StreamedAnswer(parts, asked, _frames(asked, usage), call.extra)
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
    """Return how what a candidate adds becomes server-sent events; the first one of a text carries the role.

    Only a text and its escapes differ between most events of a stream: what surrounds them is encoded once.
    """
    tail = b',"usage":null}\n\n' if usage else b"}\n\n"
    head = b""

    def frame(added: str | Choices | None, outcome: Outcome) -> bytes:
        nonlocal head
        role = b""
        if not head:
            head, role = _head(asked, outcome), b'"role":"assistant","refusal":null'
        if isinstance(added, Choices):
            return head + added.raw.encode() + tail
        if added is not None:
            delta = (role + b"," if role else b"") + b'"content":' + _encode(added)
            return head + _choice(delta, b"null") + tail
        end = b""
        if not outcome.answer.choices:
            end = head + _choice(role, _encode(finish_reason(asked, outcome))) + tail
        if usage:
            end += head + b'[],"usage":' + _encode(usage_of(outcome)) + b"}\n\n"
        return end + DONE

    return frame


def _head(asked: Asked, outcome: Outcome) -> bytes:
    """Return what each event of a stream begins with, up to its choices."""
    name = _encode(outcome.member.name if outcome.member else "")
    return b'data: {"id":"%b","object":"chat.completion.chunk","created":%d,"model":%b,"choices":' % (
        (CHAT + asked.event).encode(),
        asked.at,
        name,
    )


def _choice(delta: bytes, reason: bytes) -> bytes:
    return b'[{"index":0,"delta":{%b},"logprobs":null,"finish_reason":%b}]' % (delta, reason)
