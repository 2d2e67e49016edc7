"""What a request asks of an OpenAI-compatible model besides a text: which of it is passed on, and who can heed it.

For chat and generate, options go to candidates that pass them on (`models.model.PassesOn`). Where nobody would heed
one that changes the answer's form, the request is refused: an answer that ignores it would be a wrong one.
"""

from typing import Any

from lifeloop.core.candidates import Request
from lifeloop.gateway.errors import RequestError
from lifeloop.gateway.routing import Live
from lifeloop.gateway.wire import ChatBody

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
"""Keys of a body that are passed on."""
_FORM = ("tools", "functions", "response_format", "n", "logprobs", "stop")
"""Those that an answer must follow."""
FREE_TASKS = ("chat", "generate")
"""Tasks whose answers have no form of their own."""


def options_of(body: ChatBody) -> dict[str, Any]:
    """Return what a body asks for besides, without what asks for nothing (`n` of 1, an empty list of tools)."""
    options = {name: value for name in PASSED if (value := getattr(body, name)) is not None}
    return {name: value for name, value in options.items() if name not in _FORM or _asks(name, value)}


def must_be_heeded(request: Request) -> bool:
    """Return whether only candidates that pass options on can answer this request."""
    return any(name in request.options for name in _FORM) or any(message.extra for message in request.messages)


def check_options(task: str, live: Live | None, request: Request) -> None:
    """Refuse what nobody here would heed. Raises RequestError that names the key."""
    if not request.options and not any(message.extra for message in request.messages):
        return
    free = task in FREE_TASKS
    if free and (live is None or any(member.passes_on for member in live.members)):
        return
    who = "the candidate that serves" if free else f"a project of task {task}"
    for name in _FORM:
        if name in request.options and (free or name != "stop"):
            message = f"`{name}` is not supported by {who}."
            raise RequestError(400, message, param=name, code="unsupported_parameter")
    for place, message in enumerate(request.messages):
        if message.extra:
            text = f"`messages[{place}]` holds more than a text, which is not supported by {who}."
            raise RequestError(400, text, param=f"messages[{place}]", code="unsupported_value")


def _asks(name: str, value: Any) -> bool:
    if name == "n":
        return bool(value != 1)
    if name == "response_format":
        return value.get("type") != "text"
    return bool(value)
