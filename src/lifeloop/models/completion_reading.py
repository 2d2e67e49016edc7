"""What an OpenAI-compatible endpoint answered: completions and embeddings; whole, broken or odd.

Takes bytes, gives text, choices, vectors, tokens, or Garbage where they are not what they should be. Endpoints differ,
so what is merely odd (usage that makes no sense, a choice without words) counts as nothing. Knows nothing of
connections.
"""

import json
from typing import Any

import msgspec
from msgspec import Raw, Struct

NO_OBJECT = "the endpoint's reply is not a JSON object"
NO_COMPLETION = "the endpoint's reply is not a chat completion"


class Garbage(ValueError):
    """Bytes that are not what an endpoint should answer; says in words what they are not."""

    def __init__(self, why: str, read: int = 0, written: int = 0) -> None:
        super().__init__(why)
        self.why = why
        self.read = read
        self.written = written


class Said(Struct, frozen=True):
    """What a completion holds."""

    text: str
    read: int = 0
    """Tokens that went in."""
    written: int = 0
    """Tokens that came out."""
    finish: str = ""
    choices: str = ""
    """The endpoint's own choices, where they were asked for."""


class Usage(Struct, frozen=True):
    """Tokens, as endpoints tell them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Message(Struct):
    content: str | None


class _Choice(Struct):
    message: _Message
    finish_reason: str | None = None


class _Completion(Struct):
    choices: list[_Choice]
    usage: Usage = Usage()


class _RawChoices(Struct):
    choices: Raw


class _Vector(Struct):
    embedding: list[float]
    index: int


class _Embeddings(Struct):
    data: list[_Vector]
    usage: Usage | None = None


_completion = msgspec.json.Decoder(_Completion).decode
_raw_choices = msgspec.json.Decoder(_RawChoices).decode
_embeddings = msgspec.json.Decoder(_Embeddings).decode
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read_completion(body: bytes, *, choices: bool = False) -> Said:
    """Return what a completion says; with its choices as they are, where `choices` asks for them. Raises Garbage."""
    try:
        found = _completion(body)
        first, usage = found.choices[0], found.usage
        if usage.prompt_tokens < 0 or usage.completion_tokens < 0:
            return _read_slowly(body, choices)
    except (*UNREADABLE, IndexError):  # a ValidationError is a DecodeError
        return _read_slowly(body, choices)
    return Said(
        text=first.message.content or "",
        read=usage.prompt_tokens,
        written=usage.completion_tokens,
        finish=first.finish_reason or "",
        choices=bytes(_raw_choices(body).choices).decode() if choices else "",
    )


def _read_slowly(body: bytes, choices: bool) -> Said:
    """Read what the types do not fit: odd usage, halves of characters, a message that calls tools and says nothing."""
    completion = decoded(body)
    if completion is None:
        raise Garbage(NO_OBJECT)
    read, written = tokens_of(completion.get("usage"))
    try:
        choice = completion["choices"][0]
        message = choice["message"]
        content = message.get("content") if choices else message["content"]
    except (KeyError, IndexError, TypeError, AttributeError):
        raise Garbage(NO_COMPLETION, read, written) from None
    if not isinstance(content, str | None):
        raise Garbage(NO_COMPLETION, read, written)
    finish = choice.get("finish_reason")
    return Said(
        text=mended(content or ""),
        read=read,
        written=written,
        finish=finish if isinstance(finish, str) else "",
        choices=mended(json.dumps(completion["choices"], ensure_ascii=False)) if choices else "",
    )


def read_embeddings(body: bytes, n_texts: int) -> tuple[list[list[float]], int]:
    """Return one vector a text, and the tokens read. Raises Garbage, also where a text has none."""
    try:
        found = _embeddings(body)
    except UNREADABLE:
        raise Garbage("the endpoint's reply holds no embeddings") from None
    vectors: list[list[float]] = [[]] * n_texts
    for each in found.data:
        if 0 <= each.index < n_texts:
            vectors[each.index] = each.embedding
    if len(found.data) != n_texts or not all(vectors) or len(set(map(len, vectors))) > 1:
        raise Garbage("the endpoint's reply does not hold one vector a text")
    return vectors, max(0, found.usage.prompt_tokens) if found.usage else 0


def decoded(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object that bytes hold, or None where they hold none."""
    try:
        found = msgspec.json.decode(body)
    except UNREADABLE:
        try:
            found = json.loads(body)  # slower, and takes halves of characters
        except (ValueError, RecursionError):
            return None
    return found if isinstance(found, dict) else None


def mended(text: str) -> str:
    """Return the text with halves of characters, which JSON can hold and UTF-8 cannot, as question marks."""
    return text.encode("utf-8", "replace").decode()


def tokens_of(usage: object) -> tuple[int, int]:
    """Return the tokens that an endpoint reports as read and written; 0 where what it reports is no number."""
    counts = []
    for key in ("prompt_tokens", "completion_tokens"):
        count = usage.get(key) if isinstance(usage, dict) else None
        counts.append(int(count) if isinstance(count, int | float) and 0 <= count < float("inf") else 0)
    return counts[0], counts[1]
