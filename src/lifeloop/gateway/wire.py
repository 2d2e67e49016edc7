"""What requests look like on the wire, and how a body becomes one of them or one clear error.

Unknown keys are let through, since clients send many; wrong types and missing keys are not. Knows nothing of who
answers.
"""

import re
from collections.abc import Sequence
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct
from starlette.requests import ClientDisconnect, Request

from lifeloop.core.candidates import Message
from lifeloop.gateway.errors import RequestError

T = TypeVar("T", bound=Struct)

MAX_BODY = 8 * 1024 * 1024
"""Bytes of a request's body."""
MAX_TEXTS = 1000
"""Texts in one request."""

_MaxTokens = Annotated[int, Meta(ge=1, le=1_000_000)]
_Columns = Annotated[dict[str, Annotated[str, Meta(max_length=10_000)]], Meta(max_length=100)]
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


class Part(Struct, frozen=True):
    """A piece of a message's content."""

    type: str
    text: str | None = None


class Turn(Struct, frozen=True):
    """A message as clients send it."""

    role: str
    content: str | list[Part] | None = None


class StreamOptions(Struct, frozen=True):
    """OpenAI's `stream_options`."""

    include_usage: bool | None = None


class Completion(Struct, frozen=True):
    """The body of POST /v1/chat/completions. Sampling settings are let through unread: the candidate has its own."""

    model: str
    messages: list[Turn]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: _MaxTokens | None = None
    max_completion_tokens: _MaxTokens | None = None
    n: int | None = None
    tools: list[msgspec.Raw] | None = None
    functions: list[msgspec.Raw] | None = None


class TaskCall(Struct, frozen=True):
    """The body of POST /v1/tasks/PROJECT: one of the first three, and what else is known of it."""

    text: str | None = None
    texts: Annotated[list[str], Meta(min_length=1, max_length=MAX_TEXTS)] | None = None
    messages: list[Turn] | None = None
    columns: _Columns | Annotated[list[_Columns], Meta(max_length=MAX_TEXTS)] | None = None
    """By column of data.slices; for `texts` one for all or a list of one each. One that is not given is unknown."""


class FeedbackCall(Struct, frozen=True):
    """The body of POST /v1/feedback."""

    event: str
    rating: Annotated[float, Meta(ge=-1.0, le=1.0)] | None = None
    label: str | None = None
    correction: str | None = None
    comment: str | None = None
    rater: Annotated[str, Meta(max_length=255)] | None = None
    better_than: str | None = None


async def read(request: Request, kind: type[T]) -> T:
    """Return the body of a request as `kind`. Raises RequestError that says what is wrong with it."""
    body = await _body(request)
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at ")
        param = path.strip("`").removeprefix("$").removeprefix(".") or _missing(what)
        place = f" at `{param}`" if path else ""
        raise RequestError(400, f"{what[:200]}{place}.", param=param[:200] or None, code="invalid_value") from None
    except UnicodeDecodeError:
        raise RequestError(400, "The body is not UTF-8.", code="invalid_json") from None
    except msgspec.DecodeError as error:
        raise RequestError(400, f"The body is not JSON: {str(error)[:200]}.", code="invalid_json") from None
    except RecursionError:
        raise RequestError(400, "The body is nested too deeply.", code="invalid_json") from None


async def _body(request: Request) -> bytes:
    """Return the body; stop reading, whatever its headers say, once it is too large."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > MAX_BODY:
        raise _too_large()
    pieces: list[bytes] = []
    size = 0
    try:
        async for piece in request.stream():
            size += len(piece)
            if size > MAX_BODY:
                raise _too_large()
            pieces.append(piece)
    except ClientDisconnect:
        raise RequestError(400, "The connection closed before the body was complete.") from None
    return b"".join(pieces)


def _too_large() -> RequestError:
    return RequestError(413, f"The body is larger than {MAX_BODY // 1024**2} MB.", code="body_too_large")


def _missing(what: str) -> str:
    found = re.search(r"missing required field `([^`]*)`", what)
    return found[1] if found else ""


def columns_each(body: TaskCall, n_texts: int) -> list[dict[str, str]]:
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


def conversation(turns: Sequence[Turn]) -> tuple[Message, ...]:
    """Return messages as candidates take them. Raises RequestError where there is no text to answer."""
    if not turns:
        raise RequestError(400, "`messages` is empty.", param="messages", code="empty_messages")
    messages = tuple(_message(turn, f"messages[{place}]") for place, turn in enumerate(turns))
    if not any(message.role == "user" for message in messages):
        raise RequestError(400, "`messages` holds no message of the user.", param="messages", code="invalid_value")
    if not last_of_user(messages).strip():
        raise RequestError(400, "The last message of the user is empty.", param="messages", code="empty_messages")
    return messages


def last_of_user(messages: Sequence[Message]) -> str:
    """Return the text of the user's last message."""
    return next(message.content for message in reversed(messages) if message.role == "user")


def _message(turn: Turn, place: str) -> Message:
    role = _ROLES.get(turn.role)
    if role is None:
        known = ", ".join(_ROLES)
        raise RequestError(400, f"The role at `{place}.role` is not one of: {known}.", param=f"{place}.role")
    if isinstance(turn.content, str):
        return Message(role=role, content=turn.content)
    texts = []
    for index, part in enumerate(turn.content or ()):
        if part.type != "text" or part.text is None:
            param = f"{place}.content[{index}]"
            raise RequestError(400, f"`{param}` is no text; this endpoint takes text alone.", param=param)
        texts.append(part.text)
    return Message(role=role, content="\n".join(texts))
