"""What an OpenAI-compatible endpoint answered: completions, streams of their pieces, embeddings; whole, broken or odd.

Takes bytes, gives text, choices, tokens, or Garbage where they are not what they should be. Endpoints differ, so what
is merely odd (usage that makes no sense, a choice without words) counts as nothing. Knows nothing of connections.
"""

import contextlib
import json
from typing import Any

import msgspec
from msgspec import Raw, Struct

from lifeloop.core.candidates import Choices

NO_OBJECT = "the endpoint's reply is not a JSON object"
NO_COMPLETION = "the endpoint's reply is not a chat completion"
MOST_LINE = 4 * 1024 * 1024
"""Bytes of one line of a stream."""


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


class _Usage(Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Message(Struct):
    content: str | None


class _Choice(Struct):
    message: _Message
    finish_reason: str | None = None


class _Completion(Struct):
    choices: list[_Choice]
    usage: _Usage = _Usage()


class _RawChoices(Struct):
    choices: Raw


class _Delta(Struct):
    content: str | None = None


class _Added(Struct):
    delta: _Delta = _Delta()
    finish_reason: str | None = None
    index: int = 0


class _Chunk(Struct):
    choices: list[_Added] = []
    usage: _Usage | None = None
    error: Raw | None = None


class _Vector(Struct):
    embedding: list[float]
    index: int


class _Embeddings(Struct):
    data: list[_Vector]
    usage: _Usage | None = None


_completion = msgspec.json.Decoder(_Completion).decode
_raw_choices = msgspec.json.Decoder(_RawChoices).decode
_chunk = msgspec.json.Decoder(_Chunk).decode
_embeddings = msgspec.json.Decoder(_Embeddings).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read_completion(body: bytes, *, choices: bool = False) -> Said:
    """Return what a completion says; with its choices as they are, where `choices` asks for them. Raises Garbage."""
    try:
        found = _completion(body)
        first, usage = found.choices[0], found.usage
        if usage.prompt_tokens < 0 or usage.completion_tokens < 0:
            return _read_slowly(body, choices)
    except (*_UNREADABLE, IndexError):  # a ValidationError is a DecodeError
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
    completion = _decoded(body)
    if completion is None:
        raise Garbage(NO_OBJECT)
    read, written = _tokens(completion.get("usage"))
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
        text=_mended(content or ""),
        read=read,
        written=written,
        finish=finish if isinstance(finish, str) else "",
        choices=_mended(json.dumps(completion["choices"], ensure_ascii=False)) if choices else "",
    )


def read_embeddings(body: bytes, n_texts: int) -> tuple[list[list[float]], int]:
    """Return one vector a text, and the tokens read. Raises Garbage, also where a text has none."""
    try:
        found = _embeddings(body)
    except _UNREADABLE:
        raise Garbage("the endpoint's reply holds no embeddings") from None
    vectors: list[list[float]] = [[]] * n_texts
    for each in found.data:
        if 0 <= each.index < n_texts:
            vectors[each.index] = each.embedding
    if len(found.data) != n_texts or not all(vectors) or len(set(map(len, vectors))) > 1:
        raise Garbage("the endpoint's reply does not hold one vector a text")
    return vectors, max(0, found.usage.prompt_tokens) if found.usage else 0


class StreamReading:
    """Reads a stream of server-sent events as its bytes come, wherever they are cut."""

    def __init__(self, *, choices: bool = False) -> None:
        self.read = self.written = 0
        """Tokens, where the stream has told them."""
        self.finish = ""
        self.done = False
        """Whether the end has come: nothing that follows matters."""
        self._choices = choices
        self._tail = b""
        self._unfinished = b""

    @property
    def whole(self) -> bool:
        """Return whether the answer is whole: its end, or why it ended, has come."""
        return self.done or bool(self.finish)

    def feed(self, data: bytes) -> list[str | Choices]:
        """Return what the bytes add, texts that follow each other as one. Raises Garbage."""
        lines = (self._tail + data if self._tail else data).split(b"\n")
        self._tail = lines.pop()
        if len(self._tail) > MOST_LINE:
            raise Garbage("the endpoint's stream holds an endless line")
        texts: list[str] = []
        added: list[str | Choices] = []
        for line in lines:
            if line[:5] == b"data:":
                self._take(line[5:], texts, added)
                if self.done:
                    break
            elif self._unfinished and line in (b"", b"\r"):
                raise Garbage("the endpoint's stream holds what is not a JSON object")
        if texts:
            added.append("".join(texts))
        return added

    def end(self) -> list[str | Choices]:
        """Return what the last line adds, where the stream ends without a line end after it. Raises Garbage."""
        return self.feed(b"\n\n")

    def _take(self, data: bytes, texts: list[str], added: list[str | Choices]) -> None:
        """Read the data of one line; an object may run over several."""
        if self._unfinished:
            data = self._unfinished + b"\n" + data
            self._unfinished = b""
        try:
            chunk = _chunk(data)
        except _UNREADABLE as error:
            if data.strip() == b"[DONE]":
                self.done = True
                return
            chunk = None
            if not isinstance(error, msgspec.ValidationError) and _decoded(data) is None:
                self._unfinished = data
                return
        if self._choices or chunk is None:
            self._take_slowly(data, texts, added)
            return
        if chunk.error is not None and bytes(chunk.error) not in (b"null", b"false", b'""', b"{}"):
            raise Garbage("the endpoint broke its answer off with an error")
        if chunk.usage is not None:
            self._count(chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
        if chunk.choices:
            first = chunk.choices[0]
            if first.delta.content:
                texts.append(first.delta.content)
            if first.finish_reason:
                self.finish = first.finish_reason

    def _take_slowly(self, data: bytes, texts: list[str], added: list[str | Choices]) -> None:
        """Read a chunk that is odd, or may hold more than text."""
        chunk = _decoded(data)
        if chunk is None:
            raise Garbage("the endpoint's stream holds what is not a JSON object")
        if chunk.get("error"):
            raise Garbage("the endpoint broke its answer off with an error")
        if chunk.get("usage"):
            self._count(*_tokens(chunk["usage"]))
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            return
        text = ""
        for choice in choices:
            if not isinstance(choice, dict) or choice.get("index") not in (None, 0):
                continue
            delta = choice.get("delta")
            content = delta.get("content") if isinstance(delta, dict) else None
            text += _mended(content) if isinstance(content, str) else ""
            if isinstance(reason := choice.get("finish_reason"), str):
                self.finish = reason
        if self._choices and (kept := [choice for choice in map(_told, choices) if choice is not None]):
            if texts:
                added.append("".join(texts))
                texts.clear()
            added.append(Choices(_mended(json.dumps(kept, ensure_ascii=False)), text))
        elif text:
            texts.append(text)

    def _count(self, read: int, written: int) -> None:
        self.read, self.written = max(0, read), max(0, written)


_PLAIN = frozenset({"role", "content", "refusal"})


def _told(choice: Any) -> Any:
    """Return a choice of a chunk without why the first answer ended (which is told at the end of the whole), or None
    where it adds nothing but text to the first answer.
    """
    if not isinstance(choice, dict):
        return None
    if choice.get("index") not in (None, 0):
        return choice
    delta = choice.get("delta")
    more = isinstance(delta, dict) and any(value is not None for key, value in delta.items() if key not in _PLAIN)
    refuses = isinstance(delta, dict) and bool(delta.get("refusal"))
    if not more and not refuses and choice.get("logprobs") is None:
        return None
    return choice | {"finish_reason": None}


def _decoded(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object that bytes hold, or None where they hold none."""
    try:
        found = msgspec.json.decode(body)
    except _UNREADABLE:
        try:
            found = json.loads(body)  # slower, and takes halves of characters
        except (ValueError, RecursionError):
            return None
    return found if isinstance(found, dict) else None


def _mended(text: str) -> str:
    """Return the text with halves of characters, which JSON can hold and UTF-8 cannot, as question marks."""
    return text.encode("utf-8", "replace").decode()


def _tokens(usage: object) -> tuple[int, int]:
    """Return the tokens that an endpoint reports as read and written; 0 where what it reports is no number."""
    counts = []
    for key in ("prompt_tokens", "completion_tokens"):
        count = usage.get(key) if isinstance(usage, dict) else None
        counts.append(int(count) if isinstance(count, int | float) and 0 <= count < float("inf") else 0)
    return counts[0], counts[1]
