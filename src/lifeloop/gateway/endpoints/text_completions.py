"""POST /v1/completions, OpenAI's older form: one prompt or several in, as many texts out; one may be streamed."""

import msgspec

from lifeloop.core.assignment import event_of
from lifeloop.core.candidates import Choices
from lifeloop.gateway.asking.answering import Asked, Outcome
from lifeloop.gateway.asking.streaming import Frame, StreamedAnswer
from lifeloop.gateway.endpoints.bodies import TextBody, read
from lifeloop.gateway.endpoints.completions import DONE, TEXT, check_model, finish_reason, usage_of
from lifeloop.gateway.endpoints.options import accepted, options_of
from lifeloop.gateway.endpoints.replies import TextChoice, TextReply, Usage
from lifeloop.gateway.serving import ask_text, serve_many, unanswered
from lifeloop.gateway.web.errors import RequestError
from lifeloop.gateway.web.http import Call, Reply, answer_headers

_NEUTRAL = {"n": (1,), "best_of": (1,), "echo": (False,), "suffix": ("",), "logprobs": ()}
"""Parameters of the older form that are refused, and the values that ask for nothing."""
_PASSED = ("stop", "seed", "user")


async def complete(call: Call) -> Reply | StreamedAnswer:
    """Answer prompts; all of them become events of their own."""
    parts = call.parts
    body = await read(call, TextBody)
    for name, harmless in _NEUTRAL.items():
        value = getattr(body, name)
        if value is not None and value not in harmless:
            raise RequestError(400, f"`{name}` is not supported.", param=name, code="unsupported_parameter")
    check_model(parts, body.model)
    prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
    for place, prompt in enumerate(prompts):
        if not prompt.strip():
            param = "prompt" if isinstance(body.prompt, str) else f"prompt[{place}]"
            raise RequestError(400, f"`{param}` is empty.", param=param, code="invalid_value")
    call.count(len(prompts))
    options = accepted(parts, {name: value for name, value in options_of(body).items() if name in _PASSED})
    user_key = call.user_key(body.user)
    asked = [
        ask_text(
            parts,
            event_of(call.id, place),
            prompt,
            max_tokens=body.max_tokens or 0,
            options=options,
            user_key=user_key,
            api_key=call.api_key,
        )
        for place, prompt in enumerate(prompts)
    ]
    if body.stream:
        if len(asked) > 1:
            message = "Several prompts cannot be streamed at once; send one, or leave `stream` out."
            raise RequestError(400, message, param="prompt", code="unsupported_value")
        usage = bool(body.stream_options and body.stream_options.include_usage)
        return StreamedAnswer(parts, asked[0], _frames(asked[0], usage), call.extra)
    live, outcomes = await serve_many(parts, asked)
    for one, outcome in zip(asked, outcomes, strict=True):
        if outcome.member is None:
            raise unanswered(live, one, outcome)
    name = outcomes[0].member.name if outcomes[0].member else ""
    return Reply(_whole(asked, outcomes, name), 200, answer_headers(call.id, name, live.id))


def _whole(asked: list[Asked], outcomes: list[Outcome], name: str) -> bytes:
    choices = [
        TextChoice(outcome.output, finish_reason(one, outcome), place, one.event)
        for place, (one, outcome) in enumerate(zip(asked, outcomes, strict=True))
    ]
    used = [usage_of(outcome) for outcome in outcomes]
    read_, written = sum(u.prompt_tokens for u in used), sum(u.completion_tokens for u in used)
    usage = Usage(read_, written, read_ + written)
    return msgspec.json.encode(TextReply(TEXT + asked[0].event, int(asked[0].at), name, choices, usage))


def _frames(asked: Asked, usage: bool) -> Frame:
    def frame(added: str | Choices | None, outcome: Outcome) -> bytes:
        if added is None:
            last = _chunk(asked, outcome, "", finish_reason(asked, outcome))
            total = _chunk(asked, outcome, None, None, usage_of(outcome)) if usage else b""
            return last + total + DONE
        return _chunk(asked, outcome, added.text if isinstance(added, Choices) else added, None)

    return frame


def _chunk(asked: Asked, outcome: Outcome, text: str | None, reason: str | None, used: Usage | None = None) -> bytes:
    """Return a server-sent event; `text` is None for the last one, which holds the usage alone."""
    chunk = {
        "id": TEXT + asked.event,
        "object": "text_completion",
        "created": int(asked.at),
        "model": outcome.member.name if outcome.member else "",
        "choices": [] if text is None else [TextChoice(text, reason, 0, asked.event)],
    }
    if used is not None:
        chunk["usage"] = used
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"
