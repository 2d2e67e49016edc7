"""Streams of an OpenAI-compatible endpoint: server-sent events to text and choices, wherever their bytes are cut.

Takes bytes as they come, gives what they add, or Garbage where they are not what they should be; what is merely odd
counts as nothing. Knows nothing of connections.
"""

import json
from typing import Any

import msgspec
from msgspec import Raw, Struct

from lifeloop.core.candidates import Choices
from lifeloop.models.completion_reading import UNREADABLE, Garbage, Said, Usage, decoded, mended, tokens_of

MOST_LINE = 4 * 1024 * 1024
"""Bytes of one line of a stream."""
_PLAIN = frozenset({"role", "content", "refusal"})


class _Delta(Struct, frozen=True):
    content: str | None = None


class _Added(Struct, frozen=True):
    delta: _Delta = _Delta()
    finish_reason: str | None = None
    index: int = 0


class _Chunk(Struct, frozen=True):
    choices: tuple[_Added, ...] = ()
    usage: Usage | None = None
    error: Raw | None = None


_chunk = msgspec.json.Decoder(_Chunk).decode


class StreamReading:
    """Reads a stream of server-sent events as its bytes come, wherever they are cut."""

    def __init__(self, *, choices: bool = False) -> None:
        self.read = self.written = 0
        """Tokens, where the stream has told them."""
        self.finish = ""
        self.done = False
        """Whether the end has come: nothing that follows matters."""
        self.moved = False
        """Whether what was fed last brought the answer on, if only by a thought that is not passed on."""
        self._choices = choices
        self._tail = b""
        self._unfinished = b""

    @property
    def whole(self) -> bool:
        """Return whether the answer is whole: its end, or why it ended, has come."""
        return self.done or bool(self.finish)

    def said(self, text: str) -> Said:
        """Return what the stream came to, with the text of all its pieces."""
        return Said(text, self.read, self.written, self.finish)

    def feed(self, data: bytes) -> list[str | Choices]:
        """Return what the bytes add, texts that follow each other as one. Raises Garbage."""
        lines = (self._tail + data if self._tail else data).split(b"\n")
        self._tail = lines.pop()
        if len(self._tail) > MOST_LINE:
            raise Garbage("the endpoint's stream holds an endless line")
        texts: list[str] = []
        added: list[str | Choices] = []
        self.moved = False
        for line in lines:
            if line[:5] == b"data:":
                self._take(line[5:], texts, added)
                if self.done:
                    break
            elif self._unfinished and line in (b"", b"\r"):
                raise Garbage("the endpoint's stream holds what is not a JSON object")
        if texts:
            added.append("".join(texts))
            self.moved = True
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
        except UNREADABLE as error:
            if data.strip() == b"[DONE]":
                self.done = True
                return
            chunk = None
            if not isinstance(error, msgspec.ValidationError) and decoded(data) is None:
                if len(data) > MOST_LINE:
                    raise Garbage("the endpoint's stream holds an endless object") from None
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
            elif not self.moved:
                self.moved = _moves((decoded(data) or {}).get("choices"))
            if first.finish_reason:
                self.finish = first.finish_reason

    def _take_slowly(self, data: bytes, texts: list[str], added: list[str | Choices]) -> None:
        """Read a chunk that is odd, or may hold more than text."""
        chunk = decoded(data)
        if chunk is None:
            raise Garbage("the endpoint's stream holds what is not a JSON object")
        if chunk.get("error"):
            raise Garbage("the endpoint broke its answer off with an error")
        if chunk.get("usage"):
            self._count(*tokens_of(chunk["usage"]))
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            return
        self.moved = self.moved or _moves(choices)
        text = ""
        for choice in choices:
            if not isinstance(choice, dict) or choice.get("index") not in (None, 0):
                continue
            delta = choice.get("delta")
            content = delta.get("content") if isinstance(delta, dict) else None
            text += mended(content) if isinstance(content, str) else ""
            if isinstance(reason := choice.get("finish_reason"), str):
                self.finish = reason
        if self._choices and any(map(_is_more_than_text, choices)):
            if texts:
                added.append("".join(texts))
                texts.clear()
            added.append(Choices(mended(json.dumps(list(map(_told, choices)), ensure_ascii=False)), text))
        elif text:
            texts.append(text)

    def _count(self, read: int, written: int) -> None:
        self.read, self.written = max(0, read), max(0, written)


def _is_more_than_text(choice: Any) -> bool:
    """Return whether a choice of a chunk adds more than text to the first answer."""
    if not isinstance(choice, dict):
        return False
    delta = choice.get("delta")
    held = delta if isinstance(delta, dict) else {}
    return (
        choice.get("index") not in (None, 0)
        or choice.get("logprobs") is not None
        or bool(held.get("refusal"))
        or any(value is not None for key, value in held.items() if key not in _PLAIN)
    )


def _moves(choices: Any) -> bool:
    """Return whether the choices of a chunk hold anything: text, a thought, a piece of a call."""
    deltas = [choice.get("delta") for choice in choices or () if isinstance(choice, dict)]
    return any(value for delta in deltas if isinstance(delta, dict) for key, value in delta.items() if key != "role")


def _told(choice: Any) -> Any:
    """Return a choice of a chunk as it is passed on: why the first answer ended is told at the end of the whole."""
    first = isinstance(choice, dict) and choice.get("index") in (None, 0)
    return choice | {"finish_reason": None} if first else choice
