"""POST /v1/tasks/PROJECT: a text, many texts or a conversation in, the task's own answer out."""

from typing import Any

import msgspec

from lifeloop.core.assignment import event_of
from lifeloop.gateway.asking.answering import Asked, Outcome, in_public
from lifeloop.gateway.endpoints.bodies import TaskBody, read
from lifeloop.gateway.endpoints.conversations import conversation
from lifeloop.gateway.endpoints.options import FREE_TASKS, accepted
from lifeloop.gateway.endpoints.replies import NoAnswer, TaskAnswer, TaskAnswers
from lifeloop.gateway.production.routing import Live
from lifeloop.gateway.serving import Parts, ask_messages, ask_text, serve_many, serve_one, unanswered
from lifeloop.gateway.web.errors import RequestError
from lifeloop.gateway.web.http import Call, Headers, Reply, answer_headers

_ANSWER_KEYS = {"classify": "label", "extract": "entities"}
"""Task to the key under which its answer stands; "output" for all others."""

_KEYS = TaskBody.__struct_fields__
_encode = msgspec.json.Encoder().encode


async def call_task(call: Call) -> Reply:
    """Answer a call of the project's task."""
    parts = call.parts
    if call.path != parts.serving.project:
        message = f"There is no project of this name here; this gateway serves /v1/tasks/{parts.serving.project}."
        raise RequestError(404, message, param="project", code="unknown_project")
    body = await read(call, TaskBody)
    given = [key for key in ("text", "texts", "messages") if getattr(body, key) is not None]
    if len(given) != 1:
        besides = ", not several." if given else _instead(await call.body())
        message = f"Give one of `text`, `texts` and `messages`{besides}"
        raise RequestError(400, message, param=given[1] if given else "text", code="invalid_value")
    sender: dict[str, Any] = {"user_key": call.user_key(body.user), "api_key": call.api_key}
    if body.texts is not None:
        return await _answer_many(call, body.texts, _columns_each(body, len(body.texts)), sender)
    (columns,) = _columns_each(body, 1)
    if body.messages is not None:
        messages = conversation(body.messages, whole=parts.serving.task.name in FREE_TASKS)
        accepted(parts, {}, messages)
        asked = ask_messages(parts, call.id, messages, columns=columns, **sender)
    else:
        asked = ask_text(parts, call.id, _not_blank(body.text or "", "text"), columns, **sender)
    live, outcome = await serve_one(parts, asked)
    if outcome.member is None:
        raise unanswered(live, asked, outcome)
    headers = answer_headers(asked.event, outcome.member.name, live.id)
    return Reply(_encode(_answer(parts, live, asked, outcome)), 200, headers)


async def _answer_many(call: Call, texts: list[str], columns: list[dict[str, str]], sender: dict[str, Any]) -> Reply:
    """Answer each text as an event of its own; those that nobody answered stand in the list with their error."""
    parts = call.parts
    asked = [
        ask_text(parts, event_of(call.id, place), _not_blank(text, f"texts[{place}]"), known, **sender)
        for place, (text, known) in enumerate(zip(texts, columns, strict=True))
    ]
    call.count(len(asked))
    live, outcomes = await serve_many(parts, asked)
    if all(outcome.member is None for outcome in outcomes):
        raise unanswered(live, asked[0], outcomes[0])
    answers = [_answer(parts, live, one, outcome) for one, outcome in zip(asked, outcomes, strict=True)]
    headers: Headers = [(b"x-lifeloop-release", live.id.encode())]
    return Reply(_encode(TaskAnswers(answers)), 200, headers)


def _instead(body: bytes) -> str:
    """Return which key of a body may have been meant for the one that is missing: the first that nobody reads."""
    try:
        unknown = [key for key in msgspec.json.decode(body, type=dict[str, msgspec.Raw]) if key not in _KEYS]
    except (msgspec.DecodeError, UnicodeDecodeError):  # in what was let through unread
        unknown = []
    return f"; `{unknown[0][:100]}` is none of them." if unknown else "."


def _columns_each(body: TaskBody, n_texts: int) -> list[dict[str, str]]:
    """Return what is known of each of a call's texts. Raises RequestError where there is not one for each."""
    if not isinstance(body.columns, list):
        return [body.columns or {}] * n_texts
    if body.texts is None:
        message = "`columns` is a list, which goes with `texts`; give an object."
        raise RequestError(400, message, param="columns", code="invalid_value")
    if len(body.columns) != n_texts:
        message = f"`columns` has {len(body.columns)} entries for {n_texts} texts."
        raise RequestError(400, message, param="columns", code="invalid_value")
    return body.columns


def _not_blank(text: str, param: str) -> str:
    if not text.strip():
        raise RequestError(400, f"`{param}` is empty.", param=param, code="invalid_value")
    return text


def _answer(parts: Parts, live: Live, asked: Asked, outcome: Outcome) -> TaskAnswer:
    if outcome.member is None:
        return TaskAnswer(asked.event, error=NoAnswer(in_public(outcome)))
    key = _ANSWER_KEYS.get(parts.serving.task.name, "output")
    found: dict[str, Any] = {key: outcome.prediction if key == "entities" else outcome.output}
    return TaskAnswer(
        asked.event,
        confidence=outcome.answer.confidence,
        candidate=outcome.member.name,
        release=live.id,
        **found,
    )
