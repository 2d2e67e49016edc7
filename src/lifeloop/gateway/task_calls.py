"""POST /v1/tasks/PROJECT: a text, many texts or a conversation in, the task's own answer out."""

import secrets
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from lifeloop.gateway.answering import Asked, Outcome, in_public
from lifeloop.gateway.errors import REQUEST_ID, RequestError
from lifeloop.gateway.routing import Live
from lifeloop.gateway.serving import Parts, ask_messages, ask_text, headers_of, parts_of, serve_all
from lifeloop.gateway.streaming import unanswered
from lifeloop.gateway.wire import TaskCall, columns_each, conversation, read

_ANSWER_KEYS = {"classify": "label", "extract": "entities"}
"""Task to the key under which its answer stands; "output" for all others."""


async def call_task(request: Request) -> Response:
    """Answer a call of the project's task."""
    parts = parts_of(request)
    project = request.path_params["project"]
    if project != parts.serving.project:
        raise RequestError(404, "There is no project of this name here.", param="project", code="unknown_project")
    body = await read(request, TaskCall)
    given = [key for key in ("text", "texts", "messages") if getattr(body, key) is not None]
    if len(given) != 1:
        message = "Give one of `text`, `texts` and `messages`" + ("." if not given else ", not several.")
        raise RequestError(400, message, param=given[1] if given else "text", code="invalid_value")
    event: str = request.scope[REQUEST_ID]
    if body.texts is not None:
        return await _answer_many(parts, event, body.texts, columns_each(body, len(body.texts)))
    (columns,) = columns_each(body, 1)
    if body.messages is not None:
        asked = ask_messages(parts, event, conversation(body.messages), columns=columns)
    else:
        asked = ask_text(parts, event, _not_blank(body.text or "", "text"), columns)
    live, (outcome,) = await serve_all(parts, [asked])
    if outcome.member is None:
        raise unanswered(live, asked, outcome)
    return _json(_answer(parts, live, asked, outcome), headers_of(live, asked.event, outcome))


async def _answer_many(parts: Parts, request_id: str, texts: list[str], columns: list[dict[str, str]]) -> Response:
    """Answer each text as an event of its own; those that nobody answered stand in the list with their error."""
    events = [request_id, *(secrets.token_hex(16) for _ in texts[1:])]
    asked = [
        ask_text(parts, event, _not_blank(text, f"texts[{place}]"), known)
        for place, (event, text, known) in enumerate(zip(events, texts, columns, strict=True))
    ]
    live, outcomes = await serve_all(parts, asked)
    if all(outcome.member is None for outcome in outcomes):
        raise unanswered(live, asked[0], outcomes[0])
    answers = [_answer(parts, live, one, outcome) for one, outcome in zip(asked, outcomes, strict=True)]
    return _json({"answers": answers}, {"x-lifeloop-release": live.id})


def _not_blank(text: str, param: str) -> str:
    if not text.strip():
        raise RequestError(400, f"`{param}` is empty.", param=param, code="invalid_value")
    return text


def _answer(parts: Parts, live: Live, asked: Asked, outcome: Outcome) -> dict[str, Any]:
    if outcome.member is None:
        return {"error": {"message": in_public(outcome), "code": "no_answer"}, "event": asked.event}
    key = _ANSWER_KEYS.get(parts.serving.task.name, "output")
    return {
        key: outcome.prediction if key == "entities" else outcome.output,
        "confidence": outcome.answer.confidence,
        "event": asked.event,
        "candidate": outcome.member.name,
        "release": live.id,
    }


def _json(value: Any, headers: dict[str, str]) -> Response:
    return Response(msgspec.json.encode(value), 200, headers, "application/json")
