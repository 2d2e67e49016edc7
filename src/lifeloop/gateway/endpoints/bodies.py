"""What requests look like on the wire, and how a body becomes one of them or one clear error.

Unknown keys are let through, since clients send many; wrong types and missing keys are not. These types are also what
the OpenAPI page describes. Knows nothing of who answers.
"""

import re
from functools import cache
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from lifeloop.gateway.web.errors import RequestError
from lifeloop.gateway.web.http import Call

T = TypeVar("T", bound=Struct)

MAX_TEXTS = 1000
"""Texts in one request."""

MaxTokens = Annotated[int, Meta(ge=1, le=1_000_000)]
Columns = Annotated[dict[str, Annotated[str, Meta(max_length=10_000)]], Meta(max_length=100)]
User = Annotated[str, Meta(max_length=1000)]
Stop = str | Annotated[list[str], Meta(max_length=16)]


class Part(Struct, frozen=True, omit_defaults=True):
    """A piece of a message's content: a text, or what only candidates that pass it on can read."""

    type: str
    text: str | None = None
    image_url: dict[str, Any] | str | None = None
    input_audio: dict[str, Any] | None = None
    file: dict[str, Any] | None = None
    refusal: str | None = None


class Turn(Struct, frozen=True, omit_defaults=True):
    """A message as clients send it."""

    role: str
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    function_call: dict[str, Any] | None = None


class StreamOptions(Struct, frozen=True):
    """OpenAI's `stream_options`."""

    include_usage: bool | None = None


class ChatBody(Struct, frozen=True):
    """The body of POST /v1/chat/completions. Sampling settings are let through unread: the candidate has its own."""

    model: str
    messages: list[Turn]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: MaxTokens | None = None
    max_completion_tokens: MaxTokens | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stop: Stop | None = None
    seed: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    functions: list[dict[str, Any]] | None = None
    function_call: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    metadata: dict[str, str] | None = None
    user: User | None = None
    """Whose request it is: the same user meets the same release of an experiment."""
    safety_identifier: User | None = None
    """The same, by OpenAI's newer name."""


class TextBody(Struct, frozen=True):
    """The body of POST /v1/completions: one prompt, or several that are answered each."""

    model: str
    prompt: str | Annotated[list[str], Meta(min_length=1, max_length=MAX_TEXTS)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: MaxTokens | None = None
    n: int | None = None
    best_of: int | None = None
    echo: bool | None = None
    suffix: str | None = None
    logprobs: int | None = None
    stop: Stop | None = None
    seed: int | None = None
    user: User | None = None


class EmbeddingsBody(Struct, frozen=True):
    """The body of POST /v1/embeddings."""

    model: str
    input: str | Annotated[list[str], Meta(min_length=1, max_length=2048)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None
    user: User | None = None


class TaskBody(Struct, frozen=True):
    """The body of POST /v1/tasks/PROJECT: one of the first three, and what else is known of it."""

    text: str | None = None
    texts: Annotated[list[str], Meta(min_length=1, max_length=MAX_TEXTS)] | None = None
    messages: list[Turn] | None = None
    columns: Columns | Annotated[list[Columns], Meta(max_length=MAX_TEXTS)] | None = None
    """By column of data.slices; for `texts` one for all or a list of one each. One that is not given is unknown."""
    user: User | None = None


class FeedbackBody(Struct, frozen=True):
    """The body of POST /v1/feedback."""

    event: str
    """The id of an event, or of a completion."""
    rating: Annotated[float, Meta(ge=-1.0, le=1.0)] | None = None
    label: str | None = None
    correction: str | None = None
    comment: str | None = None
    rater: Annotated[str, Meta(max_length=255)] | None = None
    better_than: str | None = None


async def read(call: Call, kind: type[T]) -> T:
    """Return the body of a request as `kind`. Raises RequestError that says what is wrong with it."""
    body = await call.body()
    try:
        return decoder(kind).decode(body)  # type: ignore[no-any-return]
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


@cache
def decoder(kind: type[T]) -> "msgspec.json.Decoder[T]":
    """Return the decoder of a body, made once."""
    return msgspec.json.Decoder(kind)


def _missing(what: str) -> str:
    found = re.search(r"missing required field `([^`]*)`", what)
    return found[1] if found else ""
