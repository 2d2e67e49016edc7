"""In which form a model is to write a row of each task, how a training row looks in it, and how a reply is read.

Takes labels, examples and replies, gives texts and references; a reply that is of no use raises ValueError with the
reason, `REASON` or `REASON: DETAIL`. Knows nothing of models.
"""

import re
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from lifeloop.core.candidates import Message
from lifeloop.core.content import canonical
from lifeloop.core.data import Example
from lifeloop.tasks.chat import conversation
from lifeloop.tasks.extract import Entity

T = TypeVar("T")

NEW = "Make it new: the same kind of thing as the others, about something else, in other words."
_FENCE = re.compile(r"^```[a-z]*\s*|\s*```$")
_QUOTES = {'"': '"', "“": "”", "«": "»", "„": "“"}


class Form(Struct, frozen=True):
    """How rows of one task are written."""

    rules: str
    """The system message."""
    ask: Callable[[str], str]
    """From a label (or "") to the turn that asks for a row."""
    show: Callable[[Example], str]
    """From a training row to the turn that would have answered."""
    read: Callable[[str, str, Collection[str]], tuple[str, str]]
    """From a reply, the label and all labels there are to input and reference. Raises ValueError."""
    labels: Callable[[Example], tuple[str, ...]]
    """The labels that an example counts for; ("",) where the task has none."""
    schema: dict[str, Any] | None = None
    """For models that can be held to one."""


def form(task: str) -> Form:
    """Return the form of a task. A task of a plugin is written as `generate` is: an input and an output."""
    return _FORMS.get(task, _GENERATE)


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _decoded(reply: str, kind: type[T]) -> T:
    """Return the JSON object in a reply, whatever stands around it. Raises ValueError."""
    text = _FENCE.sub("", reply.strip())
    first, last = text.find("{"), text.rfind("}")
    try:
        return msgspec.json.decode(text[first : last + 1], type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError, UnicodeEncodeError):
        raise ValueError("the model did not write the JSON that was asked for") from None


# classify: a text of a label


def _read_text(reply: str, label: str, known: Collection[str]) -> tuple[str, str]:
    """Return the text alone: without quotation marks around it, and without the label or "Text" before it."""
    del known
    text = re.sub(rf"^(text|{re.escape(label)})\s*:\s*", "", reply, flags=re.IGNORECASE).strip()
    if len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and text.count(text[0]) <= 2:
        text = text[1:-1].strip()
    if not text:
        raise ValueError("the model wrote nothing")
    if text.casefold() == label.casefold():
        raise ValueError("the model wrote the label and no text")
    return text, label


_CLASSIFY = Form(
    rules="You write texts from which a classifier learns. When you are asked for a text of a label, answer with one "
    f"such text and nothing else: no label, no quotation marks, no explanation. {NEW}",
    ask=lambda label: f"Write a text of the label: {label}",
    show=lambda example: example.input,
    read=_read_text,
    labels=lambda example: (example.reference,),
)


# generate: what goes in, and what should come out


class _Pair(Struct):
    input: str
    output: str


def _read_pair(reply: str, label: str, known: Collection[str]) -> tuple[str, str]:
    del label, known
    pair = _decoded(reply, _Pair)
    return _both(pair.input, pair.output)


def _both(text: str, reference: str) -> tuple[str, str]:
    if not text.strip() or not reference.strip():
        raise ValueError("the model wrote a question without an answer, or an answer without a question")
    return text.strip(), reference.strip()


_GENERATE = Form(
    rules="You write examples from which a language model learns: an input, and the output that is right for it. "
    f'Answer with JSON and nothing else: {{"input": TEXT, "output": TEXT}}. {NEW}',
    ask=lambda label: "Write an example.",
    show=lambda example: canonical({"input": example.input, "output": example.reference}).decode(),
    read=_read_pair,
    labels=lambda example: ("",),
    schema=_object(input={"type": "string"}, output={"type": "string"}),
)


# chat: the messages so far, and the next one


class _Talk(Struct):
    messages: list[Message]
    answer: str


def _read_talk(reply: str, label: str, known: Collection[str]) -> tuple[str, str]:
    del label, known
    talk = _decoded(reply, _Talk)
    turns = talk.messages
    sound = all(turn.role in ("user", "assistant", "system") and turn.content.strip() for turn in turns)
    if not turns or not sound or turns[-1].role != "user":
        raise ValueError("the model wrote no conversation that ends with a user's turn")
    text = turns[0].content if len(turns) == 1 else canonical(turns).decode()
    return _both(text, talk.answer)


_TURN = _object(role={"type": "string", "enum": ["user", "assistant"]}, content={"type": "string"})
_CHAT = Form(
    rules="You write conversations from which an assistant learns: the messages so far, the last one a user's, and the "
    'answer that is right then. Answer with JSON and nothing else: {"messages": [{"role": "user", "content": TEXT}], '
    f'"answer": TEXT}}. {NEW}',
    ask=lambda label: "Write a conversation.",
    show=lambda example: canonical({"messages": conversation(example.input), "answer": example.reference}).decode(),
    read=_read_talk,
    labels=lambda example: ("",),
    schema=_object(
        messages={"type": "array", "items": _TURN, "minItems": 1, "maxItems": 12}, answer={"type": "string"}
    ),
)


# extract: a text with its entities


class _Named(Struct):
    type: str
    text: str


class _Marked(Struct):
    text: str
    entities: list[_Named]


def _entities(example: Example) -> list[Entity]:
    return msgspec.json.decode(example.reference, type=list[Entity])


def _types(example: Example) -> tuple[str, ...]:
    return tuple(dict.fromkeys(entity.type for entity in _entities(example))) or ("",)


def _words(example: Example, entity: Entity) -> str:
    return entity.text or example.input[entity.start : entity.end]


def _show_marked(example: Example) -> str:
    entities = [{"type": entity.type, "text": _words(example, entity)} for entity in _entities(example)]
    return canonical({"text": example.input, "entities": entities}).decode()


def _read_marked(reply: str, label: str, known: Collection[str]) -> tuple[str, str]:
    """Return the text, and the entities with their places, one after the other through the text."""
    marked = _decoded(reply, _Marked)
    text, found = marked.text.strip(), []
    if not text:
        raise ValueError("the model wrote nothing")
    taken: dict[str, int] = {}
    for entity in marked.entities:
        start = text.find(entity.text, taken.get(entity.text, 0)) if entity.text.strip() else -1
        if start < 0:
            raise ValueError(f"the model named an entity that is not in its text: of type {entity.type!r}")
        if entity.type not in known:
            raise ValueError(f"the model named a type of entity that no training row has: {entity.type[:60]!r}")
        taken[entity.text] = start + len(entity.text)
        found.append(Entity(entity.type, entity.text, start, start + len(entity.text)))
    if label and label not in {entity.type for entity in found}:
        raise ValueError(f"the model wrote no entity of the type that was asked for: {label!r}")
    return text, canonical(sorted(found, key=lambda entity: entity.start)).decode()


def _ask_marked(label: str) -> str:
    return f"Write a text with an entity of the type: {label}" if label else "Write a text without any entity."


_EXTRACT = Form(
    rules="You write texts from which a finder of entities learns, each with its entities, word for word as they stand "
    f'in it. Answer with JSON and nothing else: {{"text": TEXT, "entities": [{{"type": TYPE, "text": WORDS}}]}}. {NEW}',
    ask=_ask_marked,
    show=_show_marked,
    read=_read_marked,
    labels=_types,
    schema=_object(
        text={"type": "string"},
        entities={"type": "array", "items": _object(type={"type": "string"}, text={"type": "string"}), "maxItems": 20},
    ),
)

_FORMS = {"classify": _CLASSIFY, "generate": _GENERATE, "chat": _CHAT, "extract": _EXTRACT}
