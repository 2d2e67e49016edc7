"""Remote: any OpenAI-compatible endpoint, paid by the token. Turns requests into chat completions and prices them.

The key comes from the environment variable that the brief names, never from the brief itself.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.candidates import Answer, Candidate, Contract, Estimate, Machine, Message, Request
from lifeloop.core.data import Profile
from lifeloop.core.errors import LifeloopError, ModelError
from lifeloop.models import prompting
from lifeloop.models.endpoint import Endpoint, Reply
from lifeloop.models.llamacpp import FILE, Learned
from lifeloop.models.model import Model, Writing


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which endpoint and model, what a token costs, how to decode."""

    url: str
    """Base URL, ending in /v1."""
    model: str
    """The model's name there."""
    api_key_env: str = ""
    """Environment variable that holds the key; without one, none is sent."""
    prompt: str = ""
    shots: int = 0
    shot_words: int = 200
    max_words: int = 2000
    usd_per_million_in: float = 0.0
    usd_per_million_out: float = 0.0
    concurrency: int = 8
    timeout_seconds: float = 60.0
    retries: int = 4
    temperature: float = 0.0
    max_tokens: int = 0
    """0: as the task asks."""


class Remote:
    """A client of one endpoint."""

    def __init__(self, candidate: Candidate, learned: Learned, key: str) -> None:
        self._settings = msgspec.convert(candidate.settings, Settings)
        self._prompt = candidate.prompt or prompting.PLAIN
        self._contract: Contract = plugins.get("tasks", candidate.task).contract(candidate.labels)
        self._shots = [(prompting.cut(text, self._settings.shot_words), said) for text, said in learned.shots]
        self._head: list[Message] | None = None
        self.batch_size = self.concurrency = max(1, self._settings.concurrency)
        self._endpoint = Endpoint(
            f"{self._settings.url.rstrip('/')}/chat/completions",
            key,
            self._settings.timeout_seconds,
            max(0, self._settings.retries),
            self.concurrency,
        )

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Return answers, asked for at the same time up to the concurrency."""
        answers = dict(self.answer_each(enumerate(requests)))
        return [answers[place] for place in range(len(requests))]

    def answer_each(self, requests: Iterable[tuple[int, Request]]) -> Iterator[tuple[int, Answer]]:
        """Yield answers as they come, at most `concurrency` under way. Closing the iterator cancels the rest."""
        unsent: list[tuple[int, Answer]] = []

        def bodies() -> Iterator[tuple[int, bytes]]:
            for number, request in requests:
                try:
                    body = msgspec.json.encode(self._body(request))
                except LifeloopError as error:  # a prompt's template may fail on one input alone
                    unsent.append((number, Answer(output="", error=error.what)))
                else:
                    yield number, body

        with contextlib.closing(self._endpoint.ask_each(bodies())) as replies:
            for number, reply in replies:
                yield number, self._read(reply)
                while unsent:
                    yield unsent.pop()
        yield from unsent

    def write(self, writings: Sequence[Writing]) -> list[Answer]:
        """Return texts of the model's own, asked for at the same time. Neither seed nor schema is sent: not every
        endpoint knows them.
        """
        bodies = ((number, msgspec.json.encode(self._written(writing))) for number, writing in enumerate(writings))
        with contextlib.closing(self._endpoint.ask_each(bodies)) as replies:
            found = {number: self._read(reply) for number, reply in replies}
        return [found[number] for number in range(len(writings))]

    def _written(self, writing: Writing) -> dict[str, Any]:
        return {
            "model": self._settings.model,
            "messages": writing.messages,
            "temperature": writing.temperature,
            "max_tokens": writing.max_tokens,
        }

    def _read(self, reply: Reply) -> Answer:
        if reply.error:
            return Answer(output="", error=reply.error)
        completion = _decoded(reply.body)
        if completion is None:
            return Answer(output="", error="the endpoint's reply is not a JSON object")
        said, usage = _said(completion), completion.get("usage")
        if said is None:
            return self._priced("", usage, "the endpoint's reply is not a chat completion")
        return self._priced(said, usage)

    def _turns(self, request: Request) -> list[Message]:
        """Return what is sent; system message and shots are rendered once, since no request changes them."""
        limit = self._settings.max_words
        if request.messages or self._head is None:
            turns = prompting.messages(self._prompt, self._contract, self._shots, request, limit)
            if not request.messages:
                self._head = turns[:-1]
            return turns
        last = prompting.render_user(self._prompt, self._contract, prompting.cut(request.text, limit))
        return [*self._head, Message("user", last)]

    def _body(self, request: Request) -> dict[str, Any]:
        return {
            "model": self._settings.model,
            "messages": self._turns(request),
            "temperature": self._settings.temperature,
            "max_tokens": request.max_tokens or self._settings.max_tokens or self._contract.max_tokens,
        }

    def _priced(self, output: str, usage: object, error: str = "") -> Answer:
        read, written = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
        usd = (read * self._settings.usd_per_million_in + written * self._settings.usd_per_million_out) / 1e6
        return Answer(output=output, tokens_in=read, tokens_out=written, usd=usd, error=error)

    def stream(self, request: Request) -> Iterator[str | Answer]:
        """Yield pieces as the endpoint sends them, then the answer. A failure on the way is the answer's error."""
        pieces: list[str] = []
        usage: object = None
        failure = ""
        try:
            body = self._body(request) | {"stream": True, "stream_options": {"include_usage": True}}
            with contextlib.closing(self._endpoint.stream(msgspec.json.encode(body))) as lines:
                for chunk in _chunks(lines):
                    usage = chunk.get("usage") or usage
                    if text := _piece(chunk):
                        pieces.append(text)
                        yield text
        except LifeloopError as error:
            failure = error.what
        yield self._priced("".join(pieces), usage, failure)

    def close(self) -> None:
        """Close the connections."""
        self._endpoint.close()


def _decoded(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object of a reply, or None where it is none."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        try:
            found = json.loads(body)  # slower, and takes halves of characters
        except (ValueError, RecursionError):
            return None
    return found if isinstance(found, dict) else None


def _said(reply: dict[str, Any]) -> str | None:
    """Return the content of a reply's message ("" where it says nothing), or None where there is no message."""
    try:
        content = reply["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        return None
    return _whole(content or "") if isinstance(content, str | None) else None


def _chunks(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            return
        try:
            chunk = json.loads(data)
        except ValueError:
            chunk = None
        if not isinstance(chunk, dict):
            raise ModelError("the endpoint's stream holds what is not a JSON object")
        if chunk.get("error"):
            raise ModelError("the endpoint broke its answer off with an error")
        yield chunk


def _piece(chunk: dict[str, Any]) -> str:
    """Return the text that a chunk of a stream adds."""
    try:
        added = chunk["choices"][0]["delta"]["content"] if chunk.get("choices") else ""
    except (KeyError, IndexError, TypeError):  # the first and the last chunk have no content
        added = ""
    return _whole(added) if isinstance(added, str) else ""


def _whole(text: str) -> str:
    """Return the text with halves of characters, which JSON can hold and UTF-8 cannot, as question marks."""
    return text.encode("utf-8", "replace").decode()


def _count(usage: object, key: str) -> int:
    """Return a number of tokens that an endpoint reports, or 0 where it reports none."""
    count = usage.get(key) if isinstance(usage, dict) else None
    return int(count) if isinstance(count, int | float) and 0 <= count < float("inf") else 0


class RemoteKind:
    """Model kind "remote"."""

    settings = Settings
    tasks: tuple[str, ...] = ()
    version = "2"
    writes = True

    def load(self, candidate: Candidate, folder: Path | None, members: Sequence[Model]) -> Model:
        """Return the client. Nothing is sent yet."""
        settings = msgspec.convert(candidate.settings, Settings)
        learned = msgspec.json.decode((folder / FILE).read_bytes(), type=Learned) if folder else Learned()
        key = os.environ.get(settings.api_key_env, "") if settings.api_key_env else ""
        if settings.api_key_env and not key:
            raise ModelError(
                f"the environment variable {settings.api_key_env} is not set",
                where=f"candidates.{candidate.name}.api_key_env",
                fix=f"export {settings.api_key_env}=…",
            )
        try:
            return Remote(candidate, learned, key)
        except ModelError as error:
            where = error.where or f"candidates.{candidate.name}"
            raise ModelError(error.what, where=where, fix=error.fix) from None

    def estimate(self, settings: Settings, profile: Profile, machine: Machine) -> Estimate:
        """Return the price of the tokens; a second a request is assumed."""
        words = min(profile.mean_chars / 6.0, settings.max_words) + settings.shots * settings.shot_words / 2
        read = words * 1.4 + 60
        written = 5 if profile.n_labels else 150
        usd = (read * settings.usd_per_million_in + written * settings.usd_per_million_out) / 1e6
        return Estimate(
            memory_gb=0.15,
            build_seconds=0.1,
            seconds_per_item=1.0 / max(1, settings.concurrency),
            usd_per_item=usd,
            basis=f"{read:.0f} tokens in and {written} out an item",
        )


KIND = RemoteKind()
