"""Chat: the next turn of a conversation, compared with a reference turn. Its input may be JSON of messages so far."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from lifeloop.core.candidates import Contract, Message, Request
from lifeloop.tasks.generate import METRICS, Generate
from lifeloop.tasks.task import Metric

NO_COLUMNS: Mapping[str, str] = MappingProxyType({})


class Chat:
    """The task that `task = "chat"` names. Scored like generate; differs in what goes in."""

    name = "chat"
    metrics: dict[str, Metric] = METRICS
    flaw = Generate.flaw
    labels = Generate.labels
    parse = Generate.parse

    def contract(self, labels: Sequence[str]) -> Contract:
        """Return that any text will do."""
        del labels
        return Contract(instructions="Continue the conversation helpfully and briefly.", max_tokens=256)


def conversation(text: str) -> tuple[Message, ...]:
    """Return the messages that an input holds: those of its JSON list, or one user message with the text itself."""
    if text.lstrip().startswith("["):
        try:
            return tuple(msgspec.json.decode(text, type=list[Message]))
        except (msgspec.ValidationError, msgspec.DecodeError):
            pass  # a user's text may begin with a bracket and be no JSON
    return (Message(role="user", content=text),)


def request_for(task: str, text: str, columns: Mapping[str, str] = NO_COLUMNS) -> Request:
    """Return what a candidate is asked for an input; for chat the input's conversation."""
    if task != "chat":
        return Request(text=text, columns=dict(columns))
    turns = conversation(text)
    return Request(text=turns[-1].content if turns else "", messages=turns, columns=dict(columns))


TASK = Chat()
