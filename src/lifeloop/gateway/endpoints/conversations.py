"""Conversations: messages as clients send them, made into those that candidates take, or one clear error.

What is more than a text (tool calls, images, a tool's result) is kept as JSON beside it, for candidates that pass it
on. Knows nothing of who answers.
"""

from collections.abc import Sequence

import msgspec

from lifeloop.core.candidates import Message
from lifeloop.gateway.endpoints.bodies import Part, Turn
from lifeloop.gateway.web.errors import RequestError

_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "function",
}
_TOOL_ROLES = ("tool", "function")
_TEXT_ROLES = "system, developer, user, assistant"


def conversation(turns: Sequence[Turn], *, whole: bool) -> tuple[Message, ...]:
    """Return messages as candidates take them; `whole` where they may hold more than texts.

    Raises RequestError where there is nothing to answer.
    """
    if not turns:
        raise RequestError(400, "`messages` is empty.", param="messages", code="empty_messages")
    messages = tuple([_message(turn, place, whole) for place, turn in enumerate(turns)])
    last = messages[-1]
    if last.role != "user":
        last = next((message for message in reversed(messages) if message.role == "user"), None)
    if last is None:
        raise RequestError(400, "`messages` holds no message of the user.", param="messages", code="invalid_value")
    if not last.extra and not last.content.strip():
        raise RequestError(400, "The last message of the user is empty.", param="messages", code="empty_messages")
    return messages


def last_of_user(messages: Sequence[Message]) -> str:
    """Return the text of the user's last message; "" where no user speaks."""
    for message in reversed(messages):
        if message.role == "user":
            return message.content
    return ""


def _message(turn: Turn, place: int, whole: bool) -> Message:
    role = _ROLES.get(turn.role)
    if role is None or (not whole and role in _TOOL_ROLES):
        known = ", ".join(_ROLES) if whole else _TEXT_ROLES
        param = f"messages[{place}].role"
        raise RequestError(400, f"The role at `{param}` is not one of: {known}.", param=param, code="invalid_value")
    content = turn.content
    if type(content) is str and not (turn.tool_calls or turn.function_call) and role not in _TOOL_ROLES:
        return Message(role=role, content=content)
    parts = content if isinstance(content, list) else ()
    odd = next((index for index, part in enumerate(parts) if part.type != "text" or part.text is None), None)
    if odd is not None and not whole:
        param = f"messages[{place}].content[{odd}]"
        raise RequestError(400, f"`{param}` is no text; this project takes text alone.", param=param, code="no_text")
    text = content if isinstance(content, str) else "\n".join(part.text for part in parts if part.text is not None)
    return Message(role=role, content=text, extra=_extra(turn, parts if odd is not None else ()) if whole else "")


def _extra(turn: Turn, parts: Sequence[Part]) -> str:
    """Return the JSON of what a message holds besides its text, or ""."""
    extra = msgspec.to_builtins(turn)
    del extra["role"]
    if turn.role not in _TOOL_ROLES:
        extra.pop("name", None)  # who of several speaks: nothing that an answer must heed
    if parts:
        extra["content"] = msgspec.to_builtins(parts)
    elif turn.content is None and turn.role == "assistant":
        extra["content"] = None
    else:
        extra.pop("content", None)
    return msgspec.json.encode(extra).decode() if extra else ""
