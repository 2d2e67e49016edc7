"""What a request asks of an OpenAI-compatible model besides a text: which of it is passed on, and who can heed it.

For chat and generate, options go to candidates that pass them on (`models.model.PassesOn`). Where nobody would heed
one that changes the answer's form, the request is refused: an answer that ignores it would be a wrong one.
"""

from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from lifeloop.core.candidates import Message, Request
from lifeloop.gateway.endpoints.bodies import ChatBody, TextBody
from lifeloop.gateway.web.errors import RequestError

if TYPE_CHECKING:  # it holds what calls us
    from lifeloop.gateway.serving import Parts

PASSED = (
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "functions",
    "function_call",
    "response_format",
    "n",
    "stop",
    "seed",
    "logprobs",
    "top_logprobs",
    "metadata",
    "user",
)
"""Keys of a body that are passed on, where it has them."""
_FORM = ("tools", "functions", "response_format", "n", "logprobs", "stop")
"""Those that an answer must follow."""
FREE_TASKS = ("chat", "generate")
"""Tasks whose answers have no form of their own."""


def options_of(body: ChatBody | TextBody) -> dict[str, Any]:
    """Return what a body asks for besides, without what asks for nothing (`n` of 1, an empty list of tools)."""
    names, values_of = _passed(type(body))
    values = values_of(body)
    if values.count(None) == len(values):
        return {}
    options = {name: value for name, value in zip(names, values, strict=True) if value is not None}
    return {name: value for name, value in options.items() if name not in _FORM or _asks(name, value)}


@cache
def _passed(kind: type[ChatBody | TextBody]) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    """Return which keys of a kind of body are passed on, and what reads their values at once."""
    names = tuple(name for name in PASSED if name in kind.__struct_fields__)
    return names, attrgetter(*names)


def must_be_heeded(request: Request) -> bool:
    """Return whether only candidates that pass options on can answer this request."""
    options = request.options
    if options and any(name in options for name in _FORM):
        return True
    return bool(request.messages) and _more_than_texts(request.messages) is not None


def accepted(parts: "Parts", options: dict[str, Any], messages: Sequence[Message] = ()) -> dict[str, Any]:
    """Return the options that candidates are asked with: of a task whose answers have a form, none.

    Raises RequestError that names what nobody here would heed.
    """
    free = parts.serving.task.name in FREE_TASKS
    odd = _more_than_texts(messages)
    if odd is None and not (options and any(name in options for name in _FORM)):
        return options if free else {}
    live = parts.router.peek()
    if free and (live is None or any(member.passes_on for member in live.members)):
        return options
    who = "the candidate that serves" if free else f"a project of task {parts.serving.task.name}"
    for name in _FORM:
        if name in options and (free or name != "stop"):
            message = f"`{name}` is not supported by {who}."
            raise RequestError(400, message, param=name, code="unsupported_parameter")
    if odd is not None:
        text = f"`messages[{odd}]` holds more than a text, which is not supported by {who}."
        raise RequestError(400, text, param=f"messages[{odd}]", code="unsupported_value")
    return {}


def _more_than_texts(messages: Sequence[Message]) -> int | None:
    """Return the place of the first message that holds more than a text, or None."""
    for place, message in enumerate(messages):
        if message.extra:
            return place
    return None


def _asks(name: str, value: Any) -> bool:
    if name == "n":
        return bool(value != 1)
    if name == "response_format":
        return bool(value.get("type") != "text")
    return bool(value)
